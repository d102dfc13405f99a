"""A small writer of LLVM's textual language: values with types, blocks, loops.

Text, because it is what gets printed, cached and reported, and because writing it costs a tenth of building objects.
Every instruction works on scalars and on vectors alike; where the two meet, the scalar is repeated in all lanes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any

from treadle.backends.native.extents import formula_of, is_extent
from treadle.core.dims import Dim, Size, is_never_negative
from treadle.core.dtypes import DType

_TYPES = {"bool": "i1", "float32": "float", "float64": "double", "float16": "half", "bfloat16": "i16"}
_SHORT = {"float": "f32", "double": "f64", "half": "f16"}


def llvm_type(dtype: DType) -> str:
    """The type that values of a dtype are computed in."""
    return _TYPES.get(dtype.name) or f"i{dtype.bits}"


@dataclass(frozen=True, slots=True)
class Value:
    """An operand: its text, its element type, and its lanes (0 is a scalar)."""

    text: str
    kind: str
    lanes: int = 0

    @property
    def type(self) -> str:
        return f"<{self.lanes} x {self.kind}>" if self.lanes else self.kind

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


def integer(value: int, kind: str = "i64") -> Value:
    if kind == "i1":
        return Value("true" if value else "false", kind)
    return Value(str(int(value)), kind)


def floating(value: float, kind: str) -> Value:
    if kind == "half":
        return Value(f"0xH{struct.unpack('<H', struct.pack('<e', value))[0]:04X}", kind)
    if kind == "float":
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    return Value(f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}", kind)


def constant(value: Any, kind: str) -> Value:
    return floating(float(value), kind) if kind in _SHORT else integer(int(value), kind)


def suffix(kind: str, lanes: int) -> str:
    """How intrinsics name an overload: v16f32."""
    short = _SHORT.get(kind, kind)
    return f"v{lanes}{short}" if lanes else short


@dataclass
class Block:
    name: str
    lines: list[Any] = field(default_factory=list)


class Phi:
    """A loop's variable; what comes in is known once the loop is closed."""

    def __init__(self, value: Value) -> None:
        self.value = value
        self.incoming: list[tuple[Value, str]] = []

    def __str__(self) -> str:
        pairs = ", ".join(f"[ {v.text}, %{block} ]" for v, block in self.incoming)
        return f"{self.value.text} = phi {self.value.type} {pairs}"


