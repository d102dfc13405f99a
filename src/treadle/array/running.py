"""Along one axis: running sums, products and maxima, differences, quantiles."""

from __future__ import annotations

from typing import Any

from treadle.array.axes import axes_of, axis_of
from treadle.array.convert import (
    ArrayLike,
    Axes,
    apply,
    cast,
    constant,
    floating,
    into,
    like,
    numeric,
    static_int,
)
from treadle.array.joining import cut_out, join
from treadle.array.logic import isnan
from treadle.array.manipulation import permute, reshape, stretch
from treadle.array.reductions import summable
from treadle.core.dims import Dim, Size
from treadle.core.dtypes import default_int
from treadle.core.errors import ArgumentError, DimError, ShapeError
from treadle.core.primitive import Primitive
from treadle.core.spec import size_of
from treadle.core.tensor import Tensor
from treadle.ops import cumulative as cumulative_ops
from treadle.ops import elementwise as ew
from treadle.ops import reduce as reduce_ops
from treadle.ops import sort as sort_ops


def _axis(name: str, x: Tensor, axis: int | None) -> int:
    if axis is None and x.ndim != 1:
        raise ShapeError(f"{name}: x is {x.spec} with {x.ndim} axes; say along which, axis=0 or another")
    return axis_of(name, x, 0 if axis is None else axis)


def _running(
    name: str, primitive: Primitive, x: Tensor, axis: int | None, include_initial: bool, initial: int
) -> Tensor:
    a = _axis(name, x, axis)
    out = apply(primitive, x, axis=a, reverse=False)
    if not include_initial:
        return out
    first = stretch(like(initial, out), tuple(1 if b == a else n for b, n in enumerate(out.shape)))
    return join([first, out], a)


