"""Names of the values inside a graph: by scope, probe, argument, result, or the number that the graph prints."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from treadle.core.errors import ArgumentError
from treadle.core.graph import Graph, Node, Var

INSIDE = {"scan": "body", "call": "graph", "custom_jvp": "graph", "custom_vjp": "graph"}  # graphs that run as they are
HIDDEN = ("while_loop", "cond")  # how often, or whether, what is inside runs is not known


@dataclass(frozen=True)
class Place:
    """A value: the nodes around it, by their positions from outside inwards, and itself.

    Attributes:
        lengths: of the loops among those nodes, outermost first.
    """

    trail: tuple[int, ...]
    var: Var
    lengths: tuple[object, ...] = ()


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
    steps = list(_forward(graph, (), ()))
    for scope, place in _outs(graph, steps):
        name(f"{scope}/out", place)
    for node, trail, lengths in steps:
        lead = f"{node.scope}/" if node.scope else ""
        if node.primitive.name == "probe":
            x = node.inputs[0]
            if isinstance(x, Var):
                name(node.params["name"], Place(trail, x, lengths))
                if lead:
                    name(lead + node.params["name"], Place(trail, x, lengths))
        for v in node.outputs:
            name(lead + node.primitive.name, Place(trail, v, lengths))
    return named


Step = tuple[Node, tuple[int, ...], tuple[object, ...]]


def _forward(
    graph: Graph, trail: tuple[int, ...], lengths: tuple[object, ...], only_probes: bool = False
) -> Iterator[Step]:
    """The nodes that compute what the program says, and no derivative; with those around them. And all probes."""
    for i, node in enumerate(graph.nodes):
        skipped = only_probes or node.source.phase in ("derivative", "backward")
        key = INSIDE.get(node.primitive.name)
        if key is not None:
            more = (*lengths, node.params["length"]) if key == "body" else lengths
            yield from _forward(node.params[key], (*trail, i), more, skipped)
        if not skipped or node.primitive.name == "probe":
            yield node, trail, lengths


def _outs(graph: Graph, steps: Sequence[Step]) -> Iterator[tuple[str, Place]]:
    """Of each stretch of nodes in one scope, the last value that something outside of it reads."""
    wanted: dict[Var, list[str]] = {}
    for atom in graph.outputs:
        if isinstance(atom, Var):
            wanted.setdefault(atom, []).append("")
    for node, *_ in steps:
        for a in node.inputs:
            if isinstance(a, Var):
                wanted.setdefault(a, []).append(node.scope)
        for inner in node.graphs:  # what leaves a loop's body
            for a in inner.outputs:
                if isinstance(a, Var):
                    wanted.setdefault(a, []).append("")
    scopes = list(dict.fromkeys(s for node, *_ in steps for s in _with_parents(node.scope)))
    for scope in scopes:
        last: Place | None = None
        for node, trail, lengths in steps:
            if node.primitive.name == "probe":
                continue
            if not _is_within(node.scope, scope):
                if last is not None:
                    yield scope, last
                last = None
                continue
            for v in node.outputs:
                if any(not _is_within(s, scope) for s in wanted.get(v, ())):
                    last = Place(trail, v, lengths)
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


__all__ = ["Place", "chosen", "matches", "names_of"]
