"""Reductions: sums, products, extremes, moments, tests; the axes reduced over vanish unless `keepdims`."""

from __future__ import annotations

from typing import Any

from treadle.array.axes import axes_of
from treadle.array.convert import (
    ArrayLike,
    Axes,
    apply,
    as_tensor,
    cast,
    check_floating,
    constant,
    floating,
    from_scalar,
    numeric,
)
from treadle.core import dtypes
from treadle.core.dims import Dim, Shape
from treadle.core.dtypes import DType, as_dtype
from treadle.core.errors import DTypeError
from treadle.core.primitive import Primitive
from treadle.core.spec import size_of
from treadle.core.tensor import Tensor
from treadle.ops import elementwise as ew
from treadle.ops import reduce as reduce_ops
from treadle.ops import shape as shape_ops


def keep_axes(reduced: Tensor, shape: Shape, axes: tuple[int, ...]) -> Tensor:
    """A reduction's result with the axes that it reduced over back in place, of size 1."""
    kept = tuple(1 if a in axes else n for a, n in enumerate(shape))
    return reduced if reduced.shape == kept else apply(shape_ops.reshape, reduced, shape=kept)


def _reduce(name: str, primitive: Primitive, x: Tensor, axis: Axes, keepdims: bool) -> Tensor:
    axes = axes_of(name, x, axis)
    out = apply(primitive, x, axes=axes)
    return keep_axes(out, x.shape, axes) if keepdims else out


def accumulator(dtype: DType) -> DType:
    """The dtype of sums and products: that of the elements, but at least as wide as the default integer."""
    if dtype.is_bool:
        return dtypes.default_int
    if dtype.is_integer and dtype.bits < dtypes.default_int.bits:
        return dtypes.uint32 if dtype.kind == "u" else dtypes.default_int
    return dtype


def summable(name: str, x: ArrayLike, dtype: Any) -> Tensor:
    """The argument of a sum or product in the dtype that it is added up in."""
    t = as_tensor(x, name)
    want = accumulator(t.dtype) if dtype is None else as_dtype(dtype)
    if want.is_bool:
        raise DTypeError(f"{name}: dtype=td.bool holds no sum; td.any(x) and td.all(x) give bool")
    return cast(t, want)


