"""Signs, magnitudes, and rounding to integers and to neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.core.dtypes import FLOATING, NUMERIC
from treadle.core.primitive import Primitive
from treadle.core.tensor import Tensor
from treadle.ops.elementwise_class import (
    Array,
    Sample,
    binary_cases,
    constant,
    elementwise,
    no_change,
    refuses,
    unary_cases,
    widened,
)

if TYPE_CHECKING:
    from treadle.testing.samples import Samples

_SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, -0.5, 1.5, 2.5, -2.5]

abs = elementwise("abs", arity=1, dtypes=NUMERIC)
# -1, 0 or 1; NaN for NaN.
sign = elementwise("sign", arity=1, dtypes=NUMERIC)
abs.reference(widened(np.abs))
sign.reference(widened(np.sign))
sign.jvp(no_change)


@abs.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    return tangents[0] * sign(primals[0])


def _signed(primitive: Primitive) -> None:
    @primitive.samples
    def _(s: Samples) -> Iterator[Sample]:
        yield from unary_cases(s, s.nonzero)
        yield s.case(s.integers(-5, 5, 4))
        yield s.case(s.integers(0, 9, 4, dtype="uint8"))
        yield s.special(_SPECIAL)
        yield from refuses(s, "bool")


_signed(abs)
_signed(sign)

floor = elementwise("floor", arity=1, dtypes=FLOATING)
ceil = elementwise("ceil", arity=1, dtypes=FLOATING)
trunc = elementwise("trunc", arity=1, dtypes=FLOATING)
# Halves go to the even neighbour.
round = elementwise("round", arity=1, dtypes=FLOATING)


def _rounding(primitive: Primitive, function: Callable[..., Any]) -> None:
    primitive.reference(widened(function))
    primitive.jvp(no_change)

    @primitive.samples
    def _(s: Samples) -> Iterator[Sample]:
        yield from unary_cases(s, s.distinct)
        yield s.special([*_SPECIAL, 1e9, -1e9, 3.5, 0.4999])
        yield from refuses(s, "int32", "bool")


for _primitive, _function in ((floor, np.floor), (ceil, np.ceil), (trunc, np.trunc), (round, np.rint)):
    _rounding(_primitive, _function)


# x with y's sign, also of -0.0.
copysign = elementwise("copysign", arity=2, dtypes=FLOATING)
copysign.reference(widened(np.copysign))


@copysign.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    x, y = primals
    return tangents[0] * (sign(x) * copysign(constant(1, y), y))


@copysign.samples
def _(s: Samples) -> Iterator[Sample]:
    yield from binary_cases(s, s.nonzero, s.nonzero)
    yield s.special([1.0, -1.0, np.inf, 0.0, np.nan], [-0.0, 0.0, -1.0, -3.0, 1.0])
    yield from refuses(s, "int32", arity=2)


# The next number of x's dtype towards y; a step so small that the derivative is the identity's.
nextafter = elementwise("nextafter", arity=2, dtypes=FLOATING)


@nextafter.reference
def _(x: Array, y: Array) -> Array:
    return np.asarray(np.nextafter(x, y))


@nextafter.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    return tangents[0]


@nextafter.samples
def _(s: Samples) -> Iterator[Sample]:
    yield from binary_cases(s, s.distinct, s.nonzero)
    yield s.special([1.0, np.inf, np.nan, 1.0, -2.0], [1.0, np.inf, 1.0, np.nan, -2.0])
    yield from refuses(s, "int32", arity=2)


__all__ = ["abs", "ceil", "copysign", "floor", "nextafter", "round", "sign", "trunc"]
