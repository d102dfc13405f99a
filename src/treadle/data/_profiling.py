"""Where the time goes: how long each step takes for itself, and who waits for whom, the loop or the data."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from treadle.data._nodes import Node, Reader, all_nodes
from treadle.nn.tables import table

_METHODS = ("get", "take", "read", "apply")


@dataclass
class Profile:
    """Seconds of a number of elements; printed as a table.

    Attributes:
        steps: (what it is, seconds in itself), the source first. Measured in one thread, without workers.
        reading: seconds in which the loop waited for elements, workers included.
        step: seconds in the function that was given, or None.
    """

    elements: int
    steps: list[tuple[str, float]]
    reading: float
    step: float | None

    @property
    def bottleneck(self) -> str:
        """The slowest step; "the model" if the given function takes longer than the loop waits."""
        if self.step is not None and self.step >= self.reading:
            return "the model"
        return max(self.steps, key=lambda s: s[1])[0]

    def __str__(self) -> str:
        total = sum(s for _, s in self.steps) or 1.0
        each = 1e3 / max(1, self.elements)
        rows = [["", "ms an element", "share"]]
        rows += [[shown, f"{s * each:.4f}", f"{s / total:.0%}"] for shown, s in self.steps]
        lines = table(rows, right=[1, 2])
        rate = self.elements / self.reading if self.reading else float("inf")
        lines.append(f"{self.elements:,} elements, {rate:,.0f} a second as the loop got them")
        if self.step is not None:
            lines.append(
                f"waiting for data {self.reading * each:.4f} ms, the model {self.step * each:.4f} ms an element"
            )
        return "\n".join([*lines, f"bottleneck: {self.bottleneck}"])

    __repr__ = __str__


def profile(node: Node, elements: int, step: Callable[[Any], Any] | None) -> Profile:
    """Read so many elements with every step timed, and again as the loop does, calling `step` with each."""
    nodes = all_nodes(node)
    with _timed(nodes) as clock:
        count = sum(1 for _ in _elements(_bare(node), elements))
    steps = [(n.describe(), clock.own.get(id(n), 0.0)) for n in nodes if not n.transparent]
    reading = stepping = 0.0
    reader = iter(_elements(node, count))
    first = next(reader, None) if step is not None else None  # what is compiled at the first call does not count
    if step is not None and first is not None:
        step(first)
    at = time.perf_counter()
    for element in reader:
        got = time.perf_counter()
        reading += got - at
        if step is not None:
            step(element)
        at = time.perf_counter()
        stepping += at - got
    return Profile(count, steps, reading, None if step is None else stepping)


def _bare(node: Node) -> Node:
    """Without workers at the end: their time would be seen by nobody."""
    while node.transparent:
        node = node.parents[0]
    return node


def _elements(node: Node, count: int) -> Iterator[Any]:
    reader = node.read(0)
    try:
        for _ in range(count):
            try:
                yield next(reader)
            except StopIteration:
                return
    finally:
        reader.close()


class _Clock:
    """Seconds that each node spends in itself: what it calls in other nodes is theirs."""

    def __init__(self) -> None:
        self.own: dict[int, float] = {}
        self.inside: list[float] = []  # seconds of calls in calls

    def call(self, key: int, function: Callable[..., Any], *args: Any) -> Any:
        begun = time.perf_counter()
        self.inside.append(0.0)
        try:
            return function(*args)
        finally:
            spent = time.perf_counter() - begun
            self.own[key] = self.own.get(key, 0.0) + spent - self.inside.pop()
            if self.inside:
                self.inside[-1] += spent


class _TimedReader(Reader):
    def __init__(self, inner: Reader, clock: _Clock, key: int) -> None:
        self.inner, self.clock, self.key = inner, clock, key

    def __next__(self) -> Any:
        return self.clock.call(self.key, next, self.inner)

    def state(self) -> Any:
        return self.inner.state()

    def close(self) -> None:
        self.inner.close()


@contextlib.contextmanager
def _timed(nodes: list[Node]) -> Iterator[_Clock]:
    """Let the nodes' methods run by the clock."""
    clock = _Clock()

    def wrap(node: Node, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            made = clock.call(id(node), method, *args)
            return _TimedReader(made, clock, id(node)) if name == "read" else made

        return timed

    try:
        for node in nodes:
            for name in _METHODS:
                if hasattr(node, name):
                    node.__dict__[name] = wrap(node, name, getattr(node, name))
        yield clock
    finally:
        for node in nodes:
            for name in _METHODS:
                node.__dict__.pop(name, None)
