"""Shapes: broadcasting, reshaping, permuting, joining, taking apart, repeating, padding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from treadle.array.convert import (
    ArrayLike,
    apply,
    as_shape,
    as_size,
    as_tensor,
    into,
    is_zero,
    like,
    operands,
    static_int,
)
from treadle.array.creation import arange
from treadle.core.dims import Dim, Shape, Size
from treadle.core.errors import ArgumentError, DimError, ShapeError
from treadle.core.spec import broadcast_shapes, normalize_axes, normalize_axis, show_shape, size_of
from treadle.core.tensor import Tensor
from treadle.ops import shape as shape_ops

AxisTuple = int | tuple[int, ...]


def _axis(name: str, x: Tensor, axis: Any, ndim: int | None = None) -> int:
    try:
        return normalize_axis(static_int(name, axis, "axis"), x.ndim if ndim is None else ndim)
    except ShapeError as e:
        raise ShapeError(f"{name} of {x.spec}: {e.message}") from None


def _axes(name: str, x: Tensor, axes: Any, ndim: int | None = None) -> tuple[int, ...]:
    try:
        return normalize_axes(axes, x.ndim if ndim is None else ndim)
    except ShapeError as e:
        raise ShapeError(f"{name} of {x.spec}: {e.message}") from None


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
    new = _axes("expand_dims", t, axis, t.ndim + (len(axis) if isinstance(axis, list | tuple) else 1))
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
    gone = ones if axis is None else _axes("squeeze", t, axis)
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
    order = tuple(_axis("permute_dims", t, a) for a in axes)
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
    origin, target = (tuple(_axis("moveaxis", t, a) for a in p) for p in pairs)
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
    a, b = _axis("swapaxes", t, axis1), _axis("swapaxes", t, axis2)
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
    axes = _axes("flip", t, axis)
    return apply(shape_ops.reverse, t, axes=axes) if axes else t


def roll(x: ArrayLike, /, shift: Any, *, axis: Any = None) -> Tensor:
    """Moved along its axes by `shift` places, the ends wrapping around. None rolls the elements in row-major order.

    Raises:
        ShapeError: no such axis, or not as many shifts as axes.

    >>> td.roll(td.asarray([1, 2, 3, 4]), 1).tolist()
    [4, 1, 2, 3]
    """
    t = as_tensor(x, "roll")
    if axis is None:
        return reshape(roll(ravel(t), shift, axis=0), t.shape)
    axes = tuple(_axis("roll", t, a) for a in (axis if isinstance(axis, list | tuple) else (axis,)))
    shifts = tuple(shift) if isinstance(shift, list | tuple) else (shift,) * len(axes)
    if len(shifts) != len(axes):
        raise ShapeError(f"roll of {t.spec}: {len(shifts)} shifts for {len(axes)} axes; give one for each")
    for a, by in zip(axes, shifts, strict=True):
        t = _roll_one(t, static_int("roll", by, "shift"), a)
    return t


def _roll_one(x: Tensor, shift: int, axis: int) -> Tensor:
    n = x.shape[axis]
    if isinstance(n, Dim):
        from treadle.array.searching import take  # the shift may exceed a size that is not known

        return take(x, (arange(n) - shift) % n, axis=axis)
    cut = (-shift) % n if n else 0
    return join([cut_out(x, axis, cut, n), cut_out(x, axis, 0, cut)], axis) if cut else x


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
    return join(xs, _axis("concat", xs[0], axis))


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
    place = _axis("stack", xs[0], axis, xs[0].ndim + 1)
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
    a = _axis("unstack", t, axis)
    n = _known("unstack", t, a)
    return tuple(squeeze(cut_out(t, a, i, i + 1), a) for i in range(n))


def _known(name: str, x: Tensor, axis: int) -> int:
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
    a = _axis("split", t, axis)
    n = t.shape[a]
    if isinstance(indices_or_sections, list | tuple):
        given = [static_int("split", i, "a place") for i in indices_or_sections]
        size = _known("split", t, a)
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


# repeating and padding


def repeat(x: ArrayLike, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Each element so many times in a row. `axis=None` repeats the elements in row-major order.

    `repeats` is an int, or a sequence (tensor) of ints, one for each element along the axis. Their numbers must be
    known while tracing, because the result's shape depends on them.

    Raises:
        ShapeError: a negative number of repeats, or not as many as the axis has elements.
        TraceError: `repeats` has no numbers yet.

    >>> td.repeat(td.asarray([1, 2]), 2).tolist(), td.repeat(td.asarray([1, 2]), [0, 3]).tolist()
    ([1, 1, 2, 2], [2, 2, 2])
    """
    t = as_tensor(x, "repeat")
    if axis is None:
        t, axis = ravel(t), 0
    a = _axis("repeat", t, axis)
    if isinstance(repeats, Dim) or np.ndim(repeats) == 0:
        times = as_size("repeat", repeats)
        tall = stretch(expand_dims(t, a + 1), (*t.shape[: a + 1], times, *t.shape[a + 1 :]))
        return reshape(tall, (*t.shape[:a], t.shape[a] * times, *t.shape[a + 1 :]))
    counts = np.asarray(repeats)
    n = _known("repeat", t, a)
    if counts.shape not in ((n,), (1,)) or counts.dtype.kind not in "iu" or (counts < 0).any():
        raise ShapeError(f"repeat of {t.spec}: axis {a} needs {n} repeats, integers >= 0; got {counts.tolist()}")
    from treadle.array.searching import take

    return take(t, np.repeat(np.arange(n, dtype=np.int32), counts), axis=a)