def sum(x: ArrayLike, /, *, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis` (one, several, or None for all); 0 for no elements.

    The result has x's dtype; small integers and bool add up in int32, small unsigned ones in uint32.

    Raises:
        ShapeError: there is no such axis.

    >>> td.sum(td.asarray([[1., 2.], [3., 4.]]), axis=0).tolist()
    [4.0, 6.0]
    """
    return _reduce("sum", reduce_ops.sum, summable("sum", x, dtype), axis, keepdims)


def prod(x: ArrayLike, /, *, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Product over `axis` (one, several, or None for all); 1 for no elements. Dtypes as for `sum`.

    Raises:
        ShapeError: there is no such axis.

    >>> td.prod(td.asarray([2, 3, 4])).item()
    24
    """
    return _reduce("prod", reduce_ops.prod, summable("prod", x, dtype), axis, keepdims)


def max(x: ArrayLike, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Largest element over `axis` (one, several, or None for all); NaN where there is one.

    Raises:
        ShapeError: there is no such axis, or it has no elements.

    >>> td.max(td.asarray([[1, 5], [7, 2]]), axis=1).tolist()
    [5, 7]
    """
    return _reduce("max", reduce_ops.max, numeric("max", x), axis, keepdims)


def min(x: ArrayLike, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Smallest element over `axis` (one, several, or None for all); NaN where there is one.

    Raises:
        ShapeError: there is no such axis, or it has no elements.

    >>> td.min(td.asarray([[1, 5], [7, 2]]), axis=1).tolist()
    [1, 2]
    """
    return _reduce("min", reduce_ops.min, numeric("min", x), axis, keepdims)


def _truth(name: str, x: ArrayLike) -> Tensor:
    return cast(as_tensor(x, name), dtypes.bool_)


def all(x: ArrayLike, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether all elements over `axis` are true (not 0), bool; True for none.

    Raises:
        ShapeError: there is no such axis.

    >>> td.all(td.asarray([[True, True], [True, False]]), axis=1).tolist()
    [True, False]
    """
    return _reduce("all", reduce_ops.all, _truth("all", x), axis, keepdims)


def any(x: ArrayLike, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether any element over `axis` is true (not 0), bool; False for none.

    Raises:
        ShapeError: there is no such axis.

    >>> td.any(td.asarray([[True, False], [False, False]]), axis=1).tolist()
    [True, False]
    """
    return _reduce("any", reduce_ops.any, _truth("any", x), axis, keepdims)


def count_nonzero(x: ArrayLike, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """How many elements over `axis` are not 0 (are True), int32.

    Raises:
        ShapeError: there is no such axis.

    >>> td.count_nonzero(td.asarray([0, 3, 0, 4])).item()
    2
    """
    counted = cast(_truth("count_nonzero", x), dtypes.default_int)
    return _reduce("count_nonzero", reduce_ops.sum, counted, axis, keepdims)


def logsumexp(x: ArrayLike, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """`log(sum(exp(x)))` over `axis` (one, several, or None for all), without overflow. Floating.

    Raises:
        ShapeError: there is no such axis.

    >>> td.logsumexp(td.asarray([1000., 0.])).item()
    1000.0
    """
    return _reduce("logsumexp", reduce_ops.logsumexp, floating("logsumexp", x), axis, keepdims)


def _wide(name: str, x: ArrayLike) -> tuple[Tensor, DType]:
    """The argument of a mean in the dtype it is added up in (float32 for 16-bit floats), and the result's dtype."""
    t = as_tensor(x, name, dtypes.default_float)
    check_floating(name, t)
    return (cast(t, dtypes.float32) if t.dtype.bits < 32 else t), t.dtype


def _mean(x: Tensor, axes: tuple[int, ...], correction: float) -> Tensor:
    """Sum over the axes divided by their number of elements less `correction`."""
    total = apply(reduce_ops.sum, x, axes=axes)
    n = size_of([x.shape[a] for a in axes])
    count = from_scalar(n, x.dtype, "mean") if isinstance(n, Dim) else constant(n - correction, x.dtype)
    if isinstance(n, Dim) and correction:
        count = apply(ew.sub, count, constant(correction, x.dtype))
    return apply(ew.div, total, count)


def mean(x: ArrayLike, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Arithmetic mean over `axis` (one, several, or None for all); NaN for no elements. Floating.

    Raises:
        DTypeError: integers or bool: convert first, `x.astype(td.float32)`.
        ShapeError: there is no such axis.

    >>> td.mean(td.asarray([[1., 2.], [3., 6.]]), axis=1).tolist()
    [1.5, 4.5]
    """
    t, dtype = _wide("mean", x)
    axes = axes_of("mean", t, axis)
    out = cast(_mean(t, axes, 0), dtype)
    return keep_axes(out, t.shape, axes) if keepdims else out


def var(x: ArrayLike, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """Variance over `axis`: the squares of the deviations from the mean, divided by `n - correction`. Floating.

    `correction=1` gives the unbiased estimate. Computed in two passes, so that a large mean does not cancel.

    Raises:
        DTypeError: integers or bool: convert first, `x.astype(td.float32)`.
        ShapeError: there is no such axis.

    >>> td.var(td.asarray([1., 3.])).item(), td.var(td.asarray([1., 3.]), correction=1).item()
    (1.0, 2.0)
    """
    out, dtype = _variance("var", x, axis, correction, keepdims)
    return cast(out, dtype)


def _variance(name: str, x: ArrayLike, axis: Axes, correction: float, keepdims: bool) -> tuple[Tensor, DType]:
    t, dtype = _wide(name, x)
    axes = axes_of(name, t, axis)
    deviation = apply(ew.sub, t, keep_axes(_mean(t, axes, 0), t.shape, axes))
    out = _mean(apply(ew.mul, deviation, deviation), axes, float(correction))
    return (keep_axes(out, t.shape, axes) if keepdims else out), dtype


def std(x: ArrayLike, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """Standard deviation over `axis`: the square root of `var`. Floating.

    Raises:
        DTypeError: integers or bool: convert first, `x.astype(td.float32)`.
        ShapeError: there is no such axis.

    >>> td.std(td.asarray([1., 3.])).item()
    1.0
    """
    out, dtype = _variance("std", x, axis, correction, keepdims)
    return cast(apply(ew.sqrt, out), dtype)


__all__ = [
    "accumulator", "all", "any", "count_nonzero", "keep_axes", "logsumexp", "max", "mean", "min", "prod", "std", "sum",
    "summable", "var",
]  # fmt: skip
