"""How a product is computed: one register-blocked kernel, with whatever copy makes its operands fit it.

A tile of `height` rows by `vectors` vectors of columns stays in registers while the sums run: for each summed index the
vectors of y are loaded once, and each row's element of x is multiplied with all of them. Around that are loops over
tiles, panels (as wide as a tile) and, outermost, blocks of the sums that keep what is read in the cache. y is
packed panel by panel where its columns are not neighbours, or where its rows lie so far apart that they would fight for
the same lines of the cache. The order in which one output is summed depends on neither tiles nor threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from treadle.backends.native import index as ix
from treadle.backends.native.expressions import Buffer, Load, Reduce, Table
from treadle.backends.native.extents import ceiling, is_extent, rough
from treadle.backends.native.fuse import NUMBERS
from treadle.backends.native.index import LoopVar
from treadle.backends.native.kernels import LoopKernel, Write
from treadle.backends.native.packing import is_rather_turned, packed, turned
from treadle.backends.native.products import Axis, Product, joined
from treadle.backends.native.target import Target, host

SUMMED = 512  # indices that are summed in one go, where y's panel comes from the second cache
NEAR = 256  # of them that a panel in three quarters of the first cache must have for it to be kept there instead
STREAMS = 8  # the same for a matrix and a vector: rows that are read side by side, from end to end
PAGE = 4096  # bytes
PAGES = 64  # that a block of sums may read from
FEW = 4  # tiles below which copying y takes longer than what reading the copy saves
MANY = 256  # rows from which on any y is copied, so that its vectors lie on lines' borders
JUMPS = 16  # of those, how many it may come to by a jump from page to page
LONG_SUM = 4096  # indices from which on a sum may be cut into parts
CLASHING = 4096  # rows of x so many bytes apart compete for the same few lines of the first cache
TASKS = 32  # pieces of a large product, for threads to share
FETCHED = 4  # elements of a farther cache that arrive in a cycle
READ = 30  # operations that take as long as reading an element, where each is used once
# Cycles that an element of x and a vector of y cost beyond their multiply-adds, as measured with 16 and 32 registers.
ROW = {16: 0.05, 32: 0.16}
VECTOR = {16: 0.05, 32: 0.1}
SMALL = 2_000_000  # operations below which there is only one piece


@dataclass(frozen=True)
class Schedule:
    """A product with its blocking.

    Attributes:
        lane: which of the columns goes through lanes; y and the output are contiguous along it.
        tile: which of the rows is tiled (None: there is one row).
        height, vectors, lanes: rows and vectors of a tile, and elements of a vector.
        outer, inner: the sums around the tiles and those in registers.
        pieces: into how many pieces batch, rows (the tiled axis last), panels are cut, axis by axis.
        tile_step, panel_step: how far apart tiles lie in x, and panels in y.
        padded: y's panels are complete in memory, so that reading past the last column is no fault.
    """

    product: Product
    lane: Axis
    tile: Axis
    others: tuple[Axis, ...]
    height: int
    vectors: int
    lanes: int
    outer: tuple[Axis, ...]
    inner: tuple[Axis, ...]
    pieces: tuple[int, ...]
    tile_step: int
    panel_step: int
    padded: bool
    cut: int | None = None  # what outer[-1] and inner[0] sum over together, where the last block may be shorter

    @property
    def width(self) -> int:
        return self.vectors * self.lanes

    @property
    def panels(self) -> int:
        return ceiling(self.lane.extent, self.width)

    @property
    def tiles(self) -> int:
        return ceiling(self.tile.extent, self.height)

    @property
    def fetches(self) -> bool:
        """Whether y's panel is larger than the first cache, so that its vectors had better be asked for early."""
        if self.height == 1 or not self.inner or rough(self.inner[-1].extent) < 16:
            return False
        panel = prod(rough(a.extent) for a in self.inner) * self.width * self.product.y.dtype.numpy.itemsize
        return panel > host().l1 // 2

    @property
    def fetches_output(self) -> bool:
        """Whether the output is larger than the first cache, so that a tile's place in it is to be asked for early."""
        return self.height > 1 and rough(self.product.out.bytes) > host().l1 // 2

    @property
    def counts(self) -> tuple[int, ...]:
        """What tasks are made of: rounds of the other axes, tiles, panels."""
        return (*(a.extent for a in self.others), self.tiles, self.panels)

    @property
    def blocks(self) -> int:
        return prod(self.pieces)

    def __str__(self) -> str:
        axes = (a for part in self.product.roles.values() for a in part)
        if any(is_extent(n) for a in axes for n in (a.extent, a.x, a.y, a.out)):  # sizes do not say then what follows
            ahead = f", sums of {self.cut}, ahead {self.fetches} {self.fetches_output}"
        else:
            ahead = ""
        return (
            f"{self.product}\n  tiles {self.height} x {self.vectors} x {self.lanes} of {self.tile}, lanes {self.lane}, "
            f"loops {' '.join(map(str, self.others))} in pieces {self.pieces}, "
            f"sums {' '.join(map(str, self.outer))} / {' '.join(map(str, self.inner))}, "
            f"steps {self.tile_step} {self.panel_step} "
            f"{'padded' if self.padded else ''}{ahead}"
        )


