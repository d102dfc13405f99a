"""Derivatives, transposes and batches of closed graphs, as closed graphs: for the rules of primitives that hold graphs.

`ops/control` reaches these through `core.registry.graph_transforms()`. Each is a pure function of a graph and of flags,
and is remembered in `graph.derived`, so that a loop's backward pass is made once however often it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

from treadle.core.dims import Size
from treadle.core.errors import DerivativeError
from treadle.core.graph import Graph, Node, Var
from treadle.core.primitive import Opaque, Primitive, Unknown, Zero
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.core.tracing import replay, trace
from treadle.ops import counting
from treadle.transforms import batching, forward
from treadle.transforms.derivative import Tangent, instantiate, is_zero
from treadle.transforms.linearize import LinearMap, linearize
from treadle.transforms.linearize import transpose_graph as transpose_of

_T = TypeVar("_T")
Flags = tuple[bool, ...]


def _remembered(function: Callable[..., _T]) -> Callable[..., _T]:
    @wraps(function)
    def wrapper(graph: Graph, *args: Any) -> _T:
        key = (function.__name__, args)
        if key not in graph.derived:
            graph.derived[key] = function(graph, *args)
        found: _T = graph.derived[key]
        return found

    return wrapper


def closed(
    function: Callable[..., Sequence[Tensor]], specs: Sequence[Spec], name: str, names: Sequence[str] = ()
) -> Graph:
    """Trace a function of flat tensors into a graph without captures.

    Raises:
        DerivativeError: a derivative rule of the user's takes a tensor from around it that is no constant.
    """
    made = trace(function, specs, kind="stage", creator=name, name=name, names=names)
    return _with_constants(made.graph, made.captured) if made.captured else made.graph


def _with_constants(graph: Graph, captured: Sequence[Tensor]) -> Graph:
    """The graph with its captures written into it."""
    nodes = []
    for var, x in zip(graph.captures, captured, strict=True):
        if x.is_symbolic or x.kind or not x.is_concrete:
            what = f"a {x.kind}" if x.kind else "a tensor that is being traced or differentiated"
            raise DerivativeError(
                f"a custom_jvp or custom_vjp rule inside of a loop, branch or checkpoint uses {what}, {x.spec}, from "
                "around it. Pass it to the function as an argument"
            )
        value = Opaque(x.numpy(), "constant")
        nodes.append(Node(counting.constant, (), {"value": value}, [var]))
    return Graph(graph.name, graph.inputs, [*nodes, *graph.nodes], graph.outputs, input_names=graph.input_names)


@_remembered
def jvp_graph(graph: Graph, nonzero: Flags, force: Flags) -> tuple[Graph, Flags]:
    """(primals, tangents of the nonzero inputs) → (outputs, tangents of those outputs that have one).

    Args:
        force: outputs whose tangent is wanted even where it is zero.
    """
    n = len(graph.inputs)
    moved = [s for s, f in zip(graph.input_specs, nonzero, strict=True) if f]
    flags: list[bool] = []

    def run(*xs: Tensor) -> list[Tensor]:
        rest = iter(xs[n:])
        tangents = [next(rest) if f else Zero(s) for f, s in zip(nonzero, graph.input_specs, strict=True)]
        outs, made = forward.push_graph(graph, xs[:n], (), tangents)
        flags.extend(not is_zero(t) or f for t, f in zip(made, force, strict=True))
        return [*outs, *(instantiate(t) for t, f in zip(made, flags, strict=True) if f)]

    names = [*graph.input_names, *(f"d_{m}" for m, f in zip(graph.input_names, nonzero, strict=True) if f)]
    return closed(run, [*graph.input_specs, *moved], f"jvp_{graph.name}", names), tuple(flags)


class Linearized:
    """A graph split at its tangents.

    Attributes:
        known: primals → (outputs, residuals).
        linear: (residuals, tangents of the nonzero inputs) → tangents of the outputs that have one.
        nonzero: which outputs have one.
        passed: for each residual, the input that it merely passes on, or None.
    """

    def __init__(self, known: Graph, linear: Graph, nonzero: Flags, passed: tuple[int | None, ...]) -> None:
        self.known = known
        self.linear = linear
        self.nonzero = nonzero
        self.passed = passed


@_remembered
def linearize_graph(graph: Graph, nonzero: Flags, force: Flags) -> Linearized:
    """Split a graph into what runs forward and what is linear in tangents."""
    kept: list[LinearMap] = []
    passed: list[int | None] = []

    def run(*primals: Tensor) -> list[Tensor]:
        outs, linear = linearize(graph, primals, (), nonzero)
        kept.append(linear)
        own = {id(x): i for i, x in enumerate(primals)}
        passed.extend(own.get(id(x)) for x in linear.residuals)
        return [*outs, *linear.residuals]

    known = closed(run, graph.input_specs, graph.name, graph.input_names)
    linear = kept[0]
    flags = tuple(k is not None or f for k, f in zip(linear.outputs, force, strict=True))
    n = len(linear.residuals)

    def run_linear(*xs: Tensor) -> list[Tensor]:
        made = replay(linear.graph, xs[n:], xs[:n])
        tangents = [Zero(s) if k is None else made[k] for k, s in zip(linear.outputs, linear.output_specs, strict=True)]
        return [instantiate(t) for t, f in zip(tangents, flags, strict=True) if f]

    specs = [x.spec for x in linear.residuals] + list(linear.graph.input_specs)
    names = [*(f"r{i}" for i in range(n)), *(f"d_{m}" for m, f in zip(graph.input_names, nonzero, strict=True) if f)]
    return Linearized(known, closed(run_linear, specs, f"linear_{graph.name}", names), flags, tuple(passed))


def transpose_by_linearizing(
    primitive: Primitive, params: dict[str, Any], inputs: Sequence[Tensor | Unknown], cotangents: Sequence[Tangent]
) -> list[Tangent | None]:
    """The transpose of a loop that computes values and tangents together.

    A function that is linear in some inputs is its own derivative in them, at zero as anywhere. Its linearize rule
    takes the two apart.
    """
    variables = [Var(x.spec) for x in inputs]
    made = [Var(s) for s in primitive.infer(*(v.spec for v in variables), **params)]
    graph = Graph(primitive.name, variables, [Node(primitive, variables, params, made)], made)
    primals = [instantiate(Zero(x.spec)) if isinstance(x, Unknown) else x for x in inputs]
    unknown = [isinstance(x, Unknown) for x in inputs]
    back = iter(linearize(graph, primals, (), unknown)[1].transpose(cotangents))
    return [next(back) if u else None for u in unknown]


@_remembered
def transpose_graph(graph: Graph, unknown: Flags) -> Graph:
    """(inputs not marked unknown, cotangents of the outputs) → cotangents of the inputs marked, where it is linear."""
    known_specs = [s for s, u in zip(graph.input_specs, unknown, strict=True) if not u]
    n = len(known_specs)

    def run(*xs: Tensor) -> list[Tensor]:
        made = transpose_of(graph, xs[:n], unknown, xs[n:])
        return [instantiate(t) for t in made]

    names = [m for m, u in zip(graph.input_names, unknown, strict=True) if not u]
    return closed(run, [*known_specs, *graph.output_specs], f"transpose_{graph.name}", names)


@_remembered
def batch_graph(graph: Graph, batched: Flags, size: Size, force: Flags) -> tuple[Graph, Flags]:
    """The graph on a batch (axis 0 of the inputs that are marked), and which outputs are batched.

    Args:
        force: outputs that get a batch axis even where all examples agree.
    """
    flags: list[bool] = []
    specs = [s.with_shape((size, *s.shape)) if b else s for s, b in zip(graph.input_specs, batched, strict=True)]

    def run(*xs: Tensor) -> list[Tensor]:
        outs, made = batching.batch_graph(graph, xs, batched, size)
        flags.extend(m or f for m, f in zip(made, force, strict=True))
        return [batching.stretch(x, size) if f and not m else x for x, m, f in zip(outs, made, flags, strict=True)]

    return closed(run, specs, graph.name, graph.input_names), tuple(flags)


def batched_rule(
    rule: Callable[..., Sequence[Tensor]], flags: Sequence[bool] | None, size: Size, sums: Sequence[bool] | None = None
) -> Callable[..., list[Tensor]]:
    """A flat derivative rule on a batch (axis 0).

    Args:
        flags: which arguments are batched; None: all of them.
        sums: for each result, whether its input was batched; where not, the examples' results add up.
    """

    def batched(*xs: Tensor) -> list[Tensor]:
        marks = [True] * len(xs) if flags is None else list(flags)
        specs = [x.spec.with_shape(x.shape[1:]) if f else x.spec for x, f in zip(xs, marks, strict=True)]
        creator = "a derivative rule under td.vmap"
        traced = trace(rule, specs, kind="stage", creator=creator, name="rule", transposable=True)
        outs, made = batching.batch_graph(traced.graph, xs, marks, size, traced.captured)
        full = [x if m else batching.stretch(x, size) for x, m in zip(outs, made, strict=True)]
        if sums is None:
            return full
        from treadle.ops import reduce as reduce_ops

        return [x if keep else reduce_ops.sum(x, axes=(0,)) for x, keep in zip(full, sums, strict=True)]

    return batched
