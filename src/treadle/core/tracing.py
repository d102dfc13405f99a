"""Recording: `bind` sends each application of a primitive to the trace it belongs to, or runs it at once.

There are three kinds of trace, and one rule says which takes a node when traces nest:

    kind     made by                         records                            has numbers
    stage    compile, vmap, graph, bodies    everything bound inside            no
    values   grad, jvp, vjp, jacobian, …     what depends on its inputs         yes, where its inputs have them
    linear   linearize                       what depends on its tangents       no

    **A node goes to the innermost of: the traces its inputs belong to, and the innermost stage trace.**

So inside `compile`, `grad` records symbols (its inputs have no numbers); inside `grad`, constants are computed at once;
and what a derivative rule computes from primals alone lands outside of the linear trace, where it is a residual.

A node with effects (print, check, host) goes to the innermost stage or values trace whatever it reads: so effects
keep the order in which the program has them.
tests/core/test_nesting.py has a test for each cell of that table.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.core.errors import TraceError, TreadleError
from treadle.core.graph import Atom, Graph, Literal, Node, Var, has_effects
from treadle.core.primitive import Primitive
from treadle.core.registry import backend
from treadle.core.running import results_kept
from treadle.core.source import caller, current_origin, current_scope, place_text
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor, concrete


class _State(threading.local):
    level: int = 0
    stage: Trace | None = None
    program: Trace | None = None  # the innermost trace that records a user's program: stage or values


_state = _State()


class Trace:
    """A graph in the making. Use as a context manager; `finish` makes the Graph."""

    def __init__(self, kind: str, creator: str) -> None:
        self.kind = kind
        self.creator = creator
        self.computes = kind == "values"
        self.transposable = kind == "linear"  # forward mode inside keeps values and tangents in nodes of their own
        self.owns_closure = False  # compile: owned tensors (parameters) must be passed, not closed over
        self.level = 0
        self.alive = False
        self.inputs: list[Var] = []
        self.nodes: list[Node] = []
        self.captures: dict[int, tuple[Var, Tensor]] = {}
        self._outer: tuple[Trace | None, Trace | None, int] = None, None, 0
        self._literals: dict[int, tuple[Literal, Tensor]] = {}
        self._frozen: list[TreadleError] = []  # raised at the end: a layer that is built on the way is none of them
        # The numbers of what was computed while recording; of nodes with effects, what host functions inside returned.
        self.values: dict[Var | Node, Any] = {}

    def __enter__(self) -> Trace:
        self._outer = _state.stage, _state.program, _state.level
        _state.level += 1
        self.level = _state.level
        self.alive = True
        if self.kind == "stage":
            _state.stage = self
        if self.kind != "linear":
            _state.program = self
        return self

    def __exit__(self, *_: object) -> None:
        self.alive = False
        _state.stage, _state.program, _state.level = self._outer
        # A tensor that outlives the trace keeps it (to say where it was made), but must not keep others' numbers.
        self.values, self.captures, self._literals = {}, {}, {}

    def input(self, like: Tensor | Spec) -> Tensor:
        """A new input; given a tensor and in a trace with values, it has that tensor's numbers."""
        spec = like if isinstance(like, Spec) else like.spec
        var = Var(spec)
        self.inputs.append(var)
        value = like._value if self.computes and isinstance(like, Tensor) else None
        return Tensor(spec, value, self, var)

    def atom(self, x: Tensor) -> Atom:
        """What stands for a tensor in this trace: its value, a literal, or a capture."""
        if x._trace is self:
            assert x._atom is not None
            return x._atom
        found = self.captures.get(id(x))
        if found is not None:
            return found[0]
        if x._trace is None or not x._trace.alive:
            if x._value is None:
                raise x.missing_value("a value")
            if x.ndim == 0 and not x.kind:
                known = self._literals.get(id(x))
                if known is None:
                    known = self._literals[id(x)] = Literal(x._value), x
                return known[0]
            if x.kind and self.owns_closure:
                self._frozen.append(_frozen_error(x, self.creator))
        var = Var(x.spec)
        self.captures[id(x)] = var, x
        return var

    def record(
        self,
        primitive: Primitive,
        inputs: Sequence[Tensor],
        params: dict[str, Any],
        known: Sequence[Any] | None = None,
    ) -> tuple[Tensor, ...]:
        """Append a node; `known` are its outputs' numbers when somebody has computed them already."""
        source, scope = caller(), current_scope()
        try:
            atoms = [self.atom(x) for x in inputs]
            specs = primitive.infer(*(x.spec for x in inputs), **params)
        except TreadleError as e:
            raise e.at(place_text(source, scope)) from None
        outputs = [Var(s) for s in specs]
        node = Node(primitive, atoms, params, outputs, source, scope, current_origin())
        self.nodes.append(node)
        values: Sequence[Any] = [None] * len(specs)
        # Inside of a stage trace effects happen when that graph runs, and not while it is traced.
        if self.computes and not (self._outer[0] is not None and has_effects(primitive, params)):
            if known is not None:
                values = known
            elif all(x._value is not None for x in inputs):
                if primitive.multiple and has_effects(primitive, params):
                    with results_kept() as self.values[node]:
                        values = _run(primitive, inputs, params)
                else:
                    values = _run(primitive, inputs, params)
            self.values.update((o, v) for o, v in zip(outputs, values, strict=True) if v is not None)
        return tuple(Tensor(s, v, self, o) for s, v, o in zip(specs, values, outputs, strict=True))

    def finish(self, name: str, outputs: Sequence[Tensor], names: Sequence[str] = ()) -> tuple[Graph, list[Tensor]]:
        """The graph, and the tensors from around it that its captures stand for.

        Raises:
            TraceError: a compiled function uses a variable of a module that was not passed to it.
        """
        atoms = [self.atom(x) for x in outputs]
        if self._frozen:
            raise self._frozen[0]
        captured = list(self.captures.values())
        graph = Graph(
            name, self.inputs, self.nodes, atoms, captures=[v for v, _ in captured], input_names=names
        ).prune()
        used = {a for n in graph.nodes for a in n.inputs} | set(graph.outputs)
        kept = [(v, x) for v, x in captured if v in used]
        graph = Graph(name, graph.inputs, graph.nodes, graph.outputs, captures=[v for v, _ in kept], input_names=names)
        return graph, [x for _, x in kept]


