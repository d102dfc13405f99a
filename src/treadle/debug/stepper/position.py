"""Where a session stands, and how it says so: what the commands of the step debugger share."""

from __future__ import annotations

from dataclasses import dataclass, field

from treadle.core.errors import ArgumentError
from treadle.core.graph import Graph, Node
from treadle.debug.stepper.engine import Engine
from treadle.debug.stepper.frames import Frame
from treadle.debug.stepper.sources import line_of, node_text, place_of, return_text
from treadle.debug.stepper.ties import forward_node, is_backward


@dataclass
class Wishes:
    """What the user decided that outlasts one call of a function.

    Attributes:
        detached: no call stops any more.
        passed: names of functions whose calls do not stop at their beginning.
    """

    detached: bool = False
    passed: set[str] = field(default_factory=set)


class Position:
    """One call of a graph in the debugger, and the frame that is looked at.

    Args:
        title: which call it is.

    Attributes:
        state: "open"; "returned": the call goes on with the results; "failed": with `failure`; "left": the user quit.
    """

    def __init__(self, engine: Engine, title: str = "", wishes: Wishes | None = None) -> None:
        self.engine = engine
        self.title = title
        self.wishes = wishes or Wishes()
        self.state = "open"
        self.failure: Exception | None = None
        self.above = 0  # how many frames the chosen one is above the innermost

    # what is shown

    @property
    def chosen(self) -> int:
        """Depth of the frame that names are looked up in."""
        return self.engine.depth - self.above

    @property
    def frame(self) -> Frame:
        return self.engine.frames[self.chosen]

    def greeting(self) -> str:
        """What is shown when a call begins."""
        nodes = len(self.engine.graph.nodes)
        head = f"{self.title or self.engine.graph.name}: {nodes} node{'' if nodes == 1 else 's'}; h lists the commands"
        return f"{head}\n{self.here()}"

    def here(self) -> str:
        """Where it stands: the graphs, the step's number, the source line, the next node."""
        frame = self.frame
        names = [
            f.graph.name if f.site is None else f"{f.graph.name} ({f.site})"
            for f in self.engine.frames[: self.chosen + 1]
        ]
        node = frame.node
        head = f"> {' / '.join(names)}  step {self.engine.number}"
        if node is None:
            return f"{head}\n  {return_text(frame.graph)}"
        if node.scope:
            head += f"  {node.scope}"
        lines = [head]
        text = line_of(node.source, self.engine.lines).strip()
        if place_of(node):
            lines.append(f"  {place_of(node)}  {text}".rstrip())
        lines.append(f"  -> {node_text(frame.graph, node)}")
        if is_backward(node):
            lines.append(f"     backward of {self.tie(forward_node(self.engine.graph, node))}")
        return "\n".join(lines)

    def tie(self, found: tuple[Graph, Node] | None) -> str:
        if found is None:
            return "a node that this graph leaves out, as only its derivative is needed"
        graph, node = found
        inside = "" if graph is self.engine.graph else f" in {graph.name}"
        place = ", ".join(t for t in (place_of(node), node.scope) if t)
        return f"{node_text(graph, node)}{inside}" + (f"  ({place})" if place else "")


def count(text: str, default: int = 1) -> int:
    if not text:
        return default
    if not text.isdigit() or int(text) < 1:
        raise ArgumentError(f"{text!r} is no count: write a number from 1 up")
    return int(text)


def table(rows: list[tuple[str, str]]) -> str:
    width = max((len(a) for a, b in rows if b), default=0)
    return "\n".join(f"{a:<{width}}  {b}".rstrip() for a, b in rows)
