"""Products that need not be inside a scan: one large product outside is far faster than one small one a turn.

Three passes over graphs with scans. In each, what the product needs of every turn is stacked, and the product runs over
all turns at once; the last two are how an LSTM's projection of its input, and the gradient of its weights, become
large matrix products whether or not the model's author wrote them so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from treadle.backends.native.expand import Nodes
from treadle.core.graph import Atom, Graph, Node, Var
from treadle.core.spec import Spec

Axes = tuple[int, ...]


def position(values: Sequence[Atom], wanted: Atom) -> int:
    """Where a value stands in a list, by identity."""
    return next(k for k, value in enumerate(values) if value is wanted)


@dataclass
class Scan:
    """A scan, taken apart: outer values and the body's values in the same order."""

    node: Node
    consts: list[Atom]
    inner_consts: list[Var]
    init: list[Atom]
    inner_carry: list[Var]
    xs: list[Atom]
    inner_xs: list[Var]
    nodes: list[Node]
    carry_out: list[Atom]  # of the body
    ys: list[Atom]  # of the body
    results: list[Var]  # of the node: carry, then ys

    @staticmethod
    def of(node: Node) -> Scan:
        p = node.params
        body: Graph = p["body"]
        c, k = p["consts"], p["carry"]
        return Scan(
            node,
            list(node.inputs[:c]),
            list(body.inputs[:c]),
            list(node.inputs[c : c + k]),
            list(body.inputs[c : c + k]),
            list(node.inputs[c + k :]),
            list(body.inputs[c + k :]),
            list(body.nodes),
            list(body.outputs[:k]),
            list(body.outputs[k:]),
            list(node.outputs),
        )

    @property
    def length(self) -> int:
        length: int = self.node.params["length"]
        return length

    @property
    def stacked(self) -> list[Var]:
        """The node's outputs that are stacks of `ys`."""
        return self.results[len(self.carry_out) :]

    def stack(self, atom: Var) -> Atom:
        """All turns' values of one of the body's: an input or output that is there already, or a new output."""
        if atom in self.inner_xs:
            return self.xs[self.inner_xs.index(atom)]
        if atom in self.ys:
            return self.stacked[self.ys.index(atom)]
        made = Var(Spec((self.length, *atom.spec.shape), atom.spec.dtype))
        self.ys.append(atom)
        self.results.append(made)
        return made

    def built(self) -> Node:
        p = self.node.params
        inputs = [*self.inner_consts, *self.inner_carry, *self.inner_xs]
        body = Graph(p["body"].name, inputs, self.nodes, [*self.carry_out, *self.ys]).prune()
        params = {**p, "body": body, "consts": len(self.consts), "carry": len(self.init)}
        given = [*self.consts, *self.init, *self.xs]
        return Node(self.node.primitive, given, params, self.results, self.node.source, self.node.scope)

    def makers(self) -> dict[Atom, Node]:
        return {v: n for n in self.nodes for v in n.outputs}

    def uses(self) -> dict[Atom, int]:
        """How often each of the body's values is read."""
        count: dict[Atom, int] = {}
        for n in self.nodes:
            for a in n.inputs:
                count[a] = count.get(a, 0) + 1
        for a in (*self.carry_out, *self.ys):
            count[a] = count.get(a, 0) + 1
        return count


def hoist_products(graph: Graph) -> Graph:
    """All three passes, over every scan of a graph."""
    nodes: list[Node] = []
    env: dict[Var, Atom] = {}
    changed = False
    for node in graph.nodes:
        inputs = tuple(env.get(a, a) if isinstance(a, Var) else a for a in node.inputs)
        if inputs != node.inputs:
            node = node.with_inputs(inputs)
        if node.primitive.name != "scan" or node.params["length"] < 2 or node.params["body"].has_effects:
            nodes.append(node)
            continue
        scan = Scan.of(node)
        before = _project_inputs(scan)
        after, replaced = _sum_products(scan)
        more, replaced_ys = _project_outputs(scan)
        if not before and not after and not more:
            nodes.append(node)
            continue
        changed = True
        nodes += [*before, scan.built(), *after, *more]
        env.update(replaced)
        env.update(replaced_ys)
    if not changed:
        return graph
    outputs = [env.get(a, a) if isinstance(a, Var) else a for a in graph.outputs]
    return Graph(graph.name, graph.inputs, nodes, outputs, input_names=graph.input_names)


