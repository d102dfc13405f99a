"""The plan of a graph: what runs in which order, on which memory.

Items are kernels to launch, steps that Python runs, and loops and branches around other items. Every buffer has a
`Location`: in one of the caller's arrays, in a constant, or in the arena, a single block of memory in which buffers
that are never needed at the same time share their place. In the body of a loop a location may move from turn to turn:
that is how a scan reads slices of its inputs and writes slices of its outputs without copying them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias, Union

import numpy as np

from treadle.backends.native.assembly import Function
from treadle.backends.native.expressions import Buffer
from treadle.backends.native.extents import Facts, spec_at
from treadle.backends.native.fuse import Fusion, Step, fuse
from treadle.backends.native.steps import Work, group_work, node_work, supported
from treadle.core.graph import Atom, Graph, Literal, Node, Var
from treadle.core.spec import Spec

ALIGNMENT = 64
COPIES = (("pack",), ("copy",))  # work that rearranges an operand; its last buffer is what it writes
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Move:
    """How a location moves in a loop: `first` bytes on at the first turn, `by` more at each that follows."""

    loop: int
    first: int
    by: int


@dataclass(frozen=True)
class Location:
    """Where a buffer lies: in array `number` of the caller, in constant `number`, or in piece `number` of the arena.

    In the space "size" it is no memory but a number: that of the named size `number`.
    """

    space: str
    number: int
    offset: int = 0
    moves: tuple[Move, ...] = ()

    def moving(self, move: Move) -> Location:
        return Location(self.space, self.number, self.offset, (*self.moves, move))


@dataclass
class Piece:
    """A part of the arena, needed from item `start` to item `end`."""

    size: int
    start: int
    end: int
    offset: int = -1


@dataclass
class Launch:
    """A kernel on its buffers."""

    name: str
    write: Callable[[], Function] | None  # None: of the runtime
    places: tuple[Location, ...]
    blocks: int
    grain: int
    work: Work | None = None


@dataclass
class Host:
    """A node that its reference computes."""

    node: Node
    inputs: tuple[Location, ...]
    outputs: tuple[Location, ...]


@dataclass
class Turn:
    """Python is told that a loop begins, goes on or ends: what prints and checks inside says at which turn."""

    what: str  # "begin" | "next" | "end"
    first: int = 0
    by: int = 1

    def happen(self, turns: list[int]) -> None:
        if self.what == "begin":
            turns.append(self.first - self.by)
        elif self.what == "next":
            turns[-1] += self.by
        else:
            turns.pop()


@dataclass
class Repeat:
    """A scan's items, `count` times."""

    number: int
    count: int
    items: list[Item] = field(default_factory=list)


@dataclass
class While:
    """`items` as long as `test` leaves a true byte at `flag`."""

    most: int
    flag: Location
    test: list[Item] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)


@dataclass
class Branch:
    """One of several lists of items; the int32 at `index` says which."""

    index: Location
    branches: list[list[Item]] = field(default_factory=list)


Item: TypeAlias = Union[Launch, Host, Turn, Repeat, While, Branch]


@dataclass
class Plan:
    """Items, pieces of the arena, constants, and which arrays the caller passes (inputs, then outputs).

    In a plan for sizes that are known only when it runs, some of its numbers are extents; `binding.py` puts numbers in
    their place, and lays out the arena.
    """

    graph: Graph
    items: list[Item]
    pieces: list[Piece]
    constants: list[Array]
    fusions: list[Fusion]
    arena: int = 0
    sizes: dict[str, int] = field(default_factory=dict)  # the named sizes that it was bound to

    @property
    def output_specs(self) -> list[Spec]:
        return [spec_at(s, self.sizes) for s in self.graph.output_specs]

    def walk(self) -> Iterator[Item]:
        yield from _walk(self.items)

    def __str__(self) -> str:
        size = sum(a.nbytes for a in self.constants)
        is_placed = all(p.offset >= 0 for p in self.pieces)
        arena = f"arena {self.arena} bytes" if is_placed else "arena of a size that is not known"
        return "\n".join([f"{arena}, constants {size} bytes", *_lines(self.items, self.pieces)])


