"""Commands that show: values, who makes and reads them, the graphs around, the source."""

from __future__ import annotations

import numpy as np

from treadle.core.errors import ArgumentError
from treadle.core.graph import Node
from treadle.debug.stepper.frames import Array
from treadle.debug.stepper.inspecting import brief, histogram, numbers_text, picture, statistics
from treadle.debug.stepper.position import Position, count, table
from treadle.debug.stepper.sources import beside, line_of, node_text, nodes_around, place_of, return_text
from treadle.debug.stepper.ties import backward_nodes, forward_node, is_backward


class Looking(Position):
    """Each method `do_name` is a command; the first line of its docstring is its usage."""

    def _value(self, text: str, what: str) -> Array:
        if not text:
            raise ArgumentError(f"{what} what? Such as {what} %3, {what} model.kernel[0]")
        return np.asarray(self.engine.evaluate(text, self.chosen))

    def do_p(self, rest: str) -> str:
        """p EXPRESSION: values %3, inputs by name or path (model.kernel), np, td; arrays are NumPy's"""
        if not rest:
            raise ArgumentError("p what? Such as p %3, p np.abs(model.kernel).max()")
        value = self.engine.evaluate(rest, self.chosen)
        return numbers_text(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else repr(value)

    def do_stat(self, rest: str) -> str:
        """stat EXPRESSION: shape, range, mean, standard deviation; how many are zero, NaN, infinite"""
        return statistics(self._value(rest, "stat"))

    def do_hist(self, rest: str) -> str:
        """hist EXPRESSION: a histogram"""
        return histogram(self._value(rest, "hist"))

    def do_picture(self, rest: str) -> str:
        """picture, image EXPRESSION: a matrix as an image; [height, width] or [height, width, 3]"""
        return picture(self._value(rest, "picture"))

    def do_args(self, rest: str) -> str:
        """a(rgs): the inputs of this graph"""
        graph, depth = self.frame.graph, self.chosen
        rows = [(n, brief(self.engine.value("%" + n, depth))) for n in graph.input_names]
        return table(rows) or "no inputs"

    def do_values(self, rest: str) -> str:
        """v(alues): what the nodes of this graph have made so far"""
        frame = self.frame
        rows = []
        for node in frame.graph.nodes[: frame.at]:
            for var in node.outputs:
                name = frame.layout.names[var]
                rows.append((name, brief(self.engine.value(name, self.chosen))))
        return table(rows) or "nothing yet"

    def do_made(self, rest: str) -> str:
        """made %3: the node that makes a value, its line and scope"""
        frame, node = self.engine.maker(rest, self.chosen)
        if node is None:
            site = f", given by `{frame.site.node.primitive.name}`" if frame.site is not None else ""
            return f"an input of {frame.graph.name}{site}"
        lines = [node_text(frame.graph, node)]
        place = "  ".join(t for t in (place_of(node), line_of(node.source, self.engine.lines).strip()) if t)
        lines += [f"  {t}" for t in (place, node.scope) if t]
        if is_backward(node):
            lines.append(f"  backward of {self.tie(forward_node(self.engine.graph, node))}")
        return "\n".join(lines)

    def do_uses(self, rest: str) -> str:
        """uses %3: the nodes that read a value"""
        frame, nodes = self.engine.users(rest, self.chosen)
        lines = [f"{node_text(frame.graph, n)}  {place_of(n)}".rstrip() for n in nodes]
        name = rest if rest.startswith("%") else "%" + rest
        if frame.layout.by_name[name] in frame.graph.outputs:
            lines.append(return_text(frame.graph))
        return "\n".join(lines) or "nothing reads it"

    def do_forward(self, rest: str) -> str:
        """forward [%9]: the forward node that a backward node (the next one) was made for"""
        node = self._node(rest)
        if not is_backward(node):
            return "it is no node of a backward pass"
        return self.tie(forward_node(self.engine.graph, node))

    def do_backward(self, rest: str) -> str:
        """backward [%3]: the nodes of the backward pass that were made for a node (the next one)"""
        found = backward_nodes(self.engine.graph, self._node(rest))
        return "\n".join(self.tie(f) for f in found) or "no node of a backward pass belongs to it"

    def _node(self, rest: str) -> Node:
        node = self.engine.maker(rest, self.chosen)[1] if rest else self.frame.node
        if node is None:
            raise ArgumentError("there is no node here; name a value that one makes")
        return node

    def do_where(self, rest: str) -> str:
        """w(here): the graphs that are being run, outermost first"""
        lines = []
        for k, frame in enumerate(self.engine.frames):
            mark = "->" if k == self.chosen else "  "
            site = "" if frame.site is None else f" ({frame.site})"
            node = return_text(frame.graph) if frame.node is None else node_text(frame.graph, frame.node)
            place = "" if frame.node is None else place_of(frame.node)
            lines.append(f"{mark} {frame.graph.name}{site}: {node}  {place}".rstrip())
        return "\n".join(lines)

    def do_up(self, rest: str) -> str:
        """u(p) [N]: look at the graph around this one"""
        return self._choose(self.above + count(rest))

    def do_down(self, rest: str) -> str:
        """d(own) [N]: look at the graph inside again"""
        return self._choose(self.above - count(rest))

    def _choose(self, above: int) -> str:
        if not 0 <= above <= self.engine.depth:
            raise ArgumentError("this is the outermost graph" if above > 0 else "this is the innermost graph")
        self.above = above
        return self.here()

    def do_list(self, rest: str) -> str:
        """l(ist) [N]: N source lines before and behind, and beside each the nodes that it became"""
        return beside(self.frame, self.engine.lines, around=count(rest, 5))

    def do_graph(self, rest: str) -> str:
        """g(raph): the whole graph that is being run here"""
        return nodes_around(self.frame)
