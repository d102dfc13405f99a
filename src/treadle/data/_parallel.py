"""Reading ahead: in threads or processes, in the order of one. Their number changes no element and no position."""

from __future__ import annotations

import itertools
import queue
import threading
from abc import abstractmethod
from collections import deque
from functools import partial
from typing import Any

from treadle.core.eager import is_eager
from treadle.core.errors import ArgumentError, DataError
from treadle.data._columns import Rows
from treadle.data._nodes import Indexed, Node, Place, Reader, nowhere, placed, show_call, step_failed
from treadle.data._pools import InlinePool, Pool, ProcessPool, Task, ThreadPool
from treadle.data._streams import Stream, StreamMap
from treadle.data._work import IndexedWork, MapWork, Outcome

_numbers = itertools.count(1)
_TASK_SECONDS = 0.004  # tasks are made about so long: handing one over costs a hundredth of that
_MOST = 256


class Workers:
    """How to make the pools of a step, and those that wait for their next reader."""

    def __init__(self, work: IndexedWork | MapWork, count: int, kind: str, restarts: int, ahead: int | None) -> None:
        self.work, self.count, self.kind, self.restarts, self.ahead = work, count, kind, restarts, ahead
        self.idle: list[Pool] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "idle": []}

    def lend(self) -> Pool:
        if is_eager():
            return InlinePool(self.work)
        while self.idle:
            pool = self.idle.pop()
            if not isinstance(pool, InlinePool):
                return pool
        if self.kind == "thread":
            return ThreadPool(self.work, self.count)
        # A second task waits in the pipe, so that a worker never does. Tasks that carry elements do not: two sides that
        # both write what the other does not read would stand still.
        return ProcessPool(self.work, self.count, self.restarts, depth=2 if isinstance(self.work, IndexedWork) else 1)

    def close(self) -> None:
        while self.idle:
            self.idle.pop().close()

    def describe(self) -> str:
        if self.count == 1 and self.kind == "thread":
            return show_call("prefetch", self.ahead)
        return show_call("parallel", self.count, kind=self.kind, restarts=self.restarts or None, ahead=self.ahead)


