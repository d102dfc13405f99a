"""Comparisons, logic, bits, and choice between two values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.core.dtypes import ALL, BOOL, FLOATING, INTEGER, NUMERIC, bool_
from treadle.core.errors import DTypeError, ShapeError
from treadle.core.primitive import Primitive, Unknown
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops.elementwise_class import (
    Array,
    Sample,
    binary_cases,
    binary_errors,
    constant,
    elementwise,
    refuses,
    stretched,
    stretched_shape,
    unary_cases,
    unbroadcast,
)

if TYPE_CHECKING:
    from treadle.testing.samples import Samples

eq = elementwise("eq", arity=2, dtypes=ALL, result=bool_)
ne = elementwise("ne", arity=2, dtypes=ALL, result=bool_)
lt = elementwise("lt", arity=2, dtypes=NUMERIC, result=bool_)
le = elementwise("le", arity=2, dtypes=NUMERIC, result=bool_)
gt = elementwise("gt", arity=2, dtypes=NUMERIC, result=bool_)
ge = elementwise("ge", arity=2, dtypes=NUMERIC, result=bool_)


def _comparison(primitive: Primitive, function: Any) -> None:
    primitive.reference(lambda x, y: function(x, y).astype(np.bool_))

    @primitive.samples
    def _(s: Samples) -> Iterator[Sample]:
        yield from binary_cases(s, s.distinct, s.nonzero)
        yield s.case(s.integers(-2, 3, 2, 3), s.integers(-2, 3, 3))
        yield s.case(s.integers(0, 3, 4, dtype="uint8"), s.integers(0, 3, 4, dtype="uint8"))
        yield s.special(
            [0.0, -0.0, np.nan, 1.0, np.inf, -np.inf, np.inf], [-0.0, 0.0, np.nan, np.nan, np.inf, np.inf, 3.0]
        )
        if primitive.name in ("eq", "ne"):
            yield s.case(s.booleans(4), s.booleans(4))
        else:
            yield from refuses(s, "bool", arity=2)


for _primitive, _function in (
    (eq, np.equal),
    (ne, np.not_equal),
    (lt, np.less),
    (le, np.less_equal),
    (gt, np.greater),
    (ge, np.greater_equal),
):
    _comparison(_primitive, _function)


is_finite = elementwise("is_finite", arity=1, dtypes=FLOATING, result=bool_)


@is_finite.reference
def _(x: Array) -> Array:
    return np.isfinite(x).astype(np.bool_)


@is_finite.samples
def _(s: Samples) -> Iterator[Sample]:
    yield from unary_cases(s, s.normal)
    yield s.special([0.0, np.inf, -np.inf, np.nan, 1.0])
    yield from refuses(s, "int32", "bool")


# Logical on bool, bitwise on integers.
not_ = elementwise("not_", arity=1, dtypes=BOOL + INTEGER)
and_ = elementwise("and_", arity=2, dtypes=BOOL + INTEGER)
or_ = elementwise("or_", arity=2, dtypes=BOOL + INTEGER)
xor = elementwise("xor", arity=2, dtypes=BOOL + INTEGER)
# Shifted by its number of bits or more, or by less than 0, a number becomes 0; or -1, if negative and shifted right.
shift_left = elementwise("shift_left", arity=2, dtypes=INTEGER)
shift_right = elementwise("shift_right", arity=2, dtypes=INTEGER)

not_.reference(np.invert)
and_.reference(np.bitwise_and)
or_.reference(np.bitwise_or)
xor.reference(np.bitwise_xor)
shift_left.reference(np.left_shift)
shift_right.reference(np.right_shift)


@not_.samples
def _(s: Samples) -> Iterator[Sample]:
    yield from unary_cases(s, s.booleans)
    yield s.case(s.integers(-5, 5, 4))
    yield s.case(s.integers(0, 200, 4, dtype="uint8"))
    yield from refuses(s, "float32")


def _bitwise(primitive: Primitive) -> None:
    @primitive.samples
    def _(s: Samples) -> Iterator[Sample]:
        def bits(*shape: int) -> Array:
            return s.integers(-9, 9, *shape)

        yield from binary_cases(s, bits, bits)
        yield s.case(s.booleans(4), s.booleans(4))
        yield s.case(s.booleans(2, 1), s.booleans(3))
        yield s.case(s.integers(0, 200, 4, dtype="uint8"), s.integers(0, 200, 4, dtype="uint8"))
        yield from refuses(s, "float32", arity=2)


for _primitive in (and_, or_, xor):
    _bitwise(_primitive)


def _shift(primitive: Primitive) -> None:
    @primitive.samples
    def _(s: Samples) -> Iterator[Sample]:
        def number(*shape: int) -> Array:
            return s.integers(-99, 99, *shape)

        def distance(*shape: int) -> Array:
            return s.integers(0, 31, *shape)

        yield from binary_cases(s, number, distance)
        yield s.case(s.integers(0, 200, 4, dtype="uint8"), s.integers(0, 12, 4, dtype="uint8"))
        yield s.case(np.array([5, -5, 5, -5], np.int32), np.array([32, 40, -1, -1], np.int32))
        yield from refuses(s, "float32", "bool", arity=2)


for _primitive in (shift_left, shift_right):
    _shift(_primitive)


select = elementwise("select", arity=3, dtypes=ALL, additive=(1, 2))


@select.shape
def _(mask: Spec, x: Spec, y: Spec) -> Spec:
    if not mask.dtype.is_bool:
        raise DTypeError(
            f"`select` chooses by a bool mask, and got {mask.dtype}. Write the condition out, for instance mask != 0"
        )
    branch = stretched("select", (x, y), ALL)
    return branch.with_shape(stretched_shape("select", (mask.shape, x.shape, y.shape)))


@select.reference
def _(mask: Array, x: Array, y: Array) -> Array:
    return np.where(mask, x, y)


@select.transpose
def _(ct: Tensor, mask: Tensor, x: Any, y: Any) -> tuple[Any, ...]:
    zero = constant(0, ct)
    return (
        None,
        unbroadcast(select(mask, ct, zero), x.shape) if isinstance(x, Unknown) else None,
        unbroadcast(select(mask, zero, ct), y.shape) if isinstance(y, Unknown) else None,
    )


@select.samples
def _(s: Samples) -> Iterator[Sample]:
    yield s.case(s.booleans(3), s.normal(3), s.normal(3))
    yield s.case(s.booleans(), s.normal(), s.normal())
    yield s.case(s.booleans(2, 1), s.normal(3), s.normal())
    yield s.case(s.booleans(3), s.normal(2, 1, 1), s.normal(4, 1))
    yield s.case(s.booleans(0, 2), s.normal(2), s.normal(1, 1))
    yield s.case(s.booleans(4), s.integers(0, 9, 4), s.integers(0, 9, 4))
    yield s.case(s.booleans(4), s.booleans(4), s.booleans(4))
    yield s.special([True, False], [np.nan, np.nan], [1.0, np.inf])
    yield s.error(s.normal(3), s.normal(3), s.normal(3), DTypeError, "bool mask", "float64", "mask != 0")
    yield s.error(s.booleans(2), s.normal(3), s.normal(3), ShapeError, "broadcast", "[2] and [3] and [3]")
    for error in binary_errors(s, s.normal, s.normal):
        yield s.error(s.booleans(), *error.inputs, error.error, error.words[0])


__all__ = [
    "and_", "eq", "ge", "gt", "is_finite", "le", "lt", "ne", "not_", "or_", "select", "shift_left", "shift_right",
    "xor",
]  # fmt: skip
