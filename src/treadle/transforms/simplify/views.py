"""Views of views are views."""

from __future__ import annotations

from treadle.core.graph import Atom, Graph, Node, Var


def compose_views(graph: Graph) -> Graph:
    """A reshape of a reshape, a transpose of a transpose, a broadcast of a broadcast: one.

    rewrite:
        %0 = reshape %x shape=(6,) : f32[6]
        %1 = reshape %0 shape=(3, 2) : f32[3,2]
      →
        %1 = reshape %x shape=(3, 2) : f32[3,2]

    The first view stays where others use it, else pruning takes it.
    """
    makers: dict[Var, Node] = {}

    def visit(node: Node, inputs: tuple[Atom, ...]) -> Node:
        new = node.with_inputs(inputs)
        inner = makers.get(inputs[0]) if inputs and isinstance(inputs[0], Var) else None
        if inner is not None and inner.primitive is node.primitive:
            new = _merged(inner, new)
        makers.update((v, new) for v in node.outputs)
        return new

    return graph.map_nodes(visit)


def _merged(inner: Node, outer: Node) -> Node:
    """The outer node, reading what the inner one reads."""
    name, params = outer.primitive.name, dict(outer.params)
    if name == "transpose":
        params["axes"] = tuple(inner.params["axes"][a] for a in outer.params["axes"])
    elif name == "cast":
        return outer  # the middle dtype may have lost something
    elif name not in ("reshape", "broadcast"):
        return outer
    return Node(outer.primitive, inner.inputs, params, outer.outputs, outer.source, outer.scope)
