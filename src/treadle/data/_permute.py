"""Orders: permutations of 0..n-1 that are pure functions of (seed, epoch, place), for any n, without a buffer."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Up to here an order is sorted from random words: exactly uniform. Beyond, it is computed place by place.
SORTED = 1 << 16
_ROUNDS = 6
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def words(seed: int, *place: int, count: int) -> Array:
    """Random uint64 words that belong to a seed and a place. NumPy promises Philox's raw stream for good (NEP 19)."""
    # A spawn key is hashed into the key together with the seed, so neighbouring places are unrelated.
    sequence = np.random.SeedSequence(seed & (2**128 - 1), spawn_key=tuple(place))
    return np.asarray(np.random.Philox(sequence).random_raw(count), np.uint64)


def generator(seed: int, epoch: int, place: int) -> np.random.Generator:
    """A NumPy generator of a seed, an epoch and a place: Philox, with these two in its counter's upper half."""
    counter = np.array([0, 0, place, epoch & _WORD], np.uint64)  # draws count up the lower half
    return np.random.Generator(np.random.Philox(key=_key(seed), counter=counter))


_WORD = 2**64 - 1


@functools.lru_cache(maxsize=64)
def _key(seed: int) -> Array:
    return np.random.SeedSequence(seed & (2**128 - 1), spawn_key=(_WORD,)).generate_state(2, np.uint64)


class Permutation:
    """A permutation of 0..n-1: `p(places)` gives what stands there.

    Above `SORTED` it is a Feistel network on pairs (place // b, place % b), whose few values beyond n - 1 are sent
    through it again until they fall below (cycle walking: Black and Rogaway, Ciphers with arbitrary finite domains,
    2002). Any place costs the same, and nothing is kept.

    >>> p = Permutation(10, seed=1, epoch=0)
    >>> sorted(p(np.arange(10)).tolist()) == list(range(10))
    True
    """

    def __init__(self, n: int, seed: int, epoch: int) -> None:
        self.n = n
        self._table: Array | None = None
        if n <= SORTED:
            self._table = np.argsort(words(seed, epoch, count=n), kind="stable")
            return
        self._keys = words(seed, epoch, count=_ROUNDS)
        self._left = int(np.ceil(np.sqrt(n)))
        self._right = -(-n // self._left)
        self._block = (-1, np.empty(0, np.int64))

    def __call__(self, places: Array) -> Array:
        if self._table is not None:
            return self._table[places]
        out = self._network(np.asarray(places, np.uint64))
        while (outside := out >= self.n).any():
            out[outside] = self._network(out[outside])
        return out.astype(np.int64)

    def span(self, start: int, stop: int) -> Array:
        """What stands at start..stop-1; neighbouring calls share the work."""
        if self._table is not None:
            return self._table[start:stop]
        block = start // SORTED
        if stop > (block + 1) * SORTED:
            return self(np.arange(start, stop))
        first = block * SORTED
        known = self._block  # read once: another thread may put the next block there
        if known[0] != block:
            known = self._block = block, self(np.arange(first, min(first + SORTED, self.n)))
        return known[1][start - first : stop - first]

    def _network(self, x: Array) -> Array:
        left: Array
        right: Array
        a, b = np.uint64(self._left), np.uint64(self._right)
        left, right = x // b, x % b
        for i in range(0, _ROUNDS, 2):
            left = (left + _hash(right, self._keys[i]) % a) % a
            right = (right + _hash(left, self._keys[i + 1]) % b) % b
        return left * b + right


def _hash(x: Array, key: Any) -> Array:
    """splitmix64's finaliser (Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014)."""
    x = x + key
    x = (x ^ (x >> _SHIFTS[0])) * _MIX[0]
    x = (x ^ (x >> _SHIFTS[1])) * _MIX[1]
    return x ^ (x >> _SHIFTS[2])


@functools.lru_cache(maxsize=16)
def permutation(n: int, seed: int, epoch: int) -> Permutation:
    return Permutation(n, seed, epoch)
