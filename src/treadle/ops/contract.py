"""`contract`: the product of two tensors summed over pairs of axes; matmul, einsum of two operands, inner and outer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from treadle.core.dims import Size, same_size
from treadle.core.errors import DimError, DTypeError, ShapeError
from treadle.core.primitive import Primitive, Unknown
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops import shape as shape_ops
from treadle.ops.reduce import widened

Array = np.ndarray[Any, Any]
Pairs: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]  # axes of x, and the axes of y that they meet, in order

# x, y, batch=((x axes), (y axes)), axes=((x axes), (y axes)) -> [batch..., x's other axes..., y's other axes...]
contract = Primitive("contract", multilinear=(0, 1))


def free_axes(ndim: int, *taken: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that are neither batched nor summed, in order."""
    used = {a for axes in taken for a in axes}
    return tuple(a for a in range(ndim) if a not in used)


@contract.shape
def _(x: Spec, y: Spec, *, batch: Pairs, axes: Pairs) -> Spec:
    if x.dtype != y.dtype:
        raise DTypeError(
            f"a product needs operands of one dtype, and got {x.dtype} and {y.dtype}; "
            f"convert one, as y.astype(td.{x.dtype})"
        )
    if x.dtype.is_bool:
        raise DTypeError("a product of bool tensors would have to sum them; write x.astype(td.int32)")
    for what, (left, right) in (("batch", batch), ("axes", axes)):
        if len(left) != len(right):
            raise ShapeError(f"contract: {what} pairs {len(left)} axes of x with {len(right)} of y")
    for k, (name, spec) in enumerate((("x", x), ("y", y))):
        shape_ops.check_axes(batch[k] + axes[k], spec.ndim, f"contract, {name}")
    for what, pairs in (("batch", batch), ("axes", axes)):
        for p, q in zip(*pairs, strict=True):
            _check_pair(x, y, p, q, what)
    return x.with_shape(
        [x.shape[a] for a in batch[0]]
        + [x.shape[a] for a in free_axes(x.ndim, batch[0], axes[0])]
        + [y.shape[a] for a in free_axes(y.ndim, batch[1], axes[1])]
    )


def _check_pair(x: Spec, y: Spec, p: int, q: int, what: str) -> None:
    try:
        fits = same_size(x.shape[p], y.shape[q])
    except DimError as e:
        raise DimError(f"a product of {x} and {y}: {e.message}") from None
    if not fits:
        sizes = f"axis {p} of {x} has size {x.shape[p]} and axis {q} of {y} has size {y.shape[q]}"
        meaning = "are multiplied and summed" if what == "axes" else "go in step"
        raise ShapeError(f"{x} and {y} have no product: {sizes}; they {meaning}, so they must be equal")


@contract.reference
def _(x: Array, y: Array, *, batch: Pairs, axes: Pairs) -> Array:
    x_free, y_free = free_axes(x.ndim, batch[0], axes[0]), free_axes(y.ndim, batch[1], axes[1])
    shape = [x.shape[a] for a in batch[0] + x_free] + [y.shape[a] for a in y_free]
    lead = [x.shape[a] for a in batch[0]]
    rows, columns = math.prod(x.shape[a] for a in x_free), math.prod(y.shape[a] for a in y_free)
    summed = math.prod(x.shape[a] for a in axes[0])
    left = widened(x).transpose(batch[0] + x_free + axes[0]).reshape(*lead, rows, summed)
    right = widened(y).transpose(batch[1] + axes[1] + y_free).reshape(*lead, summed, columns)
    out: Array = np.matmul(left, right).reshape(shape).astype(x.dtype, copy=False)
    return out


@contract.transpose
def _(ct: Tensor, x: Any, y: Any, *, batch: Pairs, axes: Pairs) -> tuple[Any, Any]:
    if isinstance(x, Unknown):
        return _cotangent(ct, x, y, batch, axes, first=True), None
    return None, _cotangent(ct, y, x, batch[::-1], axes[::-1], first=False)


