"""What moves elements without computing: broadcast, reshape, transpose, slice, pad, concatenate, reverse,
dynamic_slice, dynamic_update; and what makes tensors from sizes: iota, size.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core.dims import Dim, Shape, Size, same_size
from treadle.core.dtypes import DType, float32, int32
from treadle.core.errors import DimError, DTypeError, ShapeError
from treadle.core.primitive import Primitive, Unknown, Zero
from treadle.core.spec import Spec, show_shape, size_of
from treadle.core.tensor import Tensor, concrete

Array = np.ndarray[Any, Any]


def scalar(value: Any, dtype: DType) -> Tensor:
    """A concrete scalar; in a graph it becomes a literal."""
    return concrete(np.array(value, dtype.numpy))


def full(value: Any, spec: Spec) -> Tensor:
    """A tensor of this shape and dtype with one value everywhere."""
    made = scalar(value, spec.dtype)
    out: Tensor = broadcast(made, shape=spec.shape) if spec.shape else made
    return out


def zeros(spec: Spec) -> Tensor:
    """A tensor of zeros of this shape and dtype."""
    return full(0, spec)


def expand_dims(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Insert axes of size 1, numbered as in the result; sorted."""
    shape = list(x.shape)
    for axis in axes:
        shape.insert(axis, 1)
    out: Tensor = reshape(x, shape=tuple(shape)) if axes else x
    return out


def stretch(x: Tensor, axes: Sequence[int], shape: Shape) -> Tensor:
    """Undo the removal of `axes`: insert them and repeat along them, up to `shape`."""
    out: Tensor = broadcast(expand_dims(x, axes), shape=shape) if axes else x
    return out


