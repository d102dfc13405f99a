"""`cond`: one of several branches, chosen while running."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core.dtypes import int32
from treadle.core.eager import runs_at_once
from treadle.core.errors import DTypeError, OutOfRangeError, ShapeError
from treadle.core.graph import Atom, Graph, Node
from treadle.core.primitive import Batched, Primitive, Unknown, Zero
from treadle.core.registry import array_namespace, graph_transforms
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops.control.assigned import Watch, watched
from treadle.ops.control.bodies import Bodies, Body, Leaves, check_functions, trace_bodies
from treadle.ops.control.call import check_inputs, fill, run
from treadle.ops.effects import gated, is_decided
from treadle.ops.layout import instantiate

_primitive = Primitive("cond", multiple=True)


@_primitive.shape
def _(index: Spec, *operands: Spec, branches: tuple[Graph, ...]) -> tuple[Spec, ...]:
    if index != Spec((), int32):
        raise ShapeError(f"cond: the branch is chosen by a scalar, not by {index}")
    for graph in branches:
        check_inputs("cond", graph, operands)
        if graph.output_specs != branches[0].output_specs:
            raise ShapeError(
                f"cond: the branches must return the same shapes and dtypes, but {branches[0].name} returns "
                f"{list(branches[0].output_specs)} and {graph.name} returns {list(graph.output_specs)}"
            )
    return branches[0].output_specs


@_primitive.reference
def _(index: Any, *operands: Any, branches: tuple[Graph, ...]) -> tuple[Any, ...]:
    return run(branches[min(max(int(index), 0), len(branches) - 1)], operands)


@_primitive.push
def _(primals: Any, tangents: Any, *, branches: tuple[Graph, ...]) -> tuple[Sequence[Tensor], list[Any]]:
    t = graph_transforms()
    nonzero = tuple(not isinstance(x, Zero) for x in tangents[1:])
    specs = branches[0].output_specs
    none = (False,) * len(specs)
    force = _union(t.jvp_graph(g, nonzero, none)[1] for g in branches)
    pushed = tuple(t.jvp_graph(g, nonzero, force)[0] for g in branches)
    made = _primitive(*primals, *(x for x in tangents[1:] if not isinstance(x, Zero)), branches=pushed)
    return made[: len(specs)], fill(made[len(specs) :], force, specs)


def _union(flags: Any) -> tuple[bool, ...]:
    return tuple(map(any, zip(*flags, strict=True)))


@_primitive.linearize
def _(primals: Any, tangents: Any, *, branches: tuple[Graph, ...]) -> tuple[Sequence[Tensor], list[Any]]:
    t = graph_transforms()
    nonzero = tuple(not isinstance(x, Zero) for x in tangents[1:])
    n = len(branches[0].outputs)
    none = (False,) * n
    force = _union(t.linearize_graph(g, nonzero, none).nonzero for g in branches)
    splits = [t.linearize_graph(g, nonzero, force) for g in branches]
    counts = [len(s.passed) for s in splits]
    specs = [s.linear.input_specs[:c] for s, c in zip(splits, counts, strict=True)]
    moved = [x for x in tangents[1:] if not isinstance(x, Zero)]
    known = tuple(_pad_outputs(s.known, n, specs, k) for k, s in enumerate(splits))
    results = _primitive(*primals, branches=known)
    outs, residuals = results[:n], results[n:]
    if not any(force):
        return outs, fill((), force, branches[0].output_specs)
    linear = tuple(_pick_inputs(s.linear, specs, k) for k, s in enumerate(splits))
    made = _primitive(primals[0], *residuals, *moved, branches=linear)
    return outs, fill(made, force, branches[0].output_specs)


def _pad_outputs(graph: Graph, n: int, specs: Sequence[Sequence[Spec]], k: int) -> Graph:
    """Branch k also returns zeros in the places of the other branches' residuals."""
    from treadle.core.tracing import replay

    def padded(*xs: Tensor) -> list[Tensor]:
        outs = replay(graph, xs)
        groups = [outs[n:] if j == k else [instantiate(Zero(s)) for s in group] for j, group in enumerate(specs)]
        return [*outs[:n], *(x for group in groups for x in group)]

    made: Graph = graph_transforms().closed(padded, graph.input_specs, graph.name, graph.input_names)
    return made


