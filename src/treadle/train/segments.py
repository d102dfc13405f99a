"""Truncated back-propagation: whole sequences cut into segments, and layers that keep their state in between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from treadle.core.errors import ArgumentError
from treadle.data.segments import Segment, cut
from treadle.nn.recurrent.stateful import reset_states, stateful_layers
from treadle.train.data import Source, unpack


class Segments(Source):
    """The batches of another source, cut along time. Each segment is a batch of its own: one step, one position."""

    def __init__(self, source: Source, steps: int) -> None:
        self.source, self.steps = source, steps
        self.rows = source.rows
        self._inner: Any = None  # the source's state before the batch that is being cut, and how many of its segments
        self._done = 0
        self._read: Callable[[int, int], Iterator[Any]] = source.batches
        self._resumed: int | None = None

    def peek(self) -> tuple[Any, Callable[[int, int], Iterator[Any]]]:
        first, self._read = self.source.peek()
        return None if first is None else next(cut(unpack(first), self.steps)), self.batches

    def batches(self, epoch: int, skip: int) -> Iterator[Any]:
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            return self._cut(self._read(epoch, 0), resumed)
        return itertools.islice(self._cut(self._read(epoch, 0), 0), skip, None)

    def _cut(self, batches: Iterator[Any], skip: int) -> Iterator[Any]:
        while True:
            self._inner, self._done = self.source.state(), 0
            batch = next(batches, None)
            if batch is None:
                return
            for segment in cut(unpack(batch), self.steps):
                self._done += 1
                if self._done > skip:
                    yield segment
            skip = 0

    def count(self) -> int | None:
        return None

    def state(self) -> Any:
        return None if self._inner is None else {"source": self._inner, "segments": self._done}

    def restore(self, state: Any) -> None:
        if state is not None:
            self.source.restore(state["source"])
            self._resumed = int(state["segments"])


def segmented(source: Source, tbptt: int | None, model: Any) -> Source:
    """The source in segments of `tbptt` steps, if that is asked for.

    Raises:
        ArgumentError: no number of steps; a model that keeps no state.
    """
    if tbptt is None:
        return source
    if isinstance(tbptt, bool) or not isinstance(tbptt, int) or tbptt < 1:
        raise ArgumentError(f"tbptt is the number of steps of a segment, at least 1; got {tbptt!r}")
    if not stateful_layers(model):
        raise ArgumentError(
            f"tbptt={tbptt} cuts sequences into segments, and no layer of the model keeps its state from one to the "
            "next: make its recurrent layers with stateful=True"
        )
    return Segments(source, tbptt)


def check_state_is_kept(model: Any, batch: Any) -> None:
    """Raise where segments of sequences meet a model that keeps no state from one to the next.

    Raises:
        ArgumentError
    """
    if isinstance(batch, Segment) and not stateful_layers(model):
        raise ArgumentError(
            "the data are segments of longer sequences, and no layer of the model keeps its state from one to "
            "the next: make its recurrent layers with stateful=True"
        )


def begin(model: Any, batch: Any) -> None:
    """Before a step: the state of rows that begin a sequence is the initial one."""
    if isinstance(batch, Segment):
        reset_states(model, batch.reset, batch=len(batch.reset))