def _project_inputs(scan: Scan) -> list[Node]:
    """In the body: `contract(x_t, w)` with w the same in all turns → outside: `contract(xs, w)`, sliced in the body."""
    made: list[Node] = []
    for node in list(scan.nodes):
        if node.primitive.name != "contract" or any(node.params["batch"]):
            continue
        side = next(
            (k for k in (0, 1) if node.inputs[k] in scan.inner_xs and node.inputs[1 - k] in scan.inner_consts), None
        )
        if side is None:
            continue
        x = scan.xs[position(scan.inner_xs, node.inputs[side])]
        w = scan.consts[position(scan.inner_consts, node.inputs[1 - side])]
        new = Nodes(node)
        axes = node.params["axes"]
        out = new.add("contract", x, w, batch=((), ()), axes=(_later(axes[side]), axes[1 - side]))
        if side == 1:  # the free axes of w come first
            free = len(node.inputs[0].spec.shape) - len(axes[0])
            rank = out.spec.ndim
            out = new.add("transpose", out, axes=(0, *range(rank - free, rank), *range(1, rank - free)))
        made += new.made
        scan.nodes.remove(node)
        scan.xs.append(out)
        scan.inner_xs.append(node.outputs[0])
    return made


def _later(axes: Sequence[int]) -> Axes:
    """Axes of a value, in the stack of all turns' values."""
    return tuple(a + 1 for a in axes)


def _sum_products(scan: Scan) -> tuple[list[Node], dict[Var, Atom]]:
    """In the body: a carry that only has a product added → outside: one product, summed over the turns as well."""
    made: list[Node] = []
    replaced: dict[Var, Atom] = {}
    for carry in list(scan.inner_carry):
        j = scan.inner_carry.index(carry)
        found = _added_product(scan, carry, scan.carry_out[j])
        if found is None:
            continue
        total, product, views = found
        a, b = product.inputs
        assert isinstance(a, Var)
        assert isinstance(b, Var)
        result, init = scan.results[j], scan.init[j]
        scan.nodes.remove(total)
        for thing in (scan.inner_carry, scan.init, scan.carry_out, scan.results):
            del thing[j]
        new = Nodes(product)
        batch, axes = product.params["batch"], product.params["axes"]
        out = new.add(
            "contract",
            scan.stack(a),
            scan.stack(b),
            batch=(_later(batch[0]), _later(batch[1])),
            axes=((0, *_later(axes[0])), (0, *_later(axes[1]))),
        )
        for view in views:
            out = new.add(view.primitive.name, out, **view.params)
        made += new.made
        adding = Nodes(total)
        replaced[result] = adding.add("add", init, out)
        made += adding.made
    return made, replaced


def _added_product(scan: Scan, carry: Var, out: Atom) -> tuple[Node, Node, list[Node]] | None:
    """(the sum, the product, transposes between them) if a carry is nothing but a sum of products."""
    makers, uses = scan.makers(), scan.uses()
    total = makers.get(out)
    if total is None or total.primitive.name != "add" or uses.get(out) != 1 or uses.get(carry) != 1:
        return None
    if carry not in total.inputs or total.inputs[0].spec != total.inputs[1].spec:
        return None
    value = total.inputs[1] if total.inputs[0] is carry else total.inputs[0]
    views: list[Node] = []
    while (node := makers.get(value)) is not None and node.primitive.name == "transpose" and uses[value] == 1:
        views.insert(0, node)
        value = node.inputs[0]
    if node is None or node.primitive.name != "contract" or uses[value] != 1:
        return None
    local = {*makers, *scan.inner_xs, *scan.inner_carry}
    if not all(isinstance(a, Var) and a in local for a in node.inputs):
        return None
    return total, node, views


def _project_outputs(scan: Scan) -> tuple[list[Node], dict[Var, Atom]]:
    """In the body: `y_t = contract(a, w)` that is only stacked → outside: `contract(stack of a, w)`."""
    made: list[Node] = []
    replaced: dict[Var, Atom] = {}
    for y in list(scan.ys):
        makers, uses = scan.makers(), scan.uses()
        node = makers.get(y)
        if node is None or node.primitive.name != "contract" or uses[y] != 1 or any(node.params["batch"]):
            continue
        side = next((k for k in (0, 1) if node.inputs[1 - k] in scan.inner_consts), None)
        if side is None:
            continue
        a = node.inputs[side]
        if not isinstance(a, Var) or a in scan.inner_consts:
            continue
        w = scan.consts[position(scan.inner_consts, node.inputs[1 - side])]
        j = scan.ys.index(y)
        result = scan.stacked[j]
        del scan.results[len(scan.carry_out) + j], scan.ys[j]
        scan.nodes.remove(node)
        new = Nodes(node)
        axes: Any = node.params["axes"]
        out = new.add("contract", scan.stack(a), w, batch=((), ()), axes=(_later(axes[side]), axes[1 - side]))
        if side == 1:
            free = len(node.inputs[0].spec.shape) - len(axes[0])
            rank = out.spec.ndim
            out = new.add("transpose", out, axes=(0, *range(rank - free, rank), *range(1, rank - free)))
        made += new.made
        replaced[result] = out
    return made, replaced
