"""What workers do: make a few elements. The same for threads and processes, and nothing else is sent to a process."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from treadle.data._nodes import Indexed
from treadle.data._streams import StreamMap, run_map


@dataclass
class Outcome:
    """Some elements, and the error that ended them if one did.

    Attributes:
        step: the number and the call of the step that failed, where the error does not say so yet: whoever handed out
            the task knows where the element is from.
    """

    elements: list[Any]
    error: BaseException | None
    seconds: float
    step: tuple[int, str] | None = None


class StepError(Exception):
    """The cause is what a step's function raised."""

    def __init__(self, number: int, shown: str) -> None:
        super().__init__(number, shown)
        self.step = number, shown


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
        except StepError as e:
            return Outcome(made, e.__cause__, time.perf_counter() - begun, e.step)
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
        _, start, stop = task
        return _span(start, stop) + f" of step {self.node.number}, {self.node.describe()}" + self._from(*task)

    def _from(self, epoch: int, start: int, stop: int) -> str:
        try:
            places = dict.fromkeys(self.node.where(i, epoch) for i in (start, stop - 1))
        except Exception:  # a source that cannot say it must not hide the news
            return ""
        return "" if next(iter(places)) == f"element {start}" else f" ({' to '.join(places)})"


class MapWork(Work):
    """Tasks are (epoch, number of the first element, elements)."""

    def __init__(self, maps: list[StreamMap]) -> None:
        # Not the nodes themselves: these would bring along the source that they read.
        self.maps = [(m.function, m.seed, m.number, m.describe()) for m in maps]

    def elements(self, task: tuple[Any, ...]) -> Iterator[Any]:
        epoch, first, given = task
        return (self._apply(x, first + i, epoch) for i, x in enumerate(given))

    def _apply(self, x: Any, at: int, epoch: int) -> Any:
        for function, seed, number, shown in self.maps:
            try:
                x = run_map(function, seed, x, at, epoch)
            except Exception as e:
                raise StepError(number, shown) from e
        return x

    def describe(self, task: tuple[Any, ...]) -> str:
        *_, number, shown = self.maps[-1]
        return _span(task[1], task[1] + len(task[2])) + f" of step {number}, {shown}"


def _span(start: int, stop: int) -> str:
    return f"element {start}" if stop == start + 1 else f"elements {start} to {stop - 1}"
