"""A stepped graph in a file, for a bug report: the graph's text, its inputs, breakpoints, changes, and the place.

One safetensors file. Its metadata is JSON; nothing in it is run. The graph is read by `Graph.parse`, conditions by
their own reader, and arrays must have the shapes and dtypes that the graph states.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from treadle.core.checking import check_graph
from treadle.core.errors import ArgumentError, GraphError, RuleError, SaveError, TreadleError
from treadle.core.files import pack_tensors, read_tensors, write_whole
from treadle.core.graph import Graph
from treadle.core.primitive import Opaque
from treadle.core.source import Origin
from treadle.debug.stepper.breakpoints import graphs_of, parse_breakpoint
from treadle.debug.stepper.engine import MEMORY, Engine
from treadle.debug.stepper.frames import Array, Layout
from treadle.debug.stepper.sources import source_lines

KIND = "treadle step debugger"
_OPAQUE = re.compile(r"<([\w.]*)#(\d+)>")


def save_session(engine: Engine, path: str | os.PathLike[str]) -> Path:
    """Write what is needed to come back to this place in another process.

    Raises:
        SaveError: the file cannot be written.
    """
    arrays: dict[str, Array] = {f"input.{k}": x for k, x in enumerate(engine.history.inputs.values())}
    changes = []
    for k, change in enumerate(engine.history.changes):
        arrays[f"change.{k}"] = change.value
        name = next(n for g in graphs_of(engine.graph) if (n := Layout.of(g).names.get(change.var)))
        changes.append({"number": change.number, "depth": change.depth, "name": name})
    for held in _opaques(engine.graph):
        if isinstance(held.value, np.ndarray):
            arrays[f"constant.{held.number}"] = held.value
    state = {
        "kind": KIND,
        "graph": str(engine.graph),
        "lines": source_lines(engine.graph),
        "origins": [None if n.origin is None else list(n.origin) for n in engine.graph.walk()],
        "breakpoints": [{"text": str(b), "number": b.number, "once": b.once} for b in engine.breakpoints],
        "changes": changes,
        "number": engine.number,
    }
    target = Path(path)
    write_whole(target, pack_tensors(arrays, state))
    return target


def load_session(path: str | os.PathLike[str], *, memory: int = MEMORY) -> Engine:
    """The engine that was saved, at the same place.

    A Python function that the graph calls (`td.host`) is not in the file: the node that would call it raises.

    Raises:
        SaveError: the file is missing, damaged, or no session; or its arrays are not those that its graph takes.
    """
    arrays, state = read_tensors(Path(path))
    if state.get("kind") != KIND:
        raise SaveError(f"{path} holds no session of the step debugger")
    try:
        held: list[Opaque] = []  # they live as long as something holds them: until the graph does
        graph = Graph.parse(_with_objects(state["graph"], arrays, held))
        check_graph(graph)
        nodes = list(graph.walk())
        for node, origin in zip(nodes, state["origins"], strict=True):
            node.origin = None if origin is None else Origin(int(origin[0]), bool(origin[1]))
        inputs = [arrays[f"input.{k}"] for k in range(len(graph.inputs))]
        engine = Engine(graph, inputs, memory=memory)
        _restore(engine, state, arrays)
    except (GraphError, ArgumentError, KeyError, TypeError, ValueError) as e:
        raise SaveError(f"{path} is a damaged session: {e.message if isinstance(e, TreadleError) else e}") from e
    engine.lines = {str(k): str(v) for k, v in state["lines"].items()}
    return engine


def _restore(engine: Engine, state: dict[str, Any], arrays: dict[str, Array]) -> None:
    number = int(state["number"])
    for k, change in enumerate(state["changes"]):
        _run_to(engine, int(change["number"]))
        depth = int(change["depth"])
        if not 0 <= depth < len(engine.frames):
            raise ArgumentError(f"there is no graph at depth {depth} at step {engine.number}")
        engine.set(str(change["name"]), arrays[f"change.{k}"], depth)
    _run_to(engine, number)
    engine.stops.clear()
    for point in state["breakpoints"]:
        made = parse_breakpoint(str(point["text"]), engine.graph)
        engine.keep_breakpoint(replace(made, number=int(point["number"]), once=bool(point["once"])))


def _run_to(engine: Engine, number: int) -> None:
    while engine.number < number and not engine.done:
        engine.history.advance()
    if engine.number != number:
        raise ArgumentError(f"the graph has {engine.number} steps, and the session stands at {number}")


def _opaques(graph: Graph) -> list[Opaque]:
    found = []
    for node in graph.walk():
        for value in node.params.values():
            found += [v for v in (value if isinstance(value, tuple) else (value,)) if isinstance(v, Opaque)]
    return found


def _with_objects(text: str, arrays: dict[str, Array], held: list[Opaque]) -> str:
    """The text with the numbers of objects that live in this process: constants, and stand-ins for functions."""
    numbers: dict[str, Opaque] = {}

    def stand_in(match: re.Match[str]) -> str:
        name, number = match.groups()
        if number not in numbers:
            constant = arrays.get(f"constant.{number}")
            numbers[number] = Opaque(_missing(name) if constant is None else constant, name)
            held.append(numbers[number])
        return repr(numbers[number])

    return _OPAQUE.sub(stand_in, text)


def _missing(name: str) -> Any:
    def function(*_: Any) -> Any:
        raise RuleError(f"the Python function {name} cannot be called: a saved session holds no functions")

    return function
