"""Order: sort, argsort, top_k, searchsorted. All are stable, and NaN comes last in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.core.dims import Size
from treadle.core.dtypes import int32
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.primitive import Primitive, Zero
from treadle.core.spec import Spec, normalize_axis, show_shape
from treadle.core.tensor import Tensor
from treadle.ops import elementwise, reduce
from treadle.ops import shape as shape_ops
from treadle.ops.index import gather

if TYPE_CHECKING:
    from treadle.testing.samples import Case, ErrorCase, Samples

Array = np.ndarray[Any, Any]

sort = Primitive("sort")
argsort = Primitive("argsort")
top_k = Primitive("top_k", multiple=True)
searchsorted = Primitive("searchsorted")


def _comparable(x: Array) -> Array:
    """bfloat16 as float32: NumPy has no order with NaN for it."""
    return x.astype(np.float32) if x.dtype.kind not in "biuf" else x


def _order(x: Array, axis: int, descending: bool) -> Array:
    x = _comparable(x)
    if descending and x.dtype.kind == "f":  # NaN has no sign: it stays last
        x = -x
    if not descending or x.dtype.kind == "f":
        return np.argsort(x, axis=axis, kind="stable")
    # The least integer has no negative: sort backwards, so that ties come out in their original order.
    backwards = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    out: Array = x.shape[axis] - 1 - np.flip(backwards, axis)
    return out


def _take_along(x: Tensor, order: Tensor, axis: int) -> Tensor:
    """`x` at `order` along an axis; the other axes go together."""
    last = x.ndim - 1
    axes = (*(a for a in range(x.ndim) if a != axis), axis)
    if axis != last:
        x, order = shape_ops.transpose(x, axes=axes), shape_ops.transpose(order, axes=axes)
    places = shape_ops.reshape(order, shape=(*order.shape, 1))
    out: Tensor = gather(x, places, batch_dims=last, mode="clip")  # never out of range: "clip" spares the test
    return out if axis == last else shape_ops.transpose(out, axes=tuple(np.argsort(axes).tolist()))


# sort, argsort


@sort.shape
def _(x: Spec, *, axis: int, descending: bool) -> Spec:
    _check_axis("sort", x, axis)
    return x


@argsort.shape
def _(x: Spec, *, axis: int, descending: bool) -> Spec:
    _check_axis("argsort", x, axis)
    return x.with_dtype(int32)


def _check_axis(name: str, x: Spec, axis: int) -> None:
    if normalize_axis(axis, x.ndim) != axis:
        raise ShapeError(f"{name}: axis {axis} of x {show_shape(x.shape)} must be counted from the front")


@sort.reference
def _(x: Array, *, axis: int, descending: bool) -> Array:
    values = _comparable(x)
    if not descending:
        out = np.sort(values, axis=axis, kind="stable")
    elif values.dtype.kind == "f":
        out = -np.sort(-values, axis=axis, kind="stable")
    else:
        out = np.flip(np.sort(values, axis=axis, kind="stable"), axis)
    return out.astype(x.dtype, copy=False)


@argsort.reference
def _(x: Array, *, axis: int, descending: bool) -> Array:
    return _order(x, axis, descending).astype(np.int32)


@sort.jvp
def _(primals: tuple[Tensor], tangents: tuple[Tensor], out: Tensor, *, axis: int, descending: bool) -> Tensor:
    return _take_along(tangents[0], argsort(primals[0], axis=axis, descending=descending), axis)


@sort.batch
def _(batched: tuple[bool], x: Tensor, *, size: Size, axis: int, descending: bool) -> Any:
    return sort(x, axis=axis + 1, descending=descending)


@argsort.batch
def _(batched: tuple[bool], x: Tensor, *, size: Size, axis: int, descending: bool) -> Any:
    return argsort(x, axis=axis + 1, descending=descending)


# top_k


@top_k.shape
def _(x: Spec, *, k: Size) -> tuple[Spec, Spec]:
    if not x.ndim:
        raise ShapeError("top_k needs an axis to choose from; x is a scalar")
    if not 0 <= k <= x.shape[-1]:
        raise ShapeError(f"top_k cannot choose {k} of {x.shape[-1]} elements: the last axis of x {show_shape(x.shape)}")
    out = x.with_shape((*x.shape[:-1], k))
    return out, out.with_dtype(int32)


@top_k.reference
def _(x: Array, *, k: int) -> tuple[Array, Array]:
    order = _order(x, -1, True)[..., :k]
    return np.take_along_axis(x, order, axis=-1), order.astype(np.int32)


@top_k.jvp
def _(primals: tuple[Tensor], tangents: tuple[Tensor], outs: tuple[Tensor, Tensor], *, k: Size) -> tuple[Tensor, Zero]:
    return _take_along(tangents[0], outs[1], outs[1].ndim - 1), Zero(outs[1].spec)


@top_k.batch
def _(batched: tuple[bool], x: Tensor, *, size: Size, k: Size) -> Any:
    return top_k(x, k=k)


# searchsorted


@searchsorted.shape
def _(ordered: Spec, values: Spec, *, side: str) -> Spec:
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted's side is left or right; got {side!r}")
    if ordered.ndim != 1:
        raise ShapeError(f"searchsorted looks in one sorted row; it has the shape {show_shape(ordered.shape)}")
    if ordered.dtype is not values.dtype:
        raise DTypeError(
            f"searchsorted needs one dtype, not {ordered.dtype} and {values.dtype}: values.astype(td.{ordered.dtype})"
        )
    return Spec(values.shape, int32)


@searchsorted.reference
def _(ordered: Array, values: Array, *, side: Any) -> Array:
    return np.searchsorted(_comparable(ordered), _comparable(values), side=side).astype(np.int32)


@searchsorted.batch
def _(batched: tuple[bool, bool], ordered: Tensor, values: Tensor, *, size: Size, side: str) -> Any:
    if not batched[0]:
        return searchsorted(ordered, values, side=side)
    # Several rows: the place of a value is the number of elements before it.
    inner = values.ndim - batched[1]
    row = shape_ops.reshape(ordered, shape=(size, *(1 for _ in range(inner)), ordered.shape[1]))
    values = shape_ops.reshape(values, shape=(*values.shape, 1))
    before = elementwise.lt(row, values) if side == "left" else elementwise.le(row, values)
    if values.dtype.is_floating:  # NaN comes after all numbers
        is_nan = elementwise.ne(values, values)
        after = elementwise.eq(row, row) if side == "left" else is_nan
        before = elementwise.or_(before, elementwise.and_(is_nan, after))
    return reduce.sum(elementwise.cast(before, dtype=int32), axes=(inner + 1,))


# samples


@sort.samples
def _(s: Samples) -> Iterator[Case | ErrorCase]:
    yield from _sort_samples(s)


@argsort.samples
def _(s: Samples) -> Iterator[Case | ErrorCase]:
    yield from _sort_samples(s)


def _sort_samples(s: Samples) -> Iterator[Case | ErrorCase]:
    least = np.array([0, -128, 127, -128, 5], np.int8)
    for descending in (False, True):
        yield s.case(s.distinct(7), axis=0, descending=descending)
        yield s.case(s.distinct(3, 4), axis=0, descending=descending)
        yield s.case(s.distinct(3, 4), axis=1, descending=descending)
        yield s.case(s.distinct(2, 4, 3), axis=1, descending=descending)
        yield s.case(s.distinct(1), axis=0, descending=descending)
        yield s.case(s.distinct(2, 0), axis=1, descending=descending)
        yield s.case(s.integers(-3, 3, 12), axis=0, descending=descending)
        yield s.case(least, axis=0, descending=descending)
        yield s.case(s.integers(0, 3, 2, 6, dtype="uint64"), axis=1, descending=descending)
        yield s.case(s.booleans(9), axis=0, descending=descending)
        yield s.special([np.nan, 1.0, -np.inf, np.nan, np.inf, 0.0, -0.0, 1.0], axis=0, descending=descending)
    yield s.error(s.normal(3), ShapeError, "axis 1", "does not exist", axis=1, descending=False)
    yield s.error(s.normal(), ShapeError, "a scalar has none", axis=0, descending=False)
    yield s.error(s.normal(2, 3), ShapeError, "axis -1", "from the front", axis=-1, descending=False)


@top_k.samples
def _(s: Samples) -> Iterator[Case | ErrorCase]:
    yield s.case(s.distinct(7), k=3)
    yield s.case(s.distinct(7), k=7)
    yield s.case(s.distinct(3, 4), k=1)
    yield s.case(s.distinct(2, 3, 4), k=2)
    yield s.case(s.distinct(2, 3), k=0)
    yield s.case(s.integers(-3, 3, 2, 9), k=4)
    yield s.case(s.booleans(6), k=4)
    yield s.special([1.0, np.nan, np.inf, 1.0, -np.inf], k=4)
    yield s.error(s.normal(2, 5), ShapeError, "choose 6 of 5", "[2, 5]", k=6)
    yield s.error(s.normal(5), ShapeError, "choose -1", k=-1)
    yield s.error(s.normal(), ShapeError, "scalar", k=1)


@searchsorted.samples
def _(s: Samples) -> Iterator[Case | ErrorCase]:
    row = np.sort(s.normal(7))
    steps = np.array([-2, 0, 0, 0, 3], np.int32)
    for side in ("left", "right"):
        yield s.case(row, s.normal(4), side=side)
        yield s.case(row, s.normal(2, 3), side=side)
        yield s.case(row, s.normal(), side=side)
        yield s.case(row[:0], s.normal(2), side=side)
        yield s.case(row, s.normal(0), side=side)
        yield s.case(steps, s.integers(-4, 5, 9), side=side)
        ends = [-np.inf, -0.0, 1.0, 1.0, np.inf, np.nan, np.nan]
        yield s.special(ends, [np.nan, 1.0, 0.0, np.inf, -np.inf, 2.0], side=side)
    yield s.error(row, s.normal(2), ArgumentError, "left or right", "middle", side="middle")
    yield s.error(s.normal(2, 3), s.normal(2), ShapeError, "one sorted row", "[2, 3]", side="left")
    yield s.error(steps, s.normal(2), DTypeError, "int32", "values.astype", side="left")
