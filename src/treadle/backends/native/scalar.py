"""Elementwise primitives as LLVM instructions, for scalars and vectors alike. One function an operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from treadle.backends.native.assembly import Function, Value, constant, integer, llvm_type
from treadle.core.dtypes import DType, bfloat16

# f, operands, their dtype, the result's dtype, parameters → result
Writer: TypeAlias = Callable[[Function, list[Value], DType, DType, dict[str, Any]], Value]

WRITERS: dict[str, Writer] = {}


def _writes(*names: str) -> Callable[[Writer], Writer]:
    def register(writer: Writer) -> Writer:
        for name in names:
            WRITERS[name] = writer
        return writer

    return register


def _like(x: Value, value: float) -> Value:
    return constant(value, x.kind)


def _is_float(dtype: DType) -> bool:
    return dtype.kind == "f"


def _is_signed(dtype: DType) -> bool:
    return dtype.kind == "i"


# arithmetic

_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_INTEGER = {"add": "add", "sub": "sub", "mul": "mul"}


def _arithmetic(name: str) -> Writer:
    def write(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
        return f.binary(_FLOAT[name] if _is_float(dtype) else _INTEGER[name], *v)

    return write


for _name in _FLOAT:
    WRITERS[_name] = _arithmetic(_name)


@_writes("neg")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    return f.unary("fneg", v[0]) if _is_float(dtype) else f.binary("sub", f.splat(_like(v[0], 0), v[0].lanes), v[0])


def _masked(op: str) -> Writer:
    def write(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
        zero = _like(v[0], 0)
        return f.select(f.compare("fcmp oeq", v[0], zero), zero, f.binary(op, *v))

    return write


WRITERS["masked_mul"] = _masked("fmul")
WRITERS["masked_div"] = _masked("fdiv")


@_writes("select")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    return f.select(*v)


def extreme(f: Function, larger: bool, x: Value, y: Value, dtype: DType) -> Value:
    """The larger or smaller of two; NaN where either is."""
    if _is_float(dtype):
        better = f.select(f.compare(f"fcmp {'ogt' if larger else 'olt'}", x, y), x, y)  # one instruction; y if x is NaN
        return f.select(f.compare("fcmp uno", x, x), x, better)
    if dtype.is_bool:
        return f.binary("or" if larger else "and", x, y)
    name = ("s" if _is_signed(dtype) else "u") + ("max" if larger else "min")
    return f.intrinsic(name, x, y)


def _extreme(larger: bool) -> Writer:
    return lambda f, v, dtype, out, params: extreme(f, larger, v[0], v[1], dtype)


WRITERS["maximum"], WRITERS["minimum"] = _extreme(True), _extreme(False)


@_writes("clamp")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    return extreme(f, False, extreme(f, True, v[0], v[1], dtype), v[2], dtype)


def _division(remainder: bool) -> Writer:
    def write(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
        return (_float_division if _is_float(dtype) else _integer_division)(f, v[0], v[1], dtype, remainder)

    return write


WRITERS["floor_divide"], WRITERS["remainder"] = _division(False), _division(True)


def _integer_division(f: Function, x: Value, y: Value, dtype: DType, remainder: bool) -> Value:
    """Rounded down, as NumPy does it: by zero the result is 0; the lowest number by -1 wraps around."""
    x, y = f.together(x, y)
    zero, one = _like(x, 0), _like(x, 1)
    nothing = f.compare("icmp eq", y, zero)
    if not _is_signed(dtype):
        safe = f.select(nothing, one, y)
        return f.select(nothing, zero, f.binary("urem" if remainder else "udiv", x, safe))
    minus = f.compare("icmp eq", y, _like(y, -1))
    safe = f.select(f.binary("or", nothing, minus), one, y)
    q, r = f.binary("sdiv", x, safe), f.binary("srem", x, safe)
    wrong = f.binary("and", f.compare("icmp ne", r, zero), f.compare("icmp slt", f.binary("xor", r, safe), zero))
    q = f.select(wrong, f.binary("sub", q, one), q)
    r = f.select(wrong, f.binary("add", r, safe), r)
    q = f.select(minus, f.binary("sub", f.splat(zero, x.lanes), x), q)
    r = f.select(minus, zero, r)
    return f.select(nothing, zero, r if remainder else q)


def _float_division(f: Function, x: Value, y: Value, dtype: DType, remainder: bool) -> Value:
    """As NumPy's: from the exact remainder, so that x = (x // y) * y + x % y holds as well as it can."""
    x, y = f.together(x, y)
    zero = _like(x, 0)
    mod = f.binary("frem", x, y)
    by_zero = f.compare("fcmp oeq", y, zero)
    exact = f.compare("fcmp oeq", mod, zero)
    other_side = f.binary(
        "and",
        f.compare("fcmp une", mod, zero),
        f.binary("xor", f.compare("fcmp olt", y, zero), f.compare("fcmp olt", mod, zero)),
    )
    if remainder:
        signed_zero = f.intrinsic("copysign", f.splat(zero, x.lanes), y)
        made = f.select(exact, signed_zero, f.select(other_side, f.binary("fadd", mod, y), mod))
        return f.select(by_zero, mod, made)
    div = f.binary("fdiv", f.binary("fsub", x, mod), y)
    div = f.select(other_side, f.binary("fsub", div, _like(x, 1)), div)
    floor = f.intrinsic("floor", div)
    above = f.compare("fcmp ogt", f.binary("fsub", div, floor), _like(x, 0.5))
    floor = f.select(above, f.binary("fadd", floor, _like(x, 1)), floor)
    quotient = f.binary("fdiv", x, y)
    none = f.intrinsic("copysign", f.splat(zero, x.lanes), quotient)
    made = f.select(f.compare("fcmp oeq", div, zero), none, floor)
    return f.select(by_zero, quotient, made)


