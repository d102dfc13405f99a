"""The past of a stepped graph: any event can be gone back to, and any value had again, within bounded memory.

Three things are kept, and whatever is missing is computed again from them:

    snapshots   copies of the machine at some events, with the values that were still needed there. When there are too
                many, every second one goes and the distance between new ones doubles
    kept        what events made, the newest first to stay
    effects     outputs of nodes that do something beside returning values (host functions): these run once, however
                often one goes back and forth. Never dropped

Changes that the user made are kept with the event before which they were made, and made again on the way.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from treadle.core.graph import Graph, Node, Var
from treadle.debug.stepper.frames import Array, Frame
from treadle.debug.stepper.machine import CONTROL, Event, Machine
from treadle.debug.stepper.memory import Ledger

MOST_SNAPSHOTS = 64
FIRST_DISTANCE = 16  # events between snapshots, until there are too many


@dataclass(frozen=True)
class Change:
    """A value that was set by hand, before event `number` in the frame at `depth`."""

    number: int
    depth: int
    var: Var
    value: Array


class History:
    """Owns the machine and moves it.

    Args:
        graph: without captures, all sizes known.
        memory: bytes that may be kept beyond what running the graph needs.
    """

    def __init__(self, graph: Graph, inputs: Sequence[Array], memory: int) -> None:
        self.memory = memory
        self.machine = Machine(graph, inputs)
        self.inputs: dict[Var, Array] = dict(zip(graph.inputs, inputs, strict=True))
        self.changes: list[Change] = []
        self._distance = FIRST_DISTANCE
        self._snapshots = [self.machine.copy()]
        self._kept: OrderedDict[int, Event] = OrderedDict()
        self._effects: dict[int, tuple[Array, ...]] = {}
        self._ledger = Ledger()
        self._ledger.add(_arrays_of(self._snapshots[0]))
        # Where each event so far stood: a number for (depth, graph, node), four bytes an event.
        self._trail = array("I")
        self._places: dict[tuple[int, int, int], int] = {}
        self._place_list: list[tuple[int, Graph, Node | None]] = []

    @property
    def reached(self) -> int:
        """The number of events that are known: as far as one can go without running anything new."""
        return len(self._trail)

    @property
    def newest(self) -> Event | None:
        """What happened just before here, if it is kept."""
        return self._kept.get(self.machine.number - 1)

    @property
    def bytes(self) -> int:
        """Bytes of what is kept."""
        return self._ledger.bytes

    def place(self, number: int) -> tuple[int, Graph, Node | None]:
        """Depth, graph and next node of the machine before an event that is known."""
        return self._place_list[self._trail[number]]

    def advance(self) -> Event:
        """The next event: run, or remembered if it has run before."""
        machine = self.machine
        number = machine.number
        frame, depth = machine.top, len(machine.frames) - 1
        event = machine.advance(self._known(number, frame.node))
        if number == len(self._trail):
            self._trail.append(self._place_number(depth, frame, event))
        self._remember(event)
        if machine.number >= self._snapshots[-1].number + self._distance:
            self._snapshot()  # before the changes that are made here: they may be taken back
        self._apply(machine)
        return event

    def goto(self, number: int) -> None:
        """Back, or forward over events that are known, to the state before event `number`."""
        if number < self.machine.number:
            self.machine = self._at(number)
        while self.machine.number < number:
            self.advance()

    def event(self, number: int) -> Event:
        """What an event that is known made: kept, or computed again."""
        found = self._kept.get(number)
        if found is not None:
            return found
        machine = self._at(number)
        return machine.advance(self._effects.get(number))

    def change(self, depth: int, var: Var, value: Array) -> int:
        """Set a value here, and forget what was known from here on.

        Returns: how many later changes are forgotten with it.
        """
        here = self.machine.number
        later = [c for c in self.changes if c.number > here]
        self.changes = [c for c in self.changes if c.number <= here]
        self.changes.append(Change(here, depth, var, value))
        self._forget_from(here)
        self.machine = self._at(here)
        return len(later)

    def unchange(self) -> int:
        """Take back the changes that were made here and later, and forget what was known from here on.

        Returns: how many there were.
        """
        here = self.machine.number
        gone = [c for c in self.changes if c.number >= here]
        self.changes = [c for c in self.changes if c.number < here]
        if gone:
            self._forget_from(here)
            self.machine = self._at(here)
        return len(gone)

    def _at(self, number: int) -> Machine:
        """A machine before an event that is known, made from the nearest snapshot."""
        start = max((s for s in self._snapshots if s.number <= number), key=lambda s: s.number)
        machine = start.copy()
        self._apply(machine)
        while machine.number < number:
            machine.advance(self._known(machine.number, machine.top.node))
            self._apply(machine)
        return machine

    def _apply(self, machine: Machine) -> None:
        for change in self.changes:
            if change.number == machine.number:
                frame = machine.frames[change.depth]
                frame.values[change.var] = change.value
                frame.pinned |= {change.var}

    def _known(self, number: int, node: Node | None) -> Sequence[Array] | None:
        if node is None or node.primitive.name in CONTROL:
            return None
        if number in self._effects:
            return self._effects[number]
        found = self._kept.get(number)
        return None if found is None else list(found.made.values())

    def _remember(self, event: Event) -> None:
        if event.kind == "node" and event.node.primitive.effects:
            self._effects[event.number] = tuple(event.made.values())
        if event.number not in self._kept:
            self._kept[event.number] = event
            self._ledger.add(event.made.values())
        while self._ledger.bytes > self.memory and self._kept:
            self._drop(next(iter(self._kept)))
        while self._ledger.bytes > self.memory and len(self._snapshots) > 1:
            self._thin()

    def _drop(self, number: int) -> None:
        self._ledger.remove(self._kept.pop(number).made.values())

    def _snapshot(self) -> None:
        made = self.machine.copy()
        self._snapshots.append(made)
        self._ledger.add(_arrays_of(made))
        if len(self._snapshots) > MOST_SNAPSHOTS:
            self._thin()

    def _thin(self) -> None:
        """Every second snapshot goes, never the first."""
        self._distance *= 2
        for gone in self._snapshots[1::2]:
            self._ledger.remove(_arrays_of(gone))
        self._snapshots = self._snapshots[::2]

    def _forget_from(self, number: int) -> None:
        for k in [k for k in self._kept if k >= number]:
            self._drop(k)
        self._effects = {k: v for k, v in self._effects.items() if k < number}
        for gone in [s for s in self._snapshots if s.number > number]:
            self._ledger.remove(_arrays_of(gone))
        self._snapshots = [s for s in self._snapshots if s.number <= number]
        del self._trail[number:]

    def _place_number(self, depth: int, frame: Frame, event: Event) -> int:
        # A frame that returns has moved on by now; one whose node has run stands one further.
        node = None if event.kind == "leave" else event.node
        key = depth, id(frame.graph), -1 if node is None else id(node)
        number = self._places.get(key)
        if number is None:
            number = self._places[key] = len(self._place_list)
            self._place_list.append((depth, frame.graph, node))
        return number


def _arrays_of(machine: Machine) -> Iterable[Array]:
    for frame in machine.frames:
        yield from frame.values.values()
        if frame.site is not None:
            yield from frame.site.carry
            yield from frame.site.inputs
