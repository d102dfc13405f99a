"""Products of matrices and vectors, traces and norms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from treadle.array.axes import axes_of
from treadle.array.convert import (
    ArrayLike,
    Axes,
    apply,
    cast,
    constant,
    floating,
    like,
    operands,
    static_int,
)
from treadle.array.manipulation import permute, reshape, stretch
from treadle.array.reductions import keep_axes, summable
from treadle.core import dtypes
from treadle.core.dims import Shape, same_size
from treadle.core.errors import ArgumentError, DimError, DTypeError, ShapeError
from treadle.core.spec import broadcast_shapes, normalize_axis, show_shape
from treadle.core.tensor import Tensor
from treadle.ops import contract as contract_ops
from treadle.ops import elementwise as ew
from treadle.ops import reduce as reduce_ops
from treadle.ops import shape as shape_ops

Pairs = tuple[tuple[int, ...], tuple[int, ...]]


def contract(x: Tensor, y: Tensor, *, batch: Pairs = ((), ()), axes: Pairs = ((), ())) -> Tensor:
    """The general product: paired `axes` are summed, paired `batch` axes go in step."""
    return apply(contract_ops.contract, x, y, batch=batch, axes=axes)


def _factors(name: str, x1: ArrayLike, x2: ArrayLike) -> tuple[Tensor, ...]:
    x, y = operands(name, x1, x2)
    if x.dtype.is_bool:
        raise DTypeError(f"{name}: x {x.spec} and y {y.spec} are bool, and a product sums: x.astype(td.int32)")
    return x, y


def matmul(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Matrix product `x1 @ x2`: `[..., n, k]` and `[..., k, m]` → `[..., n, m]`; the leading axes broadcast.

    A vector on the left is a row `[k]`, on the right a column `[k]`, and its axis is missing in the result.

    Raises:
        ShapeError: inner sizes that differ, leading axes that do not broadcast, or a scalar.
        DTypeError: dtypes that do not mix, or bool.

    >>> td.matmul(td.asarray([[1., 2.], [3., 4.]]), td.asarray([1., 1.])).tolist()
    [3.0, 7.0]
    """
    x, y = _factors("matmul", x1, x2)
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(f"{_shown('matmul', x, y)}: a scalar is not a matrix; x * y scales")
    inner = 0 if y.ndim == 1 else y.ndim - 2
    if not _same(x, y, x.shape[-1], y.shape[inner]):
        raise ShapeError(
            f"{_shown('matmul', x, y)}: the inner sizes {x.shape[-1]} and {y.shape[inner]} differ; "
            f"they are multiplied and summed, so they must be equal{_transposed_hint(x, y)}"
        )
    axes = ((x.ndim - 1,), (inner,))
    if y.ndim <= 2:
        return contract(x, y, axes=axes)
    if x.ndim == 1:
        return contract(x, y, axes=axes)
    if x.ndim == 2:  # [n] + [batch..., m]: the rows' axis moves behind the batch axes
        out = contract(x, y, axes=axes)
        return permute(out, (*range(1, out.ndim - 1), 0, out.ndim - 1))
    try:
        lead = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ShapeError as e:
        raise type(e)(f"{_shown('matmul', x, y)}: the leading axes: {e.message}") from None
    x, y = stretch(x, (*lead, *x.shape[-2:])), stretch(y, (*lead, *y.shape[-2:]))
    together = tuple(range(len(lead)))
    return contract(x, y, batch=(together, together), axes=((x.ndim - 1,), (y.ndim - 2,)))


def _shown(name: str, x: Tensor, y: Tensor) -> str:
    return f"{name}: x {show_shape(x.shape)} and y {show_shape(y.shape)}"


def _same(x: Tensor, y: Tensor, a: Any, b: Any) -> bool:
    try:
        return same_size(a, b)
    except DimError as e:
        raise DimError(f"{_shown('matmul', x, y)}: {e.message}") from None


def _transposed_hint(x: Tensor, y: Tensor) -> str:
    """The transposition that would make the product possible, if one does."""
    if y.ndim >= 2 and y.shape[-1] == x.shape[-1]:
        return ". Transposed it fits: x @ y.mT"
    if x.ndim >= 2 and x.shape[-2] == y.shape[-2 if y.ndim > 1 else 0]:
        return ". Transposed it fits: x.mT @ y"
    return ""


def tensordot(x1: ArrayLike, x2: ArrayLike, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """Product summed over pairs of axes: the free axes of x1, then those of x2.

    Args:
        axes: so many last axes of x1 with as many first ones of x2; or `(axes of x1, axes of x2)`.

    Raises:
        ShapeError: paired axes of different sizes, or not as many of one as of the other.

    >>> td.tensordot(td.ones((2, 3)), td.ones((3, 4)), axes=1).shape
    (2, 4)
    """
    x, y = _factors("tensordot", x1, x2)
    if isinstance(axes, int):
        if not 0 <= axes <= min(x.ndim, y.ndim):
            raise ShapeError(f"{_shown('tensordot', x, y)}: axes={axes} of each cannot be paired")
        left, right = tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes))
    else:
        left, right = (tuple(normalize_axis(a, t.ndim) for a in given) for given, t in zip(axes, (x, y), strict=True))
    if len(left) != len(right):
        raise ShapeError(f"{_shown('tensordot', x, y)}: axes pairs {len(left)} axes of x with {len(right)} of y")
    return contract(x, y, axes=(left, right))


def vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """Sums of products along an axis that both have, counted from the end; the other axes broadcast.

    Raises:
        ShapeError: the sizes along the axis differ, or the others do not broadcast.

    >>> td.vecdot(td.asarray([[1, 2], [3, 4]]), td.asarray([1, 1])).tolist()
    [3, 7]
    """
    x, y = _factors("vecdot", x1, x2)
    given = static_int("vecdot", axis, "axis")
    if given >= 0 and x.ndim != y.ndim:
        raise ShapeError(
            f"{_shown('vecdot', x, y)}: with different numbers of axes, count axis from the end; got {axis}"
        )
    a, b = (normalize_axis(given, t.ndim) for t in (x, y))
    if not _same(x, y, x.shape[a], y.shape[b]):
        raise ShapeError(
            f"{_shown('vecdot', x, y)}: the sizes {x.shape[a]} and {y.shape[b]} along axis {axis} differ; "
            "they are multiplied and summed, so they must be equal"
        )
    x, y = (permute(t, (*(c for c in range(t.ndim) if c != k), k)) for t, k in ((x, a), (y, b)))
    try:
        lead: Shape = broadcast_shapes(x.shape[:-1], y.shape[:-1])
    except ShapeError as e:
        raise type(e)(f"{_shown('vecdot', x, y)}: the other axes: {e.message}") from None
    x, y = stretch(x, (*lead, x.shape[-1])), stretch(y, (*lead, y.shape[-1]))
    together, last = tuple(range(len(lead))), (len(lead),)
    return contract(x, y, batch=(together, together), axes=(last, last))


def outer(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """All products of the elements of two vectors: `[n]` and `[m]` → `[n, m]`.

    Raises:
        ShapeError: one of them is not a vector.

    >>> td.outer(td.asarray([1, 2]), td.asarray([3, 4])).tolist()
    [[3, 4], [6, 8]]
    """
    x, y = _factors("outer", x1, x2)
    if x.ndim != 1 or y.ndim != 1:
        raise ShapeError(f"{_shown('outer', x, y)}: takes two vectors; td.reshape(x, (-1,)) makes one")
    return apply(ew.mul, reshape(x, (x.shape[0], 1)), y)


def diagonal(x: Tensor, first: int, second: int, offset: int = 0) -> Tensor:
    """Over the axes `first` (rows) and `second` (columns): zeros off the diagonal, summed over the columns.

    Entry i is `x[i, i + offset]`, and 0 for rows that the diagonal does not meet.
    """
    shape = tuple(n if a in (first, second) else 1 for a, n in enumerate(x.shape))
    rows, columns = (apply(shape_ops.iota, shape=shape, axis=a, dtype=dtypes.int32) for a in (first, second))
    on = apply(ew.eq, apply(ew.add, rows, constant(offset, dtypes.int32)), columns)
    return apply(reduce_ops.sum, apply(ew.select, on, x, like(0, x)), axes=(second,))


def trace(x: ArrayLike, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Sum of the diagonal of matrices: `[..., n, m]` → `[...]`. Dtypes as for `sum`.

    Raises:
        ShapeError: fewer than 2 axes.

    >>> td.trace(td.asarray([[1, 2], [3, 4]])).item()
    5
    """
    t = summable("trace", x, dtype)
    if t.ndim < 2:
        raise ShapeError(f"trace: x is {t.spec} and needs at least 2 axes, rows and columns")
    return apply(reduce_ops.sum, diagonal(t, t.ndim - 2, t.ndim - 1, offset), axes=(t.ndim - 2,))


def norm(x: ArrayLike, /, *, axis: Axes = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """Vector norm `sum(abs(x)**ord)**(1/ord)` over `axis` (one, several, or None for all).

    `ord` 2 is the Euclidean one, 1 the sum of magnitudes, inf and -inf the largest and smallest magnitude, 0 the number
    of elements that are not 0. The derivative where the norm is 0 is 0. Floating; 16-bit floats add up in float32.

    Raises:
        ArgumentError: `ord` is NaN.
        ShapeError: there is no such axis.

    >>> td.norm(td.asarray([3., -4.])).item(), td.norm(td.asarray([3., -4.]), ord=1).item()
    (5.0, 7.0)
    """
    t = floating("norm", x)
    wide = cast(t, dtypes.float32) if t.dtype.bits < 32 else t
    axes = axes_of("norm", t, axis)
    out = cast(_norm(wide, axes, float(ord)), t.dtype)
    return keep_axes(out, t.shape, axes) if keepdims else out


def _norm(x: Tensor, axes: tuple[int, ...], order: float) -> Tensor:
    if math.isnan(order):
        raise ArgumentError("norm: ord is a number; got NaN")
    zero, one = like(0, x), like(1, x)
    size = apply(ew.abs, x)
    if order == math.inf:
        return apply(reduce_ops.max, size, axes=axes)
    if order == -math.inf:
        return apply(reduce_ops.min, size, axes=axes)
    if order == 0:
        return apply(reduce_ops.sum, cast(apply(ew.ne, x, zero), x.dtype), axes=axes)
    if order == 1:
        return apply(reduce_ops.sum, size, axes=axes)
    if order == 2:
        total = apply(reduce_ops.sum, apply(ew.mul, x, x), axes=axes)
    else:
        total = apply(reduce_ops.sum, apply(ew.power, size, like(order, x)), axes=axes)
    vanishes = apply(ew.eq, total, zero)
    safe = apply(ew.select, vanishes, one, total)
    root = apply(ew.sqrt, safe) if order == 2 else apply(ew.power, safe, like(1 / order, x))
    # A negative order of an infinite sum is 0 by itself; a sum of 0 is the norm 0 for positive orders, inf for others.
    return apply(ew.select, vanishes, zero if order > 0 else like(math.inf, x), root)