def _lines(items: Sequence[Item], pieces: Sequence[Piece], indent: str = "") -> Iterator[str]:
    def at(location: Location) -> str:
        beyond = f"+{location.offset}" if location.offset else ""
        if location.space == "arena" and pieces[location.number].offset < 0:
            return f"piece {location.number}{beyond}" + "~" * len(location.moves)
        if location.space == "arena":
            return f"arena[{pieces[location.number].offset + location.offset}]" + "~" * len(location.moves)
        return f"{location.space} {location.number}{beyond}" + "~" * len(location.moves)

    for item in items:
        if isinstance(item, Launch):
            name = " ".join(item.work.labels) if item.work else "copy"
            yield f"{indent}run {name} on {', '.join(map(at, item.places))}"
        elif isinstance(item, Host):
            places = ", ".join(map(at, (*item.inputs, *item.outputs)))
            yield f"{indent}call Python for {item.node.primitive.name} on {places}"
        elif isinstance(item, Turn):
            yield f"{indent}call Python for the {item.what} of turns"
        elif isinstance(item, Repeat):
            yield f"{indent}repeat {item.count} times"
            yield from _lines(item.items, pieces, indent + "  ")
        elif isinstance(item, While):
            yield f"{indent}while {at(item.flag)}, which is made by"
            yield from _lines(item.test, pieces, indent + "  ")
            yield f"{indent}do"
            yield from _lines(item.items, pieces, indent + "  ")
        else:
            for k, branch in enumerate(item.branches):
                yield f"{indent}if {at(item.index)} is {k}"
                yield from _lines(branch, pieces, indent + "  ")


def _walk(items: Sequence[Item]) -> Iterator[Item]:
    for item in items:
        yield item
        if isinstance(item, Repeat):
            yield from _walk(item.items)
        elif isinstance(item, While):
            yield from _walk(item.test)
            yield from _walk(item.items)
        elif isinstance(item, Branch):
            for branch in item.branches:
                yield from _walk(branch)


def plan(graph: Graph, facts: Facts | None = None) -> Plan:
    """The plan of a graph without captures, whose sizes are numbers, or extents that know these facts."""
    planner = _Planner(len(facts.values) if facts else 0)
    inputs = [Location("array", k) for k in range(len(graph.inputs))]
    outputs = [Location("array", len(inputs) + k) for k in range(len(graph.outputs))]
    items = planner.graph(graph, inputs, outputs)
    made = Plan(graph, items, planner.pieces, planner.constants, planner.fusions)
    if facts is None:
        made.arena = place(made.pieces)
    return made


