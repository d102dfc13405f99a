"""What all tests share: how hypothesis searches, and that every traced graph is legal.

Warnings are errors: pyproject.toml says so.

Two profiles. `ci`, the default, draws the same examples in every run, so a red run can be repeated. `explore` draws
new ones: HYPOTHESIS_PROFILE=explore make pytest FILES=tests/core (not where the variable CI is set). Neither has a
deadline: how long an example takes says how busy the machine is.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from treadle.core.checking import check_graph
from treadle.core.dims import Dim
from treadle.core.graph import Graph
from treadle.core.tracing import Trace

LARGEST_CHECKED = 300  # nodes: larger graphs would only repeat what smaller ones show, at a price

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=50,
    print_blob=True,
    # Fixtures here are read-only, and a slow start is the first import of a module, not a slow strategy.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("explore", settings.get_profile("ci"), derandomize=False, max_examples=1000)
settings.load_profile("ci" if os.environ.get("CI") else os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _graphs_are_legal_and_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every graph that any test traces is checked against the spec of a legal graph, and its text reads back."""
    finish = Trace.finish

    def checked(self: Trace, *args: Any, **kwargs: Any) -> Any:
        graph, captured = finish(self, *args, **kwargs)
        if len(graph.nodes) <= LARGEST_CHECKED:
            check_graph(graph, dims=_sizes_in(graph) if self.level > 1 else frozenset())
            assert Graph.parse(str(graph)) == graph, f"this graph does not read back:\n{graph}"
        return graph, captured

    monkeypatch.setattr(Trace, "finish", checked)


def _sizes_in(graph: Graph) -> frozenset[str]:
    """All named sizes that a graph mentions: one that becomes part of another may use sizes of that other's inputs."""
    sizes = (n for node in graph.walk() for v in node.outputs for n in v.spec.shape)
    return frozenset(name for n in sizes if isinstance(n, Dim) for name in n.names)
