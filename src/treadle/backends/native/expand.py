"""Passes over the graph before fusion: what no loop or product computes becomes what they do compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np

from treadle.backends.native.extents import is_extent, rough
from treadle.core.dtypes import bfloat16, float16, float32
from treadle.core.graph import Atom, Graph, Literal, Node, Var
from treadle.core.primitive import PRIMITIVES

Pass: TypeAlias = Callable[[Graph], Graph]

INLINED = {"call": "graph", "custom_jvp": "graph", "custom_vjp": "graph"}
PART = 64  # rows that are reduced in one go, where it is not known how many there are
COMBINED = {"sum": "add", "max": "maximum", "min": "minimum", "prod": "mul"}
PARTIAL = 32768  # elements from which on a reduction is done in two steps
HALVES = (float16, bfloat16)


def expand(graph: Graph) -> Graph:
    """The graph in terms of what loops and products can compute."""
    from treadle.backends.native.scans import hoist_products

    for make in PASSES:
        graph = make(graph)
        if make is inline_calls:
            graph = hoist_products(graph)
    return graph


class Nodes:
    """New nodes in place of one: they keep its source and scope."""

    def __init__(self, old: Node) -> None:
        self.old = old
        self.made: list[Node] = []

    def add(self, name: str, *inputs: Atom, **params: Any) -> Var:
        primitive = PRIMITIVES[name]
        (spec,) = primitive.infer(*(a.spec for a in inputs), **params)
        out = Var(spec)
        self.made.append(Node(primitive, inputs, params, [out], self.old.source, self.old.scope))
        return out

    def scalar(self, value: Any, like: Atom) -> Literal:
        return Literal(np.asarray(value, like.spec.dtype.numpy))


Rewrite: TypeAlias = Callable[[Nodes, Node], "Sequence[Atom] | None"]


def rewritten(graph: Graph, rewrite: Rewrite) -> Graph:
    """Each node for which `rewrite` gives atoms is replaced by them and by the nodes that it added."""
    env: dict[Var, Atom] = {}
    nodes: list[Node] = []
    changed = False
    for node in graph.nodes:
        inputs = tuple(env.get(a, a) if isinstance(a, Var) else a for a in node.inputs)
        if inputs != node.inputs:
            node = node.with_inputs(inputs)
        new = Nodes(node)
        made = rewrite(new, node)
        if made is None:
            nodes.append(node)
            continue
        changed = True
        nodes += new.made
        env.update(zip(node.outputs, made, strict=True))
    if not changed:
        return graph
    outputs = [env.get(a, a) if isinstance(a, Var) else a for a in graph.outputs]
    return Graph(graph.name, graph.inputs, nodes, outputs, input_names=graph.input_names)


def inline_calls(graph: Graph) -> Graph:
    """`y = call x graph={g}` → the nodes of g. The graphs of loops and branches are expanded on the way."""
    env: dict[Var, Atom] = {}
    nodes: list[Node] = []

    def at(atom: Atom) -> Atom:
        return env.get(atom, atom) if isinstance(atom, Var) else atom

    def copy(node: Node) -> None:
        inputs = [at(a) for a in node.inputs]
        name = node.primitive.name
        if name not in INLINED:
            outputs = [Var(v.spec) for v in node.outputs]
            env.update(zip(node.outputs, outputs, strict=True))
            params = {k: _inside(v) for k, v in node.params.items()}
            nodes.append(Node(node.primitive, inputs, params, outputs, node.source, node.scope))
            return
        inner: Graph = node.params[INLINED[name]]
        before = {v: env.get(v) for v in inner.inputs}
        env.update(zip(inner.inputs, inputs, strict=True))
        for n in inner.nodes:
            copy(n)
        results = [at(a) for a in inner.outputs]
        env.update({v: a for v, a in before.items() if a is not None})
        env.update(zip(node.outputs, results, strict=True))

    for node in graph.nodes:
        copy(node)
    return Graph(graph.name, graph.inputs, nodes, [at(a) for a in graph.outputs], input_names=graph.input_names)


def _inside(value: object) -> object:
    if isinstance(value, Graph):
        return expand(value)
    if isinstance(value, tuple) and any(isinstance(v, Graph) for v in value):
        return tuple(_inside(v) for v in value)
    return value


def expand_logsumexp(graph: Graph) -> Graph:
    """`logsumexp x` → `log(sum(exp(x - m))) + m`, with m the maximum where that is finite, else 0."""

    def rewrite(new: Nodes, node: Node) -> Sequence[Atom] | None:
        if node.primitive.name != "logsumexp":
            return None
        (x,), axes = node.inputs, node.params["axes"]
        if 0 in x.spec.shape:
            return None
        kept = tuple(1 if a in axes else n for a, n in enumerate(x.spec.shape))
        top = new.add("max", x, axes=axes)
        zero = new.scalar(0, x)
        shift = new.add("select", new.add("is_finite", top), top, zero)
        moved = new.add("sub", x, new.add("reshape", shift, shape=kept))
        total = new.add("sum", new.add("exp", moved), axes=axes)
        return [new.add("add", new.add("log", total), shift)]

    return rewritten(graph, rewrite)


def widen_halves(graph: Graph) -> Graph:
    """Products, scatters and running sums of 16-bit floats → casts around those of float32: they add up there."""

    def rewrite(new: Nodes, node: Node) -> Sequence[Atom] | None:
        if node.primitive.name not in ("contract", "conv", "scatter", "cumsum", "cumprod"):
            return None
        dtype = node.outputs[0].spec.dtype
        if dtype not in HALVES:
            return None
        wide = [new.add("cast", a, dtype=float32) if a.spec.dtype in HALVES else a for a in node.inputs]
        return [new.add("cast", new.add(node.primitive.name, *wide, **node.params), dtype=dtype)]

    return rewritten(graph, rewrite)


def products_as_loops(graph: Graph) -> Graph:
    """Products without sums, and of a matrix with a vector: elementwise products, summed. They fuse with others."""

    def rewrite(new: Nodes, node: Node) -> Sequence[Atom] | None:
        if node.primitive.name != "contract":
            return None
        x, y = node.inputs
        batch, axes = node.params["batch"], node.params["axes"]
        free = [[a for a in range(v.spec.ndim) if a not in (*batch[k], *axes[k])] for k, v in enumerate((x, y))]
        sizes = [prod(v.spec.shape[a] for a in free[k]) for k, v in enumerate((x, y))]
        summed = prod(x.spec.shape[a] for a in axes[0])
        if axes[0] and all(n > 1 for n in sizes) and summed > 1:
            return None
        larger = 0 if rough(sizes[0]) >= rough(sizes[1]) else 1
        if axes[0] and any(n > 1 for n in sizes) and not _neighbours(node.inputs[larger], axes[larger]):
            return None
        lead = [x.spec.shape[a] for a in batch[0]]
        rows, columns = ([v.spec.shape[a] for a in free[k]] for k, v in enumerate((x, y)))
        ends = [x.spec.shape[a] for a in axes[0]]
        left = new.add("transpose", x, axes=(*batch[0], *free[0], *axes[0]))
        left = new.add("reshape", left, shape=(*lead, *rows, *(1 for _ in columns), *ends))
        right = new.add("transpose", y, axes=(*batch[1], *free[1], *axes[1]))
        right = new.add("reshape", right, shape=(*lead, *(1 for _ in rows), *columns, *ends))
        product = new.add("mul", left, right)
        n = product.spec.ndim
        return [new.add("sum", product, axes=tuple(range(n - len(ends), n))) if ends else product]

    return rewritten(graph, rewrite)


def _neighbours(atom: Atom, axes: Sequence[int]) -> bool:
    """Whether the last axis, along which elements are neighbours in memory, is among these."""
    return atom.spec.ndim - 1 in axes


def split_reductions(graph: Graph) -> Graph:
    """`sum x axes=(0,)` over many rows → partial sums of blocks of rows, and the sum of those, which threads can share.

    The blocks depend on the shape alone, so the result is the same for any number of threads.
    """

    def rewrite(new: Nodes, node: Node) -> Sequence[Atom] | None:
        if node.primitive.name not in ("sum", "max", "min", "prod"):
            return None
        (x,), axes = node.inputs, node.params["axes"]
        shape = x.spec.shape
        made = prod(node.outputs[0].spec.shape)
        summed = prod(shape[a] for a in axes)
        along_rows = x.spec.ndim - 1 in axes
        few = rough(summed) < 128 or rough(summed * made) < PARTIAL
        if few or (along_rows and rough(made) >= 16) or not isinstance(x, Var):
            return None
        first = axes[0]
        n = shape[first]
        assert isinstance(n, int)
        if is_extent(n):
            return _parts_and_rest(new, node, x, first, n) if n > 2 * PART else None
        if len(axes) > 1 and 8 <= n <= 512 and summed // n >= 8:
            inner = new.add(node.primitive.name, x, axes=axes[1:])
            return [new.add(node.primitive.name, inner, axes=(first,))]
        blocks = next((b for b in range(64, 7, -1) if n % b == 0), None)
        if blocks is None or n // blocks < 2:
            return None
        parts = new.add("reshape", x, shape=(*shape[:first], blocks, n // blocks, *shape[first + 1 :]))
        inner = new.add(node.primitive.name, parts, axes=tuple(a + 1 for a in axes))
        return [new.add(node.primitive.name, inner, axes=(first,))]

    return rewritten(graph, rewrite)


def _parts_and_rest(new: Nodes, node: Node, x: Var, first: int, n: int) -> Sequence[Atom]:
    """A reduction over an axis whose size is known only when it runs: in parts of PART rows, and what follows them."""
    name, axes, shape = node.primitive.name, node.params["axes"], x.spec.shape
    parts = (n - 1) // PART
    start, step = (0,) * len(shape), (1,) * len(shape)

    def along(size: int) -> tuple[Any, ...]:
        return (*shape[:first], size, *shape[first + 1 :])

    whole = new.add("slice", x, start=start, stop=along(parts * PART), step=step)
    cut = new.add("reshape", whole, shape=(*shape[:first], parts, PART, *shape[first + 1 :]))
    total = new.add(name, new.add(name, cut, axes=tuple(a + 1 for a in axes)), axes=(first,))
    begin = tuple(parts * PART if a == first else 0 for a in range(len(shape)))
    rest = new.add(name, new.add("slice", x, start=begin, stop=shape, step=step), axes=axes)
    return [new.add(COMBINED[name], total, rest)]


EXPANDED = ("logsumexp",)  # what a pass always replaces
PASSES: tuple[Pass, ...] = (inline_calls, expand_logsumexp, widen_halves, products_as_loops, split_reductions)
