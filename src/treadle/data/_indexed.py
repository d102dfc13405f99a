"""Steps from indexed nodes to indexed nodes: nothing is read until an element is asked for."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core.errors import DataError, ShapeError
from treadle.data._columns import Array, Rows, collate, dense, join, map_columns, positions
from treadle.data._nodes import Indexed, Reader, Remapped, all_steady, show_call
from treadle.data._padding import Padding
from treadle.data._permute import generator, permutation, words


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


class Filter(Remapped):
    """The elements that a function keeps. Which these are is found once, as far as they are asked for."""

    def __init__(self, parent: Indexed, function: Callable[[Any], Any]) -> None:
        super().__init__(parent)
        self.columnar = self.rigid = False
        self.function = function
        self._begin()

    def _begin(self) -> None:
        self._found: list[int] = []
        self._seen = 0
        self._last: tuple[int, Any] = (-1, None)
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        # A worker process gets what was found so far, but no lock.
        kept = {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_last")}
        return {**kept, "_found": list(self._found)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _last=(-1, None))

    @property
    def length(self) -> int:
        self._find(None)
        return len(self._found)

    def describe(self) -> str:
        return show_call("filter", self.function)

    def row(self, i: int, epoch: int) -> int:
        self._find(i + 1)
        return self._found[i]

    def rows(self, rows: Rows, epoch: int) -> Rows:
        wanted = positions(rows)
        self._find(int(wanted.max()) + 1 if len(wanted) else 0)
        return np.asarray([self._found[i] for i in wanted], np.int64)

    def get(self, i: int, epoch: int) -> Any:
        row = self.row(i, epoch)
        known, element = self._last  # what was made to decide is not made twice
        return element if known == row else self.parent.get(row, epoch)

    def read(self, epoch: int, state: Any = None) -> Reader:
        return FilterReader(self, epoch, state or 0)

    def has(self, i: int) -> bool:
        self._find(i + 1)
        return i < len(self._found)

    def _find(self, count: int | None) -> None:
        """Go on until so many are found, or all."""
        if count is not None and len(self._found) >= count:
            return
        with self._lock:
            end = self.parent.length
            while self._seen < end and (count is None or len(self._found) < count):
                element = self._kept(self._seen)
                if element is not _DROPPED:
                    self._last = (self._seen, element)
                    self._found.append(self._seen)
                self._seen += 1

    def _kept(self, i: int) -> Any:
        element = self.parent.get(i, 0)
        try:
            keep = bool(self.function(element))
        except Exception as e:
            raise self.failed(e, self.parent.where(i, 0)) from e
        return element if keep else _DROPPED


_DROPPED = object()


class Readable(Filter):
    """The elements that can be made: those that raise a DataError are left out and counted."""

    def __init__(self, parent: Indexed) -> None:
        super().__init__(parent, bool)

    def describe(self) -> str:
        return 'on_error("skip")'

    def _kept(self, i: int) -> Any:
        try:
            return self.parent.get(i, 0)
        except DataError:
            self.skipped += 1
            return _DROPPED


class FilterReader(Reader):
    """Reads a filter without asking for its length, which would be a pass of its own."""

    def __init__(self, node: Filter, epoch: int, at: int) -> None:
        self.node, self.epoch, self.at = node, epoch, at

    def __next__(self) -> Any:
        if not self.node.has(self.at):
            raise StopIteration
        element = self.node.get(self.at, self.epoch)
        self.at += 1
        return element

    def state(self) -> int:
        return self.at

    def skip(self, n: int) -> None:
        self.at += n


class Gathered(Indexed):
    """Elements of several parents, or of several epochs of one."""

    def __init__(self, parents: Sequence[Indexed]) -> None:
        self.parents: tuple[Indexed, ...] = tuple(parents)
        self.steady = all_steady(parents)

    @abstractmethod
    def locate(self, rows: Array, epoch: int) -> tuple[Array, Array, Array]:
        """Of each element the parent's number, the place in it, and which epoch of it."""

    def get(self, i: int, epoch: int) -> Any:
        which, row, of = (int(v[0]) for v in self.locate(np.array([i]), epoch))
        return self.parents[which].get(row, of)

    def take(self, rows: Rows, epoch: int) -> Any:
        which, inner, of = self.locate(positions(rows), epoch)
        pairs = np.stack([which, np.where(np.array([p.steady for p in self.parents])[which], 0, of)], axis=1)
        kinds, members = np.unique(pairs, axis=0, return_inverse=True)
        places = [np.flatnonzero(members.ravel() == k) for k in range(len(kinds))]
        parts = [self.parents[w].take(inner[p], int(e)) for (w, e), p in zip(kinds, places, strict=True)]
        return join(parts, places)

    def where(self, i: int, epoch: int) -> str:
        which, row, of = (int(v[0]) for v in self.locate(np.array([i]), epoch))
        return self.parents[which].where(row, of)


class Repeat(Gathered):
    """The parent's epochs, several in a row; each is its own epoch, in its own order."""

    def __init__(self, parent: Indexed, count: int) -> None:
        super().__init__((parent,))
        self.count = count

    @property
    def length(self) -> int:
        return self.count * self.parents[0].length

    def describe(self) -> str:
        return f"repeat({self.count})"

    def locate(self, rows: Array, epoch: int) -> tuple[Array, Array, Array]:
        turn, row = np.divmod(rows, max(1, self.parents[0].length))
        return np.zeros_like(row), row, epoch * self.count + turn


