"""What must hold, and is asked by the graph itself: indices in range, and the user's checks.

`gather` and `scatter` of mode "error" may not read or write elsewhere, and have to say so at the end of the step; so
has `check`. Each gets nodes that ask whether it went wrong; loops carry the answer along, branches return it, and the
graph has one more output: 0, or the number of something that was wrong (`CHECKS` lists what they number). Kernels hold
indices inside meanwhile, so no memory is harmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from treadle.backends.native.expand import Nodes
from treadle.backends.native.extents import is_extent
from treadle.core.dtypes import int32, int64
from treadle.core.graph import Atom, Graph, Literal, Node, Var
from treadle.core.spec import Spec

NOTHING = Literal(np.array(0, np.int32))  # wrong
FLAG = Spec((), int32)
INDEX = 1  # the number of an index out of range; those of checks follow


def guard(graph: Graph) -> tuple[Graph, list[Node] | None]:
    """The graph with one more output, the number of what was wrong; or the same graph, if nothing can be.

    Returns: also the checks: number k + 2 is checks[k]. None for a graph that needs no guard.
    """
    checks: list[Node] = []
    made, guarded = _guard(graph, checks)
    return made, checks if guarded else None


def _guard(graph: Graph, checks: list[Node]) -> tuple[Graph, bool]:
    nodes: list[Node] = []
    flags: list[Var] = []
    for node in graph.nodes:
        replaced, flag = _guarded(node, checks)
        nodes += replaced
        if flag is not None:
            flags.append(flag)
    if not flags:
        return graph, False
    total: Atom = flags[0]
    for flag in flags[1:]:
        new = Nodes(graph.nodes[-1])
        total = new.add("maximum", total, flag)
        nodes += new.made
    made = Graph(graph.name, graph.inputs, nodes, [*graph.outputs, total], input_names=graph.input_names)
    return made.prune(), True  # what only a check's message needed is not computed


def _guarded(node: Node, checks: list[Node]) -> tuple[list[Node], Var | None]:
    """The nodes in place of one, and its flag if it has one."""
    name = node.primitive.name
    if name in ("gather", "scatter"):
        return _indexed(node)
    if name == "check":
        return _checked(node, checks)
    if name == "scan":
        return _scan(node, checks)
    if name == "while_loop":
        return _while(node, checks)
    if name == "cond":
        return _cond(node, checks)
    return [node], None


def _checked(node: Node, checks: list[Node]) -> tuple[list[Node], Var | None]:
    checks.append(node)
    good = node.inputs[0]
    if 0 in good.spec.shape:
        return [], None
    new = Nodes(node)
    wrong: Atom = new.add("not_", good)
    if good.spec.ndim:
        wrong = new.add("any", wrong, axes=tuple(range(good.spec.ndim)))
    flag = _numbered(new, wrong, INDEX + len(checks))
    return new.made, flag


def _numbered(new: Nodes, wrong: Atom, number: int) -> Var:
    return new.add("select", wrong, Literal(np.array(number, np.int32)), NOTHING)


def _indexed(node: Node) -> tuple[list[Node], Var | None]:
    x, indices = node.inputs[:2]
    b, mode = node.params["batch_dims"], node.params["mode"]
    k = indices.spec.shape[-1]
    sizes = [x.spec.shape[b + j] for j in range(k)]
    if 0 in indices.spec.shape or not (mode == "error" or (mode == "clip" and 0 in sizes)):
        return [node], None
    new = Nodes(node)
    flag: Var | None = None
    for j, n in enumerate(sizes):
        column = new.add(
            "slice",
            indices,
            start=(*(0 for _ in indices.spec.shape[:-1]), j),
            stop=(*indices.spec.shape[:-1], j + 1),
            step=(1,) * indices.spec.ndim,
        )
        outside = _outside(new, column, n)
        if outside is None:
            continue
        here = new.add("any", outside, axes=tuple(range(outside.spec.ndim)))
        flag = here if flag is None else new.add("or_", flag, here)
    number = None if flag is None else _numbered(new, flag, INDEX)
    return [*new.made, node], number


def _outside(new: Nodes, column: Var, size: int) -> Var | None:
    """Whether indices are below 0 or not below the size, as far as their dtype can hold such numbers."""
    dtype = column.spec.dtype
    parts = []
    if dtype.kind == "i":
        parts.append(new.add("lt", column, new.scalar(0, column)))
    if is_extent(size):
        wide = dtype if dtype.bits == 64 else int64
        wider = column if dtype is wide else new.add("cast", column, dtype=wide)
        parts.append(new.add("ge", wider, new.add("cast", new.add("size", size=size), dtype=wide)))
    elif size <= np.iinfo(dtype.numpy).max:
        parts.append(new.add("ge", column, new.scalar(size, column)))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else new.add("or_", *parts)


def _scan(node: Node, checks: list[Node]) -> tuple[list[Node], Var | None]:
    p = node.params
    consts, carry = p["consts"], p["carry"]
    body, guarded = _guard(p["body"], checks)
    if not guarded:
        return [node], None
    before = Var(FLAG)
    after, nodes = _either(body, before)
    inputs = [*body.inputs[: consts + carry], before, *body.inputs[consts + carry :]]
    outputs = [*body.outputs[:carry], after, *body.outputs[carry:-1]]
    params = {**p, "body": Graph(body.name, inputs, [*body.nodes, *nodes], outputs), "carry": carry + 1}
    flag = Var(FLAG)
    given = [*node.inputs[: consts + carry], NOTHING, *node.inputs[consts + carry :]]
    outs = [*node.outputs[:carry], flag, *node.outputs[carry:]]
    return [Node(node.primitive, given, params, outs, node.source, node.scope)], flag


def _either(body: Graph, before: Var) -> tuple[Var, list[Node]]:
    new = Nodes(body.nodes[-1])
    return new.add("maximum", before, body.outputs[-1]), new.made


def _while(node: Node, checks: list[Node]) -> tuple[list[Node], Var | None]:
    """A wrong index ends the loop: with the element at hand instead of the missing one it might never end."""
    p: dict[str, Any] = node.params
    body, in_body = _guard(p["body"], checks)
    condition, in_condition = _guard(p["condition"], checks)
    if not (in_body or in_condition):
        return [node], None
    before = Var(FLAG)
    if in_body:
        after, nodes = _either(body, before)
        new_body = Graph(body.name, [*body.inputs, before], [*body.nodes, *nodes], [*body.outputs[:-1], after])
    else:
        new_body = Graph(body.name, [*body.inputs, before], body.nodes, [*body.outputs, before])
    wrong = Var(FLAG)
    new = Nodes(condition.nodes[-1] if condition.nodes else node)
    stop: Atom = new.add("maximum", wrong, condition.outputs[1]) if in_condition else wrong
    going = new.add("and_", condition.outputs[0], new.add("eq", stop, NOTHING))
    new_condition = Graph(condition.name, [*condition.inputs, wrong], [*condition.nodes, *new.made], [going])
    flag = Var(FLAG)
    params = {**p, "body": new_body, "condition": new_condition}
    outs = [*node.outputs, flag]
    loop = Node(node.primitive, [*node.inputs, NOTHING], params, outs, node.source, node.scope)
    if not in_condition:
        return [loop], flag
    # What the condition found wrong at last is not in the carry: ask again, of the carry that it ended with.
    asked, (answer,) = _copied(condition, [*node.inputs[: p["condition_consts"]], *node.outputs], condition.outputs[1:])
    last = Nodes(node)
    total = last.add("maximum", flag, answer)
    return [loop, *asked, *last.made], total


def _copied(graph: Graph, inputs: Sequence[Atom], outputs: Sequence[Atom]) -> tuple[list[Node], list[Atom]]:
    """The nodes that some values of a graph need, of these inputs, and the values."""
    needed = {a for a in outputs if isinstance(a, Var)}
    chosen: list[Node] = []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            chosen.append(node)
            needed.update(a for a in node.inputs if isinstance(a, Var))
    env: dict[Var, Atom] = dict(zip(graph.inputs, inputs, strict=True))
    nodes = []
    for node in reversed(chosen):
        made = [Var(v.spec) for v in node.outputs]
        given = [env.get(a, a) if isinstance(a, Var) else a for a in node.inputs]
        nodes.append(Node(node.primitive, given, node.params, made, node.source, node.scope))
        env.update(zip(node.outputs, made, strict=True))
    return nodes, [env.get(a, a) if isinstance(a, Var) else a for a in outputs]


def _cond(node: Node, checks: list[Node]) -> tuple[list[Node], Var | None]:
    made: Sequence[tuple[Graph, bool]] = [_guard(g, checks) for g in node.params["branches"]]
    if not any(guarded for _, guarded in made):
        return [node], None
    branches = tuple(g if guarded else g.with_outputs([*g.outputs, NOTHING]) for g, guarded in made)
    flag = Var(FLAG)
    outs = [*node.outputs, flag]
    return [
        Node(node.primitive, node.inputs, {**node.params, "branches": branches}, outs, node.source, node.scope)
    ], flag
