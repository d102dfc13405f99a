"""Steps from indexed nodes to indexed nodes: nothing is read until an element is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from treadle.core.errors import ShapeError
from treadle.data._columns import Array, Rows, collate, dense, map_columns, positions
from treadle.data._nodes import Indexed, Remapped, show_call
from treadle.data._padding import Padding
from treadle.data._permute import generator, permutation


class Map(Indexed):
    """`function(element)`, or `function(element, rng)` with a generator that belongs to (seed, epoch, place)."""

    def __init__(self, parent: Indexed, function: Callable[..., Any], seed: int | None = None) -> None:
        self.parents, self.parent = (parent,), parent
        self.function, self.seed = function, seed
        self.steady = parent.steady and seed is None

    @property
    def length(self) -> int:
        return self.parent.length

    def describe(self) -> str:
        return show_call("map", self.function, seed=self.seed)

    def get(self, i: int, epoch: int) -> Any:
        return self.apply(self.parent.get(i, epoch), i, epoch)

    def elements(self, start: int, stop: int, epoch: int) -> Iterator[Any]:
        for i, element in enumerate(self.parent.elements(start, stop, epoch), start):
            yield self.apply(element, i, epoch)

    def take(self, rows: Rows, epoch: int) -> Any:
        if not isinstance(rows, slice):
            return super().take(rows, epoch)
        return collate(list(self.elements(rows.start, rows.stop, epoch)), ragged=True)

    def apply(self, element: Any, i: int, epoch: int) -> Any:
        try:
            if self.seed is None:
                return self.function(element)
            return self.function(element, generator(self.seed, epoch, i))
        except Exception as e:
            raise self.failed(e, self.where(i, epoch)) from e

    def where(self, i: int, epoch: int) -> str:
        return self.parent.where(i, epoch)


class Slice(Remapped):
    """start, start + step, … below stop."""

    def __init__(self, parent: Indexed, start: int, stop: int | None, step: int, shown: str) -> None:
        super().__init__(parent)
        self.start, self.stop, self.step, self.shown = start, stop, step, shown

    @property
    def length(self) -> int:
        n = self.parent.length
        stop = n if self.stop is None else min(n, self.stop)
        return max(0, -(-(stop - self.start) // self.step))

    def describe(self) -> str:
        return self.shown

    def rows(self, rows: Rows, epoch: int) -> Rows:
        if isinstance(rows, slice) and self.step == 1:
            return slice(rows.start + self.start, rows.stop + self.start)
        return positions(rows) * self.step + self.start


class Select(Remapped):
    """The elements at given places, in that order."""

    def __init__(self, parent: Indexed, chosen: Array, shown: str) -> None:
        super().__init__(parent)
        self.chosen, self.shown = chosen, shown

    @property
    def length(self) -> int:
        return len(self.chosen)

    def describe(self) -> str:
        return self.shown

    def rows(self, rows: Rows, epoch: int) -> Rows:
        return self.chosen[rows]


class Shuffle(Remapped):
    """A new order each epoch, or one order for all; `within` runs of so many elements, and of the runs."""

    def __init__(self, parent: Indexed, seed: int, each_epoch: bool, within: int | None) -> None:
        super().__init__(parent)
        self.seed, self.each_epoch, self.within = seed, each_epoch, within
        self.steady = parent.steady and not each_epoch

    @property
    def length(self) -> int:
        return self.parent.length

    def describe(self) -> str:
        each = None if self.each_epoch else False
        return show_call("shuffle", seed=self.seed, within=self.within, each_epoch=each)

    def rows(self, rows: Rows, epoch: int) -> Rows:
        epoch = epoch if self.each_epoch else 0
        if self.within is not None:
            return self._near(positions(rows), isinstance(rows, slice), epoch, self.within)
        order = permutation(self.parent.length, self.seed, epoch)
        return order.span(rows.start, rows.stop) if isinstance(rows, slice) else order(rows)

    def _near(self, rows: Array, in_order: bool, epoch: int, within: int) -> Array:
        """Whole runs change places with each other, and elements inside of each; a shorter last run stays the last."""
        runs, rest = divmod(self.parent.length, within)
        run, place = np.divmod(rows, within)
        out = np.empty_like(rows)
        for r in np.unique(run):
            here = run == r
            size = within if r < runs else rest
            start = int(permutation(runs, self.seed, epoch)(np.array([r]))[0]) if r < runs else runs
            order, inside = permutation(size, self.seed + 1 + start, epoch), place[here]
            found = order.span(int(inside[0]), int(inside[-1]) + 1) if in_order else order(inside)
            out[here] = start * within + found
        return out


class Batch(Indexed):
    """Columns of `size` consecutive elements, gathered whole."""

    def __init__(self, parent: Indexed, size: int, drop_last: bool, padding: Padding | None = None) -> None:
        self.parents, self.parent = (parent,), parent
        self.size, self.drop_last, self.padding = size, drop_last, padding
        self.steady = parent.steady
        self._plain = False  # whether it is known that no column is ragged

    @property
    def length(self) -> int:
        n = self.parent.length
        return n // self.size if self.drop_last else -(-n // self.size)

    def describe(self) -> str:
        name, more = ("batch", {}) if self.padding is None else ("padded_batch", self.padding.shown())
        return show_call(name, self.size, drop_last=self.drop_last or None, **more)

    def span(self, i: int) -> slice:
        return slice(i * self.size, min((i + 1) * self.size, self.parent.length))

    def get(self, i: int, epoch: int) -> Any:
        columns = self.parent.take(self.span(i), epoch)
        if self._plain:
            return columns
        try:
            if self.padding is None:
                made = dense(columns)
                self._plain = self.parent.rigid and made is columns
                return made
            return self.padding.settled(self.parent)(columns)
        except ShapeError as e:
            raise self.failed(e, self.where(i, epoch)) from e

    def where(self, i: int, epoch: int) -> str:
        span = self.span(i)
        first, last = self.parent.where(span.start, epoch), self.parent.where(span.stop - 1, epoch)
        return f"batch {i}, {first}" + (f" to {last}" if last != first else "")

    def spec(self) -> Any:
        from treadle.data._spec import batched

        size = self.size if self.drop_last or self.parent.length % self.size == 0 else "batch"
        inner = self.parent.spec()
        return batched(inner, size) if self.padding is None else self.padding.settled(self.parent).spec(inner, size)


class Window(Indexed):
    """Columns of `size` consecutive elements from every `stride`-th on."""

    def __init__(self, parent: Indexed, size: int, stride: int) -> None:
        self.parents, self.parent = (parent,), parent
        self.size, self.stride = size, stride
        self.steady = parent.steady

    @property
    def length(self) -> int:
        return max(0, (self.parent.length - self.size) // self.stride + 1)

    def describe(self) -> str:
        return show_call("window", self.size, stride=self.stride)

    def get(self, i: int, epoch: int) -> Any:
        start = i * self.stride
        columns = self.parent.take(slice(start, start + self.size), epoch)
        try:
            return dense(columns)
        except ShapeError as e:
            raise self.failed(e, self.where(i, epoch)) from e

    def take(self, rows: Rows, epoch: int) -> Any:
        places = positions(rows)
        if not self.parent.steady or not len(places):
            return super().take(rows, epoch)
        inside = places[:, None] * self.stride + np.arange(self.size)
        columns = dense(self.parent.take(inside.ravel(), epoch))
        return map_columns(lambda c: c.reshape(len(places), self.size, *c.shape[1:]), columns)

    def where(self, i: int, epoch: int) -> str:
        return f"window {i}, from {self.parent.where(i * self.stride, epoch)}"

    def spec(self) -> Any:
        from treadle.data._spec import batched

        return batched(self.parent.spec(), self.size)
