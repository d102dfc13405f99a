"""The class of elementwise primitives: broadcasting, dtype agreement, batching, and helpers for their rules.

All operands of an elementwise primitive stretch like NumPy's and have one dtype; `elementwise` makes the primitive with
its shape and batch rules, so that a family's file only says what is particular to each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from treadle.core.dims import Shape
from treadle.core.dtypes import DType, bfloat16, float16
from treadle.core.errors import ArgumentError, DimError, DTypeError, ShapeError
from treadle.core.primitive import Primitive, Zero
from treadle.core.spec import Spec, broadcast_shapes, show_shape
from treadle.core.tensor import Tensor, concrete

if TYPE_CHECKING:
    from treadle.testing.samples import Case, ErrorCase, Samples

Array = np.ndarray[Any, Any]
_HALVES = (float16.numpy, bfloat16.numpy)


def elementwise(
    name: str,
    *,
    arity: int,
    dtypes: Sequence[DType],
    result: DType | None = None,
    additive: Sequence[int] = (),
    multilinear: Sequence[int] = (),
) -> Primitive:
    """A primitive whose operands stretch to one shape and have one dtype among `dtypes`.

    Args:
        result: the output's dtype where it is not the operands' (bool for comparisons).
        additive, multilinear: as for `Primitive`.

    Its shape and batch rules are registered; a primitive with parameters replaces the shape rule by its own, written
    with `stretched`.
    """
    primitive = Primitive(name, additive=additive, multilinear=multilinear, stretches=True)

    @primitive.shape
    def _(*specs: Spec) -> Spec:
        if len(specs) != arity:
            raise ArgumentError(f"`{name}` takes {arity} operand{'s' if arity > 1 else ''}; it was given {len(specs)}")
        out = stretched(name, specs, dtypes)
        return out if result is None else out.with_dtype(result)

    primitive.batch(_batch_rule(primitive))
    return primitive


def stretched(name: str, specs: Sequence[Spec], dtypes: Sequence[DType]) -> Spec:
    """The shape that the operands stretch to, with their dtype.

    Raises:
        DTypeError: their dtypes differ, or the operation does not take them.
        ShapeError: their shapes do not broadcast.
    """
    dtype = specs[0].dtype
    for other in specs[1:]:
        if other.dtype is not dtype:
            raise DTypeError(
                f"`{name}` needs operands of one dtype, and got {dtype} and {other.dtype}. "
                f"Convert one of them, for instance x.astype(td.{_wider(dtype, other.dtype).name})"
            )
    if dtype not in dtypes:
        allowed = ", ".join(d.name for d in dtypes)
        hint = "" if dtype.is_floating else _conversion(dtypes)
        raise DTypeError(f"`{name}` does not take {dtype}; it takes {allowed}{hint}")
    shape = specs[0].shape
    if all(s.shape == shape for s in specs[1:]):
        return specs[0]
    return Spec(stretched_shape(name, [s.shape for s in specs]), dtype)


def stretched_shape(name: str, shapes: Sequence[Shape]) -> Shape:
    """`broadcast_shapes` whose message names the operation and all shapes."""
    try:
        return broadcast_shapes(*shapes)
    except DimError as e:
        raise DimError(f"`{name}` of {_listed(shapes)}: {e.message}") from None
    except ShapeError as e:
        raise ShapeError(f"`{name}` of {_listed(shapes)}: {e.message}{_remedy(shapes)}") from None


def _listed(shapes: Sequence[Shape]) -> str:
    return " and ".join(map(show_shape, shapes))


def _remedy(shapes: Sequence[Shape]) -> str:
    """The axis to insert, where one operand's only axis is the other's first: the commonest case."""
    for short, long in (shapes[:2], shapes[1::-1]):
        if len(short) == 1 and len(long) > 1 and short[0] == long[0]:
            return (
                f". To line {show_shape(short)} up with the first axis: v[:, {', '.join(['None'] * (len(long) - 1))}]"
            )
    return ""


def _wider(a: DType, b: DType) -> DType:
    return max((a, b), key=lambda d: ("biuf".index(d.kind), d.bits))


def _conversion(dtypes: Sequence[DType]) -> str:
    floating = [d for d in dtypes if d.is_floating]
    return ". Convert first: x.astype(td.float32)" if len(floating) == len(dtypes) else ""


def _batch_rule(primitive: Primitive) -> Callable[..., Tensor]:
    def rule(batched: tuple[bool, ...], *inputs: Tensor, size: Any, **params: Any) -> Tensor:
        """Operands of lower rank get 1-axes behind the batch axis, so that it meets only batch axes."""
        from treadle.ops import shape as shape_ops

        rank = max(x.ndim - b for x, b in zip(inputs, batched, strict=True))
        aligned = []
        for x, b in zip(inputs, batched, strict=True):
            missing = rank - (x.ndim - 1)
            if b and missing > 0:
                x = shape_ops.reshape(x, shape=(x.shape[0], *(1,) * missing, *x.shape[1:]))
            aligned.append(x)
        out: Tensor = primitive(*aligned, **params)
        return out

    return rule


# helpers of reference rules


def widened(function: Callable[..., Any]) -> Callable[..., Array]:
    """A reference rule that computes float16 and bfloat16 in float32, and returns its first operand's dtype."""

    def rule(*arrays: Array, **params: Any) -> Array:
        dtype = arrays[0].dtype
        if dtype in _HALVES:
            arrays = tuple(x.astype(np.float32) for x in arrays)
        return np.asarray(function(*arrays, **params)).astype(dtype, copy=False)

    return rule


