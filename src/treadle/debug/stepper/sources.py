"""The user's source beside the nodes that it became."""

from __future__ import annotations

import linecache
from collections.abc import Mapping

from treadle.core.graph import Graph, Node
from treadle.core.printing import print_atom, print_node
from treadle.core.source import UNKNOWN, Source
from treadle.debug.stepper.frames import Frame, Layout

WIDEST = 68  # columns of the source


def line_of(source: Source, lines: Mapping[str, str]) -> str:
    """The text of a source line, from its file or from `lines`; empty where neither has it."""
    return linecache.getline(source.file, source.line).rstrip() or lines.get(str(source), "")


def source_lines(graph: Graph) -> dict[str, str]:
    """The source lines of a graph's nodes, by place."""
    sources = {str(n.source): n.source for n in graph.walk() if n.source != UNKNOWN}
    found = {place: line_of(source, {}) for place, source in sources.items()}
    return {place: text for place, text in found.items() if text}


def beside(frame: Frame, lines: Mapping[str, str], *, around: int = 5) -> str:
    """Source lines around the current one; beside each, the nodes of this graph that come from it.

    `->` marks the next node, and its line.
    """
    node = frame.node if frame.node is not None else (frame.graph.nodes[-1] if frame.graph.nodes else None)
    if node is None or node.source == UNKNOWN:
        return nodes_around(frame, around)
    by_line: dict[int, list[Node]] = {}
    for other in frame.graph.nodes:
        if other.source.file == node.source.file:
            by_line.setdefault(other.source.line, []).append(other)
    rows = []
    for number in range(max(node.source.line - around, 1), node.source.line + around + 1):
        text = line_of(Source(node.source.file, number), lines)
        if not text and number not in by_line and number > node.source.line:
            continue
        rows.append((number, text, by_line.get(number, [])))
    width = min(max((len(t) for _, t, _ in rows), default=0), WIDEST)
    digits = len(str(rows[-1][0]))
    out = []
    for number, text, nodes in rows:
        mark = "->" if number == node.source.line else "  "
        left = f"{mark} {number:>{digits}}  {text[:WIDEST]:<{width}}"
        shown = [_marked(frame, n) for n in nodes] or [""]
        out.append(f"{left}  {shown[0]}".rstrip())
        out += [f"{'':{len(left)}}  {more}".rstrip() for more in shown[1:]]
    return "\n".join(out)


def nodes_around(frame: Frame, around: int | None = None) -> str:
    """The nodes of a frame's graph, all or those around the next one."""
    first = 0 if around is None else max(frame.at - around, 0)
    last = len(frame.graph.nodes) if around is None else frame.at + around + 1
    shown = [_marked(frame, n) for n in frame.graph.nodes[first:last]]
    if last >= len(frame.graph.nodes):
        shown.append(("-> " if frame.node is None else "   ") + return_text(frame.graph))
    return "\n".join(shown)


def _marked(frame: Frame, node: Node) -> str:
    return ("-> " if node is frame.node else "   ") + node_text(frame.graph, node)


def node_text(graph: Graph, node: Node) -> str:
    """`%1 = tanh %0 : f32[4,2]`."""
    return print_node(node, Layout.of(graph).names)


def return_text(graph: Graph) -> str:
    """`return %4 %7`."""
    names = Layout.of(graph).names
    return " ".join(["return", *(print_atom(a, names) for a in graph.outputs)])


def place_of(node: Node) -> str:
    """`model.py:12`, or nothing where that is not known."""
    return "" if node.source == UNKNOWN else str(node.source)