class Concatenate(Gathered):
    """One after another."""

    @property
    def length(self) -> int:
        return sum(p.length for p in self.parents)

    def describe(self) -> str:
        return f"concatenate({len(self.parents)} datasets)"

    def locate(self, rows: Array, epoch: int) -> tuple[Array, Array, Array]:
        ends = np.cumsum([p.length for p in self.parents])
        which = np.searchsorted(ends, rows, side="right")
        return which, rows - np.concatenate([[0], ends])[which], np.full(len(rows), epoch)


class Interleave(Gathered):
    """Turn by turn; those that have ended are passed over."""

    @property
    def length(self) -> int:
        return sum(p.length for p in self.parents)

    def describe(self) -> str:
        return f"interleave({len(self.parents)} datasets)"

    def locate(self, rows: Array, epoch: int) -> tuple[Array, Array, Array]:
        lengths = np.array([p.length for p in self.parents])
        levels = np.unique(np.concatenate([[0], lengths]))  # between two levels the same datasets take part
        alive = [np.flatnonzero(lengths > low) for low in levels[:-1]]
        ends = np.cumsum([(high - low) * len(a) for low, high, a in zip(levels, levels[1:], alive, strict=False)])
        phase = np.searchsorted(ends, rows, side="right")
        which, inner = np.empty_like(rows), np.empty_like(rows)
        for p in np.unique(phase):
            here = phase == p
            turn, place = np.divmod(rows[here] - (ends[p - 1] if p else 0), len(alive[p]))
            which[here], inner[here] = alive[p][place], levels[p] + turn
        return which, inner, np.full(len(rows), epoch)


MIX_BLOCK = 1024


def mix_counts(weights: Array, block: int) -> Array:
    """How many elements of each dataset lie before a block: the weights' share, the largest takes the remainder."""
    counts = np.floor(block * MIX_BLOCK * weights).astype(np.int64)
    counts[np.argmax(weights)] += block * MIX_BLOCK - counts.sum()
    return counts


def mix_block(weights: Array, seed: int, epoch: int, block: int) -> Array:
    """Which dataset each element of a block is from, in random order."""
    share = mix_counts(weights, block + 1) - mix_counts(weights, block)
    labels = np.repeat(np.arange(len(weights)), share)
    return labels[np.argsort(words(seed, epoch, block, count=MIX_BLOCK), kind="stable")]


class Mix(Gathered):
    """Elements of several datasets by weight, in random order, until one of them has ended.

    In each 1024 elements the shares are exact up to rounding, so a place is computed without counting from the start.
    """

    def __init__(self, parents: Sequence[Indexed], weights: Array, seed: int) -> None:
        super().__init__(parents)
        self.weights, self.seed = weights, seed
        self.steady = False
        self._lengths: dict[int, int] = {}

    def describe(self) -> str:
        return show_call("mix", weights=[round(float(w), 6) for w in self.weights], seed=self.seed)

    @property
    def length(self) -> int:
        return self._length(0)

    def _length(self, epoch: int) -> int:
        """The elements before the first that is not there. The same in all epochs: epoch 0 decides."""
        if epoch not in self._lengths:
            have = np.array([p.length for p in self.parents])
            low, high = 0, int(have.sum()) // MIX_BLOCK + 2
            while high - low > 1:  # the last block before which nothing is missing
                middle = (low + high) // 2
                low, high = (middle, high) if (mix_counts(self.weights, middle) <= have).all() else (low, middle)
            used = mix_counts(self.weights, low)
            labels = mix_block(self.weights, self.seed, epoch, low)
            ends = [np.flatnonzero(labels == w)[n - u :][:1] for w, (n, u) in enumerate(zip(have, used, strict=True))]
            first = min((int(e[0]) for e in ends if len(e)), default=MIX_BLOCK)
            self._lengths[epoch] = low * MIX_BLOCK + first
        return self._lengths[epoch]

    def locate(self, rows: Array, epoch: int) -> tuple[Array, Array, Array]:
        which, inner = np.empty_like(rows), np.empty_like(rows)
        blocks, places = np.divmod(rows, MIX_BLOCK)
        for b in np.unique(blocks):
            here = blocks == b
            # The last block's order is that of epoch 0: the length, which it decides, is one for all epochs.
            last = int(b) == self.length // MIX_BLOCK
            labels = mix_block(self.weights, self.seed, 0 if last else epoch, int(b))
            rank = np.empty(MIX_BLOCK, np.int64)
            for w in range(len(self.weights)):
                own = labels == w
                rank[own] = np.arange(own.sum())
            p = places[here]
            which[here] = labels[p]
            inner[here] = mix_counts(self.weights, int(b))[labels[p]] + rank[p]
        return which, inner, np.full(len(rows), epoch)


class Zip(Indexed):
    """Tuples of one element of each, as long as the shortest."""

    def __init__(self, parents: Sequence[Indexed]) -> None:
        self.parents: tuple[Indexed, ...] = tuple(parents)
        self.steady = all_steady(parents)

    @property
    def length(self) -> int:
        return min(p.length for p in self.parents)

    def describe(self) -> str:
        return f"zip({len(self.parents)} datasets)"

    def get(self, i: int, epoch: int) -> Any:
        return tuple(p.get(i, epoch) for p in self.parents)

    def take(self, rows: Rows, epoch: int) -> Any:
        return tuple(p.take(rows, epoch) for p in self.parents)

    def where(self, i: int, epoch: int) -> str:
        return " and ".join(dict.fromkeys(p.where(i, epoch) for p in self.parents))


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
        return dense(self.parent.take(slice(start, start + self.size), epoch))

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
