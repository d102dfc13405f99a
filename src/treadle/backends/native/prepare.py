"""What a backend is asked for: executables of graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from treadle.backends.native.expand import expand
from treadle.backends.native.plan import plan
from treadle.backends.native.run import Executable
from treadle.backends.reference.run import bind_sizes, run_primitive
from treadle.core.dims import Size
from treadle.core.graph import Graph

Array = np.ndarray[Any, Any]
KEPT = 64  # combinations of sizes of a graph with Dims


def prepare(graph: Graph) -> Callable[[Sequence[Array]], tuple[Array, ...]]:
    """An executable for a graph without captures."""
    if not graph.dims:
        return compile_graph(graph)
    by_sizes: dict[tuple[tuple[str, Size], ...], Executable] = {}

    def run(inputs: Sequence[Array]) -> tuple[Array, ...]:
        sizes = bind_sizes(graph.input_specs, [x.shape for x in inputs], graph.input_names)
        key = tuple(sorted(sizes.items()))
        made = by_sizes.get(key)
        if made is None:
            if len(by_sizes) >= KEPT:
                by_sizes.pop(next(iter(by_sizes)), None)
            made = by_sizes[key] = compile_graph(graph.substitute(sizes))
        return made(inputs)

    return run


def compile_graph(graph: Graph) -> Executable:
    """An executable for a graph whose sizes are known."""
    return Executable(plan(expand(graph)))


def run_graph(graph: Graph, inputs: Sequence[Array]) -> tuple[Array, ...]:
    return prepare(graph)(inputs)


__all__ = ["compile_graph", "prepare", "run_graph", "run_primitive"]
