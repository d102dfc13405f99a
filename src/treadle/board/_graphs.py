"""A graph as TensorBoard's GraphDef, and a profile of it as StepStats.

treadle's scopes become groups, and what a derivative adds to one is a group "grad" in it. A parameter stands
in the group of the layer that owns it. Literals are attributes. What is inside of a loop or branch is a group of its
own.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from treadle.board._extra import tensorboard
from treadle.core.dims import Dim
from treadle.core.errors import ArgumentError
from treadle.core.graph import Atom, Graph, Literal, Node, Var
from treadle.core.source import Source
from treadle.core.spec import Spec

GRADIENT = "grad"  # the group of what a derivative adds to a scope
_TYPES = {
    "bool": "DT_BOOL",
    "bfloat16": "DT_BFLOAT16",
    "float16": "DT_HALF",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    **{f"{u}int{n}": f"DT_{u.upper()}INT{n}" for u in ("", "u") for n in (8, 16, 32, 64)},
}


@dataclass(frozen=True)
class Drawn:
    """One box of the picture; `node` is None for inputs and outputs of a graph."""

    name: str
    op: str
    inputs: tuple[str, ...]
    specs: tuple[Spec, ...]
    attributes: dict[str, str]
    node: Node | None = None


class Drawing:
    """The boxes and arrows of a graph, with names that no two share."""

    def __init__(self, graph: Any) -> None:
        if not isinstance(graph, Graph):
            raise ArgumentError(
                f"graph(…) takes a td.Graph, not {type(graph).__name__}: td.graph(f)(*args), or compiled.graph(*args)"
            )
        self.name = graph.name
        self.boxes: list[Drawn] = []
        self._taken: set[str] = set()
        self._places: dict[Var, str] = {}
        self._made: dict[int, str] = {}  # by their origin's number, the boxes of the forward pass
        scopes = sorted({n.scope for n in graph.nodes if n.scope}, key=len, reverse=True)
        variables = (*graph.inputs, *graph.captures)
        for name, var in zip((*graph.input_names, *graph.capture_names), variables, strict=True):
            self._input(_home(name, scopes), var, [])
        self._nodes(graph.nodes, "")
        several = len(graph.outputs) > 1
        for k, atom in enumerate(graph.outputs):
            self._output(f"outputs/{k}" if several else "output", atom)

    def _input(self, name: str, var: Var, sources: list[str]) -> None:
        name = self._unique(name)
        self._places[var] = name
        self.boxes.append(Drawn(name, "Input", tuple(sources), (var.spec,), {"shape": str(var.spec)}))

    def _output(self, name: str, atom: Atom) -> str:
        inputs, literals = self._arrows((atom,))
        name = self._unique(name)
        self.boxes.append(Drawn(name, "Output", inputs, (atom.spec,), {"shape": str(atom.spec), **literals}))
        return name

    def _nodes(self, nodes: Sequence[Node], group: str) -> None:
        for node in nodes:
            scope = _group(group, node)
            name = self._unique(f"{scope}/{node.primitive.name}" if scope else node.primitive.name)
            inputs, literals = self._arrows(node.inputs)
            attributes = {"shape": ", ".join(str(v.spec) for v in node.outputs), **literals}
            if node.source.line:
                attributes["source"] = _line(node.source)
            if node.scope:
                attributes["scope"] = node.scope
            if node.source.phase:
                attributes["phase"] = node.source.phase
            attributes |= self._forward_of(node, name)
            attributes |= {key: _shown(value) for key, value in node.params.items()}
            ends: list[str] = []
            for key, inner in _inner(node):
                ends += self._body(f"{name}/{key}", inner, inputs)
            specs = tuple(v.spec for v in node.outputs)
            arrows = (*inputs, *(f"^{end}" for end in ends))
            self.boxes.append(Drawn(name, node.primitive.name, arrows, specs, attributes, node))
            for k, var in enumerate(node.outputs):
                self._places[var] = f"{name}:{k}" if k else name

    def _forward_of(self, node: Node, name: str) -> dict[str, str]:
        """For a node of the backward pass, the box of the forward node that it belongs to."""
        if node.origin is None:
            return {}
        if node.source.phase == "":
            self._made.setdefault(node.origin.number, name)
            return {}
        forward = self._made.get(node.origin.number)
        return {} if forward is None else {"derivative of": forward}

    def _body(self, group: str, graph: Graph, sources: Sequence[str]) -> list[str]:
        """Draw a loop's or branch's graph. Its inputs are what goes in, one by one where the numbers agree."""
        variables = (*graph.inputs, *graph.captures)
        same = len(sources) == len(variables)
        for k, (name, var) in enumerate(zip((*graph.input_names, *graph.capture_names), variables, strict=True)):
            self._input(f"{group}/{_clean(name)}", var, [sources[k]] if same else [])
        self._nodes(graph.nodes, group)
        return [self._output(f"{group}/output_{k}", atom) for k, atom in enumerate(graph.outputs)]

    def _arrows(self, atoms: Sequence[Atom]) -> tuple[tuple[str, ...], dict[str, str]]:
        arrows, literals = [], {}
        for k, atom in enumerate(atoms):
            if isinstance(atom, Literal):
                literals[f"input {k}"] = f"{atom.value} ({atom.spec})"
            else:
                arrows.append(self._places[atom])
        return tuple(arrows), literals

    def _unique(self, name: str) -> str:
        candidate, k = name, 1
        while candidate in self._taken:
            candidate, k = f"{name}_{k}", k + 1
        self._taken.add(candidate)
        return candidate

    def fused(self, names: Iterable[str], stored: Collection[str]) -> list[str]:
        """These boxes, and those before them whose results no kernel leaves: they are computed where they are used."""
        boxes = {box.name: box for box in self.boxes}
        found: dict[str, None] = dict.fromkeys(names)
        ahead = list(found)
        while ahead:
            for arrow in boxes[ahead.pop()].inputs:
                source = arrow.partition(":")[0]
                if source in boxes and boxes[source].node is not None and source not in stored and source not in found:
                    found[source] = None
                    ahead.append(source)
        return list(found)

    def graph_def(self) -> Any:
        """The picture as TensorBoard reads it."""
        proto = tensorboard("compat.proto.graph_pb2").GraphDef()
        proto.versions.producer = 1  # without it the page takes the graph for one of 2015 and rewrites its inputs
        for box in self.boxes:
            drawn = proto.node.add(name=box.name, op=box.op, input=box.inputs)
            for spec in box.specs:
                drawn.attr["_output_shapes"].list.shape.add().CopyFrom(_shape(spec))
            if box.specs:
                drawn.attr["dtype"].type = tensorboard("compat.proto.types_pb2").DataType.Value(
                    _TYPES.get(box.specs[0].dtype.name, "DT_INVALID")
                )
            for key, text in box.attributes.items():
                drawn.attr[key].s = text.encode()
        return proto


def _group(around: str, node: Node) -> str:
    """Where a node stands: in its scope, and of that in a group of its own if it is a derivative's."""
    parts = [around, node.scope]
    if node.source.phase in ("derivative", "backward") and GRADIENT not in around.split("/"):
        parts.append(GRADIENT)
    return _clean("/".join(p for p in parts if p))


