"""Elements moved around, repeated, and put at the ends."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle.array.axes import axis_of
from treadle.array.convert import (
    ArrayLike,
    apply,
    as_shape,
    as_size,
    as_tensor,
    into,
    like,
    static_int,
)
from treadle.array.creation import arange
from treadle.array.joining import cut_out, join, known
from treadle.array.manipulation import expand_dims, ravel, reshape, stretch
from treadle.core.dims import Dim, Size
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.tensor import Tensor
from treadle.ops import shape as shape_ops


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
    axes = tuple(axis_of("roll", t, a) for a in (axis if isinstance(axis, list | tuple) else (axis,)))
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
    a = axis_of("repeat", t, axis)
    if isinstance(repeats, Dim) or np.ndim(repeats) == 0:
        times = as_size("repeat", repeats)
        tall = stretch(expand_dims(t, a + 1), (*t.shape[: a + 1], times, *t.shape[a + 1 :]))
        return reshape(tall, (*t.shape[:a], t.shape[a] * times, *t.shape[a + 1 :]))
    counts = np.asarray(repeats)
    n = known("repeat", t, a)
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
