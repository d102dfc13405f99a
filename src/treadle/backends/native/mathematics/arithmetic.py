"""Arithmetic that mathematical functions are written in: one number type, scalar or in lanes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from treadle.backends.native.assembly import Function, Value, constant, integer


class Numbers:
    """Writes operations on values of one floating type into a function."""

    def __init__(self, function: Function, kind: str, lanes: int, fma: bool, scales: bool = False) -> None:
        """`fma`, `scales`: whether the target does these in one instruction: x * y + z, and x * 2**k for vectors."""
        self.f, self.kind, self.lanes, self.has_fma, self.has_scale = function, kind, lanes, fma, scales

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

    def nearest(self, x: Value, factor: float) -> tuple[Value, Value]:
        """The whole number nearest to x * factor, as such and as an integer; for those far below 2**mantissa."""
        shift = 1.5 * 2.0**self.mantissa
        moved = self.fma(x, self.number(factor), self.number(shift))
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

    def scaled(self, x: Value, k: Value, whole: Value) -> Value:
        """x * 2**k, also where 2**k itself is out of range or the result is subnormal; `whole` is k as a float."""
        size = self.lanes * (8 if self.double else 4)
        if self.has_scale and size and size % 64 == 0:
            return self._scaled_at_once(x, whole)
        half = self.f.binary("ashr", k, self.whole(1))
        rest = self.f.binary("sub", k, half)
        return self.mul(self.mul(x, self.power_of_two(half)), self.power_of_two(rest))

    def _scaled_at_once(self, x: Value, whole: Value) -> Value:
        """AVX-512's instruction, which rounds once, as the two products do of which the first is exact."""
        count = 8 if self.double else 16
        mask, kind = f"i{count}", "pd" if self.double else "ps"
        parts = []
        for start in range(0, self.lanes, count):
            v, by = self._part(x, start, count), self._part(whole, start, count)
            every, rounding = integer(-1, mask), integer(4, "i32")
            parts.append(
                self.f.call(f"llvm.x86.avx512.mask.scalef.{kind}.512", x.kind, count, v, by, v, every, rounding)
            )
        while len(parts) > 1:
            parts = [self._joined(parts[k], parts[k + 1]) for k in range(0, len(parts), 2)]
        return parts[0]

    def _part(self, x: Value, start: int, count: int) -> Value:
        if count == x.lanes:
            return x
        places = ", ".join(f"i32 {start + k}" for k in range(count))
        return self.f.emit(x.kind, count, f"shufflevector {x}, {x.type} poison, <{count} x i32> <{places}>")

    def _joined(self, x: Value, y: Value) -> Value:
        places = ", ".join(f"i32 {k}" for k in range(2 * x.lanes))
        return self.f.emit(x.kind, 2 * x.lanes, f"shufflevector {x}, {y}, <{2 * x.lanes} x i32> <{places}>")

    def split(self, value: float, bits: int) -> tuple[float, float]:
        """A constant as a sum of two, the first of so many bits that its products with small integers are exact."""
        scaled = struct.unpack("<q", struct.pack("<d", value))[0] & ~((1 << (52 - bits)) - 1)
        high = struct.unpack("<d", struct.pack("<q", scaled))[0]
        return high, value - high
