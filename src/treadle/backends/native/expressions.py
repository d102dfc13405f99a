"""The scalar body of a kernel: what one element is, as a formula of elements of buffers.

Expressions are built by `lowering.py` from the nodes of a graph, and written as LLVM by `emitting.py`. Equal
expressions of one kernel are one object (a `Table` makes them), so that shared parts are computed once.
float16 and bfloat16 are widened as they are loaded and narrowed as they are stored: `dtype` is what is computed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from treadle.backends.native.index import Affine, LoopVar
from treadle.core.dtypes import DType, bfloat16, bool_, float16, float32


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory of a plan: where a value of the graph lives. Row-major, without gaps. Each is equal to itself alone."""

    number: int
    dtype: DType
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        total = 1
        for n in self.shape:
            total *= n
        return total

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.numpy.itemsize

    def __str__(self) -> str:
        return f"@{self.number}:{self.dtype.short}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Condition:
    """low ≤ value ≤ high."""

    value: Affine
    low: int
    high: int

    @property
    def always(self) -> bool:
        low, high = self.value.bounds
        return self.low <= low and high <= self.high

    @property
    def never(self) -> bool:
        low, high = self.value.bounds
        return high < self.low or self.high < low

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.value} = {self.low}"
        return f"{self.low} ≤ {self.value} ≤ {self.high}"


Conditions: TypeAlias = tuple[Condition, ...]


class Expr:
    """One scalar. `number` orders the expressions of a table; `variables` are the counters that it depends on."""

    __slots__ = ("dtype", "number", "variables")

    dtype: DType
    number: int
    variables: frozenset[LoopVar]

    def children(self) -> tuple[Expr, ...]:
        return ()

    def __repr__(self) -> str:
        return f"%{self.number}"


class Const(Expr):
    __slots__ = ("value",)

    def __init__(self, value: Any, dtype: DType) -> None:
        self.value = np.asarray(value, dtype.numpy)
        self.dtype = dtype

    @property
    def key(self) -> Any:
        return ("const", self.dtype.short, self.value.tobytes())

    def describe(self) -> str:
        return f"{self.value.item()!r}:{self.dtype.short}"


class Load(Expr):
    """An element of a buffer; where a condition fails it is not read, and the value is 0."""

    __slots__ = ("buffer", "conditions", "offset")

    def __init__(self, buffer: Buffer, offset: Affine, conditions: Conditions) -> None:
        self.buffer, self.offset, self.conditions = buffer, offset, conditions
        self.dtype = computed(buffer.dtype)

    @property
    def key(self) -> Any:
        return ("load", self.buffer, self.offset, self.conditions)

    def children(self) -> tuple[Expr, ...]:
        return computed_in((self.offset, *(c.value for c in self.conditions)))

    def describe(self) -> str:
        guard = f" if {' and '.join(map(str, self.conditions))}" if self.conditions else ""
        return f"{self.buffer}[{self.offset}]{guard}"


class Op(Expr):
    """A primitive of the elementwise class, or one of the few operations that only lowering makes."""

    __slots__ = ("args", "name", "params")

    def __init__(
        self, name: str, args: tuple[Expr, ...], dtype: DType, params: tuple[tuple[str, Any], ...] = ()
    ) -> None:
        self.name, self.args, self.dtype, self.params = name, args, dtype, params

    @property
    def key(self) -> Any:
        return ("op", self.name, tuple(a.number for a in self.args), self.dtype, self.params)

    def children(self) -> tuple[Expr, ...]:
        return self.args

    def describe(self) -> str:
        params = "".join(f" {k}={v}" for k, v in self.params)
        # A kernel's text has to say all of what it does: here what a conversion gives.
        told = self.dtype.is_bool or (self.args and self.args[-1].dtype is self.dtype)
        kind = "" if told else f":{self.dtype.short}"
        return f"{self.name}{kind} {' '.join(map(repr, self.args))}{params}"


