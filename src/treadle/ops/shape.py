"""All primitives that move elements, by name; each is defined, with its rules, in the file of its subject."""

from __future__ import annotations

from treadle.ops.counting import iota, size
from treadle.ops.cutting import concatenate, dilated, pad, padding_mask, slice
from treadle.ops.dynamic import dynamic_slice, dynamic_update
from treadle.ops.layout import (
    batched_to,
    broadcast,
    check_axes,
    expand_dims,
    full,
    instantiate,
    move_axes_back,
    move_axes_first,
    reshape,
    reverse,
    scalar,
    stretch,
    surely_negative,
    transpose,
    zeros,
)

__all__ = [
    "batched_to",
    "broadcast",
    "check_axes",
    "concatenate",
    "dilated",
    "dynamic_slice",
    "dynamic_update",
    "expand_dims",
    "full",
    "instantiate",
    "iota",
    "move_axes_back",
    "move_axes_first",
    "pad",
    "padding_mask",
    "reshape",
    "reverse",
    "scalar",
    "size",
    "slice",
    "stretch",
    "surely_negative",
    "transpose",
    "zeros",
]
