"""The four operations, the masked products of reverse mode, division with remainder, and the extremes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.core.dtypes import FLOATING, NUMERIC
from treadle.core.primitive import Primitive, Unknown, Zero
from treadle.core.tensor import Tensor
from treadle.ops.elementwise_class import (
    Array,
    Sample,
    binary_cases,
    binary_errors,
    constant,
    elementwise,
    no_change,
    refuses,
    unary_cases,
    unbroadcast,
    widened,
)
from treadle.ops.logic import and_, eq, ge, gt, le, lt, ne, or_, select

if TYPE_CHECKING:
    from treadle.testing.samples import Samples

neg = elementwise("neg", arity=1, dtypes=NUMERIC, additive=(0,))
neg.reference(widened(np.negative))


@neg.transpose
def _(ct: Tensor, x: Any) -> tuple[Any, ...]:
    return (neg(ct),)


@neg.samples
def _(s: Samples) -> Iterator[Sample]:
    yield from unary_cases(s, s.normal)
    yield s.case(s.integers(-5, 5, 4))
    yield s.case(s.integers(0, 9, 4, dtype="uint8"))  # modulo 256
    yield s.special([0.0, -0.0, np.inf, -np.inf, np.nan])
    yield from refuses(s, "bool")


add = elementwise("add", arity=2, dtypes=NUMERIC, additive=(0, 1))
sub = elementwise("sub", arity=2, dtypes=NUMERIC, additive=(0, 1))
add.reference(widened(np.add))
sub.reference(widened(np.subtract))


@add.transpose
def _(ct: Tensor, x: Any, y: Any) -> tuple[Any, ...]:
    return tuple(unbroadcast(ct, v.shape) if isinstance(v, Unknown) else None for v in (x, y))


@sub.transpose
def _(ct: Tensor, x: Any, y: Any) -> tuple[Any, ...]:
    return (
        unbroadcast(ct, x.shape) if isinstance(x, Unknown) else None,
        neg(unbroadcast(ct, y.shape)) if isinstance(y, Unknown) else None,
    )


mul = elementwise("mul", arity=2, dtypes=NUMERIC, multilinear=(0, 1))
div = elementwise("div", arity=2, dtypes=FLOATING, multilinear=(0,))
mul.reference(widened(np.multiply))
div.reference(widened(np.true_divide))

# t·f and t/f that are 0 wherever t is, whatever f: how a cotangent that is exactly zero, coming from the branch that a
# `select` did not take, passes an infinite or NaN factor. Without it that product is NaN. f's zeros get no such favour.
masked_mul = elementwise("masked_mul", arity=2, dtypes=FLOATING, multilinear=(0, 1))
masked_div = elementwise("masked_div", arity=2, dtypes=FLOATING, multilinear=(0,))


@masked_mul.reference
@widened
def _(t: Array, f: Array) -> Array:
    return np.where(t == 0, np.zeros((), t.dtype), t * f)


@masked_div.reference
@widened
def _(t: Array, f: Array) -> Array:
    return np.where(t == 0, np.zeros((), t.dtype), t / f)


def _is_finite_literal(x: Tensor) -> bool:
    """Whether a factor is a number that the graph holds, known to be finite: then zero times it is zero anyway."""
    return x.ndim == 0 and x.is_concrete and not x.is_symbolic and bool(np.isfinite(x.numpy()))


def _times(ct: Tensor, factor: Tensor) -> Tensor:
    out: Tensor = (mul if _is_finite_literal(factor) else masked_mul)(ct, factor)
    return out


def _over(ct: Tensor, divisor: Tensor) -> Tensor:
    plain = _is_finite_literal(divisor) and bool(divisor.numpy() != 0)
    out: Tensor = (div if plain else masked_div)(ct, divisor)
    return out


@mul.transpose
def _(ct: Tensor, x: Any, y: Any) -> tuple[Any, ...]:
    if isinstance(x, Unknown):
        return unbroadcast(_times(ct, y), x.shape), None
    return None, unbroadcast(_times(ct, x), y.shape)


@div.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    (_, y), (dx, dy) = primals, tangents
    return dx / y - dy * (out / y)


@div.transpose
def _(ct: Tensor, x: Any, y: Tensor) -> tuple[Any, ...]:
    return unbroadcast(_over(ct, y), x.shape), None


@masked_mul.transpose
def _(ct: Tensor, t: Any, f: Any) -> tuple[Any, ...]:
    if isinstance(t, Unknown):
        return unbroadcast(masked_mul(ct, f), t.shape), None
    # Zero where t is (so is the product), and also where ct is.
    return None, unbroadcast(select(ne(t, constant(0, t)), masked_mul(ct, t), constant(0, ct)), f.shape)


@masked_div.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    (_, f), (dt, df) = primals, tangents
    through_t = dt if isinstance(dt, Zero) else masked_div(dt, f)
    return through_t if isinstance(df, Zero) else through_t - masked_mul(out, df / f)


@masked_div.transpose
def _(ct: Tensor, t: Any, f: Tensor) -> tuple[Any, ...]:
    return unbroadcast(masked_div(ct, f), t.shape), None


def _sampled_like_a_sum(primitive: Primitive) -> None:
    @primitive.samples
    def _(s: Samples) -> Iterator[Sample]:
        yield from binary_cases(s, s.normal, s.normal)
        yield s.case(s.integers(-5, 5, 2, 1), s.integers(-5, 5, 3))
        yield s.case(s.integers(0, 255, 4, dtype="uint8"), s.integers(0, 255, 4, dtype="uint8"))  # modulo 256
        yield s.special([0.0, np.inf, np.inf, np.nan, -0.0, 0.0], [np.inf, -np.inf, np.inf, 1.0, 0.0, -0.0])
        yield from refuses(s, "bool", arity=2)


for _primitive in (add, sub, mul):
    _sampled_like_a_sum(_primitive)


def _sampled_like_a_quotient(primitive: Primitive) -> None:
    @primitive.samples
    def _(s: Samples) -> Iterator[Sample]:
        yield from binary_cases(s, s.nonzero, s.nonzero)
        yield s.special(
            [0.0, -0.0, 1.0, -1.0, np.inf, np.nan, 0.0, 0.0, 0.0, 2.0],
            [0.0, 1.0, 0.0, 0.0, np.inf, 1.0, np.inf, np.nan, -1.0, np.nan],
        )
        yield from refuses(s, "int32", "bool", arity=2)


for _primitive in (div, masked_mul, masked_div):
    _sampled_like_a_quotient(_primitive)


# Quotients rounded down, and remainders with the divisor's sign, as in Python. An integer divided by 0 gives 0 and 0.
floor_divide = elementwise("floor_divide", arity=2, dtypes=NUMERIC)
remainder = elementwise("remainder", arity=2, dtypes=NUMERIC)
floor_divide.reference(widened(np.floor_divide))
remainder.reference(widened(np.remainder))
floor_divide.jvp(no_change)


@remainder.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    (x, y), (dx, dy) = primals, tangents
    return dx if isinstance(dy, Zero) else dx - dy * floor_divide(x, y)


def _sampled_like_a_remainder(primitive: Primitive) -> None:
    @primitive.samples
    def _(s: Samples) -> Iterator[Sample]:
        def dividend(*shape: int) -> Array:  # 0.25 away from the jumps at multiples of the divisor, 0.5, 1, 1.5
            return s.integers(-9, 9, *shape, dtype="int64") * 0.5 + 0.25

        def divisor(*shape: int) -> Array:
            return np.asarray(s.integers(1, 4, *shape, dtype="int64") * s.rng.choice([-0.5, 0.5], shape))

        yield from binary_cases(s, dividend, divisor)
        yield s.case(s.integers(-9, 9, 2, 1), s.integers(-3, 4, 3))
        yield s.case(np.array([5, -5, 0, 7, -7], np.int32), np.array([0, 0, 0, -2, 2], np.int32))
        yield s.case(s.integers(0, 99, 5, dtype="uint8"), s.integers(0, 9, 5, dtype="uint8"))
        yield s.special([0.0, 5.0, -5.0, np.inf, np.nan, 1.0, -0.0], [0.0, np.inf, np.inf, 2.0, 1.0, 0.0, 3.0])
        yield from refuses(s, "bool", arity=2)


for _primitive in (floor_divide, remainder):
    _sampled_like_a_remainder(_primitive)


# NaN where either operand is. Equal operands share the derivative, half each.
maximum = elementwise("maximum", arity=2, dtypes=NUMERIC)
minimum = elementwise("minimum", arity=2, dtypes=NUMERIC)
maximum.reference(widened(np.maximum))
minimum.reference(widened(np.minimum))


def _kept(kept: Tensor, dx: Any) -> Any:
    """A tangent where it is kept, else 0. A choice, not a product: that can drop an infinite tangent."""
    return dx if isinstance(dx, Zero) else select(kept, dx, constant(0, dx))


def _extreme(primitive: Primitive, wins: Primitive) -> None:
    @primitive.jvp
    def _(primals: Any, tangents: Any, out: Tensor) -> Any:
        (x, y), (dx, dy) = primals, tangents
        share = select(eq(x, y), constant(0.5, x), constant(1, x))
        return _kept(wins(x, y), dx * share) + _kept(wins(y, x), dy * share)

    @primitive.samples
    def _(s: Samples) -> Iterator[Sample]:
        yield from binary_cases(s, s.distinct, s.nonzero)
        yield s.case(s.integers(-5, 5, 2, 1), s.integers(-5, 5, 3))
        yield s.case(s.integers(0, 255, 4, dtype="uint8"), s.integers(0, 255, 4, dtype="uint8"))
        yield s.case(s.normal(3) * 0 + 1.5, s.normal(3) * 0 + 1.5)  # ties: half each is what central differences give
        yield s.special([np.nan, 1.0, np.inf, -np.inf, np.nan], [1.0, np.nan, 2.0, 2.0, np.nan])
        yield from refuses(s, "bool", arity=2)


_extreme(maximum, ge)
_extreme(minimum, le)

# minimum(maximum(x, low), high): `high` wins where low > high. At the bounds the derivative is x's.
clamp = elementwise("clamp", arity=3, dtypes=NUMERIC)


@clamp.reference
@widened
def _(x: Array, low: Array, high: Array) -> Array:
    return np.minimum(np.maximum(x, low), high)


@clamp.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    (x, low, high), (dx, dlow, dhigh) = primals, tangents
    total = _kept(and_(ge(x, low), le(x, high)), dx)
    if not isinstance(dlow, Zero):
        total = total + _kept(and_(lt(x, low), le(low, high)), dlow)
    if not isinstance(dhigh, Zero):
        total = total + _kept(or_(gt(x, high), gt(low, high)), dhigh)
    return total


@clamp.samples
def _(s: Samples) -> Iterator[Sample]:
    for shape in ((), (4,), (2, 1, 3), (0, 2)):
        yield s.case(s.distinct(*shape), np.array(-0.61), np.array(0.43))
    yield s.case(s.distinct(2, 3), s.uniform(-2, -1, 3), s.uniform(0, 1, 2, 1))
    yield s.case(s.distinct(4), np.array(0.5), np.array(-0.5))  # low > high
    yield s.case(s.integers(-9, 9, 5), np.array(-2, np.int32), np.array(3, np.int32))
    yield s.case(np.array([-1.0, 0.0, 1.0]), np.array(-1.0), np.array(1.0), differentiable=False)  # kinks
    yield s.special([np.nan, np.inf, -np.inf, 1.0], [0.0, 0.0, 0.0, np.nan], [1.0, 1.0, 1.0, 2.0])
    for error in binary_errors(s, s.normal, s.normal):
        yield s.error(*error.inputs, error.inputs[0], error.error, error.words[0])
    yield from refuses(s, "bool", arity=3)


__all__ = [
    "add", "clamp", "div", "floor_divide", "masked_div", "masked_mul", "maximum", "minimum", "mul", "neg", "remainder",
    "sub",
]  # fmt: skip
