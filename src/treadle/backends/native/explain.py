"""What a plan consists of, for people: kernels with their work, what lies in memory and why, the code itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from treadle.backends.native import engine
from treadle.backends.native.extents import spec_at
from treadle.backends.native.plan import Branch, Host, Item, Launch, Plan, Repeat, Turn, While
from treadle.backends.native.target import host
from treadle.core.graph import Node
from treadle.core.source import place_text


@dataclass(frozen=True)
class Kernel:
    """One step of a plan.

    Attributes:
        number: among the plan's steps; `profile` uses the same numbers.
        name: what it is made of: "product", "max exp sum div", "copy"; or "Python: sort", "loop of 64", …
        depth: in how many loops or branches it stands.
        rounds: how often it runs in a call, as far as that is known.
        operations: elementary ones of one round, a multiplication and an addition counting two.
        bytes: read and written in one round, each place once.
        tasks: pieces that threads share.
        scope, source: of the node it computes last.
        text: the loops it is, in full.
        nodes: the operations whose results it leaves in memory; what is fused into them is not among them.
    """

    number: int
    name: str
    depth: int
    rounds: int
    operations: int
    bytes: int
    tasks: int
    scope: str
    source: str
    text: str
    nodes: tuple[Node, ...] = field(default=(), repr=False, compare=False)

    @property
    def is_container(self) -> bool:
        """Whether it is a loop or branch around the kernels that follow."""
        return self.text == ""

    @property
    def where(self) -> str:
        return " ".join(part for part in (self.scope, self.source) if part)


class Explanation:
    """What `td.compile(f).explain(*args)` returns: prints as a report; the parts are attributes.

    Attributes:
        kernels: the steps of the plan in order.
        kept: (value, why it lies in memory and is not computed where it is needed), for each that does.
        nodes: how many operations the graph has, those in loops and branches included.
        arena: bytes of memory for all that lives only during a call.
    """

    def __init__(self, name: str, kernels: Sequence[Kernel], kept: Sequence[tuple[str, str]], nodes: int, arena: int):
        self.name, self.nodes, self.arena = name, nodes, arena
        self.kernels, self.kept = list(kernels), list(kept)

    @property
    def operations(self) -> int:
        return sum(k.operations * k.rounds for k in self.kernels)

    @property
    def bytes(self) -> int:
        return sum(k.bytes * k.rounds for k in self.kernels)

    def __str__(self) -> str:
        real = [k for k in self.kernels if not k.is_container]
        python = sum(k.name.startswith("Python") for k in real)
        density = self.operations / max(self.bytes, 1)
        work = f"one call: {amount(self.operations)} elementary operations, {amount(self.bytes)}B read and written"
        lines = [
            f"{self.name}: {self.nodes} operations became {len(real) - python} kernels"
            + (f" and {python} steps of Python" if python else ""),
            f"{work} ({density:.1f} operations a byte); {amount(self.arena)}B of working memory",
            "",
            f"{'#':>4}  {'kernel':<44}{'operations':>11}{'bytes':>8}{'op/B':>7}{'tasks':>8}  where",
        ]
        for k in self.kernels:
            name = "  " * k.depth + k.name
            name = name if len(name) <= 42 else name[:41] + "…"
            if k.is_container:
                lines.append(f"{k.number:>4}  {name:<44}")
                continue
            ratio = f"{k.operations / k.bytes:.1f}" if k.bytes else ""
            work = f"{amount(k.operations):>11}{amount(k.bytes):>8}{ratio:>7}{k.tasks:>8}"
            lines.append(f"{k.number:>4}  {name:<44}{work}  {k.where}")
        if self.kept:
            lines += ["", "in memory, not fused into what reads it, because"]
            lines += [f"  {value:<32} {reason}" for value, reason in self.kept]
        return "\n".join(lines)

    __repr__ = __str__


def amount(number: float) -> str:
    """1234567 as `1.2 M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f} "


def explain(plan: Plan) -> Explanation:
    """A plan as a report."""
    graph = plan.graph
    kept = []
    for fusion in plan.fusions:
        for var, reason in fusion.reasons.items():
            if var in fusion.stored and reason not in ("an input", "an output") and var in fusion.makers:
                node = fusion.makers[var]
                where = place_text(node.source, node.scope)
                spec = spec_at(var.spec, plan.sizes)
                kept.append((f"{node.primitive.name} {spec}", f"{reason}{f'  ({where})' if where else ''}"))
    nodes = sum(len(f.graph.nodes) for f in plan.fusions)
    return Explanation(graph.name, list(kernels_of(plan)), kept, nodes, plan.arena)


def kernels_of(plan: Plan) -> Iterator[Kernel]:
    """The steps of a plan, numbered as they run."""
    for number, (item, depth, rounds) in enumerate(_walk(plan.items, 0, 1)):
        yield _kernel(number, item, depth, rounds)


def _walk(items: Sequence[Item], depth: int, rounds: int) -> Iterator[tuple[Item, int, int]]:
    for item in items:
        yield item, depth, rounds
        if isinstance(item, Repeat):
            yield from _walk(item.items, depth + 1, rounds * item.count)
        elif isinstance(item, While):
            yield from _walk(item.test, depth + 1, rounds)
            yield from _walk(item.items, depth + 1, rounds)
        elif isinstance(item, Branch):
            for branch in item.branches:
                yield from _walk(branch, depth + 1, rounds)


def _kernel(number: int, item: Item, depth: int, rounds: int) -> Kernel:
    if isinstance(item, Launch):
        work = item.work
        if work is None:
            return Kernel(number, "copy", depth, rounds, 0, 2 * item.blocks, 1, "", "", "copy")
        scope, source = _place(work.nodes)
        tasks = -(-item.blocks // max(item.grain, 1))
        name = " ".join(work.labels)
        if name == "product" and work.nodes:
            name = f"product: {work.nodes[-1].primitive.name} {work.nodes[-1].outputs[0].spec}"
        return Kernel(
            number, name, depth, rounds, work.operations, work.bytes, tasks, scope, source, work.text, work.nodes
        )
    if isinstance(item, Host):
        scope, source = _place((item.node,))
        text = f"{item.node.primitive.name}, by its reference"
        size = sum(v.spec.size * v.spec.dtype.numpy.itemsize for v in (*item.node.inputs, *item.node.outputs))
        return Kernel(
            number,
            f"Python: {item.node.primitive.name}",
            depth,
            rounds,
            0,
            size,
            1,
            scope,
            source,
            text,
            (item.node,),
        )
    if isinstance(item, Turn):
        return Kernel(number, "Python: which turn of the loop", depth, rounds, 0, 0, 1, "", "", "turn")
    if isinstance(item, Repeat):
        name = f"loop of {item.count}"
    elif isinstance(item, While):
        name = "loop while its condition holds"
    else:
        name = f"one of {len(item.branches)} branches"
    return Kernel(number, name, depth, rounds, 0, 0, 0, "", "", "")


def _place(nodes: Sequence[Node]) -> tuple[str, str]:
    """The scope and line of the last node that has them."""
    scope = next((n.scope for n in reversed(nodes) if n.scope), "")
    source = next((str(n.source) for n in reversed(nodes) if n.source.line), "")
    return scope, source


def code(plan: Plan, kind: str) -> str:
    """The code of all kernels, each once: `kind` is "llvm" as written, "optimised", or "assembly"."""
    writers = {i.name: i for i in plan.walk() if isinstance(i, Launch) and i.write is not None}
    counts = Counter(i.name for i in plan.walk() if isinstance(i, Launch))
    parts = []
    for name, item in writers.items():
        assert item.write is not None
        text = engine.module_text([item.write()], host())
        if kind != "llvm":
            text = (engine.optimised_text if kind == "optimised" else engine.assembly_text)(text, host())
        mark = "#" if kind == "assembly" else ";"
        title = " ".join(item.work.labels) if item.work else ""
        times = f", launched {counts[name]} times" if counts[name] > 1 else ""
        loops = item.work.text.splitlines() if item.work else []
        parts.append("\n".join([f"{mark} {title}{times}", *(f"{mark}   {line}" for line in loops), text]))
    return "\n\n".join(parts)
