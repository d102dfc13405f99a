"""Asking, at the end of each run, whether all that comes out is finite; and finding out why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from treadle.core.dtypes import bfloat16, float16, float32
from treadle.core.errors import NonFiniteError
from treadle.core.graph import Atom, Graph, Literal, Node, Var
from treadle.core.primitive import PRIMITIVES
from treadle.core.registry import backend
from treadle.core.running import fresh_turns, repeating, results_kept
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.transforms.provenance.blame import find_origin
from treadle.transforms.provenance.record import record
from treadle.transforms.provenance.words import explain, place_of

Array = np.ndarray[Any, Any]
ROUNDING = "\n  Rounding decides: NumPy's run of the same inputs stays finite, barely; the compiled one does not"
BEYOND = {float16: 65520.0, bfloat16: 3.3961775e38}  # the smallest numbers that round to infinity
Executable = Callable[[Sequence[Array]], Sequence[Array]]
Prepare = Callable[[Graph], Any]  # to an Executable


def with_finite_flag(graph: Graph) -> Graph:
    """The graph with one more output: true if a floating output is NaN or infinite; rarely, if some are very large.

    Values of one shape are added up before they are looked at, so that each is read once: NaN and infinities stay what
    they are in sums and in products with 0.

    rewrite:
        return %y %z  →  %0 = add %y %z
                         %1 = mul %0 0.0
                         %2 = sum %1 axes=(0,)
                         %3 = is_finite %2
                         %4 = not_ %3
                         return %y %z %4
    """
    nodes = list(graph.nodes)

    def add(name: str, *inputs: Atom, **params: Any) -> Var:
        primitive = PRIMITIVES[name]
        out = Var(primitive.infer(*(a.spec for a in inputs), **params)[0])
        nodes.append(Node(primitive, inputs, params, [out]))
        return out

    groups: dict[Spec, list[Var]] = {}
    for atom in dict.fromkeys(graph.outputs):
        if isinstance(atom, Var) and atom.spec.dtype.is_floating:
            groups.setdefault(atom.spec, []).append(atom)
    total: Atom = Literal(np.array(False))
    for group in groups.values():
        total = add("or_", total, _wrong(add, group))
    return Graph(graph.name, graph.inputs, nodes, [*graph.outputs, total], input_names=graph.input_names)


def _wrong(add: Callable[..., Var], group: Sequence[Var]) -> Var:
    """Whether one of these, all of one spec, has an element that is not finite."""
    spec = group[0].spec
    axes = tuple(range(spec.ndim))
    limit = BEYOND.get(spec.dtype)
    if limit is None:
        return add(
            "not_",
            add(
                "is_finite",
                add(
                    "sum",
                    add("mul", reduce(lambda x, y: add("add", x, y), group), Literal(np.array(0, spec.dtype.numpy))),
                    axes=axes,
                ),
            ),
        )
    # A compiled run may still have more digits, and larger numbers, than what it returns: they are asked for.
    flags = []
    for x in group:
        size = add("abs", add("cast", x, dtype=float32))
        wrong = add("not_", add("lt", size, Literal(np.array(limit, np.float32))))
        flags.append(add("any", wrong, axes=axes) if axes else wrong)
    return reduce(lambda x, y: add("or_", x, y), flags)


class FiniteGuard:
    """An executable whose last output says whether something is not finite; then the run is repeated node by node.

    Nothing has been assigned by then, and inputs are never written to: the repeated run has the same numbers.
    """

    def __init__(self, graph: Graph, prepare: Prepare) -> None:
        self.graph, self.prepare = graph, prepare
        self.inner = prepare(with_finite_flag(graph))
        self._calls = graph.has_effects and any(n.primitive.name == "host" for n in graph.walk())

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        results: list[Any] = []
        if self._calls:
            with results_kept() as results:
                outputs = list(self.inner(inputs))
        else:
            outputs = list(self.inner(inputs))
        if outputs.pop() and not all(map(_is_finite, outputs)):
            raise error_of(self.graph, inputs, results, self.prepare)
        return outputs

    def at_sizes(self, inputs: Sequence[Array]) -> Any:
        return self.inner.at_sizes(inputs)


def _is_finite(x: Array) -> bool:
    return x.dtype.kind in "biu" or bool(np.isfinite(x.astype(np.float64)).all())


def are_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether those that have numbers are finite."""
    return all(_is_finite(x.numpy()) for x in tensors if x.is_concrete)


def error_of(graph: Graph, inputs: Sequence[Array], results: list[Any], prepare: Prepare) -> NonFiniteError:
    """The error for a run of this graph whose outputs are not all finite.

    It is looked for in a run of the reference. Where the numbers are at the edge of a dtype, rounding may decide, and
    that run may be finite: then in a run of the backend's own that leaves every value.

    Args:
        results: what host functions returned in the run, to be returned again.
        prepare: makes an executable as the function's backend does.
    """
    if graph.dims:
        reference: Any = backend("reference")
        sizes = reference.bind_sizes(graph.input_specs, [x.shape for x in inputs], graph.input_names)
        graph = graph.substitute(sizes)
    with repeating(results), fresh_turns():
        run = record(graph, inputs)
        if run.is_finite:
            made = [v for node in graph.nodes for v in node.outputs]
            outs = prepare(graph.with_outputs(made))(inputs)
            run = record(graph, inputs, dict(zip(made, outs, strict=True)))
        origin = find_origin(run)
    if run.is_finite:
        return NonFiniteError(
            "a result is NaN or infinite. Rounding decides: neither NumPy's run of the same inputs nor a compiled one "
            "that leaves all values makes it so again"
        )
    if origin is None:
        return NonFiniteError("a result is NaN or infinite, and was so from the beginning: a constant of the program's")
    error = NonFiniteError(explain(origin) + (ROUNDING if run.is_given else ""))
    if origin.node is not None:
        error.at(place_of(origin.node))
    return error


__all__ = ["FiniteGuard", "are_finite", "error_of", "with_finite_flag"]
