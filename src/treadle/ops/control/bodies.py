"""Tracing the functions that are passed to cond, scan and while_loop into graphs without captures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.errors import ArgumentError, TraceError
from treadle.core.graph import Graph, Var
from treadle.core.registry import array_namespace
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.core.tracing import trace


@dataclass(frozen=True)
class Body:
    """A function of a control-flow operation, and how messages call it."""

    name: str
    function: Callable[..., Any]


@dataclass(frozen=True)
class Leaves:
    """A tree of tensors, taken apart; numbers and arrays become tensors."""

    structure: trees.Structure
    tensors: list[Tensor]

    @staticmethod
    def of(tree: Any, what: str) -> Leaves:
        found, structure = trees.flatten(tree)
        ns = array_namespace()
        tensors = []
        for path, x in zip(structure.paths(), found, strict=True):
            if not isinstance(x, Tensor | np.ndarray | np.generic | bool | int | float):
                raise TraceError(f"{what}: {path or 'the value'} is {x!r}, which is neither a tensor nor a number")
            tensors.append(ns.asarray(x))
        return Leaves(structure, tensors)

    def rebuild(self, tensors: Sequence[Tensor]) -> Any:
        return trees.unflatten(self.structure, list(tensors))

    @property
    def specs(self) -> list[Spec]:
        return [x.spec for x in self.tensors]


@dataclass(frozen=True)
class Bodies:
    """Traced functions. Each graph takes its own operands, then everything that any of them captured."""

    graphs: list[Graph]
    results: list[Leaves]
    operands: list[list[Tensor]]
    captured: list[Tensor]


def check_functions(what: str, bodies: Sequence[Body]) -> None:
    """Raise for what is no function, before anything runs.

    Raises:
        ArgumentError: it is a value.
    """
    for body in bodies:
        if not callable(body.function):
            raise ArgumentError(
                f"{what}: {body.name} must be a function, and is {body.function!r}. To choose between values: "
                "td.where(p, a, b)"
            )


def trace_bodies(
    what: str, bodies: Sequence[Body], operands: Sequence[Sequence[Any]], specs: Sequence[Sequence[Spec]] | None = None
) -> Bodies:
    """Trace functions on operands (trees; their tensors become the graphs' inputs).

    Args:
        specs: of the graphs' inputs, where they differ from the operands' (scan's slices).
    """
    taken = [Leaves.of(tuple(ops), what) for ops in operands]
    results: list[Leaves] = []
    made = []
    for k, (body, leaves) in enumerate(zip(bodies, taken, strict=True)):

        def flat(*xs: Tensor, body: Body = body, leaves: Leaves = leaves) -> list[Tensor]:
            value = body.function(*leaves.rebuild(xs))
            results.append(Leaves.of(value, f"{what}: {body.name} returned something at"))
            return results[-1].tensors

        names = [p.replace(".", "_") for p in leaves.structure.paths()]
        inputs = leaves.specs if specs is None else list(specs[k])
        name = "".join(c if c.isalnum() else "_" for c in body.name.removeprefix("the "))
        made.append(trace(flat, inputs, kind="stage", creator=f"{body.name} of {what}", name=name, names=names))
    captured: dict[int, Tensor] = {}
    for traced in made:
        captured.update((id(x), x) for x in traced.captured)
    graphs = [_close(t.graph, t.captured, captured) for t in made]
    return Bodies(graphs, results, [leaves.tensors for leaves in taken], list(captured.values()))


def _close(graph: Graph, own: Sequence[Tensor], every: dict[int, Tensor]) -> Graph:
    """The graph with all captured tensors as inputs, used or not."""
    by_id = {id(x): v for x, v in zip(own, graph.captures, strict=True)}
    extra = [by_id.get(i) or Var(x.spec) for i, x in every.items()]
    names = [f"c{k}" for k in range(len(extra))]
    return Graph(
        graph.name, [*graph.inputs, *extra], graph.nodes, graph.outputs, input_names=[*graph.input_names, *names]
    )
