"""Running primitives and graphs on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.core.dims import Size
from treadle.core.errors import TreadleError
from treadle.core.graph import Atom, Graph, Literal, Node
from treadle.core.primitive import Primitive
from treadle.core.source import place_text
from treadle.core.spec import bind_sizes

__all__ = ["Program", "bind_sizes", "prepare", "run_graph", "run_primitive"]

Array = np.ndarray[Any, Any]


def run_primitive(primitive: Primitive, inputs: Sequence[Array], params: dict[str, Any]) -> tuple[Array, ...]:
    """One primitive's reference rule. Overflow, division by zero and NaN follow IEEE 754 without warnings."""
    with np.errstate(all="ignore"):
        out = primitive.rule("reference")(*inputs, **params)
    return tuple(map(_owned, out)) if primitive.multiple else (_owned(out),)


def _owned(value: Any) -> Array:
    array = np.asarray(value)
    array.flags.writeable = False
    return array


def prepare(graph: Graph) -> Callable[[Sequence[Array]], tuple[Array, ...]]:
    """An executable for a graph without captures."""
    if not graph.dims:
        return Program(graph)
    by_sizes: dict[tuple[tuple[str, Size], ...], Program] = {}

    def run(inputs: Sequence[Array]) -> tuple[Array, ...]:
        sizes = bind_sizes(graph.input_specs, [x.shape for x in inputs], graph.input_names)
        key = tuple(sorted(sizes.items()))
        program = by_sizes.get(key)
        if program is None:
            if len(by_sizes) > 64:
                by_sizes.pop(next(iter(by_sizes)), None)
            program = by_sizes[key] = Program(graph.substitute(sizes))
        return program(inputs)

    return run


def run_graph(graph: Graph, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """A graph without captures, node by node. Values are dropped after their last use."""
    return prepare(graph)(inputs)


@dataclass(frozen=True, slots=True)
class _Step:
    """A node, with its values as numbers of places."""

    node: Node
    rule: Callable[..., Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    dropped: tuple[int, ...]  # places that no later node and no output reads


class Program:
    """A graph whose sizes are all known, as steps over a list of values. Safe to call from several threads."""

    def __init__(self, graph: Graph) -> None:
        self._places: dict[Atom, int] = {}
        self._inputs = [self._place(v) for v in graph.inputs]
        self._constants = [(self._place(a), a.value) for a in _literals(graph)]
        outputs = [(node, [self._place(v) for v in node.outputs]) for node in graph.nodes]
        self._outputs = [self._places[a] for a in graph.outputs]
        keep = {*self._outputs, *(k for k, _ in self._constants)}
        steps = []
        for node, made in reversed(outputs):
            read = [self._places[a] for a in node.inputs]
            dropped = {*read, *made} - keep
            keep |= dropped
            rule = node.primitive.rule("reference")
            steps.append(_Step(node, rule, tuple(read), tuple(made), tuple(dropped)))
        self._steps = steps[::-1]

    def _place(self, atom: Atom) -> int:
        return self._places.setdefault(atom, len(self._places))

    def __call__(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        values: list[Any] = [None] * len(self._places)
        for place, value in (*zip(self._inputs, inputs, strict=True), *self._constants):
            values[place] = value
        with np.errstate(all="ignore"):
            for step in self._steps:
                self._run(step, values)
        return tuple([values[place] for place in self._outputs])

    def _run(self, step: _Step, values: list[Any]) -> None:
        node = step.node
        try:
            out = step.rule(*[values[place] for place in step.inputs], **node.params)
        except TreadleError as e:
            raise e.at(place_text(node.source, node.scope)) from None
        for place, value in zip(step.outputs, out if node.primitive.multiple else (out,), strict=True):
            values[place] = _owned(value)
        for place in step.dropped:
            values[place] = None


def _literals(graph: Graph) -> Iterator[Literal]:
    for atom in (*(a for node in graph.nodes for a in node.inputs), *graph.outputs):
        if isinstance(atom, Literal):
            yield atom
