"""A graph near a point: its outputs, and the linear map from input tangents to output tangents, as a graph.

The nodes run again through `bind`; beside each, its jvp rule runs with tangents that belong to a `linear` trace. What
the rule computes from primals alone lands in the trace around (or runs at once): it is a residual. What involves a
tangent is recorded. That split needs no analysis: it is the rule by which traces nest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from treadle.core.graph import Graph, Literal, Node, Var
from treadle.core.primitive import Unknown, Zero
from treadle.core.source import fresh_origin, placed
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.core.tracing import Trace, bind_known, literal_tensor, replay
from treadle.transforms.derivative import Tangent, add_tangents, instantiate, is_zero, pull_back, push_node


@dataclass(frozen=True)
class LinearMap:
    """A linear map as a graph: inputs are the tangents that were asked for, captures are residuals.

    `outputs[i]` is None where output i does not depend on those tangents.
    """

    graph: Graph
    residuals: list[Tensor]
    outputs: list[int | None]
    output_specs: list[Spec]

    def apply(self, tangents: Sequence[Tangent]) -> list[Tangent]:
        """Output tangents."""
        made = replay(self.graph, [instantiate(t) for t in tangents], self.residuals)
        return [Zero(s) if k is None else made[k] for k, s in zip(self.outputs, self.output_specs, strict=True)]

    def transpose(self, cotangents: Sequence[Tangent]) -> list[Tangent]:
        """Input cotangents."""
        cts = [c for c, k in zip(cotangents, self.outputs, strict=True) if k is not None]
        return transpose_graph(self.graph, self.residuals, [True] * len(self.graph.inputs), cts)


def linearize(
    graph: Graph,
    primals: Sequence[Tensor],
    captured: Sequence[Tensor],
    wanted: Sequence[bool],
    values: Mapping[Var | Node, Any] | None = None,
) -> tuple[list[Tensor], LinearMap]:
    """Outputs at `primals`, and the linear map of the inputs marked in `wanted`.

    Args:
        values: numbers of the graph's values, where they have been computed already; and what the host functions
            inside of its nodes returned then.
    """
    known = values or {}
    tangents: dict[Var, Tangent] = {}
    env: dict[Var, Tensor] = dict(zip((*graph.inputs, *graph.captures), (*primals, *captured), strict=True))
    recorder = Trace("linear", "a derivative")
    with recorder:
        for var, want in zip(graph.inputs, wanted, strict=True):
            if want:
                tangents[var] = recorder.input(var.spec)
        for node in graph.nodes:
            with placed(node.source, node.scope, node.origin or fresh_origin()):
                _linearize_node(node, env, tangents, known)
        outs = [env[a] if isinstance(a, Var) else literal_tensor(a) for a in graph.outputs]
        made = [tangents.get(a) if isinstance(a, Var) else None for a in graph.outputs]
        kept = [t for t in made if isinstance(t, Tensor)]
        linear, residuals = recorder.finish(f"linear_{graph.name}", kept)
    positions = iter(range(len(kept)))
    outputs = [next(positions) if isinstance(t, Tensor) else None for t in made]
    return outs, LinearMap(linear, residuals, outputs, [o.spec for o in outs])


def _linearize_node(node: Node, env: dict[Var, Tensor], tangents: dict[Var, Tangent], known: Mapping[Any, Any]) -> None:
    primals = [env[a] if isinstance(a, Var) else literal_tensor(a) for a in node.inputs]
    ins: list[Tangent] = [tangents.get(a, Zero(a.spec)) if isinstance(a, Var) else Zero(a.spec) for a in node.inputs]
    values = [known.get(v) for v in node.outputs]
    outs, made = push_node(
        node.primitive,
        node.params,
        primals,
        ins,
        rule="linearize",
        known=None if any(v is None for v in values) else values,
        called=known.get(node),
    )
    env.update(zip(node.outputs, outs, strict=True))
    tangents.update((v, t) for v, t in zip(node.outputs, made, strict=True) if not is_zero(t))


def transpose_graph(
    graph: Graph, known: Sequence[Tensor], unknown: Sequence[bool], cotangents: Sequence[Tangent]
) -> list[Tangent]:
    """Cotangents of the inputs marked `unknown`, in which the graph is linear, from those of its outputs.

    Args:
        known: tensors for the inputs that are not marked, then for the captures.

    Nodes that depend on known inputs alone run first; then the others' transposes run in reverse order.
    """
    rest = iter(known)
    env: dict[Var, Tensor] = {}
    linear: set[Var] = set()
    for var, is_unknown in zip(graph.inputs, unknown, strict=True):
        if is_unknown:
            linear.add(var)
        else:
            env[var] = next(rest)
    env.update(zip(graph.captures, rest, strict=True))
    backward: list[Node] = []
    for node in graph.nodes:
        if any(a in linear for a in node.inputs):
            backward.append(node)
            linear.update(node.outputs)
        else:
            ins = [env[a] if isinstance(a, Var) else literal_tensor(a) for a in node.inputs]
            with placed(node.source, node.scope, node.origin):
                env.update(zip(node.outputs, bind_known(node.primitive, ins, node.params, None), strict=True))
    cts: dict[Var, Tangent] = {}

    def accumulate(atom: Var | Literal, ct: Tangent | None) -> None:
        if isinstance(atom, Var) and atom in linear and ct is not None and not is_zero(ct):
            cts[atom] = add_tangents(cts[atom], ct) if atom in cts else ct

    for atom, ct in zip(graph.outputs, cotangents, strict=True):
        accumulate(atom, ct)
    for node in reversed(backward):
        outs = [cts.pop(v, Zero(v.spec)) for v in node.outputs]
        if all(is_zero(c) for c in outs):
            continue
        inputs = [
            literal_tensor(a) if isinstance(a, Literal) else Unknown(a.spec) if a in linear else env[a]
            for a in node.inputs
        ]
        origin = node.origin and node.origin._replace(backward=True)
        with placed(node.source.in_phase("backward"), node.scope, origin):
            for atom, made in zip(node.inputs, pull_back(node.primitive, node.params, inputs, outs), strict=True):
                accumulate(atom, made)
    return [cts.get(v, Zero(v.spec)) for v, is_unknown in zip(graph.inputs, unknown, strict=True) if is_unknown]
