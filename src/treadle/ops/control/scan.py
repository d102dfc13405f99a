"""`scan`: a loop over the first axis of its inputs, with carried state and stacked outputs.

The body is a graph `(consts, carry, slice of xs) → (carry, slice of ys)`. Its derivative and its transpose are scans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from treadle.core.dims import Size, same_size
from treadle.core.eager import runs_at_once
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.graph import Graph, Var
from treadle.core.primitive import Batched, Primitive, Unknown, Zero
from treadle.core.registry import array_namespace, graph_transforms
from treadle.core.running import looping
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.core.tracing import replay
from treadle.ops.control.assigned import Watch, watched
from treadle.ops.control.bodies import Bodies, Body, Leaves, check_functions, trace_bodies
from treadle.ops.control.call import check_inputs, fill
from treadle.ops.control.call import run as run_graph
from treadle.ops.control.segments import segmented, steps_of_segment
from treadle.ops.layout import instantiate

_primitive = Primitive("scan", multiple=True)


def _bind(
    body: Graph, consts: Sequence[Tensor], carry: Sequence[Tensor], xs: Sequence[Tensor], *, length: Size, reverse: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """(carry, ys) of a scan."""
    outs = _primitive(
        *consts, *carry, *xs, body=body, length=length, reverse=reverse, consts=len(consts), carry=len(carry)
    )
    return list(outs[: len(carry)]), list(outs[len(carry) :])


@_primitive.shape
def _(*inputs: Spec, body: Graph, length: Size, reverse: bool, consts: int, carry: int) -> tuple[Spec, ...]:
    xs = inputs[consts + carry :]
    for x in xs:
        if x.ndim == 0 or not same_size(x.shape[0], length):
            raise ShapeError(f"scan: each x must have {length} elements on axis 0, and one is {x}")
    check_inputs("scan", body, [*inputs[: consts + carry], *(x.with_shape(x.shape[1:]) for x in xs)])
    outs = body.output_specs
    if outs[:carry] != tuple(inputs[consts : consts + carry]):
        raise ShapeError(
            f"scan: the body must return the carry as it came, {list(inputs[consts : consts + carry])}, "
            f"and returns {list(outs[:carry])}"
        )
    return (*outs[:carry], *(y.with_shape((length, *y.shape)) for y in outs[carry:]))


@_primitive.reference
def _(*inputs: Any, body: Graph, length: int, reverse: bool, consts: int, carry: int) -> tuple[Any, ...]:
    fixed, state, xs = inputs[:consts], list(inputs[consts : consts + carry]), inputs[consts + carry :]
    specs = body.output_specs[carry:]
    ys = [np.empty((length, *map(int, s.shape)), s.dtype.numpy) for s in specs]
    with looping() as turns:
        for t in range(length - 1, -1, -1) if reverse else range(length):
            turns[-1] = t
            outs = run_graph(body, [*fixed, *state, *(x[t] for x in xs)])
            state = list(outs[:carry])
            for y, value in zip(ys, outs[carry:], strict=True):
                y[t] = value
    return (*state, *ys)


def _split(items: Sequence[Any], consts: int, carry: int) -> tuple[list[Any], list[Any], list[Any]]:
    return list(items[:consts]), list(items[consts : consts + carry]), list(items[consts + carry :])


def _nonzero(tangents: Sequence[Any]) -> tuple[bool, ...]:
    return tuple(not isinstance(t, Zero) for t in tangents)


def _moved(tangents: Sequence[Any], flags: Sequence[bool]) -> list[Tensor]:
    """The tangents that are marked, as numbers."""
    return [instantiate(t) for t, f in zip(tangents, flags, strict=True) if f]


def _grow(flags: tuple[bool, ...], start: int, found: Sequence[bool]) -> tuple[bool, ...]:
    """Flags of the inputs when the carry's become those that the body found for it."""
    carry = tuple(a or b for a, b in zip(flags[start : start + len(found)], found, strict=True))
    return flags[:start] + carry + flags[start + len(found) :]