class OrderedReader(Reader):
    """Hands out tasks, and gives their elements in order."""

    def __init__(self, workers: Workers, epoch: int) -> None:
        self.workers, self.epoch = workers, epoch
        self.pool: Pool | None = workers.lend()
        self.size, self.ended = 1, False
        self.open: deque[int] = deque()  # numbers of the tasks that were handed out, in order
        self.done: dict[int, Outcome] = {}
        self.ready: deque[Any] = deque()
        self.error: BaseException | None = None

    @abstractmethod
    def task(self, size: int) -> Task | None:
        """The next elements as a task; None after the last."""

    @abstractmethod
    def given(self) -> None:
        """An element is about to be given."""

    def __next__(self) -> Any:
        while not self.ready:
            if self.error is not None:
                raise self.error
            self._hand_out()
            if not self.open:
                self.close()
                raise StopIteration
            self._wait()
        self.given()
        return self.ready.popleft()

    def told(self, error: BaseException, outcome: Outcome) -> BaseException:
        """The error to raise after these elements."""
        return error

    def _hand_out(self) -> None:
        """Keep each worker busy with one task, and have another one waiting."""
        most = 2 * self.workers.count
        if self.workers.ahead is not None:
            most = max(1, -(-self.workers.ahead // self.size))
        while not self.ended and self.pool is not None and len(self.open) < most:
            task = self.task(self.size)
            if task is None:
                self.ended = True
                return
            number = next(_numbers)
            self.open.append(number)
            self.pool.submit(number, task)

    def _wait(self) -> None:
        while self.open[0] not in self.done:
            if self.pool is None:
                raise DataError("the workers were ended")
            try:
                number, outcome = self.pool.wait()
            except BaseException:
                self._drop()
                raise
            if number in self.open:  # else a reader left it behind
                self.done[number] = outcome
                self._hand_out()
        outcome = self.done.pop(self.open.popleft())
        self.ready.extend(outcome.elements)
        self.error = None if outcome.error is None else self.told(outcome.error, outcome)
        if outcome.elements and outcome.error is None:
            each = outcome.seconds / len(outcome.elements)
            self.size = max(1, min(_MOST, int(_TASK_SECONDS / max(each, 1e-9)), 2 * self.size))

    def _drop(self) -> None:
        """A pool that failed, or was interrupted, is not used again."""
        if self.pool is not None:
            self.pool.close()
            self.pool = None

    def close(self) -> None:
        if self.pool is not None:
            self.workers.idle.append(self.pool)
            self.pool = None


class Parallel(Indexed):
    """The parent's elements, made ahead by workers when they are read in order."""

    transparent = True

    def __init__(self, parent: Indexed, count: int, kind: str, restarts: int, ahead: int | None) -> None:
        self.parents, self.parent, self.steady = (parent,), parent, parent.steady
        self.workers = Workers(IndexedWork(parent), count, kind, restarts, ahead)

    def around(self, node: Indexed) -> Parallel:
        """The same workers for another node."""
        w = self.workers
        return Parallel(node, w.count, w.kind, w.restarts, w.ahead)

    @property
    def length(self) -> int:
        return self.parent.length

    def describe(self) -> str:
        return self.workers.describe()

    def has(self, i: int) -> bool:
        return self.parent.has(i)

    def get(self, i: int, epoch: int) -> Any:
        return self.parent.get(i, epoch)

    def take(self, rows: Rows, epoch: int) -> Any:
        return self.parent.take(rows, epoch)

    def where(self, i: int, epoch: int) -> str:
        return self.parent.where(i, epoch)

    def spec(self) -> Any:
        return self.parent.spec()

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _IndexedReader(self, epoch, state or 0)

    def close(self) -> None:
        self.workers.close()
        super().close()


class _IndexedReader(OrderedReader):
    def __init__(self, node: Parallel, epoch: int, at: int) -> None:
        self.node = node
        self.at = self.handed = at
        self.length = node.length
        super().__init__(node.workers, epoch)

    def task(self, size: int) -> Task | None:
        start, stop = self.handed, min(self.handed + size, self.length)
        if start >= stop:
            return None
        self.handed = stop
        return self.epoch, start, stop

    def given(self) -> None:
        self.at += 1

    def place(self) -> Place:
        return partial(self.node.where, self.at - 1, self.epoch)

    def state(self) -> int:
        return self.at


class ParallelMaps(Stream):
    """Maps of a stream, run by workers. The stream itself is read here, one element after another."""

    transparent = True

    def __init__(self, top: Node, count: int, kind: str, restarts: int, ahead: int | None) -> None:
        super().__init__(top)
        self.maps: list[StreamMap] = []
        base = top
        while isinstance(base, StreamMap):
            self.maps.insert(0, base)
            base = base.parent
        if not self.maps:
            raise ArgumentError(
                f"parallel behind {top.describe()}: of a stream, workers run the maps, and there is none directly "
                "before. Put parallel(…) behind map(…); for reading ahead alone there is prefetch(…)"
            )
        self.base = base
        self.workers = Workers(MapWork(self.maps), count, kind, restarts, ahead)

    def describe(self) -> str:
        return self.workers.describe()

    def spec(self) -> Any:
        return self.parent.spec()

    def samples(self, count: int) -> list[Any]:
        return self.parent.samples(count)

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _MapsReader(self, epoch, state)

    def close(self) -> None:
        self.workers.close()
        super().close()


class _MapsReader(OrderedReader):
    """Its state is that of the maps when they run here: each counts, the innermost has the base's position."""

    def __init__(self, node: ParallelMaps, epoch: int, state: Any) -> None:
        self.depth = len(node.maps)
        self.at = state["at"] if state else 0
        for _ in range(self.depth):
            state = state["of"] if state else None
        self.base = node.base.read(epoch, state)
        self.handed = self.at
        self.states: deque[Any] = deque([self.base.state()])  # before each element that was not given yet
        self.places: deque[Place] = deque()  # where these are from
        self.last: Place = nowhere
        self.broken: BaseException | None = None
        super().__init__(node.workers, epoch)

    def task(self, size: int) -> Task | None:
        if self.broken is not None:
            return None
        elements: list[Any] = []
        try:
            while len(elements) < size:
                elements.append(next(self.base))
                self.states.append(self.base.state())
                self.places.append(self.base.place())
        except StopIteration:
            pass
        except Exception as e:
            self.broken = e  # raised when its turn comes
        if not elements:
            return None
        first, self.handed = self.handed, self.handed + len(elements)
        return self.epoch, first, elements

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except StopIteration:
            if self.broken is not None:
                raise self.broken from None
            raise

    def given(self) -> None:
        self.at += 1
        self.states.popleft()
        self.last = self.places.popleft()

    def told(self, error: BaseException, outcome: Outcome) -> BaseException:
        if outcome.step is None:
            return error
        k = len(outcome.elements)
        made = step_failed(*outcome.step, error, placed(f"element {self.at + k}", self.places[k]()))
        made.__cause__ = error
        for note in getattr(error, "__notes__", ()):
            made.add_note(note)
        return made

    def place(self) -> Place:
        return self.last

    def state(self) -> Any:
        state = self.states[0]
        for _ in range(self.depth):
            state = {"at": self.at, "of": state}
        return state

    def close(self) -> None:
        super().close()
        self.base.close()


class Prefetch(Stream):
    """A stream, read ahead by a thread."""

    transparent = True

    def __init__(self, parent: Node, ahead: int) -> None:
        super().__init__(parent)
        self.ahead = ahead

    def describe(self) -> str:
        return f"prefetch({self.ahead})"

    def spec(self) -> Any:
        return self.parent.spec()

    def samples(self, count: int) -> list[Any]:
        return self.parent.samples(count)

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _PrefetchReader(self, epoch, state)


class _PrefetchReader(Reader):
    """The thread hands over each element with the position behind it."""

    def __init__(self, node: Prefetch, epoch: int, state: Any) -> None:
        inner = node.parent.read(epoch, state)
        self.at = inner.state()
        self.queue: queue.Queue[tuple[str, Any, Any, Place]] = queue.Queue(node.ahead)
        self.from_ = inner.place()
        self.stop = threading.Event()
        self.last: tuple[str, Any] | None = None
        self.thread = threading.Thread(target=_read_ahead, args=(inner, self.queue, self.stop), daemon=True)
        self.thread.start()

    def __next__(self) -> Any:
        if self.last is None:
            what, value, state, place = self.queue.get()
            if what == "element":
                self.at, self.from_ = state, place
                return value
            self.last = what, value
        what, value = self.last
        raise StopIteration if what == "end" else value

    def state(self) -> Any:
        return self.at

    def place(self) -> Place:
        return self.from_

    def close(self) -> None:
        self.stop.set()
        while self.thread.is_alive():
            try:
                self.queue.get_nowait()  # a thread that waits for room finds it, and sees the signal
            except queue.Empty:
                self.thread.join(0.01)
                if self.queue.empty() and not self.thread.is_alive():
                    return
                if self.queue.empty():
                    return  # it waits for the source; as a daemon it keeps nobody from ending


def _read_ahead(inner: Reader, to: Any, stop: threading.Event) -> None:
    try:
        for element in inner:
            to.put(("element", element, inner.state(), inner.place()))
            if stop.is_set():
                return
        to.put(("end", None, None, nowhere))
    except BaseException as e:  # nobody else would see it
        to.put(("error", e, None, nowhere))
    finally:
        inner.close()
