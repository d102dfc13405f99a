"""sort, argsort, top_k and searchsorted.

An element becomes an integer that is ordered like it (`order_key`: NaN last, either zero the same, turned round for a
descending order). Beside it goes its place, in the low bits, so that no two are equal and any order is stable. These
are sorted, and what is wanted is read at the places that come out:

    keys → places in order → the values there

Long rows are sorted digit by digit, the least first (a counting sort of 8 bits each); short ones by merging from runs
of four (a network, then bottom-up merges without branches). The few largest of a row are inserted one by one into a
sorted list. (Knuth, The Art of Computer Programming 3, sections 5.2.5, 5.2.4, 5.3.4.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from treadle.backends.native import index as ix
from treadle.backends.native.assembly import Function, Loop, Value, integer
from treadle.backends.native.emitting import PARAMETERS
from treadle.backends.native.expressions import Buffer, Condition, Expr, Index, Load, Test
from treadle.backends.native.fuse import NUMBERS, Fusion
from treadle.backends.native.index import Affine, Computed, LoopVar
from treadle.backends.native.kernels import WORTH_SHARING, LoopKernel, Write
from treadle.backends.native.lowering import Lowering, Place, shape_of
from treadle.core.dtypes import DType, bool_, int32, int64
from treadle.core.graph import Atom, Node

ORDERINGS = frozenset({"sort", "argsort", "top_k", "searchsorted"})
TASKS = 16  # pieces of many rows, for threads to share
RUN = 4  # elements that the network sorts
INSERTED = 32  # of the largest, up to which they are found by inserting
SCARCE = 4  # times as long a row has to be for that
PLACE_BITS = 32
DIGIT = 8  # bits
MANY = 64  # elements from which on digits are faster than merging, for each digit that a key has


@dataclass(frozen=True)
class RowSort:
    """order[row] = the places of the `chosen` least of keys[row], in order."""

    keys: Buffer  # [rows, n], int32 or int64
    scratch: Buffer  # of each task, two rows of keys with their places
    order: Buffer  # [rows, chosen], int32
    rows: int
    n: int
    chosen: int
    tasks: int

    @property
    def inserts(self) -> bool:
        return self.chosen <= INSERTED and SCARCE * self.chosen <= self.n

    @property
    def digits(self) -> int:
        return self.keys.dtype.bits // DIGIT

    @property
    def by_digits(self) -> bool:
        return self.n >= MANY * self.digits

    @property
    def operations(self) -> int:
        return self.rows * self.n * (4 if self.inserts else 8 * max(1, (self.n - 1).bit_length() - 1))

    def __str__(self) -> str:
        way = "digits" if self.by_digits else "merging"
        how = f"the {self.chosen} least by insertion" if self.inserts else f"{self.chosen} after sorting by {way}"
        return f"sort {self.rows} rows of {self.n} in {self.tasks} tasks: {self.order} = places of {self.keys}, {how}"


def order_kernels(fusion: Fusion, node: Node) -> list[LoopKernel | RowSort]:
    """The kernels of one of these nodes, in order."""
    if node.primitive.name == "searchsorted":
        return [_search(fusion, node)]
    x = node.inputs[0]
    shape = shape_of(x)
    axis = node.params.get("axis", len(shape) - 1)
    chosen = node.params.get("k", shape[axis])
    outs = [fusion.kept.get(v) for v in node.outputs]
    if not prod(shape) or not chosen:
        return []
    keys = _keys(fusion, x, axis, bool(node.params.get("descending", True)))
    n, rows = shape[axis], prod(shape) // shape[axis]
    wanted = outs[-1] if node.primitive.name != "sort" and axis == len(shape) - 1 else None
    order = wanted or Buffer(next(NUMBERS), int32, (rows, chosen))
    sorts = _row_sort(keys.writes[0].buffer, order, rows, n, chosen)
    reads = []
    if node.primitive.name != "argsort" and outs[0] is not None:
        reads.append(_chosen(fusion, x, axis, order, outs[0], "value"))
    if node.primitive.name == "argsort" and order is not outs[0] and outs[0] is not None:
        reads.append(_chosen(fusion, x, axis, order, outs[0], "place"))
    return [keys, sorts, *reads]


def _row_sort(keys: Buffer, order: Buffer, rows: int, n: int, chosen: int) -> RowSort:
    wide = keys.dtype.bits + PLACE_BITS > 64
    length = -(-n // RUN) * RUN
    made = RowSort(keys, keys, order, rows, n, chosen, 1)
    tasks = min(rows, TASKS) if made.operations > WORTH_SHARING else 1
    scratch = Buffer(next(NUMBERS), int64, (tasks, 2 * length * (2 if wide else 1)))
    return RowSort(keys, scratch, order, rows, n, chosen, tasks)


def key_dtype(dtype: DType) -> DType:
    return int64 if dtype.bits > 32 else int32


def _keys(fusion: Fusion, x: Atom, axis: int, descending: bool) -> LoopKernel:
    """Keys row by row, whatever the axis."""
    shape = shape_of(x)
    loops = tuple(map(LoopVar, shape))
    rows = tuple(v for a, v in enumerate(loops) if a != axis)
    low = Lowering(fusion.kept, fusion.makers)
    value = low.at(x, tuple(map(ix.of, loops)))
    key = low.table.op("order_key", value, dtype=key_dtype(x.spec.dtype), descending=descending)
    buffer = Buffer(next(NUMBERS), key.dtype, (*(v.extent for v in rows), shape[axis]))
    offset = ix.flatten((*map(ix.of, rows), ix.of(loops[axis])), buffer.shape)
    return LoopKernel(_real(rows), _real((loops[axis],)), (Write(buffer, offset, key),), ("keys",))


def _chosen(fusion: Fusion, x: Atom, axis: int, order: Buffer, out: Buffer, what: str) -> LoopKernel:
    """What stands at the chosen places, or these places, where the output wants them."""
    loops = tuple(map(LoopVar, out.shape))
    place: Place = tuple(map(ix.of, loops))
    low = Lowering(fusion.kept, fusion.makers)
    row = (*(i for a, i in enumerate(place) if a != axis), place[axis])
    value = low.table.add(Load(order, ix.flatten(row, tuple(loops[a].extent for a in _last(axis, len(loops)))), ()))
    if what == "value":
        there = low.position(value, shape_of(x)[axis])
        value = low.at(x, tuple(there if a == axis else i for a, i in enumerate(place)))
    real = _real(loops)
    return LoopKernel(real[:-1], real[-1:], (Write(out, ix.flatten(place, out.shape), value),), (f"chosen {what}s",))


def _last(axis: int, ndim: int) -> tuple[int, ...]:
    return (*(a for a in range(ndim) if a != axis), axis)


def _real(loops: tuple[LoopVar, ...]) -> tuple[LoopVar, ...]:
    return tuple(v for v in loops if not v.is_single)


def _search(fusion: Fusion, node: Node) -> LoopKernel:
    """How many elements come before each value: a binary search of as many steps for all."""
    ordered, values = node.inputs
    out, n = fusion.kept[node.outputs[0]], shape_of(ordered)[0]
    loops = tuple(map(LoopVar, out.shape))
    place = tuple(map(ix.of, loops))
    low = Lowering(fusion.kept, fusion.makers)
    table, dtype = low.table, key_dtype(values.spec.dtype)

    def key(value: Expr) -> Expr:
        return table.op("order_key", value, dtype=dtype, descending=False)

    wanted = key(low.at(values, place))
    before: Expr = table.const(0, int64)
    compare = "lt" if node.params["side"] == "left" else "le"
    for bit in reversed(range(n.bit_length())):
        step = 1 << bit
        further = table.op("add", before, table.const(step, int64))
        # of the elements up to there, is the last one still before the value?
        here = Affine(0, ((Computed(further, (0, 2 * n)), 1),))
        inside = (Condition(here, 1, n),)
        last = Affine(0, ((Computed(table.op("sub", further, table.const(1, int64)), (0, 2 * n)), 1),))
        there = key(low.guarded(inside, functools.partial(low.at, ordered, (last,)), lambda: low.at(values, place)))
        goes = table.op("and_", table.add(Test(inside)), _compared(low, compare, there, wanted))
        before = table.select(goes, further, before)
    value = table.op("cast", before, dtype=int32) if n else table.add(Index(ix.ZERO, int32))
    real = _real(loops)
    return LoopKernel(real[:-1], real[-1:], (Write(out, ix.flatten(place, out.shape), value),), ("searchsorted",))


def _compared(low: Lowering, name: str, x: Expr, y: Expr) -> Expr:
    return low.table.op(name, x, y, dtype=bool_)


def write_row_sort(s: RowSort, name: str) -> Function:
    """The function `void name(ptr args, i64 begin, i64 end)` for the tasks begin … end - 1: keys, scratch, order."""
    return _Writer(s, name).write()


class _Writer:
    def __init__(self, s: RowSort, name: str) -> None:
        self.s = s
        self.f = f = Function(name, PARAMETERS)
        self.key_bits = s.keys.dtype.bits
        self.kind = "i64" if self.key_bits + PLACE_BITS <= 64 else "i128"
        args = f.parameters[0]
        self.keys, self.scratch, self.order = (
            f.load("ptr", f.pointer(args, integer(k), "ptr"), align=8) for k in range(3)
        )
        self.length = -(-s.n // RUN) * RUN

    def write(self) -> Function:
        f, s = self.f, self.s
        _, begin, end = f.parameters
        each = -(-s.rows // s.tasks)
        with f.loop(begin, end, 1) as tasks:
            first = f.binary("mul", tasks.counter, integer(each))
            past = f.intrinsic("smin", f.binary("add", first, integer(each)), integer(s.rows))
            a = f.pointer(self.scratch, f.binary("mul", tasks.counter, integer(2 * self.length)), self.kind)
            b = f.pointer(a, integer(self.length), self.kind)
            if not s.inserts and s.by_digits:
                self.counts = f.stack(f"[{s.digits << DIGIT} x i64]")
            with f.loop(first, past, 1) as rows:
                keys = f.pointer(self.keys, f.binary("mul", rows.counter, integer(s.n)), f"i{self.key_bits}")
                order = f.pointer(self.order, f.binary("mul", rows.counter, integer(s.chosen)), "i32")
                sort = self._inserted if s.inserts else self._by_digits if s.by_digits else self._by_merging
                self._places(sort(keys, a, b), order)
        f.do("ret void")
        return f

    def _at(self, base: Value, place: Value) -> Value:
        return self.f.pointer(base, place, self.kind)

    def _get(self, base: Value, place: Value) -> Value:
        return self.f.load(self.kind, self._at(base, place), align=8)

    def _put(self, value: Value, base: Value, place: Value) -> None:
        self.f.store(value, self._at(base, place), align=8)

    def _placed(self, keys: Value, place: Value) -> Value:
        """A key with its place in the low bits."""
        f, kind = self.f, f"i{self.key_bits}"
        key = f.load(kind, f.pointer(keys, place, kind), align=self.key_bits // 8)
        return self._with_place(f.convert("sext", key, self.kind), place)

    def _with_place(self, key: Value, place: Value) -> Value:
        f = self.f
        high = f.binary("shl", key, integer(PLACE_BITS, self.kind))
        low = place if self.kind == "i64" else f.convert("zext", place, self.kind)
        return f.binary("or", high, low)

    def _places(self, sorted_row: Value, order: Value) -> None:
        f = self.f
        with f.loop(integer(0), integer(self.s.chosen), 1) as loop:
            place = f.convert("trunc", self._get(sorted_row, loop.counter), "i32")
            f.store(place, f.pointer(order, loop.counter, "i32"), align=4)

    # digit by digit

    def _by_digits(self, keys: Value, a: Value, b: Value) -> Value:
        f, s = self.f, self.s
        with f.loop(integer(0), integer(s.digits << DIGIT), 1) as loop:
            f.store(integer(0), f.pointer(self.counts, loop.counter, "i64"), align=8)
        with f.loop(integer(0), integer(s.n), 1) as loop:
            new = self._placed(keys, loop.counter)
            self._put(new, a, loop.counter)
            for d in range(s.digits):
                count = self._count(new, d)
                f.store(f.binary("add", f.load("i64", count, align=8), integer(1)), count, align=8)
        for d in range(s.digits):  # from how many there are to where the first one goes
            with f.loop(integer(0), integer(1 << DIGIT), 1, integer(0)) as loop:
                place = f.pointer(self.counts, f.binary("add", loop.counter, integer(d << DIGIT)), "i64")
                many = f.load("i64", place, align=8)
                f.store(loop.carried[0], place, align=8)
                loop.next = [f.binary("add", loop.carried[0], many)]
        for d in range(s.digits):
            with f.loop(integer(0), integer(s.n), 1) as loop:
                one = self._get(a, loop.counter)
                place = self._count(one, d)
                target = f.load("i64", place, align=8)
                self._put(one, b, target)
                f.store(f.binary("add", target, integer(1)), place, align=8)
            a, b = b, a
        return a

    def _count(self, one: Value, digit: int) -> Value:
        """Where elements with the same digit are counted; the highest digit has the sign."""
        f, s = self.f, self.s
        here = f.binary("lshr", one, integer(PLACE_BITS + DIGIT * digit, self.kind))
        value = f.binary("and", here, integer((1 << DIGIT) - 1, self.kind))
        if digit == s.digits - 1:
            value = f.binary("xor", value, integer(1 << (DIGIT - 1), self.kind))
        value = value if self.kind == "i64" else f.convert("trunc", value, "i64")
        return f.pointer(self.counts, f.binary("add", value, integer(digit << DIGIT)), "i64")

    # by merging

    def _by_merging(self, keys: Value, a: Value, b: Value) -> Value:
        f, s = self.f, self.s
        with f.loop(integer(0), integer(s.n), 1) as loop:
            self._put(self._placed(keys, loop.counter), a, loop.counter)
        greatest = integer((1 << (self.key_bits - 1)) - 1, self.kind)
        for place in range(s.n, self.length):  # filled up with what comes after everything
            self._put(self._with_place(greatest, integer(place)), a, integer(place))
        with f.loop(integer(0), integer(self.length), RUN) as loop:
            self._network(a, loop.counter)
        passes = max(0, (self.length // RUN - 1).bit_length())
        with f.loop(integer(0), integer(passes), 1, a, b) as merges:
            source, target = merges.carried
            width = f.binary("shl", integer(RUN), merges.counter)
            self._merged(source, target, width)
            merges.next = [target, source]
        return merges.carried[0]

    def _network(self, row: Value, first: Value) -> None:
        f = self.f
        places = [f.binary("add", first, integer(k)) for k in range(RUN)]
        values = [self._get(row, p) for p in places]
        for i, j in ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2)):
            x, y = values[i], values[j]
            values[i], values[j] = f.intrinsic("smin", x, y), f.intrinsic("smax", x, y)
        for value, place in zip(values, places, strict=True):
            self._put(value, row, place)

    def _merged(self, source: Value, target: Value, width: Value) -> None:
        """Neighbouring runs of this width made one."""
        f, length = self.f, integer(self.length)
        both = f.binary("shl", width, integer(1))
        pairs = f.binary("udiv", f.binary("add", length, f.binary("sub", both, integer(1))), both)
        with f.loop(integer(0), pairs, 1) as loop:
            first = f.binary("mul", loop.counter, both)
            middle = f.intrinsic("smin", f.binary("add", first, width), length)
            past = f.intrinsic("smin", f.binary("add", first, both), length)
            with f.loop(first, past, 1, first, middle) as merge:
                i, j = merge.carried
                left, right = f.compare("icmp slt", i, middle), f.compare("icmp slt", j, past)
                x = self._get(source, f.select(left, i, first))
                y = self._get(source, f.select(right, j, first))
                less = f.binary("or", f.compare("icmp slt", x, y), f.binary("xor", right, integer(1, "i1")))
                takes = f.binary("and", left, less)
                self._put(f.select(takes, x, y), target, merge.counter)
                step = f.convert("zext", takes, "i64")
                merge.next = [
                    f.binary("add", i, step),
                    f.binary("add", j, f.binary("sub", integer(1), step)),
                ]

    # the few least

    def _inserted(self, keys: Value, few: Value, _: Value) -> Value:
        """The chosen ones in order: each element that is less than the last of them is inserted."""
        f, s = self.f, self.s
        bits = int(self.kind[1:])
        worst = integer((1 << (bits - 1)) - 1, self.kind)
        for k in range(s.chosen):
            self._put(worst, few, integer(k))
        with f.loop(integer(0), integer(s.n), 1, worst) as loop:
            new = self._placed(keys, loop.counter)
            loop.next = [self._if(f.compare("icmp slt", new, loop.carried[0]), loop, self._inserting(new, few))]
        return few

    def _if(self, condition: Value, loop: Loop, then: Callable[[], Value]) -> Value:
        """What `then` computes where the condition holds; else what the loop carries."""
        f = self.f
        before = f.here
        inside, after = f.block("then"), f.block("after")
        f.branch_if(condition, inside, after)
        f.here = inside
        made = then()
        end = f.here
        f.branch(after)
        f.here = after
        phi = f.phi(made.kind)
        phi.incoming += [(made, end.name), (loop.carried[0], before.name)]
        return phi.value

    def _inserting(self, new: Value, few: Value) -> Callable[[], Value]:
        f, last = self.f, self.s.chosen - 1

        def insert() -> Value:
            with f.loop(integer(0), integer(last), 1) as loop:  # from the end: each is what is in the middle of three
                here = f.binary("sub", integer(last), loop.counter)
                before = self._get(few, f.binary("sub", here, integer(1)))
                kept = f.intrinsic("smin", self._get(few, here), f.intrinsic("smax", before, new))
                self._put(kept, few, here)
            self._put(f.intrinsic("smin", self._get(few, integer(0)), new), few, integer(0))
            return self._get(few, integer(last))

        return insert