class Function:
    """One function being written. `here` is the block that instructions go to."""

    def __init__(
        self,
        name: str,
        parameters: Sequence[tuple[str, str]],
        attributes: str = "#0",
        result: str = "void",
        linkage: str = "",
    ) -> None:
        self.name = name
        self.parameters = [Value(f"%{n}", kind) for kind, n in parameters]
        self.attributes = attributes
        self.result = result
        self.linkage = linkage
        self.blocks: list[Block] = []
        self.declared: dict[str, None] = {}
        self.math: dict[tuple[str, str, int], None] = {}
        self._count = 0
        self.sizes_from = 0  # where in the array of arguments the named sizes begin
        self._sizes: dict[str, Value] = {}
        self._first = Block("")  # what comes before everything else: sizes by their formulas
        self.here = self.block("entry")

    def block(self, name: str) -> Block:
        self._count += 1
        made = Block(f"{name}.{self._count}" if self.blocks else name)
        self.blocks.append(made)
        return made

    def fresh(self, kind: str, lanes: int = 0) -> Value:
        self._count += 1
        return Value(f"%v{self._count}", kind, lanes)

    def emit(self, kind: str, lanes: int, text: str) -> Value:
        out = self.fresh(kind, lanes)
        self.here.lines.append(f"{out.text} = {text}")
        return out

    def do(self, text: str) -> None:
        self.here.lines.append(text)

    # operands

    def number(self, size: int) -> Value:
        """A size: a constant, or what its formula gives for the named sizes that the function is called with."""
        if not is_extent(size):
            return integer(size)
        here, self.here = self.here, self._first
        made = self._formula(formula_of(size))
        self.here = here
        return made

    def _formula(self, size: Size) -> Value:
        if not isinstance(size, Dim):
            return integer(size)
        known = self._sizes.get(str(size))
        if known is None:
            known = self._sizes[str(size)] = self._polynomial(size)
        return known

    def _polynomial(self, size: Dim) -> Value:
        terms = []
        for factors, coefficient in size.terms:
            parts = [self._factor(factor) for factor in factors]
            if coefficient != 1 or not parts:
                parts.append(integer(coefficient))
            terms.append(reduce(partial(self.binary, "mul nsw"), parts))
        return reduce(partial(self.binary, "add nsw"), terms)

    def _factor(self, factor: str | tuple[str, Size, Size]) -> Value:
        if isinstance(factor, str):
            known = self._sizes.get(factor)
            if known is None:
                place = self.pointer(self.parameters[0], integer(self.sizes_from + int(factor[1:])), "i64")
                known = self._sizes[factor] = self.load("i64", place, align=8)
            return known
        op, top, bottom = factor
        x, y = self._formula(top), self._formula(bottom)
        if is_never_negative(top):
            return self.binary("udiv" if op == "//" else "urem", x, y)
        rest = self.binary("srem", x, y)  # rounding down, as Python does
        low = self.compare("icmp slt", rest, integer(0))
        if op == "%":
            return self.select(low, self.binary("add", rest, y), rest)
        return self.binary("sub", self.binary("sdiv", x, y), self.convert("zext", low, "i64"))

    def splat(self, value: Value, lanes: int) -> Value:
        if value.lanes == lanes or not lanes:
            return value
        if not value.text.startswith("%"):
            return Value(f"splat ({value.type} {value.text})", value.kind, lanes)
        first = self.emit(value.kind, lanes, f"insertelement <{lanes} x {value.kind}> poison, {value}, i64 0")
        return self.emit(
            value.kind,
            lanes,
            f"shufflevector {first}, <{lanes} x {value.kind}> poison, <{lanes} x i32> zeroinitializer",
        )

    def together(self, *values: Value) -> tuple[Value, ...]:
        lanes = max(v.lanes for v in values)
        return tuple(self.splat(v, lanes) for v in values)

    # instructions

    def binary(self, op: str, x: Value, y: Value) -> Value:
        x, y = self.together(x, y)
        return self.emit(x.kind, x.lanes, f"{op} {x}, {y.text}")

    def unary(self, op: str, x: Value) -> Value:
        return self.emit(x.kind, x.lanes, f"{op} {x}")

    def compare(self, op: str, x: Value, y: Value) -> Value:
        """`op` is a whole comparison: "fcmp olt", "icmp slt"."""
        x, y = self.together(x, y)
        return self.emit("i1", x.lanes, f"{op} {x}, {y.text}")

    def select(self, mask: Value, x: Value, y: Value) -> Value:
        lanes = max(mask.lanes, x.lanes, y.lanes)
        x, y = self.splat(x, lanes), self.splat(y, lanes)
        return self.emit(x.kind, lanes, f"select {mask}, {x}, {y}")

    def convert(self, op: str, x: Value, kind: str) -> Value:
        to = Value("", kind, x.lanes).type
        return self.emit(kind, x.lanes, f"{op} {x} to {to}")

    def call(self, name: str, kind: str, lanes: int, *args: Value) -> Value:
        """A call of an intrinsic or another function that is declared on the way."""
        result = Value("", kind, lanes).type
        self.declared[f"declare {result} @{name}({', '.join(a.type for a in args)})"] = None
        return self.emit(kind, lanes, f"call {result} @{name}({', '.join(map(str, args))})")

    def intrinsic(self, name: str, x: Value, *others: Value) -> Value:
        """An intrinsic whose operands all have the type of its result."""
        args = self.together(x, *others)
        return self.call(f"llvm.{name}.{suffix(x.kind, args[0].lanes)}", x.kind, args[0].lanes, *args)

    def mathematical(self, name: str, *args: Value) -> Value:
        """One of the functions of `math`, inlined by LLVM."""
        args = self.together(*args)
        kind, lanes = args[0].kind, args[0].lanes
        self.math[(name, kind, lanes)] = None
        result = Value("", kind, lanes).type
        full = f"td.{name}.{suffix_of_math(kind, lanes)}"
        return self.emit(kind, lanes, f'call {result} @"{full}"({", ".join(map(str, args))})')

    def pointer(self, base: Value, offset: Value, kind: str) -> Value:
        return self.emit("ptr", offset.lanes, f"getelementptr {kind}, {base}, {offset}")

    def stack(self, kind: str) -> Value:
        """Memory of this call, aligned for vectors."""
        made = self.fresh("ptr")
        self.blocks[0].lines.insert(0, f"{made.text} = alloca {kind}, align 64")
        return made

    def load(self, kind: str, pointer: Value, lanes: int = 0, align: int = 1) -> Value:
        return self.emit(kind, lanes, f"load {Value('', kind, lanes).type}, {pointer}, align {align}")

    def store(self, value: Value, pointer: Value, align: int = 1) -> None:
        self.do(f"store {value}, {pointer}, align {align}")

    def masked_load(self, kind: str, pointer: Value, mask: Value, align: int) -> Value:
        """A vector, of which only the lanes of the mask are read; the others are 0."""
        zero = self.splat(constant(0, kind), mask.lanes)
        name = f"llvm.masked.load.{suffix(kind, mask.lanes)}.p0"
        return self.call(name, kind, mask.lanes, pointer, integer(align, "i32"), mask, zero)

    def masked_store(self, value: Value, pointer: Value, mask: Value, align: int) -> None:
        """Store only the lanes of the mask."""
        name = f"llvm.masked.store.{suffix(value.kind, value.lanes)}.p0"
        self.perform(name, value, pointer, integer(align, "i32"), mask)

    def perform(self, name: str, *args: Value) -> None:
        """A call of an intrinsic that returns nothing, declared on the way."""
        self.declared[f"declare void @{name}({', '.join(a.type for a in args)})"] = None
        self.do(f"call void @{name}({', '.join(map(str, args))})")

    # control

    def branch(self, target: Block) -> None:
        self.do(f"br label %{target.name}")

    def branch_if(self, condition: Value, then: Block, otherwise: Block) -> None:
        self.do(f"br {condition}, label %{then.name}, label %{otherwise.name}")

    def phi(self, kind: str, lanes: int = 0) -> Phi:
        made = Phi(self.fresh(kind, lanes))
        self.here.lines.append(made)
        return made

    @contextmanager
    def loop(self, start: Value, stop: Value, step: int, *carried: Value) -> Iterator[Loop]:
        """`for i in range(start, stop, step)` around what is written inside; values may be carried round."""
        loop = Loop(self, start, stop, step, carried)
        yield loop
        loop.close()

    def text(self) -> str:
        parameters = ", ".join(map(str, self.parameters))
        head = f"define {self.linkage}{self.result} @{self.name}({parameters}) {self.attributes} {{"
        lines = [head]
        for block in self.blocks:
            lines.append(f"{block.name}:")
            lines += [f"  {line}" for line in self._first.lines if block is self.blocks[0]]
            lines += [f"  {line}" for line in block.lines]
        return "\n".join([*lines, "}"])