def cumulative_sum(
    x: ArrayLike, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Sums of the elements up to each, along an axis, which may be left out for a vector. Dtypes as for `sum`.

    With `include_initial` a 0 stands in front, and the axis is longer by one.

    Raises:
        ShapeError: no axis was named, or there is none such.

    >>> td.cumulative_sum(td.asarray([1, 2, 3])).tolist()
    [1, 3, 6]
    """
    t = summable("cumulative_sum", x, dtype)
    return _running("cumulative_sum", cumulative_ops.cumsum, t, axis, include_initial, 0)


def cumulative_prod(
    x: ArrayLike, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Products of the elements up to each, along an axis, which may be left out for a vector. Dtypes as for `prod`.

    With `include_initial` a 1 stands in front, and the axis is longer by one.

    Raises:
        ShapeError: no axis was named, or there is none such.

    >>> td.cumulative_prod(td.asarray([1, 2, 3]), include_initial=True).tolist()
    [1, 1, 2, 6]
    """
    t = summable("cumulative_prod", x, dtype)
    return _running("cumulative_prod", cumulative_ops.cumprod, t, axis, include_initial, 1)


def cumulative_max(x: ArrayLike, /, *, axis: int | None = None) -> Tensor:
    """The largest element up to each, along an axis, which may be left out for a vector. NaN stays.

    Raises:
        ShapeError: no axis was named, or there is none such.

    >>> td.cumulative_max(td.asarray([1, 3, 2])).tolist()
    [1, 3, 3]
    """
    return _running("cumulative_max", cumulative_ops.cummax, numeric("cumulative_max", x), axis, False, 0)


def diff(
    x: ArrayLike,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Tensor:
    """`x[i + 1] - x[i]` along an axis, `n` times over: shorter by n.

    Args:
        prepend, append: put before and behind x along the axis first; a scalar, or a tensor with x's other sizes.

    Raises:
        ShapeError: there is no such axis.
        ArgumentError: a negative n.

    >>> td.diff(td.asarray([1, 4, 9])).tolist(), td.diff(td.asarray([1, 4, 9]), n=2).tolist()
    ([3, 5], [2])
    """
    t = numeric("diff", x)
    a = _axis("diff", t, axis)
    if static_int("diff", n, "n") < 0:
        raise ArgumentError(f"diff: n counts how often, and is not negative; got {n}")
    parts = [_end(t, prepend, a), t, _end(t, append, a)]
    t = join([p for p in parts if p is not None], a)
    for _ in range(n):
        m = t.shape[a]
        if isinstance(m, int) and m == 0:
            break
        t = apply(ew.sub, cut_out(t, a, 1, m), cut_out(t, a, 0, m - 1))
    return t


def _end(x: Tensor, value: ArrayLike | None, axis: int) -> Tensor | None:
    if value is None:
        return None
    made = into(x, value, "diff")
    return made if made.ndim else stretch(made, tuple(1 if a == axis else n for a, n in enumerate(x.shape)))


def median(x: ArrayLike, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The middle element over `axis` (one, several, or None for all), the mean of the middle two where there are two.

    Raises:
        DTypeError: integers or bool: convert first, `x.astype(td.float32)`.
        ShapeError: there is no such axis, or it has no elements.

    >>> td.median(td.asarray([1., 9., 2., 4.])).item()
    3.0
    """
    return _quantile("median", x, 0.5, axis, keepdims)


def quantile(x: ArrayLike, q: ArrayLike, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The q-quantile over `axis` (one, several, or None for all), linear between elements; NaN where there is one.

    Args:
        x: floating `[...]`.
        q: in [0, 1], a number or a tensor; its axes come first in the result.

    Raises:
        DTypeError: integers or bool: convert first, `x.astype(td.float32)`.
        ShapeError: there is no such axis, or it has no elements.
        ArgumentError: q is known to lie outside of [0, 1].

    >>> td.quantile(td.asarray([0., 10., 20.]), 0.75).item()
    15.0

    Source: method 7 of Hyndman and Fan, Sample Quantiles in Statistical Packages, The American Statistician 50 (1996).
    """
    return _quantile("quantile", x, q, axis, keepdims)


def _quantile(name: str, x: ArrayLike, q: ArrayLike, axis: Axes, keepdims: bool) -> Tensor:
    t = floating(name, x)
    axes = axes_of(name, t, axis)
    n = size_of([t.shape[a] for a in axes])
    if isinstance(n, int) and n == 0:
        raise ShapeError(
            f"{name} of {t.spec} over axes {axes}: there are no elements, so no value stands in the middle"
        )
    if isinstance(n, Dim):
        raise DimError(f"{name} of {t.spec}: the number {n} of elements is not known while tracing")
    fraction = into(t, q, name)
    if fraction.is_concrete and not ((fraction.numpy() >= 0) & (fraction.numpy() <= 1)).all():
        raise ArgumentError(f"{name}: q is a fraction from 0 to 1; got {fraction.tolist()}")
    rest = [a for a in range(t.ndim) if a not in axes]
    kept: tuple[Size, ...] = tuple(t.shape[a] for a in rest)
    ordered = apply(sort_ops.sort, reshape(permute(t, (*axes, *rest)), (n, *kept)), axis=0, descending=False)
    out = _between(ordered, fraction, n)
    spoilt = apply(reduce_ops.any, isnan(ordered), axes=(0,))
    out = apply(ew.select, spoilt, like(float("nan"), out), out)
    if not keepdims:
        return out
    full = tuple(1 if a in axes else m for a, m in enumerate(t.shape))
    return reshape(out, (*fraction.shape, *full))


def _between(ordered: Tensor, fraction: Tensor, n: int) -> Tensor:
    """Elements at `fraction * (n - 1)` along axis 0, linear in between: `[q..., rest...]`."""
    from treadle.array.searching import take

    exact = apply(ew.mul, fraction, like(n - 1, fraction))
    low = apply(ew.clamp, apply(ew.floor, exact), like(0, exact), like(max(n - 2, 0), exact))
    place = cast(low, default_int)
    above = apply(ew.minimum, apply(ew.add, place, constant(1, default_int)), constant(n - 1, default_int))
    part = apply(ew.sub, exact, low)
    part = reshape(part, (*part.shape, *(1 for _ in ordered.shape[1:])))
    first, second = take(ordered, place, axis=0), take(ordered, above, axis=0)
    # The formula alone would be NaN between infinities, also where it only has to give one of them back.
    plain = apply(ew.add, first, apply(ew.mul, apply(ew.sub, second, first), part))
    at_first = apply(ew.or_, apply(ew.eq, part, like(0, part)), apply(ew.eq, first, second))
    at_second = apply(ew.eq, part, like(1, part))
    return apply(ew.select, at_first, first, apply(ew.select, at_second, second, plain))
