"""What a chain is made of: nodes that have a length and any element at once, nodes that can only be read, and readers.

Element i of an indexed node is a pure function of (node, epoch, i): shuffling permutes indices, workers need no
coordination, and a position is one integer. A stream's position is whatever its reader's `state()` says, as JSON.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from treadle.core import trees
from treadle.core.errors import DataError, TreadleError
from treadle.data._columns import Array, Rows, collate, flatten, positions
from treadle.data._permute import words

Place = Callable[[], str | None]  # says where an element is from, for people; words are made when somebody asks

_CHUNK, _CHUNK_BYTES = 64, 1 << 20


class Reader(ABC):
    """Goes once through the elements of one epoch."""

    @abstractmethod
    def __next__(self) -> Any:
        """The next element; StopIteration after the last."""

    @abstractmethod
    def state(self) -> Any:
        """The position, as JSON: a reader made from it goes on with the very next element."""

    def skip(self, n: int) -> None:
        """Leave out the next n elements, without making them where that can be; StopIteration if there are fewer."""
        for _ in range(n):
            next(self)

    def place(self) -> Place:
        """Where the element that was given last comes from: says `train.csv, row 18`, or None if that is not known."""
        return nowhere

    def where(self) -> str | None:
        """That place in words."""
        return self.place()()

    def close(self) -> None:  # noqa: B027, most hold nothing
        """Let go of files, threads and processes."""

    def __iter__(self) -> Reader:
        return self


class Node(ABC):
    """A source, or a step together with all that comes before it.

    Attributes:
        parents: the nodes it reads.
        steady: whether every epoch is the same.
        transparent: whether it changes neither elements nor positions.
        skipped: how many bad records it has left out so far.
    """

    skipped: int = 0
    transparent: bool = False
    parents: tuple[Node, ...] = ()
    steady: bool = True

    @abstractmethod
    def describe(self) -> str:
        """The call that made it: `batch(32)`."""

    @abstractmethod
    def read(self, epoch: int, state: Any = None) -> Reader:
        """A reader of an epoch, from its beginning or from a reader's state."""

    def spec(self) -> Any:
        """What an element is: a tree of specs; see `_spec`."""
        from treadle.data._spec import spec_of_samples

        return spec_of_samples(self)

    def samples(self, count: int) -> list[Any]:
        """A few elements of epoch 0."""
        reader = self.read(0)
        try:
            return [x for x, _ in zip(reader, range(count), strict=False)]
        finally:
            reader.close()

    def close(self) -> None:
        """End the workers of this and all earlier steps; they start again when they are needed."""
        for parent in self.parents:
            parent.close()

    @property
    def number(self) -> int:
        """How many steps there are up to this one; a source is number 0, and workers are no step."""
        before = max((p.number for p in self.parents), default=-1)
        return before + (not self.transparent)

    def failed(self, error: BaseException, where: str) -> DataError:
        """The error to raise when this step could not make an element."""
        return step_failed(self.number, self.describe(), error, where)


def step_failed(number: int, shown: str, error: BaseException, where: str) -> DataError:
    """The error that names a step, how it was called, and where its element is from."""
    what = error.message if isinstance(error, TreadleError) else f"{type(error).__name__}: {error}"
    return DataError(f"step {number}, {shown}, at {where}: {what}")


class Indexed(Node):
    """A node with a length, whose elements can be had in any order.

    Attributes:
        columnar: whether many elements at once cost much less than one by one, and are the same.
        rigid: whether a column that is dense once always is.
    """

    columnar: bool = False
    rigid: bool = False

    @property
    @abstractmethod
    def length(self) -> int:
        """How many elements an epoch has."""

    def has(self, i: int) -> bool:
        """Whether there is an element i >= 0."""
        return i < self.length

    @abstractmethod
    def get(self, i: int, epoch: int) -> Any:
        """Element i, 0 <= i < length."""

    def take(self, rows: Rows, epoch: int) -> Any:
        """Columns of some elements, ragged ones as objects."""
        return collate([self.get(int(i), epoch) for i in positions(rows)], ragged=True)

    def elements(self, start: int, stop: int, epoch: int) -> Iterator[Any]:
        """Elements start to stop - 1, one after another; those of columns are made several at once."""
        if not self.columnar:
            for i in range(start, stop):
                yield self.get(i, epoch)
            return
        count = 1  # more and more at once, unless they are large
        while start < stop:
            end = min(start + count, stop)
            try:
                leaves, structure = flatten(self.take(slice(start, end), epoch))
            except Exception:  # one of them is bad: those before it are given first
                leaves = None
            for i in range(start, end):
                if leaves is None:
                    yield self.get(i, epoch)
                elif structure is trees.LEAF:
                    yield leaves[0][i - start]
                else:
                    yield trees.unflatten(structure, [x[i - start] for x in leaves])
            start = end
            if leaves is not None and count < _CHUNK and sum(x.nbytes for x in leaves) < _CHUNK_BYTES:
                count *= 2

    def where(self, i: int, epoch: int) -> str:
        """Where element i comes from, for people: `train.csv, line 18`."""
        return f"element {i}"

    def read(self, epoch: int, state: Any = None) -> Reader:
        return IndexReader(self, epoch, state or 0)

    def samples(self, count: int) -> list[Any]:
        n = self.length
        # Not evenly spaced: data often has a period, and elements a multiple of it apart are all alike.
        places = [0, n - 1, *(int(w) % n for w in words(0, count=count - 2))] if n else []
        return [self.get(i, 0) for i in dict.fromkeys(places)]


