"""A window whose place is computed: dynamic_slice, dynamic_update.

Where it would stick out it is moved inside: starts are clamped to [0, size - window], as in XLA.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core.dims import Shape, Size
from treadle.core.dtypes import int32
from treadle.core.errors import DTypeError, ShapeError
from treadle.core.primitive import Primitive, Unknown
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.ops.counting import iota, size
from treadle.ops.cutting import check_rank, concatenate
from treadle.ops.layout import (
    batched_to,
    expand_dims,
    move_axes_back,
    move_axes_first,
    reshape,
    scalar,
    surely_negative,
    zeros,
)

Array = np.ndarray[Any, Any]


dynamic_slice = Primitive("dynamic_slice", additive=(0,))
dynamic_update = Primitive("dynamic_update", additive=(0, 1))


def _check_window(x: Spec, sizes: Shape, starts: Sequence[Spec], what: str) -> None:
    check_rank(sizes, x, f"{what}: the window")
    if len(starts) != x.ndim:
        raise ShapeError(f"{what}: {x} has {x.ndim} axes and needs as many starts; {len(starts)} were given")
    for start in starts:
        if start.ndim != 0:
            raise ShapeError(f"{what}: a start must be a scalar, and is {start}")
        if not start.dtype.is_integer:
            raise DTypeError(f"{what}: a start must be an integer, and is {start.dtype}")
    for axis, (n, m) in enumerate(zip(x.shape, sizes, strict=True)):
        if surely_negative(m) or surely_negative(n - m):
            raise ShapeError(f"{what}: a window of {show_shape(sizes)} does not fit into {x}: axis {axis} has size {n}")


def _placed(x: Array, sizes: Sequence[int], starts: Sequence[Array]) -> tuple[slice, ...]:
    at = [min(max(int(i), 0), n - m) for i, n, m in zip(starts, x.shape, sizes, strict=True)]
    return tuple(slice(i, i + m) for i, m in zip(at, sizes, strict=True))


def _window_indices(starts: Sequence[Tensor], shape: Shape, sizes: Shape, axes: Sequence[int], batch: Size) -> Tensor:
    """Indices int32[batch, *sizes of axes, len(axes)] of the windows' elements, for `gather` and `scatter`."""
    from treadle.ops import elementwise

    grid = (batch, *(sizes[a] for a in axes))
    columns = []
    for k, a in enumerate(axes):
        start = _clamped(starts[a], shape[a] - sizes[a])
        place = reshape(start, shape=(*start.shape, *(1 for _ in axes))) if start.ndim else start
        places = elementwise.add(place, iota(shape=grid, axis=k + 1, dtype=int32))
        columns.append(expand_dims(places, (len(grid),)))
    out: Tensor = concatenate(*columns, axis=len(grid))
    return out


def _clamped(start: Tensor, last: Size) -> Tensor:
    from treadle.ops import elementwise

    if start.dtype.bits < 32:  # `last` need not fit into it
        start = elementwise.cast(start, dtype=int32)
    low, high = scalar(0, start.dtype), size(size=last)
    if start.dtype != int32:
        high = elementwise.cast(high, dtype=start.dtype)
    out: Tensor = elementwise.clamp(start, low, high)
    return out if out.dtype == int32 else elementwise.cast(out, dtype=int32)


@dynamic_slice.shape
def _(x: Spec, *starts: Spec, sizes: Shape) -> Spec:
    _check_window(x, sizes, starts, "dynamic_slice")
    return x.with_shape(sizes)


@dynamic_slice.reference
def _(x: Array, *starts: Array, sizes: tuple[int, ...]) -> Array:
    return x[_placed(x, sizes, starts)]


@dynamic_slice.transpose
def _(ct: Tensor, x: Unknown, *starts: Tensor, sizes: Shape) -> tuple[Any, ...]:
    return dynamic_update(zeros(x.spec), ct, *starts), *(None for _ in starts)


@dynamic_slice.batch
def _(batched: tuple[bool, ...], x: Tensor, *starts: Tensor, size: Size, sizes: Shape) -> Any:
    if not any(batched[1:]):
        return dynamic_slice(x, scalar(0, int32), *starts, sizes=(size, *sizes))
    from treadle.ops import index

    x = batched_to(x, batched[0], size)
    moving = [a for a, n in enumerate(sizes) if n != x.shape[a + 1]]
    if not moving:
        return x
    indices = _window_indices(starts, x.shape[1:], sizes, moving, size)
    axes = (0, *(a + 1 for a in moving))
    return move_axes_back(index.gather(move_axes_first(x, axes), indices, batch_dims=1, mode="clip"), axes)


