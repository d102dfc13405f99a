"""Equal things once."""

from __future__ import annotations

from typing import Any

from treadle.core.graph import Atom, Graph, Node, param_key


def merge_equal_nodes(graph: Graph) -> Graph:
    """Compute equal things once. Nodes with effects stay, each of them.

    rewrite:
        %1 = tanh %0
        %2 = tanh %0
        %3 = add %1 %2
      →
        %1 = tanh %0
        %2 = add %1 %1
    """
    first: dict[Any, Node] = {}

    def visit(node: Node, inputs: tuple[Atom, ...]) -> Node:
        new = node.with_inputs(inputs)
        if node.has_effects:
            return new
        params = tuple(sorted((k, param_key(v)) for k, v in node.params.items()))
        return first.setdefault((node.primitive.name, inputs, params), new)

    return graph.map_nodes(visit)
