"""Steps of streams that read several parents."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any

from treadle.data._gathered import MIX_BLOCK, mix_block
from treadle.data._nodes import Node, Place, Reader, all_steady, show_call


class Merged(Node):
    """A step that reads several parents."""

    def __init__(self, parents: Sequence[Node]) -> None:
        self.parents = tuple(parents)
        self.steady = all_steady(parents)

    def describe(self) -> str:
        return f"{type(self).__name__.removeprefix('Stream').lower()}({len(self.parents)} datasets)"

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _MergedReader(self, epoch, state)

    @abstractmethod
    def step(self, reader: _MergedReader) -> Any:
        """The next element of the readers; StopIteration after the last."""


class _MergedReader(Reader):
    """`turn` counts steps, `ended` says which parents are through."""

    def __init__(self, node: Merged, epoch: int, state: Any) -> None:
        self.node, self.epoch = node, epoch
        self.turn = state["turn"] if state else 0
        self.ended = list(state["ended"]) if state else [False] * len(node.parents)
        states = state["of"] if state else [None] * len(node.parents)
        self.inner = [p.read(epoch, s) for p, s in zip(node.parents, states, strict=True)]
        self.given_by = self.inner  # those that made the last element

    def __next__(self) -> Any:
        return self.node.step(self)

    def state(self) -> Any:
        return {"turn": self.turn, "ended": list(self.ended), "of": [r.state() for r in self.inner]}

    def pull(self, which: int) -> Any:
        """The next element of one of them."""
        self.given_by = [self.inner[which]]
        return next(self.inner[which])

    def place(self) -> Place:
        return partial(_joined, [r.place() for r in self.given_by])

    def close(self) -> None:
        for reader in self.inner:
            reader.close()


def _joined(places: Sequence[Place]) -> str | None:
    shown = [place() for place in places]
    return " and ".join(dict.fromkeys(s for s in shown if s is not None)) or None


class StreamZip(Merged):
    """Tuples of one element of each, until one has ended."""

    def step(self, reader: _MergedReader) -> Any:
        return tuple([next(r) for r in reader.inner])  # a list: StopIteration must not meet a generator


class StreamConcatenate(Merged):
    """One after another."""

    def step(self, reader: _MergedReader) -> Any:
        while reader.turn < len(reader.inner):
            try:
                return reader.pull(reader.turn)
            except StopIteration:
                reader.turn += 1
        raise StopIteration


class StreamInterleave(Merged):
    """Turn by turn; those that have ended are passed over."""

    def step(self, reader: _MergedReader) -> Any:
        while not all(reader.ended):
            which = reader.turn % len(reader.inner)
            reader.turn += 1
            if not reader.ended[which]:
                try:
                    return reader.pull(which)
                except StopIteration:
                    reader.ended[which] = True
        raise StopIteration


class StreamMix(Merged):
    """By weight, in random order, until one of them has ended."""

    def __init__(self, parents: Sequence[Node], weights: Any, seed: int) -> None:
        super().__init__(parents)
        self.weights, self.seed, self.steady = weights, seed, False

    def describe(self) -> str:
        return show_call("mix", weights=[round(float(w), 6) for w in self.weights], seed=self.seed)

    def step(self, reader: _MergedReader) -> Any:
        block, place = divmod(reader.turn, MIX_BLOCK)
        which = int(mix_block(self.weights, self.seed, reader.epoch, block)[place])
        element = reader.pull(which)
        reader.turn += 1
        return element
