"""A graph with some of its values read, replaced or moved: what fetching, overriding and comparing are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from treadle.core.graph import Atom, Graph, Node, Var
from treadle.core.primitive import PRIMITIVES
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops.control.call import call as call_primitive
from treadle.transforms.graphs import closed
from treadle.transforms.names import INSIDE, Place

Change = Callable[[Tensor], Tensor]


def rewired(graph: Graph, read: Sequence[Place], changes: Mapping[Place, Change], moved: Sequence[Place] = ()) -> Graph:
    """A graph without captures, with more outputs and inputs at the end of its own.

    Args:
        read: values that become outputs, those of a scan's body stacked along its steps.
        changes: values in whose place everything that follows reads another, made of them.
        moved: values to which a new input is added, of the shape that `read` would give.

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
        self.added: dict[Place, Var] = {}

    def run(self) -> Graph:
        g = self.graph
        for v in g.inputs:
            self._edit(v, None)
        for i, node in enumerate(g.nodes):
            node = node.with_inputs([self._at(a) for a in node.inputs])
            read, changes, moved = self._below(i)
            if read or changes or moved:
                node = self._opened(node, i, read, changes, moved)
            self.nodes.append(node)
            for v in node.outputs:
                self._edit(v, node)
        return Graph(
            g.name,
            [*g.inputs, *(self.added[p] for p in self.moved)],
            self.nodes,
            [*map(self._at, g.outputs), *(self.results[p] for p in self.read)],
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

    def _below(self, i: int) -> tuple[list[Place], dict[Place, Change], list[Place]]:
        """What concerns the graph inside of node i."""
        read = [p for p in self.read if p.trail[:1] == (i,)]
        changes = {p: c for p, c in self.changes.items() if p.trail[:1] == (i,)}
        return read, changes, [p for p in self.moved if p.trail[:1] == (i,)]

    def _opened(
        self, node: Node, i: int, read: Sequence[Place], changes: Mapping[Place, Change], moved: Sequence[Place]
    ) -> Node:
        key = INSIDE[node.primitive.name]
        is_loop = key == "body"

        def inner(place: Place) -> Place:
            return Place(place.trail[1:], place.var, place.lengths[1:] if is_loop else place.lengths)

        graph = rewired(
            node.params[key],
            [inner(p) for p in read],
            {inner(p): c for p, c in changes.items()},
            [inner(p) for p in moved],
        )
        if is_loop:
            params, primitive = {**node.params, "body": graph}, node.primitive
        else:  # a function with a derivative of its own: derivatives have been taken where it matters
            params, primitive = {"graph": graph, "remat": node.params.get("remat", False)}, call_primitive
        for p in moved:
            self.added[p] = Var(spec_of(p))
        outputs = [Var(spec_of(p)) for p in read]
        self.results.update(zip(read, outputs, strict=True))
        return Node(
            primitive,
            [*node.inputs, *(self.added[p] for p in moved)],
            params,
            [*node.outputs, *outputs],
            node.source,
            node.scope,
        )


def spec_of(place: Place) -> Spec:
    """Of a value as it is read: a loop's steps in front."""
    spec = place.var.spec
    return spec.with_shape((*place.lengths, *spec.shape)) if place.lengths else spec  # type: ignore[arg-type]


__all__ = ["Change", "rewired", "spec_of"]
