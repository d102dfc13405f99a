"""Functions that the C library computes, lane by lane: those that no hot loop is known to need."""

from __future__ import annotations

from treadle.backends.native.assembly import Value, integer
from treadle.backends.native.mathematics.arithmetic import Numbers

# treadle's name → the library's, for float64; float32 goes through float64, and is then right to the last bit or nearly
FUNCTIONS = {
    "tan": "tan",
    "asin": "asin",
    "acos": "acos",
    "atan": "atan",
    "asinh": "asinh",
    "acosh": "acosh",
    "atanh": "atanh",
    "atan2": "atan2",
    "power": "pow",
    "lgamma": "lgamma",
}


def library(n: Numbers, name: str, *args: Value) -> Value:
    """The C library's function of each lane."""
    f = n.f
    wide = [x if n.double else f.convert("fpext", x, "double") for x in args]
    if not n.lanes:
        out = f.call(FUNCTIONS[name], "double", 0, *wide)
    else:
        out = Value("poison", "double", n.lanes)
        for k in range(n.lanes):
            parts = [f.emit("double", 0, f"extractelement {w}, i64 {k}") for w in wide]
            one = f.call(FUNCTIONS[name], "double", 0, *parts)
            out = f.emit("double", n.lanes, f"insertelement {out}, {one}, {integer(k)}")
    return out if n.double else f.convert("fptrunc", out, "float")


def large_angles(n: Numbers, name: str, x: Value, made: Value, limit: float) -> Value:
    """`made`, but the C library's result in the lanes whose argument is beyond the limit; usually there are none."""
    f = n.f
    far = n.test("ogt", n.magnitude(x), n.number(limit))
    some = f.call(f"llvm.vector.reduce.or.v{n.lanes}i1", "i1", 0, far) if n.lanes else far
    quick = f.here
    slow, after = f.block("slow"), f.block("after")
    f.branch_if(some, slow, after)
    f.here = slow
    wide = x if n.double else f.convert("fpext", x, "double")
    exact: Value
    if n.lanes:
        exact = Value("poison", "double", n.lanes)
        for k in range(n.lanes):
            part = f.emit("double", 0, f"extractelement {wide}, i64 {k}")
            one = f.call(name, "double", 0, part)
            exact = f.emit("double", n.lanes, f"insertelement {exact}, {one}, {integer(k)}")
    else:
        exact = f.call(name, "double", 0, wide)
    exact = exact if n.double else f.convert("fptrunc", exact, "float")
    chosen = n.select(far, exact, made)
    end = f.here
    f.branch(after)
    f.here = after
    phi = f.phi(made.kind, made.lanes)
    phi.incoming += [(made, quick.name), (chosen, end.name)]
    return phi.value
