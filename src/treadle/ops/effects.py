"""What is seen of a graph while it runs: `print`, `check`, `probe`, and `on_gradient` for what flows backwards.

The first three have no outputs and are effects: they stay in their order and are neither dropped nor repeated. Of each,
operand 0 decides: whether to print, whether all is right. `batch` counts the axes in front that td.vmap added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core.dtypes import bool_
from treadle.core.errors import CheckError, DTypeError, ShapeError
from treadle.core.graph import Atom, Graph, Node, Var
from treadle.core.primitive import PRIMITIVES, Opaque, Primitive
from treadle.core.registry import graph_transforms
from treadle.core.running import is_quiet, is_repeating, turns
from treadle.core.spec import Spec

Array = np.ndarray[Any, Any]

show = Primitive("print", multiple=True, effects=True)
check = Primitive("check", multiple=True, effects=True)
probe = Primitive("probe", multiple=True, effects=True)
on_gradient = Primitive("on_gradient", additive=(0,))


def where_it_runs(example: Sequence[int] = ()) -> str:
    """ "step 3, example 1": the turns of the loops around and the place in vmap's batch; "" outside of all."""
    parts = []
    for word, numbers in (("step", turns()), ("example", example)):
        if numbers:
            parts.append(f"{word} {'.'.join(map(str, numbers))}")
    return ", ".join(parts)


def _examples(batch: int, values: Sequence[Array]) -> Iterator[tuple[tuple[int, ...], list[Array]]]:
    for place in np.ndindex(*values[0].shape[:batch]):
        yield place, [np.asarray(v[place]) for v in values]


# print


@show.shape
def _(when: Spec, *values: Spec, message: Opaque, batch: int) -> tuple[Spec, ...]:
    if when.dtype is not bool_ or when.ndim != batch:
        raise ShapeError(f"print: when= must be one bool, and is {when}")
    return ()


@show.reference
def _(when: Array, *values: Array, message: Opaque, batch: int) -> tuple[Any, ...]:
    if not is_quiet():
        for place, (wanted, *xs) in _examples(batch, [when, *values]):
            if wanted:
                message.value.show(xs, where_it_runs(place))
    return ()


# check


@check.shape
def _(good: Spec, *values: Spec, message: Opaque, batch: int) -> tuple[Spec, ...]:
    if good.dtype is not bool_:
        raise DTypeError(f"check: the condition must be bool, and is {good}; write a comparison, such as x > 0")
    return ()


@check.reference
def _(good: Array, *values: Array, message: Opaque, batch: int) -> tuple[Any, ...]:
    if is_quiet() and not is_repeating():
        return ()
    if not np.all(good):
        for place, (fine, *xs) in _examples(batch, [good, *values]):
            if not np.all(fine):
                raise CheckError(_failure(fine, message.value.text(xs), where_it_runs(place)))
    return ()


def _failure(fine: Array, text: str, where: str) -> str:
    lines = [f"{where}: {text}" if where else text]
    if fine.ndim:
        wrong = np.argwhere(~fine)
        first = ", ".join(str(tuple(map(int, w)) if len(w) > 1 else int(w[0])) for w in wrong[:3])
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        lines.append(f"It fails at {first}{more}: {len(wrong)} of {fine.size} elements")
    return "\n  ".join(lines)


# probe


@probe.shape
def _(x: Spec, *, name: str) -> tuple[Spec, ...]:
    return ()


@probe.reference
def _(x: Array, *, name: str) -> tuple[Any, ...]:
    return ()


# on_gradient


@on_gradient.shape
def _(x: Spec, *, function: Opaque) -> Spec:
    if not x.dtype.is_floating:
        raise DTypeError(f"on_gradient: {x} has no gradient; a floating-point tensor is needed")
    return x


@on_gradient.reference
def _(x: Array, *, function: Opaque) -> Array:
    return x


@on_gradient.transpose
def _(ct: Any, x: Any, *, function: Opaque) -> tuple[Any]:
    function.value(ct)
    return (ct,)


@on_gradient.batch
def _(batched: Any, x: Any, *, size: Any, function: Opaque) -> Any:
    rule = graph_transforms().batched_rule(function.value, None, size)
    return on_gradient(x, function=Opaque(rule, function.name))


# under td.vmap


def _with_batch(primitive: Primitive) -> Callable[..., Any]:
    def rule(batched: Any, *inputs: Any, size: Any, batch: int, **params: Any) -> Any:
        from treadle.ops import shape as shape_ops

        full = [
            x if b else shape_ops.broadcast(x, shape=(size, *x.shape)) for x, b in zip(inputs, batched, strict=True)
        ]
        return primitive(*full, batch=batch + 1, **params)

    return rule


show.batch(_with_batch(show))
check.batch(_with_batch(check))


@probe.batch
def _(batched: Any, x: Any, *, size: Any, name: str) -> Any:
    return probe(x, name=name)


# for those who rewrite graphs


