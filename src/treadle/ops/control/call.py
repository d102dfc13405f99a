"""`call`: a graph as one operation. Compiled functions inside derivatives, and `checkpoint`, are calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core.errors import ShapeError
from treadle.core.graph import Graph
from treadle.core.primitive import Batched, Primitive, Unknown, Zero
from treadle.core.registry import backend, graph_transforms
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops.effects import without
from treadle.ops.layout import instantiate

call = Primitive("call", multiple=True)


@call.shape
def _(*inputs: Spec, graph: Graph, remat: bool) -> tuple[Spec, ...]:
    check_inputs("call", graph, inputs)
    return graph.output_specs


def check_inputs(what: str, graph: Graph, inputs: Sequence[Spec]) -> None:
    """Raise unless these inputs are those of the graph."""
    if tuple(inputs) != graph.input_specs:
        raise ShapeError(f"{what}: {graph.name} takes {list(graph.input_specs)}, and got {list(inputs)}")


@call.reference
def _(*inputs: Any, graph: Graph, remat: bool) -> tuple[Any, ...]:
    return run(graph, inputs)


def run(graph: Graph, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Run an inner graph, on an executable that is prepared once."""
    executable = graph.derived.get("executable")
    if executable is None:
        executable = graph.derived["executable"] = backend("reference").prepare(graph)
    return executable(inputs)  # type: ignore[no-any-return]


@call.push
def _(primals: Any, tangents: Any, *, graph: Graph, remat: bool) -> tuple[Sequence[Tensor], list[Any]]:
    nonzero = tuple(not isinstance(t, Zero) for t in tangents)
    n = len(graph.outputs)
    pushed, flags = graph_transforms().jvp_graph(graph, nonzero, (False,) * n)
    made = call(*primals, *(t for t in tangents if not isinstance(t, Zero)), graph=pushed, remat=remat)
    return made[:n], fill(made[n:], flags, graph.output_specs)


def fill(values: Sequence[Tensor], flags: Sequence[bool], specs: Sequence[Spec]) -> list[Any]:
    """The values in the places that are marked, and symbolic zeros in the others."""
    rest = iter(values)
    return [next(rest) if f else Zero(s) for f, s in zip(flags, specs, strict=True)]


@call.linearize
def _(primals: Any, tangents: Any, *, graph: Graph, remat: bool) -> tuple[Sequence[Tensor], list[Any]]:
    t = graph_transforms()
    nonzero = tuple(not isinstance(x, Zero) for x in tangents)
    split = t.linearize_graph(graph, nonzero, (False,) * len(graph.outputs))
    moved = [x for x in tangents if not isinstance(x, Zero)]
    n = len(graph.outputs)
    if remat:
        # The linear part takes the primals and computes its residuals again; nothing else is kept.
        outs = call(*primals, graph=graph, remat=True)
        made = call(*primals, *moved, graph=recompute(split, len(primals), n), remat=True)
    else:
        results = call(*primals, graph=split.known, remat=False)
        outs = results[:n]
        made = call(*results[n:], *moved, graph=split.linear, remat=False) if any(split.nonzero) else ()
    return outs, fill(made, split.nonzero, graph.output_specs)


def recompute(split: Any, n_primals: int, n_outputs: int) -> Graph:
    """(primals, tangents) → tangents of the outputs, computing the residuals on the way."""
    from treadle.core.tracing import replay

    moved = split.linear.input_specs[len(split.passed) :]

    def run_both(*xs: Tensor) -> list[Tensor]:
        again = without(split.known, "print", "check", "probe")  # those happened in the first run
        residuals = replay(again, xs[:n_primals])[n_outputs:]
        return replay(split.linear, [*residuals, *xs[n_primals:]])

    specs = [*split.known.input_specs, *moved]
    made: Graph = graph_transforms().closed(run_both, specs, f"remat_{split.known.name}", split.known.input_names)
    return made


@call.transpose
def _(cts: Any, *inputs: Any, graph: Graph, remat: bool) -> list[Any]:
    unknown = tuple(isinstance(x, Unknown) for x in inputs)
    back = graph_transforms().transpose_graph(graph, unknown)
    known = [x for x in inputs if not isinstance(x, Unknown)]
    made = iter(call(*known, *(instantiate(c) for c in cts), graph=back, remat=remat))
    return [next(made) if u else None for u in unknown]


@call.batch
def _(batched: Any, *inputs: Any, size: Any, graph: Graph, remat: bool) -> Batched:
    made, flags = graph_transforms().batch_graph(graph, batched, size, (False,) * len(graph.outputs))
    return Batched(call(*inputs, graph=made, remat=remat), flags)


@call.samples
def _(s: Any) -> Iterator[Any]:
    graph = Graph.parse("graph f(x: f64[3]) -> f64[3]\n  %0 = tanh %x : f64[3]\n  return %0")
    yield s.case(s.normal(3), graph=graph, remat=False)
    yield s.case(s.normal(3), graph=graph, remat=True)
    yield s.error(np.zeros(2), ShapeError, "f64[3]", "f64[2]", graph=graph, remat=False)