# signs and rounding


@_writes("abs")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    x = v[0]
    if _is_float(dtype):
        return f.intrinsic("fabs", x)
    if not _is_signed(dtype):
        return x
    zero = f.splat(_like(x, 0), x.lanes)
    return f.select(f.compare("icmp slt", x, zero), f.binary("sub", zero, x), x)


@_writes("sign")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    x = v[0]
    zero, one, minus = _like(x, 0), _like(x, 1), _like(x, -1)
    if _is_float(dtype):
        rest = f.select(f.compare("fcmp oeq", x, zero), zero, x)
        below = f.select(f.compare("fcmp olt", x, zero), minus, rest)
        return f.select(f.compare("fcmp ogt", x, zero), one, below)
    if not _is_signed(dtype):
        return f.select(f.compare("icmp ne", x, zero), one, f.splat(zero, x.lanes))
    below = f.select(f.compare("icmp slt", x, zero), minus, f.splat(zero, x.lanes))
    return f.select(f.compare("icmp sgt", x, zero), one, below)


def _intrinsic(name: str) -> Writer:
    return lambda f, v, dtype, out, params: f.intrinsic(name, *v)


for _primitive, _known in {
    "floor": "floor", "ceil": "ceil", "trunc": "trunc", "round": "roundeven", "sqrt": "sqrt", "copysign": "copysign"
}.items():  # fmt: skip
    WRITERS[_primitive] = _intrinsic(_known)


@_writes("rsqrt")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    return f.binary("fdiv", f.splat(_like(v[0], 1), v[0].lanes), f.intrinsic("sqrt", v[0]))


# comparisons and bits

_FLOAT_TESTS = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_TESTS = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}


