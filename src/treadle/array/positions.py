"""Positions along an axis: negative ones counted from the end, those outside refused as early as they are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle.array.convert import apply, cast, constant, from_scalar
from treadle.core.dims import Dim, Size
from treadle.core.dtypes import int32, int64
from treadle.core.errors import OutOfRangeError
from treadle.core.tensor import Tensor, concrete
from treadle.ops import elementwise as ew


def out_of_range(name: str, index: Any, size: Size, axis: int) -> OutOfRangeError:
    """The error for a position that an axis does not have."""
    have = f"positions are {-size} to {size - 1}" if isinstance(size, Dim) or size else "there is no position"
    return OutOfRangeError(f"{name}: index {index} is out of range for axis {axis} with size {size}: {have}")


def from_end(name: str, index: Tensor, size: Size, axis: int, *, check: bool = True) -> Tensor:
    """Integer positions with the negative ones counted from the end.

    Raises:
        OutOfRangeError: a position is known to be outside (with `check`).
    """
    if index.is_concrete and not index.is_symbolic and isinstance(size, int):
        return _known(name, index, size, axis, check)
    if index.dtype.kind == "u":
        return index
    wide = index if index.dtype.bits >= 32 else cast(index, int32)
    behind = apply(ew.add, wide, from_scalar(size, wide.dtype, name))
    return apply(ew.select, apply(ew.lt, wide, constant(0, wide.dtype)), behind, wide)


def _known(name: str, index: Tensor, size: int, axis: int, check: bool) -> Tensor:
    numbers = index.numpy()
    outside = (numbers >= size) | (numbers < -size) if numbers.dtype.kind == "i" else numbers >= size
    if check and outside.any():
        raise out_of_range(name, numbers[outside].flat[0], size, axis)
    if numbers.dtype.kind == "u" or not (numbers < 0).any():
        return index
    wide = numbers.astype(np.int64)
    return concrete(
        np.where(wide < 0, wide + size, wide).astype(index.dtype.numpy if index.dtype.bits > 16 else np.int32)
    )


def same_width(indices: list[Tensor]) -> list[Tensor]:
    """Positions of one dtype, which gather and scatter need: int32, or int64 when one of them has 64 bits (or u32)."""
    if all(i.dtype is indices[0].dtype for i in indices):
        return indices
    wide = any(i.dtype.bits == 64 or (i.dtype.kind == "u" and i.dtype.bits == 32) for i in indices)
    return [cast(i, int64 if wide else int32) for i in indices]
