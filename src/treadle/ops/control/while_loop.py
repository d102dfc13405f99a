"""`while_loop`: a loop that runs as long as a condition holds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core.dtypes import bool_, int32
from treadle.core.eager import runs_at_once
from treadle.core.errors import ArgumentError, DerivativeError, ShapeError
from treadle.core.graph import Graph
from treadle.core.primitive import Batched, Primitive, Zero
from treadle.core.registry import array_namespace, graph_transforms
from treadle.core.running import looping
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.core.tracing import replay
from treadle.ops.control.assigned import Watch, watched
from treadle.ops.control.bodies import Bodies, Body, Leaves, check_functions, trace_bodies
from treadle.ops.control.call import check_inputs, fill, run
from treadle.ops.control.cond import _primitive as cond_primitive
from treadle.ops.control.cond import tolerant
from treadle.ops.control.scan import _Order
from treadle.ops.control.scan import _primitive as scan_primitive
from treadle.ops.effects import gated, is_decided
from treadle.ops.layout import instantiate

_primitive = Primitive("while_loop", multiple=True)

# Inputs: what the condition uses, what the body uses, the carry. `max_steps` is None or a bound.


@_primitive.shape
def _(
    *inputs: Spec, condition: Graph, body: Graph, condition_consts: int, body_consts: int, max_steps: int | None
) -> tuple[Spec, ...]:
    c, b, carry = _split(inputs, condition_consts, body_consts)
    check_inputs("while_loop", condition, [*c, *carry])
    check_inputs("while_loop", body, [*b, *carry])
    if condition.output_specs != (Spec((), bool_),):
        raise ShapeError(f"while_loop: the condition must return one bool, and returns {list(condition.output_specs)}")
    if body.output_specs != tuple(carry):
        raise ShapeError(f"while_loop: the body must return {list(carry)}, and returns {list(body.output_specs)}")
    return tuple(carry)


def _split(items: Sequence[Any], n_condition: int, n_body: int) -> tuple[list[Any], list[Any], list[Any]]:
    k = n_condition + n_body
    return list(items[:n_condition]), list(items[n_condition:k]), list(items[k:])


@_primitive.reference
def _(
    *inputs: Any, condition: Graph, body: Graph, condition_consts: int, body_consts: int, max_steps: int | None
) -> tuple[Any, ...]:
    c, b, carry = _split(inputs, condition_consts, body_consts)
    steps = 0
    with looping() as turns:
        while (max_steps is None or steps < max_steps) and bool(run(condition, [*c, *carry])[0]):
            carry = list(run(body, [*b, *carry]))
            turns[-1] = steps = steps + 1
    return tuple(carry)


@_primitive.push
def _(
    primals: Any,
    tangents: Any,
    *,
    condition: Graph,
    body: Graph,
    condition_consts: int,
    body_consts: int,
    max_steps: int | None,
) -> tuple[Sequence[Tensor], list[Any]]:
    t = graph_transforms()
    c, b, s = _split(primals, condition_consts, body_consts)
    _, db, ds = _split(tangents, condition_consts, body_consts)
    flags = tuple(not isinstance(x, Zero) for x in (*db, *ds))
    while True:
        force = flags[body_consts:]
        pushed, made = t.jvp_graph(body, flags, force)
        grown = flags[:body_consts] + tuple(x or y for x, y in zip(force, made, strict=True))
        if grown == flags:
            break
        flags = grown
    moved_b = [x for x in db if not isinstance(x, Zero)]
    moved_s = [instantiate(x) for x, f in zip(ds, flags[body_consts:], strict=True) if f]
    n, m = len(b), len(s)
    order = [*range(n), *range(n + m, n + m + len(moved_b)), *range(n, n + m)]
    order += range(n + m + len(moved_b), n + m + len(moved_b) + len(moved_s))
    new_body = Graph(pushed.name, [pushed.inputs[i] for i in order], pushed.nodes, pushed.outputs)
    extra = [x.spec for x in moved_s]
    new_condition = t.closed(
        lambda *xs: replay(condition, xs[: len(c) + m]), [*condition.input_specs, *extra], condition.name
    )
    results = _primitive(
        *c,
        *b,
        *moved_b,
        *s,
        *moved_s,
        condition=new_condition,
        body=new_body,
        condition_consts=condition_consts,
        body_consts=n + len(moved_b),
        max_steps=max_steps,
    )
    return results[:m], fill(results[m:], flags[body_consts:], body.output_specs)


@_primitive.linearize
def _(
    primals: Any,
    tangents: Any,
    *,
    condition: Graph,
    body: Graph,
    condition_consts: int,
    body_consts: int,
    max_steps: int | None,
) -> tuple[list[Tensor], list[Any]]:
    """With a bound it is a scan whose steps do nothing once the condition fails; a scan has a reverse mode."""
    if max_steps is None:
        raise DerivativeError(
            "td.while_loop has no reverse mode without a bound, because the number of steps to be kept is not known. "
            "Give max_steps=, use td.scan, or use forward mode (td.jvp)"
        )
    k = condition_consts + body_consts
    step = _guarded_step(condition, body, condition_consts, body_consts)
    rule = scan_primitive.rule("linearize")
    return rule(  # type: ignore[no-any-return]
        primals,
        tangents,
        body=step,
        length=max_steps,
        reverse=False,
        consts=k,
        carry=len(primals) - k,
    )


@_primitive.transpose
def _(cts: Any, *inputs: Any, **params: Any) -> list[Any]:
    return list(graph_transforms().transpose_by_linearizing(_primitive, params, inputs, cts))


def _guarded_step(condition: Graph, body: Graph, n_condition: int, n_body: int) -> Graph:
    """(consts, carry) → carry: the body where the condition holds, else the carry as it is."""
    key = ("guarded_step", condition)
    if key in body.derived:
        found: Graph = body.derived[key]
        return found
    t = graph_transforms()
    ns = array_namespace()
    carry_specs = body.output_specs
    stay = t.closed(lambda *xs: list(xs[n_body:]), body.input_specs, "stay")

    def step(*xs: Tensor) -> list[Tensor]:
        c, b, carry = _split(xs, n_condition, n_body)
        holds = replay(condition, [*c, *carry])[0]
        index = ns.where(holds, ns.asarray(0, dtype=int32), ns.asarray(1, dtype=int32))
        return list(cond_primitive(index, *b, *carry, branches=(body, stay)))

    specs = [*condition.input_specs[:n_condition], *body.input_specs[:n_body], *carry_specs]
    made: Graph = t.closed(step, specs, f"guarded_{body.name}")
    body.derived[key] = made
    return made


@_primitive.batch
def _(
    batched: Any,
    *inputs: Any,
    size: Any,
    condition: Graph,
    body: Graph,
    condition_consts: int,
    body_consts: int,
    max_steps: int | None,
) -> Batched:
    """Where the condition differs between examples, the loop runs until none holds; those that are done stay."""
    from treadle.ops import shape as shape_ops

    t = graph_transforms()
    c, b, carry = _split(inputs, condition_consts, body_consts)
    fc, fb, flags = (tuple(f) for f in _split(batched, condition_consts, body_consts))
    while True:
        new_condition, (differs,) = t.batch_graph(condition, (*fc, *flags), size, (False,))
        force = (True,) * len(flags) if differs else flags
        new_body, made = t.batch_graph(body, (*fb, *flags), size, force)
        if made == flags:
            break
        flags = made
    carry = [
        shape_ops.broadcast(x, shape=(size, *x.shape)) if f and not had else x
        for x, f, had in zip(carry, flags, batched[condition_consts + body_consts :], strict=True)
    ]
    consts: list[Tensor] = [*c, *b]
    if not differs:
        graphs, counts = (new_condition, new_body), (condition_consts, body_consts)
    else:
        if is_decided(body):  # what prints and checks must know which examples are still running
            new_body = t.batch_graph(gated(body), (*fb, *flags, True), size, force)[0]
        graphs, counts = _masked(new_condition, new_body, len(c), len(b), size), (len(c), len(c) + len(b))
        consts = [*c, *c, *b]
    outs = _primitive(
        *consts,
        *carry,
        condition=graphs[0],
        body=graphs[1],
        condition_consts=counts[0],
        body_consts=counts[1],
        max_steps=max_steps,
    )
    return Batched(outs, flags)


def _masked(condition: Graph, body: Graph, n_c: int, n_b: int, size: Any) -> tuple[Graph, Graph]:
    """Condition "any holds", and a body that changes only the examples whose condition holds."""
    from treadle.ops import elementwise as ew
    from treadle.ops import reduce as reduce_ops
    from treadle.ops import shape as shape_ops

    t = graph_transforms()
    carry = body.output_specs
    # Those that are done run along: an index that is out of range for them must not raise.
    body_of_all = tolerant(body)

    def any_holds(*xs: Tensor) -> list[Tensor]:
        return [reduce_ops.any(replay(condition, xs)[0], axes=(0,))]

    def step(*xs: Tensor) -> list[Tensor]:
        c, rest = xs[:n_c], xs[n_c:]
        state = rest[n_b:]
        holds = replay(condition, [*c, *state])[0]
        more = [holds] if len(body.inputs) > len(rest) else []
        made = replay(body_of_all, [*rest, *more])
        return [
            ew.select(shape_ops.reshape(holds, shape=(size,) + (1,) * (x.ndim - 1)), x, old)
            for x, old in zip(made, state, strict=True)
        ]

    specs = [*condition.input_specs[:n_c], *body.input_specs[:n_b], *carry]
    # body: perhaps gated, with the mask as its last input
    return t.closed(any_holds, condition.input_specs, "any"), t.closed(step, specs, f"masked_{body.name}")


@_primitive.samples
def _(s: Any) -> Iterator[Any]:
    condition = Graph.parse("graph c(x: f64[]) -> bool[]\n  %0 = lt %x 10.0:f64 : bool[]\n  return %0")
    body = Graph.parse("graph b(k: f64[], x: f64[]) -> f64[]\n  %0 = mul %k %x : f64[]\n  return %0")
    params = {"condition": condition, "body": body, "condition_consts": 0, "body_consts": 1}
    yield s.case(np.float64(2.0), np.float64(1.1), max_steps=20, **params)
    yield s.case(np.float64(2.0), np.float64(11.0), max_steps=20, **params)
    yield s.case(np.float64(2.0), np.float64(1.1), max_steps=None, **params)
    params["body"] = condition
    params["body_consts"] = 0
    yield s.error(np.float64(1.0), ShapeError, "body must return", max_steps=None, **params)


def while_loop(
    condition: Callable[..., Any], body: Callable[..., Any], *init: Any, max_steps: int | None = None
) -> Any:
    """Run `state = body(*state)` as long as `condition(*state)` holds.

    Args:
        condition: (*state) → a bool scalar.
        body: (*state) → the next state: a tuple like `init`, or one tree for a single one.
        init: the first state: trees of tensors.
        max_steps: stop after so many steps at the latest. With it, reverse mode works.

    Returns: the last state: a tuple, or one tree for a single one.

    Raises:
        ShapeError: the condition is no bool scalar, or the body changes shapes or dtypes of the state.
        DerivativeError: reverse mode without max_steps.

    >>> import treadle as td
    >>> td.while_loop(lambda x: x < 100.0, lambda x: x * 3.0, td.asarray(1.0)).item()
    243.0
    """
    if not init:
        raise ArgumentError("td.while_loop: give the initial state after the condition and the body")
    if max_steps is not None and max_steps < 0:
        raise ArgumentError(f"td.while_loop: max_steps must not be negative, and is {max_steps}")
    check_functions("td.while_loop", [Body("the condition", condition), Body("the body", body)])
    start = Leaves.of(init, "td.while_loop: the state")
    single = len(init) == 1

    def step(*state: Any) -> Any:
        out = body(*state)
        return (out,) if single else tuple(out) if isinstance(out, list) else out

    if runs_at_once(start.tensors):
        state = _in_python(condition, step, start, max_steps)
        return state[0] if single else state

    def traced_under(watch: Watch) -> Bodies:
        bodies = [Body("the condition", condition), Body("the body", functools.partial(watch.run, step))]
        return trace_bodies("td.while_loop", bodies, [init, init])

    watch, traced = watched(traced_under)
    if watch.places:
        inner, asked = watch.carrying(step), watch.carrying(condition)  # the condition may read what the body assigns
        variables, state = while_loop(
            lambda variables, state: asked(variables, *state)[1],
            lambda variables, state: inner(variables, *state),
            watch.before,
            init,
            max_steps=max_steps,
        )
        watch.assign(variables)
        return state[0] if single else state
    _check_condition(traced.results[0])
    _check_state(start, traced.results[1])
    n, k = len(start.tensors), len(traced.captured)
    order = _Order([("s", n), ("c", k)])
    graphs = [order.permute_inputs(g, ["c", "s"]) for g in traced.graphs]
    outs = _primitive(
        *traced.captured,
        *traced.captured,
        *start.tensors,
        condition=graphs[0],
        body=graphs[1],
        condition_consts=k,
        body_consts=k,
        max_steps=max_steps,
    )
    made = start.rebuild(outs)
    return made[0] if single else made


def _check_condition(made: Leaves) -> None:
    if made.specs != [Spec((), bool_)]:
        raise ShapeError(f"td.while_loop: the condition must return one bool, and returns {made.specs}")


def _check_state(start: Leaves, new: Leaves) -> None:
    if new.structure != start.structure or new.specs != start.specs:
        raise ShapeError(
            "td.while_loop: the body must return the state as it came, "
            f"{dict(zip(start.structure.paths(), start.specs, strict=True))}, and returns "
            f"{dict(zip(new.structure.paths(), new.specs, strict=True))}"
        )


def _in_python(
    condition: Callable[..., Any], step: Callable[..., Any], start: Leaves, max_steps: int | None
) -> tuple[Any, ...]:
    """The loop as Python runs it, step by step in the user's frames."""
    now, steps = start, 0
    with looping() as turns:
        while max_steps is None or steps < max_steps:
            holds = Leaves.of(condition(*now.rebuild(now.tensors)), "td.while_loop: the condition")
            _check_condition(holds)
            if not bool(holds.tensors[0]):
                break
            now = Leaves.of(step(*now.rebuild(now.tensors)), "td.while_loop: the state")
            _check_state(start, now)
            turns[-1] = steps = steps + 1
    made: tuple[Any, ...] = now.rebuild(now.tensors)
    return made
