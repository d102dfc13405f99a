"""exp, expm1, and what follows from them: sigmoid, tanh, sinh, cosh.

The argument is reduced to r in ±ln(2)/2 by a multiple of ln(2), which is subtracted in two parts (Cody and Waite,
1980); exp(r) is its Taylor polynomial, of the degree from which on the rest is below a tenth of the last place's unit.
"""

from __future__ import annotations

import functools
from fractions import Fraction
from math import factorial

from treadle.backends.native.assembly import Value
from treadle.backends.native.mathematics.arithmetic import Numbers

LOG2_E = 1.4426950408889634
# ln(2) as a sum: the first part has 32 (15) bits, so that its products with exponents are exact
LN2 = {"double": (6.93147180369123816490e-01, 1.90821492927058770002e-10), "float": (0.693359375, -2.12194440e-4)}
HIGHEST = {"double": 710.0, "float": 89.0}  # beyond these the result is inf, 0
LOWEST = {"double": -746.0, "float": -104.0}
DEGREE = {"double": 13, "float": 7}


def _reduced(n: Numbers, x: Value) -> tuple[Value, Value, Value]:
    """(r, k, exp(r) - 1 - r) with x = k ln(2) + r; x is held within what does not over- or underflow anyway."""
    high, low = n.number(HIGHEST[n.kind]), n.number(LOWEST[n.kind])
    x = n.select(n.test("ogt", x, high), high, x)
    x = n.select(n.test("olt", x, low), low, x)
    whole, k = n.nearest(n.mul(x, n.number(LOG2_E)))
    first, second = LN2[n.kind]
    r = n.fma(whole, n.number(-first), x)
    r = n.fma(whole, n.number(-second), r)
    tail = n.polynomial(r, [1 / factorial(j) for j in range(2, DEGREE[n.kind] + 1)])
    return r, k, n.mul(n.mul(r, r), tail)


def exp(n: Numbers, x: Value) -> Value:
    r, k, rest = _reduced(n, x)
    return n.scaled(n.add(n.number(1.0), n.add(r, rest)), k)


def expm1(n: Numbers, x: Value) -> Value:
    """2**k (exp(r) - 1) + (2**k - 1): exact in the second part as long as it matters."""
    r, k, rest = _reduced(n, x)
    minus = n.add(r, rest)
    # One factor 2 is kept back, for 2**k overflows before the result does; -60 is as good as any smaller exponent.
    lower = n.f.intrinsic("smax", n.f.binary("sub", k, n.whole(1)), n.whole(-60))
    half = n.power_of_two(lower)
    sum_ = n.fma(half, minus, n.sub(half, n.number(0.5)))
    made = n.mul(sum_, n.number(2.0))
    made = n.select(n.f.compare("icmp eq", k, n.whole(0)), minus, made)
    return n.select(n.test("oeq", x, n.number(0.0)), x, made)


def sigmoid(n: Numbers, x: Value) -> Value:
    e = exp(n, n.neg(n.magnitude(x)))
    one = n.number(1.0)
    return n.div(n.select(n.test("oge", x, n.number(0.0)), one, e), n.add(one, e))


def tanh(n: Numbers, x: Value) -> Value:
    """t / (t + 2) with t = expm1(2 |x|) where x is small, and 1 - 2 / (t + 2), which is the same, where it is not.

    In float64 the first loses more than two units in the last place; there it is the Taylor series.
    """
    size, two = n.magnitude(x), n.number(2.0)
    t = expm1(n, n.add(size, size))
    small = n.test("olt", size, n.number(0.6))
    if n.double:
        z = n.mul(x, x)
        series = n.fma(n.mul(x, z), n.polynomial(z, _tanh_series(22)), x)
        made = n.sub(n.number(1.0), n.div(two, n.add(t, two)))
        return n.with_sign(n.select(small, series, made), x)
    part = n.div(n.select(small, t, n.neg(two)), n.add(t, two))
    return n.with_sign(n.select(small, part, n.add(n.number(1.0), part)), x)


@functools.cache
def _tanh_series(count: int) -> tuple[float, ...]:
    """Coefficients of x³, x⁵, … in tanh(x), from its differential equation y' = 1 - y²."""
    found = [Fraction(1)]
    for k in range(1, count + 1):
        found.append(-sum((found[i] * found[k - 1 - i] for i in range(k)), Fraction(0)) / (2 * k + 1))
    return tuple(map(float, found[1:]))


def sinh(n: Numbers, x: Value) -> Value:
    """From t = expm1(|x|): (t + t / (t + 1)) / 2; near overflow in two factors.

    In float64 that loses more than two units in the last place where x is small; there it is the Taylor series.
    """
    size = n.magnitude(x)
    t = expm1(n, size)
    one, half = n.number(1.0), n.number(0.5)
    made = n.mul(n.add(t, n.div(t, n.add(t, one))), half)
    if n.double:
        z = n.mul(x, x)
        series = n.fma(n.mul(size, z), n.polynomial(z, [1 / factorial(j) for j in range(3, 20, 2)]), size)
        made = n.select(n.test("olt", size, one), series, made)
    return n.with_sign(n.select(_is_large(n, size), _half_exp(n, size), made), x)


def cosh(n: Numbers, x: Value) -> Value:
    """From e = exp(|x|): (e + 1 / e) / 2; near overflow in two factors."""
    size = n.magnitude(x)
    e = exp(n, size)
    made = n.mul(n.add(e, n.div(n.number(1.0), e)), n.number(0.5))
    return n.select(_is_large(n, size), _half_exp(n, size), made)


def _is_large(n: Numbers, size: Value) -> Value:
    return n.test("ogt", size, n.number(40.0 if n.double else 20.0))


def _half_exp(n: Numbers, size: Value) -> Value:
    """exp(x) / 2 where exp(x) overflows and the half does not; larger x count as the largest that matters."""
    top = n.number(711.0 if n.double else 90.0)
    size = n.select(n.test("ogt", size, top), n.number(float("inf")), size)
    whole, k = n.nearest(n.mul(n.select(n.test("ogt", size, top), top, size), n.number(LOG2_E)))
    first, second = LN2[n.kind]
    held = n.select(n.test("ogt", size, top), top, size)
    r = n.fma(whole, n.number(-second), n.fma(whole, n.number(-first), held))
    tail = n.polynomial(r, [1 / factorial(j) for j in range(2, DEGREE[n.kind] + 1)])
    value = n.add(n.number(1.0), n.add(r, n.mul(n.mul(r, r), tail)))
    return n.scaled(value, n.f.binary("sub", k, n.whole(1)))