# helpers of derivative rules


def constant(value: float, like: Any) -> Tensor:
    """A scalar of `like`'s dtype; it stretches to any shape and is a literal in graphs."""
    return concrete(np.array(value), like.dtype)


def no_change(primals: Any, tangents: Any, out: Tensor, **params: Any) -> Zero:
    """The jvp rule of what is constant almost everywhere."""
    return Zero(out.spec)


def unbroadcast(ct: Tensor, shape: Shape) -> Tensor:
    """The transpose of stretching: a cotangent summed over the axes that an operand was stretched along."""
    if ct.shape == shape:
        return ct
    from treadle.ops import reduce
    from treadle.ops import shape as shape_ops

    extra = ct.ndim - len(shape)
    axes = [*range(extra)]
    axes += [extra + k for k, n in enumerate(shape) if n == 1 and ct.shape[extra + k] != 1]
    total: Tensor = reduce.sum(ct, axes=tuple(axes)) if axes else ct
    if total.shape != shape:
        total = shape_ops.reshape(total, shape=shape)
    return total


# helpers of samples

Draw = Callable[..., Array]
Sample: TypeAlias = Union["Case", "ErrorCase"]


def unary_cases(s: Samples, draw: Draw) -> Iterator[Sample]:
    """A scalar, a vector, a matrix with a size-1 axis, and an empty one."""
    for shape in ((), (5,), (2, 1, 3), (0, 2)):
        yield s.case(draw(*shape))


def binary_cases(s: Samples, left: Draw, right: Draw) -> Iterator[Sample]:
    """Equal shapes, every way of stretching, empty operands; operands that disagree in shape or dtype."""
    for a, b in (((3,), (3,)), ((2, 1), (3,)), ((3,), (2, 2, 3)), ((), (2, 3)), ((1, 2), (3, 1)), ((0, 2), (2,))):
        yield s.case(left(*a), right(*b))
    yield from binary_errors(s, left, right)


def binary_errors(s: Samples, left: Draw, right: Draw) -> Iterator[ErrorCase]:
    """Operands that disagree in shape or dtype."""
    yield s.error(left(2), right(3), ShapeError, "broadcast", "[2]", "[3]")
    yield s.error(left(2), right(2, 3), ShapeError, "broadcast", "v[:, None]")
    x, y = left(2), right(2)
    other = np.float32 if y.dtype.kind in "iu" else np.int32
    yield s.error(x, y.astype(other), DTypeError, x.dtype.name, np.dtype(other).name, "astype")


def refuses(s: Samples, *dtypes: str, arity: int = 1) -> Iterator[ErrorCase]:
    """Dtypes that the operation does not take."""
    for dtype in dtypes:
        yield s.error(*(np.ones(2, dtype) for _ in range(arity)), DTypeError, "does not take", dtype)
