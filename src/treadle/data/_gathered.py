"""Indexed steps that take elements from several parents, or from several epochs of one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from treadle.data._columns import Array, Rows, join, positions
from treadle.data._nodes import Indexed, all_steady, show_call
from treadle.data._permute import words


class Gathered(Indexed):
    """Elements of several parents, or of several epochs of one."""

    def __init__(self, parents: Sequence[Indexed]) -> None:
        self.parents: tuple[Indexed, ...] = tuple(parents)
        self.steady = all_steady(parents)

    @abstractmethod
    def locate(self, rows: Array, epoch: int) -> tuple[Array, Array, Array]:
        """Of each element the parent's number, the place in it, and which epoch of it."""

    def get(self, i: int, epoch: int) -> Any:
        which, row, of = (int(v[0]) for v in self.locate(np.array([i]), epoch))
        return self.parents[which].get(row, of)

    def take(self, rows: Rows, epoch: int) -> Any:
        which, inner, of = self.locate(positions(rows), epoch)
        pairs = np.stack([which, np.where(np.array([p.steady for p in self.parents])[which], 0, of)], axis=1)
        kinds, members = np.unique(pairs, axis=0, return_inverse=True)
        places = [np.flatnonzero(members.ravel() == k) for k in range(len(kinds))]
        parts = [self.parents[w].take(inner[p], int(e)) for (w, e), p in zip(kinds, places, strict=True)]
        return join(parts, places)

    def where(self, i: int, epoch: int) -> str:
        which, row, of = (int(v[0]) for v in self.locate(np.array([i]), epoch))
        return self.parents[which].where(row, of)


class Repeat(Gathered):
    """The parent's epochs, several in a row; each is its own epoch, in its own order."""

    def __init__(self, parent: Indexed, count: int) -> None:
        super().__init__((parent,))
        self.count = count

    @property
    def length(self) -> int:
        return self.count * self.parents[0].length

    def describe(self) -> str:
        return f"repeat({self.count})"

    def locate(self, rows: Array, epoch: int) -> tuple[Array, Array, Array]:
        turn, row = np.divmod(rows, max(1, self.parents[0].length))
        return np.zeros_like(row), row, epoch * self.count + turn


class Concatenate(Gathered):
    """One after another."""

    @property
    def length(self) -> int:
        return sum(p.length for p in self.parents)

    def describe(self) -> str:
        return f"concatenate({len(self.parents)} datasets)"

    def locate(self, rows: Array, epoch: int) -> tuple[Array, Array, Array]:
        ends = np.cumsum([p.length for p in self.parents])
        which = np.searchsorted(ends, rows, side="right")
        return which, rows - np.concatenate([[0], ends])[which], np.full(len(rows), epoch)


class Interleave(Gathered):
    """Turn by turn; those that have ended are passed over."""

    @property
    def length(self) -> int:
        return sum(p.length for p in self.parents)

    def describe(self) -> str:
        return f"interleave({len(self.parents)} datasets)"

    def locate(self, rows: Array, epoch: int) -> tuple[Array, Array, Array]:
        lengths = np.array([p.length for p in self.parents])
        levels = np.unique(np.concatenate([[0], lengths]))  # between two levels the same datasets take part
        alive = [np.flatnonzero(lengths > low) for low in levels[:-1]]
        ends = np.cumsum([(high - low) * len(a) for low, high, a in zip(levels, levels[1:], alive, strict=False)])
        phase = np.searchsorted(ends, rows, side="right")
        which, inner = np.empty_like(rows), np.empty_like(rows)
        for p in np.unique(phase):
            here = phase == p
            turn, place = np.divmod(rows[here] - (ends[p - 1] if p else 0), len(alive[p]))
            which[here], inner[here] = alive[p][place], levels[p] + turn
        return which, inner, np.full(len(rows), epoch)


MIX_BLOCK = 1024


