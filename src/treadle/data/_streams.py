"""Steps of streams: what can only be read from the front. A reader's state says how to go on with the next element."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from treadle.core.errors import ShapeError
from treadle.data._columns import collate, count_rows, dense, map_columns
from treadle.data._nodes import Node, Place, Reader, placed, show_call
from treadle.data._padding import Padding
from treadle.data._permute import generator


class Stream(Node):
    """A step that reads one parent."""

    def __init__(self, parent: Node) -> None:
        self.parents: tuple[Node, ...] = (parent,)
        self.parent = parent
        self.steady = parent.steady


class StreamReader(Reader):
    """A reader that reads the parent's reader and counts what it has given."""

    def __init__(self, node: Stream, epoch: int, state: Any) -> None:
        self.epoch = epoch
        self.at = state["at"] if state else 0
        self.inner = node.parent.read(epoch, state["of"] if state else None)

    def __next__(self) -> Any:
        element = self.make()
        self.at += 1
        return element

    @abstractmethod
    def make(self) -> Any:
        """The next element."""

    def state(self) -> Any:
        return {"at": self.at, "of": self.inner.state()}

    def place(self) -> Place:
        return self.inner.place()

    def close(self) -> None:
        self.inner.close()


class StreamMap(Stream):
    """`function(element)`, or `function(element, rng)`."""

    def __init__(self, parent: Node, function: Callable[..., Any], seed: int | None = None) -> None:
        super().__init__(parent)
        self.function, self.seed = function, seed
        self.steady = parent.steady and seed is None

    def describe(self) -> str:
        return show_call("map", self.function, seed=self.seed)

    def apply(self, element: Any, at: int, epoch: int, reader: Reader | None = None) -> Any:
        try:
            return run_map(self.function, self.seed, element, at, epoch)
        except Exception as e:
            raise self.failed(e, placed(f"element {at}", None if reader is None else reader.where())) from e

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _MapReader(self, epoch, state)

    def samples(self, count: int) -> list[Any]:
        return [self.apply(x, i, 0) for i, x in enumerate(self.parent.samples(count))]


def run_map(function: Any, seed: int | None, element: Any, at: int, epoch: int) -> Any:
    """The function of a map, of one element."""
    return function(element) if seed is None else function(element, generator(seed, epoch, at))


class _MapReader(StreamReader):
    def __init__(self, node: StreamMap, epoch: int, state: Any) -> None:
        super().__init__(node, epoch, state)
        self.node = node

    def make(self) -> Any:
        return self.node.apply(next(self.inner), self.at, self.epoch, self.inner)

    def skip(self, n: int) -> None:
        self.inner.skip(n)
        self.at += n


class StreamFilter(Stream):
    """The elements that a function keeps."""

    def __init__(self, parent: Node, function: Callable[[Any], Any]) -> None:
        super().__init__(parent)
        self.function = function

    def describe(self) -> str:
        return show_call("filter", self.function)

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _FilterReader(self, epoch, state)


class _FilterReader(StreamReader):
    def __init__(self, node: StreamFilter, epoch: int, state: Any) -> None:
        super().__init__(node, epoch, state)
        self.node = node

    def make(self) -> Any:
        while True:
            element = next(self.inner)
            try:
                keep = self.node.function(element)
            except Exception as e:
                place = f"the element after {self.at} that were kept"
                raise self.node.failed(e, placed(place, self.inner.where())) from e
            if keep:
                return element


class FlatMap(Stream):
    """All that `function(element)` gives, element by element."""

    def __init__(self, parent: Node, function: Callable[[Any], Iterable[Any]]) -> None:
        super().__init__(parent)
        self.function = function

    def describe(self) -> str:
        return show_call("flat_map", self.function)

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _FlatMapReader(self, epoch, state)


class _FlatMapReader(Reader):
    """The state is the parent's before the present element, and how many of its parts were given."""

    def __init__(self, node: FlatMap, epoch: int, state: Any) -> None:
        self.node = node
        self.inner = node.parent.read(epoch, state["of"] if state else None)
        self.number = state["number"] if state else 0
        self.given, self.parts = 0, iter(())  # type: tuple[int, Any]
        self.before = self.inner.state()
        if state and state["given"]:
            self._open()
            for _ in range(state["given"]):
                next(self.parts)
            self.given = state["given"]

    def _open(self) -> None:
        self.given, self.parts = 0, iter(())  # also when there is no other element: all of this one was given
        before = self.inner.state()
        element = next(self.inner)
        self.before, self.number = before, self.number + 1
        try:
            self.parts = iter(self.node.function(element))
        except Exception as e:
            raise self.node.failed(e, placed(f"element {self.number - 1}", self.where())) from e

    def __next__(self) -> Any:
        while True:
            try:
                part = next(self.parts)
            except StopIteration:
                self._open()
                continue
            except Exception as e:
                place = f"part {self.given} of element {self.number - 1}"
                raise self.node.failed(e, placed(place, self.where())) from e
            self.given += 1
            return part

    def state(self) -> Any:
        if not self.given:
            return {"of": self.inner.state(), "number": self.number, "given": 0}
        return {"of": self.before, "number": self.number - 1, "given": self.given}

    def place(self) -> Place:
        return self.inner.place()

    def close(self) -> None:
        self.inner.close()


