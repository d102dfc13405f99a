"""Running a graph node by node with its reference, keeping of each value what messages need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from treadle.core.describing import describe
from treadle.core.graph import Atom, Graph, Literal, Node, Var
from treadle.core.registry import backend

Array = np.ndarray[Any, Any]
PRODUCTS = ("mul", "masked_mul")


@dataclass(frozen=True)
class Stat:
    """A value in a few figures. `extent` is the largest magnitude of its finite elements."""

    text: str
    has_nan: bool
    has_inf: bool
    extent: float
    is_whole: bool  # integers and bools

    @property
    def is_bad(self) -> bool:
        return self.has_nan or self.has_inf

    @staticmethod
    def of(array: Array) -> Stat:
        a = np.asarray(array)
        if a.dtype.kind in "biu":
            extent = float(np.max(np.abs(a.astype(np.float64)), initial=0.0))
            return Stat(describe(a), False, False, extent, True)
        numbers = a.astype(np.float64)
        nan, inf = np.isnan(numbers), np.isinf(numbers)
        finite = np.abs(numbers[~(nan | inf)])
        return Stat(describe(a), bool(nan.any()), bool(inf.any()), float(np.max(finite, initial=0.0)), False)


@dataclass
class Record:
    """A run of a graph: figures of all values, and the arrays that the nodes with graphs inside took.

    Attributes:
        evidence: for a node that made the first bad elements of finite ones: their places, and what it took there.
        is_given: whether the values are those of another backend's run.
        masked: the products that are not finite where a factor is 0, by their id.
    """

    graph: Graph
    is_given: bool = False
    stats: dict[Atom, Stat] = field(default_factory=dict)
    makers: dict[Var, Node] = field(default_factory=dict)
    taken: dict[int, list[Array]] = field(default_factory=dict)
    evidence: dict[int, str] = field(default_factory=dict)
    masked: set[int] = field(default_factory=set)
    outputs: list[Array] = field(default_factory=list)

    @property
    def is_finite(self) -> bool:
        return not any(self.stat(a).is_bad for a in self.graph.outputs)

    def stat(self, atom: Atom) -> Stat:
        if isinstance(atom, Literal) and atom not in self.stats:
            self.stats[atom] = Stat.of(atom.value)
        return self.stats[atom]


def record(graph: Graph, inputs: Sequence[Array], given: Mapping[Var, Array] | None = None) -> Record:
    """Run a graph whose sizes are known. Values are dropped after their last use, as in any run.

    Args:
        given: the graph's own values from another run of it, which are kept on record instead.
    """
    made = Record(graph, given is not None)
    reference = backend("reference")
    env: dict[Var, Array] = {}
    last: dict[Var, int] = {}
    for i, node in enumerate(graph.nodes):
        last.update((a, i) for a in node.inputs if isinstance(a, Var))
    kept = {a for a in graph.outputs if isinstance(a, Var)}

    def at(atom: Atom) -> Array:
        return env[atom] if isinstance(atom, Var) else atom.value

    for var, x in zip(graph.inputs, inputs, strict=True):
        env[var] = np.asarray(x)
        made.stats[var] = Stat.of(env[var])
    for i, node in enumerate(graph.nodes):
        taken = [at(a) for a in node.inputs]
        outs: Sequence[Array]
        if given is None:
            outs = reference.run_primitive(node.primitive, taken, node.params)
        else:
            outs = [given[v] for v in node.outputs]
        for var, x in zip(node.outputs, outs, strict=True):
            env[var], made.makers[var] = x, node
            made.stats[var] = Stat.of(x)
        if any(made.stats[v].is_bad for v in node.outputs):
            if any(True for _ in node.graphs):
                made.taken[id(node)] = taken
            else:
                made.evidence[id(node)] = _evidence(node, taken, outs[0])
                if node.primitive.name in PRODUCTS and _is_masked(taken, outs[0]):
                    made.masked.add(id(node))
        for a in {a for a in node.inputs if isinstance(a, Var) and last[a] == i and a not in kept}:
            del env[a]
    made.outputs = [at(a) for a in graph.outputs]
    return made


def _is_masked(taken: Sequence[Array], out: Array) -> bool:
    """Whether a product of a value that is not finite and 0 was NaN."""
    x, y = (_stretched(np.asarray(a).astype(np.float64), out.shape) for a in taken)
    return bool(((x == 0) & ~np.isfinite(y) | (y == 0) & ~np.isfinite(x)).any())


def _evidence(node: Node, taken: Sequence[Array], out: Array) -> str:
    """ "2 of 12 elements, at (0, 3), (1, 1), of 0 and 0": where it is not finite and what it took there."""
    numbers = out.astype(np.float64)
    nan = np.isnan(numbers)
    bad = np.argwhere(nan if nan.any() else np.isinf(numbers))
    if not out.ndim:
        text = ""
    else:
        places = [str(tuple(map(int, p))) if len(p) > 1 else str(int(p[0])) for p in bad[:3]]
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        text = f"{len(bad)} of {out.size} elements, at {', '.join(places)}{more}"
    if not node.primitive.stretches or not len(bad):
        return text
    first = tuple(bad[0])
    values = [f"{_stretched(x, out.shape)[first]:.6g}" for x in (np.asarray(t).astype(np.float64) for t in taken)]
    return f"{text}{', first ' if text else ''}of {' and '.join(values)}"


def _stretched(x: Array, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(x, shape)


__all__ = ["Record", "Stat", "record"]
