"""`Spec`: what is known of a tensor without its numbers, and the arithmetic of shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from treadle.core.dims import Dim, Shape, Size, same_size, substitute
from treadle.core.dtypes import DType
from treadle.core.errors import DimError, ShapeError


@dataclass(frozen=True, slots=True)
class Spec:
    """Shape and dtype of a tensor; printed as `f32[batch,10]`."""

    shape: Shape
    dtype: DType

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Size:
        return size_of(self.shape)

    @property
    def is_dynamic(self) -> bool:
        return any(isinstance(n, Dim) for n in self.shape)

    def with_shape(self, shape: Sequence[Size]) -> Spec:
        return Spec(tuple(shape), self.dtype)

    def with_dtype(self, dtype: DType) -> Spec:
        return Spec(self.shape, dtype)

    def substitute(self, sizes: Mapping[str, Size]) -> Spec:
        return Spec(tuple(substitute(n, sizes) for n in self.shape), self.dtype)

    def __str__(self) -> str:
        return f"{self.dtype.short}[{','.join(map(str, self.shape))}]"

    __repr__ = __str__


def size_of(shape: Sequence[Size]) -> Size:
    """Number of elements."""
    return math.prod(shape) if shape else 1


def same_shape(a: Shape, b: Shape) -> bool:
    """Whether two shapes are equal for all sizes of their Dims.

    Raises:
        DimError: that depends on a size.
    """
    return len(a) == len(b) and all(same_size(x, y) for x, y in zip(a, b, strict=True))


def show_shape(shape: Shape) -> str:
    """A shape as a person writes it: `[32, 1]`."""
    return f"[{', '.join(map(str, shape))}]"


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The shape that all of them stretch to, aligned at the last axis (array API standard, broadcasting).

    A Dim does not stretch: it meets itself or 1.

    Raises:
        ShapeError: two sizes differ and neither is 1.
    """
    if len(set(shapes)) == 1:
        return shapes[0]
    rank = max(map(len, shapes))
    out: list[Size] = []
    for axis in range(-rank, 0):
        size: Size = 1
        for shape in shapes:
            if -axis > len(shape):
                continue
            n = shape[axis]
            if isinstance(n, int) and n == 1:
                continue
            if isinstance(size, int) and size == 1:
                size = n
                continue
            try:
                fits = same_size(size, n)
            except DimError as e:
                raise e from None
            if not fits:
                listed = " and ".join(show_shape(s) for s in shapes)
                raise ShapeError(
                    f"{listed} do not broadcast: axis {axis} has sizes {size} and {n}, which must be equal or 1"
                )
        out.append(size)
    return tuple(out)


def normalize_axis(axis: int, ndim: int, what: str = "axis") -> int:
    """A negative axis counted from the end.

    Raises:
        ShapeError: there is no such axis.
    """
    if not -ndim <= axis < ndim:
        have = "a scalar has none" if ndim == 0 else f"there are {ndim} axes, {-ndim} to {ndim - 1}"
        raise ShapeError(f"{what} {axis} does not exist: {have}")
    return axis % ndim


def normalize_axes(axes: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front, sorted; None is all of them.

    Raises:
        ShapeError: an axis does not exist or is named twice.
    """
    if axes is None:
        return tuple(range(ndim))
    given = (axes,) if isinstance(axes, int) else tuple(axes)
    out = tuple(sorted(normalize_axis(a, ndim) for a in given))
    if len(set(out)) != len(out):
        raise ShapeError(f"axes {given} name the same axis twice")
    return out


def bind_sizes(specs: Sequence[Spec], shapes: Sequence[tuple[int, ...]], names: Sequence[str]) -> dict[str, Size]:
    """What the named sizes are, given the inputs' shapes.

    Raises:
        ShapeError: a size does not fit, or one name would have two values.
    """
    sizes: dict[str, Size] = {}
    pending: list[tuple[str, Size, int, int]] = []
    for name, spec, shape in zip(names, specs, shapes, strict=True):
        if len(shape) != len(spec.shape):
            raise ShapeError(f"{name} must be {spec}, and has the shape {show_shape(shape)}")
        for axis, (want, have) in enumerate(zip(spec.shape, shape, strict=True)):
            if isinstance(want, Dim) and want.names == {str(want)} and str(want) not in sizes:
                sizes[str(want)] = have
            pending.append((name, want, have, axis))
    for name, want, have, axis in pending:
        expected = substitute(want, sizes)
        if expected != have:
            raise ShapeError(f"{name} has size {have} on axis {axis}, where {want} = {expected} is needed")
    return sizes
