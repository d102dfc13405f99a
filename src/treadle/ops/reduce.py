"""Reductions: sum prod max min any all logsumexp argmax argmin. `axes` are sorted and vanish from the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core.dims import Shape, Size
from treadle.core.dtypes import DType, int32
from treadle.core.errors import DTypeError, ShapeError
from treadle.core.primitive import Primitive, Unknown
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.ops import shape as shape_ops

Array = np.ndarray[Any, Any]
Axes = tuple[int, ...]


def _reduction(name: str, *, additive: Sequence[int] = (), needs_elements: bool = False, takes: str) -> Primitive:
    """A primitive over `axes`, with its shape rule and its batch rule."""
    made = Primitive(name, additive=additive)

    @made.shape
    def shape_rule(x: Spec, *, axes: Axes) -> Spec:
        check_dtype(x.dtype, takes, name)
        shape_ops.check_axes(axes, x.ndim, name)
        if list(axes) != sorted(axes):
            raise ShapeError(f"{name}: axes {axes} must be sorted")
        if needs_elements:
            _check_elements(x.shape, axes, name)
        return x.with_shape([n for a, n in enumerate(x.shape) if a not in axes])

    @made.batch
    def batch_rule(batched: tuple[bool, ...], x: Tensor, *, size: Size, axes: Axes) -> Any:
        return made(x, axes=tuple(a + 1 for a in axes))

    return made


_TAKES = {"number": "numbers", "float": "floating point numbers", "bool": "bool"}


def check_dtype(dtype: DType, takes: str, what: str) -> None:
    """Refuse what a reduction has no meaning for.

    Raises:
        DTypeError: `dtype` is not of the kind "number", "float" or "bool" that it takes.
    """
    fits = {"number": not dtype.is_bool, "float": dtype.is_floating, "bool": dtype.is_bool}[takes]
    if not fits:
        fix = {"number": "x.astype(td.int32)", "float": "x.astype(td.float32)", "bool": "x != 0"}[takes]
        raise DTypeError(f"{what} takes {_TAKES[takes]}, and x is {dtype}; write {fix}")


def _check_elements(shape: Shape, axes: Axes, what: str) -> None:
    for a in axes:
        if shape[a] == 0:
            raise ShapeError(
                f"{what} of {show_shape(shape)} over axis {a}: its size is 0, and {what} of nothing has no value"
            )


def widened(x: Array) -> Array:
    """float16 and bfloat16 as float32, in which their arithmetic is done."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x


