"""log, log1p, and what follows from them: logaddexp, powers of float32.

x = 2**e (1 + f) with 1 + f between sqrt(1/2) and sqrt(2); log(1 + f) = 2 atanh(s) with s = f / (2 + f), arranged as in
FreeBSD's msun so that f itself enters without rounding; the series of atanh goes to the term that no longer counts.
"""

from __future__ import annotations

from treadle.backends.native.assembly import Value
from treadle.backends.native.mathematics.arithmetic import Numbers
from treadle.backends.native.mathematics.exponential import LN2, exp

TERMS = {"double": 11, "float": 5}
ROOT_HALF = {"double": 0x3FE6A09E667F3BCD, "float": 0x3F3504F3}  # sqrt(1/2), as bits
SMALLEST = {"double": 2.2250738585072014e-308, "float": 1.1754943508222875e-38}  # of the normal numbers


def _parts(n: Numbers, x: Value) -> tuple[Value, Value]:
    """(e, f) with x = 2**e (1 + f)."""
    f = n.f
    subnormal = n.test("olt", x, n.number(SMALLEST[n.kind]))
    normal = n.select(subnormal, n.mul(x, n.number(2.0 ** (n.mantissa + 1))), x)
    bits = n.bits(normal)
    above = f.binary("sub", bits, n.whole(ROOT_HALF[n.kind]))
    e = f.binary("ashr", above, n.whole(n.mantissa))
    m = n.from_bits(f.binary("sub", bits, f.binary("shl", e, n.whole(n.mantissa))))
    e = f.binary("sub", e, f.select(subnormal, n.whole(n.mantissa + 1), n.whole(0)))
    return e, n.sub(m, n.number(1.0))


def _log(n: Numbers, exponent: Value, f: Value) -> Value:
    """exponent ln(2) + log(1 + f)."""
    e = n.f.convert("sitofp", exponent, n.kind)
    s = n.div(f, n.add(n.number(2.0), f))
    z = n.mul(s, s)
    series = n.mul(z, n.polynomial(z, [2.0 / (2 * k + 3) for k in range(TERMS[n.kind])]))
    half_square = n.mul(n.mul(f, f), n.number(0.5))
    first, second = LN2[n.kind]
    correction = n.fma(s, n.add(half_square, series), n.mul(e, n.number(second)))
    return n.fma(e, n.number(first), n.sub(f, n.sub(half_square, correction)))


def _ends(n: Numbers, x: Value, made: Value, pole: float) -> Value:
    """The values at the pole, beyond it, and at infinity."""
    at, inf = n.number(pole), n.number(float("inf"))
    made = n.select(n.test("oeq", x, inf), inf, made)
    made = n.select(n.test("oeq", x, at), n.number(float("-inf")), made)
    made = n.select(n.test("olt", x, at), n.number(float("nan")), made)
    return n.select(n.test("uno", x, x), x, made)


def log(n: Numbers, x: Value) -> Value:
    e, f = _parts(n, x)
    return _ends(n, x, _log(n, e, f), 0.0)


def log1p(n: Numbers, x: Value) -> Value:
    """Of u = 1 + x, with what was lost in that sum added to f."""
    one = n.number(1.0)
    u = n.add(one, x)
    large = n.test("ogt", n.magnitude(x), one)
    lost = n.select(large, n.sub(one, n.sub(u, x)), n.sub(x, n.sub(u, one)))
    e, f = _parts(n, u)
    # f is u - 1 scaled by 2**-e, and so must be what was lost; of that nothing matters where the scale is extreme.
    k = n.f.binary("sub", n.whole(0), e)
    k = n.f.intrinsic("smin", n.f.intrinsic("smax", k, n.whole(-120)), n.whole(120))
    small = n.mul(lost, n.power_of_two(k))
    made = _log(n, e, n.add(f, small))
    made = n.select(n.test("oeq", x, n.number(0.0)), x, made)
    return _ends(n, x, made, -1.0)


def logaddexp(n: Numbers, x: Value, y: Value) -> Value:
    """max + log1p(exp(-|x - y|)); equal operands, infinities among them, give x + ln(2)."""
    larger = n.select(n.test("ogt", x, y), x, y)
    apart = n.neg(n.magnitude(n.sub(x, y)))
    made = n.add(larger, log1p(n, exp(n, apart)))
    equal = n.add(x, n.number(0.6931471805599453))
    made = n.select(n.test("oeq", x, y), equal, made)
    return n.select(n.test("uno", x, y), n.add(x, y), made)
