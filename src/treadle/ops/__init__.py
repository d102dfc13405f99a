"""What can be computed: importing this registers every primitive."""

from __future__ import annotations

from treadle.ops import elementwise

__all__ = ["elementwise"]