def place(pieces: Sequence[Piece]) -> int:
    """Give every piece its place: the lowest that no piece needed at the same time covers. Returns the arena's size."""
    total = 0
    placed: list[Piece] = []
    for piece in sorted(pieces, key=lambda p: (-p.size, p.start)):
        size = -(-max(piece.size, 1) // ALIGNMENT) * ALIGNMENT
        busy = sorted(
            (p.offset, p.offset + -(-max(p.size, 1) // ALIGNMENT) * ALIGNMENT)
            for p in placed
            if p.start <= piece.end and piece.start <= p.end
        )
        offset = 0
        for begin, end in busy:
            if begin - offset >= size:
                break
            offset = max(offset, end)
        piece.offset = offset
        placed.append(piece)
        total = max(total, offset + size)
    return total


class _Planner:
    def __init__(self, sizes: int) -> None:
        self.sizes = tuple(Location("size", k) for k in range(sizes))  # what every kernel gets after its buffers
        self.pieces: list[Piece] = []
        self.constants: list[Array] = []
        self.fusions: list[Fusion] = []
        self.clock = 0
        self.loops = 0
        self.touched: list[set[int]] = []  # for each open loop, the pieces that its items use
        self.fixed: list[set[Location]] = []  # for each open loop, what is the same in all of its turns
        self.before: list[list[Item]] = []  # for each open loop, items that need run only once, before it
        self.copies: dict[tuple[str, tuple[Var | Location, ...]], Location] = {}  # of the open graph: where they are

    # memory

    def piece(self, size: int) -> Location:
        self.pieces.append(Piece(size, self.clock, self.clock))
        return self.touch(Location("arena", len(self.pieces) - 1))

    def constant(self, value: Array) -> Location:
        self.constants.append(np.ascontiguousarray(value))
        return Location("constant", len(self.constants) - 1)

    def touch(self, location: Location) -> Location:
        if location.space == "arena":
            piece = self.pieces[location.number]
            piece.end = max(piece.end, self.clock)
            for used in self.touched:
                used.add(location.number)
        return location

    def _enter(self, fixed: Sequence[Location]) -> int:
        self.clock += 1
        self.touched.append(set())
        self.fixed.append(set(fixed))
        self.before.append([])
        return self.clock

    def _leave(self, begin: int) -> list[Item]:
        """What a loop's items use is needed in all of its turns. Returns what has to run before it."""
        self.clock += 1
        self.fixed.pop()
        for number in self.touched.pop():
            piece = self.pieces[number]
            piece.start = min(piece.start, begin) if piece.start <= begin else begin
            piece.end = max(piece.end, self.clock)
        return self.before.pop()

    # graphs

    def graph(self, graph: Graph, inputs: Sequence[Location], outputs: Sequence[Location]) -> list[Item]:
        """Items that compute a graph from these places to those."""
        fusion = fuse(graph, supported())
        outside, self.copies = self.copies, {}
        self.fusions.append(fusion)
        self.places: dict[Var, Location]
        places: dict[Var, Location] = dict(zip(graph.inputs, inputs, strict=True))
        wanted: dict[Var, Location] = {}
        for atom, location in zip(graph.outputs, outputs, strict=True):
            if isinstance(atom, Var) and atom not in places and self._may_write(fusion, atom, location, places):
                wanted.setdefault(atom, location)
        items: list[Item] = []
        for step in fusion.steps:
            self.clock += 1
            if step.node is not None and step.node.primitive.name == "constant":
                places[step.members[0]] = self.constant(step.node.params["value"].value)
                continue
            for v in step.members:
                if v in fusion.stored:
                    places[v] = self.touch(wanted.get(v) or self.piece(fusion.kept[v].bytes))
            for v in step.reads:
                self.touch(places[v])
            items += self._step(fusion, step, places)
        self.clock += 1
        late: list[tuple[Location, Location, Atom]] = []
        for atom, location in zip(graph.outputs, outputs, strict=True):
            if isinstance(atom, Literal):
                late.append((self.constant(atom.value), location, atom))
            elif places[atom] != location:
                late.append((self.touch(places[atom]), location, atom))
        self.copies = outside
        return items + self._deliver(late, places, inputs)

    def _may_write(self, fusion: Fusion, var: Var, location: Location, places: dict[Var, Location]) -> bool:
        """Whether a value may be written to a place at once: nobody may still want to read what lies there."""
        there = [v for v, p in places.items() if p == location]
        if not there:
            return True
        position = {v: k for k, s in enumerate(fusion.steps) for v in s.members}
        made = position[var]
        if any(v in fusion.graph.outputs for v in there):
            return False
        return all(made > k for k, s in enumerate(fusion.steps) for v in there if v in s.reads)

    def _deliver(
        self, late: list[tuple[Location, Location, Atom]], places: dict[Var, Location], inputs: Sequence[Location]
    ) -> list[Item]:
        """Copies to where outputs belong. Where one copy's target is another's source, all go through a place aside."""
        targets = {target for _, target, _ in late}
        items: list[Item] = []
        second: list[Item] = []
        for source, target, atom in late:
            size = _bytes(atom)
            if source in targets:
                aside = self.piece(size)
                items.append(self._copy(aside, source, size))
                second.append(self._copy(target, aside, size))
            else:
                second.append(self._copy(self.touch(target), source, size))
        return items + second

    def _copy(self, target: Location, source: Location, size: int) -> Launch:
        self.touch(target)
        self.touch(source)
        return Launch("td_copy", None, (target, source), size, max(size, 1))

    def _step(self, fusion: Fusion, step: Step, places: dict[Var, Location]) -> list[Item]:
        if step.is_group:
            if not any(v in fusion.stored and fusion.kept[v].size for v in step.members):
                return []
            return self._launches(group_work(fusion, step), fusion, places)
        node = step.node
        assert node is not None
        special = CONTROL.get(node.primitive.name)
        if special is not None:
            return special(self, node, places)
        same = self.fixed[-1] if self.fixed else set()
        fixed = frozenset(fusion.kept[v] for v in step.reads if places[v] in same)
        work = node_work(fusion, step, fixed)
        if work is not None:
            return self._launches(work, fusion, places)
        inputs = tuple(self._at(a, places) for a in node.inputs)
        return [Host(node, inputs, tuple(places[v] for v in node.outputs))]

    def _at(self, atom: Atom, places: dict[Var, Location]) -> Location:
        return self.touch(places[atom]) if isinstance(atom, Var) else self.constant(atom.value)

    def _launches(self, work: Sequence[Work], fusion: Fusion, places: dict[Var, Location]) -> list[Item]:
        own: dict[Buffer, Location] = {}
        items: list[Item] = []
        for w in work:
            if w.blocks <= 0:
                continue
            self.clock += 1
            copy = None
            *sources, target = w.buffers
            copies = w.labels in COPIES and fusion.owner(target) is None  # not one that a step goes on to write into
            if copies:
                copy = (w.text, tuple(fusion.owner(b) or own[b] for b in sources))
                if copy in self.copies:  # a convolution and its gradient read the same padded input
                    own[target] = self.copies[copy]
                    continue
            where = []
            for buffer in w.buffers:
                kept = fusion.owner(buffer)
                if kept is not None:
                    where.append(self.touch(places[kept]))
                    continue
                if buffer not in own:
                    own[buffer] = self.piece(buffer.bytes)
                where.append(self.touch(own[buffer]))
            if copy is not None:
                self.copies[copy] = where[-1]
            launch = Launch(w.name, w.write, (*where, *self.sizes), w.blocks, 0 if self.sizes else w.grain, w)
            if self.fixed and copies and all(place in self.fixed[-1] for place in where[:-1]):
                self.before[-1].append(launch)
                self.fixed[-1].add(where[-1])
            else:
                items.append(launch)
        return items

    # control flow

    def scan(self, node: Node, places: dict[Var, Location]) -> list[Item]:
        p = node.params
        body: Graph = p["body"]
        consts, carry, count = p["consts"], p["carry"], p["length"]
        outs = [self.touch(places[v]) for v in node.outputs]
        sources = [self._at(a, places) for a in node.inputs]
        items: list[Item] = []
        state = outs[:carry]  # the carry lives where its last value is wanted
        for target, source, v in zip(state, sources[consts : consts + carry], node.outputs, strict=False):
            items.append(self._copy(target, source, _bytes(v)))
        if count == 0:
            return items
        self.loops += 1
        number = self.loops
        begin = self._enter(sources[:consts])
        slices = [
            self._slice(s, _bytes(v), number, p)
            for s, v in zip(sources[consts + carry :], body.inputs[consts + carry :], strict=True)
        ]
        stacked = [
            self._slice(s, _bytes(a), number, p) for s, a in zip(outs[carry:], body.outputs[carry:], strict=True)
        ]
        for location in (*state, *slices, *stacked, *sources):
            self.touch(location)
        inner = self.graph(body, [*sources[:consts], *state, *slices], [*state, *stacked])
        first, by = (count - 1, -1) if p["reverse"] else (0, 1)
        loop = Repeat(number, count, inner)
        return [*items, *self._leave(begin), *_counted(loop, inner, first, by, body.has_effects)]

    def _slice(self, location: Location, size: int, loop: int, params: dict[str, Any]) -> Location:
        if params["reverse"]:
            return location.moving(Move(loop, (params["length"] - 1) * size, -size))
        return location.moving(Move(loop, 0, size))

    def while_loop(self, node: Node, places: dict[Var, Location]) -> list[Item]:
        p = node.params
        nc, nb = p["condition_consts"], p["body_consts"]
        sources = [self._at(a, places) for a in node.inputs]
        state = [self.touch(places[v]) for v in node.outputs]
        items: list[Item] = [
            self._copy(target, source, _bytes(v))
            for target, source, v in zip(state, sources[nc + nb :], node.outputs, strict=True)
        ]
        begin = self._enter(sources[: nc + nb])
        flag = self.piece(1)
        for location in (*state, *sources):
            self.touch(location)
        loop = While(-1 if p["max_steps"] is None else p["max_steps"], flag)
        loop.test = self.graph(p["condition"], [*sources[:nc], *state], [flag])
        loop.items = self.graph(p["body"], [*sources[nc : nc + nb], *state], state)
        effects = p["body"].has_effects or p["condition"].has_effects
        return [*items, *self._leave(begin), *_counted(loop, loop.test, 0, 1, effects)]

    def cond(self, node: Node, places: dict[Var, Location]) -> list[Item]:
        index, *sources = (self._at(a, places) for a in node.inputs)
        outs = [places[v] for v in node.outputs]
        begin = self._enter(())
        for location in (index, *sources, *outs):
            self.touch(location)
        made = Branch(index)
        for graph in node.params["branches"]:
            made.branches.append(self.graph(graph, sources, outs))
        return [*self._leave(begin), made]


def _counted(loop: Repeat | While, items: list[Item], first: int, by: int, effects: bool) -> list[Item]:
    """A loop whose turns Python counts, if there is anything in it that may say them. `items` begin each turn."""
    if not effects:
        return [loop]
    items.insert(0, Turn("next", first, by))
    return [Turn("begin", first, by), loop, Turn("end")]


CONTROL: dict[str, Callable[[_Planner, Node, dict[Var, Location]], list[Item]]] = {
    "scan": _Planner.scan,
    "while_loop": _Planner.while_loop,
    "cond": _Planner.cond,
}


def _bytes(atom: Atom) -> int:
    size: int = prod(atom.spec.shape) * atom.spec.dtype.numpy.itemsize  # no Dims are left
    return size


__all__ = [
    "Branch",
    "Buffer",
    "Host",
    "Item",
    "Launch",
    "Location",
    "Move",
    "Plan",
    "Repeat",
    "Turn",
    "While",
    "plan",
]
