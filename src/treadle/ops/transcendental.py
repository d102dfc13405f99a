"""Exponentials, logarithms, powers and roots, trigonometric and hyperbolic functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.core.dtypes import FLOATING, NUMERIC
from treadle.core.errors import ArgumentError
from treadle.core.primitive import Primitive, Zero
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops.arithmetic import maximum
from treadle.ops.casting import stop_gradient
from treadle.ops.elementwise_class import (
    Array,
    Draw,
    Sample,
    binary_cases,
    constant,
    elementwise,
    refuses,
    stretched,
    unary_cases,
    widened,
)
from treadle.ops.logic import and_, eq, gt, is_finite, not_, select
from treadle.ops.rounding import abs

if TYPE_CHECKING:
    from treadle.testing.samples import Samples

_EXTREMES = (0.0, -0.0, np.inf, -np.inf, np.nan)


def _unary(
    name: str,
    function: Callable[..., Any],
    factor: Callable[[Tensor, Tensor], Any],
    draw: Callable[[Samples], Draw],
    special: Sequence[float] = (),
) -> Primitive:
    """A function of one number whose derivative, times the tangent, is `factor(x, out)`."""
    primitive = elementwise(name, arity=1, dtypes=FLOATING)
    primitive.reference(widened(function))

    @primitive.jvp
    def _(primals: Any, tangents: Any, out: Tensor) -> Any:
        return tangents[0] * factor(primals[0], out)

    @primitive.samples
    def _(s: Samples) -> Iterator[Sample]:
        yield from unary_cases(s, draw(s))
        yield s.special([*_EXTREMES, *special])
        yield from refuses(s, "int32", "bool")

    return primitive


def _normal(s: Samples) -> Draw:
    return s.normal


def _positive(s: Samples) -> Draw:
    return s.positive


def _within(low: float, high: float) -> Callable[[Samples], Draw]:
    return lambda s: partial(s.uniform, low, high)


def _rsqrt(x: Array) -> Array:
    return np.ones((), x.dtype) / np.sqrt(x)


# (1 - x)·(1 + x) is 1 - x² without the cancellation near ±1.
exp = _unary("exp", np.exp, lambda x, out: out, _normal, (1000.0, -1000.0))
expm1 = _unary("expm1", np.expm1, lambda x, out: out + 1, _normal, (1e-9, -1e-9, 1000.0, -1000.0))
log = _unary("log", np.log, lambda x, out: 1 / x, _positive, (-1.0, 1.0, 1e-30, 1e30))
log1p = _unary("log1p", np.log1p, lambda x, out: 1 / (1 + x), _positive, (-1.0, -2.0, 1e-9, 1e30))
sqrt = _unary("sqrt", np.sqrt, lambda x, out: 0.5 / out, _positive, (-1.0, 1e-30, 1e30))
rsqrt = _unary("rsqrt", _rsqrt, lambda x, out: -0.5 * out / x, _positive, (-1.0, 1e-30, 1e30))

sin = _unary("sin", np.sin, lambda x, out: cos(x), _normal, (1e4, -1e-9))
cos: Primitive = _unary("cos", np.cos, lambda x, out: -sin(x), _normal, (1e4, -1e-9))
tan = _unary("tan", np.tan, lambda x, out: 1 + out * out, _within(-1.2, 1.2), (1e-9,))
asin = _unary("asin", np.arcsin, lambda x, out: rsqrt((1 - x) * (1 + x)), _within(-0.9, 0.9), (1.0, -1.0, 1.5))
acos = _unary("acos", np.arccos, lambda x, out: -rsqrt((1 - x) * (1 + x)), _within(-0.9, 0.9), (1.0, -1.0, 1.5))
atan = _unary("atan", np.arctan, lambda x, out: 1 / (1 + x * x), _normal, (1e9, -1e9))

sinh = _unary("sinh", np.sinh, lambda x, out: cosh(x), _normal, (1000.0, -1000.0, 1e-9))
cosh: Primitive = _unary("cosh", np.cosh, lambda x, out: sinh(x), _normal, (1000.0, -1000.0))
tanh = _unary("tanh", np.tanh, lambda x, out: (1 - out) * (1 + out), _normal, (1000.0, -1000.0, 1e-9))
asinh = _unary("asinh", np.arcsinh, lambda x, out: rsqrt(1 + x * x), _normal, (1e9, -1e9, 1e-9))
acosh = _unary("acosh", np.arccosh, lambda x, out: rsqrt((x - 1) * (x + 1)), _within(1.3, 4.0), (1.0, 0.5, 1e9))
atanh = _unary("atanh", np.arctanh, lambda x, out: 1 / ((1 - x) * (1 + x)), _within(-0.9, 0.9), (1.0, -1.0, 1.5, 1e-9))


integer_power = elementwise("integer_power", arity=1, dtypes=NUMERIC)


@integer_power.shape
def _(x: Spec, *, exponent: int) -> Spec:
    if exponent < 0 and x.dtype.is_integer:
        raise ArgumentError(
            f"{x.dtype} to the power {exponent} is no integer; convert first: x.astype(td.float32) ** {exponent}"
        )
    return stretched("integer_power", (x,), NUMERIC)


@integer_power.reference
@widened
def _(x: Array, *, exponent: int) -> Array:
    # np.power takes the exponent in x's dtype; uint8 and int8 hold all that can matter to them modulo 2**bits only
    # when multiplied out, so integers are.
    return _multiplied_out(x, exponent) if x.dtype.kind in "iu" else np.power(x, x.dtype.type(exponent))


def _multiplied_out(x: Array, exponent: int) -> Array:
    """By repeated squaring, modulo 2**bits."""
    out, square = np.ones_like(x), x
    while exponent:
        if exponent & 1:
            out = out * square
        square, exponent = square * square, exponent >> 1
    return out


@integer_power.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, exponent: int) -> Any:
    if exponent == 0:
        return Zero(out.spec)
    return tangents[0] * (exponent * integer_power(primals[0], exponent=exponent - 1))


@integer_power.samples
def _(s: Samples) -> Iterator[Sample]:
    for exponent in (-3, -1, 0, 1, 2, 5):
        yield s.case(s.nonzero(2, 3), exponent=exponent)
    for shape in ((), (0, 2), (2, 1, 3)):
        yield s.case(s.nonzero(*shape), exponent=3)
    yield s.case(s.integers(-5, 5, 4), exponent=3)
    yield s.case(s.integers(0, 9, 4, dtype="uint8"), exponent=300)
    yield s.special([*_EXTREMES, 1.0, -1.0], exponent=-2)
    yield s.special([*_EXTREMES, 1.0, -1.0], exponent=0)
    yield s.special([*_EXTREMES, 1.0, -1.0], exponent=3)
    yield s.error(s.integers(1, 5, 3), ArgumentError, "int32", "-2", "astype", exponent=-2)
    for error in refuses(s, "bool"):
        yield s.error(*error.inputs, error.error, *error.words, exponent=2)


# Integers: a negative exponent rounds towards zero, so it gives 0 but for the bases 1 and -1.
power = elementwise("power", arity=2, dtypes=NUMERIC)


@power.reference
@widened
def _(x: Array, y: Array) -> Array:
    if x.dtype.kind not in "iu":
        return np.power(x, y)
    positive = np.power(x, np.where(y < 0, np.zeros((), y.dtype), y))
    if x.dtype.kind == "u":
        return positive
    unit = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y & 1), 0)).astype(x.dtype)
    return np.where(y < 0, unit, positive)


@power.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    (x, y), (dx, dy) = primals, tangents
    total: Any = Zero(out.spec)
    zero, one = constant(0, x), constant(1, x)
    if not isinstance(dx, Zero):
        # y·x^(y-1), and 0 for y = 0 also at x = 0, where x^(y-1) is infinite.
        total = total + dx * select(eq(y, zero), zero, y * power(x, y - 1))
    if not isinstance(dy, Zero):
        # x^y·log x, which tends to 0 at x = 0 for y > 0, where log x is infinite.
        vanishes = and_(eq(x, zero), gt(y, zero))
        total = total + dy * (out * log(select(vanishes, one, x)))
    return total


@power.samples
def _(s: Samples) -> Iterator[Sample]:
    yield from binary_cases(s, s.positive, s.normal)
    yield s.case(s.integers(-4, 5, 2, 1), s.integers(0, 5, 3))
    yield s.case(np.array([1, -1, -1, 2, 0], np.int32), np.array([-2, -2, -3, -1, -1], np.int32))
    yield s.case(s.integers(0, 9, 4, dtype="uint8"), s.integers(0, 9, 4, dtype="uint8"))
    yield s.special(
        [0.0, 0.0, 0.0, -2.0, -2.0, 1.0, np.nan, np.inf, -0.0, -1.0],
        [0.0, -1.0, 2.0, 3.0, 0.5, np.nan, 0.0, -1.0, -3.0, np.inf],
    )
    yield from refuses(s, "bool", arity=2)


# The angle of the point (x, y), in [-π, π].
atan2 = elementwise("atan2", arity=2, dtypes=FLOATING)
atan2.reference(widened(np.arctan2))


@atan2.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    # (x dy - y dx) / (x² + y²), divided through by the larger magnitude so that no square overflows or vanishes.
    # The quotient does not depend on that scale, so neither do its derivatives.
    (y, x), (dy, dx) = primals, tangents
    scale = stop_gradient(maximum(abs(x), abs(y)))
    a, b = x / scale, y / scale
    squares = (a * a + b * b) * scale
    return dy * (a / squares) - dx * (b / squares)


@atan2.samples
def _(s: Samples) -> Iterator[Sample]:
    yield from binary_cases(s, s.nonzero, s.nonzero)
    yield s.case(np.array([1e-30, 2e-30]), np.array([1e-30, 1e-30]), differentiable=False)
    yield s.special(
        [0.0, -0.0, 0.0, -0.0, np.inf, -np.inf, np.nan, 1.0], [0.0, 0.0, -1.0, -1.0, np.inf, -np.inf, 1.0, -np.inf]
    )
    yield from refuses(s, "int32", arity=2)


# log(eˣ + eʸ).
logaddexp = elementwise("logaddexp", arity=2, dtypes=FLOATING)
logaddexp.reference(widened(np.logaddexp))


@logaddexp.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    from treadle.ops.special import sigmoid

    # p = eˣ / (eˣ + eʸ) without forming eˣ: finite at x = 1000. Equal infinities share the derivative.
    (x, y), (dx, dy) = primals, tangents
    both_infinite = and_(eq(x, y), not_(is_finite(x)))
    difference = select(both_infinite, constant(0, x), x - y)
    return dx * sigmoid(difference) + dy * sigmoid(-difference)


@logaddexp.samples
def _(s: Samples) -> Iterator[Sample]:
    yield from binary_cases(s, s.normal, s.normal)
    yield s.case(np.array([1000.0, -1000.0]), np.array([1000.5, -1000.5]))  # where naive code overflows
    yield s.special([0.0, 1e4, -1e4, np.inf, -np.inf, np.nan], [0.0, -1e4, 1e4, np.inf, -np.inf, 1.0])
    yield from refuses(s, "int32", arity=2)


__all__ = [
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "exp", "expm1", "integer_power", "log",
    "log1p", "logaddexp", "power", "rsqrt", "sin", "sinh", "sqrt", "tan", "tanh",
]  # fmt: skip
