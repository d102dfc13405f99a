"""Arithmetic that mathematical functions are written in: one number type, scalar or in lanes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from treadle.backends.native.assembly import Function, Value, constant, integer


class Numbers:
    """Writes operations on values of one floating type into a function."""

    def __init__(self, function: Function, kind: str, lanes: int, fma: bool) -> None:
        self.f, self.kind, self.lanes, self.has_fma = function, kind, lanes, fma

    @property
    def double(self) -> bool:
        return self.kind == "double"

    @property
    def word(self) -> str:
        """The integer type of the same size."""
        return "i64" if self.double else "i32"

    @property
    def mantissa(self) -> int:
        return 52 if self.double else 23

    @property
    def bias(self) -> int:
        return 1023 if self.double else 127

    def number(self, value: float) -> Value:
        return self.f.splat(constant(value, self.kind), self.lanes)

    def whole(self, value: int) -> Value:
        return self.f.splat(integer(value, self.word), self.lanes)

    def add(self, x: Value, y: Value) -> Value:
        return self.f.binary("fadd", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        return self.f.binary("fsub", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        return self.f.binary("fmul", x, y)

    def div(self, x: Value, y: Value) -> Value:
        return self.f.binary("fdiv", x, y)

    def neg(self, x: Value) -> Value:
        return self.f.unary("fneg", x)

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """x * y + z, rounded once where the target does that."""
        if self.has_fma:
            return self.f.intrinsic("fma", x, y, z)
        return self.add(self.mul(x, y), z)

    def magnitude(self, x: Value) -> Value:
        return self.f.intrinsic("fabs", x)

    def with_sign(self, x: Value, sign: Value) -> Value:
        return self.f.intrinsic("copysign", x, sign)

    def test(self, how: str, x: Value, y: Value) -> Value:
        return self.f.compare(f"fcmp {how}", x, y)

    def select(self, mask: Value, x: Value, y: Value) -> Value:
        return self.f.select(mask, x, y)

    def bits(self, x: Value) -> Value:
        return self.f.convert("bitcast", x, self.word)

    def from_bits(self, x: Value) -> Value:
        return self.f.convert("bitcast", x, self.kind)

    def polynomial(self, x: Value, coefficients: Sequence[float]) -> Value:
        """coefficients[0] + coefficients[1] x + …, by Horner's rule."""
        total = self.number(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            total = self.fma(total, x, self.number(c))
        return total

    def nearest(self, x: Value) -> tuple[Value, Value]:
        """The nearest whole number, as such and as an integer; for |x| far below 2**mantissa."""
        shift = 1.5 * 2.0**self.mantissa
        moved = self.add(x, self.number(shift))
        base = (
            struct.unpack("<q", struct.pack("<d", shift))[0]
            if self.double
            else struct.unpack("<i", struct.pack("<f", shift))[0]
        )
        return self.sub(moved, self.number(shift)), self.f.binary("sub", self.bits(moved), self.whole(base))

    def power_of_two(self, k: Value) -> Value:
        """2**k for an integer k in the range of normal numbers."""
        biased = self.f.binary("add", k, self.whole(self.bias))
        return self.from_bits(self.f.binary("shl", biased, self.whole(self.mantissa)))

    def scaled(self, x: Value, k: Value) -> Value:
        """x * 2**k, also where 2**k itself is out of range or the result is subnormal."""
        half = self.f.binary("ashr", k, self.whole(1))
        rest = self.f.binary("sub", k, half)
        return self.mul(self.mul(x, self.power_of_two(half)), self.power_of_two(rest))

    def split(self, value: float, bits: int) -> tuple[float, float]:
        """A constant as a sum of two, the first of so many bits that its products with small integers are exact."""
        scaled = struct.unpack("<q", struct.pack("<d", value))[0] & ~((1 << (52 - bits)) - 1)
        high = struct.unpack("<d", struct.pack("<q", scaled))[0]
        return high, value - high
