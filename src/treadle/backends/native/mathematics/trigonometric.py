"""sin and cos.

A multiple of pi/2 is subtracted in three parts (Cody and Waite); float32 does so in float64. Arguments so large that
this loses digits go one by one to the C library.
"""

from __future__ import annotations

from math import factorial

from treadle.backends.native.assembly import Value
from treadle.backends.native.mathematics.arithmetic import Numbers

TWO_OVER_PI = 0.6366197723675814
HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33)
LIMIT = 1e5


def sin(n: Numbers, x: Value) -> Value:
    return n.select(n.test("oeq", x, n.number(0.0)), x, _with_quadrant(n, x, 0))  # -0 stays -0


def cos(n: Numbers, x: Value) -> Value:
    return _with_quadrant(n, x, 1)


def _with_quadrant(n: Numbers, x: Value, shift: int) -> Value:
    if not n.double:
        wide = Numbers(n.f, "double", n.lanes, n.has_fma, n.has_scale)
        made = _with_quadrant(wide, n.f.convert("fpext", x, "double"), shift)
        return n.f.convert("fptrunc", made, "float")
    f = n.f
    whole, k = n.nearest(x, TWO_OVER_PI)
    r = x
    for part in HALF_PI:
        r = n.fma(whole, n.number(-part), r)
    z = n.mul(r, r)
    sine = n.fma(n.mul(z, r), n.polynomial(z, [(-1.0) ** j / factorial(2 * j + 1) for j in range(1, 9)]), r)
    cosine_rest = n.polynomial(z, [(-1.0) ** j / factorial(2 * j) for j in range(2, 10)])
    cosine = n.fma(n.mul(z, z), cosine_rest, n.fma(z, n.number(-0.5), n.number(1.0)))
    quadrant = f.binary("add", k, n.whole(shift)) if shift else k
    odd = f.compare("icmp ne", f.binary("and", quadrant, n.whole(1)), n.whole(0))
    flip = f.compare("icmp ne", f.binary("and", quadrant, n.whole(2)), n.whole(0))
    made = n.select(odd, cosine, sine)
    return n.select(flip, n.neg(made), made)
