"""Forward mode: `jvp` and `linearize`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from treadle.core import trees
from treadle.core.errors import ArgumentError, DerivativeError
from treadle.core.graph import Graph, Node, Var
from treadle.core.primitive import Zero
from treadle.core.tensor import Tensor
from treadle.core.tracing import replay
from treadle.transforms.arguments import Result, function_name
from treadle.transforms.capture import Wanted, parameters_of, trace_call
from treadle.transforms.derivative import Tangent, instantiate, push_node
from treadle.transforms.grad import linearize_call


def push_graph(
    graph: Graph,
    primals: Sequence[Tensor],
    captured: Sequence[Tensor],
    tangents: Sequence[Tangent],
    values: Mapping[Var | Node, Any] | None = None,
) -> tuple[list[Tensor], list[Tangent]]:
    """Outputs and their tangents: the graph's nodes run again, each followed by its jvp rule.

    Args:
        values: numbers of the graph's values, where they have been computed already.
    """
    numbers: Mapping[Any, Any] = values or {}
    moved: dict[int, Tangent] = {}
    keep: list[Tensor] = []  # keeps the ids in `moved` valid

    def tangent_of(x: Tensor) -> Tangent:
        return moved.get(id(x), Zero(x.spec))

    # Each input gets an identity of its own: the same tensor may come twice, with different tangents.
    inputs = [Tensor(x.spec, x._value, x._trace, x._atom) for x in primals]
    keep += inputs
    moved.update((id(x), t) for x, t in zip(inputs, tangents, strict=True))

    def visit(node: Node, ins: list[Tensor]) -> Sequence[Tensor]:
        known = [numbers.get(v) for v in node.outputs]
        outs, made = push_node(
            node.primitive,
            node.params,
            ins,
            [tangent_of(x) for x in ins],
            known=None if values is None or any(v is None for v in known) else known,
            called=numbers.get(node),
        )
        keep.extend(outs)
        moved.update((id(o), t) for o, t in zip(outs, made, strict=True) if not isinstance(t, Zero))
        return outs

    outs = replay(graph, inputs, captured, visit)
    return outs, [tangent_of(o) for o in outs]


def jvp(function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """The value of `function(*primals)` and its derivative in the direction `tangents`, in one forward pass.

    Args:
        primals, tangents: one entry an argument; tangents have the structure, shapes and dtypes of the primals (for a
            module: of the dict of its parameters).

    Returns: (value, tangent of the value), trees of the same structure.

    Raises:
        DerivativeError: an argument has no derivative, or a tangent does not fit its primal.
        ArgumentError: primals or tangents is no list or tuple.

    >>> import treadle as td
    >>> value, slope = td.jvp(td.sin, [td.asarray(0.0)], [td.asarray(2.0)])
    >>> value.item(), slope.item()
    (0.0, 2.0)
    """
    creator = f"td.jvp({function_name(function)})"
    check_sequences(creator, primals, tangents)
    call = trace_call(function, tuple(primals), {}, range(len(primals)), creator=creator)
    directions = check_tangents(call.wanted, tangents, creator)
    t = call.traced
    outs, made = push_graph(t.graph, call.wanted.tensors, t.captured, directions, t.values)
    call.assign(outs)
    return call.value(outs), call.value([instantiate(t) for t in made])


def check_sequences(creator: str, primals: Any, tangents: Any) -> None:
    """Raise unless both are lists or tuples: a tensor would be taken apart along its first axis."""
    if not (isinstance(primals, list | tuple) and isinstance(tangents, list | tuple)):
        raise ArgumentError(
            f"{creator}: primals and tangents are lists with one entry an argument, also for a single one: [x], [dx]"
        )


def check_tangents(wanted: Wanted, tangents: Sequence[Any], creator: str) -> list[Tangent]:
    """Flat tangents, one for each wanted tensor.

    Raises:
        DerivativeError: they do not fit.
    """
    given = Result.of([parameters_of(t) for t in tangents])
    own = trees.flatten([parameters_of(t) for t in wanted.trees])[1]
    if given.structure != own or len(given.tensors) != len(wanted.tensors):
        raise DerivativeError(
            f"{creator}: tangents must have the structure of the primals: {own.paths()}, not {given.structure.paths()}"
        )
    for x, t, name in zip(wanted.tensors, given.tensors, wanted.names, strict=True):
        if x.spec != t.spec:
            raise DerivativeError(f"{creator}: {name} is {x.spec}, so its tangent must be, and is {t.spec}")
    return list(given.tensors)


def linearize(function: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The value of `function(*primals)`, and the linear map from tangents of its arguments to tangents of the value.

    Returns: (value, push); `push(*tangents)` costs about one forward pass, and nothing of `function` runs again.

    Raises:
        DerivativeError: an argument has no derivative.

    >>> import treadle as td
    >>> value, push = td.linearize(lambda x: x * x, td.asarray(3.0))
    >>> push(td.asarray(1.0)).item(), push(td.asarray(10.0)).item()
    (6.0, 60.0)
    """
    creator = f"td.linearize({function_name(function)})"
    near = linearize_call(function, primals, {}, range(len(primals)), creator=creator)

    def push(*tangents: Any) -> Any:
        made = near.map.apply(check_tangents(near.call.wanted, tangents, creator))
        return near.call.value([instantiate(t) for t in made])

    return near.value, push
