"""Where things are: positions of extremes and of elements, choice by a mask, elements by their positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle.array.axes import axis_of
from treadle.array.convert import ArrayLike, apply, as_tensor, integer, numeric, operands
from treadle.array.manipulation import permute, ravel, stretch
from treadle.array.positions import from_end
from treadle.array.reductions import keep_axes
from treadle.core.errors import ArgumentError, DTypeError, ShapeError, TraceError
from treadle.core.primitive import Primitive
from treadle.core.spec import broadcast_shapes
from treadle.core.tensor import Tensor, concrete
from treadle.ops import elementwise as ew
from treadle.ops import index as index_ops
from treadle.ops import reduce as reduce_ops
from treadle.ops import shape as shape_ops
from treadle.ops import sort as sort_ops


def _arg(name: str, primitive: Primitive, x: ArrayLike, axis: int | None, keepdims: bool) -> Tensor:
    t = numeric(name, x)
    if axis is None:
        out = apply(primitive, ravel(t), axis=0)
        return keep_axes(out, t.shape, tuple(range(t.ndim))) if keepdims else out
    a = axis_of(name, t, axis)
    out = apply(primitive, t, axis=a)
    return keep_axes(out, t.shape, (a,)) if keepdims else out


def argmax(x: ArrayLike, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the largest element along an axis, the first of equals, int32. None: among all, in row-major order.

    Raises:
        ShapeError: there is no such axis, or it has no elements.

    >>> td.argmax(td.asarray([[1, 5], [7, 2]]), axis=1).tolist()
    [1, 0]
    """
    return _arg("argmax", reduce_ops.argmax, x, axis, keepdims)


