"""What can be computed: importing this registers every primitive."""

from __future__ import annotations

from treadle.ops import (
    contract,
    control,
    conv,
    cumulative,
    effects,
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
    "effects",
    "elementwise",
    "host",
    "index",
    "random",
    "reduce",
    "shape",
    "sort",
    "window",
]
