"""Tensors put together, and taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from treadle.array.axes import axis_of
from treadle.array.convert import (
    ArrayLike,
    apply,
    as_size,
    as_tensor,
    is_zero,
    operands,
    static_int,
)
from treadle.array.manipulation import expand_dims, ravel, squeeze
from treadle.core.dims import Dim, Size
from treadle.core.errors import DimError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.ops import shape as shape_ops


def cut_out(x: Tensor, axis: int, start: Size, stop: Size) -> Tensor:
    """`x[start:stop]` along one axis."""
    low = tuple(start if a == axis else 0 for a in range(x.ndim))
    high = tuple(stop if a == axis else n for a, n in enumerate(x.shape))
    whole = high == x.shape and all(map(is_zero, low))
    return x if whole else apply(shape_ops.slice, x, start=low, stop=high, step=(1,) * x.ndim)


# joining and taking apart


def _alike(name: str, arrays: Sequence[ArrayLike]) -> tuple[Tensor, ...]:
    if not len(arrays):
        raise ShapeError(f"{name}: needs at least one tensor, and got none")
    return operands(name, *arrays)


def join(xs: Sequence[Tensor], axis: int) -> Tensor:
    """`concat` of tensors of one dtype along an axis counted from the front."""
    return xs[0] if len(xs) == 1 else apply(shape_ops.concatenate, *xs, axis=axis)


def concat(arrays: Sequence[ArrayLike], /, *, axis: int | None = 0) -> Tensor:
    """Joined along an axis that all have; their other sizes are equal. None joins their elements in row-major order.

    Raises:
        ShapeError: other sizes that differ, scalars, or no tensors at all.
        DTypeError: dtypes that do not mix.

    >>> td.concat([td.asarray([1, 2]), td.asarray([3])]).tolist()
    [1, 2, 3]
    """
    xs = _alike("concat", arrays)
    if axis is None:
        return join([ravel(x) for x in xs], 0)
    for x in xs:
        if x.ndim == 0:
            raise ShapeError("concat: scalars have no axis to join along; td.stack(arrays) gives them one")
    return join(xs, axis_of("concat", xs[0], axis))


def concatenate(arrays: Sequence[ArrayLike], /, axis: int | None = 0) -> Tensor:
    """NumPy's name of `concat`.

    >>> td.concatenate([td.asarray([1, 2]), td.asarray([3])]).tolist()
    [1, 2, 3]
    """
    return concat(arrays, axis=axis)


def stack(arrays: Sequence[ArrayLike], /, *, axis: int = 0) -> Tensor:
    """Joined along a new axis, at this place of the result. All have the same shape.

    Raises:
        ShapeError: shapes that differ, or no tensors at all.
        DTypeError: dtypes that do not mix.

    >>> td.stack([td.asarray([1, 2]), td.asarray([3, 4])], axis=1).tolist()
    [[1, 3], [2, 4]]
    """
    xs = _alike("stack", arrays)
    for i, x in enumerate(xs):
        if x.shape != xs[0].shape:
            shapes = f"{show_shape(xs[0].shape)} and {show_shape(x.shape)}"
            raise ShapeError(
                f"stack: all shapes must be equal; arrays 0 and {i} have {shapes}. td.concat joins along an axis"
            )
    place = axis_of("stack", xs[0], axis, xs[0].ndim + 1)
    return join([expand_dims(x, place) for x in xs], place)


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, which each of them lacks.

    Raises:
        ShapeError: there is no such axis.
        DimError: how many there are is not known.

    >>> [y.tolist() for y in td.unstack(td.asarray([[1, 2], [3, 4]]), axis=1)]
    [[1, 3], [2, 4]]
    """
    t = as_tensor(x, "unstack")
    a = axis_of("unstack", t, axis)
    n = known("unstack", t, a)
    return tuple(squeeze(cut_out(t, a, i, i + 1), a) for i in range(n))


def known(name: str, x: Tensor, axis: int) -> int:
    """The size of an axis, where the number of results depends on it.

    Raises:
        DimError: it is a Dim.
    """
    n = x.shape[axis]
    if isinstance(n, Dim):
        raise DimError(f"{name} of {x.spec}: the size {n} of axis {axis} is not known while tracing")
    return n


def split(x: ArrayLike, /, indices_or_sections: int | Sequence[int], *, axis: int = 0) -> tuple[Tensor, ...]:
    """Cut along an axis: into so many equal parts, or at these places.

    Raises:
        ShapeError: the size is not a multiple of the number of parts.

    >>> [y.tolist() for y in td.split(td.arange(4), 2)], [y.tolist() for y in td.split(td.arange(4), [1])]
    ([[0, 1], [2, 3]], [[0], [1, 2, 3]])
    """
    t = as_tensor(x, "split")
    a = axis_of("split", t, axis)
    n = t.shape[a]
    if isinstance(indices_or_sections, list | tuple):
        given = [static_int("split", i, "a place") for i in indices_or_sections]
        size = known("split", t, a)
        places = [min(max(i + size if i < 0 else i, 0), size) for i in given]
        bounds: list[Size] = [0, *places, size]
    else:
        parts = as_size("split", static_int("split", indices_or_sections, "the number of parts"), low=1)
        each, rest = n // parts, n % parts
        if isinstance(rest, Dim) or rest:
            raise ShapeError(f"split of {t.spec}: axis {a} with size {n} does not divide into {parts} equal parts")
        bounds = [i * each for i in range(parts + 1)] if isinstance(parts, int) else []
    return tuple(cut_out(t, a, low, _at_least(low, high)) for low, high in pairwise(bounds))


def _at_least(low: Size, high: Size) -> Size:
    return low if isinstance(low, int) and isinstance(high, int) and high < low else high
