"""Which node of the backward pass belongs to which node of the forward pass."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.core.graph import Graph, Node
from treadle.debug.stepper.breakpoints import graphs_of


def _nodes(graph: Graph) -> Iterator[tuple[Graph, Node]]:
    return ((g, n) for g in graphs_of(graph) for n in g.nodes)


def is_backward(node: Node) -> bool:
    """Whether a node carries cotangents."""
    return node.origin is not None and node.origin.backward


def forward_node(graph: Graph, node: Node) -> tuple[Graph, Node] | None:
    """The node that a backward node was made for, with its graph; None where the graph no longer has it.

    Where the derivative alone is asked for, the value of the last forward nodes is not computed.
    """
    if node.origin is None or not node.origin.backward:
        return None
    wanted = node.origin._replace(backward=False)
    return next(((g, n) for g, n in _nodes(graph) if n.origin == wanted), None)


def backward_nodes(graph: Graph, node: Node) -> list[tuple[Graph, Node]]:
    """The nodes of the backward pass that were made for a node, with their graphs."""
    if node.origin is None or node.origin.backward:
        return []
    wanted = node.origin._replace(backward=True)
    return [(g, n) for g, n in _nodes(graph) if n.origin == wanted]