def _cotangent(ct: Tensor, unknown: Unknown, known: Tensor, batch: Pairs, axes: Pairs, *, first: bool) -> Any:
    """ct summed with the known operand over that one's free axes; its summed axes are what the unknown one lacks."""
    own = free_axes(unknown.ndim, batch[0], axes[0])
    others = free_axes(known.ndim, batch[1], axes[1])
    lead = len(batch[0])
    start = lead + (len(own) if first else 0)
    made = contract(
        ct,
        known,
        batch=(tuple(range(lead)), batch[1]),
        axes=(tuple(range(start, start + len(others))), others),
    )
    partner = dict(zip(axes[1], axes[0], strict=True))
    have = (*batch[0], *own, *(partner[a] for a in sorted(axes[1])))  # which axis of the unknown each one is
    order = tuple(have.index(a) for a in range(len(have)))
    return made if order == tuple(range(len(have))) else shape_ops.transpose(made, axes=order)


@contract.batch
def _(batched: tuple[bool, ...], x: Tensor, y: Tensor, *, size: Size, batch: Pairs, axes: Pairs) -> Any:
    def shifted(pairs: Pairs) -> Pairs:
        left, right = (tuple(a + b for a in side) for side, b in zip(pairs, batched, strict=True))
        return left, right

    batch, axes = shifted(batch), shifted(axes)
    if all(batched):
        return contract(x, y, batch=((0, *batch[0]), (0, *batch[1])), axes=axes)
    out = contract(x, y, batch=batch, axes=axes)
    place = len(batch[0]) if batched[0] else len(batch[0]) + len(free_axes(x.ndim, batch[0], axes[0]))
    return shape_ops.move_axes_first(out, (place,))


@contract.samples
def _(s: Any) -> Iterator[Any]:
    none: Pairs = ((), ())
    matmul = {"batch": none, "axes": ((1,), (0,))}
    yield s.case(s.normal(3, 4), s.normal(4, 2), **matmul)
    yield s.case(s.normal(1, 4), s.normal(4, 1), **matmul)
    yield s.case(s.normal(3, 0), s.normal(0, 2), **matmul)
    yield s.case(s.normal(0, 3), s.normal(3, 2), **matmul)
    yield s.case(s.normal(4), s.normal(4), batch=none, axes=((0,), (0,)))
    yield s.case(s.normal(2, 3), s.normal(4), batch=none, axes=none)  # outer
    yield s.case(s.normal(), s.normal(2), batch=none, axes=none)
    yield s.case(s.normal(2, 3, 4), s.normal(2, 4, 5), batch=((0,), (0,)), axes=((2,), (1,)))
    yield s.case(s.normal(3, 2, 4, 5), s.normal(5, 6, 2, 3), batch=((1, 0), (2, 3)), axes=((3,), (0,)))
    yield s.case(s.normal(2, 3, 4), s.normal(4, 5, 3), batch=none, axes=((1, 2), (2, 0)))
    yield s.case(s.normal(2, 3, 4, 2), s.normal(2, 4, 5, 3), batch=((3,), (0,)), axes=((2, 1), (1, 3)))
    yield s.case(s.normal(2, 3), s.normal(2, 3), batch=((0, 1), (0, 1)), axes=none)
    yield s.case(s.integers(-4, 5, 2, 3), s.integers(-4, 5, 3, 2), **matmul)
    yield s.special([[np.inf, 1.0], [np.nan, 0.0]], [[1.0, 2.0], [0.0, 1.0]], **matmul)
    yield s.error(s.normal(2, 3), s.normal(4, 5), ShapeError, "no product", "size 3", "size 4", "summed", **matmul)
    yield s.error(s.normal(2, 3), s.normal(3, 3), ShapeError, "step", batch=((0,), (0,)), axes=none)
    yield s.error(s.normal(2, 3), s.integers(0, 3, 3, 3), DTypeError, "one dtype", "int32", "astype", **matmul)
    yield s.error(s.booleans(2, 3), s.booleans(3, 3), DTypeError, "bool", "astype", **matmul)
    yield s.error(s.normal(2, 3), s.normal(3, 3), ShapeError, "twice", batch=((1,), (0,)), axes=((1,), (1,)))
    yield s.error(s.normal(2, 3), s.normal(3), ShapeError, "axis 1 does not exist", batch=none, axes=((1,), (1,)))
    yield s.error(s.normal(2, 3), s.normal(3), ShapeError, "pairs 2 axes", batch=none, axes=((0, 1), (0,)))
