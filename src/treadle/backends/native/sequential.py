"""Nodes whose order matters: scatters, whose updates may meet, and running sums. Loop kernels with a serial loop."""

from __future__ import annotations

from math import prod

from treadle.backends.native import index as ix
from treadle.backends.native.expressions import Buffer, Expr, Index, Load, computed
from treadle.backends.native.fuse import Fusion
from treadle.backends.native.index import Affine, LoopVar
from treadle.backends.native.kernels import LoopKernel, Write
from treadle.backends.native.lowering import Lowering, shape_of
from treadle.core.dtypes import bool_, int64
from treadle.core.graph import Node

WIDE = 64  # elements that one piece of a scattered row has, where rows are cut for threads to share

_COMBINE = {"add": "add", "mul": "mul", "max": "maximum", "min": "minimum"}
_RUNNING = {"cumsum": "add", "cumprod": "mul", "cummax": "maximum"}
SEQUENTIAL = frozenset({"scatter", *_RUNNING})


def sequential_kernels(fusion: Fusion, node: Node) -> list[LoopKernel] | None:
    """The kernels of a node, in order; None for one that is no scatter and no running sum."""
    name = node.primitive.name
    if name == "scatter":
        return _scatter(fusion, node)
    if name in _RUNNING:
        return [_running(fusion, node)]
    return None


def _scatter(fusion: Fusion, node: Node) -> list[LoopKernel]:
    _, indices, updates = node.inputs
    b, op, mode = node.params["batch_dims"], node.params["op"], node.params["mode"]
    out = fusion.kept[node.outputs[0]]
    shape = out.shape
    k = shape_of(indices)[-1]
    batch = [LoopVar(n) for n in shape[:b]]
    serial = [LoopVar(n) for n in shape_of(indices)[b:-1]]
    rest = prod(shape[b + k :])
    cut = WIDE if rest % WIDE == 0 and rest > WIDE else rest
    wide, narrow = LoopVar(rest // cut), LoopVar(cut)
    place = ix.unflatten(ix.of(wide) * cut + ix.of(narrow), shape[b + k :])
    low = Lowering(fusion.kept, fusion.makers)
    lead, chosen = tuple(map(ix.of, batch)), tuple(map(ix.of, serial))
    where: list[Affine] = []
    inside: Expr | None = None
    for j in range(k):
        raw = low.at(indices, (*lead, *chosen, ix.constant(j)))
        at = low.position(raw, shape[b + j])
        where.append(at)
        if mode != "clip":
            size = low.table.op("index_inside", raw, dtype=int64, size=shape[b + j])
            here = low.table.op("ne", size, low.table.const(0, int64), dtype=bool_)
            inside = here if inside is None else low.table.op("and_", inside, here)
    target = ix.flatten((*lead, *where, *place), shape)
    old = low.table.add(Load(out, target, ()))
    new = low.at(updates, (*lead, *chosen, *place))
    value = new if op == "set" else low.table.op(_COMBINE[op], old, new)
    if inside is not None:
        value = low.table.select(inside, value, old)
    rows = tuple(v for v in (*batch, wide) if not v.is_single)
    columns = (narrow,) if not narrow.is_single else ()
    main = LoopKernel(
        rows, columns, (Write(out, target, value),), ("scatter",), tuple(v for v in serial if not v.is_single)
    )
    if 0 in shape or prod(v.extent for v in serial) == 0:
        return [_copied(fusion, node, out)]
    return [_copied(fusion, node, out), main]


def _copied(fusion: Fusion, node: Node, out: Buffer) -> LoopKernel:
    """What is scattered into, where the output is."""
    low = Lowering(fusion.kept, fusion.makers)
    loops = tuple(map(LoopVar, out.shape))
    place = tuple(map(ix.of, loops))
    write = Write(out, ix.flatten(place, out.shape), low.at(node.inputs[0], place))
    if write.value.variables or not loops:
        real = tuple(v for v in loops if not v.is_single)
    else:
        flat = LoopVar(out.size)
        write, real = Write(out, ix.of(flat), write.value), (flat,) if out.size != 1 else ()
    return LoopKernel(real[:-1], real[-1:], (write,), ("copy",))


def _running(fusion: Fusion, node: Node) -> LoopKernel:
    """out[i] = out[i - 1] ∘ x[i], from the other end if reversed."""
    (x,), axis, reverse = node.inputs, node.params["axis"], node.params["reverse"]
    out = fusion.kept[node.outputs[0]]
    loops = [LoopVar(n) for n in out.shape]
    low = Lowering(fusion.kept, fusion.makers)
    turn = ix.of(loops[axis])
    here = turn * -1 + (out.shape[axis] - 1) if reverse else turn
    place = tuple(here if a == axis else ix.of(v) for a, v in enumerate(loops))
    step = ix.row_major(out.shape)[axis]
    offset = ix.flatten(place, out.shape)
    element = low.at(x, place)
    dtype = computed(out.dtype)
    started = low.table.op("gt", low.table.add(Index(turn, int64)), low.table.const(0, int64), dtype=bool_)
    from treadle.backends.native.expressions import Condition

    before = low.table.add(Load(out, offset + (step if reverse else -step), (Condition(turn, 1, out.shape[axis]),)))
    value = low.table.select(
        started, low.table.op(_RUNNING[node.primitive.name], before, element, dtype=dtype), element
    )
    others = [v for a, v in enumerate(loops) if a != axis and not v.is_single]
    inner = [v for a, v in enumerate(loops) if a > axis and not v.is_single]
    columns = tuple(inner[-1:])
    rows = tuple(v for v in others if v not in columns)
    serial = (loops[axis],) if not loops[axis].is_single else ()
    return LoopKernel(rows, columns, (Write(out, offset, value),), (node.primitive.name,), serial)
