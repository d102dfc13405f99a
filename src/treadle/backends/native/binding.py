"""A plan for sizes that are known only when it runs, with the numbers that they are in a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from treadle.backends.native.expressions import Buffer
from treadle.backends.native.extents import SizeNeededError, at_sizes, spec_at
from treadle.backends.native.plan import (
    Branch,
    Host,
    Item,
    Launch,
    Location,
    Move,
    Piece,
    Plan,
    Repeat,
    Turn,
    While,
    place,
)
from treadle.backends.native.steps import Work
from treadle.core.graph import Graph, Literal, Node, Var


def bound(plan: Plan, sizes: Mapping[str, int]) -> Plan:
    """The plan for these sizes, named as kernels do: the same kernels, on an arena of its own."""
    pieces = [Piece(at_sizes(p.size, sizes), p.start, p.end) for p in plan.pieces]
    items = _items(plan.items, sizes)
    return Plan(plan.graph, items, pieces, plan.constants, plan.fusions, place(pieces), dict(sizes))


def _items(items: Sequence[Item], sizes: Mapping[str, int]) -> list[Item]:
    return [_item(item, sizes) for item in items]


def _item(item: Item, sizes: Mapping[str, int]) -> Item:
    if isinstance(item, Launch):
        return _launch(item, sizes)
    if isinstance(item, Host):
        return Host(_node(item.node, sizes), _places(item.inputs, sizes), _places(item.outputs, sizes))
    if isinstance(item, Turn):
        return Turn(item.what, at_sizes(item.first, sizes), item.by)
    if isinstance(item, Repeat):
        return Repeat(item.number, at_sizes(item.count, sizes), _items(item.items, sizes))
    if isinstance(item, While):
        most, flag = at_sizes(item.most, sizes), _place(item.flag, sizes)
        return While(most, flag, _items(item.test, sizes), _items(item.items, sizes))
    return Branch(_place(item.index, sizes), [_items(branch, sizes) for branch in item.branches])


def _launch(item: Launch, sizes: Mapping[str, int]) -> Launch:
    places, blocks = _places(item.places, sizes), at_sizes(item.blocks, sizes)
    if item.work is None:
        return Launch(item.name, item.write, places, blocks, max(blocks, 1))
    work = _work(item.work, sizes)
    return Launch(item.name, item.write, places, blocks, work.grain, work)


def _work(work: Work, sizes: Mapping[str, int]) -> Work:
    buffers = tuple(Buffer(b.number, b.dtype, tuple(at_sizes(n, sizes) for n in b.shape)) for b in work.buffers)
    blocks, operations = at_sizes(work.blocks, sizes), at_sizes(work.operations, sizes)
    return replace(work, buffers=buffers, blocks=blocks, operations=operations)


def _places(places: Sequence[Location], sizes: Mapping[str, int]) -> tuple[Location, ...]:
    return tuple(_place(p, sizes) for p in places)


def _place(p: Location, sizes: Mapping[str, int]) -> Location:
    moves = tuple(Move(m.loop, at_sizes(m.first, sizes), at_sizes(m.by, sizes)) for m in p.moves)
    return Location(p.space, p.number, at_sizes(p.offset, sizes), moves)


def _node(node: Node, sizes: Mapping[str, int]) -> Node:
    """A node for its reference to compute."""
    inputs = [a if isinstance(a, Literal) else Var(spec_at(a.spec, sizes)) for a in node.inputs]
    outputs = [Var(spec_at(v.spec, sizes)) for v in node.outputs]
    params = {name: _param(value, sizes) for name, value in node.params.items()}
    return Node(node.primitive, inputs, params, outputs, node.source, node.scope, node.origin)


def _param(value: Any, sizes: Mapping[str, int]) -> Any:
    if isinstance(value, tuple):
        return tuple(_param(v, sizes) for v in value)
    if isinstance(value, Graph):
        raise SizeNeededError("a graph that is computed by reference")
    return at_sizes(value, sizes)
