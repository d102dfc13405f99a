"""Names of the values inside a graph: by scope, probe, argument, result, or the number that the graph prints."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from treadle.core.errors import ArgumentError
from treadle.core.graph import Graph, Node, Var

INSIDE = {"scan": "body", "while_loop": "body", "call": "graph", "custom_jvp": "graph", "custom_vjp": "graph"}
UNCERTAIN = ("cond", "while_loop")  # what is inside may not run


@dataclass(frozen=True)
class Door:
    """The way into a graph inside of a node: the node's position, and which branch if it is a `cond`."""

    position: int
    branch: int | None = None

    def of(self, node: Node) -> Graph:
        """The graph behind it."""
        inner: Graph = (
            node.params[INSIDE[node.primitive.name]] if self.branch is None else node.params["branches"][self.branch]
        )
        return inner


def doors(graph: Graph) -> Iterator[tuple[Door, Node]]:
    """The ways into the graphs inside of a graph, but for conditions of loops."""
    for i, node in enumerate(graph.nodes):
        if node.primitive.name == "cond":
            yield from ((Door(i, k), node) for k in range(len(node.params["branches"])))
        elif node.primitive.name in INSIDE:
            yield Door(i), node


@dataclass(frozen=True)
class Place:
    """A value: the way to it from outside inwards, and itself.

    Attributes:
        lengths: of the scans on the way, outermost first.
        is_certain: whether it is made in every run: not in a branch, nor in a `while_loop`, which may make no turn.
    """

    trail: tuple[Door, ...]
    var: Var
    lengths: tuple[object, ...] = ()
    is_certain: bool = True

    def inside(self, node: Node) -> Place:
        """This place as one of the graph inside of the outermost node on its way."""
        graph = self.trail[0].of(node)
        lengths = self.lengths[1:] if node.primitive.name == "scan" else self.lengths
        certain = _is_certain(graph, self.trail[1:])
        return Place(self.trail[1:], self.var, lengths, certain)


def _is_certain(graph: Graph, trail: tuple[Door, ...]) -> bool:
    for door in trail:
        node = graph.nodes[door.position]
        if node.primitive.name in UNCERTAIN:
            return False
        graph = door.of(node)
    return True


def names_of(graph: Graph, result_paths: Sequence[str]) -> dict[str, Place]:
    """The names of a graph's values, in the order of the program. Of equal names, later ones get `_1`, `_2`, …

    `scope/out` is what a scope gives to the outside, `scope/tanh` a value by its operation, `%3` by its number.
    """
    named: dict[str, Place] = {}

    def name(wanted: str, place: Place) -> None:
        k, candidate = 0, wanted
        while candidate in named:
            k += 1
            candidate = f"{wanted}_{k}"
        named[candidate] = place

    for n, v in zip(graph.input_names, graph.inputs, strict=True):
        named[n] = Place((), v)
    for path, atom in zip(result_paths, graph.outputs, strict=False):
        if isinstance(atom, Var):
            named.setdefault(path or "out", Place((), atom))
    numbers = iter(range(10**9))
    for node in graph.nodes:
        for v in node.outputs:
            named[f"%{next(numbers)}"] = Place((), v)
    steps = list(_forward(graph))
    for scope, place in _outs(graph, steps):
        name(f"{scope}/out", place)
    for node, at in steps:
        lead = f"{node.scope}/" if node.scope else ""
        if node.primitive.name == "probe":
            x = node.inputs[0]
            if isinstance(x, Var):
                name(node.params["name"], at(x))
                if lead:
                    name(lead + node.params["name"], at(x))
        for v in node.outputs:
            name(lead + node.primitive.name, at(v))
    return named


_outermost = partial(Place, ())
Step = tuple[Node, Callable[[Var], Place]]  # a node, and the places of its values


def _forward(graph: Graph, at: Callable[[Var], Place] = _outermost, only_probes: bool = False) -> Iterator[Step]:
    """The nodes that compute what the program says, and no derivative; with their places. And all probes."""
    inner: dict[int, list[Door]] = {}
    for door, _ in doors(graph):
        inner.setdefault(door.position, []).append(door)
    for i, node in enumerate(graph.nodes):
        skipped = only_probes or node.source.phase in ("derivative", "backward")
        for door in inner.get(i, ()):
            yield from _forward(door.of(node), partial(_deeper, at, door, node), skipped)
        if not skipped or node.primitive.name == "probe":
            yield node, at


def _deeper(at: Callable[[Var], Place], door: Door, node: Node, var: Var) -> Place:
    """The place of a value behind a door of a node whose own values `at` places."""
    outer = at(var)
    lengths = (*outer.lengths, node.params["length"]) if node.primitive.name == "scan" else outer.lengths
    certain = outer.is_certain and node.primitive.name not in UNCERTAIN
    return Place((*outer.trail, door), var, lengths, certain)


def _outs(graph: Graph, steps: Sequence[Step]) -> Iterator[tuple[str, Place]]:
    """Of each stretch of nodes in one scope, the last value that something outside of it reads."""
    wanted: dict[Var, list[str]] = {}
    for atom in graph.outputs:
        if isinstance(atom, Var):
            wanted.setdefault(atom, []).append("")
    for node, _ in steps:
        for a in node.inputs:
            if isinstance(a, Var):
                wanted.setdefault(a, []).append(node.scope)
        for inner in node.graphs:  # what leaves a loop's body
            for a in inner.outputs:
                if isinstance(a, Var):
                    wanted.setdefault(a, []).append("")
    scopes = list(dict.fromkeys(s for node, _ in steps for s in _with_parents(node.scope)))
    for scope in scopes:
        last: Place | None = None
        for node, at in steps:
            if node.primitive.name == "probe":
                continue
            if not _is_within(node.scope, scope):
                if last is not None:
                    yield scope, last
                last = None
                continue
            for v in node.outputs:
                if any(not _is_within(s, scope) for s in wanted.get(v, ())):
                    last = at(v)
        if last is not None:
            yield scope, last


def _with_parents(scope: str) -> list[str]:
    parts = scope.split("/") if scope else []
    return ["/".join(parts[: k + 1]) for k in range(len(parts))]


def _is_within(scope: str, outer: str) -> bool:
    return scope == outer or scope.startswith(outer + "/")


def chosen(named: dict[str, Place], patterns: Sequence[str], what: str) -> dict[str, Place]:
    """The values that the patterns name: `*` stands for a part of a name without `/`, `**` for any.

    Raises:
        ArgumentError: a pattern names none; the message has names that are near.
    """
    found: dict[str, Place] = {}
    for pattern in patterns:
        made = {n: p for n, p in named.items() if matches(pattern, n)}
        if not made:
            raise ArgumentError(f"{what}: no value is called {pattern!r}. {_nearest(pattern, list(named))}")
        found |= made
    return found


def matches(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern."""
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    kinds = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.fullmatch("".join(kinds.get(p) or re.escape(p) for p in parts), name) is not None


def _nearest(pattern: str, names: Sequence[str]) -> str:
    plain = [n for n in names if not n.startswith("%")]
    near = difflib.get_close_matches(pattern, plain, n=5, cutoff=0.5)
    if near:
        return f"Near are {', '.join(map(repr, near))}"
    shown = ", ".join(map(repr, plain[:12]))
    return f"There are {shown}{', …' if len(plain) > 12 else ''}; all: f.names(*args)"


__all__ = ["Door", "Place", "chosen", "matches", "names_of"]
