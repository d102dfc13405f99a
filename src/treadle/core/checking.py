"""What a legal graph is. Tests run `check_graph` after every pass.

1. Values are assigned once, before they are used; outputs and captures exist.
2. Every node's primitive is registered, and its shape rule gives exactly the specs that its outputs state.
3. Dims in outputs come from Dims in inputs or captures.
4. Inner graphs are legal and have no captures: what they use is passed to them.
"""

from __future__ import annotations

from treadle.core.dims import Dim
from treadle.core.errors import GraphError, TreadleError
from treadle.core.graph import Graph, Node, Var
from treadle.core.primitive import PRIMITIVES


def check_graph(graph: Graph, *, inner: bool = False, dims: frozenset[str] = frozenset()) -> None:
    """Raise unless the graph is legal.

    Raises:
        GraphError: what is wrong, and at which node.
    """
    if inner and graph.captures:
        raise GraphError(f"the inner graph {graph.name} captures values; they must be passed to it")
    made: set[Var] = set()
    for var in (*graph.inputs, *graph.captures):
        if var in made:
            raise GraphError(f"{graph.name}: the same value is an input twice")
        made.add(var)
    dims = dims | graph.dims
    for k, node in enumerate(graph.nodes):
        where = f"{graph.name}, node {k} ({node.primitive.name}, {node.source})"
        for atom in node.inputs:
            if isinstance(atom, Var) and atom not in made:
                raise GraphError(f"{where}: uses a value that has not been made yet")
        _check_node(node, where)
        for var in node.outputs:
            if var in made:
                raise GraphError(f"{where}: makes a value that exists already")
            for n in var.spec.shape:
                if isinstance(n, Dim) and not n.names <= dims:
                    raise GraphError(f"{where}: the size {n} is not among the inputs' sizes")
            made.add(var)
        for g in node.graphs:
            check_graph(g, inner=True, dims=dims)
    for atom in graph.outputs:
        if isinstance(atom, Var) and atom not in made:
            raise GraphError(f"{graph.name}: returns a value that it never makes")


def _check_node(node: Node, where: str) -> None:
    if PRIMITIVES.get(node.primitive.name) is not node.primitive:
        raise GraphError(f"{where}: the primitive is not registered")
    try:
        expected = node.primitive.infer(*(a.spec for a in node.inputs), **node.params)
    except TreadleError as e:
        raise GraphError(f"{where}: {e.message}") from e
    stated = tuple(v.spec for v in node.outputs)
    if expected != stated:
        raise GraphError(f"{where}: states {stated}, but its inputs make {expected}")