def tile(x: ArrayLike, repetitions: Any, /) -> Tensor:
    """The whole tensor so many times along each axis; axes are added in front where one of the two has fewer.

    Raises:
        ShapeError: a negative number of repetitions.

    >>> td.tile(td.asarray([1, 2]), (2, 2)).tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    t = as_tensor(x, "tile")
    times = as_shape("tile", repetitions)
    rank = max(len(times), t.ndim)
    times = (1,) * (rank - len(times)) + times
    sizes = (1,) * (rank - t.ndim) + t.shape
    apart = reshape(t, tuple(n for size in sizes for n in (1, size)))
    tall = stretch(apart, tuple(n for pair in zip(times, sizes, strict=True) for n in pair))
    return reshape(tall, tuple(r * n for r, n in zip(times, sizes, strict=True)))


def pad(x: ArrayLike, /, widths: Any, mode: str = "constant", *, value: ArrayLike | None = None) -> Tensor:
    """Longer at the ends: by `value` (0 when it is left out), by the edge's element again, or by a reflection in it.

    Args:
        widths: one int for all ends, `(before, after)` for all axes, or such a pair for each axis. Not negative.
        mode: "constant", "edge" (a b c → a a b c c) or "reflect" (a b c → b a b c b).

    Raises:
        ShapeError: widths of another form, negative ones, or a reflection longer than the axis less one.
        ArgumentError: another mode.

    >>> td.pad(td.asarray([1, 2]), (1, 2)).tolist(), td.pad(td.asarray([1, 2, 3]), 1, "reflect").tolist()
    ([0, 1, 2, 0, 0], [2, 1, 2, 3, 2])
    """
    t = as_tensor(x, "pad")
    pairs = _pairs(t, widths)
    if mode == "constant":
        fill = like(0, t) if value is None else into(t, value, "pad")
        low, high = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
        return apply(shape_ops.pad, t, fill, low=low, high=high, interior=(0,) * t.ndim)
    if mode not in ("edge", "reflect"):
        raise ArgumentError(f'pad: mode is "constant", "edge" or "reflect"; got {mode!r}')
    for a, (before, after) in enumerate(pairs):
        t = join(
            [
                p
                for p in (_border(t, a, before, mode, first=True), t, _border(t, a, after, mode, first=False))
                if p is not None
            ],
            a,
        )
    return t


def _pairs(x: Tensor, widths: Any) -> tuple[tuple[Size, Size], ...]:
    form = (
        f"pad of {x.spec}: widths is an int, (before, after), or a pair for each of the {x.ndim} axes; got {widths!r}"
    )
    if not isinstance(widths, list | tuple):
        n = as_size("pad", widths)
        return ((n, n),) * x.ndim
    if len(widths) == 2 and not any(isinstance(w, list | tuple) for w in widths):
        before, after = as_shape("pad", tuple(widths))
        return ((before, after),) * x.ndim
    if len(widths) != x.ndim or any(not isinstance(w, list | tuple) or len(w) != 2 for w in widths):
        raise ShapeError(form)
    return tuple((as_size("pad", before), as_size("pad", after)) for before, after in widths)


def _border(x: Tensor, axis: int, width: Size, mode: str, *, first: bool) -> Tensor | None:
    n = x.shape[axis]
    if isinstance(width, int) and width == 0:
        return None
    if mode == "edge":
        if isinstance(n, int) and n == 0:
            raise ShapeError(f"pad of {x.spec}: axis {axis} has no edge to repeat; its size is 0")
        edge = cut_out(x, axis, 0, 1) if first else cut_out(x, axis, n - 1, n)
        return stretch(edge, tuple(width if a == axis else m for a, m in enumerate(x.shape)))
    if isinstance(n, int) and isinstance(width, int) and width > n - 1:
        raise ShapeError(f"pad of {x.spec}: axis {axis} of size {n} reflects at most {n - 1} elements, not {width}")
    inner = cut_out(x, axis, 1, 1 + width) if first else cut_out(x, axis, n - 1 - width, n - 1)
    return apply(shape_ops.reverse, inner, axes=(axis,))
