"""`unfold`: all windows of a tensor, as a view; `fold`: its transpose, which adds overlapping windows up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from treadle.core.dims import Shape, Size, same_size
from treadle.core.errors import DTypeError, ShapeError
from treadle.core.primitive import Primitive, Unknown
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.ops import shape as shape_ops
from treadle.ops.reduce import widened

Array = np.ndarray[Any, Any]
Ints: TypeAlias = tuple[int, ...]

# x [n...], window=, strides=, dilation= (one entry an axis) -> [positions..., window...]
unfold = Primitive("unfold", additive=(0,))
# windows [positions..., window...], and shape= of the result
fold = Primitive("fold", additive=(0,))


def _positions(shape: Shape, window: Shape, strides: Ints, dilation: Ints, what: str) -> list[Size]:
    """How many places the window has on each axis."""
    for name, given in (("window", window), ("strides", strides), ("dilation", dilation)):
        if len(given) != len(shape):
            raise ShapeError(
                f"{what}: {name}={given} has {len(given)} entries for the {len(shape)} axes of {show_shape(shape)}; "
                "give 1 on the axes without windows"
            )
        if any(shape_ops.surely_negative(n - 1) for n in given):
            raise ShapeError(f"{what}: {name}={given} must be at least 1 on every axis")
    out: list[Size] = []
    for axis, (n, w, s, d) in enumerate(zip(shape, window, strides, dilation, strict=True)):
        span = (w - 1) * d + 1
        if shape_ops.surely_negative(n - span) and not (n == 0 and span == 1):
            spread = f" ({w} dilated by {d})" if d > 1 else ""
            raise ShapeError(
                f"{what}: a window of {span}{spread} does not fit into axis {axis} of {show_shape(shape)}: "
                f"({n} - {span}) // {s} + 1 = {(n - span) // s + 1}"
            )
        out.append((n - span) // s + 1)
    return out


@unfold.shape
def _(x: Spec, *, window: Shape, strides: Ints, dilation: Ints) -> Spec:
    return x.with_shape([*_positions(x.shape, window, strides, dilation, "unfold"), *window])


@unfold.reference
def _(x: Array, *, window: Ints, strides: Ints, dilation: Ints) -> Array:
    positions = _positions(x.shape, window, strides, dilation, "unfold")
    steps = [b * s for b, s in zip(x.strides, strides, strict=True)]
    steps += [b * d for b, d in zip(x.strides, dilation, strict=True)]
    return np.lib.stride_tricks.as_strided(x, (*map(int, positions), *window), steps, writeable=False)


@unfold.transpose
def _(ct: Tensor, x: Unknown, *, window: Shape, strides: Ints, dilation: Ints) -> tuple[Any]:
    return (fold(ct, window=window, strides=strides, dilation=dilation, shape=x.shape),)


@unfold.batch
def _(batched: tuple[bool, ...], x: Tensor, *, size: Size, window: Shape, strides: Ints, dilation: Ints) -> Any:
    out = unfold(x, window=(1, *window), strides=(1, *strides), dilation=(1, *dilation))
    return shape_ops.reshape(out, shape=(*out.shape[: x.ndim], *out.shape[x.ndim + 1 :]))


@fold.shape
def _(x: Spec, *, window: Shape, strides: Ints, dilation: Ints, shape: Shape) -> Spec:
    if x.dtype.is_bool:
        raise DTypeError("fold adds windows up, and x is bool; write x.astype(td.int32)")
    wanted = (*_positions(shape, window, strides, dilation, "fold"), *window)
    if len(wanted) != x.ndim or not all(map(same_size, wanted, x.shape)):
        raise ShapeError(
            f"fold to {show_shape(shape)} needs windows [positions..., window...] = {show_shape(wanted)}, "
            f"and got {show_shape(x.shape)}"
        )
    return x.with_shape(shape)


@fold.reference
def _(x: Array, *, window: Ints, strides: Ints, dilation: Ints, shape: Ints) -> Array:
    rank = len(shape)
    wide = widened(x)
    out = np.zeros(shape, wide.dtype)
    if out.size == 0 or x.size == 0:
        return out.astype(x.dtype, copy=False)
    outer, inner, outer_step, inner_step = x.shape[:rank], window, strides, dilation
    if math.prod(inner) < math.prod(outer):  # the same sum, element of the window by element
        outer, inner, outer_step, inner_step = inner, outer, dilation, strides
        wide = wide.transpose(*range(rank, 2 * rank), *range(rank))
    for place in itertools.product(*map(range, outer)):
        begins = [i * by for i, by in zip(place, outer_step, strict=True)]
        target = tuple(slice(b, b + (n - 1) * by + 1, by) for b, n, by in zip(begins, inner, inner_step, strict=True))
        out[target] += wide[place]
    return out.astype(x.dtype, copy=False)


@fold.transpose
def _(ct: Tensor, x: Unknown, *, window: Shape, strides: Ints, dilation: Ints, shape: Shape) -> tuple[Any]:
    return (unfold(ct, window=window, strides=strides, dilation=dilation),)


@fold.batch
def _(
    batched: tuple[bool, ...],
    x: Tensor,
    *,
    size: Size,
    window: Shape,
    strides: Ints,
    dilation: Ints,
    shape: Shape,
) -> Any:
    windows = shape_ops.expand_dims(x, (1 + len(shape),))
    return fold(windows, window=(1, *window), strides=(1, *strides), dilation=(1, *dilation), shape=(size, *shape))


def _places() -> Iterator[tuple[Ints, dict[str, Any]]]:
    """Shapes with windows on them."""
    yield (6,), {"window": (3,), "strides": (1,), "dilation": (1,)}
    yield (7, 5), {"window": (2, 3), "strides": (2, 1), "dilation": (1, 2)}
    yield (9,), {"window": (2,), "strides": (4,), "dilation": (3,)}  # some elements are in no window
    yield (5,), {"window": (5,), "strides": (1,), "dilation": (1,)}  # fewer positions than elements of the window
    yield (2, 4, 3), {"window": (1, 2, 1), "strides": (1, 2, 1), "dilation": (1, 1, 1)}
    yield (0, 3), {"window": (1, 2), "strides": (1, 1), "dilation": (1, 1)}
    yield (1, 1), {"window": (1, 1), "strides": (3, 1), "dilation": (1, 2)}
    yield (), {"window": (), "strides": (), "dilation": ()}


@unfold.samples
def _(s: Any) -> Iterator[Any]:
    for shape, options in _places():
        yield s.case(s.normal(*shape), **options)
    pairs = {"window": (2,), "strides": (1,), "dilation": (1,)}
    yield s.case(s.integers(0, 9, 4), **pairs)
    yield s.case(s.booleans(4), **pairs)
    yield s.special([np.nan, np.inf, -0.0], **pairs)
    wide = {"window": (3,), "strides": (1,), "dilation": (2,)}
    yield s.error(s.normal(4), ShapeError, "window of 5", "3 dilated by 2", "axis 0", "(4 - 5) // 1 + 1 = 0", **wide)
    yield s.error(s.normal(4, 2), ShapeError, "1 entries", "2 axes", "give 1", **pairs)
    yield s.error(s.normal(4), ShapeError, "strides", "at least 1", window=(2,), strides=(0,), dilation=(1,))


@fold.samples
def _(s: Any) -> Iterator[Any]:
    for shape, options in _places():
        positions = _positions(shape, **options, what="fold")
        yield s.case(s.normal(*positions, *options["window"]), shape=shape, **options)
    pairs = {"window": (2,), "strides": (1,), "dilation": (1,)}
    yield s.case(s.integers(0, 9, 3, 2), shape=(4,), **pairs)
    yield s.special([[np.nan, 1.0], [np.inf, 2.0]], shape=(3,), **pairs)
    yield s.error(s.normal(3, 2), ShapeError, "[4, 2]", "[3, 2]", shape=(5,), **pairs)
    yield s.error(s.normal(1, 3), ShapeError, "does not fit", shape=(2,), window=(3,), strides=(1,), dilation=(1,))
    yield s.error(s.booleans(3, 2), DTypeError, "bool", "astype", shape=(4,), **pairs)