class StreamSlice(Stream):
    """The elements start, start + step, … below stop."""

    def __init__(self, parent: Node, start: int, stop: int | None, step: int, shown: str) -> None:
        super().__init__(parent)
        self.start, self.stop, self.step, self.shown = start, stop, step, shown

    def describe(self) -> str:
        return self.shown

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _SliceReader(self, epoch, state)


class _SliceReader(StreamReader):
    """`at` counts the parent's elements."""

    def __init__(self, node: StreamSlice, epoch: int, state: Any) -> None:
        super().__init__(node, epoch, state)
        self.node = node

    def make(self) -> Any:
        node = self.node
        gap = node.start - self.at if self.at < node.start else (node.start - self.at) % node.step
        if node.stop is not None and self.at + gap >= node.stop:
            raise StopIteration
        if gap:
            self.inner.skip(gap)
            self.at += gap
        return next(self.inner)


class StreamRepeat(Stream):
    """The parent's epochs, several or without end; each is its own epoch."""

    def __init__(self, parent: Node, count: int | None) -> None:
        super().__init__(parent)
        self.count = count

    def describe(self) -> str:
        return "repeat()" if self.count is None else f"repeat({self.count})"

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _RepeatReader(self, epoch, state)


class _RepeatReader(Reader):
    def __init__(self, node: StreamRepeat, epoch: int, state: Any) -> None:
        self.node, self.epoch = node, epoch
        self.turn = state["turn"] if state else 0
        self.inner = self._open(state["of"] if state else None)
        self.empty = not state

    def _open(self, state: Any = None) -> Reader:
        # Without end, the next epoch of this one cannot begin behind the last turn: a stride that no one reaches.
        stride = (1 << 32) if self.node.count is None else self.node.count
        return self.node.parent.read(self.epoch * stride + self.turn, state)

    def __next__(self) -> Any:
        while self.node.count is None or self.turn < self.node.count:
            try:
                element = next(self.inner)
            except StopIteration:
                self.inner.close()
                self.turn += 1
                if self.empty:
                    raise  # repeating nothing would never end
                self.empty = True
                self.inner = self._open()
                continue
            self.empty = False
            return element
        raise StopIteration

    def state(self) -> Any:
        return {"turn": self.turn, "of": self.inner.state()}

    def place(self) -> Place:
        return self.inner.place()

    def close(self) -> None:
        self.inner.close()


class StreamBatch(Stream):
    """Columns of `size` consecutive elements; padded where that is asked for."""

    def __init__(self, parent: Node, size: int, drop_last: bool, padding: Padding | None = None) -> None:
        super().__init__(parent)
        self.size, self.drop_last, self.padding = size, drop_last, padding

    def describe(self) -> str:
        name, more = ("batch", {}) if self.padding is None else ("padded_batch", self.padding.shown())
        return show_call(name, self.size, drop_last=self.drop_last or None, **more)

    def columns(self, elements: Sequence[Any], at: int, place: Place) -> Any:
        try:
            columns = collate(elements, ragged=True)
            if self.padding is None:
                return dense(columns)
            return self.padding.settled(self.parent)(columns)
        except ShapeError as e:
            raise self.failed(e, placed(f"batch {at}", _until(place()))) from e

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _BatchReader(self, epoch, state)

    def samples(self, count: int) -> list[Any]:
        """The first batches, and a shorter one, as the last may be: what maps make of them shows which size varies."""
        found = super().samples(count)
        rows = count_rows(found[0]) if found else 0
        if rows > 1 and not self.drop_last:
            found.append(map_columns(lambda c: c[: rows - 1], found[0]))
        return found

    def spec(self) -> Any:
        from treadle.data._spec import batched

        size: Any = self.size if self.drop_last else "batch"
        inner = self.parent.spec()
        return batched(inner, size) if self.padding is None else self.padding.settled(self.parent).spec(inner, size)


def _until(where: str | None) -> str | None:
    return None if where is None else f"up to {where}"


class _BatchReader(StreamReader):
    def __init__(self, node: StreamBatch, epoch: int, state: Any) -> None:
        super().__init__(node, epoch, state)
        self.node = node

    def make(self) -> Any:
        elements = [x for _, x in zip(range(self.node.size), self.inner, strict=False)]
        if not elements or (self.node.drop_last and len(elements) < self.node.size):
            raise StopIteration
        return self.node.columns(elements, self.at, self.inner.place())
