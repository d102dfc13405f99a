"""Python loops that tracing unrolled: the same operations at the same line, each on the result of the one before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from treadle.core.graph import Graph, Node, Var

LEAST = 64  # turns from which on a loop is worth a word
CANDIDATES = 4  # kinds of operation that are looked at


class UnrolledWarning(UserWarning):
    """A Python loop became so many copies of its body that compiling them takes long."""


def find_unrolled(graph: Graph) -> tuple[str, int] | None:
    """(line, turns) of the longest loop, or None.

    Copies of a layer with weights of their own have scopes of their own, and the parameters that an optimiser updates
    do not depend on each other; neither counts.
    """
    counts = Counter(map(_kind, graph.nodes))
    best: tuple[str, int] | None = None
    for kind, count in counts.most_common(CANDIDATES):
        if count < LEAST:
            break
        turns = _chain(graph, kind)
        if turns >= LEAST and (best is None or turns > best[1]):
            node = next(n for n in graph.nodes if _kind(n) == kind)
            best = str(node.source), turns
    return best


def _kind(node: Node) -> Hashable:
    shapes = tuple(a.spec for a in node.inputs)
    return str(node.source), node.scope, node.primitive.name, shapes


def _chain(graph: Graph, kind: Hashable) -> int:
    """How many nodes of a kind stand behind each other at most."""
    depth: dict[Var, int] = {}
    longest = 0
    for node in graph.nodes:
        here = max((depth.get(a, 0) for a in node.inputs if isinstance(a, Var)), default=0)
        if _kind(node) == kind:
            here += 1
            longest = max(longest, here)
        if here:
            for v in node.outputs:
                depth[v] = here
    return longest
