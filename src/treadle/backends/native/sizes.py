"""Executables of graphs with Dims: planned for a class of sizes, bound to those of a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.backends.native.binding import bound
from treadle.backends.native.expand import expand
from treadle.backends.native.extents import Facts, SizeNeededError, typical
from treadle.backends.native.guarded import Guarded, compile_graph
from treadle.backends.native.guards import guard
from treadle.backends.native.plan import Plan, plan
from treadle.backends.native.run import Executable
from treadle.backends.reference.run import bind_sizes
from treadle.core.errors import TreadleError
from treadle.core.graph import Graph, Node
from treadle.core.source import place_text

Array = np.ndarray[Any, Any]
KEPT = 64  # combinations of sizes of a graph with Dims
KEPT_BYTES = 1 << 30  # of memory that they may hold together


class BySizes:
    """An executable for a graph with Dims.

    The graph is planned for a whole class of sizes, and a plan is bound to the sizes of a call when these are met for
    the first time: tables and memory, no compilation. Where something has to know a size (an axis to sort, say), the
    graph is compiled for each combination of sizes.

    Attributes:
        plans: those made so far.
        needed: why each combination of sizes is compiled by itself; empty if it is not.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.plans: list[Sized] = []
        self.needed = ""
        self._varying = [k for k, s in enumerate(graph.input_specs) if s.is_dynamic]
        self._made: dict[tuple[tuple[int, ...], ...], Executable | Guarded] = {}

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        return self._for(inputs)(inputs)

    def at_sizes(self, inputs: Sequence[Array]) -> Executable:
        """What runs for inputs of these sizes."""
        return self._for(inputs).at_sizes(inputs)

    def _for(self, inputs: Sequence[Array]) -> Executable | Guarded:
        shapes = tuple([inputs[k].shape for k in self._varying])
        made = self._made.get(shapes)
        if made is None:
            sizes: Any = bind_sizes(self.graph.input_specs, [x.shape for x in inputs], self.graph.input_names)
            made = self._prepare(sizes)
            self._forget(made)
            self._made[shapes] = made
        return made

    def _prepare(self, sizes: dict[str, int]) -> Executable | Guarded:
        graph = checked(self.graph.substitute(sizes))
        if not self.needed and all(n > 0 for n in sizes.values()):
            try:
                planned = self._planned(sizes)
                made = Executable(bound(planned.plan, planned.facts.named(sizes)))
                return made if planned.checks is None else Guarded(graph, made, planned.checks)
            except SizeNeededError as e:
                self.needed = str(e)
        return compile_graph(graph)

    def _planned(self, sizes: dict[str, int]) -> Sized:
        """A plan for these sizes: one that is there, one for their classes, or one that goes by just these sizes."""
        for known in self.plans:
            if known.facts.hold(sizes):
                return known
        for values in ({name: typical(n) for name, n in sizes.items()}, sizes):
            made = sized(self.graph, Facts(values))
            if made.facts.hold(sizes):
                break
        self.plans.append(made)
        return made

    def _forget(self, new: Executable | Guarded) -> None:
        """Drop the oldest until they are few and hold little memory together; the last one stays."""
        room = KEPT_BYTES - _memory(new)
        for count, shapes in enumerate(reversed(list(self._made)), 1):
            room -= _memory(self._made[shapes])
            if count > 1 and (count >= KEPT or room < 0):
                del self._made[shapes]


@dataclass(frozen=True)
class Sized:
    """A plan for sizes of some classes, and what it takes for granted of them."""

    facts: Facts
    plan: Plan
    checks: list[Node] | None


def sized(graph: Graph, facts: Facts) -> Sized:
    """A plan of a graph with Dims.

    Raises:
        SizeNeededError: something cannot be planned without knowing a size.
    """
    guarded, checks = guard(expand(graph.substitute(facts.extents())))
    made = plan(guarded, facts)
    facts.close()
    return Sized(facts, made, checks)


def _memory(made: Executable | Guarded) -> int:
    return made.at_sizes(()).plan.arena


def checked(graph: Graph) -> Graph:
    """The same graph, if its sizes are possible: a rule that knew a size by name only could not see that.

    Raises:
        ShapeError: they are not, for instance a window larger than the padded input.
    """
    for node in graph.nodes:
        try:
            node.primitive.infer(*(a.spec for a in node.inputs), **node.params)
        except TreadleError as e:
            raise e.at(place_text(node.source, node.scope)) from None
    return graph
