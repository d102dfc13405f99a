"""What workers do: make a few elements. The same for threads and processes, and nothing else is sent to a process."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from treadle.core.errors import DataError
from treadle.data._nodes import Indexed, step_failed
from treadle.data._streams import StreamMap, call_map


@dataclass
class Outcome:
    """Some elements, and the error that ended them if one did."""

    elements: list[Any]
    error: BaseException | None
    seconds: float


class Work(ABC):
    """Makes the elements of a task, a tuple that begins with the epoch and the first element's number."""

    @abstractmethod
    def elements(self, task: tuple[Any, ...]) -> Iterator[Any]:
        """One after another."""

    @abstractmethod
    def describe(self, task: tuple[Any, ...]) -> str:
        """For people."""

    def run(self, task: tuple[Any, ...]) -> Outcome:
        made: list[Any] = []
        begun = time.perf_counter()
        try:
            made.extend(self.elements(task))  # extend keeps those before an error
        except BaseException as e:  # in a thread nobody else would see it
            return Outcome(made, e, time.perf_counter() - begun)
        return Outcome(made, None, time.perf_counter() - begun)


class IndexedWork(Work):
    """Tasks are (epoch, start, stop)."""

    def __init__(self, node: Indexed) -> None:
        self.node = node

    def elements(self, task: tuple[Any, ...]) -> Iterator[Any]:
        epoch, start, stop = task
        return self.node.elements(start, stop, epoch)

    def describe(self, task: tuple[Any, ...]) -> str:
        return _span(task[1], task[2]) + f" of step {self.node.number}, {self.node.describe()}"


class MapWork(Work):
    """Tasks are (epoch, number of the first element, elements)."""

    def __init__(self, maps: list[StreamMap]) -> None:
        # Not the nodes themselves: these would bring along the source that they read.
        self.maps = [(m.function, m.seed, _Step(m.number, m.describe())) for m in maps]

    def elements(self, task: tuple[Any, ...]) -> Iterator[Any]:
        epoch, first, given = task
        return (self._apply(x, first + i, epoch) for i, x in enumerate(given))

    def _apply(self, x: Any, at: int, epoch: int) -> Any:
        for function, seed, step in self.maps:
            x = call_map(function, seed, x, at, epoch, step)
        return x

    def describe(self, task: tuple[Any, ...]) -> str:
        step = self.maps[-1][2]
        return _span(task[1], task[1] + len(task[2])) + f" of step {step.number}, {step.shown}"


@dataclass
class _Step:
    """What an error says of a step."""

    number: int
    shown: str

    def failed(self, error: BaseException, where: str) -> DataError:
        return step_failed(self.number, self.shown, error, where)


def _span(start: int, stop: int) -> str:
    return f"element {start}" if stop == start + 1 else f"elements {start} to {stop - 1}"
