"""`nn.summary`: the table of a model's layers, with shapes, parameters and operation counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from treadle.core import trees
from treadle.core.dims import Size
from treadle.core.graph import Graph, Node
from treadle.core.spec import Spec, show_shape
from treadle.core.stateful import Variables
from treadle.core.tensor import Tensor
from treadle.nn import calls
from treadle.nn.module import Module, as_spec
from treadle.nn.tables import count, own_variables, table
from treadle.transforms import graph as graph_of

Counter = Callable[[Node], Size]


@dataclass(frozen=True)
class Row:
    """One call of a layer.

    Attributes:
        scope: "encoder/layers.0"; the empty string for the model itself.
        output: shapes of what it returned.
        parameters: number of elements of its own parameters; 0 where an earlier row has counted them.
        shared: whether an earlier row has.
        multiply_adds: of the matrix products and convolutions in this scope, those of inner layers not counted.
    """

    scope: str
    layer: str
    output: str
    parameters: int
    shared: bool
    multiply_adds: Size


@dataclass(frozen=True)
class Summary:
    """What `nn.summary` returns: `str` of it is the table."""

    name: str
    input: str
    rows: tuple[Row, ...]
    parameters: int
    states: int
    bytes: int
    multiply_adds: Size

    def __str__(self) -> str:
        lines = [["layer", "", "output", "parameters", "multiply-adds"]]
        for r in self.rows:
            parameters = "shared" if r.shared else count(r.parameters) if r.parameters else ""
            lines.append(
                [
                    r.scope or "(itself)",
                    r.layer,
                    r.output,
                    parameters,
                    count(r.multiply_adds) if r.multiply_adds != 0 else "",
                ]
            )
        rows = table(lines, right=[3, 4])
        rule = "─" * max(map(len, rows))
        states = f", {count(self.states)} numbers of state" if self.states else ""
        owned = f"{count(self.parameters)} parameters{states} ({_bytes(self.bytes)})"
        total = f"{owned}; {count(self.multiply_adds)} multiply-adds"
        return "\n".join([f"{self.name}({self.input})", rule, rows[0], rule, *rows[1:], rule, total])

    __repr__ = __str__


def summary(model: Module, *inputs: Any, **options: Any) -> Summary:
    """The layers of a model in the order of their calls, with what they return, own and compute. Print it.

    The model is traced with shapes alone; nothing is computed. Layers that were not built are built.

    Args:
        inputs: what a call takes: tensors, `td.Spec`s, or shapes as tuples, in which a name is a size not yet known.
        options: the call's keyword arguments.

    Returns: an object with `rows`, `parameters`, `states`, `bytes` (of both) and `multiply_adds`: those of matrix
        products and convolutions. The zeros inside a transposed convolution do not count, a scan's body counts as often
        as it runs, a while loop's once.

    >>> model = td.nn.Sequential([td.nn.Flatten(), td.nn.Dense(16, "relu"), td.nn.Dense(10)])
    >>> print(td.nn.summary(model, ("batch", 4, 4)))
    Sequential(f32[batch,4,4])
    ─────────────────────────────────────────────────────────
    layer              output       parameters  multiply-adds
    ─────────────────────────────────────────────────────────
    layers.0  Flatten  [batch, 16]
    layers.1  Dense    [batch, 16]         272      256*batch
    layers.2  Dense    [batch, 10]         170      160*batch
    ─────────────────────────────────────────────────────────
    442 parameters (1.7 KiB); 416*batch multiply-adds
    """
    specs = [as_spec(x) for x in inputs]
    model.init(*specs, **options)
    seen: list[tuple[Module, str, str]] = []

    def watch(module: Module, scope: str, out: Any) -> None:
        shapes = [show_shape(x.shape) for x in trees.leaves(out) if isinstance(x, Tensor)]
        seen.append((module, scope, ", ".join(shapes)))

    stand_ins = [Tensor(s) if isinstance(s, Spec) else s for s in specs]
    with calls.observed(watch):
        graph = graph_of(model)(*stand_ins, **options)
    by_scope = _multiply_adds(graph)
    rows = _rows(model, seen, by_scope)
    variables = Variables([model]).read()
    parameters = sum(_size(x) for x in variables if x.kind == "parameter")
    states = sum(_size(x) for x in variables if x.kind != "parameter")
    size = sum(_size(x) * x.dtype.itemsize for x in variables)
    shown = ", ".join(str(s) for s in specs)
    total: Size = sum(by_scope.values())
    return Summary(type(model).__name__, shown, tuple(rows), parameters, states, size, total)


def _size(x: Tensor) -> int:
    assert isinstance(x.size, int)
    return x.size


def _rows(model: Module, seen: list[tuple[Module, str, str]], by_scope: dict[str, Size]) -> list[Row]:
    """One row for each layer's call; a module that only calls others has none."""
    counted: set[int] = set()
    scopes = {scope for _, scope, _ in seen}
    left = dict(by_scope)
    rows = []
    for module, scope, output in _in_order(seen):
        own = own_variables(module)
        mine = sum(v for s, v in left.items() if _owner(s, scopes) == scope)
        left = {s: v for s, v in left.items() if _owner(s, scopes) != scope}
        inner = len(module.modules()) > 1
        if inner and not own and mine == 0:
            continue
        fresh = [x for x in own.values() if id(x) not in counted]
        parameters = sum(_size(x) for x in fresh if x.kind == "parameter")
        shared = bool(own) and not fresh
        counted.update(map(id, own.values()))
        rows.append(Row(scope, type(module).__name__, output, parameters, shared, mine))
    return rows


