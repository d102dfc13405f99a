"""The copies around a product: operands panel by panel, as its tiles read them, and an output that is turned."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from treadle.backends.native import index as ix
from treadle.backends.native.expressions import Buffer, Condition, Load, Table
from treadle.backends.native.extents import ceiling, is_extent, rough
from treadle.backends.native.fuse import NUMBERS
from treadle.backends.native.index import Affine, LoopVar
from treadle.backends.native.kernels import LoopKernel, Write
from treadle.backends.native.products import Axis, Product

STRETCH = 32  # columns of a panel from which on a row of it fills lines of the cache by itself


def _chunk(summed: int) -> int:
    """How many sums of one narrow panel are written in a row, so that whole lines of the cache are complete."""
    if is_extent(summed):
        return 1
    return next((n for n in (16, 12, 8, 10, 14, 20, 24, 32) if summed % n == 0), 1)


def packed(product: Product, lane: Axis, width: int) -> tuple[Product, LoopKernel, Axis, int]:
    """y copied panel by panel: [batch and other columns, panel, sums, width], the last panel filled up with zeros."""
    lane = next(a for a in product.columns if a == lane)
    others = [*product.batch, *(a for a in product.columns if a is not lane)]
    others = [a for a in others if a.y or a in product.batch]
    sums = product.sums
    panels = ceiling(lane.extent, width)
    shape = (*(a.extent for a in others), panels, *(a.extent for a in sums), width)
    steps = ix.row_major(shape)
    buffer = Buffer(next(NUMBERS), product.y.dtype, shape)
    chunk = _chunk(shape[-2]) if lane.y == 1 and sums and width < STRETCH else 1
    loops = tuple(map(LoopVar, (*shape[:-2], shape[-2] // chunk, width)))
    within = LoopVar(chunk)
    table = Table()
    source = [*others, Axis(panels, y=lane.y * width), *sums, replace(lane)]
    place = ix.constant(product.begins[1])
    target = ix.ZERO
    for v, a, step in zip(loops, source, steps, strict=True):
        counter = ix.of(v) * chunk + ix.of(within) if v is loops[-2] and chunk > 1 else ix.of(v)
        place = place + counter * a.y
        target = target + counter * step
    column: Affine = ix.of(loops[len(others)]) * width + ix.of(loops[-1])
    inside = Condition(column, 0, lane.extent - 1)
    value = table.add(Load(product.y, place, (inside,) if is_extent(lane.extent) or not inside.always else ()))
    panel, inner = loops[len(others)], loops[-1]
    inside_rows = (panel, within, inner) if lane.y == 1 else (inner,)  # as the source lies in memory, if it can be
    outer = tuple(v for v in loops[:-1] if not v.is_single and v not in inside_rows)
    across = tuple(v for v in inside_rows if not v.is_single or v is inner)
    kernel = LoopKernel(outer, across, (Write(buffer, target, value),), ("pack",))
    known = dict(zip(map(id, others), steps, strict=False))
    sum_steps = steps[len(others) + 1 : -1]

    def moved(a: Axis) -> Axis:
        return replace(a, y=known.get(id(a), 0))

    new_lane = replace(lane, y=1)
    made = Product(
        product.x,
        buffer,
        product.out,
        (product.begins[0], 0, product.begins[2]),
        tuple(map(moved, product.batch)),
        product.rows,
        tuple(new_lane if a is lane else moved(a) for a in product.columns),
        tuple(replace(a, y=s) for a, s in zip(sums, sum_steps, strict=True)),
    )
    return made, kernel, new_lane, steps[len(others)]


def is_rather_turned(product: Product) -> bool:
    """Whether copying x and the output takes less than copying y, whose columns are not neighbours in memory.

    So it is where few rows meet a large y: `x @ w.T`, or the gradient of `x @ w` for x.
    """
    rows = rough(prod(a.extent for a in product.rows))
    return rows > 2 and rough(product.y.size) > 2 * rough(product.x.size + product.out.size)


def turned(product: Product, lane: Axis) -> tuple[Product, Axis, tuple[LoopKernel, ...]]:
    """The product with x and y exchanged, so that y is read as it lies, and the copy that turns its output after it.

    Returns: the product, which of its columns goes through lanes, and that copy.
    """
    columns = [a for a in product.columns if a is not lane]
    axes = [*product.batch, *columns, lane, *product.rows]  # as the new output lies
    shape = tuple(a.extent for a in axes)
    steps = dict(zip(map(id, axes), ix.row_major(shape), strict=True))
    buffer = Buffer(next(NUMBERS), product.out.dtype, shape)

    def moved(part: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(replace(a, out=steps[id(a)]) for a in part)

    x, y, out = product.begins
    made = replace(
        product,
        out=buffer,
        begins=(x, y, 0),
        batch=moved(product.batch),
        rows=moved(product.rows),
        columns=moved(product.columns),
    ).swapped
    loops = {id(a): LoopVar(a.extent) for a in axes}
    source = target = ix.ZERO
    for a in axes:
        source = source + ix.of(loops[id(a)]) * steps[id(a)]
        target = target + ix.of(loops[id(a)]) * a.out
    order = [loops[id(a)] for a in (*product.batch, *product.rows, *columns) if is_extent(a.extent) or a.extent != 1]
    value = Table().add(Load(buffer, source, ()))
    write = Write(product.out, target + ix.constant(out), value)
    kernel = LoopKernel(tuple(order), (loops[id(lane)],), (write,), ("turn",))
    return made, next(a for a in made.columns if a.out == 1), (kernel,)
