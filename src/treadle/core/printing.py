"""Graphs as text. One line a node:

    graph loss(w: f32[784,10], x: f32[batch,784]; c0: f32[10]) -> f32[]
      %0 = contract %x %w axes=((1,), (0,)) batch=((), ()) : f32[batch,10]  model.py:12  dense
      ...
      return %3

Inner graphs (bodies of loops, branches) follow their node, indented, as `name = graph …`. A literal without a suffix is
float32 (`2.0`), int32 (`2`) or bool (`true`); others say their dtype (`2.0:f64`). Specified in docs/graph-format.md.
"""

from __future__ import annotations

import math
from typing import Any

from treadle.core.dims import Dim
from treadle.core.dtypes import DType, bool_, float32, int32
from treadle.core.graph import Atom, Graph, Literal, Node, Var
from treadle.core.primitive import Opaque, Primitive
from treadle.core.source import UNKNOWN

INDENT = "  "


def print_graph(graph: Graph) -> str:
    """The text that `Graph.parse` reads back."""
    return "\n".join(_graph_lines(graph, "", ""))


def _graph_lines(graph: Graph, prefix: str, margin: str) -> list[str]:
    names = value_names(graph)
    listed = ", ".join(f"{names[v][1:]}: {v.spec}" for v in graph.inputs)
    if graph.captures:
        listed += "; " + ", ".join(f"{names[v][1:]}: {v.spec}" for v in graph.captures)
    specs = [str(a.spec) for a in graph.outputs]
    result = specs[0] if len(specs) == 1 else f"({', '.join(specs)})"
    lines = [f"{margin}{prefix}graph {graph.name}({listed}) -> {result}"]
    rows = [_node_row(node, names) for node in graph.nodes]
    width = min(max((len(r[0]) for r in rows), default=0), 60)
    width2 = min(max((len(r[1]) for r in rows), default=0), 30)
    for node, (left, specs_text, place) in zip(graph.nodes, rows, strict=True):
        line = f"{margin}{INDENT}{left:<{width}} : {specs_text:<{width2}}  {place}".rstrip()
        lines.append(line)
        for key, value in sorted(node.params.items()):
            inner = value if isinstance(value, tuple) else (value,)
            if inner and isinstance(inner[0], Graph):
                for k, g in enumerate(inner):
                    label = f"{key}[{k}]" if isinstance(value, tuple) else key
                    lines += _graph_lines(g, f"{label} = ", margin + INDENT * 3)
    lines.append(f"{margin}{INDENT}return {' '.join(print_atom(a, names) for a in graph.outputs)}".rstrip())
    return lines


def value_names(graph: Graph) -> dict[Var, str]:
    """What a graph's text calls its values: `%x` an input, `%0`, `%1`, … what its nodes make."""
    given = zip((*graph.inputs, *graph.captures), (*graph.input_names, *graph.capture_names), strict=True)
    names = {var: f"%{name}" for var, name in given}
    names.update((v, f"%{k}") for k, v in enumerate(v for node in graph.nodes for v in node.outputs))
    return names


def print_node(node: Node, names: dict[Var, str]) -> str:
    """A node as its graph's text has it, without line and scope: `%1 = tanh %0 : f32[4,2]`."""
    left, specs, _ = _node_row(node, names)
    return f"{left} : {specs}"


def _node_row(node: Node, names: dict[Var, str]) -> tuple[str, str, str]:
    inputs = [print_atom(a, names) for a in node.inputs]
    params = [f"{k}={print_param(v)}" for k, v in sorted(node.params.items()) if not _is_graphs(v)]
    made = ", ".join(names[v] for v in node.outputs)
    left = f"{made} = " if made else ""
    left += " ".join([node.primitive.name, *inputs, *params])
    specs = ", ".join(str(v.spec) for v in node.outputs) or "()"
    source = "-" if node.source == UNKNOWN else str(node.source)
    place = f"{source}  {node.scope}" if node.scope else ("" if source == "-" else source)
    return left, specs, place


def _is_graphs(value: Any) -> bool:
    return isinstance(value, Graph) or (isinstance(value, tuple) and bool(value) and isinstance(value[0], Graph))


def print_atom(atom: Atom, names: dict[Var, str]) -> str:
    return names[atom] if isinstance(atom, Var) else print_literal(atom)


def print_literal(literal: Literal) -> str:
    dtype = literal.spec.dtype
    if dtype is bool_:
        return "true" if literal.value else "false"
    if dtype.is_floating:
        value = float(literal.value)
        if math.isnan(value):
            bits = int.from_bytes(literal.value.tobytes(), "little")
            text = "nan" if bits == _default_nan(dtype) else f"nan({bits})"
        else:
            # repr of a float64 is exact for every narrower type, but longer than needed: 0.1 in float32
            text = repr(value) if dtype.bits == 64 else _shortest(literal)
    else:
        text = str(int(literal.value))
    return text if dtype in (float32, int32) else f"{text}:{dtype.short}"


def _shortest(literal: Literal) -> str:
    dtype = literal.spec.dtype
    text = repr(float(str(literal.value.astype(dtype.numpy)[()])))
    with_same_bits = literal.value.dtype.type(float(text)).tobytes() == literal.value.tobytes()
    return text if with_same_bits else repr(float(literal.value))


def _default_nan(dtype: DType) -> int:
    return int.from_bytes(dtype.numpy.type(math.nan).tobytes(), "little")


def print_param(value: Any) -> str:
    """Parameters are numbers, strings, None, dtypes, sizes, primitives, opaque objects, and tuples of those."""
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return f"({', '.join(map(print_param, value))}{',' if len(value) == 1 else ''})"
        case DType():
            return value.short
        case Dim():
            return f"[{value}]"
        case Primitive():
            return f"@{value.name}"
        case None | int() | float() | str() | Opaque():
            return repr(value)
    raise TypeError(f"{value!r} cannot be a parameter of a node")