@_primitive.push
def _(
    primals: Any, tangents: Any, *, body: Graph, length: Size, reverse: bool, consts: int, carry: int
) -> tuple[list[Tensor], list[Any]]:
    t = graph_transforms()
    flags = _nonzero(tangents)
    n = len(body.outputs) - carry
    while True:
        force = flags[consts : consts + carry] + (False,) * n
        pushed, made = t.jvp_graph(body, flags, force)
        grown = _grow(flags, consts, made[:carry])
        if grown == flags:
            break
        flags = grown
    c, s, x = _split(primals, consts, carry)
    fc, fs, fx = _split(flags, consts, carry)
    dc, ds, dx = (_moved(g, f) for g, f in zip(_split(tangents, consts, carry), (fc, fs, fx), strict=True))
    order_in = _Order([("c", len(c)), ("s", carry), ("x", len(x)), ("dc", len(dc)), ("ds", len(ds)), ("dx", len(dx))])
    order_out = _Order([("s", carry), ("y", n), ("ds", len(ds)), ("dy", sum(made[carry:]))])
    new_body = order_in.permute_inputs(pushed, ["c", "dc", "s", "ds", "x", "dx"])
    new_body = new_body.with_outputs(order_out.select(new_body.outputs, ["s", "ds", "y", "dy"]))
    state, ys = _bind(new_body, [*c, *dc], [*s, *ds], [*x, *dx], length=length, reverse=reverse)
    outs = [*state[:carry], *ys[:n]]
    return outs, fill([*state[carry:], *ys[n:]], [*fs, *made[carry:]], [o.spec for o in outs])


class _Order:
    """Named groups of consecutive items, to put them into another order."""

    def __init__(self, groups: Sequence[tuple[str, int]]) -> None:
        self.spans: dict[str, slice] = {}
        at = 0
        for name, count in groups:
            self.spans[name] = slice(at, at + count)
            at += count

    def select(self, items: Sequence[Any], names: Sequence[str]) -> list[Any]:
        return [x for n in names for x in items[self.spans[n]]]

    def permute_inputs(self, graph: Graph, names: Sequence[str]) -> Graph:
        return Graph(
            graph.name,
            self.select(graph.inputs, names),
            graph.nodes,
            graph.outputs,
            input_names=self.select(graph.input_names, names),
        )


@_primitive.linearize
def _(
    primals: Any, tangents: Any, *, body: Graph, length: Size, reverse: bool, consts: int, carry: int
) -> tuple[list[Tensor], list[Any]]:
    t = graph_transforms()
    flags = _nonzero(tangents)
    n_ys = len(body.outputs) - carry
    while True:
        force = flags[consts : consts + carry] + (False,) * n_ys
        split = t.linearize_graph(body, flags, force)
        grown = _grow(flags, consts, split.nonzero[:carry])
        if grown == flags:
            break
        flags = grown
    c, s, x = _split(primals, consts, carry)
    # What the body passes on from a const or an x is not stacked again: the backward scan takes it as it came.
    stacked = [i for i, p in enumerate(split.passed) if p is None or consts <= p < consts + carry]
    fixed = [i for i, p in enumerate(split.passed) if p is not None and p < consts]
    sliced = [i for i, p in enumerate(split.passed) if p is not None and p >= consts + carry]
    outputs = split.known.outputs
    known = split.known.with_outputs([*outputs[: carry + n_ys], *(outputs[carry + n_ys + i] for i in stacked)])
    state, ys = _bind(known, c, s, x, length=length, reverse=reverse)
    outs = [*state, *ys[:n_ys]]
    if not any(split.nonzero):
        return outs, [Zero(o.spec) for o in outs]
    fc, fs, fx = _split(flags, consts, carry)
    dc, ds, dx = (_moved(g, f) for g, f in zip(_split(tangents, consts, carry), (fc, fs, fx), strict=True))
    inputs, names = split.linear.inputs, split.linear.input_names
    n = len(split.passed)
    k_c, k_s = n + len(dc), n + len(dc) + len(ds)
    order = [*fixed, *range(n, k_c), *range(k_c, k_s), *stacked, *sliced, *range(k_s, len(inputs))]
    linear = Graph(
        split.linear.name,
        [inputs[i] for i in order],
        split.linear.nodes,
        split.linear.outputs,
        input_names=[names[i] for i in order],
    )
    residual_xs = [*ys[n_ys:], *(primals[split.passed[i]] for i in sliced)]
    residual_consts = [primals[split.passed[i]] for i in fixed]
    made_state, made_ys = _bind(
        linear, [*residual_consts, *dc], ds, [*residual_xs, *dx], length=length, reverse=reverse
    )
    return outs, fill([*made_state, *made_ys], split.nonzero, [o.spec for o in outs])


