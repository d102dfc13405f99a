"""What can be computed: importing this registers every primitive."""

from __future__ import annotations

from treadle.ops import (
    contract,
    control,
    conv,
    cumulative,
    elementwise,
    host,
    index,
    random,
    reduce,
    shape,
    sort,
    window,
)
from treadle.ops.control import custom

__all__ = [
    "contract",
    "control",
    "conv",
    "cumulative",
    "custom",
    "elementwise",
    "host",
    "index",
    "random",
    "reduce",
    "shape",
    "sort",
    "window",
]