def mix_counts(weights: Array, block: int) -> Array:
    """How many elements of each dataset lie before a block: the weights' share, the largest takes the remainder."""
    counts = np.floor(block * MIX_BLOCK * weights).astype(np.int64)
    counts[np.argmax(weights)] += block * MIX_BLOCK - counts.sum()
    return counts


def mix_block(weights: Array, seed: int, epoch: int, block: int) -> Array:
    """Which dataset each element of a block is from, in random order."""
    share = mix_counts(weights, block + 1) - mix_counts(weights, block)
    labels = np.repeat(np.arange(len(weights)), share)
    return labels[np.argsort(words(seed, epoch, block, count=MIX_BLOCK), kind="stable")]


class Mix(Gathered):
    """Elements of several datasets by weight, in random order, until one of them has ended.

    In each 1024 elements the shares are exact up to rounding, so a place is computed without counting from the start.
    """

    def __init__(self, parents: Sequence[Indexed], weights: Array, seed: int) -> None:
        super().__init__(parents)
        self.weights, self.seed = weights, seed
        self.steady = False
        self._lengths: dict[int, int] = {}

    def describe(self) -> str:
        return show_call("mix", weights=[round(float(w), 6) for w in self.weights], seed=self.seed)

    @property
    def length(self) -> int:
        return self._length(0)

    def _length(self, epoch: int) -> int:
        """The elements before the first that is not there. The same in all epochs: epoch 0 decides."""
        if epoch not in self._lengths:
            have = np.array([p.length for p in self.parents])
            low, high = 0, int(have.sum()) // MIX_BLOCK + 2
            while high - low > 1:  # the last block before which nothing is missing
                middle = (low + high) // 2
                low, high = (middle, high) if (mix_counts(self.weights, middle) <= have).all() else (low, middle)
            used = mix_counts(self.weights, low)
            labels = mix_block(self.weights, self.seed, epoch, low)
            ends = [np.flatnonzero(labels == w)[n - u :][:1] for w, (n, u) in enumerate(zip(have, used, strict=True))]
            first = min((int(e[0]) for e in ends if len(e)), default=MIX_BLOCK)
            self._lengths[epoch] = low * MIX_BLOCK + first
        return self._lengths[epoch]

    def locate(self, rows: Array, epoch: int) -> tuple[Array, Array, Array]:
        which, inner = np.empty_like(rows), np.empty_like(rows)
        blocks, places = np.divmod(rows, MIX_BLOCK)
        for b in np.unique(blocks):
            here = blocks == b
            # The last block's order is that of epoch 0: the length, which it decides, is one for all epochs.
            last = int(b) == self.length // MIX_BLOCK
            labels = mix_block(self.weights, self.seed, 0 if last else epoch, int(b))
            rank = np.empty(MIX_BLOCK, np.int64)
            for w in range(len(self.weights)):
                own = labels == w
                rank[own] = np.arange(own.sum())
            p = places[here]
            which[here] = labels[p]
            inner[here] = mix_counts(self.weights, int(b))[labels[p]] + rank[p]
        return which, inner, np.full(len(rows), epoch)


class Zip(Indexed):
    """Tuples of one element of each, as long as the shortest."""

    def __init__(self, parents: Sequence[Indexed]) -> None:
        self.parents: tuple[Indexed, ...] = tuple(parents)
        self.steady = all_steady(parents)

    @property
    def length(self) -> int:
        return min(p.length for p in self.parents)

    def describe(self) -> str:
        return f"zip({len(self.parents)} datasets)"

    def get(self, i: int, epoch: int) -> Any:
        return tuple(p.get(i, epoch) for p in self.parents)

    def take(self, rows: Rows, epoch: int) -> Any:
        return tuple(p.take(rows, epoch) for p in self.parents)

    def where(self, i: int, epoch: int) -> str:
        return " and ".join(dict.fromkeys(p.where(i, epoch) for p in self.parents))