def move_axes_first(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Transpose so that `axes` come first, in this order; the others keep theirs."""
    rest = [a for a in range(x.ndim) if a not in axes]
    order = (*axes, *rest)
    out: Tensor = transpose(x, axes=order) if order != tuple(range(x.ndim)) else x
    return out


def move_axes_back(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Undo `move_axes_first`."""
    order = [*axes, *(a for a in range(x.ndim) if a not in axes)]
    back = tuple(order.index(a) for a in range(x.ndim))
    out: Tensor = transpose(x, axes=back) if back != tuple(range(x.ndim)) else x
    return out


def batched_to(x: Any, is_batched: bool, size: Size) -> Any:
    """An input of a batch rule with the batch on axis 0, repeated if it has none."""
    return x if is_batched else broadcast(x, shape=(size, *x.shape))


def check_axes(axes: Sequence[int], ndim: int, what: str) -> None:
    """Axes of a primitive: counted from the front, each once.

    Raises:
        ShapeError: an axis does not exist or is named twice.
    """
    for axis in axes:
        if not 0 <= axis < ndim:
            have = "a scalar has none" if ndim == 0 else f"there are axes 0 to {ndim - 1}"
            raise ShapeError(f"{what}: axis {axis} does not exist, {have}")
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{what}: axes {tuple(axes)} name the same axis twice")


def surely_negative(n: Size) -> bool:
    """Whether a size is negative for all values of its Dims; sizes left open here are checked when they are known."""
    try:
        return n < 0
    except DimError:
        return False


def _check_rank(given: Sequence[Any], x: Spec, what: str) -> None:
    if len(given) != x.ndim:
        raise ShapeError(f"{what} has {len(given)} entries, and {x} has {x.ndim} axes: give one for each axis")


# broadcast

broadcast = Primitive("broadcast", additive=(0,))


@broadcast.shape
def _(x: Spec, *, shape: Shape) -> Spec:
    if x.ndim > len(shape):
        raise ShapeError(
            f"{show_shape(x.shape)} does not broadcast to {show_shape(shape)}, which has fewer axes; "
            "broadcasting adds axes in front and repeats axes of size 1"
        )
    for axis, (n, wanted) in enumerate(zip(x.shape[::-1], shape[::-1], strict=False), 1):
        if n != 1 and not same_size(n, wanted):
            raise ShapeError(
                f"{show_shape(x.shape)} does not broadcast to {show_shape(shape)}: "
                f"axis {-axis} has size {n}, which is neither {wanted} nor 1"
            )
    return x.with_shape(shape)


@broadcast.reference
def _(x: Array, *, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(x, shape)


@broadcast.transpose
def _(ct: Tensor, x: Unknown, *, shape: Shape) -> tuple[Any]:
    from treadle.ops import reduce

    new = len(shape) - x.ndim
    repeated = tuple(new + a for a, n in enumerate(x.shape) if n == 1 and shape[new + a] != 1)
    axes = (*range(new), *repeated)
    return (reshape(reduce.sum(ct, axes=axes), shape=x.shape) if repeated else reduce.sum(ct, axes=axes),)


@broadcast.batch
def _(batched: tuple[bool, ...], x: Tensor, *, size: Size, shape: Shape) -> Tensor:
    new = len(shape) - (x.ndim - 1)
    out: Tensor = broadcast(expand_dims(x, range(1, 1 + new)), shape=(size, *shape))
    return out


@broadcast.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(s.normal(), shape=(3,))
    yield s.case(s.normal(3), shape=(2, 3))
    yield s.case(s.normal(2, 1, 3), shape=(4, 2, 5, 3))
    yield s.case(s.normal(1, 1), shape=(1, 4))
    yield s.case(s.normal(2, 3), shape=(2, 3))
    yield s.case(s.normal(1, 3), shape=(0, 3))
    yield s.case(s.integers(0, 9, 1, 2), shape=(3, 2))
    yield s.case(s.booleans(1), shape=(2,))
    yield s.special([np.nan, -np.inf, -0.0], shape=(2, 3))
    yield s.error(s.normal(2), ShapeError, "[2]", "[3]", "axis -1", "neither 3 nor 1", shape=(3,))
    yield s.error(s.normal(2, 1), ShapeError, "fewer axes", shape=(2,))


# reshape

reshape = Primitive("reshape", additive=(0,))


@reshape.shape
def _(x: Spec, *, shape: Shape) -> Spec:
    if not same_size(x.size, size_of(shape)):
        raise ShapeError(
            f"{show_shape(x.shape)} does not reshape to {show_shape(shape)}: "
            f"it has {_count(x.shape)} elements, and the new shape {_count(shape)}"
        )
    return x.with_shape(shape)


def _count(shape: Shape) -> str:
    product = "*".join(str(n) if str(n).isalnum() else f"({n})" for n in shape)
    return f"{product} = {size_of(shape)}" if len(shape) > 1 else str(size_of(shape))


@reshape.reference
def _(x: Array, *, shape: tuple[int, ...]) -> Array:
    return np.reshape(x, shape)


@reshape.transpose
def _(ct: Tensor, x: Unknown, *, shape: Shape) -> tuple[Any]:
    return (reshape(ct, shape=x.shape),)


@reshape.batch
def _(batched: tuple[bool, ...], x: Tensor, *, size: Size, shape: Shape) -> Any:
    return reshape(x, shape=(size, *shape))


@reshape.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(s.normal(2, 6), shape=(3, 4))
    yield s.case(s.normal(2, 3, 4), shape=(24,))
    yield s.case(s.normal(), shape=(1, 1))
    yield s.case(s.normal(1, 1), shape=())
    yield s.case(s.normal(0, 3), shape=(5, 0))
    yield s.case(s.integers(-5, 5, 4), shape=(2, 2))
    yield s.case(s.booleans(4), shape=(4, 1))
    yield s.special([[np.nan, np.inf], [-0.0, 0.0]], shape=(4,))
    yield s.error(s.normal(2, 3), ShapeError, "[2, 3]", "[4, 2]", "2*3 = 6", "4*2 = 8", shape=(4, 2))


# transpose

transpose = Primitive("transpose", additive=(0,))


@transpose.shape
def _(x: Spec, *, axes: tuple[int, ...]) -> Spec:
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(f"axes {axes} do not reorder the {x.ndim} axes of {x}: name each of 0 to {x.ndim - 1} once")
    return x.with_shape([x.shape[a] for a in axes])


@transpose.reference
def _(x: Array, *, axes: tuple[int, ...]) -> Array:
    return np.transpose(x, axes)


@transpose.transpose
def _(ct: Tensor, x: Unknown, *, axes: tuple[int, ...]) -> tuple[Any]:
    return (transpose(ct, axes=tuple(axes.index(a) for a in range(len(axes)))),)


@transpose.batch
def _(batched: tuple[bool, ...], x: Tensor, *, size: Size, axes: tuple[int, ...]) -> Any:
    return transpose(x, axes=(0, *(a + 1 for a in axes)))


@transpose.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(s.normal(2, 3), axes=(1, 0))
    yield s.case(s.normal(2, 3, 4), axes=(2, 0, 1))
    yield s.case(s.normal(2, 1, 0, 3), axes=(3, 1, 2, 0))
    yield s.case(s.normal(), axes=())
    yield s.case(s.integers(0, 5, 2, 2), axes=(1, 0))
    yield s.special([[np.nan, np.inf, -0.0]], axes=(1, 0))
    yield s.error(s.normal(2, 3), ShapeError, "(0, 0)", "each of 0 to 1 once", axes=(0, 0))
    yield s.error(s.normal(2, 3), ShapeError, "do not reorder the 2 axes", axes=(0,))


# slice

slice = Primitive("slice", additive=(0,))


@slice.shape
def _(x: Spec, *, start: Shape, stop: Shape, step: tuple[int, ...]) -> Spec:
    for what, given in (("start", start), ("stop", stop), ("step", step)):
        _check_rank(given, x, what)
    for axis, (n, a, b, by) in enumerate(zip(x.shape, start, stop, step, strict=True)):
        if a < 0 or b > n or surely_negative(b - a) or by < 1:
            raise ShapeError(
                f"slice {a}:{b}:{by} does not lie within axis {axis} of {x}: "
                f"0 <= start <= stop <= {n} and step >= 1 are needed"
            )
    return x.with_shape([(b - a + by - 1) // by for a, b, by in zip(start, stop, step, strict=True)])


@slice.reference
def _(x: Array, *, start: tuple[int, ...], stop: tuple[int, ...], step: tuple[int, ...]) -> Array:
    return x[tuple(map(builtins.slice, start, stop, step))]


@slice.transpose
def _(ct: Tensor, x: Unknown, *, start: Shape, stop: Shape, step: tuple[int, ...]) -> tuple[Any]:
    # Each kept element becomes a block [element, 0 … 0] of `step`: unlike interior padding, that needs no answer to
    # whether a Dim's slice is empty.
    zero = scalar(0, ct.dtype)
    if any(by != 1 for by in step) and any(isinstance(n, Dim) for n in ct.shape):
        low = (0,) * (2 * ct.ndim)
        blocks = pad(
            expand_dims(ct, range(1, 2 * ct.ndim, 2)),
            zero,
            low=low,
            high=tuple(by - 1 if odd else 0 for by in step for odd in (0, 1)),
            interior=low,
        )
        ct = reshape(blocks, shape=tuple(n * by for n, by in zip(ct.shape, step, strict=True)))
        step = (1,) * ct.ndim
    covered = [dilated(m, by - 1) for m, by in zip(ct.shape, step, strict=True)]
    high = tuple(n - a - c for n, a, c in zip(x.shape, start, covered, strict=True))
    return (pad(ct, zero, low=start, high=high, interior=tuple(by - 1 for by in step)),)


@slice.batch
def _(batched: tuple[bool, ...], x: Tensor, *, size: Size, start: Shape, stop: Shape, step: tuple[int, ...]) -> Any:
    return slice(x, start=(0, *start), stop=(size, *stop), step=(1, *step))


@slice.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(s.normal(5), start=(1,), stop=(4,), step=(1,))
    yield s.case(s.normal(7, 4), start=(1, 0), stop=(6, 4), step=(2, 3))
    yield s.case(s.normal(6), start=(0,), stop=(6,), step=(4,))
    yield s.case(s.normal(3, 2), start=(2, 1), stop=(2, 2), step=(2, 1))  # nothing left on axis 0
    yield s.case(s.normal(0, 2), start=(0, 0), stop=(0, 1), step=(1, 1))
    yield s.case(s.normal(), start=(), stop=(), step=())
    yield s.case(s.integers(0, 9, 4, 1, 3), start=(0, 0, 1), stop=(3, 1, 3), step=(1, 1, 1))
    yield s.special([np.nan, 1.0, -np.inf], start=(0,), stop=(3,), step=(2,))
    yield s.error(s.normal(3), ShapeError, "1:4:1", "axis 0", "stop <= 3", start=(1,), stop=(4,), step=(1,))
    yield s.error(s.normal(3), ShapeError, "step >= 1", start=(0,), stop=(3,), step=(0,))
    yield s.error(s.normal(3), ShapeError, "2 entries", "1 axes", start=(0, 0), stop=(3, 1), step=(1, 1))


# pad

pad = Primitive("pad", additive=(0, 1))


def dilated(n: Size, interior: Size) -> Size:
    """Size after `interior` elements were put between each two of n.

    Raises:
        DimError: whether there is any element depends on a size.
    """
    if interior == 0 or n == 0:
        return n
    if isinstance(n, Dim):
        bool(n)  # raises if it can be zero
    return n + (n - 1) * interior


@pad.shape
def _(x: Spec, value: Spec, *, low: Shape, high: Shape, interior: Shape) -> Spec:
    if value.ndim != 0:
        raise ShapeError(f"pad fills with one number: value must be a scalar, and is {value}")
    if value.dtype != x.dtype:
        raise DTypeError(f"pad: value is {value.dtype} and x {x.dtype}; convert one, as value.astype(td.{x.dtype})")
    for what, given in (("low", low), ("high", high), ("interior", interior)):
        _check_rank(given, x, what)
    out = []
    for axis, (n, a, b, between) in enumerate(zip(x.shape, low, high, interior, strict=True)):
        if surely_negative(between):
            raise ShapeError(f"pad: interior {between} on axis {axis} is negative; only low and high may crop")
        left = dilated(n, between) + a + b
        if surely_negative(left):
            raise ShapeError(
                f"pad crops more than there is on axis {axis} of {x}: "
                f"{dilated(n, between)} + low {a} + high {b} = {left}"
            )
        out.append(left)
    return x.with_shape(out)


@pad.reference
def _(x: Array, value: Array, *, low: tuple[int, ...], high: tuple[int, ...], interior: tuple[int, ...]) -> Array:
    shape = [int(dilated(n, i)) + a + b for n, a, b, i in zip(x.shape, low, high, interior, strict=True)]
    out = np.full(shape, value, x.dtype)
    targets, sources = [], []
    for n, m, a, i in zip(x.shape, shape, low, interior, strict=True):
        by = i + 1  # x[j] lands at a + j * by, where that is in [0, m)
        first = max(0, -(a // by))
        last = min(n - 1, (m - 1 - a) // by)
        if last < first:
            return out
        targets.append(builtins.slice(a + first * by, a + last * by + 1, by))
        sources.append(builtins.slice(first, last + 1))
    out[tuple(targets)] = x[tuple(sources)]
    return out


def padding_mask(shape: Shape, low: Shape, high: Shape, interior: Shape) -> Tensor:
    """True where `pad` puts its value."""
    from treadle.core.dtypes import bool_

    inside = full(False, Spec(shape, bool_))
    out: Tensor = pad(inside, scalar(True, bool_), low=low, high=high, interior=interior)
    return out


@pad.transpose
def _(ct: Tensor, x: Any, value: Any, *, low: Shape, high: Shape, interior: Shape) -> tuple[Any, Any]:
    from treadle.ops import elementwise, reduce

    ct_x = ct_value = None
    zero = scalar(0, ct.dtype)
    if isinstance(x, Unknown):
        nothing = (0,) * ct.ndim
        back = pad(ct, zero, low=tuple(-a for a in low), high=tuple(-b for b in high), interior=nothing)
        step = tuple(i + 1 for i in interior)
        ct_x = back if all(n == 1 for n in step) else slice(back, start=nothing, stop=back.shape, step=step)
    if isinstance(value, Unknown):
        mask = padding_mask(x.shape, low, high, interior)
        ct_value = reduce.sum(elementwise.select(mask, ct, zero), axes=tuple(range(ct.ndim)))
    return ct_x, ct_value


@pad.batch
def _(
    batched: tuple[bool, ...], x: Tensor, value: Tensor, *, size: Size, low: Shape, high: Shape, interior: Shape
) -> Any:
    from treadle.ops import elementwise

    if not batched[1]:
        return pad(x, value, low=(0, *low), high=(0, *high), interior=(0, *interior))
    inner = x.shape[1:] if batched[0] else x.shape
    own = {"low": (0, *low), "high": (0, *high), "interior": (0, *interior)}
    moved = pad(batched_to(x, batched[0], size), scalar(0, x.dtype), **own)
    values = reshape(value, shape=(size, *(1 for _ in inner)))
    return elementwise.select(padding_mask(inner, low, high, interior), values, moved)


@pad.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(s.normal(3), s.normal(), low=(1,), high=(2,), interior=(0,))
    yield s.case(s.normal(3, 2), s.normal(), low=(0, 2), high=(1, 0), interior=(2, 1))
    yield s.case(s.normal(5, 4), s.normal(), low=(-1, -2), high=(-2, 3), interior=(0, 0))
    yield s.case(s.normal(4), s.normal(), low=(-2,), high=(-1,), interior=(2,))  # crops after the interior
    yield s.case(s.normal(2), s.normal(), low=(-4,), high=(5,), interior=(1,))  # crops all of x
    yield s.case(s.normal(0, 2), s.normal(), low=(2, 0), high=(0, 1), interior=(3, 0))
    yield s.case(s.normal(1, 2), s.normal(), low=(0, 0), high=(0, 0), interior=(4, 0))
    yield s.case(s.normal(), s.normal(), low=(), high=(), interior=())
    yield s.case(s.integers(0, 9, 3), np.int32(7), low=(1,), high=(-1,), interior=(1,))
    yield s.case(s.booleans(2, 2), np.bool_(True), low=(1, 0), high=(0, 1), interior=(0, 0))
    yield s.special([np.nan, np.inf], np.array(-np.inf), low=(1,), high=(1,), interior=(1,))
    two = {"low": (-2,), "high": (-2,), "interior": (0,)}
    yield s.error(s.normal(3), s.normal(), ShapeError, "crops more", "3 + low -2 + high -2 = -1", **two)
    none = {"low": (0,), "high": (0,), "interior": (0,)}
    yield s.error(s.normal(3), s.normal(1), ShapeError, "scalar", **none)
    yield s.error(s.normal(3), np.int32(0), DTypeError, "int32", "astype", **none)
    yield s.error(s.normal(3), s.normal(), ShapeError, "interior -1", low=(0,), high=(0,), interior=(-1,))
    yield s.error(s.normal(3, 2), s.normal(), ShapeError, "1 entries", "2 axes", **none)


# concatenate: linear in all its inputs together; `additive` cannot say so, as it would have to name them

concatenate = Primitive("concatenate")


@concatenate.shape
def _(*xs: Spec, axis: int) -> Spec:
    if not xs:
        raise ShapeError("concatenate needs at least one tensor")
    first = xs[0]
    check_axes((axis,), first.ndim, "concatenate")
    total: Size = 0
    for k, x in enumerate(xs):
        if x.dtype != first.dtype:
            raise DTypeError(
                f"concatenate: tensor 0 is {first.dtype} and tensor {k} is {x.dtype}; "
                f"convert one, as x.astype(td.{first.dtype})"
            )
        if x.ndim != first.ndim:
            raise ShapeError(
                f"concatenate: tensor 0 is {show_shape(first.shape)} and tensor {k} {show_shape(x.shape)}; "
                "all must have as many axes"
            )
        for a, (n, m) in enumerate(zip(first.shape, x.shape, strict=True)):
            if a != axis and not same_size(n, m):
                raise ShapeError(
                    f"concatenate along axis {axis}: tensor 0 is {show_shape(first.shape)} and "
                    f"tensor {k} {show_shape(x.shape)}; they differ on axis {a} ({n} and {m}), "
                    f"and only axis {axis} may differ"
                )
        total = total + x.shape[axis]
    return first.with_shape([total if a == axis else n for a, n in enumerate(first.shape)])


@concatenate.reference
def _(*xs: Array, axis: int) -> Array:
    return np.concatenate(xs, axis=axis)


@concatenate.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, axis: int) -> Any:
    return concatenate(*(zeros(t.spec) if isinstance(t, Zero) else t for t in tangents), axis=axis)


@concatenate.transpose
def _(ct: Tensor, *xs: Any, axis: int) -> tuple[Any, ...]:
    out: list[Any] = []
    begin: Size = 0
    for x in xs:
        end = begin + x.shape[axis]
        if isinstance(x, Unknown):
            start = tuple(begin if a == axis else 0 for a in range(ct.ndim))
            stop = tuple(end if a == axis else n for a, n in enumerate(ct.shape))
            out.append(slice(ct, start=start, stop=stop, step=(1,) * ct.ndim))
        else:
            out.append(None)
        begin = end
    return tuple(out)


@concatenate.batch
def _(batched: tuple[bool, ...], *xs: Tensor, size: Size, axis: int) -> Any:
    return concatenate(*(batched_to(x, b, size) for x, b in zip(xs, batched, strict=True)), axis=axis + 1)


@concatenate.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(s.normal(2), s.normal(3), axis=0)
    yield s.case(s.normal(2, 3), s.normal(2, 1), s.normal(2, 0), axis=1)
    yield s.case(s.normal(1, 2, 2), s.normal(3, 2, 2), axis=0)
    yield s.case(s.normal(4), axis=0)
    yield s.case(s.integers(0, 9, 2), s.integers(0, 9, 1), axis=0)
    yield s.case(s.booleans(2, 1), s.booleans(2, 2), axis=1)
    yield s.special([np.nan, -0.0], [np.inf], axis=0)
    yield s.error(s.normal(2, 3), s.normal(3, 3), ShapeError, "[2, 3]", "[3, 3]", "axis 0 (2 and 3)", axis=1)
    yield s.error(s.normal(2, 3), s.normal(3), ShapeError, "as many axes", axis=0)
    yield s.error(s.normal(2), s.integers(0, 3, 2), DTypeError, "int32", "astype", axis=0)
    yield s.error(s.normal(), s.normal(), ShapeError, "axis 0", "scalar", axis=0)
    yield s.error(ShapeError, "at least one tensor", axis=0)


# reverse

reverse = Primitive("reverse", additive=(0,))


@reverse.shape
def _(x: Spec, *, axes: tuple[int, ...]) -> Spec:
    check_axes(axes, x.ndim, "reverse")
    return x


@reverse.reference
def _(x: Array, *, axes: tuple[int, ...]) -> Array:
    return np.flip(x, axes)


@reverse.transpose
def _(ct: Tensor, x: Unknown, *, axes: tuple[int, ...]) -> tuple[Any]:
    return (reverse(ct, axes=axes),)


@reverse.batch
def _(batched: tuple[bool, ...], x: Tensor, *, size: Size, axes: tuple[int, ...]) -> Any:
    return reverse(x, axes=tuple(a + 1 for a in axes))


@reverse.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(s.normal(4), axes=(0,))
    yield s.case(s.normal(2, 3, 4), axes=(0, 2))
    yield s.case(s.normal(2, 1, 0), axes=(1, 2))
    yield s.case(s.normal(3), axes=())
    yield s.case(s.integers(0, 9, 3), axes=(0,))
    yield s.special([np.nan, np.inf, -0.0], axes=(0,))
    yield s.error(s.normal(2), ShapeError, "axis 1", "axes 0 to 0", axes=(1,))
    yield s.error(s.normal(2), ShapeError, "twice", axes=(0, 0))


# dynamic_slice and dynamic_update: a window whose place is computed; it is moved inside where it would stick out

dynamic_slice = Primitive("dynamic_slice", additive=(0,))
dynamic_update = Primitive("dynamic_update", additive=(0, 1))


def _check_window(x: Spec, sizes: Shape, starts: Sequence[Spec], what: str) -> None:
    _check_rank(sizes, x, f"{what}: the window")
    if len(starts) != x.ndim:
        raise ShapeError(f"{what}: {x} has {x.ndim} axes and needs as many starts; {len(starts)} were given")
    for start in starts:
        if start.ndim != 0:
            raise ShapeError(f"{what}: a start must be a scalar, and is {start}")
        if not start.dtype.is_integer:
            raise DTypeError(f"{what}: a start must be an integer, and is {start.dtype}")
    for axis, (n, m) in enumerate(zip(x.shape, sizes, strict=True)):
        if surely_negative(m) or surely_negative(n - m):
            raise ShapeError(f"{what}: a window of {show_shape(sizes)} does not fit into {x}: axis {axis} has size {n}")


def _placed(x: Array, sizes: Sequence[int], starts: Sequence[Array]) -> tuple[builtins.slice, ...]:
    at = [min(max(int(i), 0), n - m) for i, n, m in zip(starts, x.shape, sizes, strict=True)]
    return tuple(builtins.slice(i, i + m) for i, m in zip(at, sizes, strict=True))


def _window_indices(starts: Sequence[Tensor], shape: Shape, sizes: Shape, axes: Sequence[int], batch: Size) -> Tensor:
    """Indices int32[batch, *sizes of axes, len(axes)] of the windows' elements, for `gather` and `scatter`."""
    from treadle.ops import elementwise

    grid = (batch, *(sizes[a] for a in axes))
    columns = []
    for k, a in enumerate(axes):
        start = _clamped(starts[a], shape[a] - sizes[a])
        place = reshape(start, shape=(*start.shape, *(1 for _ in axes))) if start.ndim else start
        places = elementwise.add(place, iota(shape=grid, axis=k + 1, dtype=int32))
        columns.append(expand_dims(places, (len(grid),)))
    out: Tensor = concatenate(*columns, axis=len(grid))
    return out


def _clamped(start: Tensor, last: Size) -> Tensor:
    from treadle.ops import elementwise

    if start.dtype.bits < 32:  # `last` need not fit into it
        start = elementwise.cast(start, dtype=int32)
    low, high = scalar(0, start.dtype), size(size=last)
    if start.dtype != int32:
        high = elementwise.cast(high, dtype=start.dtype)
    out: Tensor = elementwise.clamp(start, low, high)
    return out if out.dtype == int32 else elementwise.cast(out, dtype=int32)


@dynamic_slice.shape
def _(x: Spec, *starts: Spec, sizes: Shape) -> Spec:
    _check_window(x, sizes, starts, "dynamic_slice")
    return x.with_shape(sizes)


@dynamic_slice.reference
def _(x: Array, *starts: Array, sizes: tuple[int, ...]) -> Array:
    return x[_placed(x, sizes, starts)]


@dynamic_slice.transpose
def _(ct: Tensor, x: Unknown, *starts: Tensor, sizes: Shape) -> tuple[Any, ...]:
    return dynamic_update(zeros(x.spec), ct, *starts), *(None for _ in starts)


@dynamic_slice.batch
def _(batched: tuple[bool, ...], x: Tensor, *starts: Tensor, size: Size, sizes: Shape) -> Any:
    if not any(batched[1:]):
        return dynamic_slice(x, scalar(0, int32), *starts, sizes=(size, *sizes))
    from treadle.ops import index

    x = batched_to(x, batched[0], size)
    moving = [a for a, n in enumerate(sizes) if n != x.shape[a + 1]]
    if not moving:
        return x
    indices = _window_indices(starts, x.shape[1:], sizes, moving, size)
    axes = (0, *(a + 1 for a in moving))
    return move_axes_back(index.gather(move_axes_first(x, axes), indices, batch_dims=1, mode="clip"), axes)


@dynamic_slice.samples
def _(s: Any) -> Iterator[Any]:
    i = np.int32
    yield s.case(s.normal(5), i(2), sizes=(2,))
    yield s.case(s.normal(5), i(9), sizes=(2,))  # clamped to 3
    yield s.case(s.normal(4, 3), i(-2), i(1), sizes=(2, 2))  # clamped to 0, 1
    yield s.case(s.normal(4, 3, 2), i(3), i(5), i(0), sizes=(1, 3, 2))
    yield s.case(s.normal(3, 2), np.int64(1), np.uint8(200), sizes=(0, 2))
    yield s.case(s.normal(), sizes=())
    yield s.case(s.integers(0, 9, 6), np.int8(1), sizes=(4,))
    yield s.special([np.nan, np.inf, -0.0], i(1), sizes=(2,))
    yield s.error(s.normal(3), i(0), ShapeError, "[4]", "does not fit", "axis 0 has size 3", sizes=(4,))
    yield s.error(s.normal(3), np.float32(0), DTypeError, "integer", "float32", sizes=(1,))
    yield s.error(s.normal(3), np.zeros(1, i), ShapeError, "scalar", sizes=(1,))
    yield s.error(s.normal(3, 2), i(0), ShapeError, "2 axes", "as many starts", sizes=(1, 1))


@dynamic_update.shape
def _(x: Spec, update: Spec, *starts: Spec) -> Spec:
    if x.dtype != update.dtype:
        raise DTypeError(
            f"dynamic_update: x is {x.dtype} and update {update.dtype}; convert one, as update.astype(td.{x.dtype})"
        )
    _check_window(x, update.shape, starts, "dynamic_update")
    return x


@dynamic_update.reference
def _(x: Array, update: Array, *starts: Array) -> Array:
    out = x.copy()
    out[_placed(x, update.shape, starts)] = update
    return out


@dynamic_update.transpose
def _(ct: Tensor, x: Any, update: Any, *starts: Tensor) -> tuple[Any, ...]:
    hole = zeros(Spec(update.shape, update.dtype))
    ct_x = dynamic_update(ct, hole, *starts) if isinstance(x, Unknown) else None
    ct_update = dynamic_slice(ct, *starts, sizes=update.shape) if isinstance(update, Unknown) else None
    return ct_x, ct_update, *(None for _ in starts)


@dynamic_update.batch
def _(batched: tuple[bool, ...], x: Tensor, update: Tensor, *starts: Tensor, size: Size) -> Any:
    x, update = batched_to(x, batched[0], size), batched_to(update, batched[1], size)
    if not any(batched[2:]):
        return dynamic_update(x, update, scalar(0, int32), *starts)
    from treadle.ops import index

    sizes = update.shape[1:]
    moving = [a for a, n in enumerate(sizes) if n != x.shape[a + 1]]
    if not moving:
        return update
    indices = _window_indices(starts, x.shape[1:], sizes, moving, size)
    axes = (0, *(a + 1 for a in moving))
    front = (move_axes_first(x, axes), indices, move_axes_first(update, axes))
    return move_axes_back(index.scatter(*front, batch_dims=1, op="set", mode="clip"), axes)


@dynamic_update.samples
def _(s: Any) -> Iterator[Any]:
    i = np.int32
    yield s.case(s.normal(5), s.normal(2), i(2))
    yield s.case(s.normal(5), s.normal(2), i(9))  # clamped to 3
    yield s.case(s.normal(4, 3), s.normal(2, 2), i(-2), i(1))
    yield s.case(s.normal(4, 3, 2), s.normal(1, 3, 2), i(3), i(5), i(0))
    yield s.case(s.normal(3, 2), s.normal(0, 2), np.int64(1), np.uint8(200))
    yield s.case(s.normal(), s.normal())
    yield s.case(s.integers(0, 9, 6), s.integers(0, 9, 4), np.int8(1))
    yield s.special([np.nan, np.inf, -0.0], [np.nan], i(1))
    yield s.error(s.normal(3), s.normal(4), i(0), ShapeError, "[4]", "does not fit", "axis 0 has size 3")
    yield s.error(s.normal(3), s.integers(0, 3, 1), i(0), DTypeError, "int32", "astype")
    yield s.error(s.normal(3), s.normal(1), ShapeError, "1 axes", "as many starts")


# made from sizes alone

iota = Primitive("iota")


@iota.shape
def _(*, shape: Shape, axis: int, dtype: DType) -> Spec:
    check_axes((axis,), len(shape), "iota")
    if dtype.is_bool:
        raise DTypeError("iota counts: it has no bool; compare its result instead, as td.arange(n) >= 1")
    return Spec(tuple(shape), dtype)


@iota.reference
def _(*, shape: tuple[int, ...], axis: int, dtype: DType) -> Array:
    counted = np.arange(shape[axis]).astype(dtype.numpy)
    return np.broadcast_to(counted.reshape([-1 if a == axis else 1 for a in range(len(shape))]), shape)


@iota.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(shape=(4,), axis=0, dtype=int32)
    yield s.case(shape=(2, 3), axis=1, dtype=float32)
    yield s.case(shape=(2, 0, 3), axis=0, dtype=int32)
    yield s.error(ShapeError, "axis 1", shape=(2,), axis=1, dtype=int32)


size = Primitive("size")


@size.shape
def _(*, size: Size) -> Spec:
    return Spec((), int32)


@size.reference
def _(*, size: int) -> Array:
    return np.array(size, np.int32)


@size.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(size=7)
    yield s.case(size=0)
