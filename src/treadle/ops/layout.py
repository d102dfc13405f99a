"""Where elements stand: broadcast, reshape, transpose, reverse; and helpers made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core.dims import Shape, Size, same_size
from treadle.core.dtypes import DType
from treadle.core.errors import DimError, ShapeError
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


def instantiate(x: Tensor | Zero) -> Tensor:
    """A symbolic zero as numbers; a tensor as it is."""
    return zeros(x.spec) if isinstance(x, Zero) else x


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
