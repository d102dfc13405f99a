"""Exponentials, logarithms, trigonometric and hyperbolic functions, and the special functions of statistics.

All take `[...]` floating point and return the same shape and dtype, element by element; a Python number becomes
float32. An integer tensor raises `DTypeError`, whose message gives the conversion.
"""

from __future__ import annotations

import math

from treadle.array.convert import (
    ArrayLike,
    apply,
    check_floating,
    eps,
    floating,
    like,
    operands,
    static_int,
    stop_gradient,
)
from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor
from treadle.ops import elementwise as ew


def acos(x: ArrayLike, /) -> Tensor:
    """Angle in [0, π] whose cosine is x; NaN outside of [-1, 1].

    >>> td.acos(1.0).item()
    0.0
    """
    return apply(ew.acos, floating("acos", x))


def acosh(x: ArrayLike, /) -> Tensor:
    """Number >= 0 whose hyperbolic cosine is x; NaN below 1.

    >>> td.acosh(1.0).item()
    0.0
    """
    return apply(ew.acosh, floating("acosh", x))


def asin(x: ArrayLike, /) -> Tensor:
    """Angle in [-π/2, π/2] whose sine is x; NaN outside of [-1, 1].

    >>> td.asin(0.0).item()
    0.0
    """
    return apply(ew.asin, floating("asin", x))


def asinh(x: ArrayLike, /) -> Tensor:
    """Number whose hyperbolic sine is x.

    >>> td.asinh(0.0).item()
    0.0
    """
    return apply(ew.asinh, floating("asinh", x))


def atan(x: ArrayLike, /) -> Tensor:
    """Angle in (-π/2, π/2) whose tangent is x.

    >>> round(td.atan(1.0).item(), 4)
    0.7854
    """
    return apply(ew.atan, floating("atan", x))


