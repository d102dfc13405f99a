"""Batches of texts: what models do with them in front of the step, `td.nn.Module.prepare`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from treadle.core.texts import prepared
from treadle.data.segments import Segment
from treadle.train.data import Source, unpack


class Prepared(Source):
    """The batches of another source; texts in their x (or what they are, with `bare`) as the model prepares them."""

    def __init__(self, source: Source, model: Any, bare: bool) -> None:
        self.source, self.model, self.bare = source, model, bare
        self.rows, self.in_memory = source.rows, source.in_memory

    def peek(self) -> tuple[Any, Callable[[int, int], Iterator[Any]]]:
        first, batches = self.source.peek()
        first = None if first is None else self._prepare(first)
        return first, lambda epoch, skip: map(self._prepare, batches(epoch, skip))

    def batches(self, epoch: int, skip: int) -> Iterator[Any]:
        return map(self._prepare, self.source.batches(epoch, skip))

    def count(self) -> int | None:
        return self.source.count()

    def state(self) -> Any:
        return self.source.state()

    def restore(self, state: Any) -> None:
        self.source.restore(state)

    def _prepare(self, batch: Any) -> Any:
        return _prepared(self.model, batch) if self.bare else prepared_batch(self.model, batch)


def prepared_batch(model: Any, batch: Any) -> Any:
    """A batch with its x as the model prepares it."""
    if isinstance(batch, Segment):
        return batch
    x, y, weights = unpack(batch)
    made = _prepared(model, x)
    if made is x:
        return batch
    return (made, y) if weights is None else (made, y, weights)


def _prepared(model: Any, x: Any) -> Any:
    inputs = x if isinstance(x, tuple) else (x,)
    out = prepared(model, inputs)
    if out is inputs:
        return x
    return out[0] if len(out) == 1 else out


def prepared_by(model: Any, source: Source, bare: bool = False) -> Source:
    """The source, with what a model does with texts."""
    return Prepared(source, model, bare) if hasattr(model, "prepare") else source
