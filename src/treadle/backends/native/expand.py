"""Passes over the graph before fusion. Each is a function Graph → Graph."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.core.graph import Atom, Graph, Literal, Node, Var

INLINED = {"call": "graph", "custom_jvp": "graph", "custom_vjp": "graph"}


def expand(graph: Graph) -> Graph:
    """The graph in terms of what loops and contractions can compute."""
    for name in PASSES:
        graph = PASSES[name](graph)
    return graph


def inline_calls(graph: Graph) -> Graph:
    """`y = call x graph={g}` → the nodes of g."""
    env: dict[Var, Atom] = {}
    nodes: list[Node] = []

    def at(atom: Atom) -> Atom:
        return env.get(atom, atom) if isinstance(atom, Var) else atom

    def copy(node: Node) -> None:
        inputs = [at(a) for a in node.inputs]
        name = node.primitive.name
        if name not in INLINED:
            outputs = [Var(v.spec) for v in node.outputs]
            env.update(zip(node.outputs, outputs, strict=True))
            params = {k: _inside(v) for k, v in node.params.items()}
            nodes.append(Node(node.primitive, inputs, params, outputs, node.source, node.scope))
            return
        inner: Graph = node.params[INLINED[name]]
        before = {v: env.get(v) for v in inner.inputs}
        env.update(zip(inner.inputs, inputs, strict=True))
        for n in inner.nodes:
            copy(n)
        results = [at(a) for a in inner.outputs]
        env.update({v: a for v, a in before.items() if a is not None})
        env.update(zip(node.outputs, results, strict=True))

    for node in graph.nodes:
        copy(node)
    return Graph(graph.name, graph.inputs, nodes, [at(a) for a in graph.outputs], input_names=graph.input_names)


def _inside(value: object) -> object:
    if isinstance(value, Graph):
        return expand(value)
    if isinstance(value, tuple) and any(isinstance(v, Graph) for v in value):
        return tuple(_inside(v) for v in value)
    return value


PASSES = {"inline_calls": inline_calls}

__all__ = ["PASSES", "Literal", "Sequence", "expand"]
