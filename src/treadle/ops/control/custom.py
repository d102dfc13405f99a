"""Functions with derivatives of the user's own: `custom_jvp`, `custom_vjp`, and the linear map that the latter leaves.

The primitives hold the function's graph (its values) and the user's rule as an opaque Python object, called with flat
tensors when a derivative is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core.errors import DerivativeError, RuleError, ShapeError
from treadle.core.graph import Graph
from treadle.core.primitive import Batched, Opaque, Primitive, Unknown, Zero
from treadle.core.registry import graph_transforms
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops.control.call import call, check_inputs, fill, run
from treadle.ops.layout import instantiate

Flat = Callable[..., Sequence[Tensor]]

custom_jvp = Primitive("custom_jvp", multiple=True)
custom_vjp = Primitive("custom_vjp", multiple=True)
linear_call = Primitive("linear_call", multiple=True)


@custom_jvp.shape
def _(*inputs: Spec, graph: Graph, rule: Opaque, arguments: int) -> tuple[Spec, ...]:
    check_inputs("custom_jvp", graph, inputs)
    return graph.output_specs


@custom_jvp.reference
def _(*inputs: Any, graph: Graph, rule: Opaque, arguments: int) -> tuple[Any, ...]:
    return run(graph, inputs)


def _check_closure(tangents: Sequence[Any], arguments: int, rule: Opaque) -> None:
    if any(not isinstance(t, Zero) for t in tangents[arguments:]):
        raise DerivativeError(
            f"{rule.name} has a derivative of its own, and also uses a tensor from around it that is being "
            "differentiated: its rule cannot know that one. Pass it as an argument"
        )


@custom_jvp.jvp
def _(primals: Any, tangents: Any, out: Any, *, graph: Graph, rule: Opaque, arguments: int) -> list[Any]:
    _check_closure(tangents, arguments, rule)
    given = [instantiate(t) for t in tangents[:arguments]]
    return list(rule.value(*primals[:arguments], *given))


@custom_jvp.batch
def _(batched: Any, *inputs: Any, size: Any, graph: Graph, rule: Opaque, arguments: int) -> Batched:
    t = graph_transforms()
    every = (True,) * len(graph.outputs)
    made, _ = t.batch_graph(graph, batched, size, every)
    flags = tuple(batched[:arguments])
    new_rule = Opaque(t.batched_rule(rule.value, flags + flags, size), rule.name)
    return Batched(custom_jvp(*inputs, graph=made, rule=new_rule, arguments=arguments), every)


@custom_vjp.shape
def _(
    *inputs: Spec, graph: Graph, forward: Opaque, backward: Opaque, arguments: int, own_jvp: bool
) -> tuple[Spec, ...]:
    check_inputs("custom_vjp", graph, inputs)
    return graph.output_specs


@custom_vjp.reference
def _(*inputs: Any, graph: Graph, forward: Opaque, backward: Opaque, arguments: int, own_jvp: bool) -> tuple[Any, ...]:
    return run(graph, inputs)


@custom_vjp.jvp
def _(primals: Any, tangents: Any, out: Any, *, graph: Graph, forward: Opaque, own_jvp: bool, **_: Any) -> Any:
    if own_jvp:  # of the function as it is written
        n = len(graph.outputs)
        pushed, flags = graph_transforms().jvp_graph(
            graph, tuple(not isinstance(t, Zero) for t in tangents), (False,) * n
        )
        made = call(*primals, *(t for t in tangents if not isinstance(t, Zero)), graph=pushed, remat=False)
        return fill(made[n:], flags, graph.output_specs)
    raise DerivativeError(
        f"{forward.name} was given a reverse-mode derivative (custom_vjp), and forward mode was asked for "
        "(jvp, jacobian of mode forward, hessian). Give it a custom_jvp instead: reverse mode follows from it; or "
        "def_vjp(…, forward_mode=True), where the function itself is to be differentiated in forward mode"
    )


@custom_vjp.linearize
def _(
    primals: Any, tangents: Any, *, graph: Graph, forward: Opaque, backward: Opaque, arguments: int, own_jvp: bool
) -> tuple[Sequence[Tensor], list[Any]]:
    _check_closure(tangents, arguments, forward)
    n = len(graph.outputs)
    results = list(forward.value(*primals[:arguments]))
    outs, residuals = results[:n], results[n:]
    if tuple(o.spec for o in outs) != graph.output_specs:
        raise ShapeError(
            f"{forward.name}: its custom_vjp forward rule returns {[str(o.spec) for o in outs]} as the value, and the "
            f"function returns {list(map(str, graph.output_specs))}"
        )
    moved = [instantiate(t) for t in tangents[:arguments] if not isinstance(t, Zero)]
    wanted = tuple(not isinstance(t, Zero) for t in tangents[:arguments])
    floating = tuple((o.shape, o.dtype) for o in outs)
    made = linear_call(*residuals, *moved, backward=backward, residuals=len(residuals), wanted=wanted, outputs=floating)
    return outs, [t if o.dtype.is_floating else Zero(o.spec) for t, o in zip(made, outs, strict=True)]


@custom_vjp.batch
def _(
    batched: Any,
    *inputs: Any,
    size: Any,
    graph: Graph,
    forward: Opaque,
    backward: Opaque,
    arguments: int,
    own_jvp: bool,
) -> Batched:
    t = graph_transforms()
    every = (True,) * len(graph.outputs)
    made, _ = t.batch_graph(graph, batched, size, every)
    flags = tuple(batched[:arguments])
    new_forward = Opaque(t.batched_rule(forward.value, flags, size), forward.name)
    new_backward = Opaque(t.batched_rule(backward.value, None, size, sums=flags), backward.name)
    outs = custom_vjp(
        *inputs, graph=made, forward=new_forward, backward=new_backward, arguments=arguments, own_jvp=own_jvp
    )
    return Batched(outs, every)


@linear_call.shape
def _(*inputs: Spec, backward: Opaque, residuals: int, wanted: Any, outputs: Any) -> tuple[Spec, ...]:
    return tuple(Spec(shape, dtype) for shape, dtype in outputs)


@linear_call.reference
def _(*inputs: Any, backward: Opaque, **_: Any) -> Any:
    raise RuleError(f"{backward.name} gives a function's reverse-mode derivative only; forward mode needs a custom_jvp")


@linear_call.transpose
def _(cts: Any, *inputs: Any, backward: Opaque, residuals: int, wanted: Any, outputs: Any) -> list[Any]:
    made = list(backward.value(*inputs[:residuals], *(instantiate(c) for c in cts)))
    chosen = [m for m, w in zip(made, wanted, strict=True) if w]
    for x, m in zip(inputs[residuals:], chosen, strict=True):
        if isinstance(x, Unknown) and m.spec != x.spec:
            raise ShapeError(
                f"{backward.name}: the cotangent of an argument {x.spec} must have its shape and dtype; it is {m.spec}"
            )
    return [*(None for _ in range(residuals)), *chosen]


@linear_call.batch
def _(batched: Any, *inputs: Any, size: Any, backward: Opaque, **_: Any) -> Any:
    raise RuleError(f"{backward.name}: vmap inside of linearize of a custom_vjp function; use vmap of grad instead")


@custom_jvp.samples
def _(s: Any) -> Iterator[Any]:
    graph = Graph.parse("graph f(x: f64[3]) -> f64[3]\n  %0 = sin %x : f64[3]\n  return %0")
    rule = Opaque(lambda x, dx: [dx], "straight_through")
    yield s.case(s.normal(3), graph=graph, rule=rule, arguments=1, differentiable=False)
    yield s.error(np.zeros(2), ShapeError, "f64[3]", graph=graph, rule=rule, arguments=1)


@custom_vjp.samples
def _(s: Any) -> Iterator[Any]:
    graph = Graph.parse("graph f(x: f64[3]) -> f64[3]\n  %0 = sin %x : f64[3]\n  return %0")
    rules = {
        "forward": Opaque(lambda x: [x], "forward"),
        "backward": Opaque(lambda ct: [ct], "backward"),
        "own_jvp": False,
    }
    yield s.case(s.normal(3), graph=graph, arguments=1, differentiable=False, **rules)
    yield s.error(np.zeros(2), ShapeError, "f64[3]", graph=graph, arguments=1, **rules)


@linear_call.samples
def _(s: Any) -> Iterator[Any]:
    back = Opaque(lambda ct: [ct], "backward")
    yield s.error(
        np.zeros(2), RuleError, "custom_jvp", backward=back, residuals=0, wanted=(True,), outputs=(((2,), None),)
    )