def _linear_carry(body: Graph, unknown: tuple[bool, ...], consts: int, carry: int) -> tuple[bool, ...]:
    """Which parts of the carry depend on unknown inputs, at some step."""
    key = ("linear_carry", unknown, consts, carry)
    flags = body.derived.get(key, unknown)
    while key not in body.derived:
        linear = {v for v, f in zip(body.inputs, flags, strict=True) if f}
        for node in body.nodes:
            if any(isinstance(a, Var) and a in linear for a in node.inputs):
                linear.update(node.outputs)
        grown = _grow(flags, consts, [isinstance(a, Var) and a in linear for a in body.outputs[:carry]])
        if grown == flags:
            body.derived[key] = flags
        flags = grown
    return tuple(flags[consts : consts + carry])


@_primitive.transpose
def _(cts: Any, *inputs: Any, body: Graph, length: Size, reverse: bool, consts: int, carry: int) -> list[Any]:
    """The linear loop backwards: cotangents of the carry travel, those of consts add up, those of xs are stacked."""
    unknown = tuple(isinstance(x, Unknown) for x in inputs)
    if not all(_linear_carry(body, unknown, consts, carry)):
        params = {"body": body, "length": length, "reverse": reverse, "consts": consts, "carry": carry}
        return list(graph_transforms().transpose_by_linearizing(_primitive, params, inputs, cts))
    uc, _, ux = _split(unknown, consts, carry)
    c, s, x = _split(inputs, consts, carry)
    body_unknown = (*uc, *(True,) * carry, *ux)
    back = graph_transforms().transpose_graph(body, body_unknown)
    known_c = [v for v, u in zip(c, uc, strict=True) if not u]
    known_x = [v for v, u in zip(x, ux, strict=True) if not u]
    sums = [v.spec for v, u in zip(c, uc, strict=True) if u]
    n_c, n_x, n_sum = len(known_c), len(known_x), len(sums)
    order = _Order([("c", n_c), ("ct_s", carry), ("sum", n_sum), ("x", n_x), ("ct_y", len(cts) - carry)])

    def step(*values: Tensor) -> list[Tensor]:
        made = replay(back, order.select(values, ["c", "x", "ct_s", "ct_y"]))
        added = [a + b for a, b in zip(values[order.spans["sum"]], made[:n_sum], strict=True)]
        return [*made[n_sum : n_sum + carry], *added, *made[n_sum + carry :]]

    specs = [
        *(v.spec for v in known_c),
        *body.output_specs[:carry],
        *sums,
        *(v.spec.with_shape(v.shape[1:]) for v in known_x),
        *body.output_specs[carry:],
    ]
    new_body = graph_transforms().closed(step, specs, f"back_{body.name}")
    ct = [instantiate(v) for v in cts]
    zeros = [instantiate(Zero(v)) for v in sums]
    state, ys = _bind(
        new_body, known_c, [*ct[:carry], *zeros], [*known_x, *ct[carry:]], length=length, reverse=not reverse
    )
    made = iter([*state[carry:], *state[:carry], *ys])
    by_position = [next(made) if u else None for u in uc]
    by_position += [
        v if isinstance(i, Unknown) else None for v, i in zip([next(made) for _ in range(carry)], s, strict=True)
    ]
    return [*by_position, *(next(made) if u else None for u in ux)]


