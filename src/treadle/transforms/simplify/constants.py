"""What is known while compiling: literals computed, and arrays of one repeated number read as that number."""

from __future__ import annotations

from typing import Any

from treadle.core.dims import Dim
from treadle.core.graph import Atom, Graph, Literal, Node, Var
from treadle.core.registry import backend

# Primitives that move or repeat elements: of one repeated number they make the same number again.
MOVES = frozenset({"broadcast", "reshape", "transpose", "slice", "reverse"})


def fold_literals(graph: Graph) -> Graph:
    """Compute scalars that depend on literals alone, by their reference.

    rewrite:
        %0 = eq 64.0 0.0 : bool[]
        %1 = select %0 1.0 64.0 : f32[]
      →
        64.0
    """

    def visit(node: Node, inputs: tuple[Atom, ...]) -> Node | list[Literal]:
        known = inputs and all(isinstance(a, Literal) for a in inputs)
        scalars = all(v.spec.shape == () for v in node.outputs)
        if not known or not scalars or node.has_effects or any(True for _ in node.graphs) or _has_dims(node):
            return node.with_inputs(inputs)
        values = [a.value for a in inputs if isinstance(a, Literal)]
        made = backend("reference").run_primitive(node.primitive, values, node.params)
        return [Literal(v) for v in made]

    return graph.map_nodes(visit)


def _has_dims(node: Node) -> bool:
    def has(value: Any) -> bool:
        return isinstance(value, Dim) or (isinstance(value, tuple) and any(map(has, value)))

    return any(map(has, node.params.values()))


def read_constants_as_literals(graph: Graph) -> Graph:
    """Elementwise nodes stretch their operands, so an array of one repeated number can be that number.

    rewrite:
        %0 = broadcast 1.0 shape=(3,) : f32[3]
        %1 = mul %0 %x : f32[3]
      →
        %1 = mul 1.0 %x : f32[3]

    Only where another operand has the shape of the result.
    """
    repeated: dict[Var, Literal] = {}

    def constant(atom: Atom) -> Literal | None:
        return atom if isinstance(atom, Literal) else repeated.get(atom)

    def visit(node: Node, inputs: tuple[Atom, ...]) -> Node:
        if node.primitive.name in MOVES:
            found = constant(inputs[0])
            if found is not None:
                repeated[node.outputs[0]] = found
        elif node.primitive.stretches:
            inputs = _as_literals(node, inputs, repeated)
        return node.with_inputs(inputs)

    return graph.map_nodes(visit)


def _as_literals(node: Node, inputs: tuple[Atom, ...], repeated: dict[Var, Literal]) -> tuple[Atom, ...]:
    shape = node.outputs[0].spec.shape
    keeps_shape = any(a.spec.shape == shape and a not in repeated for a in inputs if isinstance(a, Var))
    if not keeps_shape:
        return inputs
    return tuple(repeated.get(a, a) if isinstance(a, Var) else a for a in inputs)
