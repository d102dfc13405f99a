"""What can be computed: importing this registers every primitive."""

from __future__ import annotations

from treadle.ops import contract, conv, cumulative, elementwise, index, random, reduce, shape, sort, window

__all__ = ["contract", "conv", "cumulative", "elementwise", "index", "random", "reduce", "shape", "sort", "window"]
