"""A graph with some of its values read, replaced or moved: what fetching, overriding and comparing are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from treadle.core.dtypes import bool_
from treadle.core.graph import Atom, Graph, Literal, Node, Var
from treadle.core.primitive import PRIMITIVES
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops.control.call import call as call_primitive
from treadle.transforms.graphs import closed
from treadle.transforms.names import Door, Place

Change = Callable[[Tensor], Tensor]


def rewired(graph: Graph, read: Sequence[Place], changes: Mapping[Place, Change], moved: Sequence[Place] = ()) -> Graph:
    """A graph without captures, with more outputs and inputs at the end of its own.

    Args:
        read: values that become outputs: those of a scan's body stacked along its steps, those of a while_loop's as
            they were in its last turn. What did not run is NaN, or 0. Behind all of them follow, for those that are
            not certain, bools that say whether they were made, stacked in the same way.
        changes: values in whose place everything that follows reads another, made of them.
        moved: values to which a new input is added, of the shape that `read` would give; none in a while_loop.

    rewrite (read %0, moved %0):
        graph f(x) -> y              graph f(x, d) -> (y, y0)
          %0 = tanh %x                 %0 = tanh %x
          %1 = exp %0          →       %1 = add %0 %d
          return %1                    %2 = exp %1
                                       return %2 %0
    """
    return _Rewiring(graph, read, changes, moved).run()


class _Rewiring:
    def __init__(
        self, graph: Graph, read: Sequence[Place], changes: Mapping[Place, Change], moved: Sequence[Place]
    ) -> None:
        self.graph, self.read, self.changes, self.moved = graph, read, changes, moved
        self.env: dict[Var, Atom] = {}
        self.nodes: list[Node] = []
        self.results: dict[Place, Atom] = {}
        self.made: dict[Place, Atom] = {}  # whether it was, of those that are not certain
        self.added: dict[Place, Var] = {}

    def run(self) -> Graph:
        g = self.graph
        for v in g.inputs:
            self._edit(v, None)
        for i, node in enumerate(g.nodes):
            node = node.with_inputs([self._at(a) for a in node.inputs])
            inner = _Inner.of(i, self.read, self.changes, self.moved)
            if inner.is_any:
                node = self._opened(node, inner)
            self.nodes.append(node)
            for v in node.outputs:
                self._edit(v, node)
        return Graph(
            g.name,
            [*g.inputs, *(self.added[p] for p in self.moved)],
            self.nodes,
            [
                *map(self._at, g.outputs),
                *(self.results[p] for p in self.read),
                *(self.made[p] for p in self.read if not p.is_certain),
            ],
            input_names=[*g.input_names, *(f"d{k}" for k in range(len(self.moved)))],
        )

    def _at(self, atom: Atom) -> Atom:
        return self.env.get(atom, atom) if isinstance(atom, Var) else atom

    def _edit(self, var: Var, node: Node | None) -> None:
        """What is done to a value of this graph itself."""
        for place in self.read:
            if not place.trail and place.var is var:
                self.results[place] = var
        for place, change in self.changes.items():
            if not place.trail and place.var is var:
                inner = closed(lambda x, change=change: [change(x)], [var.spec], "override", ["x"])
                self._put(var, Node(call_primitive, [self._at(var)], {"graph": inner, "remat": False}, [Var(var.spec)]))
        for place in self.moved:
            if not place.trail and place.var is var:
                extra = self.added[place] = Var(var.spec)
                made = Node(PRIMITIVES["add"], [self._at(var), extra], {}, [Var(var.spec)])
                if node is not None:
                    made.source, made.scope = node.source, node.scope
                self._put(var, made)

    def _put(self, var: Var, node: Node) -> None:
        self.nodes.append(node)
        self.env[var] = node.outputs[0]

    def _opened(self, node: Node, inner: _Inner) -> Node:
        """The node with what is inside rewired: it has more outputs, those read and whether they were made."""
        for p in inner.moved:
            self.added[p] = Var(spec_of(p))
        outputs = [Var(spec_of(p)) for p in inner.read]
        unsure = [p for p in inner.read if not p.is_certain]
        flags = [Var(flag_of(p)) for p in unsure]
        self.results.update(zip(inner.read, outputs, strict=True))
        self.made.update(zip(unsure, flags, strict=True))
        name, inputs = node.primitive.name, list(node.inputs)
        primitive, params = node.primitive, dict(node.params)
        if name == "cond":
            params["branches"] = tuple(_branch(node, k, inner) for k in range(len(params["branches"])))
        elif name == "while_loop":
            params["body"], params["condition"] = _turn(node, inner)
            inputs += [_filled(p, self.nodes) for p in inner.read]
            inputs += [_constant(False, flag_of(p), self.nodes) for p in unsure]
        elif name == "scan":
            params["body"] = inner.rewired(node, Door(inner.position))
        else:  # a function with a derivative of its own: derivatives have been taken where it matters
            primitive = call_primitive
            params = {"graph": inner.rewired(node, Door(inner.position)), "remat": params.get("remat", False)}
        inputs += [self.added[p] for p in inner.moved]
        return Node(primitive, inputs, params, [*node.outputs, *outputs, *flags], node.source, node.scope, node.origin)


class _Inner:
    """What concerns the graphs inside of one node."""

    def __init__(self, position: int, read: list[Place], changes: dict[Place, Change], moved: list[Place]) -> None:
        self.position, self.read, self.changes, self.moved = position, read, changes, moved

    @staticmethod
    def of(position: int, read: Sequence[Place], changes: Mapping[Place, Change], moved: Sequence[Place]) -> _Inner:
        def here(p: Place) -> bool:
            return bool(p.trail) and p.trail[0].position == position

        chosen = {p: c for p, c in changes.items() if here(p)}
        return _Inner(position, list(filter(here, read)), chosen, list(filter(here, moved)))

    @property
    def is_any(self) -> bool:
        return bool(self.read or self.changes or self.moved)

    def behind(self, door: Door) -> _Inner:
        """What concerns one of the graphs."""
        changes = {p: c for p, c in self.changes.items() if p.trail[0] == door}
        read, moved = ([p for p in places if p.trail[0] == door] for places in (self.read, self.moved))
        return _Inner(self.position, read, changes, moved)

    def rewired(self, node: Node, door: Door) -> Graph:
        return rewired(
            door.of(node),
            [p.inside(node) for p in self.read],
            {p.inside(node): c for p, c in self.changes.items()},
            [p.inside(node) for p in self.moved],
        )


def _branch(node: Node, k: int, inner: _Inner) -> Graph:
    """Branch k, which also gives what the others would, filled, and takes what they take."""
    old: Graph = node.params["branches"][k]
    own = inner.behind(Door(inner.position, k))
    graph = own.rewired(node, Door(inner.position, k))
    n, m = len(old.inputs), len(old.outputs)
    nodes = list(graph.nodes)
    found = _found(graph.outputs[m:], own.read, node, nodes)
    pairs = [found.get(p) or (_filled(p, nodes), _constant(False, flag_of(p), nodes)) for p in inner.read]
    extra = dict(zip(own.moved, graph.inputs[n:], strict=True))
    inputs = [*graph.inputs[:n], *(extra.get(p) or Var(spec_of(p)) for p in inner.moved)]
    names = [*graph.input_names[:n], *(f"d{j}" for j in range(len(inner.moved)))]
    outputs = [*graph.outputs[:m], *(value for value, _ in pairs), *(flag for _, flag in pairs)]
    return Graph(graph.name, inputs, nodes, outputs, input_names=names)


def _turn(node: Node, inner: _Inner) -> tuple[Graph, Graph]:
    """A while_loop's body, which hands on what was read last, and its condition, which does not look at it."""
    condition, m = node.params["condition"], len(node.params["body"].outputs)
    graph = inner.rewired(node, Door(inner.position))
    nodes = list(graph.nodes)
    found = _found(graph.outputs[m:], inner.read, node, nodes)
    before = [(Var(spec_of(p)), Var(flag_of(p))) for p in inner.read]
    after: list[tuple[Atom, Atom]] = []
    for place, (last, was) in zip(inner.read, before, strict=True):
        value, flag = found[place]
        if not place.inside(node).is_certain:  # the last turn in which it was made
            chosen, ever, mask = Var(last.spec), Var(was.spec), flag
            if last.spec.ndim > was.spec.ndim:
                shape = (*was.spec.shape, *[1] * (last.spec.ndim - was.spec.ndim))
                mask = Var(was.spec.with_shape(shape))
                nodes.append(Node(PRIMITIVES["reshape"], [flag], {"shape": shape}, [mask]))
            nodes.append(Node(PRIMITIVES["select"], [mask, value, last], {}, [chosen]))
            nodes.append(Node(PRIMITIVES["or_"], [flag, was], {}, [ever]))
            value, flag = chosen, ever
        after.append((value, flag))
    more = [*(v for v, _ in before), *(f for _, f in before)]
    names = [f"last{k}" for k in range(len(more))]
    outputs = [*graph.outputs[:m], *(v for v, _ in after), *(f for _, f in after)]
    body = Graph(graph.name, [*graph.inputs, *more], nodes, outputs, input_names=[*graph.input_names, *names])
    asked = [*condition.inputs, *(Var(v.spec) for v in more)]
    names = [*condition.input_names, *names]
    return body, Graph(condition.name, asked, condition.nodes, condition.outputs, input_names=names)


