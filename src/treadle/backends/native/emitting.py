"""A `LoopKernel` as LLVM. Vectors are written out, so nothing depends on what an optimiser recognises.

Loops are levels; each level has a place where code can still be added while inner loops are written, so every
expression goes to the outermost level that it depends on. The last column loop goes through the lanes: a load whose
offset moves by one from lane to lane is a vector load, by nothing a scalar, by anything else a gather. What is left of
a loop whose extent is no multiple of the lanes is one more round under a mask.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from treadle.backends.native.assembly import Block, Function, Loop, Value, constant, integer, llvm_type, suffix
from treadle.backends.native.expressions import (
    Buffer,
    Condition,
    Conditions,
    Const,
    Expr,
    Index,
    Load,
    Op,
    Reduce,
    Test,
)
from treadle.backends.native.extents import is_extent
from treadle.backends.native.index import Affine, Atom, LoopVar, Quotient, Remainder
from treadle.backends.native.kernels import LONGEST_SAVED, LoopKernel, Write
from treadle.backends.native.scalar import WRITERS, extreme, narrow, widen
from treadle.core.dtypes import DType, bfloat16, float16, int64

PARAMETERS = (("ptr", "args"), ("i64", "begin"), ("i64", "end"))


@dataclass
class Lanes:
    """A loop that goes through lanes: `base` is the counter of the first one; the mask is set in the last round."""

    variable: LoopVar
    count: int
    base: Value
    mask: Value | None
    saving: list[Expr] = field(default_factory=list)


@dataclass
class Level:
    """An open loop (the first: the function): what it binds, and where code can be added."""

    block: Block
    counters: dict[LoopVar, Value] = field(default_factory=dict)
    lanes: Lanes | None = None
    loop: Loop | None = None
    cache: dict[Any, Any] = field(default_factory=dict)


def write_kernel(kernel: LoopKernel, name: str, width: int) -> Function:
    """The function `void name(ptr args, i64 begin, i64 end)`: the blocks begin … end - 1 of a kernel.

    Args:
        kernel: what to write.
        name: of the function.
        width: bytes of the target's vectors.
    """
    return _Writer(kernel, name, width).write()


class _Writer:
    def __init__(self, kernel: LoopKernel, name: str, width: int) -> None:
        self.kernel = kernel
        self.width = width
        self.f = Function(name, PARAMETERS)
        args = self.f.parameters[0]
        self.f.sizes_from = len(kernel.buffers)
        self.pointers: dict[Buffer, Value] = {}
        for k, buffer in enumerate(kernel.buffers):
            slot = self.f.pointer(args, integer(k), "ptr")
            self.pointers[buffer] = self.f.load("ptr", slot, align=8)
        self.levels = [Level(self.f.here)]
        self.scratch: dict[Expr, Value] = {}  # of the kernel's `saved` expressions: memory for a row of them
        self.full: set[Expr] = set()  # those whose row has been computed

    def write(self) -> Function:
        _, begin, end = self.f.parameters
        self._open(begin, end, 1)
        self._bind_block(self.levels[-1])
        for var in self.kernel.serial:
            level = self._open(integer(0), self.f.number(var.extent), 1)
            assert level.loop is not None
            level.counters[var] = level.loop.counter
        rows = [w for w in self.kernel.writes if not w.offset.variables & set(self.kernel.columns)]
        for w in rows:
            self._store(w)
        full = [w for w in self.kernel.writes if w not in rows]
        if full:
            self._columns(full)
        for _ in self.kernel.serial:
            self._close()
        self._close()
        self.f.do("ret void")
        return self.f

    def _bind_block(self, level: Level) -> None:
        """What the counters of the rows are in a block, and which strip of the columns it is."""
        assert level.loop is not None
        left = level.loop.counter
        f = self.f
        if self.kernel.is_stripped:
            count = f.number(self.kernel.strips)
            strip = f.binary("urem", left, count) if self.kernel.rows else left
            left = f.binary("udiv", left, count) if self.kernel.rows else integer(0)
            self.first = f.binary("mul", strip, integer(self.kernel.strip))
            past = f.binary("add", self.first, integer(self.kernel.strip))
            self.past = f.intrinsic("smin", past, f.number(self.kernel.columns[0].extent))
        for k in range(len(self.kernel.rows) - 1, -1, -1):
            var = self.kernel.rows[k]
            if k == 0:
                level.counters[var] = left
            else:
                level.counters[var] = f.binary("urem", left, self.f.number(var.extent))
                left = f.binary("udiv", left, self.f.number(var.extent))
        level.block = f.here

    # levels

    def _open(self, start: Value, stop: Value, step: int, *carried: Value) -> Level:
        loop = Loop(self.f, start, stop, step, carried)
        level = Level(self.f.here, loop=loop)
        self.levels.append(level)
        return level

    def _close(self) -> None:
        level = self.levels.pop()
        loop, parent = level.loop, self.levels[-1]
        assert loop is not None
        loop.before = parent.block  # code may have been added there meanwhile
        loop.close()
        parent.block = self.f.here

    def _level_of(self, variables: frozenset[LoopVar]) -> int:
        for k in range(len(self.levels) - 1, 0, -1):
            if not self.levels[k].counters.keys().isdisjoint(variables):
                return k
        return 0

    def _at(self, k: int, make: Any) -> Any:
        """Write code at the end of level k."""
        deeper = self.levels[k + 1 :]
        self.levels[-1].block = self.f.here
        del self.levels[k + 1 :]
        self.f.here = self.levels[k].block
        made = make()
        self.levels[k].block = self.f.here
        self.levels += deeper
        self.f.here = self.levels[-1].block
        return made

    @property
    def _lanes(self) -> Lanes | None:
        return self.levels[-1].lanes

    # loops over columns and over what is reduced

    def _columns(self, writes: list[Write]) -> None:
        *outer, last = self.kernel.columns
        for var in outer:
            level = self._open(integer(0), self.f.number(var.extent), 1)
            assert level.loop is not None
            level.counters[var] = level.loop.counter
        count = self._lane_count(last.extent, len(self.kernel.expressions))
        rest = is_extent(last.extent) or last.extent % count != 0
        if self.kernel.is_stripped:
            rest = rest or self.kernel.strip % count != 0
            self._through_lanes(last, count, self.first, self.past, rest, writes)
        else:
            self._through_lanes(last, count, integer(0), self.f.number(last.extent), rest, writes)
        for _ in outer:
            self._close()

    def _lane_count(self, extent: int, expressions: int, most: int = 2) -> int:
        full = self.width // 4 * (most if expressions <= 60 else 1)
        while full > 2 and not is_extent(extent) and full // 2 >= extent:
            full //= 2
        return full

    def _through_lanes(
        self, var: LoopVar, count: int, first: Value, past: Value, rest: bool, writes: list[Write]
    ) -> None:
        whole = past
        if rest:
            length = self.f.binary("sub", past, first)
            whole = self.f.binary("add", first, self.f.binary("and", length, integer(-count)))
            self.levels[-1].block = self.f.here
        if not rest or first.text != "0" or is_extent(var.extent) or var.extent >= count:
            level = self._open(first, whole, count)
            assert level.loop is not None
            level.counters[var] = level.loop.counter
            level.lanes = Lanes(var, count, level.loop.counter, None)
            for w in writes:
                self._store(w)
            self._close()
        if rest:
            level = self._open(whole, past, count)
            assert level.loop is not None
            level.counters[var] = level.loop.counter
            level.lanes = Lanes(var, count, level.loop.counter, self._tail(level.loop.counter, past, count))
            level.block = self.f.here
            for w in writes:
                self._store(w)
            self._close()

    def _tail(self, base: Value, past: Value, count: int) -> Value:
        left = self.f.convert("trunc", self.f.binary("sub", past, base), "i32")  # there are fewer than `count`
        return self.f.compare("icmp ult", _numbers(count, "i32"), left)

    # values

    def value(self, expr: Expr) -> Value:
        """The expression's value where its outermost level is."""
        waiting = [expr]  # a formula may be longer than Python's stack is deep
        while True:
            here = waiting[-1]
            inner = here.args if isinstance(here, Op) and here not in self.full and not self._known(here) else ()
            missing = [e for e in inner if isinstance(e, Op) and not self._known(e)]
            if missing:
                waiting += missing
                continue
            made = self._value(waiting.pop())
            if not waiting:
                return made

    def _known(self, expr: Expr) -> Value | None:
        known: Value | None = self.levels[self._level_of(expr.variables)].cache.get(expr.number)
        return known

    def _value(self, expr: Expr) -> Value:
        if isinstance(expr, Const):
            return constant(expr.value, llvm_type(expr.dtype))
        k = self._level_of(expr.variables)
        known: Value | None = self.levels[k].cache.get(expr.number)
        if known is None:
            known = self._at(k, lambda: self._make(expr))
            self.levels[k].cache[expr.number] = known
        return known

    def _make(self, expr: Expr) -> Value:
        if expr in self.kernel.saved:
            return self._kept_between_passes(expr)
        return self._compute(expr)

    def _compute(self, expr: Expr) -> Value:
        if isinstance(expr, Load):
            return self._load(expr)
        if isinstance(expr, Op):
            if expr.name in ("div", "masked_div") and expr.dtype.kind == "f":
                return self._divide(expr)
            source = expr.args[0].dtype if expr.name != "select" else expr.dtype
            args = [self.value(a) for a in expr.args]
            return WRITERS[expr.name](self.f, args, source, expr.dtype, dict(expr.params))
        if isinstance(expr, Index):
            return self._from_int64(self.index(expr.value), expr.dtype)
        if isinstance(expr, Test):
            return self._holds(expr.conditions)
        assert isinstance(expr, Reduce)
        return self._reduce(expr)

    def _kept_between_passes(self, expr: Expr) -> Value:
        """Computed and written aside in the first pass over a row, read back in later ones."""
        lanes = self._lanes
        if lanes is None or lanes.variable is not self.kernel.columns[0]:
            return self._compute(expr)
        f, kind = self.f, llvm_type(expr.dtype)
        if expr not in self.scratch:
            # Whole vectors are written and read, also those that reach past the row's end.
            size = LONGEST_SAVED if is_extent(lanes.variable.extent) else -(-lanes.variable.extent // 64) * 64
            self.scratch[expr] = f.stack(f"[{size} x {_memory_type(expr.dtype)}]")
        memory = _memory_type(expr.dtype)
        place = f.pointer(self.scratch[expr], lanes.base, memory)
        align = expr.dtype.numpy.itemsize
        if expr in self.full:
            return f.load(kind, place, lanes.count, align)
        made = f.splat(self._compute(expr), lanes.count)
        f.store(made, place, align)
        lanes.saving.append(expr)
        return made

    def _divide(self, expr: Op) -> Value:
        """A quotient. By what is the same for a whole loop: a product with the reciprocal, computed before the loop.

        Where a divisor is so small or large that its reciprocal would not be a normal number, it is scaled by a power
        of two that the product makes good again; so zeros, infinities and NaNs give what a division gives. The result
        is within 1.5 units in the last place.
        """
        f = self.f
        x, divisor = expr.args
        before = self._level_of(divisor.variables)
        if before >= self._level_of(expr.variables):
            args = [self.value(x), self.value(divisor)]
            return WRITERS[expr.name](f, args, divisor.dtype, expr.dtype, {})
        kind = llvm_type(expr.dtype)
        bound = 2.0**64 if kind == "float" else 2.0**512

        def reciprocal() -> Any:
            d = self.value(divisor)
            size = f.intrinsic("fabs", d)
            one, up, down = (constant(v, kind) for v in (1.0, bound, 1 / bound))
            scale = f.select(f.compare("fcmp ogt", size, up), down, one)
            scale = f.select(f.compare("fcmp olt", size, down), up, scale)
            return f.binary("fdiv", one, f.binary("fmul", d, scale)), scale

        if isinstance(divisor, Const):
            number = float(divisor.value)
            if not 1 / bound < abs(number) < bound:
                return WRITERS[expr.name](f, [self.value(x), self.value(divisor)], divisor.dtype, expr.dtype, {})
            exact = np.reciprocal(np.asarray(divisor.value, expr.dtype.numpy))
            made = f.binary("fmul", self.value(x), constant(exact, kind))
        else:
            cache, key = self.levels[before].cache, ("reciprocal", divisor.number)
            if key not in cache:
                cache[key] = self._at(before, reciprocal)
            inverse, scale = cache[key]
            made = f.binary("fmul", f.binary("fmul", self.value(x), inverse), scale)
        if expr.name == "div":
            return made
        zero = constant(0.0, kind)
        return f.select(f.compare("fcmp oeq", self.value(x), zero), zero, made)

    def _from_int64(self, x: Value, dtype: DType) -> Value:
        from treadle.backends.native.scalar import cast

        return x if dtype is int64 else cast(self.f, x, int64, dtype)

    # indices

    def index(self, value: Affine) -> Value:
        """An index formula, as a vector where it depends on the lane."""
        return self._affine(value, scalar=False)

    def _affine(self, value: Affine, *, scalar: bool) -> Value:
        """`scalar`: of the first lane."""
        if value.is_constant:
            return self.f.number(value.constant)
        k = self._level_of(value.variables)
        key = (value, scalar)
        known = self.levels[k].cache.get(key)
        if known is None:
            known = self._at(k, lambda: self._sum(value, k, scalar))
            self.levels[k].cache[key] = known
        return known

    def _sum(self, value: Affine, k: int, scalar: bool) -> Value:
        inner = [(a, c) for a, c in value.terms if self._level_of(a.variables) == k]
        outer = [(a, c) for a, c in value.terms if self._level_of(a.variables) < k]
        total: Value | None = None
        if outer or not _is(value.constant, 0):
            total = self._affine(Affine(value.constant, tuple(outer)), scalar=scalar)
        for atom, c in inner:
            part = self._atom(atom, scalar)
            if not _is(c, 1):
                part = self.f.binary("mul nsw", part, self.f.number(c))
            total = part if total is None else self.f.binary("add nsw", total, part)
        assert total is not None
        return total

    def _atom(self, atom: Atom, scalar: bool) -> Value:
        if isinstance(atom, LoopVar):
            lanes = self._lanes
            if lanes is not None and lanes.variable is atom and not scalar:
                return self.f.binary("add nsw", _numbers(lanes.count, "i64"), lanes.base)
            for level in reversed(self.levels):
                if atom in level.counters:
                    return level.counters[atom]
            raise AssertionError(f"{atom} is no counter of an open loop")
        if isinstance(atom, (Quotient, Remainder)):
            inner = self._affine(atom.value, scalar=scalar)
            op = "udiv" if isinstance(atom, Quotient) else "urem"
            return self.f.binary(op, inner, self.f.number(atom.divisor))
        return self.value(atom.expression)

    def _narrow(self, c: Condition) -> Value | None:
        """A condition's index in all lanes in 32 bits: half the work of 64; None where these are too few."""
        lanes, value = self._lanes, c.value
        coefficient = value.coefficient(lanes.variable) if lanes is not None else None
        if any(map(is_extent, (coefficient, c.low, c.high, *value.bounds))):
            return None
        if lanes is None or not coefficient or max(map(abs, (*value.bounds, c.low, c.high))) >= 1 << 30:
            return None
        numbers = _numbers(lanes.count, "i32", coefficient)
        return self.f.binary("add", numbers, self.f.convert("trunc", self._affine(value, scalar=True), "i32"))

    def _holds(self, conditions: Conditions) -> Value:
        total: Value | None = None
        for c in conditions:
            value = self._narrow(c)
            if value is None:
                value = self.index(c.value)
            low, span = (Value(self.f.number(n).text, value.kind) for n in (c.low, c.high - c.low))
            if _is(c.high - c.low, 0):
                here = self.f.compare("icmp eq", value, low)
            else:
                moved = value if _is(c.low, 0) else self.f.binary("sub", value, low)
                here = self.f.compare("icmp ule", moved, span)
            total = here if total is None else self.f.binary("and", total, here)
        assert total is not None
        return total

    # memory

    def _load(self, expr: Load) -> Value:
        f, buffer = self.f, expr.buffer
        memory = _memory_type(buffer.dtype)
        if _is(buffer.size, 0):
            return constant(0, llvm_type(expr.dtype))
        lanes = self._lanes
        if lanes is None or lanes.variable not in expr.variables:
            pointer = f.pointer(self.pointers[buffer], self.index(expr.offset), memory)
            if not expr.conditions:
                return self._from_memory(f.load(memory, pointer, align=buffer.dtype.numpy.itemsize), buffer.dtype)
            inside = self._holds(expr.conditions)
            safe = f.select(inside, pointer, self.pointers[buffer])
            got = self._from_memory(f.load(memory, safe, align=buffer.dtype.numpy.itemsize), buffer.dtype)
            return f.select(inside, got, constant(0, got.kind))
        mask = lanes.mask
        if expr.conditions:
            inside = f.splat(self._holds(expr.conditions), lanes.count)
            mask = inside if mask is None else f.binary("and", mask, inside)
        coefficient = expr.offset.coefficient(lanes.variable)
        align = buffer.dtype.numpy.itemsize
        if _is(coefficient, 0):  # only whether it is read depends on the lane
            pointer = f.pointer(self.pointers[buffer], self.index(expr.offset), memory)
            somewhere = f.call(f"llvm.vector.reduce.or.v{lanes.count}i1", "i1", 0, mask) if mask else None
            safe = f.select(somewhere, pointer, self.pointers[buffer]) if somewhere else pointer
            one = f.splat(self._from_memory(f.load(memory, safe, align=align), buffer.dtype), lanes.count)
            return f.select(mask, one, constant(0, one.kind)) if mask else one
        if _is(coefficient, 1):
            pointer = f.pointer(self.pointers[buffer], self._affine(expr.offset, scalar=True), memory)
            if mask is None:
                return self._from_memory(f.load(memory, pointer, lanes.count, align), buffer.dtype)
            return self._from_memory(f.masked_load(memory, pointer, mask, align), buffer.dtype)
        pointers = f.pointer(self.pointers[buffer], f.splat(self.index(expr.offset), lanes.count), memory)
        everywhere = mask or Value("splat (i1 true)", "i1", lanes.count)
        name = f"llvm.masked.gather.{suffix(memory, lanes.count)}.v{lanes.count}p0"
        zero = f.splat(constant(0, memory), lanes.count)
        got = f.call(name, memory, lanes.count, pointers, integer(align, "i32"), everywhere, zero)
        return self._from_memory(got, buffer.dtype)

    def _from_memory(self, x: Value, dtype: DType) -> Value:
        if dtype.is_bool:
            return self.f.compare("icmp ne", x, integer(0, "i8"))
        return widen(self.f, x, dtype) if dtype in (float16, bfloat16) else x

    def _store(self, w: Write) -> None:
        f, dtype = self.f, w.buffer.dtype
        value = self.value(w.value)
        memory = _memory_type(dtype)
        if dtype.is_bool:
            value = (
                f.convert("zext", value, "i8")
                if value.text.startswith(("%", "splat"))
                else integer(value.text == "true", "i8")
            )
        elif dtype in (float16, bfloat16):
            value = narrow(f, value, dtype)
        lanes, align = self._lanes, dtype.numpy.itemsize
        if lanes is None:
            f.store(value, f.pointer(self.pointers[w.buffer], self.index(w.offset), memory), align)
            return
        value = f.splat(value, lanes.count)
        if _is(w.offset.coefficient(lanes.variable), 1):
            pointer = f.pointer(self.pointers[w.buffer], self._affine(w.offset, scalar=True), memory)
            if lanes.mask is None:
                f.store(value, pointer, align)
                return
            f.masked_store(value, pointer, lanes.mask, align)
            return
        pointers = f.pointer(self.pointers[w.buffer], f.splat(self.index(w.offset), lanes.count), memory)
        name = f"llvm.masked.scatter.{suffix(memory, lanes.count)}.v{lanes.count}p0"
        everywhere = lanes.mask or Value("splat (i1 true)", "i1", lanes.count)
        f.perform(name, value, pointers, integer(align, "i32"), everywhere)

    # reductions

    def _reduce(self, expr: Reduce) -> Value:
        if any(_is(v.extent, 0) for v in expr.loops):
            return constant(_identity(expr.op, expr.dtype), llvm_type(expr.dtype))
        if expr.op in ("argmax", "argmin"):
            return self._reduce_to_place(expr)
        if self._lanes is not None or _is(expr.loops[-1].extent, 1):
            return self._reduce_in_each_lane(expr, self._lanes.count if self._lanes else 0)
        return self._reduce_across_lanes(expr)

    def _reduce_in_each_lane(self, expr: Reduce, count: int) -> Value:
        first = self.f.splat(constant(_identity(expr.op, expr.dtype), llvm_type(expr.dtype)), count)
        total = first
        for var in expr.loops:
            level = self._open(integer(0), self.f.number(var.extent), 1, total)
            assert level.loop is not None
            level.counters[var] = level.loop.counter
            level.lanes = self.levels[-2].lanes
            total = level.loop.carried[0]
        total = self._combine(expr, total, self.f.splat(self.value(expr.body), count))
        return self._close_all(len(expr.loops), total)

    def _close_all(self, count: int, total: Value) -> Value:
        for _ in range(count):
            loop = self.levels[-1].loop
            assert loop is not None
            loop.next[0] = total
            total = loop.carried[0]
            self._close()
        return total

    def _reduce_across_lanes(self, expr: Reduce) -> Value:
        *outer, last = expr.loops
        count = self._lane_count(last.extent, 1, most=4)
        kind = llvm_type(expr.dtype)
        neutral = constant(_identity(expr.op, expr.dtype), kind)
        total = self.f.splat(neutral, count)
        for var in outer:
            level = self._open(integer(0), self.f.number(var.extent), 1, total)
            assert level.loop is not None
            level.counters[var] = level.loop.counter
            total = level.loop.carried[0]
        saving: list[Expr] = []
        whole = last.extent // count * count
        for start, stop, is_rest in ((0, whole, False), (whole, last.extent, True)):
            if _is(stop - start, 0):
                continue
            begin, end = self.f.number(start), self.f.number(stop)
            level = self._open(begin, end, count, total)
            assert level.loop is not None
            level.counters[last] = level.loop.counter
            mask = self._tail(level.loop.counter, end, count) if is_rest else None
            level.block = self.f.here
            level.lanes = Lanes(last, count, level.loop.counter, mask, saving)
            element = self.f.splat(self.value(expr.body), count)
            if mask is not None:
                element = self.f.select(mask, element, neutral)
            total = self._close_all(1, self._combine(expr, level.loop.carried[0], element))
        self.full.update(saving)
        total = self._close_all(len(outer), total)
        while count > 1:
            count //= 2
            parts = []
            for start in (0, count):
                places = ", ".join(f"i32 {start + k}" for k in range(count))
                both = Value("", total.kind, 2 * count).type
                parts.append(
                    self.f.emit(total.kind, count, f"shufflevector {total}, {both} poison, <{count} x i32> <{places}>")
                )
            total = self._combine(expr, *parts)
        return self.f.emit(total.kind, 0, f"extractelement {total}, i64 0")

    def _combine(self, expr: Reduce, total: Value, x: Value) -> Value:
        if expr.op in ("max", "min"):
            return extreme(self.f, expr.op == "max", total, x, expr.dtype)
        if expr.op in ("any", "all"):
            return self.f.binary("or" if expr.op == "any" else "and", total, x)
        name = "add" if expr.op == "sum" else "mul"
        return self.f.binary(("f" if expr.dtype.kind == "f" else "") + name, total, x)

    def _reduce_to_place(self, expr: Reduce) -> Value:
        """argmax, argmin: the first of equals; NaN counts as the largest and as the smallest."""
        f, (var,) = self.f, expr.loops
        dtype = expr.body.dtype
        kind = llvm_type(dtype)
        count = self._lanes.count if self._lanes else 0
        larger = expr.op == "argmax"
        best = f.splat(constant(_identity("max" if larger else "min", dtype), kind), count)
        level = self._open(integer(0), self.f.number(var.extent), 1, best, f.splat(integer(-1, "i32"), count))
        loop = level.loop
        assert loop is not None
        level.counters[var] = loop.counter
        level.lanes = self.levels[-2].lanes
        x = f.splat(self.value(expr.body), count)
        best, place = loop.carried
        if dtype.kind == "f":
            ahead = f.compare(f"fcmp {'ogt' if larger else 'olt'}", x, best)
            is_nan, had_nan = f.compare("fcmp uno", x, x), f.compare("fcmp ord", best, best)
            ahead = f.binary("or", ahead, f.binary("and", is_nan, had_nan))
        else:
            sign = "s" if dtype.kind == "i" else "u"
            ahead = f.compare(f"icmp {sign}{'gt' if larger else 'lt'}", x, best)
        ahead = f.binary("or", ahead, f.compare("icmp eq", place, integer(-1, "i32")))
        here = f.convert("trunc", loop.counter, "i32")
        loop.next = [f.select(ahead, x, best), f.select(ahead, here, place)]
        found = loop.carried[1]
        self._close()
        return found


def _identity(op: str, dtype: DType) -> Any:
    """What changes nothing; what an empty reduction gives."""
    if op == "sum":
        return 0
    if op in ("prod", "all"):
        return 1
    if op == "any" or dtype.is_bool:
        return 0 if op in ("any", "max") else 1
    if dtype.kind == "f":
        return -np.inf if op == "max" else np.inf
    bounds = np.iinfo(dtype.numpy)
    return int(bounds.min if op == "max" else bounds.max)


def _is(size: int | None, number: int) -> bool:
    """Whether a size is this number, whatever the sizes are that are known only when the kernel runs."""
    return not is_extent(size) and size == number


def _numbers(count: int, kind: str, step: int = 1) -> Value:
    """0, step, 2 step, … in as many lanes."""
    return Value("<" + ", ".join(f"{kind} {n * step}" for n in range(count)) + ">", kind, count)


def _memory_type(dtype: DType) -> str:
    return "i8" if dtype.is_bool else llvm_type(dtype)