def atan2(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Angle in [-π, π] of the point with ordinate x1 and abscissa x2. They broadcast.

    >>> round(td.atan2(1.0, -1.0).item(), 4)
    2.3562
    """
    y, x = operands("atan2", x1, x2)
    check_floating("atan2", y)
    return apply(ew.atan2, y, x)


def atanh(x: ArrayLike, /) -> Tensor:
    """Number whose hyperbolic tangent is x; infinite at ±1, NaN beyond.

    >>> td.atanh(1.0).item()
    inf
    """
    return apply(ew.atanh, floating("atanh", x))


def cos(x: ArrayLike, /) -> Tensor:
    """Cosine of x radians.

    >>> td.cos(0.0).item()
    1.0
    """
    return apply(ew.cos, floating("cos", x))


def cosh(x: ArrayLike, /) -> Tensor:
    """Hyperbolic cosine.

    >>> td.cosh(0.0).item()
    1.0
    """
    return apply(ew.cosh, floating("cosh", x))


def digamma(x: ArrayLike, /) -> Tensor:
    """Derivative of `lgamma`.

    >>> round(td.digamma(1.0).item(), 4)
    -0.5772
    """
    return apply(ew.digamma, floating("digamma", x))


def erf(x: ArrayLike, /) -> Tensor:
    """Error function: the probability that a normal variable with variance 1/2 lies within ±x.

    >>> round(td.erf(1.0).item(), 4)
    0.8427
    """
    return apply(ew.erf, floating("erf", x))


def erfinv(x: ArrayLike, /) -> Tensor:
    """Inverse of `erf`: infinite at ±1, NaN beyond.

    >>> round(td.erfinv(td.erf(0.5)).item(), 4)
    0.5
    """
    return apply(ew.erfinv, floating("erfinv", x))


def exp(x: ArrayLike, /) -> Tensor:
    """e to the power x.

    >>> td.exp(0.0).item()
    1.0
    """
    return apply(ew.exp, floating("exp", x))


def expm1(x: ArrayLike, /) -> Tensor:
    """`exp(x) - 1`, without its cancellation for small x.

    >>> round(td.expm1(1e-8).item(), 12)
    1e-08
    """
    return apply(ew.expm1, floating("expm1", x))


def hypot(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`sqrt(x1**2 + x2**2)` whose squares neither overflow nor vanish. They broadcast. Its derivative at (0, 0) is 0.

    >>> round(td.hypot(3e30, 4e30).item() / 1e30, 4)
    5.0
    """
    x, y = operands("hypot", x1, x2)
    check_floating("hypot", x)
    a, b = apply(ew.abs, x), apply(ew.abs, y)
    largest = stop_gradient(apply(ew.maximum, a, b))
    zero, one = like(0, x), like(1, x)
    usable = apply(ew.and_, apply(ew.gt, largest, zero), apply(ew.is_finite, largest))
    scale = apply(ew.select, usable, largest, one)
    p, q = a / scale, b / scale
    squares = p * p + q * q
    root = scale * apply(ew.sqrt, apply(ew.select, apply(ew.eq, squares, zero), one, squares))
    root = apply(ew.select, apply(ew.eq, squares, zero), zero, root)
    infinity = like(math.inf, x)  # also beside NaN (IEEE 754, hypot)
    return apply(ew.select, apply(ew.or_, apply(ew.eq, a, infinity), apply(ew.eq, b, infinity)), infinity, root)


def lgamma(x: ArrayLike, /) -> Tensor:
    """Logarithm of the magnitude of Γ(x).

    >>> import math
    >>> round(td.lgamma(5.0).item(), 4) == round(math.log(24), 4)
    True
    """
    return apply(ew.lgamma, floating("lgamma", x))


def log(x: ArrayLike, /) -> Tensor:
    """Natural logarithm: -inf at 0, NaN below.

    >>> td.log(1.0).item(), td.log(0.0).item()
    (0.0, -inf)
    """
    return apply(ew.log, floating("log", x))


def log10(x: ArrayLike, /) -> Tensor:
    """Logarithm to the base 10; exact for powers of ten.

    >>> td.log10(1000.0).item()
    3.0
    """
    return _log("log10", x, math.log(10))


def _log(name: str, x: ArrayLike, log_base: float) -> Tensor:
    """A quotient of logarithms is off by a rounding or two, also where the result is an integer: then it is snapped."""
    t = floating(name, x)
    quotient = apply(ew.div, apply(ew.log, t), like(log_base, t))
    whole = apply(ew.round, quotient)
    correction = apply(ew.sub, whole, quotient)
    tolerance = apply(ew.mul, apply(ew.abs, whole), like(2 * eps(t.dtype), t))
    close = apply(ew.le, apply(ew.abs, correction), tolerance)
    return apply(ew.add, quotient, stop_gradient(apply(ew.select, close, correction, like(0, t))))


def log1p(x: ArrayLike, /) -> Tensor:
    """`log(1 + x)`, without its cancellation for small x.

    >>> round(td.log1p(1e-8).item(), 12)
    1e-08
    """
    return apply(ew.log1p, floating("log1p", x))


def log2(x: ArrayLike, /) -> Tensor:
    """Logarithm to the base 2; exact for powers of two.

    >>> td.log2(8.0).item()
    3.0
    """
    return _log("log2", x, math.log(2))


def logaddexp(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`log(exp(x1) + exp(x2))` without overflow. They broadcast.

    >>> td.logaddexp(1000.0, -1000.0).item()
    1000.0
    """
    x, y = operands("logaddexp", x1, x2)
    check_floating("logaddexp", x)
    return apply(ew.logaddexp, x, y)


def polygamma(n: int, x: ArrayLike, /) -> Tensor:
    """The n-th derivative of `digamma`, n >= 0, for x > 0.

    Raises:
        ArgumentError: a negative n.

    >>> import math
    >>> round(td.polygamma(1, 1.0).item(), 4) == round(math.pi**2 / 6, 4)
    True
    """
    order = static_int("polygamma", n, "n")
    if order < 0:
        raise ArgumentError(f"polygamma: n counts derivatives and is not negative; got {n}")
    t = floating("polygamma", x)
    return apply(ew.polygamma, t, n=order) if order else apply(ew.digamma, t)


def rsqrt(x: ArrayLike, /) -> Tensor:
    """`1 / sqrt(x)`.

    >>> td.rsqrt(4.0).item()
    0.5
    """
    return apply(ew.rsqrt, floating("rsqrt", x))


def sin(x: ArrayLike, /) -> Tensor:
    """Sine of x radians.

    >>> td.sin(0.0).item()
    0.0
    """
    return apply(ew.sin, floating("sin", x))


def sinh(x: ArrayLike, /) -> Tensor:
    """Hyperbolic sine.

    >>> td.sinh(0.0).item()
    0.0
    """
    return apply(ew.sinh, floating("sinh", x))


def sqrt(x: ArrayLike, /) -> Tensor:
    """Square root; NaN below 0.

    >>> td.sqrt(td.asarray([4., 9.])).tolist()
    [2.0, 3.0]
    """
    return apply(ew.sqrt, floating("sqrt", x))


def tan(x: ArrayLike, /) -> Tensor:
    """Tangent of x radians.

    >>> td.tan(0.0).item()
    0.0
    """
    return apply(ew.tan, floating("tan", x))


def tanh(x: ArrayLike, /) -> Tensor:
    """Hyperbolic tangent.

    >>> td.tanh(0.0).item()
    0.0
    """
    return apply(ew.tanh, floating("tanh", x))