class Index(Expr):
    """The value of an index formula, as a number."""

    __slots__ = ("value",)

    def __init__(self, value: Affine, dtype: DType) -> None:
        self.value, self.dtype = value, dtype

    @property
    def key(self) -> Any:
        return ("index", self.value, self.dtype)

    def children(self) -> tuple[Expr, ...]:
        return computed_in((self.value,))

    def describe(self) -> str:
        return f"index:{self.dtype.short} {self.value}"


class Test(Expr):
    """Whether all conditions hold."""

    __slots__ = ("conditions",)

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self.dtype = bool_

    @property
    def key(self) -> Any:
        return ("test", self.conditions)

    def children(self) -> tuple[Expr, ...]:
        return computed_in(tuple(c.value for c in self.conditions))

    def describe(self) -> str:
        return " and ".join(map(str, self.conditions))


class Reduce(Expr):
    """A reduction of `body` over its own counters: sum prod max min any all argmax argmin."""

    __slots__ = ("body", "loops", "op")

    def __init__(self, op: str, loops: tuple[LoopVar, ...], body: Expr, dtype: DType) -> None:
        self.op, self.loops, self.body, self.dtype = op, loops, body, dtype

    @property
    def key(self) -> Any:
        return ("reduce", self.op, self.loops, self.body.number, self.dtype)

    def children(self) -> tuple[Expr, ...]:
        return (self.body,)

    def describe(self) -> str:
        loops = ", ".join(f"{v} < {v.extent}" for v in self.loops)
        kind = "" if self.dtype is self.body.dtype else f":{self.dtype.short}"
        return f"{self.op}{kind}[{loops}] {self.body!r}"


AnyExpr: TypeAlias = Const | Load | Op | Index | Test | Reduce


def computed_in(values: tuple[Affine, ...]) -> tuple[Expr, ...]:
    """The expressions that index formulas compute with."""
    from treadle.backends.native.index import Computed

    return tuple(atom.expression for v in values for atom in v.walk() if isinstance(atom, Computed))


class Table:
    """The expressions of one kernel, each once."""

    def __init__(self) -> None:
        self._known: dict[Any, Expr] = {}

    def add(self, made: AnyExpr) -> Expr:
        known = self._known.get(made.key)
        if known is not None:
            return known
        made.number = len(self._known)
        if isinstance(made, (Load, Index, Test)):
            values = [made.offset] if isinstance(made, Load) else [made.value] if isinstance(made, Index) else []
            values += [c.value for c in getattr(made, "conditions", ())]
            made.variables = frozenset().union(*(v.variables for v in values))
        else:
            made.variables = frozenset().union(*(c.variables for c in made.children()))
            if isinstance(made, Reduce):
                made.variables -= set(made.loops)
        self._known[made.key] = made
        return made

    def const(self, value: Any, dtype: DType) -> Expr:
        return self.add(Const(value, dtype))

    def op(self, name: str, *args: Expr, dtype: DType | None = None, **params: Any) -> Expr:
        return self.add(Op(name, args, dtype or args[0].dtype, tuple(sorted(params.items()))))

    def select(self, mask: Expr, x: Expr, y: Expr) -> Expr:
        if isinstance(mask, Const):
            return x if mask.value else y
        if x is y:
            return x
        return self.op("select", mask, x, y, dtype=x.dtype)


def computed(dtype: DType) -> DType:
    """What a stored dtype is computed in."""
    return float32 if dtype in (float16, bfloat16) else dtype


def walk(roots: list[Expr]) -> list[Expr]:
    """All expressions that the roots are made of, inputs before users."""
    seen: dict[int, Expr] = {}
    out: list[Expr] = []
    stack: list[tuple[Expr, bool]] = [(r, False) for r in reversed(roots)]
    while stack:
        expr, done = stack.pop()
        if done:
            out.append(expr)
        elif expr.number not in seen:
            seen[expr.number] = expr
            stack.append((expr, True))
            stack += [(c, False) for c in reversed(expr.children()) if c.number not in seen]
    return out
