"""Walking back from a value that is not finite to the node that made it so, into loops and branches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from treadle.core.graph import Atom, Graph, Literal, Node, Var
from treadle.transforms.provenance.record import Array, Record, Stat, record

LONGEST = 8  # values that a chain shows


@dataclass(frozen=True)
class Link:
    """A value on the way: what made it, its figures, and the node (None for an input)."""

    what: str
    stat: Stat
    node: Node | None = None


@dataclass
class Origin:
    """What made a value not finite.

    Attributes:
        node: the culprit; None where an input was not finite already.
        inputs: what it took.
        around: the loops around it with their steps, outermost first: ("step 3", the loop's node).
        chain: from the culprit's input that counts most back to an input of the graph.
        turned: where an infinity became NaN on its way, if it did.
        chose: a `where` that took it, or a product that was to mask it.
    """

    node: Node | None
    name: str
    stat: Stat
    evidence: str = ""
    inputs: list[Link] = field(default_factory=list)
    around: list[tuple[str, Node]] = field(default_factory=list)
    chain: list[Link] = field(default_factory=list)
    turned: Node | None = None
    chose: Node | None = None


@dataclass(frozen=True)
class _Outside:
    """The walk reached an input of an inner graph."""

    index: int
    turned: Node | None
    chose: Node | None


def find_origin(run: Record) -> Origin | None:
    """What made the first of the outputs that is not finite so; None if all are, or somebody wrote it down."""
    graph = run.graph
    bad = [a for a in graph.outputs if run.stat(a).is_bad]
    for atom in [*(a for a in bad if run.stat(a).has_nan), *bad]:
        found = _walk(run, atom, None, None)
        if isinstance(found, _Outside):
            name = graph.input_names[found.index]
            var = graph.inputs[found.index]
            return Origin(None, name, run.stats[var], turned=found.turned, chose=found.chose)
        if found is not None:
            return found
    return None


def _walk(run: Record, atom: Atom, turned: Node | None, chose: Node | None) -> Origin | _Outside | None:
    while True:
        if isinstance(atom, Literal):
            return None  # somebody wrote it
        node = run.makers.get(atom)
        if node is None:
            return _Outside(run.graph.inputs.index(atom), turned, chose)
        if any(True for _ in node.graphs):
            inner = _descend(run, node, node.outputs.index(atom), turned, chose)
            if inner is None and run.is_given:  # the reference's turns of a loop stay finite
                return _culprit(run, node, atom, turned, chose)
            if isinstance(inner, Origin):
                _rename(inner, node, run)
            if not isinstance(inner, _Outside):
                return inner
            atom, turned, chose = node.inputs[inner.index], inner.turned, inner.chose
            continue
        here = run.stat(atom)
        bad = [a for a in node.inputs if run.stat(a).is_bad]
        with_nan = [a for a in bad if run.stat(a).has_nan]
        if here.has_nan and not with_nan:
            # NaN of infinities: it is told where they come from, unless they were written down (-inf in a mask).
            for a in bad:
                found = _walk(run, a, turned or node, chose)
                if found is not None:
                    return found
            return _culprit(run, node, atom, turned, chose)
        following = with_nan if here.has_nan else bad
        if (node.primitive.name == "select" and following) or id(node) in run.masked:
            chose = chose or node
        following = [a for a in following if not isinstance(a, Literal)]
        if not following:
            return None if bad else _culprit(run, node, atom, turned, chose)
        if len(following) > 1:  # one of them may lead to what was written down
            for a in following[:-1]:
                found = _walk(run, a, turned, chose)
                if found is not None:
                    return found
        atom = following[-1]


def _culprit(run: Record, node: Node, atom: Var, turned: Node | None, chose: Node | None) -> Origin:
    made = Origin(node, node.primitive.name, run.stat(atom), run.evidence.get(id(node), ""), turned=turned, chose=chose)
    made.inputs = [
        Link(_name(run, a), run.stat(a), run.makers.get(a) if isinstance(a, Var) else None) for a in node.inputs
    ]
    made.chain = _chain(run, node)
    return made


def _rename(origin: Origin, node: Node, run: Record) -> None:
    """Call what came into an inner graph what it is called outside."""
    p, names = node.params, [_name(run, a) for a in node.inputs]
    if node.primitive.name == "scan":
        inner, outer = p["body"].input_names, names
        carried = range(p["consts"], p["consts"] + p["carry"])
    elif node.primitive.name == "while_loop":
        inner, outer = p["body"].input_names, names[p["condition_consts"] :]
        carried = range(p["body_consts"], len(outer))
    elif node.primitive.name == "cond":
        inner, outer, carried = p["branches"][0].input_names, names[1:], range(0)
    else:
        inner, outer, carried = p["graph"].input_names, names, range(0)
    known = {i: "the carry" if k in carried else o for k, (i, o) in enumerate(zip(inner, outer, strict=True))}
    for links in (origin.inputs, origin.chain):
        for k, link in enumerate(links):
            if link.node is None and link.what in known:
                links[k] = Link(known[link.what], link.stat)


def _name(run: Record, atom: Atom) -> str:
    if isinstance(atom, Literal):
        return "constant"
    node = run.makers.get(atom)
    return run.graph.input_names[run.graph.inputs.index(atom)] if node is None else node.primitive.name


def _chain(run: Record, node: Node) -> list[Link]:
    """Back from a node along the input of the largest magnitude, to an input of the graph."""
    links: list[Link] = []
    while True:
        candidates = [a for a in node.inputs if isinstance(a, Var) and not run.stat(a).is_whole]
        if not candidates:
            return links
        atom = max(candidates, key=lambda a: run.stat(a).extent)
        maker = run.makers.get(atom)
        views = maker is not None and maker.primitive.name in ("reshape", "broadcast", "transpose", "slice", "cast")
        if not views or maker is None:
            links.append(Link(_name(run, atom), run.stat(atom), maker))
        if maker is None:
            return links
        node = maker


def _descend(run: Record, node: Node, index: int, turned: Node | None, chose: Node | None) -> Origin | _Outside | None:
    """The walk inside of a node with graphs, whose output `index` is not finite."""
    taken = run.taken.get(id(node))
    if taken is None:  # finite on the whole: only asked where it is not
        return None
    name, p = node.primitive.name, node.params
    if name == "scan":
        return _in_scan(node, taken, index, turned, chose)
    if name == "while_loop":
        return _in_while(node, taken, index, turned, chose)
    if name == "cond":
        chosen = min(max(int(taken[0]), 0), len(p["branches"]) - 1)
        found = _inside(record(p["branches"][chosen], taken[1:]), index, turned, chose)
        return _Outside(found.index + 1, found.turned, found.chose) if isinstance(found, _Outside) else found
    return _inside(record(p["graph"], taken), index, turned, chose)


def _inside(run: Record, index: int, turned: Node | None, chose: Node | None) -> Origin | _Outside | None:
    atom = run.graph.outputs[index]
    return _walk(run, atom, turned, chose) if run.stat(atom).is_bad else None


def _in_scan(
    node: Node, taken: Sequence[Array], index: int, turned: Node | None, chose: Node | None
) -> Origin | _Outside | None:
    p = node.params
    body, consts, carry, length = p["body"], p["consts"], p["carry"], p["length"]
    fixed, state, xs = list(taken[:consts]), list(taken[consts : consts + carry]), taken[consts + carry :]
    order = range(length - 1, -1, -1) if p["reverse"] else range(length)
    states = _States(index)
    for t in order:
        inputs = [*fixed, *state, *(x[t] for x in xs)]
        made = record(body, inputs)
        states.add(t, inputs)
        state = made.outputs[:carry]
        if _is_bad(made.outputs[index]):
            break
    return states.walk(node, body, consts, carry, turned, chose)


def _in_while(
    node: Node, taken: Sequence[Array], index: int, turned: Node | None, chose: Node | None
) -> Origin | _Outside | None:
    p = node.params
    nc, nb = p["condition_consts"], p["body_consts"]
    c, b, state = taken[:nc], list(taken[nc : nc + nb]), list(taken[nc + nb :])
    states, t = _States(index), 0
    while not _is_bad(state[index]) and bool(record(p["condition"], [*c, *state]).outputs[0]):
        states.add(t, [*b, *state])
        state = record(p["body"], [*b, *state]).outputs
        t += 1
    found = states.walk(node, p["body"], nb, len(state), turned, chose)
    return _Outside(found.index + nc, found.turned, found.chose) if isinstance(found, _Outside) else found


class _States:
    """The inputs of a loop's body at each step so far."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.steps: list[tuple[int, list[Array]]] = []

    def add(self, step: int, inputs: list[Array]) -> None:
        self.steps.append((step, inputs))

    def walk(
        self, node: Node, body: Graph, consts: int, carry: int, turned: Node | None, chose: Node | None
    ) -> Origin | _Outside | None:
        """Back through the steps: what comes in as carry was made in the step before."""
        index = self.index
        while self.steps:
            step, inputs = self.steps.pop()
            found = _inside(record(body, inputs), index, turned, chose)
            if isinstance(found, Origin):
                found.around.insert(0, (f"step {step}", node))
                return found
            if found is None or not consts <= found.index < consts + carry or not self.steps:
                return found
            index, turned, chose = found.index - consts, found.turned, found.chose
        return _Outside(consts + index, turned, chose)


def _is_bad(x: Any) -> bool:
    a = np.asarray(x)
    return a.dtype.kind not in "biu" and not bool(np.isfinite(a.astype(np.float64)).all())


__all__ = ["Link", "Origin", "find_origin"]