def _home(name: str, scopes: Sequence[str]) -> str:
    """`model.layers.0.kernel` → `layers.0/kernel`, where a layer has that scope; else `model/layers.0.kernel`."""
    argument, _, path = name.partition(".")
    for scope in scopes:  # the longest first
        dotted = scope.replace("/", ".") + "."
        for candidate in (path, name):
            if candidate.startswith(dotted):
                return _clean(f"{scope}/{candidate.removeprefix(dotted)}")
    return _clean(f"{argument}/{path}" if path else argument)


def _clean(name: str) -> str:
    """Only what GraphDef's names may have."""
    return re.sub(r"[^A-Za-z0-9_.\-/]", "_", name)


def _line(source: Source) -> str:
    """Where it stands, as an editor finds it from the working directory."""
    here = os.getcwd() + os.sep
    return f"{source.file.removeprefix(here)}:{source.line}"


def _shown(value: Any) -> str:
    if isinstance(value, Graph):
        return f"{value.name}: {len(value.nodes)} operations"
    if isinstance(value, tuple) and value and all(isinstance(v, Graph) for v in value):
        return ", ".join(_shown(v) for v in value)
    text = str(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _inner(node: Node) -> list[tuple[str, Graph]]:
    found = []
    for key, value in node.params.items():
        if isinstance(value, Graph):
            found.append((key, value))
        elif isinstance(value, tuple):
            found += [(f"{key}_{k}", v) for k, v in enumerate(value) if isinstance(v, Graph)]
    return found


def _shape(spec: Spec) -> Any:
    proto = tensorboard("compat.proto.tensor_shape_pb2").TensorShapeProto()
    for n in spec.shape:
        proto.dim.add(size=-1 if isinstance(n, Dim) else int(n))
    return proto


# what a profile adds


def step_stats(drawing: Drawing, profile: Any) -> Any:
    """RunMetadata with the time and memory of the graph's operations.

    Raises:
        ArgumentError: the profile is none, or of another function.
    """
    if not hasattr(profile, "kernels") or not hasattr(profile, "times"):
        raise ArgumentError(f"profile= is what td.profile(f)(*args) returns, not {type(profile).__name__}")
    seconds: dict[str, float] = defaultdict(float)
    memory: dict[str, int] = defaultdict(int)
    parts: dict[str, list[str]] = defaultdict(list)
    find = _Finder(drawing)
    steps = [(k, t, [(n, find(n)) for n in k.nodes]) for k, t in _kernels(profile)]
    stored = {name for _, _, nodes in steps for _, name in nodes if name is not None}
    for kernel, time, nodes in steps:
        names = drawing.fused(dict.fromkeys(name for _, name in nodes if name is not None), stored)
        for name in names or ["(other)"]:  # copies, and what the compiler has made of its own
            seconds[name] += time / max(len(names), 1)
            parts[name].append(kernel.name)
        for node, box in nodes:
            memory[box or "(other)"] += sum(_bytes(v.spec) for v in node.outputs)
    if not stored:
        raise ArgumentError(
            f"the profile of {getattr(profile, 'name', 'a function')} fits no operation of the graph {drawing.name}: "
            "take both of the same function and arguments"
        )
    return _metadata(seconds, memory, parts)


def _kernels(profile: Any) -> list[tuple[Any, float]]:
    pairs = zip(profile.kernels, profile.times, strict=True)
    return [(k, t) for k, t in pairs if not k.is_container]  # those of loops contain what is inside of them


def _metadata(seconds: dict[str, float], memory: dict[str, int], parts: dict[str, list[str]]) -> Any:
    stats = tensorboard("compat.proto.config_pb2").RunMetadata()
    device = stats.step_stats.dev_stats.add(device="/device:CPU:0")
    now, begin = 1.0, 1  # in microseconds; 0 would mean "not known"
    for name, took in seconds.items():
        # The page knows whole microseconds. Ends are rounded, not lengths, so that the sum of many small ones is right.
        now += took * 1e6
        micros = round(now) - begin
        node = device.node_stats.add(
            node_name=name,
            all_start_micros=begin,
            op_end_rel_micros=micros,
            all_end_rel_micros=micros,
            timeline_label="; ".join(dict.fromkeys(parts[name])),
        )
        node.memory.add(allocator_name="treadle", total_bytes=memory[name], peak_bytes=memory[name])
        begin += micros
    return stats


class _Finder:
    """Which box an operation of a compiled plan is. The compiler has rewritten it, so its place and kind tell."""

    def __init__(self, drawing: Drawing) -> None:
        self.exact: dict[Any, deque[str]] = defaultdict(deque)
        self.near: dict[Any, list[str]] = defaultdict(list)
        for box in drawing.boxes:
            if box.node is not None:
                self.exact[self._key(box.node)].append(box.name)
                for key in self._nearer(box.node):
                    self.near[key].append(box.name)

    @staticmethod
    def _key(node: Node) -> Any:
        return node.primitive.name, node.scope, node.source, tuple(str(v.spec) for v in node.outputs)

    @staticmethod
    def _nearer(node: Node) -> list[Any]:
        return [(node.primitive.name, node.scope), (node.scope, node.source), (node.scope,)]

    def __call__(self, node: Node) -> str | None:
        """The box: one of the same kind, place and shape, each in turn; else of the same kind or place."""
        same = self.exact.get(self._key(node))
        if same:
            same.rotate(-1)
            return same[-1]
        return next((self.near[key][0] for key in self._nearer(node) if key in self.near), None)


def _bytes(spec: Spec) -> int:
    if any(isinstance(n, Dim) for n in spec.shape):
        return 0
    return int(spec.size) * spec.dtype.numpy.itemsize


def tagged_metadata(tag: str, stats: Any) -> Any:
    """A profile of the run's graph."""
    return tensorboard("compat.proto.event_pb2").TaggedRunMetadata(tag=tag, run_metadata=stats.SerializeToString())


def graph_value(tag: str, graph: Any, stats: Any) -> Any:
    """A graph of its own name, perhaps with a profile, as the graph plugin reads it."""
    plugin = tensorboard("plugins.graph.metadata")
    stats = tensorboard("compat.proto.config_pb2").RunMetadata() if stats is None else stats
    profiled = bool(stats.step_stats.dev_stats)
    stats.function_graphs.add().pre_optimization_graph.CopyFrom(graph)
    summary = tensorboard("compat.proto.summary_pb2").Summary
    value = summary.Value(
        tag=tag, tensor=tensorboard("util.tensor_util").make_tensor_proto([stats.SerializeToString()])
    )
    # The plugin's names for "a graph with times" and "a graph"; the content is their version.
    value.metadata.plugin_data.plugin_name = (
        plugin.PLUGIN_NAME_RUN_METADATA if profiled else plugin.PLUGIN_NAME_RUN_METADATA_WITH_GRAPH
    )
    value.metadata.plugin_data.content = b"1"
    return value