@dynamic_slice.samples
def _(s: Any) -> Iterator[Any]:
    i = np.int32
    yield s.case(s.normal(5), i(2), sizes=(2,))
    yield s.case(s.normal(5), i(9), sizes=(2,))  # clamped to 3
    yield s.case(s.normal(4, 3), i(-2), i(1), sizes=(2, 2))  # clamped to 0, 1
    yield s.case(s.normal(4, 3, 2), i(3), i(5), i(0), sizes=(1, 3, 2))
    yield s.case(s.normal(3, 2), np.int64(1), np.uint8(200), sizes=(0, 2))
    yield s.case(s.normal(), sizes=())
    yield s.case(s.integers(0, 9, 6), np.int8(1), sizes=(4,))
    yield s.special([np.nan, np.inf, -0.0], i(1), sizes=(2,))
    yield s.error(s.normal(3), i(0), ShapeError, "[4]", "does not fit", "axis 0 has size 3", sizes=(4,))
    yield s.error(s.normal(3), np.float32(0), DTypeError, "integer", "float32", sizes=(1,))
    yield s.error(s.normal(3), np.zeros(1, i), ShapeError, "scalar", sizes=(1,))
    yield s.error(s.normal(3, 2), i(0), ShapeError, "2 axes", "as many starts", sizes=(1, 1))


@dynamic_update.shape
def _(x: Spec, update: Spec, *starts: Spec) -> Spec:
    if x.dtype != update.dtype:
        raise DTypeError(
            f"dynamic_update: x is {x.dtype} and update {update.dtype}; convert one, as update.astype(td.{x.dtype})"
        )
    _check_window(x, update.shape, starts, "dynamic_update")
    return x


@dynamic_update.reference
def _(x: Array, update: Array, *starts: Array) -> Array:
    out = x.copy()
    out[_placed(x, update.shape, starts)] = update
    return out


@dynamic_update.transpose
def _(ct: Tensor, x: Any, update: Any, *starts: Tensor) -> tuple[Any, ...]:
    hole = zeros(Spec(update.shape, update.dtype))
    ct_x = dynamic_update(ct, hole, *starts) if isinstance(x, Unknown) else None
    ct_update = dynamic_slice(ct, *starts, sizes=update.shape) if isinstance(update, Unknown) else None
    return ct_x, ct_update, *(None for _ in starts)


@dynamic_update.batch
def _(batched: tuple[bool, ...], x: Tensor, update: Tensor, *starts: Tensor, size: Size) -> Any:
    x, update = batched_to(x, batched[0], size), batched_to(update, batched[1], size)
    if not any(batched[2:]):
        return dynamic_update(x, update, scalar(0, int32), *starts)
    from treadle.ops import index

    sizes = update.shape[1:]
    moving = [a for a, n in enumerate(sizes) if n != x.shape[a + 1]]
    if not moving:
        return update
    indices = _window_indices(starts, x.shape[1:], sizes, moving, size)
    axes = (0, *(a + 1 for a in moving))
    front = (move_axes_first(x, axes), indices, move_axes_first(update, axes))
    return move_axes_back(index.scatter(*front, batch_dims=1, op="set", mode="clip"), axes)


@dynamic_update.samples
def _(s: Any) -> Iterator[Any]:
    i = np.int32
    yield s.case(s.normal(5), s.normal(2), i(2))
    yield s.case(s.normal(5), s.normal(2), i(9))  # clamped to 3
    yield s.case(s.normal(4, 3), s.normal(2, 2), i(-2), i(1))
    yield s.case(s.normal(4, 3, 2), s.normal(1, 3, 2), i(3), i(5), i(0))
    yield s.case(s.normal(3, 2), s.normal(0, 2), np.int64(1), np.uint8(200))
    yield s.case(s.normal(), s.normal())
    yield s.case(s.integers(0, 9, 6), s.integers(0, 9, 4), np.int8(1))
    yield s.special([np.nan, np.inf, -0.0], [np.nan], i(1))
    yield s.error(s.normal(3), s.normal(4), i(0), ShapeError, "[4]", "does not fit", "axis 0 has size 3")
    yield s.error(s.normal(3), s.integers(0, 3, 1), i(0), DTypeError, "int32", "astype")
    yield s.error(s.normal(3), s.normal(1), ShapeError, "1 axes", "as many starts")