def suffix_of_math(kind: str, lanes: int) -> str:
    return f"{_SHORT[kind]}x{lanes}" if lanes else _SHORT[kind]


class Loop:
    """An open loop. `counter` counts; `carried` are this round's values, and `next` what the following gets.

    What comes before it stays open, so that whatever does not change inside can still be written there (`outside`).
    """

    def __init__(self, function: Function, start: Value, stop: Value, step: int, carried: Sequence[Value]) -> None:
        self.function = function
        self.before = function.here
        self.start, self.step = start, step
        self.initial = list(carried)
        self.header = function.here = function.block("loop")
        self._counter = function.phi("i64")
        self._phis = [function.phi(v.kind, v.lanes) for v in carried]
        self.counter = self._counter.value
        self.carried = [p.value for p in self._phis]
        self.next = list(self.carried)
        self.stop = stop
        more = function.compare("icmp slt", self.counter, stop)
        body, self.exit = function.block("body"), function.block("done")
        function.branch_if(more, body, self.exit)
        function.here = body

    def close(self) -> None:
        f = self.function
        following = f.binary("add nsw", self.counter, integer(self.step))
        end = f.here
        f.branch(self.header)
        self._counter.incoming.append((self.start, self.before.name))
        self._counter.incoming.append((following, end.name))
        for phi, first, then in zip(self._phis, self.initial, self.next, strict=True):
            phi.incoming += [(first, self.before.name), (then, end.name)]
        f.here = self.before
        f.branch(self.header)
        f.here = self.exit
