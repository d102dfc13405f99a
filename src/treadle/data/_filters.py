"""Steps that find out which elements there are: those a function keeps, those that can be made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from treadle.core.errors import DataError
from treadle.data._columns import Rows, positions
from treadle.data._nodes import Indexed, Place, Reader, Remapped, show_call


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

    def place(self) -> Place:
        return partial(self.node.where, self.at - 1, self.epoch)

    def state(self) -> int:
        return self.at

    def skip(self, n: int) -> None:
        self.at += n
