"""TensorBoard: write runs, log `fit`, read runs back. The command `treadle board` shows them."""

from __future__ import annotations

from treadle.board.log import Log
from treadle.board.reading import Run, Series, read
from treadle.board.writer import Writer

__all__ = ["Log", "Run", "Series", "Writer", "read"]
