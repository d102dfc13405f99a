"""A scheduled product as LLVM: tasks, tiles, and the tile in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from treadle.backends.native.assembly import Function, Loop, Value, constant, integer, llvm_type
from treadle.backends.native.contraction import Schedule
from treadle.backends.native.emitting import PARAMETERS
from treadle.backends.native.extents import ceiling, is_extent
from treadle.backends.native.products import Axis
from treadle.backends.native.target import Target

AHEAD = 8  # rounds of the innermost sum for which y's vectors are asked for in advance


def write_product(s: Schedule, name: str, target: Target) -> Function:
    """The function `void name(ptr args, i64 begin, i64 end)` for the tasks begin … end - 1; args are x, y, out."""
    return _Writer(s, name, target).write()


class _Writer:
    def __init__(self, s: Schedule, name: str, target: Target) -> None:
        self.s, self.target = s, target
        self.f = f = Function(name, PARAMETERS)
        f.sizes_from = 3
        self.left: Value | None = None  # how much of a sum whose length is not known is left for a block
        self.kind = llvm_type(s.product.out.dtype)
        self.align = s.product.out.dtype.numpy.itemsize
        args = f.parameters[0]
        self.x, self.y, self.out = (f.load("ptr", f.pointer(args, integer(k), "ptr"), align=8) for k in range(3))

    def write(self) -> Function:
        f = self.f
        _, begin, end = f.parameters
        with f.loop(begin, end, 1) as tasks:
            self._task(tasks.counter)
        f.do("ret void")
        return f

    def _task(self, task: Value) -> None:
        """From a task's number to where each loop begins and ends."""
        f, s = self.f, self.s
        ranges: list[tuple[Value, Value]] = []
        left = task
        for n, pieces in reversed(list(zip(s.counts, s.pieces, strict=True))):
            if pieces == 1:
                ranges.insert(0, (integer(0), f.number(n)))
                continue
            part = f.binary("urem", left, integer(pieces))
            left = f.binary("udiv", left, integer(pieces))
            if not is_extent(n) and pieces == n:
                ranges.insert(0, (part, f.binary("add", part, integer(1))))
                continue
            size = f.number(ceiling(n, pieces))
            first = f.binary("mul", part, size)
            past = f.intrinsic("smin", f.binary("add", first, size), f.number(n))
            ranges.insert(0, (first, past))
        begins = tuple(f.number(b) for b in s.product.begins)
        self._around(list(s.others), ranges, begins)

    def _around(self, axes: list[Axis], ranges: list[tuple[Value, Value]], at: Sequence[Value]) -> None:
        """Loops over what is neither tiled nor in lanes."""
        if axes:
            axis = axes[0]
            with self.f.loop(*ranges[0], 1) as loop:
                self._around(axes[1:], ranges[1:], self._moved(at, loop.counter, axis))
            return
        self._sums(list(self.s.outer), ranges, at, None)

    def _sums(
        self, axes: list[Axis], ranges: list[tuple[Value, Value]], at: Sequence[Value], first: Value | None
    ) -> None:
        """Loops over blocks of sums; `first` says whether nothing has been summed yet."""
        if axes:
            axis = axes[0]
            with self.f.loop(integer(0), self.f.number(axis.extent), 1) as loop:
                if self.s.cut is not None and len(axes) == 1:
                    done = self.f.binary("mul", loop.counter, self.f.number(self.s.inner[0].extent))
                    self.left = self.f.binary("sub", self.f.number(self.s.cut), done)
                here = self.f.compare("icmp eq", loop.counter, integer(0))
                here = here if first is None else self.f.binary("and", first, here)
                self._sums(axes[1:], ranges, self._moved(at, loop.counter, axis), here)
            return
        self._panels(ranges, at, first)

    def _panels(self, ranges: list[tuple[Value, Value]], at: Sequence[Value], first: Value | None) -> None:
        s, f = self.s, self.f

        def panel(loop: Loop, columns: int | Value) -> None:
            x, y, out = at
            y = f.binary("add", y, f.binary("mul", loop.counter, f.number(s.panel_step)))
            out = f.binary("add", out, f.binary("mul", loop.counter, integer(s.width)))
            self._tiles(ranges[-2], (x, y, out), columns, first)

        self._in_two(ranges[-1], s.lane.extent, s.width, panel)

    def _tiles(self, over: tuple[Value, Value], at: Sequence[Value], columns: int | Value, first: Value | None) -> None:
        s, f = self.s, self.f

        def tile(loop: Loop, rows: int | Value) -> None:
            x, y, out = at
            x = f.binary("add", x, f.binary("mul", loop.counter, f.number(s.tile_step)))
            out = f.binary("add", out, f.binary("mul", loop.counter, f.number(s.tile.out * s.height)))
            self._tile((x, y, out), rows, columns, first)

        self._in_two(over, s.tile.extent, s.height, tile)

    def _in_two(
        self, over: tuple[Value, Value], extent: int, size: int, body: Callable[[Loop, int | Value], None]
    ) -> None:
        """A loop over complete pieces, and the incomplete last one if there is one; its size may be known only here."""
        f = self.f
        first, past = over
        whole = extent // size
        rest = f.number(extent - whole * size) if is_extent(extent) else extent - whole * size
        if is_extent(extent) or whole:
            end = f.intrinsic("smin", past, f.number(whole)) if rest else past
            with f.loop(first, end, 1) as loop:
                body(loop, size)
        if rest:
            start = f.intrinsic("smax", first, f.number(whole)) if is_extent(extent) or whole else first
            with f.loop(start, past, 1) as loop:
                body(loop, rest)

    def _moved(self, at: Sequence[Value], counter: Value, axis: Axis) -> tuple[Value, ...]:
        f = self.f
        out = []
        for place, step in zip(at, (axis.x, axis.y, axis.out), strict=True):
            stays = not is_extent(step) and step == 0
            out.append(place if stays else f.binary("add", place, f.binary("mul", counter, f.number(step))))
        return tuple(out)

    # the tile in registers

    def _tile(self, at: Sequence[Value], rows: int | Value, columns: int | Value, first: Value | None) -> None:
        """One tile. Of one whose size is known only here all rows are computed: those beyond it as the first one again,
        and they are not stored.
        """
        f, s = self.f, self.s
        x, y, out = at
        live = rows if isinstance(rows, Value) else None
        height = s.height if isinstance(rows, Value) else rows
        there = [None if live is None or r == 0 else f.compare("icmp sgt", live, integer(r)) for r in range(height)]
        masks = self._masks(columns)
        vectors = len(masks)
        zero = f.splat(constant(0.0, self.kind), s.lanes)
        places = []
        for r in range(height):
            row = f.binary("add", out, self._row(r, s.tile.out, there))
            places.append(
                [f.pointer(self.out, f.binary("add", row, integer(v * s.lanes)), self.kind) for v in range(vectors)]
            )
        if s.fetches_output:
            for row_places in places:
                for place in row_places:
                    self._fetch(place, write=True)
        sums = [zero] * (height * vectors)
        if first is not None:
            again = f.binary("xor", first, integer(1, "i1"))
            sums = [
                f.select(again, self._load(places[r][v], masks[v]), zero) for r in range(height) for v in range(vectors)
            ]
        xs = [self._row(r, s.tile.x, there) for r in range(height)]
        sums = self._inner(list(s.inner), x, y, sums, xs, [None] * vectors if s.padded else masks)
        for r in range(height):
            for v in range(vectors):
                self._store(sums[r * vectors + v], places[r][v], self._both(there[r], masks[v]))

    def _row(self, r: int, step: int, there: Sequence[Value | None]) -> Value:
        """How far a row of a tile is from its first."""
        far, inside = self.f.number(r * step), there[r]
        return far if inside is None else self.f.select(inside, far, integer(0))

    def _both(self, row: Value | None, mask: Value | None) -> Value | None:
        if row is None:
            return mask
        every = self.f.splat(row, self.s.lanes)
        return every if mask is None else self.f.binary("and", every, mask)

    def _masks(self, columns: int | Value) -> list[Value | None]:
        """For each vector of a tile's row, which lanes are columns; None: all."""
        f, lanes = self.f, self.s.lanes
        if isinstance(columns, Value):
            numbers = [", ".join(f"i64 {v * lanes + k}" for k in range(lanes)) for v in range(self.s.vectors)]
            return [f.compare("icmp slt", Value(f"<{n}>", "i64", lanes), columns) for n in numbers]
        whole, rest = divmod(columns, lanes)
        return [None] * whole + ([self._mask(rest)] if rest else [])

    def _inner(
        self,
        axes: list[Axis],
        x: Value,
        y: Value,
        sums: list[Value],
        rows: Sequence[Value],
        masks: Sequence[Value | None],
    ) -> list[Value]:
        f, s = self.f, self.s
        if axes:
            axis = axes[0]
            end = f.number(axis.extent)
            if self.left is not None and len(axes) == len(s.inner):
                end = f.intrinsic("smin", end, self.left)
            with f.loop(integer(0), end, 1, *sums) as loop:
                px, py, _ = self._moved((x, y, integer(0)), loop.counter, replace_out(axis))
                loop.next = self._inner(axes[1:], px, py, loop.carried, rows, masks)
            return loop.carried
        columns = []
        for v, mask in enumerate(masks):
            place = f.pointer(self.y, f.binary("add", y, integer(v * s.lanes)), self.kind)
            columns.append(self._load(place, mask))
            if s.fetches:
                self._fetch(f.pointer(place, f.number(AHEAD * s.inner[-1].y), self.kind))
        out = list(sums)
        for r, row in enumerate(rows):
            place = f.pointer(self.x, f.binary("add", x, row), self.kind)
            one = f.splat(f.load(self.kind, place, align=self.align), s.lanes)
            for v in range(len(masks)):
                k = r * len(masks) + v
                out[k] = self._multiply_add(one, columns[v], out[k])
        return out

    def _multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        if self.target.fma:
            return self.f.intrinsic("fma", a, b, c)
        return self.f.binary("fadd", self.f.binary("fmul", a, b), c)

    def _mask(self, count: int) -> Value:
        bits = ", ".join(f"i1 {'true' if k < count else 'false'}" for k in range(self.s.lanes))
        return Value(f"<{bits}>", "i1", self.s.lanes)

    def _load(self, place: Value, mask: Value | None) -> Value:
        if mask is None:
            return self.f.load(self.kind, place, self.s.lanes, self.align)
        return self.f.masked_load(self.kind, place, mask, self.align)

    def _fetch(self, place: Value, write: bool = False) -> None:
        """Ask for what is read or written some time later; beyond the end of memory that is no fault."""
        self.f.perform("llvm.prefetch.p0", place, integer(write, "i32"), integer(3, "i32"), integer(1, "i32"))

    def _store(self, value: Value, place: Value, mask: Value | None) -> None:
        if mask is None:
            self.f.store(value, place, self.align)
        else:
            self.f.masked_store(value, place, mask, self.align)


def replace_out(axis: Axis) -> Axis:
    return Axis(axis.extent, axis.x, axis.y, 0)