def _frozen_error(x: Tensor, creator: str) -> TreadleError:
    return TraceError(
        f"a {x.kind} {x.spec} is used inside {creator}, but the module that owns it is not an argument: "
        "its numbers would be frozen into the compiled function. Pass the module in: step(model, x), "
        "or compile the module itself: td.compile(model)"
    ).at(place_text())


def _run(primitive: Primitive, inputs: Sequence[Tensor], params: dict[str, Any]) -> tuple[Any, ...]:
    try:
        return backend("reference").run_primitive(primitive, [x._value for x in inputs], params)
    except TreadleError as e:
        raise e.at(place_text()) from None


def bind(primitive: Primitive, *inputs: Tensor, **params: Any) -> Any:
    """Apply a primitive: at once when nothing is being traced, else as a node of the trace it belongs to.

    Returns: a Tensor, or a tuple of them for a primitive with several outputs.
    """
    out = bind_known(primitive, inputs, params, None)
    return out if primitive.multiple else out[0]


def bind_known(
    primitive: Primitive, inputs: Sequence[Tensor], params: dict[str, Any], known: Sequence[Any] | None
) -> tuple[Tensor, ...]:
    """`bind` that returns a tuple, for outputs whose numbers may be known already."""
    target = _state.stage
    if (primitive.effects or primitive.multiple) and has_effects(primitive, params):  # what holds graphs is multiple
        target = _state.program
    for x in inputs:
        trace = x._trace
        if trace is not None and trace.alive and (target is None or trace.level > target.level):
            target = trace
    if target is not None:
        return target.record(primitive, inputs, params, known)
    if known is None:
        try:
            specs = primitive.infer(*(x.spec for x in inputs), **params)
            values = backend("reference").run_primitive(primitive, [_value(x) for x in inputs], params)
        except TreadleError as e:
            raise e.at(place_text()) from None
    else:
        specs, values = primitive.infer(*(x.spec for x in inputs), **params), tuple(known)
    return tuple(Tensor(s, v) for s, v in zip(specs, values, strict=True))