def _found(
    outputs: Sequence[Atom], read: Sequence[Place], node: Node, nodes: list[Node]
) -> dict[Place, tuple[Atom, Atom]]:
    """The values read of a rewired inner graph, and whether each was made."""
    flags = iter(outputs[len(read) :])
    return {
        p: (value, _constant(True, flag_of(p), nodes) if p.inside(node).is_certain else next(flags))
        for p, value in zip(read, outputs, strict=False)
    }


def _filled(place: Place, nodes: list[Node]) -> Atom:
    """What is read where nothing was made: NaN, or 0."""
    spec = spec_of(place)
    return _constant(np.nan if spec.dtype.is_floating else 0, spec, nodes)


def _constant(number: Any, spec: Spec, nodes: list[Node]) -> Atom:
    value = Literal(np.array(number, spec.dtype.numpy))
    if not spec.ndim:
        return value
    made = Var(spec)
    nodes.append(Node(PRIMITIVES["broadcast"], [value], {"shape": spec.shape}, [made]))
    return made


def spec_of(place: Place) -> Spec:
    """Of a value as it is read: a loop's steps in front."""
    spec = place.var.spec
    return spec.with_shape((*place.lengths, *spec.shape)) if place.lengths else spec  # type: ignore[arg-type]


def flag_of(place: Place) -> Spec:
    """Of whether a value was made: one for each step of the loops."""
    return Spec(place.lengths, bool_)  # type: ignore[arg-type]


__all__ = ["Change", "rewired", "spec_of"]