def without(graph: Graph, *names: str) -> Graph:
    """The graph without nodes of these primitives, which have no outputs; nor in the graphs inside of it.

    rewrite:
        probe %x name='h'  →
    """
    if not graph.has_effects:
        return graph
    key = ("without", names)
    if key not in graph.derived:
        nodes = [mapped(n, lambda g: without(g, *names)) for n in graph.nodes if n.primitive.name not in names]
        graph.derived[key] = graph.with_nodes(nodes).prune()
    found: Graph = graph.derived[key]
    return found


def mapped(node: Node, change: Callable[[Graph], Graph]) -> Node:
    """The node with the graphs among its parameters changed."""
    params: dict[str, Any] = {}
    for key, value in node.params.items():
        if isinstance(value, Graph):
            params[key] = change(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Graph):
            params[key] = tuple(map(change, value))
        else:
            params[key] = value
    return Node(node.primitive, node.inputs, params, node.outputs, node.source, node.scope)


def is_decided(graph: Graph) -> bool:
    """Whether something in the graph prints or checks."""
    return any(n.primitive in (show, check) for n in graph.walk())


def gated(graph: Graph) -> Graph:
    """The graph with one more input, a bool that comes last: where it is false, nothing prints and no check fails.

    For branches and loops that td.vmap runs on all examples, though only some are meant.

    rewrite:
        graph f(x)                   graph f(x, on)
          print %w %x            →     %0 = and_ %w %on
          check %good %x               print %0 %x
                                       %1 = or_ %good (not_ %on)
                                       check %1 %x
    """
    on = Var(Spec((), bool_))
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += _gated(node, on)
    return Graph(graph.name, [*graph.inputs, on], nodes, graph.outputs, input_names=[*graph.input_names, "on"])


def _gated(node: Node, on: Var) -> list[Node]:
    def add(name: str, *inputs: Atom) -> Var:
        primitive = PRIMITIVES[name]
        out = Var(primitive.infer(*(a.spec for a in inputs))[0])
        made.append(Node(primitive, inputs, {}, [out], node.source, node.scope))
        return out

    made: list[Node] = []
    name, p = node.primitive.name, node.params
    if name == "print":
        wanted = add("and_", node.inputs[0], on)
        return [*made, node.with_inputs([wanted, *node.inputs[1:]])]
    if name == "check":
        good = add("or_", node.inputs[0], add("not_", on))
        return [*made, node.with_inputs([good, *node.inputs[1:]])]
    if not any(map(is_decided, node.graphs)):
        return [node]
    new = mapped(node, gated)
    if name == "scan":
        n = p["consts"]
        inner = _moved_last(new.params["body"], n)
        params = {**new.params, "body": inner, "consts": n + 1}
        return [_node(node, params, [*node.inputs[:n], on, *node.inputs[n:]])]
    if name == "while_loop":
        c, b = p["condition_consts"], p["body_consts"]
        graphs = {"condition": _moved_last(new.params["condition"], c), "body": _moved_last(new.params["body"], b)}
        params = {**new.params, **graphs, "condition_consts": c + 1, "body_consts": b + 1}
        return [_node(node, params, [*node.inputs[:c], on, *node.inputs[c : c + b], on, *node.inputs[c + b :]])]
    return [_node(node, new.params, [*node.inputs, on])]


def _moved_last(graph: Graph, to: int) -> Graph:
    """The graph with its last input at another place."""

    def moved(items: Sequence[Any]) -> list[Any]:
        return [*items[:to], items[-1], *items[to:-1]]

    return Graph(graph.name, moved(graph.inputs), graph.nodes, graph.outputs, input_names=moved(graph.input_names))


def _node(old: Node, params: dict[str, Any], inputs: Sequence[Atom]) -> Node:
    return Node(old.primitive, inputs, params, old.outputs, old.source, old.scope)


# trial inputs


class _Told:
    """A message that keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def show(self, values: Sequence[Array], where: str) -> None:
        self.heard.append((where, [v.tolist() for v in values]))

    def text(self, values: Sequence[Array]) -> str:
        return f"told {[v.tolist() for v in values]}"


@show.samples
def _(s: Any) -> Iterator[Any]:
    message = Opaque(_Told(), "message")
    yield s.case(np.array(True), s.normal(3), message=message, batch=0, differentiable=False)
    yield s.error(np.array([True]), np.zeros(3), ShapeError, "one bool", message=message, batch=0)


@check.samples
def _(s: Any) -> Iterator[Any]:
    message = Opaque(_Told(), "message")
    yield s.case(np.array([True, True]), s.normal(3), message=message, batch=0, differentiable=False)
    yield s.error(np.zeros(3), DTypeError, "f64[3]", "must be bool", message=message, batch=0)
    yield s.error(np.array([True, False]), CheckError, "told []", "fails at 1", message=message, batch=0)


@probe.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(s.normal(3), name="h", differentiable=False)


@on_gradient.samples
def _(s: Any) -> Iterator[Any]:
    yield s.case(s.normal(3), function=Opaque(lambda ct: [], "look"))
    yield s.error(np.arange(3), DTypeError, "i64[3]", "no gradient", function=Opaque(lambda ct: [], "look"))


__all__ = ["check", "gated", "is_decided", "mapped", "on_gradient", "probe", "show", "where_it_runs", "without"]
