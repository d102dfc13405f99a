"""What a backend is asked for: executables of graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.backends.native.binding import bound
from treadle.backends.native.expand import EXPANDED, INLINED, expand
from treadle.backends.native.explain import Explanation, Kernel
from treadle.backends.native.explain import code as code_of_plan
from treadle.backends.native.explain import explain as explain_plan
from treadle.backends.native.extents import Facts, SizeNeeded, typical
from treadle.backends.native.guards import INDEX, guard
from treadle.backends.native.ordering import ORDERINGS
from treadle.backends.native.plan import CONTROL, Plan, plan
from treadle.backends.native.profile import measure
from treadle.backends.native.run import Executable
from treadle.backends.native.sequential import SEQUENTIAL
from treadle.backends.native.steps import supported
from treadle.backends.reference.run import bind_sizes, run_primitive
from treadle.backends.reference.run import prepare as reference_prepare
from treadle.core.errors import CheckError, TreadleError
from treadle.core.graph import Graph, Node
from treadle.core.primitive import all_primitives
from treadle.core.running import fresh_turns, repeating, results_kept
from treadle.core.source import place_text

Array = np.ndarray[Any, Any]
KEPT = 64  # combinations of sizes of a graph with Dims
KEPT_BYTES = 1 << 30  # of memory that they may hold together


def prepare(graph: Graph) -> Executable | Guarded | BySizes:
    """An executable for a graph without captures."""
    return BySizes(graph) if graph.dims else compile_graph(graph)


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
        self._made: dict[tuple[tuple[str, int], ...], Executable | Guarded] = {}

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        return self._for(inputs)(inputs)

    def at_sizes(self, inputs: Sequence[Array]) -> Executable:
        """What runs for inputs of these sizes."""
        return self._for(inputs).at_sizes(inputs)

    def _for(self, inputs: Sequence[Array]) -> Executable | Guarded:
        sizes: Any = bind_sizes(self.graph.input_specs, [x.shape for x in inputs], self.graph.input_names)
        key = tuple(sorted(sizes.items()))
        made = self._made.get(key)
        if made is None:
            made = self._prepare(dict(key))
            self._forget(made)
            self._made[key] = made
        return made

    def _prepare(self, sizes: dict[str, int]) -> Executable | Guarded:
        graph = checked(self.graph.substitute(sizes))
        if min(sizes.values()) > 0 and not self.needed:
            try:
                planned = self._planned(sizes)
                made = Executable(bound(planned.plan, planned.facts.named(sizes)))
                return made if planned.checks is None else Guarded(graph, made, planned.checks)
            except SizeNeeded as e:
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
        """Drop the oldest until there are few enough, and all together take little enough memory."""
        total = _memory(new)
        for key in reversed(self._made):
            total += _memory(self._made[key])
            if total > KEPT_BYTES:
                break
        else:
            key = None
        old = list(self._made)
        for k in old[: max(len(old) + 1 - KEPT, old.index(key) + 1 if key is not None else 0)]:
            del self._made[k]


@dataclass(frozen=True)
class Sized:
    """A plan for sizes of some classes, and what it takes for granted of them."""

    facts: Facts
    plan: Plan
    checks: list[Node] | None


def sized(graph: Graph, facts: Facts) -> Sized:
    """A plan of a graph with Dims.

    Raises:
        SizeNeeded: something cannot be planned without knowing a size.
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
