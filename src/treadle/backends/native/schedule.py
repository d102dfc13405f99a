"""From a group of values to its loop kernel: which loops there are.

A domain begins as one loop over rows and one over columns. Where an index formula then needs the quotient or the
remainder of a counter (a reshape that splits an axis, a stretched operand, a padding), that loop is cut in two at the
divisor, and the formulas are made again: loops are cut as far as the kernel needs it and no further.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from treadle.backends.native import index as ix
from treadle.backends.native.expressions import Buffer, Expr, Index, Load, Reduce, Test, walk
from treadle.backends.native.extents import are_same
from treadle.backends.native.fuse import Fusion, Step
from treadle.backends.native.index import Affine, LoopVar, Quotient, Remainder
from treadle.backends.native.kernels import LoopKernel, Write
from treadle.backends.native.lowering import Lowering, shape_of
from treadle.core.graph import Var

ROUNDS = 6


def loop_kernel(fusion: Fusion, step: Step) -> LoopKernel:
    """The kernel that computes a group."""
    rows: tuple[int, ...] = (step.rows,)
    columns: tuple[int, ...] = (step.columns,)
    for _ in range(ROUNDS):
        kernel, cuts = _attempt(fusion, step, rows, columns)
        finer = _cut(rows, cuts[0]), _cut(columns, cuts[1])
        if finer == (rows, columns):
            break
        rows, columns = finer
    return kernel


def _attempt(
    fusion: Fusion, step: Step, row_sizes: tuple[int, ...], column_sizes: tuple[int, ...]
) -> tuple[LoopKernel, tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    """The kernel with these loops, and where their counters are still divided: (which loop, by what)."""
    rows, columns = (tuple(map(LoopVar, sizes)) for sizes in (row_sizes, column_sizes))
    writes = lower(fusion, step, rows, columns)
    found: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for value in formulas([w.value for w in writes], [w.offset for w in writes]):
        for atom in value.walk():
            if isinstance(atom, (Quotient, Remainder)):
                for var, divisor in _divided(atom):
                    for k, loops in enumerate((rows, columns)):
                        if var in loops:
                            found[k].append((loops.index(var), divisor))
    labels = tuple(dict.fromkeys(fusion.makers[v].primitive.name for v in step.members))
    if step.columns == 1:
        real = tuple(v for v in rows if not v.is_single)
        kernel = LoopKernel(real[:-1], real[-1:], writes, labels)
    else:
        kernel = LoopKernel(
            tuple(v for v in rows if not v.is_single), tuple(v for v in columns if not v.is_single), writes, labels
        )
    return kernel, found


def lower(fusion: Fusion, step: Step, rows: tuple[LoopVar, ...], columns: tuple[LoopVar, ...]) -> tuple[Write, ...]:
    """What the group stores, as expressions of these counters."""
    members = set(step.members)
    low = Lowering(fusion.kept, fusion.makers, inline=lambda v: v in members)
    low.columns = columns
    if step.columns != 1:
        low.row_reductions = {v for v in members if is_row_reduction(fusion, step, v)}
    row = ix.flatten(tuple(map(ix.of, rows)), tuple(v.extent for v in rows))
    place = row * step.columns + low.column
    writes = []
    for v in step.members:  # each in turn, also those that only later members read: so no formula gets deep
        buffer = fusion.kept[v]
        if buffer.size:
            flat = place if are_same(buffer.size, step.rows * step.columns) else row
            value = low.at(v, ix.unflatten(flat, buffer.shape))
            if v in fusion.stored:
                writes.append(Write(buffer, flat, value))
    return tuple(writes)


def is_row_reduction(fusion: Fusion, step: Step, var: Var) -> bool:
    """Whether a member is a reduction along the rows of its group."""
    from treadle.backends.native.fuse import trailing

    node = fusion.makers[var]
    taken, made = prod(shape_of(node.inputs[0])), prod(shape_of(var))
    return trailing(node) and are_same(taken, step.rows * step.columns) and are_same(made, step.rows)


def formulas(roots: list[Expr], more: Iterable[Affine]) -> Iterable[Affine]:
    """All index formulas of some expressions."""
    yield from more
    for e in walk(roots):
        if isinstance(e, Load):
            yield e.offset
            yield from (c.value for c in e.conditions)
        elif isinstance(e, Test):
            yield from (c.value for c in e.conditions)
        elif isinstance(e, Index):
            yield e.value


def _divided(atom: Quotient | Remainder) -> list[tuple[LoopVar, int]]:
    """The counters to cut so that this division goes away: of c*i + …, i at divisor / c."""
    if len(atom.value.terms) == 1 and not atom.value.constant:
        inner, c = atom.value.terms[0]
        if isinstance(inner, LoopVar) and atom.divisor % c == 0:
            return [(inner, atom.divisor // c)]
        return []
    out = []
    for inner, c in atom.value.terms:
        if isinstance(inner, LoopVar) and c > 0 and atom.divisor % c == 0 and inner.extent * c > atom.divisor:
            out.append((inner, atom.divisor // c))
    return out


def _cut(sizes: tuple[int, ...], cuts: list[tuple[int, int]]) -> tuple[int, ...]:
    """Loops cut at the divisors that divide them, as long as these divide each other."""
    out: list[int] = []
    for k, size in enumerate(sizes):
        steps = [1]
        for divisor in sorted({d for which, d in cuts if which == k}):
            if 1 < divisor < size and size % divisor == 0 and divisor % steps[-1] == 0 and divisor != steps[-1]:
                steps.append(divisor)
        edges = [*steps, size]
        out += [edges[j + 1] // edges[j] for j in range(len(steps) - 1, -1, -1)]
    return tuple(out)


__all__ = ["Buffer", "Reduce", "loop_kernel", "lower"]