@_primitive.batch
def _(
    batched: Any, *inputs: Any, size: Any, body: Graph, length: Size, reverse: bool, consts: int, carry: int
) -> Batched:
    from treadle.ops import shape as shape_ops

    t = graph_transforms()
    flags = tuple(batched)
    n_ys = len(body.outputs) - carry
    while True:
        force = flags[consts : consts + carry] + (False,) * n_ys
        graph, made = t.batch_graph(body, flags, size, force)
        grown = _grow(flags, consts, made[:carry])
        if grown == flags:
            break
        flags = grown

    def swap(x: Tensor) -> Tensor:
        return shape_ops.transpose(x, axes=(1, 0, *range(2, x.ndim)))  # type: ignore[no-any-return]

    def stretched(x: Tensor, have: bool, want: bool) -> Tensor:
        return shape_ops.broadcast(x, shape=(size, *x.shape)) if want and not have else x

    c, s, x = _split(inputs, consts, carry)
    s = [stretched(v, have, want) for v, have, want in zip(s, batched[consts:], flags[consts:], strict=False)]
    x = [swap(v) if f else v for v, f in zip(x, flags[consts + carry :], strict=True)]
    state, ys = _bind(graph, c, s, x, length=length, reverse=reverse)
    ys = [swap(v) if f else v for v, f in zip(ys, made[carry:], strict=True)]
    return Batched([*state, *ys], made)


@_primitive.samples
def _(s: Any) -> Iterator[Any]:
    body = Graph.parse(
        "graph step(w: f64[2], h: f64[2], x: f64[2]) -> (f64[2], f64[])\n"
        "  %0 = mul %w %h : f64[2]\n  %1 = add %0 %x : f64[2]\n  %2 = tanh %1 : f64[2]\n"
        "  %3 = sum %2 axes=(0,) : f64[]\n  return %2 %3"
    )
    for reverse in (False, True):
        params = {"body": body, "length": 4, "reverse": reverse, "consts": 1, "carry": 1}
        yield s.case(s.normal(2), s.normal(2), s.normal(4, 2), **params)
    params = {"body": body, "length": 0, "reverse": False, "consts": 1, "carry": 1}
    yield s.case(s.normal(2), s.normal(2), s.normal(0, 2), **params)
    params["length"] = 3
    yield s.error(np.zeros(2), np.zeros(2), np.zeros((4, 2)), ShapeError, "3 elements", "f64[4,2]", **params)


def scan(
    body: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    *,
    length: Size | None = None,
    reverse: bool = False,
    checkpoint: bool | int = False,
) -> tuple[Any, Any]:
    """Run `carry, y = body(carry, x)` for each x along axis 0; return the last carry and the ys stacked.

    The body is traced once, whatever the length. Derivatives of all orders, vmap and compile work through it. What it
    assigns to modules (dropout's stream, running statistics) is carried along and assigned at the end.

    Args:
        body: (carry, x) → (carry, y); the carry keeps its structure, shapes and dtypes; y may be None.
        init: the first carry: a tree of tensors.
        xs: a tree of tensors with equal sizes on axis 0; None if the body needs none (then x is None).
        length: the number of steps, needed where xs is None.
        reverse: from the last x to the first; the ys stay in the order of the xs.
        checkpoint: keep less for the derivative. It keeps what each step needs, memory in proportion to the number of
            steps T. With True it keeps the carry of every √T-th step and runs the steps between again, √T at a time:
            memory (beside xs and ys) in proportion to √T, for one more run of the steps. An int: so many at a time.

    Returns: (carry, ys): ys have the number of steps on axis 0.

    Raises:
        ShapeError: the body returns another carry than it got, or the sizes of xs differ.
        ArgumentError: neither xs nor length is given, or the body does not return a pair.
        DimError: `checkpoint` where the number of steps is not known.

    Source of `checkpoint`: Chen et al., Training deep nets with sublinear memory cost, arXiv 1604.06174.

    >>> import treadle as td
    >>> total, sums = td.scan(lambda s, x: (s + x, s + x), td.asarray(0.0), td.asarray([1., 2., 3.]))
    >>> total.item(), sums.tolist()
    (6.0, [1.0, 3.0, 6.0])
    """
    check_functions("td.scan", [Body("the body", body)])
    items = Leaves.of(xs, "td.scan: xs")
    start = Leaves.of(init, "td.scan: init")
    steps = _length(items, length)
    every = None if checkpoint is False else steps_of_segment(checkpoint, steps)
    if isinstance(steps, int) and steps > 0 and runs_at_once([*items.tensors, *start.tensors]):
        return _in_python(body, start, items, steps, reverse)
    kept: list[Leaves] = []
    slices = [s.with_shape(s.shape[1:]) for s in items.specs]

    def traced_under(watch: Watch) -> Bodies:
        def pair(carry: Any, x: Any) -> Any:
            out = watch.run(body, carry, x)
            if not isinstance(out, tuple) or len(out) != 2:
                raise ArgumentError("td.scan: the body must return (carry, y); y may be None")
            new = Leaves.of(out[0], "td.scan: the carry")
            _check_carry(start, new)
            kept[:] = [Leaves.of(out[1], "td.scan: y")]
            return [*new.tensors, *kept[0].tensors]

        return trace_bodies("td.scan", [Body("the body", pair)], [(init, xs)], [[*start.specs, *slices]])

    watch, traced = watched(traced_under)
    if watch.places:
        return _with_variables(watch, body, init, xs, length, reverse, checkpoint)
    n_carry, n_captured = len(start.tensors), len(traced.captured)
    graph = traced.graphs[0]
    order = _Order([("s", n_carry), ("x", len(slices)), ("c", n_captured)])
    graph = order.permute_inputs(graph, ["c", "s", "x"])
    run: Any = _bind if every is None or not steps else partial(segmented, _bind, every=every)
    state, ys = run(graph, traced.captured, start.tensors, items.tensors, length=steps, reverse=reverse)
    return start.rebuild(state), kept[0].rebuild(ys)