def argmin(x: ArrayLike, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the smallest element along an axis, the first of equals, int32. None: among all, in row-major order.

    Raises:
        ShapeError: there is no such axis, or it has no elements.

    >>> td.argmin(td.asarray([[1, 5], [7, 2]]), axis=1).tolist()
    [0, 1]
    """
    return _arg("argmin", reduce_ops.argmin, x, axis, keepdims)


def known_numbers(x: Tensor, what: str, fix: str) -> np.ndarray[Any, Any]:
    """The numbers of a tensor that a result's shape depends on.

    Raises:
        TraceError: it has none yet.
    """
    if not x.is_concrete:
        raise TraceError(
            f"{what}: the result's shape depends on the numbers of {x.spec}, which has none yet while the function is "
            f"traced. {fix}"
        )
    return x.numpy()


def nonzero(x: ArrayLike, /) -> tuple[Tensor, ...]:
    """Positions of the elements that are not 0 (are True): one int32 `[k]` for each axis.

    The result's shape depends on the numbers, so they must be known: not inside `td.compile` and `td.vmap`.

    Raises:
        TraceError: x has no numbers yet.
        ShapeError: a scalar.

    >>> [i.tolist() for i in td.nonzero(td.asarray([[0, 3], [4, 0]]))]
    [[0, 1], [1, 0]]
    """
    t = as_tensor(x, "nonzero")
    if t.ndim == 0:
        raise ShapeError("nonzero: a scalar has no positions; td.reshape(x, (1,)) makes a vector of it")
    numbers = known_numbers(
        t, "nonzero", "Use td.where(x != 0, a, b), which keeps the shape, or call it outside of the traced function"
    )
    return tuple(concrete(i.astype(np.int32)) for i in np.nonzero(numbers))


def searchsorted(x1: ArrayLike, x2: ArrayLike, /, *, side: str = "left", sorter: ArrayLike | None = None) -> Tensor:
    """Where the elements of x2 `[...]` belong in the ascending x1 `[n]`: int32 `[...]`, 0 to n.

    "left" gives the first place i with `x1[i] >= v`, "right" the first with `x1[i] > v`. `sorter` sorts x1.

    Raises:
        ShapeError: x1 is not a vector.
        ArgumentError: another side.

    >>> td.searchsorted(td.asarray([1, 3, 5]), td.asarray([3, 6])).tolist()
    [1, 3]
    """
    if side not in ("left", "right"):
        raise ArgumentError(f'searchsorted: side is "left" or "right"; got {side!r}')
    ordered, values = operands("searchsorted", x1, x2)
    if ordered.ndim != 1:
        raise ShapeError(f"searchsorted: x1 is {ordered.spec} and must be a sorted vector")
    if sorter is not None:
        ordered = take(ordered, sorter, axis=0)
    return apply(sort_ops.searchsorted, ordered, values, side=side)


def where(condition: ArrayLike, x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """x1 where the condition holds, else x2. They broadcast; x1 and x2 meet in one dtype.

    The derivative of the branch that is not taken is 0, whatever it is there: `td.where(x > 0, td.sqrt(x), 0)` is safe.

    Raises:
        DTypeError: a condition that is not bool, or dtypes that do not mix.
        ShapeError: shapes that do not broadcast.

    >>> td.where(td.asarray([True, False]), 1.0, 0.0).tolist()
    [1.0, 0.0]
    """
    mask = as_tensor(condition, "where")
    if not mask.dtype.is_bool:
        raise DTypeError(f"where: the condition is {mask.spec} and must be bool: condition != 0")
    return apply(ew.select, mask, *operands("where", x1, x2))


def take(x: ArrayLike, indices: ArrayLike, /, *, axis: int | None = None) -> Tensor:
    """The slices at these positions along an axis: `[a..., n, b...]` and `[i...]` → `[a..., i..., b...]`.

    `axis` may be left out for a vector. Negative positions count from the end.

    Raises:
        OutOfRangeError: a position that the axis does not have.
        DTypeError: positions that are not integers.

    >>> td.take(td.asarray([10, 20, 30]), td.asarray([2, 0, -1])).tolist()
    [30, 10, 30]
    """
    t = as_tensor(x, "take")
    if axis is None and t.ndim != 1:
        raise ShapeError(f"take: x is {t.spec} with {t.ndim} axes; say which one, axis=0 or another")
    a = axis_of("take", t, 0 if axis is None else axis)
    where_ = from_end("take", integer("take", indices, "indices"), t.shape[a], a)
    rank = where_.ndim
    places = apply(shape_ops.reshape, where_, shape=(*where_.shape, 1))
    rows = permute(t, (a, *(b for b in range(t.ndim) if b != a)))
    out = apply(index_ops.gather, rows, places, batch_dims=0, mode="error")
    return permute(out, (*range(rank, rank + a), *range(rank), *range(rank + a, out.ndim)))


def take_along_axis(x: ArrayLike, indices: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """Elements of each slice at its own positions, as `argsort` and `argmax(keepdims=True)` give them.

    `out[..., j, ...] = x[..., indices[..., j, ...], ...]`; x and the indices broadcast on their other axes.

    Raises:
        ShapeError: they have not as many axes, or do not broadcast.
        OutOfRangeError: a position that the axis does not have.

    >>> td.take_along_axis(td.asarray([[1, 5], [7, 2]]), td.asarray([[1], [0]]), axis=1).tolist()
    [[5], [7]]
    """
    t, places = as_tensor(x, "take_along_axis"), integer("take_along_axis", indices, "indices")
    if t.ndim != places.ndim:
        raise ShapeError(f"take_along_axis: x is {t.spec} and the indices {places.spec}; they must have as many axes")
    a = axis_of("take_along_axis", t, axis)
    order = (*(b for b in range(t.ndim) if b != a), a)
    t, places = permute(t, order), permute(from_end("take_along_axis", places, t.shape[a], a), order)
    try:
        batch = broadcast_shapes(t.shape[:-1], places.shape[:-1])
    except ShapeError as e:
        raise type(e)(f"take_along_axis along axis {a}: the other axes: {e.message}") from None
    t, places = stretch(t, (*batch, t.shape[-1])), stretch(places, (*batch, places.shape[-1]))
    places = apply(shape_ops.reshape, places, shape=(*places.shape, 1))
    out = apply(index_ops.gather, t, places, batch_dims=t.ndim - 1, mode="error")
    return permute(out, tuple(order.index(b) for b in range(t.ndim)))
