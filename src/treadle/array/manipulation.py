"""Shapes: broadcasting, reshaping, permuting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from treadle.array.axes import axes_of, axis_of
from treadle.array.convert import (
    ArrayLike,
    apply,
    as_shape,
    as_tensor,
    static_int,
)
from treadle.core.dims import Dim, Shape
from treadle.core.errors import DimError, ShapeError
from treadle.core.spec import broadcast_shapes, show_shape, size_of
from treadle.core.tensor import Tensor
from treadle.ops import shape as shape_ops

AxisTuple = int | tuple[int, ...]


# broadcasting


def broadcast_to(x: ArrayLike, /, shape: Any) -> Tensor:
    """x stretched to `shape`: axes added in front, axes of size 1 repeated.

    Raises:
        ShapeError: a size that is neither 1 nor the one asked for.

    >>> td.broadcast_to(td.asarray([1, 2]), (2, 2)).tolist()
    [[1, 2], [1, 2]]
    """
    return stretch(as_tensor(x, "broadcast_to"), as_shape("broadcast_to", shape))


def stretch(x: Tensor, shape: Shape) -> Tensor:
    """`broadcast_to` without a node where there is nothing to do."""
    return x if x.shape == shape else apply(shape_ops.broadcast, x, shape=shape)


def broadcast_arrays(*arrays: ArrayLike) -> tuple[Tensor, ...]:
    """All stretched to the one shape that they broadcast to; each keeps its dtype.

    Raises:
        ShapeError: they do not broadcast.

    >>> [x.shape for x in td.broadcast_arrays(td.zeros((2, 1)), td.zeros(3))]
    [(2, 3), (2, 3)]
    """
    tensors = [as_tensor(x, "broadcast_arrays") for x in arrays]
    if not tensors:
        return ()
    try:
        shape = broadcast_shapes(*(t.shape for t in tensors))
    except ShapeError as e:
        raise type(e)(f"broadcast_arrays: {e.message}") from None
    return tuple(stretch(t, shape) for t in tensors)


# reshaping


def reshape(x: ArrayLike, /, shape: Any, *, copy: bool | None = None) -> Tensor:
    """The same elements in row-major order under a new shape. One size may be -1: what is left for it.

    `copy` has no meaning for immutable tensors, and any value gives the same result.

    Raises:
        ShapeError: the numbers of elements differ, or several sizes are -1.

    >>> td.reshape(td.arange(6), (2, -1)).shape
    (2, 3)
    """
    t = as_tensor(x, "reshape")
    given = shape if isinstance(shape, list | tuple) else (shape,)
    sizes = tuple(n if isinstance(n, Dim) else static_int("reshape", n, "a size") for n in given)
    out = _fill_in(t, sizes)
    return t if out == t.shape else apply(shape_ops.reshape, t, shape=out)


def _fill_in(x: Tensor, sizes: Shape) -> Shape:
    free = [a for a, n in enumerate(sizes) if isinstance(n, int) and n == -1]
    negative = [n for n in sizes if isinstance(n, int) and n < -1]
    wanted = f"reshape of {show_shape(x.shape)} to {show_shape(sizes)}"
    if negative:
        raise ShapeError(f"{wanted}: a size is not negative, but for one -1 which stands for what is left")
    if not free:
        return sizes
    if len(free) > 1:
        raise ShapeError(f"{wanted}: only one size can be -1, the others say what is left for it")
    known = size_of([n for n in sizes if not (isinstance(n, int) and n == -1)])
    if isinstance(known, int) and known == 0:
        raise ShapeError(f"{wanted}: with a size of 0, -1 could be anything; write it out")
    left, rest = x.size // known, x.size % known
    if isinstance(rest, Dim):
        raise DimError(
            f"{wanted}: whether {x.size} elements divide by {known} depends on a size not known while tracing"
        )
    if rest:
        raise ShapeError(f"{wanted}: {x.size} elements do not divide by {known}, so no whole size is left for -1")
    return tuple(left if a == free[0] else n for a, n in enumerate(sizes))


def ravel(x: ArrayLike, /) -> Tensor:
    """All elements in row-major order: `[...]` → `[n]`.

    >>> td.ravel(td.asarray([[1, 2], [3, 4]])).tolist()
    [1, 2, 3, 4]
    """
    t = as_tensor(x, "ravel")
    return t if t.ndim == 1 else apply(shape_ops.reshape, t, shape=(t.size,))


def flatten(x: ArrayLike, /) -> Tensor:
    """The same as `ravel`.

    >>> td.flatten(td.zeros((2, 3))).shape
    (6,)
    """
    return ravel(x)


def expand_dims(x: ArrayLike, /, axis: AxisTuple = 0) -> Tensor:
    """With new axes of size 1 at these places of the result.

    Raises:
        ShapeError: a place that the result does not have.

    >>> td.expand_dims(td.zeros(3), axis=-1).shape
    (3, 1)
    """
    t = as_tensor(x, "expand_dims")
    new = axes_of("expand_dims", t, axis, t.ndim + (len(axis) if isinstance(axis, list | tuple) else 1))
    sizes = list(t.shape)
    for a in new:
        sizes.insert(a, 1)
    return apply(shape_ops.reshape, t, shape=tuple(sizes)) if new else t


def squeeze(x: ArrayLike, /, axis: AxisTuple | None = None) -> Tensor:
    """Without these axes, which have size 1; None is all that do.

    Raises:
        ShapeError: an axis of another size.

    >>> td.squeeze(td.zeros((1, 3, 1)), axis=0).shape
    (3, 1)
    """
    t = as_tensor(x, "squeeze")
    ones = tuple(a for a, n in enumerate(t.shape) if isinstance(n, int) and n == 1)
    gone = ones if axis is None else axes_of("squeeze", t, axis)
    for a in gone:
        if a not in ones:
            raise ShapeError(f"squeeze of {t.spec}: axis {a} has size {t.shape[a]}, and only an axis of size 1 can go")
    return apply(shape_ops.reshape, t, shape=tuple(n for a, n in enumerate(t.shape) if a not in gone)) if gone else t


# permuting


def permute(x: Tensor, axes: Sequence[int]) -> Tensor:
    """`permute_dims` by axes counted from the front, without a node where there is nothing to do."""
    order = tuple(axes)
    return x if order == tuple(range(x.ndim)) else apply(shape_ops.transpose, x, axes=order)


def permute_dims(x: ArrayLike, /, axes: tuple[int, ...]) -> Tensor:
    """With its axes in another order: axis i of the result is axis `axes[i]` of x.

    Raises:
        ShapeError: `axes` does not name each axis once.

    >>> td.permute_dims(td.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    t = as_tensor(x, "permute_dims")
    order = tuple(axis_of("permute_dims", t, a) for a in axes)
    if sorted(order) != list(range(t.ndim)):
        raise ShapeError(f"permute_dims of {t.spec}: axes {tuple(axes)} must name each of its {t.ndim} axes once")
    return permute(t, order)


def moveaxis(x: ArrayLike, source: AxisTuple, destination: AxisTuple, /) -> Tensor:
    """With the axes `source` at the places `destination`; the others keep their order.

    Raises:
        ShapeError: no such axis, one named twice, or as many places as axes are not given.

    >>> td.moveaxis(td.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    t = as_tensor(x, "moveaxis")
    pairs = [(a,) if isinstance(a, int) else tuple(a) for a in (source, destination)]
    origin, target = (tuple(axis_of("moveaxis", t, a) for a in p) for p in pairs)
    if len(origin) != len(target) or len(set(origin)) != len(origin) or len(set(target)) != len(target):
        raise ShapeError(f"moveaxis of {t.spec}: {source} and {destination} must be as many axes, each named once")
    order = [a for a in range(t.ndim) if a not in origin]
    for place, a in sorted(zip(target, origin, strict=True)):
        order.insert(place, a)
    return permute(t, order)


def swapaxes(x: ArrayLike, axis1: int, axis2: int, /) -> Tensor:
    """With two axes exchanged.

    Raises:
        ShapeError: there is no such axis.

    >>> td.swapaxes(td.zeros((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    t = as_tensor(x, "swapaxes")
    a, b = axis_of("swapaxes", t, axis1), axis_of("swapaxes", t, axis2)
    order = list(range(t.ndim))
    order[a], order[b] = b, a
    return permute(t, order)


def matrix_transpose(x: ArrayLike, /) -> Tensor:
    """With the last two axes exchanged: `[..., n, m]` → `[..., m, n]`. The same as `x.mT`.

    Raises:
        ShapeError: fewer than 2 axes.

    >>> td.matrix_transpose(td.zeros((5, 2, 3))).shape
    (5, 3, 2)
    """
    t = as_tensor(x, "matrix_transpose")
    if t.ndim < 2:
        raise ShapeError(f"matrix_transpose: x is {t.spec} and needs at least 2 axes; for a column write x[:, None]")
    return permute(t, (*range(t.ndim - 2), t.ndim - 1, t.ndim - 2))


def transpose_2d(x: ArrayLike, /) -> Tensor:
    """What `x.T` is, for matrices only: `[n, m]` → `[m, n]`.

    Raises:
        ShapeError: another number of axes than 2.

    >>> td.zeros((2, 3)).T.shape
    (3, 2)
    """
    t = as_tensor(x, ".T")
    if t.ndim != 2:
        fix = (
            "x[:, None] makes a column of a vector"
            if t.ndim == 1
            else "x.mT exchanges the last two axes, td.permute_dims(x, axes) reorders all"
        )
        raise ShapeError(f".T is for matrices, and x is {t.spec} with {t.ndim} axes; {fix}")
    return permute(t, (1, 0))


def flip(x: ArrayLike, /, *, axis: AxisTuple | None = None) -> Tensor:
    """Reversed along these axes; None is all.

    Raises:
        ShapeError: there is no such axis.

    >>> td.flip(td.asarray([1, 2, 3])).tolist()
    [3, 2, 1]
    """
    t = as_tensor(x, "flip")
    axes = axes_of("flip", t, axis)
    return apply(shape_ops.reverse, t, axes=axes) if axes else t
