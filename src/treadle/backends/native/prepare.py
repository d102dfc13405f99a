"""What a backend is asked for: executables of graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from treadle.backends.native.expand import expand
from treadle.backends.native.guards import guard_indices
from treadle.backends.native.plan import plan
from treadle.backends.native.run import Executable
from treadle.backends.reference.run import bind_sizes, run_primitive
from treadle.backends.reference.run import prepare as reference_prepare
from treadle.core.dims import Size
from treadle.core.errors import OutOfRangeError
from treadle.core.graph import Graph

Array = np.ndarray[Any, Any]
KEPT = 64  # combinations of sizes of a graph with Dims


def prepare(graph: Graph) -> Callable[[Sequence[Array]], Sequence[Array]]:
    """An executable for a graph without captures."""
    if not graph.dims:
        return compile_graph(graph)
    by_sizes: dict[tuple[tuple[str, Size], ...], Executable | Guarded] = {}

    def run(inputs: Sequence[Array]) -> Sequence[Array]:
        sizes = bind_sizes(graph.input_specs, [x.shape for x in inputs], graph.input_names)
        key = tuple(sorted(sizes.items()))
        made = by_sizes.get(key)
        if made is None:
            if len(by_sizes) >= KEPT:
                by_sizes.pop(next(iter(by_sizes)), None)
            made = by_sizes[key] = compile_graph(graph.substitute(sizes))
        return made(inputs)

    return run


def compile_graph(graph: Graph) -> Executable | Guarded:
    """An executable for a graph whose sizes are known."""
    guarded, has_guard = guard_indices(expand(graph))
    made = Executable(plan(guarded))
    return Guarded(graph, made) if has_guard else made


class Guarded:
    """An executable whose last output says whether an index was out of range; then the reference finds out which."""

    def __init__(self, graph: Graph, inner: Executable) -> None:
        self.graph, self.inner = graph, inner
        self.plan = inner.plan

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        outputs = self.inner(inputs)
        if outputs.pop():
            reference_prepare(self.graph)(inputs)
            raise OutOfRangeError("an index is out of range")
        return outputs


def run_graph(graph: Graph, inputs: Sequence[Array]) -> tuple[Array, ...]:
    return tuple(prepare(graph)(inputs))


__all__ = ["compile_graph", "prepare", "run_graph", "run_primitive"]