def accumulator(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What sums of this dtype are added up in: floats in float64, integers (modulo 2**bits) in their own."""
    return dtype if dtype.kind in "iu" else np.dtype(np.float64)


# sum

sum = _reduction("sum", additive=(0,), takes="number")


@sum.reference
def _(x: Array, *, axes: Axes) -> Array:
    wide = widened(x)
    return np.asarray(np.sum(wide, axis=axes, dtype=accumulator(wide.dtype))).astype(x.dtype)


@sum.transpose
def _(ct: Tensor, x: Unknown, *, axes: Axes) -> tuple[Any]:
    return (shape_ops.stretch(ct, axes, x.shape),)


@sum.samples
def _(s: Any) -> Iterator[Any]:
    yield from _samples(s, "sum")
    yield s.case(s.normal(0, 3), axes=(0,))
    yield s.case(np.array([120, 120, 20], np.int8), axes=(0,))  # wraps around: 260 - 256
    yield s.special([[np.inf, -np.inf], [np.nan, 1.0], [np.inf, 1.0]], axes=(1,))
    yield s.special([1e30, 1.0, -1e30], axes=(0,))
    yield s.error(s.booleans(2), DTypeError, "sum", "bool", "astype", axes=(0,))


def _samples(s: Any, name: str) -> Iterator[Any]:
    """What all reductions of numbers must handle."""
    yield s.case(s.distinct(4), axes=(0,))
    yield s.case(s.distinct(3, 4), axes=(0,))
    yield s.case(s.distinct(2, 3, 4), axes=(0, 2))
    yield s.case(s.distinct(2, 1, 3), axes=(1,))
    yield s.case(s.distinct(2, 3), axes=(0, 1))
    yield s.case(s.distinct(2, 3), axes=())
    yield s.case(s.distinct(0, 3), axes=(1,))
    yield s.case(s.distinct(), axes=())
    yield s.error(s.normal(2, 3), ShapeError, name, "axis 2", "axes 0 to 1", axes=(2,))
    yield s.error(s.normal(2, 3), ShapeError, name, "twice", axes=(1, 1))
    yield s.error(s.normal(2, 3), ShapeError, name, "sorted", axes=(1, 0))


# prod

prod = _reduction("prod", takes="number")


@prod.reference
def _(x: Array, *, axes: Axes) -> Array:
    wide = widened(x)
    return np.asarray(np.prod(wide, axis=axes, dtype=wide.dtype)).astype(x.dtype)


@prod.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, axes: Axes) -> Any:
    # The factor of each dx is the product of all others, from the products to its left and to its right: dividing
    # `out` by x would fail at zeros, also in derivatives of higher order.
    from treadle.ops import cumulative, elementwise

    (x,), (dx,) = primals, tangents
    if not axes:
        return dx
    kept = [a for a in range(x.ndim) if a not in axes]
    flat = tuple(x.shape[a] for a in kept)
    count: Size = 1
    for a in axes:
        count = count * x.shape[a]

    def rows(t: Tensor) -> Any:
        return shape_ops.reshape(shape_ops.move_axes_first(t, kept), shape=(*flat, count))

    def shifted(t: Tensor, by: int) -> Any:
        low, high = (0,) * len(kept) + (by,), (0,) * len(kept) + (-by,)
        one = shape_ops.scalar(1, t.dtype)
        return shape_ops.pad(t, one, low=low, high=high, interior=(0,) * t.ndim)

    last = len(kept)
    left = shifted(cumulative.cumprod(rows(x), axis=last, reverse=False), 1)
    right = shifted(cumulative.cumprod(rows(x), axis=last, reverse=True), -1)
    return sum(elementwise.mul(rows(dx), elementwise.mul(left, right)), axes=(last,))


@prod.samples
def _(s: Any) -> Iterator[Any]:
    yield from _samples(s, "prod")
    yield s.case(s.normal(0, 3), axes=(0,))
    yield s.case([0.0, 2.0, 3.0], axes=(0,))
    yield s.case([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0]], axes=(1,))
    yield s.case(s.integers(-3, 4, 2, 3), axes=(1,))
    yield s.special([[np.inf, 0.0], [np.nan, 1.0], [-np.inf, -0.0], [-np.inf, 2.0]], axes=(1,))
    yield s.error(s.booleans(2), DTypeError, "prod", "bool", axes=(0,))


# max and min: elements that tie share the derivative evenly

max = _reduction("max", takes="number", needs_elements=True)
min = _reduction("min", takes="number", needs_elements=True)


@max.reference
def _(x: Array, *, axes: Axes) -> Array:
    _check_elements(x.shape, axes, "max")
    return np.asarray(np.max(widened(x), axis=axes)).astype(x.dtype)


@min.reference
def _(x: Array, *, axes: Axes) -> Array:
    _check_elements(x.shape, axes, "min")
    return np.asarray(np.min(widened(x), axis=axes)).astype(x.dtype)


def _chosen_tangent(passed_over: Tensor, dx: Tensor, axes: Axes) -> Any:
    from treadle.ops import elementwise

    zero, one = shape_ops.scalar(0, dx.dtype), shape_ops.scalar(1, dx.dtype)
    count = sum(elementwise.select(passed_over, zero, one), axes=axes)
    return elementwise.div(sum(elementwise.select(passed_over, zero, dx), axes=axes), count)


@max.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, axes: Axes) -> Any:
    # "Less than the maximum" rather than "equal to it": where the maximum is NaN nothing is passed over.
    from treadle.ops import elementwise

    (x,), (dx,) = primals, tangents
    return _chosen_tangent(elementwise.lt(x, shape_ops.expand_dims(out, axes)), dx, axes)


@min.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, axes: Axes) -> Any:
    from treadle.ops import elementwise

    (x,), (dx,) = primals, tangents
    return _chosen_tangent(elementwise.gt(x, shape_ops.expand_dims(out, axes)), dx, axes)


def _extremum_samples(s: Any, name: str) -> Iterator[Any]:
    yield from _samples(s, name)
    yield s.case([1.0, 1.0, 0.0], axes=(0,), differentiable=False)
    yield s.case(s.integers(-5, 5, 3, 4), axes=(1,))
    yield s.case(np.array([200, 3], np.uint8), axes=(0,))
    yield s.special([[np.inf, 0.0], [np.nan, 1.0], [1.0, np.nan], [-np.inf, -np.inf]], axes=(1,))
    yield s.error(s.normal(2, 0), ShapeError, name, "[2, 0]", "axis 1", "size is 0", axes=(1,))
    yield s.error(s.booleans(2), DTypeError, name, "bool", axes=(0,))


@max.samples
def _(s: Any) -> Iterator[Any]:
    yield from _extremum_samples(s, "max")


@min.samples
def _(s: Any) -> Iterator[Any]:
    yield from _extremum_samples(s, "min")


# any and all

any = _reduction("any", takes="bool")
all = _reduction("all", takes="bool")


@any.reference
def _(x: Array, *, axes: Axes) -> Array:
    return np.asarray(np.any(x, axis=axes))


@all.reference
def _(x: Array, *, axes: Axes) -> Array:
    return np.asarray(np.all(x, axis=axes))


def _truth_samples(s: Any, name: str) -> Iterator[Any]:
    yield s.case(s.booleans(4), axes=(0,))
    yield s.case(s.booleans(3, 4), axes=(1,))
    yield s.case(s.booleans(2, 3, 2), axes=(0, 2))
    yield s.case(np.zeros((2, 0), bool), axes=(1,))
    yield s.case(s.booleans(2), axes=())
    yield s.case(np.bool_(True), axes=())
    yield s.error(s.normal(2), DTypeError, name, "bool", "x != 0", axes=(0,))
    yield s.error(s.booleans(2), ShapeError, name, "axis 1", axes=(1,))


@any.samples
def _(s: Any) -> Iterator[Any]:
    yield from _truth_samples(s, "any")


@all.samples
def _(s: Any) -> Iterator[Any]:
    yield from _truth_samples(s, "all")


# logsumexp

logsumexp = _reduction("logsumexp", takes="float")


@logsumexp.reference
def _(x: Array, *, axes: Axes) -> Array:
    wide = widened(x)
    top = np.max(wide, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0).astype(wide.dtype)
    total = np.sum(np.exp(wide - top), axis=axes, keepdims=True)
    return np.asarray(np.squeeze(np.log(total) + top, axis=axes)).astype(x.dtype)


@logsumexp.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, axes: Axes) -> Any:
    # Where all of x is -inf so is `out`, and x - out would be NaN; against 0 the weights are exp(-inf) = 0.
    from treadle.ops import elementwise

    (x,), (dx,) = primals, tangents
    zero, lowest = shape_ops.scalar(0, x.dtype), shape_ops.scalar(-np.inf, x.dtype)
    shift = elementwise.select(elementwise.eq(out, lowest), zero, out)
    weights = elementwise.exp(elementwise.sub(x, shape_ops.expand_dims(shift, axes)))
    return sum(elementwise.mul(dx, weights), axes=axes)


@logsumexp.samples
def _(s: Any) -> Iterator[Any]:
    yield from _samples(s, "logsumexp")
    yield s.case(s.normal(0, 3), axes=(0,), differentiable=False)
    yield s.case([1000.0, 1000.0, -1000.0], axes=(0,))
    inf = np.inf
    yield s.special([[-inf, -inf], [-inf, 1.0], [inf, 1.0], [inf, inf], [np.nan, 1.0], [inf, -inf]], axes=(1,))
    yield s.error(s.integers(0, 3, 2), DTypeError, "logsumexp", "floating", "int32", axes=(0,))


# argmax and argmin: the first of equals; NaN counts as both the largest and the smallest

argmax = Primitive("argmax")
argmin = Primitive("argmin")


def _complete_arg(made: Primitive, compute: Any) -> None:
    name = made.name

    @made.shape
    def shape_rule(x: Spec, *, axis: int) -> Spec:
        shape_ops.check_axes((axis,), x.ndim, name)
        _check_elements(x.shape, (axis,), name)
        return Spec(tuple(n for a, n in enumerate(x.shape) if a != axis), int32)

    @made.reference
    def reference(x: Array, *, axis: int) -> Array:
        _check_elements(x.shape, (axis,), name)
        return np.asarray(compute(widened(x), axis=axis)).astype(np.int32)

    @made.batch
    def batch_rule(batched: tuple[bool, ...], x: Tensor, *, size: Size, axis: int) -> Any:
        return made(x, axis=axis + 1)

    @made.samples
    def samples(s: Any) -> Iterator[Any]:
        yield s.case(s.distinct(5), axis=0)
        yield s.case(s.distinct(3, 4), axis=0)
        yield s.case(s.distinct(2, 3, 4), axis=1)
        yield s.case(s.distinct(2, 1), axis=1)
        yield s.case(s.distinct(0, 2), axis=1)
        yield s.case([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], axis=1, differentiable=False)
        yield s.case(s.integers(0, 3, 6), axis=0)
        yield s.case(s.booleans(3, 4), axis=1)
        yield s.special([[1.0, np.nan, np.inf], [np.nan, 0.0, np.nan], [-np.inf, -np.inf, 0.0]], axis=1)
        yield s.special([[0.0, -0.0], [-0.0, 0.0]], axis=1)
        yield s.error(s.normal(2, 0), ShapeError, name, "axis 1", "size is 0", axis=1)
        yield s.error(s.normal(2), ShapeError, name, "axis 1", "axes 0 to 0", axis=1)


_complete_arg(argmax, np.argmax)
_complete_arg(argmin, np.argmin)

__all__ = ["all", "any", "argmax", "argmin", "logsumexp", "max", "min", "prod", "sum"]
