"""The engine of the step debugger: runs a graph node by node, stops anywhere, goes back. No input, no output.

events    the machine's steps are numbered; "before event 12" is a place, and the same state each time
stops     a movement (`into`, `over`, `out`, `line`, `layer`, `run`) ends with a `Stop` that says why
values    any value made so far in the frames around the place, kept or computed again
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.graph import Graph, Node, Var
from treadle.core.spec import bind_sizes, show_shape
from treadle.debug.stepper.breakpoints import Breakpoint, parse_breakpoint
from treadle.debug.stepper.expressions import evaluate
from treadle.debug.stepper.frames import Array, Frame, Layout
from treadle.debug.stepper.history import History
from treadle.debug.stepper.machine import Event
from treadle.debug.stepper.sources import place_of

MEMORY = 1 << 30


@dataclass(frozen=True)
class Stop:
    """Why a movement ended.

    Attributes:
        reason: "step", "breakpoint", "end" (the graph is about to return), "start", "error", "interrupted".
        text: for a breakpoint or an error, what happened.
        error: what the next node raised; it has not run.
    """

    reason: str
    text: str = ""
    error: Exception | None = None


class Engine:
    """A graph that is stepped through.

    Args:
        graph: as `td.graph` and `Compiled.graph` give it; without captures. Named sizes are read from the inputs.
        inputs: one array for each input.
        memory: bytes that may be kept, beyond what running needs, for going back and looking at old values.

    Attributes:
        breakpoints: in the order of their numbers.
        last_number: the largest number of a breakpoint so far, also of those of other graphs.
        lines: source lines by place (`model.py:12`), where the files themselves are elsewhere: of a saved session.
        interrupt: set it from anywhere (a signal, another thread) to end a movement after the current node.

    >>> from treadle.debug.stepper.engine import Engine
    >>> graph = td.graph(lambda x: td.exp(x) * 2.0)(td.zeros(2))
    >>> engine = Engine(graph, [np.zeros(2, np.float32)])
    >>> engine.over().reason, engine.value("%0").tolist()
    ('step', [1.0, 1.0])
    >>> engine.run().reason, engine.results[0].tolist()
    ('end', [2.0, 2.0])
    """

    def __init__(self, graph: Graph, inputs: Sequence[Any], *, memory: int = MEMORY) -> None:
        if graph.captures:
            raise ArgumentError(f"{graph.name} captures values: pass graph.close(), and their numbers as inputs")
        arrays = [np.asarray(x) for x in inputs]
        if graph.dims:
            graph = graph.substitute(bind_sizes(graph.input_specs, [x.shape for x in arrays], graph.input_names))
        _check_inputs(graph, arrays)
        self.graph = graph
        self.history = History(graph, arrays, memory)
        self.breakpoints: list[Breakpoint] = []
        self.lines: dict[str, str] = {}
        self.interrupt = threading.Event()
        self.stops: list[int] = []  # events at which movements ended, for `back_to_stop`
        self.last_number = 0

    # where it stands

    @property
    def number(self) -> int:
        """Of the next event."""
        return self.history.machine.number

    @property
    def frames(self) -> list[Frame]:
        """Outermost first."""
        return self.history.machine.frames

    @property
    def depth(self) -> int:
        return len(self.frames) - 1

    @property
    def node(self) -> Node | None:
        """The next node; None where a graph is about to return."""
        return self.frames[-1].node

    @property
    def done(self) -> bool:
        """Whether the outermost graph is about to return: `results` are there."""
        return self.history.machine.done

    @property
    def results(self) -> tuple[Array, ...]:
        """The graph's outputs, once it is done."""
        return self.history.machine.results

    # forward

    def into(self) -> Stop:
        """One event: a node, the entry into a body, or the return from it."""
        return self._move(lambda: True)

    def over(self) -> Stop:
        """To the next node of this graph; bodies run whole."""
        depth = self.depth
        return self._move(lambda: self.depth <= depth)

    def out(self) -> Stop:
        """Until the node around this graph has its outputs: a loop runs to its end."""
        depth = self.depth
        return self._move(lambda: self.depth < depth)

    def line(self) -> Stop:
        """To the first node of another source line, in this graph or around it."""
        return self._change_of(lambda node: str(node.source))

    def layer(self) -> Stop:
        """To the first node of another scope, in this graph or around it."""
        return self._change_of(lambda node: node.scope)

    def run(self) -> Stop:
        """To the next breakpoint, or to the end."""
        return self._move(lambda: False)

    def until(self, number: int) -> Stop:
        """To the state before an event, back or forward; breakpoints on the way stop."""
        if number <= self.number:
            return self.goto(number)
        return self._move(lambda: self.number >= number)

    def until_made(self, name: str, depth: int | None = None) -> Stop:
        """To before the node that makes a value: back if it has been made."""
        k, var = self.find(name, depth)
        frame = self.frames[k]
        if var in frame.made:
            return self.goto(max(frame.made[var], 0))
        maker = frame.graph.nodes[frame.layout.maker[var]]
        return self._move(lambda: self.depth == k and self.node is maker)

    def _change_of(self, key: Callable[[Node], str]) -> Stop:
        depth, node = self.depth, self.node
        start = None if node is None else key(node)

        def changed() -> bool:
            if self.depth > depth or self.node is None:
                return False
            return self.depth < depth or start is None or key(self.node) != start

        return self._move(changed)

    def _move(self, here: Callable[[], bool]) -> Stop:
        self.interrupt.clear()
        if self.history.machine.done:
            return self._stop(Stop("end"))
        while True:
            frame = self.frames[-1]
            before = (frame.graph, frame.node) if frame.node is not None else None
            try:
                event = self.history.advance()
            except Exception as e:  # a node that raises is what one wants to look at
                return self._stop(Stop("error", f"{type(e).__name__}: {e}", e))
            reason = self._value_break(event) or self._place_break(before)
            if reason:
                return self._stop(Stop("breakpoint", reason))
            if self.done:
                return self._stop(Stop("end"))
            if here():
                return self._stop(Stop("step"))
            if self.interrupt.is_set():
                return self._stop(Stop("interrupted"))

    def _stop(self, stop: Stop) -> Stop:
        if not self.stops or self.stops[-1] != self.number:
            self.stops.append(self.number)
        return stop

    def _place_break(self, before: tuple[Graph, Node | None] | None) -> str:
        for point in self.breakpoints:
            if point.condition is None and point.is_at(self.history.machine, before):
                return self._hit(point, "")
        return ""

    def _value_break(self, event: Event) -> str:
        if not any(p.condition for p in self.breakpoints):
            return ""
        graph = self.frames[event.depth].graph if event.depth < len(self.frames) else None
        if graph is None:
            return ""
        layout = Layout.of(graph)
        for point in self.breakpoints:
            if point.condition is None or not point.made_by(event, graph):
                continue
            if point.kind == "iteration" and not self._in_turn(point):
                continue
            for var, value in event.made.items():
                why = point.condition.holds(value)
                if why:
                    made = f"{layout.names[var]} = {event.node.primitive.name}"
                    place = ", ".join(t for t in (place_of(event.node), event.node.scope) if t)
                    return self._hit(point, f"{made} ({place}): {why}" if place else f"{made}: {why}")
        return ""

    def _in_turn(self, point: Breakpoint) -> bool:
        sites = [f.site for f in self.frames if f.site is not None and f.site.is_loop]
        return any(s.turn == int(point.what) for s in sites)

    def _hit(self, point: Breakpoint, why: str) -> str:
        if point.once:
            self.breakpoints.remove(point)
        return f"breakpoint {point.number} ({point})" + (f": {why}" if why else "")

    # back

    def goto(self, number: int) -> Stop:
        """To the state before an event that has been reached before; nothing new is run.

        Raises:
            ArgumentError: there is no such event, or it has not been reached yet.
        """
        if not 0 <= number <= self.history.reached:
            raise ArgumentError(f"there is no step {number} yet: 0 to {self.history.reached} are known")
        self.history.goto(number)
        return self._stop(Stop("start" if number == 0 else "step"))

    def back(self, count: int = 1) -> Stop:
        """To the node before, in this graph or around it; bodies that ran are passed."""
        number, depth = self.number, self.depth
        for _ in range(count):
            if number == 0:
                break
            number = self._earlier(_no_deeper_than(depth), number)
            depth = self.history.place(number)[0]
        return self.goto(number)

    def back_into(self) -> Stop:
        """One event back."""
        return self.goto(max(self.number - 1, 0))

    def back_out(self) -> Stop:
        """To the node around this graph, before it was entered."""
        depth = self.depth
        return self.goto(self._earlier(lambda d, g, n: d < depth, self.number))

    def back_line(self) -> Stop:
        """To the first node of the source line before."""
        return self._back_change(lambda node: str(node.source))

    def back_layer(self) -> Stop:
        """To the first node of the scope before."""
        return self._back_change(lambda node: node.scope)

    def back_to_stop(self) -> Stop:
        """To where the movement before ended."""
        while self.stops and self.stops[-1] >= self.number:
            self.stops.pop()
        return self.goto(self.stops[-1] if self.stops else 0)

    def _earlier(self, fits: Callable[[int, Graph, Node | None], bool], number: int) -> int:
        for k in range(number - 1, -1, -1):
            if fits(*self.history.place(k)):
                return k
        return 0

    def _back_change(self, key: Callable[[Node], str]) -> Stop:
        depth, node = self.depth, self.node
        start = None if node is None else key(node)
        last = self._earlier(lambda d, g, n: d <= depth and n is not None and key(n) != start, self.number)
        depth, _, node = self.history.place(last) if last < self.history.reached else (0, self.graph, None)
        if node is not None:
            other = key(node)
            beyond = self._earlier(lambda d, g, n: d <= depth and n is not None and key(n) != other, last)
            candidates = [
                k
                for k in range(beyond, last + 1)
                if (p := self.history.place(k))[0] <= depth and p[2] is not None and key(p[2]) == other
            ]
            last = candidates[0]
        return self.goto(last)

    # values

    def find(self, name: str, depth: int | None = None) -> tuple[int, Var]:
        """The frame (its depth) and the value that a name stands for: of the frame chosen, else of those around it.

        Raises:
            ArgumentError: there is none of that name.
        """
        name = name if name.startswith("%") else "%" + name
        for k in range(self.depth if depth is None else depth, -1, -1):
            var = self.frames[k].layout.by_name.get(name)
            if var is not None:
                return k, var
        raise ArgumentError(f"there is no value {name} in {self.frames[-1].graph.name} or the graphs around it")

    def value(self, name: str, depth: int | None = None) -> Array:
        """The numbers of a value that has been made, wherever it is now.

        Raises:
            ArgumentError: there is no value of that name, or it has not been made yet.
        """
        k, var = self.find(name, depth)
        frame = self.frames[k]
        if var in frame.values:
            return frame.values[var]
        made = frame.made.get(var)
        if made is None:
            maker = frame.layout.maker[var]
            name = frame.graph.nodes[maker].primitive.name
            when = "next" if maker == frame.at else f"{maker - frame.at} nodes from here"
            raise ArgumentError(f"{frame.layout.names[var]} has not been computed yet: `{name}` makes it, {when}")
        return self.history.event(made).made[var] if made >= 0 else self.history.inputs[var]

    def evaluate(self, text: str, depth: int | None = None) -> Any:
        """A Python expression over values: `%3`, inputs by name or path, `np`, `td`.

        Raises:
            ArgumentError: it is none, or it raises.
        """
        top = self.depth if depth is None else depth
        names = {n for f in self.frames[: top + 1] for n in f.layout.by_name}
        return evaluate(text, names, lambda name: self.value(name, depth))

    def set(self, name: str, value: Any, depth: int | None = None) -> int:
        """Change a value that later nodes read; a scalar fills it.

        Returns: how many changes that were made further on are forgotten.

        Raises:
            ArgumentError: it has not been made, or nothing reads it any more.
            ShapeError, DTypeError: the new value does not fit.
        """
        k, var = self.find(name, depth)
        frame = self.frames[k]
        self.value(name, depth)  # raises if it has not been made
        if var not in frame.values:
            raise ArgumentError(f"nothing reads {name} any more: go back to where it is used, or further, to change it")
        return self.history.change(k, var, _fitting(value, var, frame.layout.names[var]))

    # who makes and uses

    def maker(self, name: str, depth: int | None = None) -> tuple[Frame, Node | None]:
        """The frame of a value, and the node that makes it; None for an input."""
        k, var = self.find(name, depth)
        frame = self.frames[k]
        at = frame.layout.maker.get(var)
        return frame, None if at is None else frame.graph.nodes[at]

    def users(self, name: str, depth: int | None = None) -> tuple[Frame, list[Node]]:
        """The frame of a value, and the nodes of its graph that read it."""
        k, var = self.find(name, depth)
        frame = self.frames[k]
        return frame, [frame.graph.nodes[at] for at in frame.layout.users.get(var, [])]

    def add_breakpoint(self, text: str, *, once: bool = False, file: str = "") -> Breakpoint:
        """Set a breakpoint; `breakpoints` says how they are written.

        Raises:
            ArgumentError: it is none, or no node is at its place.
        """
        made = parse_breakpoint(text, self.graph, current=self.frames[-1].graph, file=file)
        return self.keep_breakpoint(dataclasses.replace(made, once=once))

    def keep_breakpoint(self, point: Breakpoint) -> Breakpoint:
        """Add a breakpoint under the next number, or its own."""
        made = dataclasses.replace(point, number=point.number or self.last_number + 1)
        self.last_number = max(self.last_number, made.number)
        self.breakpoints.append(made)
        return made