def _in_order(seen: list[tuple[Module, str, str]]) -> list[tuple[Module, str, str]]:
    """Calls are reported when they end: an outer one after its inner ones. As they began instead."""
    out: list[tuple[Module, str, str]] = []
    for call in seen:
        scope = call[1]
        at = len(out)
        while at and (not scope or out[at - 1][1].startswith(f"{scope}/")):
            at -= 1
        out.insert(at, call)
    return out


def _owner(scope: str, scopes: set[str]) -> str:
    """The innermost layer's scope that a node's scope lies in."""
    while scope and scope not in scopes:
        scope = scope.rpartition("/")[0]
    return scope


def _multiply_adds(graph: Graph, times: Size = 1) -> dict[str, Size]:
    """Multiply-adds by scope, inner graphs included."""
    found: dict[str, Size] = {}

    def add(scope: str, n: Size) -> None:
        found[scope] = found.get(scope, 0) + n

    for node in graph.nodes:
        counter = _COUNTERS.get(node.primitive.name)
        if counter is not None:
            add(node.scope, counter(node) * times)
        inner = [_multiply_adds(g, times * node.params.get("length", 1)) for g in node.graphs]
        # Of a choice between graphs one runs: the one with most to do, scope by scope.
        for scope in dict.fromkeys(s for one in inner for s in one):
            values = [one.get(scope, 0) for one in inner]
            add(
                scope,
                values[0] if len(values) == 1 else max(values, key=lambda n: n if isinstance(n, int) else math.inf),
            )
    return found


def _contract(node: Node) -> Size:
    x = node.inputs[0].spec
    summed = math.prod(x.shape[a] for a in node.params["axes"][0])
    return math.prod(node.outputs[0].spec.shape) * summed


def _conv(node: Node) -> Size:
    x, kernel = (v.spec for v in node.inputs)
    *window, per_group, filters = kernel.shape
    if any(d > 1 for d in node.params["x_dilation"]):  # transposed: each element of x meets each of the kernel once
        return math.prod(x.shape) * math.prod(window) * (filters // node.params["groups"])
    return math.prod(node.outputs[0].spec.shape) * math.prod(window) * per_group


_COUNTERS: dict[str, Counter] = {"contract": _contract, "conv": _conv}


def _bytes(n: int) -> str:
    size, units = float(n), ["B", "KiB", "MiB", "GiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.0f} B" if units[0] == "B" else f"{size:.1f} {units[0]}"