@dataclass(frozen=True)
class Scheduled:
    schedule: Schedule
    packs: tuple[LoopKernel, ...]
    after: tuple[LoopKernel, ...] = ()  # what adds up the parts of a sum that was cut, or turns the output


def schedule(product: Product, target: Target, fixed: frozenset[Buffer] = frozenset()) -> Scheduled | None:
    """How to compute a product; None where a plain loop is as good.

    Args:
        fixed: what stays the same in the loop around it: a copy of that is made once, before the loop.
    """
    made = _oriented(product)
    if made is None:
        return None
    product, lane = made
    after: tuple[LoopKernel, ...] = ()
    if lane.y != 1 and product.y not in fixed and is_rather_turned(product):
        product, lane, after = turned(product, lane)
    product = replace(product, sums=_ordered_sums(product))
    product, sums = _in_parts(product, target)
    itemsize = product.out.dtype.numpy.itemsize
    lanes = target.vector // itemsize
    while lanes > 4 and lanes // 2 >= rough(lane.extent):
        lanes //= 2
    tile = _tiled(product)
    height, vectors = _tile_size(rough(tile.extent), -(-rough(lane.extent) // lanes), target)
    rows = prod(rough(a.extent) for a in product.rows)
    columns = prod(rough(a.extent) for a in product.columns)
    panel_bytes = vectors * lanes * itemsize
    packs = []
    is_wide = rough(lane.extent) > lanes
    far = _is_far(product, "y", itemsize) and is_wide and (rows >= FEW * height or product.y in fixed)
    padded = lane.y != 1 or far or (rows >= MANY and is_wide)
    panel_step, tile_step = vectors * lanes, tile.x * height
    if padded:
        if lane.y != 1 and rows <= 2:
            return None
        product, pack, lane, panel_step = packed(product, lane, vectors * lanes)
        packs.append(pack)
    scattered = _is_far(product, "x", itemsize) and columns >= 2 * vectors * lanes
    apart = rough(tile.x) * itemsize
    clashing = apart and apart % CLASHING == 0 and height >= 6 and columns >= 8 * vectors * lanes
    if tile in product.rows and (scattered or clashing) and rows > height:
        other, pack, tile, tile_step = packed(product.swapped, _swapped(tile), height)
        product = other.swapped
        tile = next(a for a in product.rows if a == _swapped(tile))
        lane = next(a for a in product.columns if a.out == 1)
        packs.append(pack)
    outer, inner, cut = _split_sums(joined(product.sums), _summed(panel_bytes, target) if product.rows else STREAMS)
    others = (
        *product.batch,
        *(a for a in product.rows if a is not tile),
        *(a for a in product.columns if a is not lane),
    )
    made_schedule = Schedule(
        product, lane, tile, others, height, vectors, lanes, outer, inner, (), tile_step, panel_step, padded, cut
    )
    return Scheduled(replace(made_schedule, pieces=_pieces(made_schedule)), tuple(packs), (*sums, *after))


def plain_loops(product: Product) -> LoopKernel:
    """A product as a loop over its output with a sum inside: for dot products, whose operands lie along the sums."""
    table, places = Table(), [ix.constant(b) for b in product.begins]
    outer = [(a, LoopVar(a.extent)) for a in (*product.batch, *product.rows, *product.columns)]
    inner = [(a, LoopVar(a.extent)) for a in sorted(product.sums, key=lambda a: -(abs(a.x) + abs(a.y)))]
    for axis, counter in (*outer, *inner):
        steps = (axis.x, axis.y, axis.out)
        places = [p + ix.of(counter) * step for p, step in zip(places, steps, strict=True)]
    x, y = (table.add(Load(b, p, ())) for b, p in zip((product.x, product.y), places, strict=False))
    term = table.op("mul", x, y)
    total = table.add(Reduce("sum", tuple(c for _, c in inner), term, term.dtype)) if inner else term
    rows = tuple(c for _, c in outer)
    return LoopKernel(rows, (LoopVar(1),), (Write(product.out, places[2], total),), ("dot products",))


def _in_parts(product: Product, target: Target) -> tuple[Product, tuple[LoopKernel, ...]]:
    """A long sum for a small output cut into parts, each with an output of its own, and what adds these up.

    So each thread reads its part of the operands once, while the output stays in its cache: a convolution's gradient
    for its kernel sums over all places of all images.
    """
    size = product.out.size
    vector = not product.rows
    whole = prod(a.extent for a in (*product.batch, *product.rows, *product.columns)) == size
    longest = next((a for a in product.sums if not is_extent(a.extent)), Axis(1))
    parts = next((n for n in (8, 7, 6, 5, 9, 10, 4) if longest.extent % n == 0), 1)
    summed = prod(rough(a.extent) for a in product.sums)
    if (
        not whole
        or parts == 1
        or rough(product.out.bytes) > target.l2 // 4
        or (READ // 2 if vector else 1) * rough(product.operations) < parts * SMALL
        or summed < (LONG_SUM if not vector else 32 * parts)
    ):
        return product, ()
    buffer = Buffer(next(NUMBERS), product.out.dtype, (parts, size))
    length = longest.extent // parts
    part = Axis(parts, longest.x * length, longest.y * length, size)
    made = replace(
        product,
        out=buffer,
        batch=(part, *product.batch),
        sums=tuple(replace(a, extent=length) if a is longest else a for a in product.sums),
    )
    table, place = Table(), LoopVar(size)
    total = table.add(Load(buffer, ix.of(place), ()))
    for k in range(1, parts):
        total = table.op("add", total, table.add(Load(buffer, ix.of(place) + k * size, ())), dtype=buffer.dtype)
    write = Write(product.out, ix.of(place), total)
    return made, (LoopKernel((), (place,), (write,), ("sum of parts",)),)


def _summed(width: int, target: Target) -> int:
    """How many indices are summed in one go; a panel of y is so many times `width` bytes.

    Every tile reads the panel again. Narrow ones had better stay in the first cache; a wide one of so few indices would
    have the output read and written too often, and comes from the second.
    """
    near = target.l1 * 3 // 4 // width
    return near if near >= NEAR else SUMMED


def _swapped(axis: Axis) -> Axis:
    return Axis(axis.extent, axis.y, axis.x, axis.out)


def _is_far(product: Product, operand: str, itemsize: int) -> bool:
    """Whether one block of sums reads from more pages of an operand than the processor knows or foresees."""
    inner = _split_sums(joined(product.sums))[1]
    steps = sorted((rough(abs(getattr(a, operand))) * itemsize, rough(a.extent)) for a in inner)
    span, pages = itemsize, 1
    for step, extent in steps:
        if step < PAGE:
            span = max(span, step * extent)
        else:
            pages *= extent
    return pages > JUMPS or pages * -(-span // PAGE) > PAGES


def _oriented(product: Product) -> tuple[Product, Axis] | None:
    """The product with the output's contiguous axis among its columns, and that axis."""
    for candidate in (product, product.swapped):
        lane = next((a for a in candidate.columns if a.out == 1), None)
        if lane is not None:
            return candidate, lane
    if not product.rows and not product.columns:
        return None
    return None


def _tiled(product: Product) -> Axis:
    """The rows to tile: those whose neighbours are nearest in x, if there are enough of them."""
    if not product.rows:
        return Axis(1)
    large = [a for a in product.rows if rough(a.extent) >= 6]
    if large:
        return min(large, key=lambda a: rough(abs(a.x)))
    return max(product.rows, key=lambda a: rough(a.extent))


def _tile_size(rows: int, vectors: int, target: Target) -> tuple[int, int]:
    """Rows and vectors of a tile such that the least time is lost to loads, latency and incomplete tiles."""

    row, vector = ROW[target.registers], VECTOR[target.registers]

    def time(height: int, wide: int) -> float:
        def one(h: int, w: int) -> float:
            # cycles: multiply-adds, and what each operand adds to them; loads; the latency of a sum;
            # bringing y's vectors from the second level of the cache
            return max(h * w / 2 + row * h + vector * w, (h + w) / 2, 4.0, 1.7 * w)

        whole_rows, rest_rows = divmod(rows, height)
        whole, rest = divmod(vectors, wide)
        total = whole_rows * whole * one(height, wide)
        total += whole * one(rest_rows, wide) if rest_rows else 0
        total += whole_rows * one(height, rest) if rest else 0
        return total + (one(rest_rows, rest) if rest and rest_rows else 0)

    spare = 1 if target.registers == 32 else 2
    if rows == 1:  # bound by memory: whole stretches of y at a time
        return 1, min(vectors, 4)
    choices = [
        (h, w)
        for w in range(1, 5)
        for h in range(1, 29)
        if h * w + w + spare <= target.registers and (h <= rows or h == 1) and (w <= vectors or w == 1)
    ]
    return min(choices, key=lambda c: (round(time(*c), 6), -c[0] * c[1]))


def _ordered_sums(product: Product) -> tuple[Axis, ...]:
    """Sums, the one along which operands are read most closely innermost: such that least has to be copied."""
    keys = (lambda a: -rough(abs(a.y) + abs(a.x)), lambda a: -rough(abs(a.y)), lambda a: -rough(abs(a.x)))
    orders: list[Sequence[Axis]] = [joined(sorted(product.sums, key=key)) for key in keys]

    def copied(sums: Sequence[Axis]) -> int:
        made = replace(product, sums=tuple(sums))
        size = product.out.dtype.numpy.itemsize
        far: int = rough(product.x.size) * _is_far(made, "x", size) + rough(product.y.size) * _is_far(made, "y", size)
        return far

    best: Sequence[Axis] = min(orders, key=copied)
    return tuple(best)


def _split_sums(sums: Sequence[Axis], most: int = SUMMED) -> tuple[tuple[Axis, ...], tuple[Axis, ...], int | None]:
    """(outer, inner, cut): as many innermost axes as make up to about `most` indices; a longer axis is cut.

    `cut` is its length if that is not known: then the last block may be shorter than the others.
    """
    inner: list[Axis] = []
    outer = list(sums)
    total = 1
    while outer and total * rough(outer[-1].extent) <= most + most // 2:
        axis = outer.pop()
        total *= rough(axis.extent)
        inner.insert(0, axis)
    cut = None
    if outer and 2 * total <= most:
        axis = outer.pop()
        if is_extent(axis.extent):
            block, cut = most // total, axis.extent
        else:
            block = next((b for b in range(most // total, most // total // 2, -1) if axis.extent % b == 0), 1)
        if block > 1:
            inner.insert(0, replace(axis, extent=block))
            axis = Axis(ceiling(axis.extent, block), axis.x * block, axis.y * block, 0)
        if block > 1 or inner:
            outer.append(axis)
        else:
            inner = [axis]  # prime-like lengths are summed in one go
    return tuple(outer), tuple(inner), cut


def _pieces(s: Schedule) -> tuple[int, ...]:
    """Into how many pieces each loop is cut: enough for all threads, evenly, and no smaller than the work allows."""
    work = rough(s.product.operations if s.tile.extent > 1 else READ * s.product.y.size)
    wanted = min(TASKS, max(1, work // SMALL))
    out = []
    for axis in s.others:
        part = min(wanted, rough(axis.extent)) if is_extent(axis.extent) else _even(axis.extent, wanted)
        out.append(part)
        wanted = -(-wanted // part)
    return (*out, *(_grid(s, wanted) if s.product.rows or not s.product.batch else (1, 1)))


def _even(n: int, wanted: int) -> int:
    """About so many pieces of n things that none is much smaller than the others."""
    return min(range(max(1, min(n, wanted)), min(n, 2 * wanted) + 1), key=lambda p: (-(-n // p) * p, p))


def _grid(s: Schedule, wanted: int) -> tuple[int, int]:
    """Pieces of tiles and of panels: a task's time is that of its multiplications and of fetching what it reads."""
    if wanted == 1:
        return 1, 1
    # A task's rows of x are read again for each panel: they have to stay in the second cache beside everything else.
    all_tiles, all_panels, summed = rough(s.tiles), rough(s.panels), prod(rough(a.extent) for a in s.inner)
    rows = host().l2 // 2 // (s.product.x.dtype.numpy.itemsize * summed)
    fewest = min(all_tiles, -(-all_tiles * s.height // max(rows, s.height)))

    def cost(a: int, b: int) -> float:
        tiles, panels = -(-all_tiles // a), -(-all_panels // b)
        tasks = -(-all_tiles // tiles) * -(-all_panels // panels)
        # cycles a summed index: two multiply-adds of vectors each; FETCHED elements of a farther cache
        one = tiles * panels * s.height * s.vectors / 2 + (tiles * s.height + panels * s.width) / FETCHED
        return sum(-(-tasks // threads) * threads * one for threads in (2, 4, 8))

    choices = [
        (a, b)
        for a in range(fewest, max(fewest, min(all_tiles, 2 * wanted)) + 1)
        for b in range(max(1, wanted // a), max(1, min(all_panels, -(-2 * wanted // a))) + 1)
        if b <= all_panels
    ]
    return min(choices, key=lambda c: cost(*c), default=(min(all_tiles, wanted), min(all_panels, wanted)))