def _comparison(name: str) -> Writer:
    def write(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
        if _is_float(dtype):
            return f.compare(f"fcmp {_FLOAT_TESTS[name]}", *v)
        order = "" if name in ("eq", "ne") else "s" if _is_signed(dtype) else "u"
        return f.compare(f"icmp {order}{_TESTS[name]}", *v)

    return write


for _name in _TESTS:
    WRITERS[_name] = _comparison(_name)


@_writes("is_finite")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    size = f.intrinsic("fabs", v[0])
    return f.compare("fcmp olt", size, _like(v[0], float("inf")))


@_writes("not_")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    return f.binary("xor", v[0], integer(1, "i1") if dtype.is_bool else _like(v[0], -1))


for _name, _op in {"and_": "and", "or_": "or", "xor": "xor"}.items():
    WRITERS[_name] = (lambda op: lambda f, v, dtype, out, params: f.binary(op, *v))(_op)


def _shift(left: bool) -> Writer:
    def write(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
        """By as much as the width or more: nothing is left, or the sign."""
        x, by = f.together(*v)
        bits = dtype.bits
        far = f.compare("icmp uge", by, _like(by, bits))
        if not left and _is_signed(dtype):
            return f.binary("ashr", x, f.select(far, _like(by, bits - 1), by))
        shifted = f.binary("shl" if left else "lshr", x, f.select(far, _like(by, 0), by))
        return f.select(far, _like(x, 0), shifted)

    return write


WRITERS["shift_left"], WRITERS["shift_right"] = _shift(True), _shift(False)


# conversions


@_writes("cast")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    return cast(f, v[0], dtype, out)


def cast(f: Function, x: Value, source: DType, target: DType) -> Value:
    """To bool: is it not 0. Floating to integer: toward 0, saturating, NaN to 0. Integer to integer: modulo 2**bits."""
    to = llvm_type(target)
    if source is target:
        return x
    if target.is_bool:
        return f.compare("fcmp une" if _is_float(source) else "icmp ne", x, _like(x, 0))
    if source.is_bool:
        return f.convert("uitofp" if _is_float(target) else "zext", x, to)
    if _is_float(source) and _is_float(target):
        return f.convert("fpext" if target.bits > source.bits else "fptrunc", x, to)
    if _is_float(source):
        kind = "fptosi" if _is_signed(target) else "fptoui"
        from treadle.backends.native.assembly import suffix

        name = f"llvm.{kind}.sat.{suffix(to, x.lanes)}.{suffix(x.kind, x.lanes)}"
        return f.call(name, to, x.lanes, x)
    if _is_float(target):
        return f.convert("sitofp" if _is_signed(source) else "uitofp", x, to)
    if target.bits == source.bits:
        return x
    if target.bits < source.bits:
        return f.convert("trunc", x, to)
    return f.convert("sext" if _is_signed(source) else "zext", x, to)


@_writes("bitcast")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    to = llvm_type(out)
    return v[0] if to == v[0].kind else f.convert("bitcast", v[0], to)


@_writes("rounded")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    """To the nearest number of a narrower type, kept in the wider one."""
    return widen(f, narrow(f, v[0], params["to"]), params["to"])


def narrow(f: Function, x: Value, dtype: DType) -> Value:
    """float to the bits of bfloat16, or to half: to nearest, ties to even; NaN stays NaN."""
    if dtype is not bfloat16:
        return f.convert("fptrunc", x, "half")
    bits = f.convert("bitcast", x, "i32")
    odd = f.binary("and", f.binary("lshr", bits, integer(16, "i32")), integer(1, "i32"))
    rounded = f.binary("add", bits, f.binary("add", odd, integer(0x7FFF, "i32")))
    quiet = f.binary("or", bits, integer(0x400000, "i32"))
    chosen = f.select(f.compare("fcmp uno", x, x), quiet, rounded)
    return f.convert("trunc", f.binary("lshr", chosen, integer(16, "i32")), "i16")


def widen(f: Function, x: Value, dtype: DType) -> Value:
    if dtype is not bfloat16:
        return f.convert("fpext", x, "float")
    return f.convert("bitcast", f.binary("shl", f.convert("zext", x, "i32"), integer(16, "i32")), "float")


# powers


@_writes("integer_power")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    return integer_power(f, v[0], params["exponent"])


def integer_power(f: Function, x: Value, exponent: int) -> Value:
    """By repeated squaring; a negative exponent inverts the result."""
    result: Value | None = None
    square, left = x, abs(exponent)
    product = "fmul" if x.kind in ("float", "double") else "mul"
    while left:
        if left & 1:
            result = square if result is None else f.binary(product, result, square)
        left >>= 1
        if left:
            square = f.binary(product, square, square)
    if result is None:
        return f.splat(_like(x, 1), x.lanes)
    return f.binary("fdiv", f.splat(_like(x, 1), x.lanes), result) if exponent < 0 else result


# indices


@_writes("index_within")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    """An index held within 0 … size - 1, so that whatever it is nothing outside of the buffer is touched."""
    last = max(params["size"] - 1, 0)
    wide = _unlimited(f, v[0], dtype)
    return f.intrinsic("smax", f.intrinsic("smin", wide, f.number(last)), integer(0))


@_writes("order_key")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    """An integer that is ordered like x: either zero the same, NaN the greatest in both directions."""
    (x,), kind = v, f"i{out.bits}"
    least, greatest = integer(-(1 << (out.bits - 1)), kind), integer((1 << (out.bits - 1)) - 1, kind)
    if _is_float(dtype):
        zero = _like(x, 0)
        bits = f.convert("bitcast", f.select(f.compare("fcmp oeq", x, zero), zero, x), kind)
        sign = f.binary("ashr", bits, integer(out.bits - 1, kind))
        key = f.binary("xor", bits, f.binary("and", sign, greatest))  # negative numbers: the larger, the less
    elif x.kind == kind:
        key = x if _is_signed(dtype) else f.binary("xor", x, least)
    else:
        key = f.convert("sext" if _is_signed(dtype) else "zext", x, kind)
    if params["descending"]:
        key = f.binary("xor", key, integer(-1, kind))
    return f.select(f.compare("fcmp uno", x, x), greatest, key) if _is_float(dtype) else key


@_writes("index_inside")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    wide = _unlimited(f, v[0], dtype)
    return f.convert("zext", f.compare("icmp ult", wide, f.number(params["size"])), "i64")


def _unlimited(f: Function, x: Value, dtype: DType) -> Value:
    if dtype.kind == "u" and dtype.bits == 64:  # what int64 cannot hold is beyond every size
        return f.intrinsic("umin", x, integer(2**63 - 1))
    return x if x.kind == "i64" else f.convert("sext" if _is_signed(dtype) else "zext", x, "i64")


# random bits: Threefry-2x32 (Salmon and others, 2011), as the reference in ops/random.py


def _threefry(f: Function, k0: Value, k1: Value, number: Value) -> tuple[Value, Value]:
    def rotated(y: Value, by: int) -> Value:
        return f.intrinsic("fshl", y, y, f.splat(integer(by, "i32"), y.lanes))

    parity = integer(0x1BD11BDA, "i32")
    schedule = (k0, k1, f.binary("xor", f.binary("xor", k0, k1), parity))
    x = f.binary("add", f.convert("trunc", number, "i32"), schedule[0])
    y = f.binary("add", f.convert("trunc", f.binary("lshr", number, integer(32)), "i32"), schedule[1])
    for group in range(5):
        for by in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            x = f.binary("add", x, y)
            y = f.binary("xor", rotated(y, by), x)
        x = f.binary("add", x, schedule[(group + 1) % 3])
        y = f.binary("add", f.binary("add", y, schedule[(group + 2) % 3]), integer(group + 1, "i32"))
    return x, y


@_writes("threefry64")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    x, y = (f.convert("zext", w, "i64") for w in _threefry(f, *v))
    return f.binary("or", x, f.binary("shl", y, integer(32)))


@_writes("threefry32")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    """The words of a counter are neighbours in the result: the number says the counter, and which word."""
    k0, k1, number = v
    x, y = _threefry(f, k0, k1, f.binary("lshr", number, integer(1)))
    second = f.convert("trunc", number, "i1")
    return f.select(second, y, x)


def _mathematical(name: str) -> Writer:
    return lambda f, v, dtype, out, params: f.mathematical(name, *v)


for _name in [
    "exp",
    "expm1",
    "log",
    "log1p",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "erfinv",
    "sigmoid",
    "atan2",
    "logaddexp",
    "lgamma",
    "digamma",
]:
    WRITERS[_name] = _mathematical(_name)


@_writes("power")
def _(f: Function, v: list[Value], dtype: DType, out: DType, params: dict[str, Any]) -> Value:
    if _is_float(dtype):
        return f.mathematical("power", *v)
    x, y = f.together(*v)
    one, zero = f.splat(_like(x, 1), x.lanes), f.splat(_like(x, 0), x.lanes)
    result, square = one, x
    for bit in range(dtype.bits - 1):
        odd = f.compare("icmp ne", f.binary("and", y, _like(y, 1 << bit)), zero)
        result = f.select(odd, f.binary("mul", result, square), result)
        square = f.binary("mul", square, square)
    if not _is_signed(dtype):
        high = f.compare("icmp ne", f.binary("and", y, _like(y, 1 << (dtype.bits - 1))), zero)
        return f.select(high, f.binary("mul", result, square), result)
    odd = f.compare("icmp ne", f.binary("and", y, one), zero)
    minus = f.splat(_like(x, -1), x.lanes)
    unit = f.select(
        f.compare("icmp eq", x, one), one, f.select(f.compare("icmp eq", x, minus), f.select(odd, minus, one), zero)
    )
    return f.select(f.compare("icmp slt", y, zero), unit, result)
