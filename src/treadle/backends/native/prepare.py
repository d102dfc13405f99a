"""What a backend is asked for: executables of graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from treadle.backends.native.expand import EXPANDED, INLINED
from treadle.backends.native.explain import Explanation, Kernel
from treadle.backends.native.explain import code as code_of_plan
from treadle.backends.native.explain import explain as explain_plan
from treadle.backends.native.guarded import Guarded, compile_graph
from treadle.backends.native.ordering import ORDERINGS
from treadle.backends.native.plan import CONTROL
from treadle.backends.native.profile import measure
from treadle.backends.native.run import Executable
from treadle.backends.native.sequential import SEQUENTIAL
from treadle.backends.native.sizes import BySizes
from treadle.backends.native.steps import supported
from treadle.backends.reference.run import run_primitive
from treadle.core.graph import Graph
from treadle.core.primitive import all_primitives

Array = np.ndarray[Any, Any]


def prepare(graph: Graph) -> Executable | Guarded | BySizes:
    """An executable for a graph without captures."""
    return BySizes(graph) if graph.dims else compile_graph(graph)


def explain(executable: Any, inputs: Sequence[Array]) -> Explanation:
    """What an executable does with these inputs, as a report."""
    return explain_plan(executable.at_sizes(inputs).plan)


def code(executable: Any, inputs: Sequence[Array], kind: str) -> str:
    """The code of its kernels: "llvm", "optimised" or "assembly"."""
    return code_of_plan(executable.at_sizes(inputs).plan, kind)


def profile(executable: Any, inputs: Sequence[Array], repeat: int) -> tuple[list[Kernel], list[float], float]:
    """Kernels, the seconds that each took, and the seconds of a whole run."""
    return measure(executable.at_sizes(inputs), inputs, repeat)


def left_to_reference() -> list[str]:
    """Names of the primitives that a compiled function computes with their references, in Python."""
    other = {"constant", "linear_call", "check", "probe", *CONTROL, *INLINED, *EXPANDED, *SEQUENTIAL, *ORDERINGS}
    return [p.name for p in all_primitives() if p.name not in supported() | other]


def run_graph(graph: Graph, inputs: Sequence[Array]) -> tuple[Array, ...]:
    return tuple(prepare(graph)(inputs))


__all__ = [
    "code",
    "compile_graph",
    "explain",
    "left_to_reference",
    "prepare",
    "profile",
    "run_graph",
    "run_primitive",
]