def _value(x: Tensor) -> Any:
    if x._value is None:
        raise x.missing_value("a value")
    return x._value


@contextmanager
def untraced() -> Iterator[None]:
    """Run at once, whatever is being traced around: how parameters get their first numbers inside a trace."""
    before = _state.stage, _state.program, _state.level
    _state.stage = _state.program = None
    try:
        yield
    finally:
        _state.stage, _state.program, _state.level = before


def is_transposable(x: Any) -> bool:
    """Whether a tangent is recorded in order to be transposed."""
    trace = getattr(x, "_trace", None)  # a Zero has none
    return trace is not None and trace.alive and trace.transposable


def is_staging() -> bool:
    """Whether a trace without numbers (compile, vmap, a loop's body) is recording."""
    return _state.stage is not None


@dataclass(frozen=True)
class Traced:
    """A traced function: its graph, the tensors that its captures stand for, and the numbers that were computed."""

    graph: Graph
    captured: list[Tensor]
    values: dict[Var | Node, Any]


def trace(
    function: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor | Spec],
    *,
    kind: str,
    creator: str,
    name: str = "f",
    names: Sequence[str] = (),
    transposable: bool = False,
) -> Traced:
    """Trace a function of flat tensors to flat tensors.

    Args:
        kind: "stage" (no numbers) or "values" (numbers where the inputs have them).
        creator: how messages call the trace, for instance "td.compile(step)".
        names: of the inputs, as the graph prints them.
        transposable: reverse mode may transpose the graph in inputs that are tangents.

    Raises:
        TraceError: the function assigns to a module around it, and the value would be lost (kind "stage").
    """
    from treadle.core.assignments import assignments_stay  # it is a user of tensors, as this is

    recorder = Trace(kind, creator)
    recorder.transposable = transposable
    with assignments_stay(creator) if kind == "stage" else nullcontext(), recorder:
        outputs = function(*(recorder.input(x) for x in inputs))
        return Traced(*recorder.finish(name, outputs, names), recorder.values)


def replay(
    graph: Graph,
    inputs: Sequence[Tensor],
    captured: Sequence[Tensor] = (),
    visit: Callable[[Node, list[Tensor]], Sequence[Tensor]] | None = None,
) -> list[Tensor]:
    """Run a graph's nodes through `bind` again: at once, or into whatever trace is open, keeping lines and scopes.

    `visit(node, inputs)` may give the outputs in its own way.
    """
    from treadle.core.source import placed

    env: dict[Var, Tensor] = dict(zip((*graph.inputs, *graph.captures), (*inputs, *captured), strict=True))
    for node in graph.nodes:
        ins = [env[a] if isinstance(a, Var) else literal_tensor(a) for a in node.inputs]
        with placed(node.source, node.scope, node.origin):
            outs = visit(node, ins) if visit else bind_known(node.primitive, ins, node.params, None)
        env.update(zip(node.outputs, outs, strict=True))
    return [env[a] if isinstance(a, Var) else literal_tensor(a) for a in graph.outputs]


def literal_tensor(literal: Literal) -> Tensor:
    """A concrete scalar tensor."""
    return concrete(np.array(literal.value))


def describe_origin(x: Tensor) -> str:
    """`f32[3] made at model.py:12 (tanh)` for messages."""
    trace = x._trace
    if trace is None:
        return str(x.spec)
    for node in trace.nodes:
        if any(v is x._atom for v in node.outputs):
            place = ", ".join(p for p in (node.scope, str(node.source)) if p)
            return f"{x.spec}, made at {place} (`{node.primitive.name}`),"
    return f"{x.spec}, an input,"
