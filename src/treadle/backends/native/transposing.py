"""Copies that exchange neighbours: what lies side by side in the source comes to lie far apart, and the reverse.

Element by element, one of the two sides would be read or written a few bytes at a time from everywhere. So the copy
goes through square tiles: vectors are loaded along the source's neighbours, the tile is transposed in registers (each
stage exchanges blocks of half the size, Eklundh 1972), and vectors are stored along the target's neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from treadle.backends.native.assembly import Function, Value, constant, integer, llvm_type
from treadle.backends.native.expressions import Buffer, Condition, Load
from treadle.backends.native.extents import ceiling, is_extent
from treadle.backends.native.index import Affine, LoopVar
from treadle.backends.native.kernels import LoopKernel

LEAST = 8  # elements that both sides need in a row for tiles to pay


@dataclass(frozen=True)
class Transposition:
    """target[…, r, c] = source[…, c, r]: r is `along`, 1 apart in the source; c is `across`, 1 apart in the target.

    `outer` are the other loops. Where `inside` fails the source is not read, and the target gets 0.
    """

    source: Buffer
    target: Buffer
    read: Affine
    written: Affine
    outer: tuple[LoopVar, ...]
    along: LoopVar
    across: LoopVar
    inside: Condition | None
    size: int  # of a tile

    @property
    def strips(self) -> int:
        return ceiling(self.along.extent, self.size)

    @property
    def blocks(self) -> int:
        return prod(v.extent for v in self.outer) * self.strips

    @property
    def operations(self) -> int:
        return prod(v.extent for v in (*self.outer, self.along, self.across))

    def __str__(self) -> str:
        loops = [f"for {v} < {v.extent}" for v in self.outer]
        guard = f" if {self.inside}" if self.inside else ""
        tiles = (
            f"  in tiles of {self.size} for {self.along} < {self.along.extent}, {self.across} < {self.across.extent}"
        )
        copy = f"    {self.target}[{self.written}] = {self.source}[{self.read}]{guard}"
        return "\n".join([*loops, tiles, copy])


def as_transposition(kernel: LoopKernel, width: int) -> Transposition | None:
    """The kernel as a transposition, if it is nothing else.

    Args:
        width: bytes of the target's vectors.
    """
    if len(kernel.writes) != 1 or kernel.serial or not kernel.columns:
        return None
    (write,) = kernel.writes
    load = write.value
    loops = (*kernel.rows, *kernel.columns)
    if not isinstance(load, Load) or load.buffer.dtype is not write.buffer.dtype or not load.buffer.size:
        return None
    if not all(_is_plain(a, loops) for a in (load.offset, write.offset, *(c.value for c in load.conditions))):
        return None
    across, steps = kernel.columns[-1], {v: load.offset.coefficient(v) for v in loops}
    along = next((v for v in loops if steps[v] == 1 and v is not across), None)
    if along is None or write.offset.coefficient(across) != 1 or not steps[across] or steps[across] == 1:
        return None
    if min(along.extent, across.extent) < LEAST or len(load.conditions) > 1:
        return None
    inside = load.conditions[0] if load.conditions else None
    if inside is not None and along in inside.value.variables:
        return None
    size = max(LEAST, min(16, width // load.buffer.dtype.numpy.itemsize))
    outer = tuple(v for v in loops if v is not along and v is not across)
    return Transposition(load.buffer, write.buffer, load.offset, write.offset, outer, along, across, inside, size)


def _is_plain(offset: Affine, loops: Sequence[LoopVar]) -> bool:
    return all(isinstance(atom, LoopVar) and atom in loops for atom, _ in offset.terms)


def write_transposition(t: Transposition, name: str) -> Function:
    """The function `void name(ptr args, i64 begin, i64 end)` for the blocks begin … end - 1: source, target."""
    return _Writer(t, name).write()


class _Writer:
    def __init__(self, t: Transposition, name: str) -> None:
        self.t = t
        self.f = f = Function(name, (("ptr", "args"), ("i64", "begin"), ("i64", "end")))
        self.kind = "i8" if t.source.dtype.is_bool else llvm_type(t.source.dtype)
        self.align = t.source.dtype.numpy.itemsize
        f.sizes_from = 2
        self.source, self.target = (
            f.load("ptr", f.pointer(f.parameters[0], integer(k), "ptr"), align=8) for k in (0, 1)
        )
        self.counters: dict[LoopVar, Value] = {}

    def write(self) -> Function:
        f, t = self.f, self.t
        _, begin, end = f.parameters
        with f.loop(begin, end, 1) as blocks:
            left = blocks.counter
            strip = f.binary("urem", left, f.number(t.strips))
            left = f.binary("udiv", left, f.number(t.strips))
            for v in reversed(t.outer):
                self.counters[v] = f.binary("urem", left, f.number(v.extent))
                left = f.binary("udiv", left, f.number(v.extent))
            self.counters[t.along] = f.binary("mul", strip, integer(t.size))
            whole = t.across.extent // t.size * t.size
            if is_extent(whole) or whole:
                with f.loop(integer(0), f.number(whole), t.size) as loop:
                    self._tile(loop.counter, t.size)
            if is_extent(t.across.extent):
                with f.loop(f.number(whole), f.number(t.across.extent), t.size) as loop:
                    self._tile(loop.counter, f.binary("sub", f.number(t.across.extent), loop.counter))
            elif whole < t.across.extent:
                self._tile(integer(whole), t.across.extent - whole)
        f.do("ret void")
        return f

    def _tile(self, first: Value, columns: int | Value) -> None:
        """One tile from a column on; of an incomplete one `columns` are there, as a number if it is known."""
        f, t = self.f, self.t
        known = t.size if isinstance(columns, Value) else columns
        self.counters[t.across] = first
        read, written = self._address(t.read), self._address(t.written)
        rest = is_extent(t.along.extent) or t.along.extent % t.size
        left = f.binary("sub", f.number(t.along.extent), self.counters[t.along]) if rest else None
        zero = f.splat(constant(0, self.kind), t.size)
        rows = []
        for c in range(known):
            place = f.pointer(self.source, f.binary("add", read, f.number(c * _step(t.read, t.across))), self.kind)
            mask = self._first(left) if left is not None else None
            if isinstance(columns, Value):
                there = f.splat(f.compare("icmp sgt", columns, integer(c)), t.size)
                mask = there if mask is None else f.binary("and", mask, there)
            if t.inside is not None:
                holds = f.splat(self._holds(t.inside, c), t.size)
                mask = holds if mask is None else f.binary("and", mask, holds)
            rows.append(self._load(place, mask))
        rows += [zero] * (t.size - known)
        for r, row in enumerate(transposed(f, rows)):
            place = f.pointer(self.target, f.binary("add", written, f.number(r * _step(t.written, t.along))), self.kind)
            mask = self._first(columns) if isinstance(columns, Value) else None
            if known < t.size:
                mask = Value(f"<{', '.join(f'i1 {str(k < known).lower()}' for k in range(t.size))}>", "i1", t.size)
            if left is not None and r:
                there = f.splat(f.compare("icmp sgt", left, integer(r)), t.size)
                mask = there if mask is None else f.binary("and", mask, there)
            self._store(row, place, mask)

    def _address(self, offset: Affine) -> Value:
        f = self.f
        total = f.number(offset.constant)
        for atom, c in offset.terms:
            assert isinstance(atom, LoopVar)
            total = f.binary("add", total, f.binary("mul", self.counters[atom], f.number(c)))
        return total

    def _first(self, count: Value) -> Value:
        """A mask of the first lanes, as many as there are left."""
        numbers = Value(f"<{', '.join(f'i64 {k}' for k in range(self.t.size))}>", "i64", self.t.size)
        return self.f.compare("icmp slt", numbers, count)

    def _holds(self, condition: Condition, column: int) -> Value:
        value = self._address(condition.value)
        moved = column * _step(condition.value, self.t.across) - condition.low
        value = self.f.binary("add", value, self.f.number(moved))
        return self.f.compare("icmp ule", value, self.f.number(condition.high - condition.low))

    def _load(self, place: Value, mask: Value | None) -> Value:
        if mask is None:
            return self.f.load(self.kind, place, self.t.size, self.align)
        return self.f.masked_load(self.kind, place, mask, self.align)

    def _store(self, row: Value, place: Value, mask: Value | None) -> None:
        if mask is None:
            self.f.store(row, place, self.align)
        else:
            self.f.masked_store(row, place, mask, self.align)


def transposed(f: Function, rows: Sequence[Value]) -> list[Value]:
    """The square of these vectors, transposed: at each stage pairs of rows exchange blocks."""
    size = len(rows)
    out = list(rows)
    step = 1
    while step < size:
        for k in range(size):
            if not k & step:
                a, b = out[k], out[k + step]
                out[k] = _mixed(f, a, b, [j if not j & step else size + j - step for j in range(size)])
                out[k + step] = _mixed(f, a, b, [j + step if not j & step else size + j for j in range(size)])
        step *= 2
    return out


def _mixed(f: Function, a: Value, b: Value, places: Sequence[int]) -> Value:
    chosen = ", ".join(f"i32 {p}" for p in places)
    return f.emit(a.kind, a.lanes, f"shufflevector {a}, {b}, <{len(places)} x i32> <{chosen}>")


def _step(offset: Affine, var: LoopVar) -> int:
    return offset.coefficient(var) or 0
