"""`compare`: two versions of a function in step, and the first value where they part."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.core.dtypes import DType, bfloat16, float16, float32, float64
from treadle.core.graph import Graph, Node
from treadle.core.source import place_text
from treadle.transforms import compile
from treadle.transforms.compiling import Compiled, Opened
from treadle.transforms.names import Place

# How far values may be apart, in units of the largest magnitude among them: what a network's rounding adds up to.
TOLERANCES: dict[DType, float] = {float64: 1e-9, float32: 1e-4, float16: 2e-2, bfloat16: 1e-1}
SHOWN = 3


@dataclass(frozen=True)
class Pair:
    """A value that both versions have.

    Attributes:
        name, other: what it is called in either.
        difference: the largest, in units of the largest magnitude; infinite where shapes or NaNs differ.
        agrees: whether that is within the tolerance.
        text: where it is made, and what it is there.
    """

    name: str
    other: str
    difference: float
    agrees: bool
    text: str


class Comparison:
    """What `td.compare` found; prints as a report.

    Attributes:
        pairs: the values that were compared, in the order of the program.
        first: the first one that differs; None if all agree.
    """

    def __init__(self, names: tuple[str, str], pairs: list[Pair], alone: tuple[list[str], list[str]]) -> None:
        self.names, self.pairs, self.alone = names, pairs, alone
        self.first = next((p for p in pairs if not p.agrees), None)

    def __str__(self) -> str:
        before = self.pairs if self.first is None else self.pairs[: self.pairs.index(self.first)]
        most = max((p.difference for p in before), default=0.0)
        lines = []
        if self.first is None:
            lines.append(f"All {len(self.pairs)} values that both have agree; the largest difference is {most:.1e}.")
        else:
            called = (
                self.first.name if self.first.name == self.first.other else f"{self.first.name} ({self.first.other})"
            )
            lines.append(f"They part at {called}: {self.first.text}")
            lines.append(f"  the {len(before)} values before it agree; the largest difference there is {most:.1e}")
            later = sum(not p.agrees for p in self.pairs) - 1
            lines.append(f"  of the {len(self.pairs) - len(before) - 1} after it {later} differ")
        for name, alone in zip(self.names, self.alone, strict=True):
            if alone:
                more = f" and {len(alone) - SHOWN} more" if len(alone) > SHOWN else ""
                lines.append(f"  only in {name}: {', '.join(alone[:SHOWN])}{more}")
        return "\n".join(lines)

    __repr__ = __str__


def compare(
    f: Callable[..., Any], g: Callable[..., Any], *args: Any, tolerance: float | None = None, **kwargs: Any
) -> Comparison:
    """Run two versions of a function on the same arguments, and find the first value where they part.

    For two backends (`td.compile(f, backend="reference")` beside `td.compile(f)`), two precisions, before and after a
    change. A function that is not compiled runs on the reference backend. Every value of both is kept and compared,
    matched by scope, operation and shape. With all values kept, compiled code is fused less than usual.

    Args:
        f, g: functions of the same arguments. Nothing is assigned to modules.
        tolerance: the largest difference in units of the value's largest magnitude; None: 1e-9 for float64, 1e-4 for
            float32, 0.02 for float16, 0.1 for bfloat16, the coarser one of the two.

    >>> def before(x):
    ...     return td.exp(td.tanh(x)).sum()
    >>> def after(x):
    ...     return td.exp(td.tanh(x) * 1.01).sum()
    >>> report = td.compare(before, after, td.asarray([0.5, 1.0]))
    >>> report.first.name, len(report.pairs)
    ('exp', 4)
    """
    sides = [_Side(h if isinstance(h, Compiled) else compile(h, backend="reference"), args, kwargs) for h in (f, g)]
    names = sides[0].function.name, sides[1].function.name
    if names[0] == names[1]:
        names = f"the first {names[0]}", f"the second {names[1]}"
    a, b = sides
    matcher = difflib.SequenceMatcher(None, [s.key for s in a.steps], [s.key for s in b.steps], autojunk=False)
    matched = [(a.steps[i + k], b.steps[j + k]) for i, j, n in matcher.get_matching_blocks() for k in range(n)]
    found = {id(s) for pair in matched for s in pair}
    pairs = [_pair(x, y, tolerance) for x, y in matched]
    alone = ([s.name for s in a.steps if id(s) not in found], [s.name for s in b.steps if id(s) not in found])
    return Comparison(names, pairs, alone)


@dataclass
class _Step:
    name: str
    key: tuple[Any, ...]
    where: str
    value: Any


class _Side:
    """The values of one version, in the order of the program: inputs first."""

    def __init__(self, function: Compiled, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function = function
        opened: Opened = function.opened(*args, **kwargs)
        makers = {v: n for n in _walk(opened.graph) for v in n.outputs}
        named: dict[Any, tuple[str, Place]] = {}
        for name, place in opened.named.items():
            maker = makers.get(place.var)
            by_operation = maker is not None and name.rpartition("/")[2].startswith(maker.primitive.name)
            if place.var not in named or by_operation:
                named[place.var] = (name, place)
        order = {v: k for k, v in enumerate([*opened.graph.inputs, *makers])}
        chosen = sorted(named.values(), key=lambda item: order[item[1].var])
        values = opened.values([place for _, place in chosen])
        self.steps = []
        for (name, place), value in zip(chosen, values, strict=True):
            node = makers.get(place.var)
            what = (node.scope, node.primitive.name) if node is not None else ("", name)
            where = "an argument" if node is None else place_text(node.source, node.scope)
            self.steps.append(_Step(name, (*what, value.shape), where, value))


def _walk(graph: Graph) -> list[Node]:
    """Inner nodes before the node that they are in: in the order in which values are made."""
    out: list[Node] = []
    for node in graph.nodes:
        for inner in node.graphs:
            out += _walk(inner)
        out.append(node)
    return out


def _pair(x: _Step, y: _Step, tolerance: float | None) -> Pair:
    a, b = x.value.numpy().astype(np.float64), y.value.numpy().astype(np.float64)
    same_nan = np.array_equal(np.isnan(a), np.isnan(b)) and np.array_equal(a[np.isinf(a)], b[np.isinf(b)])
    allowed = tolerance
    if allowed is None:
        allowed = max(TOLERANCES.get(s.value.dtype, 0.0) for s in (x, y))
    finite = np.isfinite(a) & np.isfinite(b)
    apart = np.where(finite, np.abs(np.where(finite, a, 0) - np.where(finite, b, 0)), 0.0)
    scale = max(float(np.max(np.abs(v), where=finite, initial=0.0)) for v in (a, b))
    difference = float(np.max(apart, initial=0.0)) / scale if scale else 0.0
    if not same_nan:
        difference = float("inf")
        apart = np.where(finite, apart, np.where(np.isnan(a) == np.isnan(b), 0.0, np.inf))
    agrees = difference <= allowed
    text = ""
    if not agrees:
        place = np.unravel_index(int(np.argmax(apart)), a.shape) if a.ndim else ()
        at = f" at {tuple(map(int, place))}" if place else ""
        text = f"{a[place]:.7g} against {b[place]:.7g}{at}, {difference:.1e} of the largest; {x.where}"
        if y.where != x.where:
            text += f" and {y.where}"
    return Pair(x.name, y.name, difference, agrees, text)


__all__ = ["Comparison", "Pair", "compare"]