def _pick_inputs(graph: Graph, specs: Sequence[Sequence[Spec]], k: int) -> Graph:
    """Branch k takes all branches' residuals and uses its own."""
    from treadle.core.tracing import replay

    start = sum(map(len, specs[:k]))
    total = sum(map(len, specs))
    own = len(specs[k])

    def picked(*xs: Tensor) -> list[Tensor]:
        return replay(graph, [*xs[start : start + own], *xs[total:]])

    every = [s for group in specs for s in group] + list(graph.input_specs[own:])
    made: Graph = graph_transforms().closed(picked, every, graph.name)
    return made


@_primitive.transpose
def _(cts: Any, index: Any, *operands: Any, branches: tuple[Graph, ...]) -> list[Any]:
    unknown = tuple(isinstance(x, Unknown) for x in operands)
    back = tuple(graph_transforms().transpose_graph(g, unknown) for g in branches)
    known = [x for x in operands if not isinstance(x, Unknown)]
    made = iter(_primitive(index, *known, *(instantiate(c) for c in cts), branches=back))
    return [None, *(next(made) if u else None for u in unknown)]


@_primitive.batch
def _(batched: Any, index: Any, *operands: Any, size: Any, branches: tuple[Graph, ...]) -> Batched:
    from treadle.ops import elementwise as ew
    from treadle.ops import shape as shape_ops

    t = graph_transforms()
    none = (False,) * len(branches[0].outputs)
    if not batched[0]:
        force = _union(t.batch_graph(g, batched[1:], size, none)[1] for g in branches)
        graphs = tuple(t.batch_graph(g, batched[1:], size, force)[0] for g in branches)
        return Batched(_primitive(index, *operands, branches=graphs), force)
    # Every branch runs on every example, and each example takes its own branch's result. An index that is out of
    # range in a branch that was not taken must not raise.
    every = (True,) * len(none)
    results = []
    for k, g in enumerate(branches):
        if is_decided(g):  # what prints and checks must know which examples it is for
            is_mine = ew.ge if k == len(branches) - 1 else ew.eq
            mine = is_mine(index, array_namespace().asarray(k, dtype=int32))
            made = t.batch_graph(tolerant(gated(g)), (*batched[1:], True), size, every)[0]
            results.append(_replay(made, [*operands, mine]))
        else:
            results.append(_replay(t.batch_graph(tolerant(g), batched[1:], size, every)[0], operands))
    outs = results[-1]
    for k in range(len(branches) - 2, -1, -1):
        limit = array_namespace().asarray(k, dtype=int32)
        chosen = []
        for a, b in zip(results[k], outs, strict=True):
            mask = shape_ops.reshape(ew.le(index, limit), shape=(size,) + (1,) * (a.ndim - 1))
            chosen.append(ew.select(mask, a, b))
        outs = chosen
    return Batched(outs, every)


def _replay(graph: Graph, inputs: Sequence[Tensor]) -> list[Tensor]:
    from treadle.core.tracing import replay

    return replay(graph, inputs)


def tolerant(graph: Graph) -> Graph:
    """The graph with out-of-range indices tolerated (clipped for reading, dropped for writing) instead of raised.

    rewrite:
        %1 = gather %x %i batch_dims=0 mode='error'  →  %1 = gather %x %i batch_dims=0 mode='clip'
    """
    modes = {"gather": "clip", "scatter": "drop"}

    def visit(node: Node, inputs: tuple[Atom, ...]) -> Node:
        params = dict(node.params)
        if params.get("mode") == "error" and node.primitive.name in modes:
            params["mode"] = modes[node.primitive.name]
        for key, value in params.items():
            if isinstance(value, Graph):
                params[key] = tolerant(value)
            elif isinstance(value, tuple) and value and isinstance(value[0], Graph):
                params[key] = tuple(map(tolerant, value))
        return Node(node.primitive, inputs, params, node.outputs, node.source, node.scope, node.origin)

    return graph.map_nodes(visit)


