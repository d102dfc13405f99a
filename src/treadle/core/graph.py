"""`Graph`: inputs, nodes in order, outputs. Immutable; a value is assigned once and used after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, Union

import numpy as np

from treadle.core.dims import Dim, Size, substitute
from treadle.core.dtypes import as_dtype
from treadle.core.primitive import Opaque, Primitive
from treadle.core.source import UNKNOWN, Origin, Source
from treadle.core.spec import Spec


class Var:
    """A value inside a graph. Compared by identity."""

    __slots__ = ("spec",)

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __repr__(self) -> str:
        return f"Var({self.spec})"


class Literal:
    """A scalar constant written into the graph. Equal when the bits are equal, so NaN equals itself."""

    __slots__ = ("spec", "value")

    def __init__(self, value: Any) -> None:
        self.value: np.ndarray[Any, Any] = np.asarray(value)
        self.spec = Spec((), as_dtype(self.value.dtype))

    @property
    def key(self) -> tuple[str, bytes]:
        return self.spec.dtype.short, self.value.tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Literal({self.value!r})"


Atom: TypeAlias = Union[Var, Literal]


class Node:
    """One application of a primitive: inputs, parameters, outputs, the user's source line and the scope.

    Attributes:
        origin: for what a derivative made, which node it was made for.
    """

    __slots__ = ("inputs", "origin", "outputs", "params", "primitive", "scope", "source")

    def __init__(
        self,
        primitive: Primitive,
        inputs: Sequence[Atom],
        params: Mapping[str, Any],
        outputs: Sequence[Var],
        source: Source = UNKNOWN,
        scope: str = "",
        origin: Origin | None = None,
    ) -> None:
        self.primitive = primitive
        self.inputs = tuple(inputs)
        self.params = dict(params)
        self.outputs = tuple(outputs)
        self.source = source
        self.scope = scope
        self.origin = origin

    @property
    def has_effects(self) -> bool:
        return has_effects(self.primitive, self.params)

    @property
    def graphs(self) -> Iterator[Graph]:
        """The graphs among its parameters: bodies of loops, branches."""
        return _graphs_among(self.params)

    def with_inputs(self, inputs: Sequence[Atom]) -> Node:
        return Node(self.primitive, inputs, self.params, self.outputs, self.source, self.scope, self.origin)

    def __repr__(self) -> str:
        return f"<node {self.primitive.name} {self.source}>"


class Graph:
    """A function as data. `captures` are inputs that the function took from around it instead of being passed.

    `str(graph)` prints one line a node, and `Graph.parse` reads that back to an equal graph.

    >>> import treadle as td
    >>> g = td.graph(lambda x, y: td.tanh(x) * y)(td.zeros((2, 3)), td.zeros(3))
    >>> [node.primitive.name for node in g.nodes], str(g.outputs[0].spec)
    (['tanh', 'mul'], 'f32[2,3]')
    >>> td.Graph.parse(str(g)) == g
    True
    """

    __slots__ = ("capture_names", "captures", "derived", "input_names", "inputs", "name", "nodes", "outputs")

    def __init__(
        self,
        name: str,
        inputs: Sequence[Var],
        nodes: Sequence[Node],
        outputs: Sequence[Atom],
        *,
        captures: Sequence[Var] = (),
        input_names: Sequence[str] = (),
        capture_names: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.inputs = tuple(inputs)
        self.captures = tuple(captures)
        self.nodes = tuple(nodes)
        self.outputs = tuple(outputs)
        self.derived: dict[Any, Any] = {}  # what transforms and backends made of it, kept as long as it lives
        given = [*input_names, *(f"x{i}" for i in range(len(input_names), len(self.inputs)))]
        given += [*capture_names, *(f"c{i}" for i in range(len(capture_names), len(self.captures)))]
        unique = _unique_names(given)
        self.input_names = tuple(unique[: len(self.inputs)])
        self.capture_names = tuple(unique[len(self.inputs) :])

    @property
    def has_effects(self) -> bool:
        if "has_effects" not in self.derived:
            self.derived["has_effects"] = any(n.has_effects for n in self.nodes)
        return bool(self.derived["has_effects"])

    @property
    def input_specs(self) -> tuple[Spec, ...]:
        return tuple(v.spec for v in self.inputs)

    @property
    def output_specs(self) -> tuple[Spec, ...]:
        return tuple(v.spec for v in self.outputs)

    @property
    def dims(self) -> frozenset[str]:
        """Names of the sizes that are not known."""
        found: set[str] = set()
        for var in (*self.inputs, *self.captures):
            for n in var.spec.shape:
                if isinstance(n, Dim):
                    found |= n.names
        return frozenset(found)

    def walk(self) -> Iterator[Node]:
        """All nodes, those of inner graphs included, outer before inner."""
        for node in self.nodes:
            yield node
            for inner in node.graphs:
                yield from inner.walk()

    def close(self) -> Graph:
        """The same graph with its captures as ordinary inputs, after the others."""
        if not self.captures:
            return self
        return Graph(
            self.name,
            self.inputs + self.captures,
            self.nodes,
            self.outputs,
            input_names=self.input_names + self.capture_names,
        )

    def with_outputs(self, outputs: Sequence[Atom]) -> Graph:
        return self._with(self.nodes, outputs)

    def with_nodes(self, nodes: Sequence[Node]) -> Graph:
        return self._with(nodes, self.outputs)

    def _with(self, nodes: Sequence[Node], outputs: Sequence[Atom]) -> Graph:
        return Graph(
            self.name,
            self.inputs,
            nodes,
            outputs,
            captures=self.captures,
            input_names=self.input_names,
            capture_names=self.capture_names,
        )

    def map_nodes(self, visit: Callable[[Node, tuple[Atom, ...]], Node | Sequence[Atom]]) -> Graph:
        """Rebuild node by node.

        `visit(node, inputs)` gets the inputs already replaced, and returns a node that makes the outputs (the same one,
        or a new one with as many outputs), or the atoms that stand for them.
        """
        env: dict[Var, Atom] = {}
        nodes: list[Node] = []
        emitted: set[int] = set()

        def at(atom: Atom) -> Atom:
            return env.get(atom, atom) if isinstance(atom, Var) else atom

        for node in self.nodes:
            result = visit(node, tuple(at(a) for a in node.inputs))
            if isinstance(result, Node):
                if id(result) not in emitted:
                    emitted.add(id(result))
                    nodes.append(result)
                result = result.outputs
            env.update(zip(node.outputs, result, strict=True))
        return self._with(nodes, [at(a) for a in self.outputs])

    def substitute(self, sizes: Mapping[str, Size]) -> Graph:
        """The same graph for these sizes."""
        if not sizes:
            return self
        env: dict[Var, Var] = {}

        def fresh(var: Var) -> Var:
            env[var] = Var(var.spec.substitute(sizes))
            return env[var]

        def at(atom: Atom) -> Atom:
            return env[atom] if isinstance(atom, Var) else atom

        inputs = [fresh(v) for v in self.inputs]
        captures = [fresh(v) for v in self.captures]
        nodes = []
        for node in self.nodes:
            ins = [at(a) for a in node.inputs]
            params = {k: substitute_param(v, sizes) for k, v in node.params.items()}
            outs = [fresh(v) for v in node.outputs]
            nodes.append(Node(node.primitive, ins, params, outs, node.source, node.scope, node.origin))
        return Graph(
            self.name,
            inputs,
            nodes,
            [at(a) for a in self.outputs],
            captures=captures,
            input_names=self.input_names,
            capture_names=self.capture_names,
        )

    def prune(self) -> Graph:
        """Without the nodes that no output and no effect needs."""
        needed: set[Var] = {a for a in self.outputs if isinstance(a, Var)}
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if node.has_effects or any(v in needed for v in node.outputs):
                kept.append(node)
                needed.update(a for a in node.inputs if isinstance(a, Var))
        return self.with_nodes(kept[::-1])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and (self is other or self._key() == other._key())

    def __hash__(self) -> int:
        return hash((self.name, self.input_specs, len(self.nodes), self.output_specs))

    def _key(self) -> tuple[Any, ...]:
        """The whole content with values numbered in order: equal for equal graphs."""
        numbers: dict[Var, int] = {}

        def number(var: Var) -> tuple[int, Spec]:
            return numbers.setdefault(var, len(numbers)), var.spec

        def at(atom: Atom) -> Any:
            return numbers[atom] if isinstance(atom, Var) else atom

        inputs = tuple(map(number, (*self.inputs, *self.captures)))
        nodes = tuple(
            (
                n.primitive.name,
                tuple(map(at, n.inputs)),
                tuple(sorted((k, param_key(v)) for k, v in n.params.items())),
                tuple(map(number, n.outputs)),
                n.source,
                n.scope,
            )
            for n in self.nodes
        )
        return self.name, self.input_names, self.capture_names, inputs, nodes, tuple(map(at, self.outputs))

    def __str__(self) -> str:
        from treadle.core.printing import print_graph

        return print_graph(self)

    __repr__ = __str__

    @staticmethod
    def parse(text: str) -> Graph:
        """The graph that this text was printed from.

        Raises:
            GraphError: the text is not a graph; the message names the line.
        """
        from treadle.core.parsing import parse_graph

        return parse_graph(text)


def _graphs_among(params: Mapping[str, Any]) -> Iterator[Graph]:
    for value in params.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Graph):
                yield item


def has_effects(primitive: Primitive, params: Mapping[str, Any]) -> bool:
    """Whether a node does something beside returning values, it or a graph inside of it."""
    return primitive.effects or any(g.has_effects for g in _graphs_among(params))


def param_key(value: Any) -> Any:
    if isinstance(value, tuple):
        return ("tuple", *map(param_key, value))
    return (type(value).__name__, repr(value) if isinstance(value, float) else value)


def substitute_param(value: Any, sizes: Mapping[str, Size]) -> Any:
    """A node's parameter with the named sizes replaced."""
    if isinstance(value, Dim):
        return substitute(value, sizes)
    if isinstance(value, tuple):
        return tuple(substitute_param(v, sizes) for v in value)
    if isinstance(value, Graph):
        return value.substitute(sizes)
    return value


def _unique_names(names: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    out = []
    for name in names:
        clean = name if name.isidentifier() else _cleaned(name)
        candidate, k = clean, 1
        while candidate in seen:
            candidate, k = f"{clean}_{k}", k + 1
        seen.add(candidate)
        out.append(candidate)
    return out


def _cleaned(name: str) -> str:
    clean = "".join(c if c.isalnum() or c in "_./" else "_" for c in name) or "x"
    return "_" + clean if clean[0].isdigit() else clean


__all__ = ["Atom", "Graph", "Literal", "Node", "Opaque", "Var", "has_effects", "substitute_param"]
