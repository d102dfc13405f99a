"""Nodes that give back what they got."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from treadle.core.graph import Atom, Graph, Literal, Node

Rule = Callable[[Node, tuple[Atom, ...]], Atom | None]


def _is(atom: Atom, value: float) -> bool:
    """Whether an atom is this number; zeros must have the same sign."""
    if not isinstance(atom, Literal) or atom.spec.dtype.is_bool:
        return False
    found = np.float64(atom.value)
    return bool(found == value and np.signbit(found) == np.signbit(value))


def _right(value: float) -> Rule:
    return lambda node, inputs: inputs[0] if _is(inputs[1], value) else None


def _either(value: float) -> Rule:
    def rule(node: Node, inputs: tuple[Atom, ...]) -> Atom | None:
        x, y = inputs
        return x if _is(y, value) else y if _is(x, value) else None

    return rule


def _add(node: Node, inputs: tuple[Atom, ...]) -> Atom | None:
    # x + 0.0 is not x where x is -0.0; x + -0.0 always is. Integers have one zero.
    return _either(-0.0 if node.outputs[0].spec.dtype.is_floating else 0.0)(node, inputs)


def _masked_mul(node: Node, inputs: tuple[Atom, ...]) -> Atom | None:
    t, f = inputs
    return t if _is(f, 1.0) and isinstance(t, Literal) else f if _is(t, 1.0) else None


def _select(node: Node, inputs: tuple[Atom, ...]) -> Atom | None:
    mask, x, y = inputs
    if isinstance(mask, Literal):
        return x if bool(mask.value) else y
    return x if x == y else None


def _same(node: Node, inputs: tuple[Atom, ...]) -> Atom | None:
    return inputs[0] if inputs[0].spec == node.outputs[0].spec else None


def _always(node: Node, inputs: tuple[Atom, ...]) -> Atom | None:
    return inputs[0]


def _in_order(node: Node, inputs: tuple[Atom, ...]) -> Atom | None:
    axes: Any = node.params["axes"]
    return inputs[0] if list(axes) == list(range(len(axes))) else None


def _no_axes(node: Node, inputs: tuple[Atom, ...]) -> Atom | None:
    return inputs[0] if node.params["axes"] == () else None


def _unpadded(node: Node, inputs: tuple[Atom, ...]) -> Atom | None:
    amounts = node.params["low"] + node.params["high"] + node.params["interior"]
    return inputs[0] if all(isinstance(n, int) and n == 0 for n in amounts) else None


def _alone(node: Node, inputs: tuple[Atom, ...]) -> Atom | None:
    return inputs[0] if len(inputs) == 1 else None


RULES: dict[str, Rule] = {
    "add": _add,
    "sub": _right(0.0),
    "mul": _either(1.0),
    "div": _right(1.0),
    "masked_mul": _masked_mul,
    "masked_div": _right(1.0),
    "select": _select,
    "cast": _same,
    "reshape": _same,
    "broadcast": _same,
    "slice": _same,
    "on_gradient": _always,  # derivatives have been taken
    "stop_gradient": _always,
    "transpose": _in_order,
    "reverse": _no_axes,
    "sum": _no_axes,
    "max": _no_axes,
    "min": _no_axes,
    "prod": _no_axes,
    "pad": _unpadded,
    "concatenate": _alone,
}


def drop_identities(graph: Graph) -> Graph:
    """Drop nodes that give back one of their inputs, bit for bit and in the same shape.

    rewrite:
        %0 = mul %x 1.0 : f32[3]
        %1 = reshape %0 shape=(3,) : f32[3]
      →
        %x
    """

    def visit(node: Node, inputs: tuple[Atom, ...]) -> Node | list[Atom]:
        rule = RULES.get(node.primitive.name)
        found = rule(node, inputs) if rule else None
        if found is not None and found.spec == node.outputs[0].spec:
            return [found]
        return node.with_inputs(inputs)

    return graph.map_nodes(visit)


__all__ = ["RULES", "drop_identities"]
