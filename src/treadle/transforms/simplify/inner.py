"""Passes for the graphs inside of nodes: bodies of loops, branches, calls."""

from __future__ import annotations

from collections.abc import Callable

from treadle.core.graph import Atom, Graph, Node


def simplify_inner_graphs(graph: Graph, run: Callable[[Graph], Graph]) -> Graph:
    """Run a pass on each graph among the nodes' parameters, once for graphs that are one object.

    rewrite:
        %0 = scan %x body=f  →  %0 = scan %x body=run(f)
    """

    def once(inner: Graph) -> Graph:
        key = ("simplified", run)
        if key not in inner.derived:
            inner.derived[key] = run(inner)
        found: Graph = inner.derived[key]
        return found

    def visit(node: Node, inputs: tuple[Atom, ...]) -> Node:
        params = dict(node.params)
        for key, value in node.params.items():
            if isinstance(value, Graph):
                params[key] = once(value)
            elif isinstance(value, tuple) and value and isinstance(value[0], Graph):
                params[key] = tuple(map(once, value))
        return Node(node.primitive, inputs, params, node.outputs, node.source, node.scope)

    return graph.map_nodes(visit) if any(True for n in graph.nodes for _ in n.graphs) else graph
