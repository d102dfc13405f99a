"""exp, expm1, and what follows from them: sigmoid, tanh, sinh, cosh.

The argument is reduced to r in ±ln(2)/2 by a multiple of ln(2), which is subtracted in two parts (Cody and Waite,
1980); exp(r) is its Taylor polynomial, of the degree from which on the rest is below a tenth of the last place's unit.
"""

from __future__ import annotations

from math import factorial

from treadle.backends.native.assembly import Value
from treadle.backends.native.mathematics.arithmetic import Numbers
from treadle.backends.native.mathematics.coefficients import TANH_DOUBLE, TANH_FLOAT

LOG2_E = 1.4426950408889634
# ln(2) as a sum: the first part has 32 (15) bits, so that its products with exponents are exact
LN2 = {"double": (6.93147180369123816490e-01, 1.90821492927058770002e-10), "float": (0.693359375, -2.12194440e-4)}
HIGHEST = {"double": 710.0, "float": 89.0}  # beyond these the result is inf, 0
LOWEST = {"double": -746.0, "float": -104.0}
DEGREE = {"double": 13, "float": 7}


def _reduced(n: Numbers, x: Value) -> tuple[Value, Value, Value]:
    """(k, k as a float, exp(r) - 1) with x = k ln(2) + r; x is held below what overflows anyway."""
    high = n.number(HIGHEST[n.kind])
    x = n.select(n.test("ogt", x, high), high, x)
    whole, k = n.nearest(x, LOG2_E)
    first, second = LN2[n.kind]
    r = n.fma(whole, n.number(-first), x)
    r = n.fma(whole, n.number(-second), r)
    tail = n.polynomial(r, [1 / factorial(j) for j in range(2, DEGREE[n.kind] + 1)])
    return k, whole, n.fma(n.mul(r, r), tail, r)


def exp(n: Numbers, x: Value) -> Value:
    """Where the result is 0, it is set, not computed: a product that underflows takes a processor a hundred times as
    long as any other, and -inf is what masks are made of.
    """
    zero = n.number(0.0)
    gone = n.test("ole", x, n.number(LOWEST[n.kind]))
    k, whole, minus = _reduced(n, n.select(gone, zero, x))
    return n.select(gone, zero, n.scaled(n.add(n.number(1.0), minus), k, whole))


def expm1(n: Numbers, x: Value) -> Value:
    """2**k (exp(r) - 1) + (2**k - 1): exact in the second part as long as it matters."""
    low = n.number(LOWEST[n.kind])
    k, _, minus = _reduced(n, n.select(n.test("olt", x, low), low, x))
    # One factor 2 is kept back, for 2**k overflows before the result does; -60 is as good as any smaller exponent.
    lower = n.f.intrinsic("smax", n.f.binary("sub", k, n.whole(1)), n.whole(-60))
    half = n.power_of_two(lower)
    sum_ = n.fma(half, minus, n.sub(half, n.number(0.5)))
    made = n.mul(sum_, n.number(2.0))
    made = n.select(n.f.compare("icmp eq", k, n.whole(0)), minus, made)
    return n.select(n.test("oeq", x, n.number(0.0)), x, made)


def sigmoid(n: Numbers, x: Value) -> Value:
    """e / (1 + e) or 1 / (1 + e) with e = exp(-|x|), by one reciprocal that sigmoid(-x), its derivative's, shares.

    The quotient is then corrected by what is left of the dividend, and by what was lost in the sum.
    """
    e = exp(n, n.neg(n.magnitude(x)))
    one = n.number(1.0)
    top, bottom = n.select(n.test("oge", x, n.number(0.0)), one, e), n.add(one, e)
    if not n.has_fma:
        return n.div(top, bottom)
    lost = n.sub(e, n.sub(bottom, one))
    inverse = n.div(one, bottom)
    near = n.mul(top, inverse)
    minus = n.neg(near)
    left = n.fma(minus, lost, n.fma(minus, bottom, top))
    return n.fma(left, inverse, near)


def tanh(n: Numbers, x: Value) -> Value:
    """A polynomial where x is small, and 1 - 2 / (exp(2 |x|) + 1) where it is not and the difference loses nothing."""
    size, one = n.magnitude(x), n.number(1.0)
    z = n.mul(x, x)
    near = n.fma(n.mul(x, z), n.polynomial(z, TANH_DOUBLE if n.double else TANH_FLOAT), x)
    far = n.sub(one, n.div(n.number(2.0), n.add(exp(n, n.add(size, size)), one)))
    return n.with_sign(n.select(n.test("olt", size, n.number(0.6)), near, far), x)


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
    whole, k = n.nearest(n.select(n.test("ogt", size, top), top, size), LOG2_E)
    first, second = LN2[n.kind]
    held = n.select(n.test("ogt", size, top), top, size)
    r = n.fma(whole, n.number(-second), n.fma(whole, n.number(-first), held))
    tail = n.polynomial(r, [1 / factorial(j) for j in range(2, DEGREE[n.kind] + 1)])
    value = n.add(n.number(1.0), n.fma(n.mul(r, r), tail, r))
    return n.scaled(value, n.f.binary("sub", k, n.whole(1)), n.sub(whole, n.number(1.0)))
