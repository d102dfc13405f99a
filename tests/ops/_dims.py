"""Graphs with sizes that are not known until they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from treadle.core.graph import Graph
from treadle.core.registry import backend
from treadle.core.spec import Spec
from treadle.core.tracing import trace

Array = np.ndarray[Any, Any]


def graph_of(function: Callable[..., Any], *specs: Spec) -> Graph:
    """The graph of a function of tensors to one tensor."""
    return trace(lambda *xs: [function(*xs)], specs, kind="stage", creator="a test").graph


def run_graph(graph: Graph, *arrays: Array) -> Array:
    """Its output for these sizes."""
    (out,) = backend("reference").run_graph(graph, [np.array(x) for x in arrays])
    return np.asarray(out)
