"""Steps of streams that hold elements back: a shuffle's buffer, overlapping windows."""

from __future__ import annotations

from collections import deque
from typing import Any

from treadle.core.errors import ShapeError
from treadle.data._columns import collate, dense
from treadle.data._nodes import Node, Place, Reader, nowhere, placed, show_call
from treadle.data._permute import words
from treadle.data._streams import Stream

_WORDS = 1024


class Backlog:
    """Reads a parent for a step that holds elements back, and can say later which these are.

    Its state is a position of the parent before the oldest element that is held, and the numbers of those that are:
    going on reads from there and leaves the others out. So a buffer of any size is resumed exactly, and no element
    has to be written into a checkpoint.
    """

    _EVERY = 64  # how often a position is noted down

    def __init__(self, node: Node, epoch: int, state: Any) -> None:
        self.inner = node.read(epoch, state["of"] if state else None)
        self.count = state["first"] if state else 0
        self.marks: deque[tuple[int, Any]] = deque([(self.count, self.inner.state())])
        self.held: dict[int, Any] = {}
        self.places: dict[int, Place] = {}
        self.last: Place = nowhere  # of what was given last
        wanted = set(state["held"]) if state else set()
        while state and self.count < state["count"]:
            if self.count in wanted:
                self._hold()
            else:
                self.inner.skip(1)
                self.count += 1

    def next(self) -> int:
        """Read an element; it is held under the number returned."""
        if self.count - self.marks[-1][0] >= self._EVERY:
            oldest = next(iter(self.held), self.count)
            self.marks.append((self.count, self.inner.state()))
            while len(self.marks) > 1 and self.marks[1][0] <= oldest:
                self.marks.popleft()
        return self._hold()

    def _hold(self) -> int:
        number = self.count
        self.held[number] = next(self.inner)
        self.places[number] = self.inner.place()
        self.count += 1
        return number

    def give(self, number: int) -> Any:
        self.last = self.places.pop(number)
        return self.held.pop(number)

    def state(self) -> Any:
        if not self.held:
            return {"of": self.inner.state(), "first": self.count, "count": self.count, "held": []}
        oldest = next(iter(self.held))
        first, of = next(m for m in reversed(self.marks) if m[0] <= oldest)
        return {"of": of, "first": first, "count": self.count, "held": list(self.held)}


class StreamShuffle(Stream):
    """A buffer of elements from which the next is drawn at random."""

    def __init__(self, parent: Node, buffer: int, seed: int, each_epoch: bool) -> None:
        super().__init__(parent)
        self.buffer, self.seed, self.each_epoch = buffer, seed, each_epoch
        self.steady = parent.steady and not each_epoch

    def describe(self) -> str:
        return show_call("shuffle", buffer=self.buffer, seed=self.seed, each_epoch=None if self.each_epoch else False)

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _ShuffleReader(self, epoch, state)


class _ShuffleReader(Reader):
    def __init__(self, node: StreamShuffle, epoch: int, state: Any) -> None:
        self.node, self.epoch = node, epoch if node.each_epoch else 0
        self.log = Backlog(node.parent, epoch, state["log"] if state else None)
        self.slots: list[int] = list(state["slots"]) if state else []
        self.at, self.ended = (state["at"] if state else 0), False
        self._drawn: tuple[int, Any] = (-1, None)

    def __next__(self) -> Any:
        while not self.ended and len(self.slots) < self.node.buffer:
            try:
                self.slots.append(self.log.next())
            except StopIteration:
                self.ended = True
        if not self.slots:
            raise StopIteration
        block, place = divmod(self.at, _WORDS)
        if self._drawn[0] != block:
            self._drawn = block, words(self.node.seed, self.epoch, block, count=_WORDS)
        chosen = int(self._drawn[1][place]) % len(self.slots)
        self.slots[chosen], self.slots[-1] = self.slots[-1], self.slots[chosen]
        self.at += 1
        return self.log.give(self.slots.pop())

    def place(self) -> Place:
        return self.log.last

    def state(self) -> Any:
        return {"at": self.at, "slots": list(self.slots), "log": self.log.state()}

    def close(self) -> None:
        self.log.inner.close()


class StreamWindow(Stream):
    """Columns of `size` consecutive elements from every `stride`-th on."""

    def __init__(self, parent: Node, size: int, stride: int) -> None:
        super().__init__(parent)
        self.size, self.stride = size, stride

    def describe(self) -> str:
        return show_call("window", self.size, stride=self.stride)

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _WindowReader(self, epoch, state)


class _WindowReader(Reader):
    """`due` is the number of the next window's first element."""

    def __init__(self, node: StreamWindow, epoch: int, state: Any) -> None:
        self.node = node
        self.log = Backlog(node.parent, epoch, state["log"] if state else None)
        self.due = state["due"] if state else 0

    def __next__(self) -> Any:
        end = self.due + self.node.size
        while self.log.count < end:
            number = self.log.next()
            if number < self.due:
                self.log.give(number)
        try:
            window = dense(collate([self.log.held[i] for i in range(self.due, end)], ragged=True))
        except ShapeError as e:
            place = self.log.places[self.due]()
            raise self.node.failed(e, placed(f"elements {self.due} to {end - 1}", place and f"from {place}")) from e
        self.due += self.node.stride
        for number in [n for n in self.log.held if n < self.due]:
            self.log.give(number)
        return window

    def place(self) -> Place:
        return self.log.last

    def state(self) -> Any:
        return {"due": self.due, "log": self.log.state()}

    def close(self) -> None:
        self.log.inner.close()
