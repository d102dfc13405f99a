"""erf: its Taylor series up to 1, and 1 - exp(-x²) · p((x - 2) / (x + 2)) beyond; and its inverse.

erfinv begins with the closed form of Winitzki (2008), which is right to 2 parts in 1000, and improves it by a few steps
of Halley's method on erf, or on 1 - erf where that is small. float32 does so in float64.
"""

from __future__ import annotations

from math import factorial, pi, sqrt

from treadle.backends.native.assembly import Value
from treadle.backends.native.mathematics.arithmetic import Numbers
from treadle.backends.native.mathematics.coefficients import ERFCX_DOUBLE, ERFCX_FLOAT
from treadle.backends.native.mathematics.exponential import exp
from treadle.backends.native.mathematics.logarithm import log

TERMS = {"double": 20, "float": 11}
ONE_FROM = {"double": 6.0, "float": 4.0}  # where erf is 1 to the last bit


def erf(n: Numbers, x: Value) -> Value:
    size, one, top = n.magnitude(x), n.number(1.0), n.number(ONE_FROM[n.kind])
    size = n.select(n.test("ogt", size, top), top, size)
    beyond = n.sub(one, n.mul(exp(n, n.neg(n.mul(size, size))), _scaled_rest(n, size)))
    made = n.select(n.test("olt", size, one), _series(n, x), n.with_sign(beyond, x))
    return n.select(n.test("uno", x, x), x, made)


def _series(n: Numbers, x: Value, known: Value | None = None) -> Value:
    """erf(x), or erf(x) - known with nothing lost in the difference, for |x| ≤ 1."""
    z = n.mul(x, x)
    # 2 / sqrt(pi) - 1 stands apart: it is small enough to keep the leading term exact.
    tail = n.polynomial(z, [2 / sqrt(pi) * (-1.0) ** k / (factorial(k) * (2 * k + 1)) for k in range(1, TERMS[n.kind])])
    return n.fma(x, n.fma(z, tail, n.number(2 / sqrt(pi) - 1)), x if known is None else n.sub(x, known))


def _scaled_rest(n: Numbers, x: Value) -> Value:
    """exp(x²) (1 - erf(x)) for 1 ≤ x ≤ ONE_FROM."""
    centre = n.number(2.0)
    t = n.div(n.sub(x, centre), n.add(x, centre))
    return n.polynomial(t, ERFCX_DOUBLE if n.double else ERFCX_FLOAT)


def erfinv(n: Numbers, x: Value) -> Value:
    if not n.double:
        wide = Numbers(n.f, "double", n.lanes, n.has_fma, n.has_scale)
        return n.f.convert("fptrunc", _erfinv(wide, n.f.convert("fpext", x, "double"), steps=2), "float")
    return _erfinv(n, x, steps=3)


def _erfinv(n: Numbers, x: Value, steps: int) -> Value:
    size, one = n.magnitude(x), n.number(1.0)
    rest = n.sub(one, size)  # exact where it matters
    y = _winitzki(n, size, rest)
    for _ in range(steps):
        y = _halley(n, y, size, rest)
    y = n.select(n.test("oeq", size, one), n.number(float("inf")), n.with_sign(y, x))
    y = n.select(n.test("oeq", x, n.number(0.0)), x, n.with_sign(y, x))
    return n.select(n.test("ole", size, one), y, n.number(float("nan")))


def _winitzki(n: Numbers, x: Value, rest: Value) -> Value:
    """About erfinv(x), for 0 ≤ x < 1."""
    f, a = n.f, 0.147
    half_log = n.mul(log(n, n.mul(rest, n.add(n.number(1.0), x))), n.number(0.5))
    t = n.add(half_log, n.number(2 / (pi * a)))
    root = f.intrinsic("sqrt", n.sub(n.mul(t, t), n.mul(half_log, n.number(2 / a))))
    made = f.intrinsic("sqrt", n.sub(root, t))
    straight = n.mul(x, n.fma(n.mul(x, x), n.number(sqrt(pi) * pi / 24), n.number(sqrt(pi) / 2)))
    return n.select(n.test("olt", x, n.number(0.1)), straight, made)


def _halley(n: Numbers, y: Value, x: Value, rest: Value) -> Value:
    """A better root of erf(y) = x = 1 - rest."""
    one, top = n.number(1.0), n.number(ONE_FROM[n.kind])
    y = n.select(n.test("olt", y, top), y, top)
    density = exp(n, n.neg(n.mul(y, y)))
    inside = n.test("olt", y, one)
    near = _series(n, n.select(inside, y, one), x)
    far = n.sub(rest, n.mul(density, _scaled_rest(n, n.select(inside, one, y))))
    step = n.div(n.mul(n.select(inside, near, far), n.number(sqrt(pi) / 2)), density)
    return n.sub(y, n.div(step, n.fma(y, step, one)))