class IndexReader(Reader):
    """Elements of an indexed node, one after another."""

    def __init__(self, node: Indexed, epoch: int, at: int) -> None:
        self.node, self.epoch, self.at = node, epoch, at
        self.length = node.length
        self._elements: Iterator[Any] | None = None

    def __next__(self) -> Any:
        if self.at >= self.length:
            raise StopIteration
        if self._elements is None:
            self._elements = self.node.elements(self.at, self.length, self.epoch)
        try:
            element = next(self._elements)
        except BaseException:
            self._elements = None  # an iterator that has raised is through; asked again, this reader tries again
            raise
        self.at += 1
        return element

    def state(self) -> int:
        return self.at

    def place(self) -> Place:
        return partial(self.node.where, self.at - 1, self.epoch)

    def skip(self, n: int) -> None:
        self.at, self._elements = self.at + n, None


class Remapped(Indexed):
    """Elements of the parent in another order, or some of them."""

    def __init__(self, parent: Indexed) -> None:
        self.parents = (parent,)
        self.parent = parent
        self.steady, self.columnar, self.rigid = parent.steady, parent.columnar, parent.rigid

    @abstractmethod
    def rows(self, rows: Rows, epoch: int) -> Rows:
        """The parent's places of some elements."""

    def get(self, i: int, epoch: int) -> Any:
        return self.parent.get(self.row(i, epoch), epoch)

    def take(self, rows: Rows, epoch: int) -> Any:
        return self.parent.take(self.rows(rows, epoch), epoch)

    def where(self, i: int, epoch: int) -> str:
        return self.parent.where(self.row(i, epoch), epoch)

    def spec(self) -> Any:
        return self.parent.spec()

    def row(self, i: int, epoch: int) -> int:
        return int(positions(self.rows(slice(i, i + 1), epoch))[0])


def nowhere() -> None:
    """The place of an element of which nobody knows where it is from."""


def placed(place: str, where: str | None) -> str:
    """A place in a stream, and where its element comes from if that says more."""
    return place if where is None or where == place else f"{place} ({where})"


def show_function(function: Callable[..., Any]) -> str:
    """A function as a person finds it: `parse, prepare.py:12`."""
    name = getattr(function, "__name__", None) or type(function).__name__
    code = getattr(function, "__code__", None)
    return name if code is None else f"{name}, {os.path.basename(code.co_filename)}:{code.co_firstlineno}"


def show_call(name: str, *given: Any, **named: Any) -> str:
    """A call, without the arguments that are None."""
    shown = [show_function(g) if callable(g) else repr(g) for g in given if g is not None]
    shown += [f"{k}={show_function(v) if callable(v) else repr(v)}" for k, v in named.items() if v is not None]
    return f"{name}({', '.join(shown)})"


def chain(node: Node) -> list[Node]:
    """The node and what it is made from, the source first; of several parents the first."""
    out = [node]
    while out[-1].parents:
        out.append(out[-1].parents[0])
    return out[::-1]


def all_nodes(node: Node) -> list[Node]:
    """Every node that it is made from, and itself: each once, sources first."""
    found: dict[int, Node] = {}

    def visit(n: Node) -> None:
        for parent in n.parents:
            visit(parent)
        found.setdefault(id(n), n)

    visit(node)
    return list(found.values())


def all_steady(parents: Sequence[Node]) -> bool:
    return all(p.steady for p in parents)


__all__ = ["Array", "Indexed", "IndexReader", "Node", "Reader", "Remapped", "Rows"]