def _in_python(
    body: Callable[[Any, Any], tuple[Any, Any]], start: Leaves, items: Leaves, length: int, reverse: bool
) -> tuple[Any, Any]:
    """The loop as Python runs it, step by step in the user's frames."""
    ns = array_namespace()
    carry = start
    ys: list[Leaves] = []
    with looping() as turns:
        for t in range(length - 1, -1, -1) if reverse else range(length):
            turns[-1] = t
            out = body(carry.rebuild(carry.tensors), items.rebuild([x[t] for x in items.tensors]))
            if not isinstance(out, tuple) or len(out) != 2:
                raise ArgumentError("td.scan: the body must return (carry, y); y may be None")
            carry = Leaves.of(out[0], "td.scan: the carry")
            _check_carry(start, carry)
            ys.append(Leaves.of(out[1], "td.scan: y"))
    if reverse:
        ys.reverse()
    stacked = [ns.stack(group) for group in zip(*(y.tensors for y in ys), strict=True)]
    return carry.rebuild(carry.tensors), ys[0].rebuild(stacked)


def _with_variables(
    watch: Watch,
    body: Callable[..., Any],
    init: Any,
    xs: Any,
    length: Size | None,
    reverse: bool,
    checkpoint: bool | int,
) -> tuple[Any, Any]:
    """The loop with the modules' variables that its body assigns as part of the carry."""
    inner = watch.carrying(body)

    def step(carry: tuple[Any, Any], x: Any) -> Any:
        variables, out = inner(carry[0], carry[1], x)
        return (variables, out[0]), out[1]

    (last, carry), ys = scan(step, (watch.before, init), xs, length=length, reverse=reverse, checkpoint=checkpoint)
    watch.assign(last)
    return carry, ys


def _length(items: Leaves, length: Size | None) -> Size:
    steps = length
    for path, spec in zip(items.structure.paths(), items.specs, strict=True):
        if spec.ndim == 0:
            raise ShapeError(f"td.scan: xs{'.' + path if path else ''} is a scalar; it needs an axis to run along")
        if steps is not None and not same_size(spec.shape[0], steps):
            raise ShapeError(
                f"td.scan: sizes differ on axis 0: {steps} and {spec.shape[0]} (xs{'.' + path if path else ''})"
            )
        steps = spec.shape[0]
    if steps is None:
        raise ArgumentError("td.scan: give xs, or length= for a loop without inputs")
    return steps


def _check_carry(start: Leaves, new: Leaves) -> None:
    if start.structure != new.structure:
        raise ShapeError(
            f"td.scan: the carry came as {start.structure.paths()} and the body returns {new.structure.paths()}"
        )
    for path, a, b in zip(start.structure.paths(), start.specs, new.specs, strict=True):
        if a != b:
            hint = f"; start with init of dtype {b.dtype}" if a.shape == b.shape else ""
            raise ShapeError(
                f"td.scan: the body must return the carry with the shape and dtype it came with; "
                f"{path or 'it'} came as {a} and returns as {b}{hint}"
            )
