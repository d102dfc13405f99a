"""Batches of elements of similar length, each padded to the bound of its bucket."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from treadle.core.errors import DataError, ShapeError
from treadle.data._backlog import Backlog
from treadle.data._columns import Array, collate, flatten, leaf_at, positions
from treadle.data._indexed import Shuffle
from treadle.data._nodes import Indexed, Node, Place, Reader, placed
from treadle.data._padding import Padding
from treadle.data._streams import Stream


class Length:
    """The length of one leaf of an element."""

    def __init__(self, path: str | int | None) -> None:
        self.path = path

    def __call__(self, element: Any) -> int:
        return len(element if self.path is None else leaf_at(element, self.path, "length"))

    def of_columns(self, columns: Any) -> Array:
        """The lengths of many elements."""
        leaves, structure = flatten(columns)
        if self.path is None and structure.kind is not None:
            raise DataError(f"it has {', '.join(map(repr, structure.paths()))}: say whose length counts, length=…")
        column = leaves[0] if self.path is None else leaf_at(columns, self.path, "length")
        if column.dtype == object:
            return np.fromiter(map(len, column), np.int64, len(column))
        if column.ndim == 1:
            raise DataError("a number has no length: name a leaf of sequences, length=…")
        return np.full(len(column), column.shape[1])


class Buckets:
    """Which bucket an element belongs to, and how a batch of one is made."""

    def __init__(
        self, bounds: Sequence[int], sizes: Sequence[int], length: Callable[[Any], int], padding: Padding, longer: str,
        drop_last: bool, shown: str,
    ) -> None:  # fmt: skip
        self.bounds, self.sizes, self.length = list(bounds), tuple(sizes), length
        self.padding, self.longer, self.drop_last, self.shown = padding, longer, drop_last, shown

    def of_length(self, n: int) -> int | None:
        """The bucket; None if the element is left out.

        Raises:
            ShapeError: it is longer than the last bound.
        """
        found = bisect.bisect_left(self.bounds, n)
        if found < len(self.bounds):
            return found
        if self.longer == "error":
            raise ShapeError(
                f"its length is {n}, and the last bound {self.bounds[-1]}. Add a bound, or longer='drop' or 'pad'"
            )
        return None if self.longer == "drop" else found

    def padded(self, which: int, columns: Any, parent: Node) -> Any:
        bound = self.bounds[which] if which < len(self.bounds) else None
        return self.padding.settled(parent)(columns, to=bound)

    def spec(self, parent: Node) -> Any:
        return self.padding.settled(parent).spec(parent.spec(), "batch")


class StreamBucket(Stream):
    """Elements are held back until a bucket is full."""

    def __init__(self, parent: Node, buckets: Buckets) -> None:
        super().__init__(parent)
        self.buckets = buckets

    def describe(self) -> str:
        return self.buckets.shown

    def bucket(self, element: Any, number: int, place: Place) -> int | None:
        try:
            return self.buckets.of_length(int(self.buckets.length(element)))
        except Exception as e:
            raise self.failed(e, placed(f"element {number}", place())) from e

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _BucketReader(self, epoch, state)

    def spec(self) -> Any:
        return self.buckets.spec(self.parent)


class _BucketReader(Reader):
    def __init__(self, node: StreamBucket, epoch: int, state: Any) -> None:
        self.node = node
        self.log = Backlog(node.parent, epoch, state["log"] if state else None)
        count = len(node.buckets.bounds) + 1
        self.buckets: list[list[int]] = [list(b) for b in state["buckets"]] if state else [[] for _ in range(count)]

    def __next__(self) -> Any:
        while True:
            try:
                number = self.log.next()
            except StopIteration:
                return self._rest()
            which = self.node.bucket(self.log.held[number], number, self.log.places[number])
            if which is None:
                self.log.give(number)
                continue
            self.buckets[which].append(number)
            if len(self.buckets[which]) == self.node.buckets.sizes[which]:
                return self._give(which)

    def _rest(self) -> Any:
        """What is left in the buckets when the parent has ended, the shortest first."""
        for which, bucket in enumerate(self.buckets):
            if bucket and not self.node.buckets.drop_last:
                return self._give(which)
        raise StopIteration

    def _give(self, which: int) -> Any:
        numbers, self.buckets[which] = self.buckets[which], []
        columns = collate([self.log.give(n) for n in numbers], ragged=True)
        return self.node.buckets.padded(which, columns, self.node.parent)

    def place(self) -> Place:
        return self.log.last

    def state(self) -> Any:
        return {"buckets": [list(b) for b in self.buckets], "log": self.log.state()}

    def close(self) -> None:
        self.log.inner.close()


def can_index(node: Node) -> bool:
    """Whether buckets of a node are known beforehand: its elements lie in memory, and only their order changes."""
    while isinstance(node, Shuffle):
        node = node.parent
    return isinstance(node, Indexed) and node.rigid and node.steady


class IndexedBucket(Indexed):
    """The batches that `StreamBucket` would give, in the same order, computed from all lengths.

    How many there are depends on the lengths alone: each bucket's number of elements, divided by its batches' size.
    """

    def __init__(self, parent: Indexed, buckets: Buckets) -> None:
        self.parents, self.parent, self.buckets = (parent,), parent, buckets
        self.steady = parent.steady
        self.base = parent
        while isinstance(self.base, Shuffle):
            self.base = self.base.parent
        self._begin()

    def _begin(self) -> None:
        self._buckets: Array | None = None
        self._plans: dict[int, tuple[Array, list[tuple[int, Array]]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_buckets", "_plans")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def describe(self) -> str:
        return self.buckets.shown

    def which(self) -> Array:
        """The bucket of each element of the base; -1 for those that are left out."""
        if self._buckets is None:
            n, length, of = self.base.length, self.buckets.length, self.buckets
            try:
                if isinstance(length, Length):
                    lengths = length.of_columns(self.base.take(slice(0, n), 0))
                else:
                    lengths = np.array([int(length(x)) for x in self.base.elements(0, n, 0)], np.int64)
            except Exception as e:
                raise self.failed(e, "its elements") from e
            found = np.searchsorted(of.bounds, lengths, side="left")
            beyond = np.flatnonzero(found == len(of.bounds))
            if len(beyond) and of.longer == "error":
                try:
                    of.of_length(int(lengths[beyond[0]]))
                except ShapeError as e:
                    raise self.failed(e, self.base.where(int(beyond[0]), 0)) from e
            if of.longer == "drop":
                found[beyond] = -1
            self._buckets = found
        return self._buckets

    def plan(self, epoch: int) -> tuple[Array, list[tuple[int, Array]]]:
        """The base's rows in an epoch's order, and of each batch the bucket and the places in that order."""
        epoch = 0 if self.steady else epoch
        found = self._plans.get(epoch)
        if found is None:
            found = self._plan(epoch)
            while len(self._plans) > 1:  # two loops may be in different epochs
                self._plans.pop(next(iter(self._plans)), None)
            self._plans[epoch] = found
        return found

    def _plan(self, epoch: int) -> tuple[Array, list[tuple[int, Array]]]:
        rows, node = np.arange(self.base.length), self.parent
        while isinstance(node, Shuffle):
            rows, node = positions(node.rows(rows, epoch)), node.parent
        which = self.which()[rows]
        full: list[tuple[int, int, Array]] = []
        rest: list[tuple[int, Array]] = []
        for k, size in enumerate(self.buckets.sizes):
            own = np.flatnonzero(which == k)
            whole = len(own) // size
            full += [(int(part[-1]), k, part) for part in own[: whole * size].reshape(whole, size)]
            if len(own) > whole * size and not self.buckets.drop_last:
                rest.append((k, own[whole * size :]))
        full.sort(key=lambda f: f[0])  # a batch comes when its last element does
        return rows, [*((k, part) for _, k, part in full), *rest]

    @property
    def length(self) -> int:
        counts = np.bincount(self.which() + 1, minlength=len(self.buckets.sizes) + 1)[1:]
        sizes = np.array(self.buckets.sizes)
        counts = counts[: len(sizes)]
        return int((counts // sizes if self.buckets.drop_last else -(-counts // sizes)).sum())

    def get(self, i: int, epoch: int) -> Any:
        rows, batches = self.plan(epoch)
        which, places = batches[i]
        try:
            return self.buckets.padded(which, self.base.take(rows[places], 0), self.parent)
        except ShapeError as e:
            raise self.failed(e, self.where(i, epoch)) from e

    def where(self, i: int, epoch: int) -> str:
        rows, batches = self.plan(epoch)
        places = batches[i][1]
        first, last = (self.base.where(int(rows[p]), 0) for p in (places[0], places[-1]))
        return f"batch {i}, {first}" + (f" to {last}" if last != first else "")

    def spec(self) -> Any:
        return self.buckets.spec(self.parent)
