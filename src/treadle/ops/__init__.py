"""What can be computed: importing this registers every primitive."""

from __future__ import annotations

from treadle.ops import contract, elementwise, index, random, reduce, shape, sort

__all__ = ["contract", "elementwise", "index", "random", "reduce", "shape", "sort"]