@_primitive.samples
def _(s: Any) -> Iterator[Any]:
    f = Graph.parse("graph f(x: f64[3]) -> f64[3]\n  %0 = tanh %x : f64[3]\n  return %0")
    g = Graph.parse("graph g(x: f64[3]) -> f64[3]\n  %0 = mul %x %x : f64[3]\n  return %0")
    h = Graph.parse("graph h(x: f64[3]) -> f64[]\n  %0 = sum %x axes=(0,) : f64[]\n  return %0")
    for k in (0, 1, 5):
        yield s.case(np.int32(k), s.normal(3), branches=(f, g))
    yield s.error(np.int32(0), np.zeros(3), ShapeError, "same shapes", "f64[]", branches=(f, h))


def cond(predicate: Any, true: Callable[..., Any], false: Callable[..., Any], *operands: Any) -> Any:
    """`true(*operands)` where the predicate holds, else `false(*operands)`; only the chosen one runs.

    Under `td.vmap` with a predicate that differs between examples, both run and each example takes its own.

    Args:
        predicate: a bool scalar.
        operands: trees of tensors; the branches may also use tensors from around them.

    Returns: what the branches return: trees of the same structure, shapes and dtypes.

    Raises:
        DTypeError: the predicate is not bool.
        ShapeError: the predicate is no scalar, or the branches return different things.

    >>> import treadle as td
    >>> f = td.compile(lambda x: td.cond(x.sum() > 0, td.sqrt, td.abs, x))
    >>> f(td.asarray([4., 9.])).tolist(), f(td.asarray([-4., 1.])).tolist()
    ([2.0, 3.0], [4.0, 1.0])
    """
    ns = array_namespace()
    p = ns.asarray(predicate)
    if not p.dtype.is_bool:
        raise DTypeError(f"cond: the predicate must be bool, and is {p.spec}; write a comparison, such as x != 0")
    if p.shape != ():
        raise ShapeError(f"cond: the predicate must be one bool, and is {p.spec}; use td.where to choose by element")
    index = ns.where(p, ns.asarray(0, dtype=int32), ns.asarray(1, dtype=int32))
    return _choose(index, [Body("the true branch", true), Body("the false branch", false)], operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`branches[index](*operands)`, the index being a tensor; it is clamped into range.

    Raises:
        ShapeError: the index is no scalar, or the branches return different things.
        OutOfRangeError: there are no branches.

    >>> import treadle as td
    >>> td.switch(td.asarray(1), [td.sin, td.abs], td.asarray(-2.0)).item()
    2.0
    """
    ns = array_namespace()
    if not branches:
        raise OutOfRangeError("switch: give at least one branch")
    i = ns.asarray(index)
    if not i.dtype.is_integer:
        raise DTypeError(f"switch: the index must be an integer, and is {i.spec}")
    bodies = [Body(f"branch {k}", f) for k, f in enumerate(branches)]
    return _choose(ns.clip(i, 0, len(branches) - 1).astype(int32), bodies, operands)


def _choose(index: Tensor, bodies: Sequence[Body], operands: Sequence[Any]) -> Any:
    check_functions("td.cond", bodies)
    given = [Leaves.of(tree, "td.cond") for tree in operands]
    if runs_at_once([index, *(x for leaves in given for x in leaves.tensors)]):
        chosen = bodies[min(max(int(index), 0), len(bodies) - 1)]
        out = Leaves.of(chosen.function(*(g.rebuild(g.tensors) for g in given)), f"td.cond: {chosen.name} returned")
        return out.rebuild(out.tensors)

    def traced_under(watch: Watch) -> Bodies:
        running = [Body(b.name, functools.partial(watch.run, b.function)) for b in bodies]
        return trace_bodies("td.cond", running, [operands] * len(bodies))

    watch, traced = watched(traced_under)
    if watch.places:
        carried = [Body(b.name, watch.carrying(b.function)) for b in bodies]
        variables, out = _choose(index, carried, [watch.before, *operands])
        watch.assign(variables)
        return out
    first = traced.results[0]
    for body, result in zip(bodies, traced.results, strict=True):
        if result.structure != first.structure:
            raise ShapeError(
                f"cond: the branches must return the same structure, but {bodies[0].name} returns "
                f"{first.structure.paths()} and {body.name} returns {result.structure.paths()}"
            )
    outs = _primitive(index, *traced.operands[0], *traced.captured, branches=tuple(traced.graphs))
    return first.rebuild(outs)
