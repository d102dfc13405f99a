"""Text to graph: the inverse of `printing`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from treadle.core.dims import parse_size
from treadle.core.dtypes import as_dtype, bool_, float32, int32
from treadle.core.errors import GraphError
from treadle.core.graph import Atom, Graph, Literal, Node, Var
from treadle.core.primitive import PRIMITIVES, Opaque
from treadle.core.source import UNKNOWN, Source
from treadle.core.spec import Spec

_HEADER = re.compile(
    r"(?:(?P<key>\w+)(?:\[(?P<index>\d+)\])? = )?graph (?P<name>[^(]*)\((?P<inputs>.*)\) -> (?P<out>.*)$"
)
_TOKEN = re.compile(r"\s+")


class _Lines:
    def __init__(self, text: str) -> None:
        self.lines = [(i + 1, line.rstrip()) for i, line in enumerate(text.splitlines()) if line.strip()]
        self.at = 0

    def peek(self) -> str | None:
        return self.lines[self.at][1] if self.at < len(self.lines) else None

    def take(self) -> str:
        line = self.peek()
        if line is None:
            raise GraphError("the text ends inside a graph; its last line must be `return …`")
        self.at += 1
        return line

    def fail(self, why: str) -> GraphError:
        number, line = self.lines[max(self.at - 1, 0)]
        return GraphError(f"line {number}, `{line.strip()}`: {why}")


def parse_graph(text: str) -> Graph:
    """The graph that this text was printed from.

    Raises:
        GraphError: the text is not a graph.
    """
    lines = _Lines(text)
    graph = _graph(lines)[2]
    if lines.peek() is not None:
        lines.take()
        raise lines.fail("nothing is expected after `return`")
    return graph


def _graph(lines: _Lines) -> tuple[str, int | None, Graph]:
    header = _HEADER.match(lines.take().strip())
    if header is None:
        raise lines.fail("expected `graph name(inputs) -> outputs`")
    env: dict[str, Var] = {}
    given, _, captured = header["inputs"].partition(";")
    inputs, captures = _inputs(given, env, lines), _inputs(captured, env, lines)
    stated = _specs(header["out"], lines)
    nodes: list[Node] = []
    while True:
        line = lines.take().strip()
        if line == "return" or line.startswith("return "):
            outputs = [_atom(t, env, lines) for t in line.split()[1:]]
            made = [a.spec for a in outputs]
            if made != stated:
                raise lines.fail(f"the header states {stated}, and {made} is returned")
            break
        nodes.append(_node(line, env, lines))
    graph = Graph(
        header["name"],
        [v for _, v in inputs],
        nodes,
        outputs,
        captures=[v for _, v in captures],
        input_names=[n for n, _ in inputs],
        capture_names=[n for n, _ in captures],
    )
    return header["key"] or "", int(header["index"]) if header["index"] else None, graph


def _inputs(text: str, env: dict[str, Var], lines: _Lines) -> list[tuple[str, Var]]:
    out = []
    for part in _split(text, ", "):
        name, colon, spec = part.partition(": ")
        if not colon:
            raise lines.fail(f"expected `name: spec`, found `{part}`")
        var = Var(_spec(spec, lines))
        env[name] = var
        out.append((name, var))
    return out


def _spec(text: str, lines: _Lines) -> Spec:
    dtype, bracket, sizes = text.strip().partition("[")
    if not bracket or not sizes.endswith("]"):
        raise lines.fail(f"`{text}` is not a spec like f32[2,3]")
    return Spec(tuple(parse_size(s) for s in _split(sizes[:-1], ",")), as_dtype(dtype))


def _specs(text: str, lines: _Lines) -> list[Spec]:
    """Specs between commas; `()` for none. A header puts several in brackets."""
    inside = text.strip().removeprefix("(").removesuffix(")")
    return [_spec(s, lines) for s in _split(inside, ", ")]


def _node(line: str, env: dict[str, Var], lines: _Lines) -> Node:
    left, equals, right = line.partition(" = ") if line.startswith("%") else ("", "=", line)
    if not equals:
        raise lines.fail("expected `%0 = primitive …`")
    body, colon, rest = _rpartition_colon(right)
    if not colon:
        raise lines.fail("expected ` : spec`")
    name, *words = _split(body.strip(), " ")
    if name not in PRIMITIVES:
        raise lines.fail(f"there is no primitive `{name}`")
    inputs: list[Atom] = []
    params: dict[str, Any] = {}
    for word in words:
        key, has_value, value = word.partition("=")
        if has_value and key.isidentifier():
            params[key] = _param(value, lines)
        else:
            inputs.append(_atom(word, env, lines))
    columns = re.split(r"\s{2,}", rest.strip())
    specs = _specs(columns[0], lines)
    targets = [t.strip()[1:] for t in left.split(",")] if left else []
    if len(targets) != len(specs):
        raise lines.fail(f"{len(targets)} values but {len(specs)} specs")
    outputs = [Var(s) for s in specs]
    while (following := lines.peek()) is not None and (m := _HEADER.match(following.strip())) and m["key"]:
        key, index, inner = _graph(lines)
        params[key] = inner if index is None else (*params.get(key, ()), inner)
    env.update(zip(targets, outputs, strict=True))
    source = _source(columns[1]) if len(columns) > 1 else UNKNOWN
    return Node(PRIMITIVES[name], inputs, params, outputs, source, columns[2] if len(columns) > 2 else "")


def _rpartition_colon(text: str) -> tuple[str, str, str]:
    """Split at the ` : ` that is outside of quotes."""
    quote = ""
    for i, c in enumerate(text):
        if quote:
            quote = "" if c == quote and text[i - 1] != "\\" else quote
        elif c in "'\"":
            quote = c
        elif text.startswith(" : ", i):
            return text[:i], ":", text[i + 3 :]
    return text, "", ""


def _source(text: str) -> Source:
    file, _, line = text.rpartition(":")
    return Source(file, int(line)) if file else UNKNOWN


def _atom(word: str, env: dict[str, Var], lines: _Lines) -> Atom:
    if word.startswith("%"):
        if word[1:] not in env:
            raise lines.fail(f"{word} is used before it is made")
        return env[word[1:]]
    try:
        return parse_literal(word)
    except ValueError:
        raise lines.fail(f"`{word}` is neither a value nor a number") from None


def parse_literal(word: str) -> Literal:
    """`2.0`, `2`, `true`, `nan`, `2.0:f64`."""
    text, _, suffix = word.partition(":")
    if text in ("true", "false"):
        return Literal(np.asarray(text == "true"))
    floating = any(c in text for c in ".en") or "inf" in text
    dtype = as_dtype(suffix) if suffix else float32 if floating else int32
    if text.startswith("nan("):
        bits = int(text[4:-1]).to_bytes(dtype.itemsize, "little")
        return Literal(np.frombuffer(bits, dtype.numpy)[0])
    if dtype is bool_:
        raise ValueError(word)
    return Literal(np.asarray(float(text) if dtype.is_floating else int(text)).astype(dtype.numpy))


def _param(text: str, lines: _Lines) -> Any:
    if text in ("true", "false"):
        return text == "true"
    if text == "None":
        return None
    if text.startswith("("):
        return tuple(_param(t, lines) for t in _split(text[1:-1].rstrip(","), ", "))
    if text.startswith("["):
        return parse_size(text[1:-1])
    if text.startswith("@"):
        return PRIMITIVES[text[1:]]
    if text.startswith("<"):
        return Opaque.find(int(text[text.rindex("#") + 1 : -1]))
    if text[0] in "'\"":
        return _unquote(text)
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return as_dtype(text)
    except TypeError:
        raise lines.fail(f"`{text}` is not a parameter") from None


def _unquote(text: str) -> str:
    import ast

    value = ast.literal_eval(text)  # a quoted Python string, nothing else
    assert isinstance(value, str)
    return value


def _split(text: str, separator: str) -> list[str]:
    """Split at the separator where it is outside of brackets and quotes."""
    out, depth, start, quote, i = [], 0, 0, "", 0
    while i < len(text):
        c = text[i]
        if quote:
            if c == "\\":
                i += 1
            elif c == quote:
                quote = ""
        elif c in "'\"":
            quote = c
        elif c in "([":
            depth += 1
        elif c in ")]":
            depth -= 1
        elif depth == 0 and text.startswith(separator, i):
            out.append(text[start:i])
            i += len(separator)
            start = i
            continue
        i += 1
    out.append(text[start:])
    return [p.strip() for p in out if p.strip()]
