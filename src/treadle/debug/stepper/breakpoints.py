"""Breakpoints: where they stop, and the one-line texts that they are written in and saved as.

    model.py:12             the first node of a source line        12           a line of the file that is shown
    scope encoder/*         on entering a scope                    op exp       each node of a primitive
    uses model.kernel       the first node that reads an input     %7           before a value is made
    iteration 3 [in GLOB]   that turn of a loop                    (nothing)    anywhere; needs a condition

each with `backward` or `forward` behind it, to hold in that pass of a derivative only, and `if CONDITION`: then it
stops after the node, when a value that it made fulfils the condition.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from treadle.core.errors import ArgumentError
from treadle.core.graph import Graph, Node, Var
from treadle.core.primitive import PRIMITIVES
from treadle.core.source import UNKNOWN
from treadle.debug.stepper.conditions import Condition, parse_condition
from treadle.debug.stepper.frames import Layout
from treadle.debug.stepper.machine import Event, Machine

KINDS = ("any", "iteration", "line", "op", "scope", "uses", "value")


@dataclass(frozen=True)
class Breakpoint:
    """One breakpoint; `str` of it reads back.

    Attributes:
        kind, what: the place: a kind of `KINDS`, and the line, glob, name or number.
        inside: for an iteration, the scope of the loop.
        graph: for a value, the name of the graph that has it.
        once: it is gone after it stopped.
        number: what the user calls it.
    """

    kind: str
    what: str = ""
    inside: str = ""
    graph: str = ""
    passing: str = ""
    condition: Condition | None = None
    once: bool = False
    number: int = 0

    def __str__(self) -> str:
        head = {"any": "", "line": self.what, "value": self.what}.get(self.kind, f"{self.kind} {self.what}")
        if self.graph:
            head += f" of {self.graph}"
        if self.inside:
            head += f" in {self.inside}"
        words = [head, self.passing, f"if {self.condition}" if self.condition else ""]
        return " ".join(w for w in words if w)

    def is_at(self, machine: Machine, before: tuple[Graph, Node | None] | None) -> bool:
        """Whether the machine's next node is a place where this stops.

        Args:
            before: graph and node of the last event, for lines and scopes, which stop on being entered.
        """
        frame = machine.top
        node = frame.node
        if node is None or not self._in_pass(node):
            return False
        if self.kind == "any":
            return True
        if self.kind == "iteration":
            site = frame.site
            if site is None or not site.is_loop or site.kind == "condition" or site.turn != int(self.what):
                return False
            return frame.at == 0 and fnmatchcase(site.node.scope, self.inside or "*")
        if self.kind in ("line", "scope"):
            if not self.matches(node, frame.graph):
                return False
            came_from = before[1] if before is not None and before[0] is frame.graph else None
            if came_from is None or frame.at == 0:
                return True
            return not (self.matches(came_from, frame.graph) and self._in_pass(came_from))
        return self.matches(node, frame.graph)

    def made_by(self, event: Event, graph: Graph) -> bool:
        """Whether its condition is asked of what an event made."""
        if not event.complete or not self._in_pass(event.node):
            return False
        return self.kind in ("any", "iteration") or self.matches(event.node, graph)

    def matches(self, node: Node, graph: Graph) -> bool:
        """Whether a node of that graph is at its place, whatever came before."""
        match self.kind:
            case "line":
                return str(node.source) == self.what
            case "scope":
                return bool(node.scope) and fnmatchcase(node.scope, self.what)
            case "op":
                return node.primitive.name == self.what
            case "value":
                var = Layout.of(graph).by_name.get(self.what)
                return graph.name == self.graph and var in node.outputs
            case "uses":
                layout = Layout.of(graph)
                var = layout.by_name.get("%" + self.what)
                return var in graph.inputs and graph.nodes[layout.users.get(_var(var), [-1])[0]] is node
        return False

    def _in_pass(self, node: Node) -> bool:
        if not self.passing:
            return True
        is_backward = node.origin is not None and node.origin.backward
        return is_backward == (self.passing == "backward")


def _var(var: Var | None) -> Var:
    assert var is not None
    return var


def parse_breakpoint(text: str, graph: Graph, *, current: Graph | None = None, file: str = "") -> Breakpoint:
    """Read a breakpoint that is to hold in a graph.

    Args:
        current: the graph whose values `%7` names, if it is an inner one.
        file: of a line that is given by its number alone.

    Raises:
        ArgumentError: it is none, or no node of the graph is at its place.
    """
    head, has_condition, condition_text = _split_condition(text)
    condition = parse_condition(condition_text) if has_condition else None
    words = head.split()
    passing = words.pop() if words and words[-1] in ("backward", "forward") else ""
    point = replace(_place(words, graph, current or graph, file), passing=passing, condition=condition)
    if point.kind == "any" and condition is None:
        raise ArgumentError("a breakpoint needs a place or a condition: break model.py:12, break if has_nan")
    _check_exists(point, graph)
    return point


def _split_condition(text: str) -> tuple[str, bool, str]:
    if text.strip().startswith("if "):
        return "", True, text.strip()[3:].strip()
    head, found, condition = text.partition(" if ")
    return head.strip(), bool(found), condition.strip()


def _place(words: list[str], graph: Graph, current: Graph, file: str) -> Breakpoint:
    match words:
        case []:
            return Breakpoint("any")
        case ["line" | "at", what]:
            return Breakpoint("line", _line(what, file))
        case ["scope" | "layer", what]:
            return Breakpoint("scope", what)
        case ["op" | "primitive", what]:
            return Breakpoint("op", what)
        case ["uses", what]:
            return Breakpoint("uses", what.removeprefix("%"))
        case ["iteration", turn, "in", inside] if turn.isdigit():
            return Breakpoint("iteration", turn, inside=inside)
        case ["iteration", turn] if turn.isdigit():
            return Breakpoint("iteration", turn)
        case [what, "of", name] if what.startswith("%"):
            return Breakpoint("value", what, graph=name)
        case [what] if what.startswith("%"):
            return Breakpoint("value", what, graph=current.name)
        case [what] if what.isdigit() or what.rpartition(":")[2].isdigit():
            return Breakpoint("line", _line(what, file))
        case [what] if what in PRIMITIVES:
            return Breakpoint("op", what)
        case [what] if what in graph.input_names:
            return Breakpoint("uses", what)
        case [what]:
            return Breakpoint("scope", what)
    raise ArgumentError(
        f"{' '.join(words)!r} is no place. There are: model.py:12, 12, %7, scope encoder/*, op exp, "
        "uses model.kernel, iteration 3 in decoder*"
    )


def _line(what: str, file: str) -> str:
    name, _, number = what.rpartition(":")
    name = os.path.basename(name or file)
    if not name:
        raise ArgumentError(f"line {number}: of which file? Write model.py:{number}")
    return f"{name}:{number}"


def _check_exists(point: Breakpoint, graph: Graph) -> None:
    graphs = list(graphs_of(graph))
    if point.kind == "any":
        return
    if point.kind == "iteration":
        if not any(n.primitive.name in ("scan", "while_loop") for g in graphs for n in g.nodes):
            raise ArgumentError("there is no loop in this graph, so no iteration to stop at")
        return
    if any(point.matches(node, g) for g in graphs for node in g.nodes):
        return
    nodes = [n for g in graphs for n in g.nodes]
    match point.kind:
        case "line":
            name = point.what.rpartition(":")[0]
            lines = sorted({n.source.line for n in nodes if str(n.source).rpartition(":")[0] == name})
            files = sorted({str(n.source).rpartition(":")[0] for n in nodes if n.source != UNKNOWN})
            known = f"lines with nodes: {_listed(lines)}" if lines else f"files with nodes: {_listed(files)}"
            raise ArgumentError(f"no node of this graph comes from {point.what}; {known}")
        case "scope":
            raise ArgumentError(_none("scope", point.what, sorted({n.scope for n in nodes if n.scope})))
        case "op":
            raise ArgumentError(_none("operation", point.what, sorted({n.primitive.name for n in nodes})))
        case "uses":
            raise ArgumentError(_none("input that a node reads", point.what, graph.input_names))
    raise ArgumentError(f"the graph {point.graph} has no value {point.what}")


def graphs_of(graph: Graph) -> Iterator[Graph]:
    """The graph, and those inside of it."""
    yield graph
    for node in graph.nodes:
        for inner in node.graphs:
            yield from graphs_of(inner)


def _listed(items: Iterable[object]) -> str:
    texts = [str(i) for i in items]
    shown = ", ".join(texts[:12]) + (", …" if len(texts) > 12 else "")
    return shown or "none"


def _none(kind: str, what: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(what, known, 1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return f"there is no {kind} {what!r} in this graph. {hint}There are: {_listed(known)}"
