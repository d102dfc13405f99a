"""Where a stepped graph stands: a stack of frames, one for each graph that is being run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from treadle.core.graph import Atom, Graph, Literal, Node, Var
from treadle.core.printing import value_names

Array: TypeAlias = np.ndarray[Any, Any]


class Layout:
    """What is known of a graph before it runs: names, who makes a value and who uses it, what may be dropped when."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.names = value_names(graph)
        self.by_name = {name: var for var, name in self.names.items()}
        self.maker: dict[Var, int] = {}
        self.users: dict[Var, list[int]] = {}
        for k, node in enumerate(graph.nodes):
            self.maker.update((v, k) for v in node.outputs)
            for atom in dict.fromkeys(node.inputs):
                if isinstance(atom, Var):
                    self.users.setdefault(atom, []).append(k)
        returned = {a for a in graph.outputs if isinstance(a, Var)}
        self.dropped: list[list[Var]] = [[] for _ in graph.nodes]
        for var, k in self.maker.items():
            if var not in returned:
                self.dropped[self.users.get(var, [k])[-1]].append(var)
        for var in (*graph.inputs, *graph.captures):
            if var not in returned and var in self.users:
                self.dropped[self.users[var][-1]].append(var)

    @staticmethod
    def of(graph: Graph) -> Layout:
        """The layout of a graph, made once."""
        found = graph.derived.get("layout")
        if found is None:
            found = graph.derived["layout"] = Layout(graph)
        assert isinstance(found, Layout)
        return found


@dataclass(frozen=True, slots=True)
class Stacked:
    """What a loop has stacked so far, newest first: shared between snapshots, so that taking one costs nothing."""

    before: Stacked | None
    values: tuple[Array, ...]

    @staticmethod
    def all(newest: Stacked | None) -> list[tuple[Array, ...]]:
        """Oldest first."""
        out = []
        while newest is not None:
            out.append(newest.values)
            newest = newest.before
        return out[::-1]


@dataclass(frozen=True, slots=True)
class Site:
    """How a frame came to be: by which node of the frame around it, and which turn of a loop it is.

    Attributes:
        kind: "scan", "condition", "body", "branch", "call".
        turn: number of the iteration, or of the branch; 0 for a call.
        turns: how many there will be, if that is known.
        inputs: the node's inputs.
        carry: what a loop carries into this turn.
    """

    node: Node
    kind: str
    turn: int
    turns: int | None
    inputs: tuple[Array, ...]
    carry: tuple[Array, ...] = ()
    stacked: Stacked | None = None

    @property
    def is_loop(self) -> bool:
        return self.kind in ("scan", "condition", "body")

    def __str__(self) -> str:
        match self.kind:
            case "scan" | "body":
                return f"iteration {self.turn}" + (f" of {self.turns}" if self.turns is not None else "")
            case "condition":
                return f"condition before iteration {self.turn}"
            case "branch":
                return f"branch {self.turn}"
        return "call"


@dataclass(slots=True)
class Frame:
    """A graph in the middle of being run.

    Attributes:
        values: those that are still needed (by a later node, or as outputs), and those that were changed by hand.
        made: for each value so far, the number of the event that made it.
        at: position of the next node; `len(nodes)` where the graph is about to return.
    """

    layout: Layout
    values: dict[Var, Array]
    made: dict[Var, int]
    site: Site | None = None
    at: int = 0
    pinned: frozenset[Var] = field(default_factory=frozenset)

    @property
    def graph(self) -> Graph:
        return self.layout.graph

    @property
    def node(self) -> Node | None:
        """The next node; None where the graph is about to return."""
        return self.graph.nodes[self.at] if self.at < len(self.graph.nodes) else None

    def copy(self) -> Frame:
        return Frame(self.layout, dict(self.values), dict(self.made), self.site, self.at, self.pinned)

    def read(self, atoms: Sequence[Atom]) -> tuple[Array, ...]:
        """Values of atoms that are still there."""
        return tuple([a.value if isinstance(a, Literal) else self.values[a] for a in atoms])

    def pass_node(self, made: dict[Var, Array], event: int) -> None:
        """Go on to the next node, with what this one made; what nobody needs any more is dropped."""
        self.values.update(made)
        self.made.update(dict.fromkeys(made, event))
        for var in self.layout.dropped[self.at]:
            if var not in self.pinned:
                self.values.pop(var, None)
        self.at += 1
