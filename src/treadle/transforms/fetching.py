"""What `td.compile(f).fetch` and `.override` run: the function's graph with values read or replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.graph import Graph
from treadle.core.primitive import Zero
from treadle.core.registry import array_namespace
from treadle.core.tensor import Tensor
from treadle.ops.layout import instantiate
from treadle.transforms.arguments import Result
from treadle.transforms.graphs import closed
from treadle.transforms.linearize import linearize
from treadle.transforms.names import Place, chosen, names_of
from treadle.transforms.rewiring import Change, rewired

GRADIENT = "grad/"


class Fetched(NamedTuple):
    """What gives values by name.

    Attributes:
        names: of the values, in the order of the graph's outputs.
        unsure: those among them that may not be made: the graph's last outputs say, for each, whether they were.
        graph: gives these alone.
    """

    names: list[str]
    unsure: list[str]
    graph: Graph

    def found(self, outs: Sequence[Tensor], patterns: Sequence[str], what: str) -> dict[str, Tensor]:
        """The values by name, of a run of the graph; without what only a pattern with stars names and was not made.

        Raises:
            ArgumentError: a value that is asked for by its name was not made.
        """
        values = dict(zip(self.names, outs, strict=False))
        for name, flag in zip(self.unsure, outs[len(self.names) :], strict=True):
            if flag.numpy().any():
                continue
            if name in patterns:
                raise ArgumentError(
                    f"{what}: {name!r} was not made in this call: it is in a branch of td.cond that was not taken, or "
                    "in a td.while_loop that made no turn"
                )
            del values[name]
        return values


def fetched(graph: Graph, result: Result, patterns: Sequence[str], what: str) -> Fetched:
    """The names of the values that are asked for, and the graph that gives them alone."""
    if isinstance(patterns, str):
        patterns = [patterns]
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ArgumentError(f"{what}: values are chosen by their names, strings; {pattern!r} is none")
    key = ("fetch", tuple(patterns))
    if key not in graph.derived:
        graph.derived[key] = _fetched(graph, result, list(patterns), what)
    found: Fetched = graph.derived[key]
    return found


def _fetched(graph: Graph, result: Result, patterns: list[str], what: str) -> Fetched:
    paths = result_paths(result)
    named = names_of(graph, paths)
    values = chosen(named, [p for p in patterns if not p.startswith(GRADIENT)], what)
    slopes = chosen(named, [p.removeprefix(GRADIENT) for p in patterns if p.startswith(GRADIENT)], what)
    slopes = {n: p for n, p in slopes.items() if _has_gradient(graph, p, n, patterns, what)}
    read, moved = list(values.values()), list(dict.fromkeys(slopes.values()))
    names = [*values, *(GRADIENT + n for n in slopes)]
    unsure = [name for name, place in values.items() if not place.is_certain]
    n, m = len(graph.outputs), len(graph.outputs) + len(read)
    made = rewired(graph, read, {}, moved)
    if not moved:
        return Fetched(names, unsure, made.with_outputs(made.outputs[n:]).prune())
    loss = _loss(graph, paths, what)
    kept = made.with_outputs([*made.outputs[n:], made.outputs[loss]]).prune()
    own = len(graph.inputs)
    flags = [False] * own + [True] * len(moved)
    extra = kept.input_specs[own:]

    def run(*xs: Tensor) -> list[Tensor]:
        outs, linear = linearize(kept, [*xs, *(instantiate(Zero(s)) for s in extra)], (), flags)
        seed = array_namespace().ones((), dtype=outs[-1].dtype)
        back = linear.transpose([*(Zero(s) for s in linear.output_specs[:-1]), seed])
        by_place = dict(zip(moved, back, strict=True))
        gradients = [instantiate(by_place[p]) for p in slopes.values()]
        return [*outs[: m - n], *gradients, *outs[m - n : -1]]

    return Fetched(names, unsure, closed(run, graph.input_specs, graph.name, graph.input_names))


def _has_gradient(graph: Graph, place: Place, name: str, patterns: Sequence[str], what: str) -> bool:
    """Whether a value is floating; what a pattern with stars names beside is left out."""
    if not place.var.spec.dtype.is_floating:
        if GRADIENT + name in patterns:
            raise ArgumentError(f"{what}: {name!r} is {place.var.spec}, which has no gradient")
        return False
    inner = graph
    for door in place.trail:
        node = inner.nodes[door.position]
        refused = ""
        if node.primitive.name.startswith("custom_"):
            refused = "is inside of a function with a derivative of its own"
        elif node.primitive.name == "while_loop":
            refused = "is made anew in each turn of a td.while_loop, and has no one gradient: td.on_gradient sees each"
        if refused and GRADIENT + name in patterns:
            raise ArgumentError(f"{what}: {name!r} {refused}")
        if refused:
            return False
        inner = door.of(node)
    return True


def result_paths(result: Result) -> list[str]:
    paths = result.structure.paths()
    return [paths[i] for i in result.positions]


def _loss(graph: Graph, paths: Sequence[str], what: str) -> int:
    """Which output gradients are taken of: the one named loss, else the first floating scalar."""
    scalars = [k for k, (_, a) in enumerate(zip(paths, graph.outputs, strict=False)) if _is_scalar(a.spec)]
    if not scalars:
        raise ArgumentError(f"{what}: gradients are those of a floating-point scalar, and the function returns none")
    return next((k for k in scalars if paths[k].rpartition(".")[2] == "loss"), scalars[0])


def _is_scalar(spec: Any) -> bool:
    return bool(spec.shape == () and spec.dtype.is_floating)


def overridden(graph: Graph, result: Result, values: Mapping[str, Any], what: str) -> Graph:
    """The graph with values replaced: by tensors, or by functions of what they would have been."""
    named = names_of(graph, result_paths(result))
    changes: dict[Place, Change] = {}
    for pattern, value in values.items():
        for name, place in chosen(named, [pattern], what).items():
            changes[place] = _change(value, place, name, what)
    return rewired(graph, [], changes)


def _change(value: Any, place: Place, name: str, what: str) -> Change:
    spec = place.var.spec
    if callable(value) and not isinstance(value, Tensor):
        function: Callable[..., Any] = value
    else:
        given = array_namespace().asarray(value, dtype=None if isinstance(value, Tensor) else spec.dtype)
        given = Tensor(given.spec, given.numpy())  # a Parameter's numbers

        def function(x: Tensor) -> Tensor:
            return given

    def checked(x: Tensor) -> Tensor:
        made: Tensor = array_namespace().asarray(function(x))
        if made.spec != spec:
            raise ShapeError(f"{what}: {name!r} is {spec}, and {made.spec} was given in its place")
        return made

    return checked


__all__ = ["Fetched", "fetched", "overridden", "result_paths"]
