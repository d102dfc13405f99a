"""Running primitives and graphs on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from treadle.core.dims import Dim, Size, substitute
from treadle.core.errors import ShapeError, TreadleError
from treadle.core.graph import Graph, Literal, Var
from treadle.core.primitive import Primitive
from treadle.core.source import place_text
from treadle.core.spec import Spec, show_shape

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
    by_sizes: dict[tuple[tuple[str, Size], ...], Graph] = {}
    if not graph.dims:
        return lambda inputs: _run(graph, inputs)

    def run(inputs: Sequence[Array]) -> tuple[Array, ...]:
        sizes = bind_sizes(graph.input_specs, [x.shape for x in inputs], graph.input_names)
        key = tuple(sorted(sizes.items()))
        if key not in by_sizes:
            if len(by_sizes) > 64:
                by_sizes.pop(next(iter(by_sizes)))
            by_sizes[key] = graph.substitute(sizes)
        return _run(by_sizes[key], inputs)

    return run


def run_graph(graph: Graph, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """A graph without captures, node by node. Values are dropped after their last use."""
    return prepare(graph)(inputs)


def _run(graph: Graph, inputs: Sequence[Array]) -> tuple[Array, ...]:
    env: dict[Var, Array] = dict(zip(graph.inputs, inputs, strict=True))
    last: dict[Var, int] = {}
    for k, node in enumerate(graph.nodes):
        for atom in node.inputs:
            if isinstance(atom, Var):
                last[atom] = k
    for atom in graph.outputs:
        if isinstance(atom, Var):
            last[atom] = len(graph.nodes)
    for k, node in enumerate(graph.nodes):
        values = [a.value if isinstance(a, Literal) else env[a] for a in node.inputs]
        try:
            outputs = run_primitive(node.primitive, values, node.params)
        except TreadleError as e:
            raise e.at(place_text(node.source, node.scope)) from None
        env.update(zip(node.outputs, outputs, strict=True))
        for atom in node.inputs:
            if isinstance(atom, Var) and last[atom] == k:
                env.pop(atom, None)
    return tuple(a.value if isinstance(a, Literal) else env[a] for a in graph.outputs)


def bind_sizes(specs: Sequence[Spec], shapes: Sequence[tuple[int, ...]], names: Sequence[str]) -> dict[str, Size]:
    """What the named sizes are, given the inputs' shapes.

    Raises:
        ShapeError: a size does not fit, or one name would have two values.
    """
    sizes: dict[str, Size] = {}
    pending: list[tuple[str, Size, int, int]] = []
    for name, spec, shape in zip(names, specs, shapes, strict=True):
        if len(shape) != len(spec.shape):
            raise ShapeError(f"{name} must be {spec}, and has the shape {show_shape(shape)}")
        for axis, (want, have) in enumerate(zip(spec.shape, shape, strict=True)):
            if isinstance(want, Dim) and want.names == {str(want)} and str(want) not in sizes:
                sizes[str(want)] = have
            pending.append((name, want, have, axis))
    for name, want, have, axis in pending:
        expected = substitute(want, sizes)
        if expected != have:
            raise ShapeError(f"{name} has size {have} on axis {axis}, where {want} = {expected} is needed")
    return sizes
