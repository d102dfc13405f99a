"""erf: its Taylor series up to 1, and 1 - exp(-x²) · p((x - 2) / (x + 2)) beyond."""

from __future__ import annotations

from math import factorial, pi, sqrt

from treadle.backends.native.assembly import Value
from treadle.backends.native.mathematics.arithmetic import Numbers
from treadle.backends.native.mathematics.coefficients import ERFCX_DOUBLE, ERFCX_FLOAT
from treadle.backends.native.mathematics.exponential import exp

TERMS = {"double": 20, "float": 11}
ONE_FROM = {"double": 6.0, "float": 4.0}  # where erf is 1 to the last bit


def erf(n: Numbers, x: Value) -> Value:
    z = n.mul(x, x)
    # 2 / sqrt(pi) - 1 stands apart: it is small enough to keep the leading term exact.
    tail = n.polynomial(z, [2 / sqrt(pi) * (-1.0) ** k / (factorial(k) * (2 * k + 1)) for k in range(1, TERMS[n.kind])])
    lead = 2 / sqrt(pi) - 1
    inside = n.fma(x, n.fma(z, tail, n.number(lead)), x)
    size = n.magnitude(x)
    top, one, centre = n.number(ONE_FROM[n.kind]), n.number(1.0), n.number(2.0)
    size = n.select(n.test("ogt", size, top), top, size)
    t = n.div(n.sub(size, centre), n.add(size, centre))
    scaled = n.polynomial(t, ERFCX_DOUBLE if n.double else ERFCX_FLOAT)
    beyond = n.sub(one, n.mul(exp(n, n.neg(n.mul(size, size))), scaled))
    made = n.select(n.test("olt", size, one), inside, n.with_sign(beyond, x))
    return n.select(n.test("uno", x, x), x, made)