def _no_deeper_than(depth: int) -> Callable[[int, Graph, Node | None], bool]:
    return lambda d, g, n: d <= depth


def _check_inputs(graph: Graph, arrays: Sequence[Array]) -> None:
    if len(arrays) != len(graph.inputs):
        raise ArgumentError(f"{graph.name} takes {len(graph.inputs)} inputs, and {len(arrays)} are given")
    for name, spec, x in zip(graph.input_names, graph.input_specs, arrays, strict=True):
        if x.shape != spec.shape or x.dtype != spec.dtype.numpy:
            raise ShapeError(f"the input {name} must be {spec}, and is {x.dtype}{show_shape(x.shape)}")


def _fitting(value: Any, var: Var, name: str) -> Array:
    given = np.asarray(value)
    wanted = var.spec.dtype.numpy
    if given.shape not in ((), var.spec.shape):
        raise ShapeError(f"{name} is {var.spec}, and the new value has the shape {show_shape(given.shape)}")
    if not np.can_cast(given.dtype, wanted, "same_kind") and not (given.dtype.kind in "iuf" and wanted.kind in "fV"):
        raise DTypeError(f"{name} is {var.spec}, and the new value is {given.dtype}: convert it, such as with .astype")
    made = np.empty(tuple(map(int, var.spec.shape)), wanted)
    made[...] = given.astype(wanted)
    made.flags.writeable = False
    return made
