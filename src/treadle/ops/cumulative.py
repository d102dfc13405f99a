"""Running reductions along an axis: cumsum, cumprod, cummax. With `reverse` they run from the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from treadle.core.dims import Size
from treadle.core.dtypes import int32
from treadle.core.errors import DTypeError, ShapeError
from treadle.core.primitive import Primitive, Unknown
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops import elementwise
from treadle.ops import shape as shape_ops
from treadle.ops.reduce import accumulator, check_dtype, widened

Array = np.ndarray[Any, Any]


def _running(name: str, ufunc: np.ufunc, *, additive: tuple[int, ...] = ()) -> Primitive:
    """A primitive along `axis`, with its shape, reference and batch rules."""
    made = Primitive(name, additive=additive)

    @made.shape
    def shape_rule(x: Spec, *, axis: int, reverse: bool) -> Spec:
        check_dtype(x.dtype, "number", name)
        shape_ops.check_axes((axis,), x.ndim, name)
        return x

    @made.reference
    def reference(x: Array, *, axis: int, reverse: bool) -> Array:
        wide = widened(x)
        wide = np.flip(wide, axis) if reverse else wide
        out = ufunc.accumulate(wide, axis=axis, dtype=accumulator(wide.dtype) if ufunc is np.add else wide.dtype)
        return np.asarray(np.flip(out, axis) if reverse else out).astype(x.dtype)

    @made.batch
    def batch_rule(batched: tuple[bool, ...], x: Tensor, *, size: Size, axis: int, reverse: bool) -> Any:
        return made(x, axis=axis + 1, reverse=reverse)

    return made


def _samples(s: Any, name: str) -> Iterator[Any]:
    for reverse in (False, True):
        yield s.case(s.distinct(5), axis=0, reverse=reverse)
        yield s.case(s.distinct(2, 3, 4), axis=1, reverse=reverse)
    yield s.case(s.distinct(3, 4), axis=0, reverse=False)
    yield s.case(s.distinct(2, 1), axis=1, reverse=True)
    yield s.case(s.distinct(3, 0), axis=1, reverse=False)
    yield s.case(s.distinct(0, 3), axis=1, reverse=False)
    yield s.case(s.integers(-3, 4, 3, 4), axis=1, reverse=False)
    yield s.special([[1.0, np.nan, 2.0], [0.0, np.inf, -np.inf], [-0.0, -np.inf, 0.0]], axis=1, reverse=False)
    yield s.error(s.normal(3), ShapeError, name, "axis 1", "axes 0 to 0", axis=1, reverse=False)
    yield s.error(s.booleans(3), DTypeError, name, "bool", "astype", axis=0, reverse=False)


def _shifted(x: Tensor, by: Size, fill: float, axis: int, reverse: bool) -> Tensor:
    """x moved `by` places along the direction of running; `fill` moves in."""
    low = tuple((-by if reverse else by) if a == axis else 0 for a in range(x.ndim))
    high = tuple(-n for n in low)
    value = shape_ops.scalar(fill, x.dtype)
    out: Tensor = shape_ops.pad(x, value, low=low, high=high, interior=(0,) * x.ndim)
    return out


cumsum = _running("cumsum", np.add, additive=(0,))


@cumsum.transpose
def _(ct: Tensor, x: Unknown, *, axis: int, reverse: bool) -> tuple[Any]:
    return (cumsum(ct, axis=axis, reverse=not reverse),)


@cumsum.samples
def _(s: Any) -> Iterator[Any]:
    yield from _samples(s, "cumsum")


cumprod = _running("cumprod", np.multiply)

DOUBLINGS_FOR_ANY_SIZE = 31  # an axis of unknown size is at most this many bits long


@cumprod.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, axis: int, reverse: bool) -> Any:
    # Products p and tangents t of runs of 1, 2, 4, … elements: two neighbouring runs (p', t') (p, t) join into
    # (p' p, t' p + p' t). Nothing is divided, so zeros are exact in derivatives of every order (the parallel prefix
    # of Hillis and Steele, Data parallel algorithms, CACM 29 (1986), on dual numbers).
    (x,), (t,) = primals, tangents
    n = x.shape[axis]
    rounds = max(n - 1, 0).bit_length() if isinstance(n, int) else DOUBLINGS_FOR_ANY_SIZE
    p = x
    for k in range(rounds):
        before = _shifted(p, 2**k, 1, axis, reverse)
        t_before = _shifted(t, 2**k, 0, axis, reverse)
        t = elementwise.add(elementwise.mul(t_before, p), elementwise.mul(t, before))
        p = elementwise.mul(before, p)
    return t


@cumprod.samples
def _(s: Any) -> Iterator[Any]:
    yield from _samples(s, "cumprod")
    yield s.case([2.0, 0.0, 3.0, 0.0, 4.0], axis=0, reverse=False)
    yield s.case([[0.0, 5.0, 7.0], [0.0, 0.0, 2.0]], axis=1, reverse=True)


cummax = _running("cummax", np.maximum)


@cummax.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, axis: int, reverse: bool) -> Any:
    # The tangent of the place where the maximum so far was last reached (NaN included: nothing equals it, but from
    # there on it is not less either).
    from treadle.ops import index

    (x,), (dx,) = primals, tangents
    places = shape_ops.iota(shape=x.shape, axis=axis, dtype=int32)
    if reverse:  # the last place that is reached is the smallest one: count them downwards
        places = elementwise.neg(places)
    reached = elementwise.not_(elementwise.lt(x, out))
    lowest = shape_ops.scalar(np.iinfo(np.int32).min, int32)
    latest = cummax(elementwise.select(reached, places, lowest), axis=axis, reverse=reverse)
    if reverse:
        latest = elementwise.neg(latest)
    others = tuple(a for a in range(x.ndim) if a != axis)
    rows = shape_ops.move_axes_first(dx, others)
    indices = shape_ops.expand_dims(shape_ops.move_axes_first(latest, others), (x.ndim,))
    taken = index.gather(rows, indices, batch_dims=len(others), mode="clip")
    return shape_ops.move_axes_back(taken, others)


@cummax.samples
def _(s: Any) -> Iterator[Any]:
    yield from _samples(s, "cummax")
    yield s.case([1.0, 3.0, 3.0, 2.0, 3.0], axis=0, reverse=False, differentiable=False)
