"""Executables of graphs whose sizes are known, and what tells what went wrong in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from treadle.backends.native.expand import expand
from treadle.backends.native.guards import INDEX, guard
from treadle.backends.native.plan import plan
from treadle.backends.native.run import Executable
from treadle.backends.reference.run import prepare as reference_prepare
from treadle.core.errors import CheckError
from treadle.core.graph import Graph, Node
from treadle.core.running import fresh_turns, repeating, results_kept
from treadle.core.source import place_text

Array = np.ndarray[Any, Any]


def compile_graph(graph: Graph) -> Executable | Guarded:
    """An executable for a graph whose sizes are known."""
    guarded, checks = guard(expand(graph))
    made = Executable(plan(guarded))
    return made if checks is None else Guarded(graph, made, checks)


class Guarded:
    """An executable whose last output says what was wrong; then the reference finds out where, and says it.

    Nothing has been assigned by then. The reference repeats the run without its effects: nothing is printed again, and
    host functions are not called again.
    """

    def __init__(self, graph: Graph, inner: Executable, checks: Sequence[Node]) -> None:
        self.graph, self.inner, self.checks = graph, inner, checks
        self._calls = graph.has_effects and any(n.primitive.name == "host" for n in graph.walk())

    def at_sizes(self, inputs: Sequence[Array]) -> Executable:
        return self.inner

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        results: list[Any] = []
        if self._calls:
            with results_kept() as results:
                outputs = self.inner(inputs)
        else:
            outputs = self.inner(inputs)
        wrong = int(outputs.pop())
        if not wrong:
            return outputs
        with repeating(results), fresh_turns():
            correct = reference_prepare(self.graph)(inputs)  # it raises, or no step that counts had such an index
        if wrong == INDEX:
            return list(correct)
        node = self.checks[wrong - INDEX - 1]
        words = str(node.params["message"].value)
        raise CheckError(
            f"{words}\n  It fails in the compiled run, and just holds in NumPy's run of the same inputs, whose "
            "rounding differs: so the values that failed are not known here"
        ).at(place_text(node.source, node.scope))
