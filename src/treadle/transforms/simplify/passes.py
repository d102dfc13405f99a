"""All passes of `simplify`, in order, run until nothing changes."""

from __future__ import annotations

from collections.abc import Callable

from treadle.core.graph import Graph
from treadle.ops.effects import without
from treadle.transforms.simplify.constants import fold_literals, read_constants_as_literals
from treadle.transforms.simplify.equal import merge_equal_nodes
from treadle.transforms.simplify.identities import drop_identities
from treadle.transforms.simplify.inner import simplify_inner_graphs
from treadle.transforms.simplify.views import compose_views

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    fold_literals,
    read_constants_as_literals,
    drop_identities,
    compose_views,
    merge_equal_nodes,
    Graph.prune,
)
_ROUNDS = 8  # each round shortens the graph; real graphs settle after two or three


def simplify(graph: Graph) -> Graph:
    """Run all passes until nothing changes, inner graphs first.

    >>> import treadle as td
    >>> from treadle.transforms.simplify import simplify
    >>> g = td.graph(td.grad(lambda x: td.tanh(x).sum()))(td.zeros(3))
    >>> [n.primitive.name for n in simplify(g).nodes]
    ['tanh', 'sub', 'add', 'mul']
    """
    graph = simplify_inner_graphs(without(graph, "probe"), simplify)
    for _ in range(_ROUNDS):
        before = graph
        for run in PASSES:
            graph = run(graph)
        if len(graph.nodes) == len(before.nodes) and graph == before:
            break
    return graph
