"""Runs a graph one event at a time: a node, the entry into a loop's or branch's body, the return from it.

The machine is a pure function of graph and inputs: event n does the same each time. It computes with the reference
rules of the primitives, and enters the graphs of those in `CONTROL` itself, where their rules would run them whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.core.errors import TreadleError
from treadle.core.graph import Graph, Node, Var
from treadle.core.registry import backend
from treadle.core.running import fresh_turns, turns
from treadle.core.source import place_text
from treadle.debug.stepper.frames import Array, Frame, Layout, Site, Stacked

# What a control primitive does next: run a graph on inputs, or give the node's outputs.
_Next = tuple[Site, Graph, tuple[Array, ...]] | tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """What one event did.

    Attributes:
        number: from 0.
        kind: "node": it ran; "enter": a body begins (its inputs are made); "leave": a body has returned, and the next
            one begins, or the node around it has its outputs.
        node: which ran, was entered, or goes on.
        depth: index of the frame in which values were made.
        made: those values.
        complete: whether `made` are the outputs of `node`.
    """

    number: int
    kind: str
    node: Node
    depth: int
    made: dict[Var, Array]
    complete: bool


class Machine:
    """A stack of frames, and the number of the next event.

    Args:
        graph: without captures, all sizes known.
    """

    def __init__(self, graph: Graph, inputs: Sequence[Array]) -> None:
        values = dict(zip(graph.inputs, inputs, strict=True))
        self.frames = [Frame(Layout.of(graph), values, dict.fromkeys(values, -1))]
        self.number = 0

    def copy(self) -> Machine:
        """A snapshot: the arrays are shared, nothing else is."""
        made = object.__new__(Machine)
        made.frames = [f.copy() for f in self.frames]
        made.number = self.number
        return made

    @property
    def top(self) -> Frame:
        return self.frames[-1]

    @property
    def done(self) -> bool:
        """Whether the outermost graph is about to return."""
        return len(self.frames) == 1 and self.top.node is None

    @property
    def results(self) -> tuple[Array, ...]:
        """Outputs of the outermost graph, once it is done."""
        frame = self.frames[0]
        return frame.read(frame.graph.outputs)

    def advance(self, known: Sequence[Array] | None = None) -> Event:
        """One event. Where it raises, nothing has changed.

        Args:
            known: the outputs of the next node, if it has run before: it is not run again.
        """
        frame = self.top
        node = frame.node
        if node is None:
            site = frame.site
            assert site is not None  # else it is done
            following = _LEAVE[site.kind](site, frame.read(frame.graph.outputs))
            return self._go_on(site.node, following, "leave")
        inputs = frame.read(node.inputs)
        enter = CONTROL.get(node.primitive.name)
        if enter is not None:
            return self._go_on(node, enter(node, inputs), "enter")
        outs = known if known is not None else _run(node, inputs, self._turns())
        made = dict(zip(node.outputs, outs, strict=True))
        event = Event(self.number, "node", node, len(self.frames) - 1, made, True)
        frame.pass_node(made, self.number)
        self.number += 1
        return event

    def _turns(self) -> list[int]:
        """The element that each loop around is at: what prints and checks say it."""
        sites = [f.site for f in self.frames if f.site is not None and f.site.is_loop]
        return [s.node.params["length"] - 1 - s.turn if s.node.params.get("reverse") else s.turn for s in sites]

    def _go_on(self, node: Node, following: _Next, kind: str) -> Event:
        parent = self.frames[-1 if kind == "enter" else -2]
        depth = len(self.frames) - (1 if kind == "enter" else 2)
        if following and isinstance(following[0], Site):
            site, graph, inputs = following
            made = dict(zip(graph.inputs, inputs, strict=True))
            event = Event(self.number, kind, node, depth + 1, made, False)
            layout = Layout.of(graph)
            used = {v: x for v, x in made.items() if v in layout.users or v in graph.outputs}
            frame = Frame(layout, used, dict.fromkeys(made, self.number), site)
            self.frames[depth + 1 :] = [frame]
        else:
            made = dict(zip(node.outputs, following, strict=True))
            event = Event(self.number, kind, node, depth, made, True)
            del self.frames[depth + 1 :]
            parent.pass_node(made, self.number)
        self.number += 1
        return event


def _run(node: Node, inputs: Sequence[Array], loops: list[int]) -> Sequence[Array]:
    try:
        with fresh_turns():
            turns().extend(loops)
            return backend("reference").run_primitive(node.primitive, inputs, node.params)
    except TreadleError as e:
        raise e.at(place_text(node.source, node.scope)) from None


# Loops and branches. Their meaning is that of the reference rules in ops/control; tests compare the two.


def _scan(node: Node, inputs: tuple[Array, ...]) -> _Next:
    start, stop = node.params["consts"], node.params["consts"] + node.params["carry"]
    return _scan_turn(Site(node, "scan", 0, node.params["length"], inputs, inputs[start:stop]))


def _scan_turn(site: Site) -> _Next:
    p = site.node.params
    if site.turn == p["length"]:
        return (*site.carry, *_stack(site))
    t = p["length"] - 1 - site.turn if p["reverse"] else site.turn
    sliced = [_frozen(x[t]) for x in site.inputs[p["consts"] + p["carry"] :]]
    return site, p["body"], (*site.inputs[: p["consts"]], *site.carry, *sliced)


def _stack(site: Site) -> tuple[Array, ...]:
    p = site.node.params
    rows = Stacked.all(site.stacked)
    if p["reverse"]:
        rows.reverse()
    out = []
    for k, spec in enumerate(p["body"].output_specs[p["carry"] :]):
        y = np.empty((p["length"], *map(int, spec.shape)), spec.dtype.numpy)
        for t, row in enumerate(rows):
            y[t] = row[k]
        out.append(_frozen(y))
    return tuple(out)


def _scan_left(site: Site, outs: tuple[Array, ...]) -> _Next:
    n = site.node.params["carry"]
    stacked = Stacked(site.stacked, outs[n:])
    return _scan_turn(Site(site.node, "scan", site.turn + 1, site.turns, site.inputs, outs[:n], stacked))


def _while(node: Node, inputs: tuple[Array, ...]) -> _Next:
    k = node.params["condition_consts"] + node.params["body_consts"]
    return _while_turn(Site(node, "condition", 0, node.params["max_steps"], inputs, inputs[k:]))


def _while_turn(site: Site) -> _Next:
    p = site.node.params
    if p["max_steps"] is not None and site.turn >= p["max_steps"]:
        return site.carry
    return site, p["condition"], (*site.inputs[: p["condition_consts"]], *site.carry)


def _condition_left(site: Site, outs: tuple[Array, ...]) -> _Next:
    if not bool(outs[0]):
        return site.carry
    p = site.node.params
    n = p["condition_consts"]
    body = Site(site.node, "body", site.turn, site.turns, site.inputs, site.carry)
    return body, p["body"], (*site.inputs[n : n + p["body_consts"]], *site.carry)


def _body_left(site: Site, outs: tuple[Array, ...]) -> _Next:
    return _while_turn(Site(site.node, "condition", site.turn + 1, site.turns, site.inputs, outs))


def _cond(node: Node, inputs: tuple[Array, ...]) -> _Next:
    branches = node.params["branches"]
    k = min(max(int(inputs[0]), 0), len(branches) - 1)
    return Site(node, "branch", k, None, inputs), branches[k], inputs[1:]


def _call(node: Node, inputs: tuple[Array, ...]) -> _Next:
    return Site(node, "call", 0, None, inputs), node.params["graph"], inputs


def _returned(site: Site, outs: tuple[Array, ...]) -> _Next:
    return outs


def _frozen(value: Any) -> Array:
    array = np.asarray(value)
    array.flags.writeable = False
    return array


CONTROL: dict[str, Callable[[Node, tuple[Array, ...]], _Next]] = {
    "call": _call,
    "cond": _cond,
    "custom_jvp": _call,
    "custom_vjp": _call,
    "scan": _scan,
    "while_loop": _while,
}
_LEAVE: dict[str, Callable[[Site, tuple[Array, ...]], _Next]] = {
    "body": _body_left,
    "branch": _returned,
    "call": _returned,
    "condition": _condition_left,
    "scan": _scan_left,
}
