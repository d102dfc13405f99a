"""Parts of tensors, and tensors as parts of larger ones: slice, pad, concatenate."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core.dims import Dim, Shape, Size, same_size
from treadle.core.dtypes import bool_
from treadle.core.errors import DTypeError, ShapeError
from treadle.core.primitive import Primitive, Unknown, Zero
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.ops.layout import batched_to, check_axes, expand_dims, full, reshape, scalar, surely_negative, zeros

Array = np.ndarray[Any, Any]


def check_rank(given: Sequence[Any], x: Spec, what: str) -> None:
    if len(given) != x.ndim:
        raise ShapeError(f"{what} has {len(given)} entries, and {x} has {x.ndim} axes: give one for each axis")


# slice

slice = Primitive("slice", additive=(0,))


@slice.shape
def _(x: Spec, *, start: Shape, stop: Shape, step: tuple[int, ...]) -> Spec:
    for what, given in (("start", start), ("stop", stop), ("step", step)):
        check_rank(given, x, what)
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
        check_rank(given, x, what)
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
