"""Which values lie in memory, and which nodes become one kernel.

A value is *kept* (it gets memory) if the graph returns it, if a step that is no loop kernel reads or makes it, if it is
a reduction, or if computing it again for each of its readers would cost more than reading it back. Everything else is
computed where it is needed.

Kept values that loops can compute are gathered in `Group`s. A group has a domain: `rows` × `columns`. Its members are
elements of the whole domain, one number for each row, or reductions along a row (softmax, layer norm and
cross-entropy are one group each). A value joins a group if it reads the group's values at its own place only, so that
nothing is computed twice, and if no other step stands between them. A member that nobody outside reads is not stored.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from treadle.backends.native import index as ix
from treadle.backends.native.expressions import Buffer, Load, Reduce, walk
from treadle.backends.native.extents import are_same, rough
from treadle.backends.native.index import Affine, LoopVar
from treadle.backends.native.kernels import EXPENSIVE
from treadle.backends.native.lowering import REDUCTIONS, RULES, VIEWS, Lowering, is_row_scatter, shape_of
from treadle.core.graph import Atom, Graph, Node, Var

CHEAP = 6  # operations that are rather repeated than stored
FEW, LARGE = 8, 32768  # rows, elements
NUMBERS = itertools.count()  # of buffers, in all graphs of a plan
MATRIX_VECTOR = 65536  # multiplications from which on a product with a vector has a kernel of its own
LONGEST = 120  # operations of one inlined expression


@dataclass(eq=False)
class Step:
    """Something that a plan does: a node of its own, or a group of nodes as one loop kernel."""

    number: int
    members: list[Var]
    node: Node | None = None  # of a step that is no loop kernel
    rows: int = 1
    columns: int = 1  # 1: every member is a plain map over the rows
    reads: dict[Var, None] = field(default_factory=dict)
    after: int = 0  # bit k: step k is needed before this one, directly or not

    @property
    def is_group(self) -> bool:
        return self.node is None


@dataclass
class Fusion:
    """What `fuse` found: the steps in an order in which they can run, and the values that lie in memory."""

    graph: Graph
    steps: list[Step]
    kept: dict[Var, Buffer]
    stored: set[Var]
    makers: dict[Var, Node]
    reasons: dict[Var, str]

    def owner(self, buffer: Buffer) -> Var | None:
        """The value that lies in a buffer; none for a buffer that only a step uses."""
        return self._owners.get(buffer)

    def __str__(self) -> str:
        lines = []
        for step in self.steps:
            names = " ".join(dict.fromkeys(self.makers[v].primitive.name for v in step.members))
            over = f" over {step.rows} x {step.columns}" if step.is_group else ""
            made = ", ".join(str(v.spec) for v in step.members if v in self.stored)
            lines.append(f"step {step.number}: {names}{over} -> {made}")
        return "\n".join(lines)

    @cached_property
    def _owners(self) -> dict[Buffer, Var]:
        return {b: v for v, b in self.kept.items()}


def is_loop_node(node: Node, supported: frozenset[str]) -> bool:
    """Whether a node can be part of a loop kernel."""
    name = node.primitive.name
    if name not in RULES or name not in supported:
        return False
    if name == "scatter":
        return is_row_scatter(node)
    if name in ("contract", "conv"):
        return not is_large_product(node)
    if name == "bitcast":
        return all(v.spec.dtype.name not in ("float16", "bfloat16") for v in (*node.inputs, *node.outputs))
    return True


def is_large_product(node: Node) -> bool:
    """Whether a product is worth a kernel of its own."""
    if node.outputs[0].spec.dtype.name not in ("float32", "float64"):
        return False
    shapes = [a.spec.shape for a in node.inputs]
    if any(not isinstance(a, Var) for a in node.inputs) or any(0 in s for s in shapes):
        return False
    if node.primitive.name == "conv":
        groups, outputs = node.params["groups"], shapes[1][-1]
        return outputs // groups > 1 or shapes[1][-2] > 8
    summed = prod(shapes[0][a] for a in node.params["axes"][0])
    made = prod(node.outputs[0].spec.shape)
    free = [
        prod(s) // prod([s[a] for a in (*node.params["batch"][k], *node.params["axes"][k])])
        for k, s in enumerate(shapes)
    ]
    return summed > 1 and rough(summed * made) >= (4096 if all(n > 1 for n in free) else MATRIX_VECTOR)


def trailing(node: Node) -> bool:
    """Whether a node reduces the last axes, and only those."""
    if node.primitive.name not in REDUCTIONS:
        return False
    axes, rank = node.params["axes"], node.inputs[0].spec.ndim
    return bool(axes) and axes == tuple(range(rank - len(axes), rank))


def fuse(graph: Graph, supported: frozenset[str]) -> Fusion:
    """The steps that compute a graph whose sizes are known.

    Args:
        graph: without captures and Dims.
        supported: names of the primitives that loop kernels can compute on this target.
    """
    return _Fusing(graph, supported).run()


class _Fusing:
    def __init__(self, graph: Graph, supported: frozenset[str]) -> None:
        self.graph = graph
        self.loop = {id(n): is_loop_node(n, supported) for n in graph.nodes}
        self.makers = {v: n for n in graph.nodes for v in n.outputs}
        self.readers: dict[Var, list[Node]] = {}
        for n in graph.nodes:
            for a in dict.fromkeys(n.inputs):
                if isinstance(a, Var):
                    self.readers.setdefault(a, []).append(n)
        self.kept: dict[Var, Buffer] = {}
        self.reasons: dict[Var, str] = {}
        self.steps: list[Step] = []
        self.step_of: dict[Var, Step] = {}
        self.last_effect: Step | None = None
        self.placed: dict[tuple[Var, int, int], dict[Var, bool] | None] = {}

    def run(self) -> Fusion:
        self._keep()
        for node in self.graph.nodes:
            if not self.loop[id(node)]:
                self._own_step(node)
            elif node.outputs[0] in self.targets:
                continue
            elif node.outputs[0] in self.kept:
                self._place(node)
        order = _ordered(self.steps)
        stored = self._stored()
        return Fusion(self.graph, order, self.kept, stored, self.makers, self.reasons)

    # what lies in memory

    def _keep(self) -> None:
        outputs = {a for a in self.graph.outputs if isinstance(a, Var)}
        self.target_of = {
            id(n): self._target(n, outputs) for n in self.graph.nodes if is_product(n) and not self.loop[id(n)]
        }
        self.targets = set(self.target_of.values())
        self.operands = {self._seen(a) for n in self.graph.nodes if id(n) in self.target_of for a in n.inputs}
        for v in self.graph.inputs:
            self._remember(v, "an input")
        cost: dict[Var, int] = {}
        for node in self.graph.nodes:
            if not self.loop[id(node)]:
                for v in self._made_by(node):
                    self._remember(v, f"made by {node.primitive.name}")
                continue
            out = node.outputs[0]
            if out in self.targets:
                continue
            cost[out] = self._own_cost(node) + sum(cost.get(a, 0) for a in set(node.inputs) if isinstance(a, Var))
            reason = self._reason(node, out, cost[out], outputs)
            if reason:
                self._remember(out, reason)
                cost[out] = 0

    def _made_by(self, node: Node) -> tuple[Var, ...]:
        """What a step of its own keeps: of a product, the view of its output that everybody reads."""
        return (self.target_of[id(node)],) if id(node) in self.target_of else node.outputs

    def _seen(self, atom: Atom) -> Atom:
        """What an operand of a product is a view of: that is kept, and the product reads it through its index map."""
        while isinstance(atom, Var) and atom in self.makers:
            node = self.makers[atom]
            if not self.loop[id(node)] or node.primitive.name not in VIEWS:
                break
            atom = node.inputs[0]
        return atom

    def _target(self, node: Node, outputs: set[Var]) -> Var:
        """Where a product's output has one reader, and that one rearranges it, it is written so at once."""
        var = node.outputs[0]
        while var not in outputs:
            readers = self.readers.get(var, [])
            if (
                len(readers) != 1
                or readers[0].primitive.name not in ("transpose", "reshape")
                or not self.loop[id(readers[0])]
            ):
                break
            view = readers[0]
            if view.primitive.name == "reshape" and not _only_merges(shape_of(var), shape_of(view.outputs[0])):
                break
            var = view.outputs[0]
        return var

    def _own_cost(self, node: Node) -> int:
        name = node.primitive.name
        return 0 if name in VIEWS else 10 if name in EXPENSIVE else 1

    def _reason(self, node: Node, out: Var, cost: int, outputs: set[Var]) -> str:
        name = node.primitive.name
        readers = self.readers.get(out, [])
        if out in outputs:
            return "an output"
        if any(not self.loop[id(r)] and not self._takes_views(r, out) for r in readers):
            return "read by a step of its own"
        if out in self.operands:
            return "read by a product"
        if name in (*REDUCTIONS, "argmax", "argmin", "fold", "contract", "conv"):
            return "a reduction"
        if name in VIEWS:
            return ""
        if cost > LONGEST:
            return "its formula is long"
        uses = self._uses(out)
        if len(uses) > 1 and cost > CHEAP:
            return f"read by {len(uses)} nodes"
        size = rough(prod(out.spec.shape))
        if cost > 2 and any(rough(prod(r.outputs[0].spec.shape)) > 2 * size for r in uses if r.primitive.name in RULES):
            return "read many times"
        return ""

    def _uses(self, var: Var) -> list[Node]:
        """The nodes that compute with a value, seen through views."""
        found: list[Node] = []
        for r in self.readers.get(var, []):
            if self.loop[id(r)] and r.primitive.name in VIEWS:
                found += self._uses(r.outputs[0]) or [r]
            else:
                found.append(r)
        return found

    def _takes_views(self, node: Node, var: Var) -> bool:
        """Whether a step reads this value through index maps, so that a view of something kept will do."""
        return node.primitive.name in ("contract", "conv") and self._is_view_of_kept(var)

    def _is_view_of_kept(self, var: Var) -> bool:
        while var not in self.kept:
            node = self.makers[var]
            if not self.loop[id(node)] or node.primitive.name not in VIEWS or not isinstance(node.inputs[0], Var):
                return False
            var = node.inputs[0]
        return True

    def _remember(self, var: Var, reason: str) -> None:
        self.kept[var] = Buffer(next(NUMBERS), var.spec.dtype, shape_of(var))
        self.reasons[var] = reason

    # steps

    def _own_step(self, node: Node) -> None:
        step = Step(len(self.steps), list(self._made_by(node)), node)
        self.steps.append(step)
        for a in node.inputs:
            if isinstance(a, Var):
                for v in self._kept_behind(a):
                    self._read(step, v)
        if node.has_effects:  # effects keep the order of the program
            if self.last_effect is not None:
                step.after |= self.last_effect.after | 1 << self.last_effect.number
            self.last_effect = step
        for v in step.members:
            self.step_of[v] = step

    def _kept_behind(self, var: Var) -> Iterable[Var]:
        """The kept values that a value is computed of."""
        if var in self.kept:
            return [var]
        found: dict[Var, None] = {}
        stack = [var]
        while stack:
            for a in self.makers[stack.pop()].inputs:
                if isinstance(a, Var):
                    if a in self.kept:
                        found[a] = None
                    else:
                        stack.append(a)
        return found

    def _read(self, step: Step, var: Var) -> None:
        step.reads[var] = None
        made_by = self.step_of.get(var)
        if made_by is not None and made_by is not step:
            step.after |= made_by.after | 1 << made_by.number

    def _place(self, node: Node) -> None:
        """Put a kept value in a group that it fits, or in one of its own."""
        out = node.outputs[0]
        rows, columns = self._domain(node)
        reads = [v for a in node.inputs if isinstance(a, Var) for v in self._kept_behind(a)]
        needed = 0
        for v in reads:
            if v in self.step_of:
                needed |= self.step_of[v].after | 1 << self.step_of[v].number
        chosen = next((c for c in self._candidates(reads) if self._fits(c, out, rows, columns, reads)), None)
        if chosen is None:
            chosen = Step(len(self.steps), [], rows=rows, columns=columns)
            self.steps.append(chosen)
        elif columns != 1:
            chosen.rows, chosen.columns = rows, columns
        chosen.members.append(out)
        self.step_of[out] = chosen
        before = chosen.after
        for v in reads:
            if self.step_of.get(v) is not chosen:
                self._read(chosen, v)
        if chosen.after != before:
            for other in self.steps:
                if other.after >> chosen.number & 1:
                    other.after |= chosen.after

    def _domain(self, node: Node) -> tuple[int, int]:
        if trailing(node):
            shape = shape_of(node.inputs[0])
            k = len(shape) - len(node.params["axes"])
            rows, columns = prod(shape[:k]), prod(shape[k:])
            if rows == 1 or self._runs_along(node, rows, columns):
                return rows, columns
        return prod(shape_of(node.outputs[0])), 1

    def _runs_along(self, node: Node, rows: int, columns: int) -> bool:
        """Whether what a row reduction reads are neighbours in memory; else lanes had better go across the rows."""
        if rough(columns) < 8:
            return False
        row, column = LoopVar(rows), LoopVar(columns)
        low = Lowering(self.kept, self.makers, inline=lambda v: v is node.outputs[0])
        low.columns, low.row_reductions = (column,), {node.outputs[0]}
        value = low.at(node.outputs[0], ix.unflatten(ix.of(row), shape_of(node.outputs[0])))
        steps = [e.offset.coefficient(column) for e in walk([value]) if isinstance(e, Load)]
        return 1 in steps or not any(steps)

    def _candidates(self, reads: list[Var]) -> list[Step]:
        """Groups that made what is read, and groups that read the same; the latest first."""
        found = {self.step_of[v].number: self.step_of[v] for v in reads if v in self.step_of}
        shared = set(reads)
        for step in self.steps[-24:]:
            if step.is_group and not shared.isdisjoint(step.reads):
                found[step.number] = step
        return [found[k] for k in sorted(found, reverse=True) if found[k].is_group]

    def _fits(self, group: Step, out: Var, rows: int, columns: int, reads: list[Var]) -> bool:
        for v in reads:  # nothing that is needed may itself need the group
            made_by = self.step_of.get(v)
            if made_by is not None and made_by is not group and made_by.after >> group.number & 1:
                return False
        size = prod(out.spec.shape)
        if size == 0 or 0 in (rows, columns, group.rows, group.columns):
            return False
        if columns != 1:  # a reduction along rows
            if rough(rows) < FEW and rough(rows * columns) > LARGE:  # threads share rows, and there are too few
                return False
            if group.columns != 1 and not (are_same(group.rows, rows) and are_same(group.columns, columns)):
                return False
            if group.columns == 1 and not (are_same(group.rows, rows * columns) or are_same(group.rows, rows)):
                return False
            if group.columns == 1 and any(not self._stays_in_place(m, rows, columns, group) for m in group.members):
                return False
            domain = (rows, columns)
        else:
            domain = (group.rows, group.columns)
            if not (are_same(size, prod(domain)) or are_same(size, group.rows)):
                return False
        return self._stays_in_place(out, *domain, group)

    def _stays_in_place(self, var: Var, rows: int, columns: int, group: Step) -> bool:
        """Whether, computed over rows × columns, a value reads the group's values at its own place only."""
        offsets = self._offsets(var, rows, columns)
        if offsets is None:
            return False
        return all(ok for v, ok in offsets.items() if self.step_of.get(v) is group)

    def _offsets(self, var: Var, rows: int, columns: int) -> dict[Var, bool] | None:
        key = (var, rows, columns)
        if key not in self.placed:
            self.placed[key] = self._find_offsets(var, rows, columns)
        return self.placed[key]

    def _find_offsets(self, var: Var, rows: int, columns: int) -> dict[Var, bool] | None:
        """For each kept value that is read: is it always read at the reader's place?"""
        row, column = LoopVar(rows), LoopVar(columns)
        node = self.makers[var]
        low = Lowering(self.kept, self.makers, inline=lambda v: v is var)
        low.columns = (column,)
        if trailing(node) and columns != 1:
            made, taken = prod(shape_of(var)), prod(shape_of(node.inputs[0]))
            if not (are_same(taken, rows * columns) and are_same(made, rows)):
                return None
            low.row_reductions = {var}
            low.at(var, ix.unflatten(ix.of(row), shape_of(var)))
        else:
            size = prod(shape_of(var))
            if are_same(size, rows * columns):
                flat = ix.of(row) * columns + ix.of(column)
            elif are_same(size, rows):
                flat = ix.of(row)
            else:
                return None
            low.at(var, ix.unflatten(flat, shape_of(var)))
        whole, single = ix.of(row) * columns + ix.of(column), ix.of(row)
        found: dict[Var, bool] = {}
        by_buffer = {self.kept[v]: v for v in low.reads}
        for e in walk(list(low.results.values())):
            if isinstance(e, Load):
                v = by_buffer[e.buffer]
                fills, per_row = are_same(e.buffer.size, rows * columns), are_same(e.buffer.size, rows)
                right = e.offset == (whole if fills and (columns != 1 or per_row) else single)
                found[v] = found.get(v, True) and right and (fills or per_row)
        return found

    def _stored(self) -> set[Var]:
        """The kept values that somebody outside of their group reads."""
        stored = {a for a in self.graph.outputs if isinstance(a, Var)}
        for step in self.steps:
            stored.update(v for v in step.reads if self.step_of.get(v) is not step)
            if not step.is_group:
                stored.update(step.members)
        return stored & self.kept.keys()


def is_product(node: Node) -> bool:
    return node.primitive.name in ("contract", "conv")


def _only_merges(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether a reshape only joins neighbouring axes or adds axes of size 1: then no index is divided."""
    edges = lambda shape: {prod(shape[k:]) for k in range(len(shape) + 1)}  # noqa: E731
    return edges(after) <= edges(before)


def _ordered(steps: list[Step]) -> list[Step]:
    """An order in which each step comes after what it needs; else as the nodes stood."""
    out: list[Step] = []
    done = 0
    waiting = list(steps)
    while waiting:
        later = []
        for s in waiting:
            if s.after & ~done & ~(1 << s.number):
                later.append(s)
            else:
                out.append(s)
                done |= 1 << s.number
        assert len(later) < len(waiting), "steps wait for each other"
        waiting = later
    return out


__all__ = ["Affine", "Fusion", "Reduce", "Step", "fuse", "is_loop_node", "trailing"]
