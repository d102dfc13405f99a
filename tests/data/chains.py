"""Chains of every kind of step, over which the general properties are tested, and comparison of elements."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import treadle as td
from treadle.core import trees
from treadle.data import Dataset

Build = Callable[[Dataset], Any]

N = 37


def ragged(n: int) -> Any:
    """Element i is (i, an array of i % 5 + 1 times i)."""
    return (np.arange(n), [np.full(i % 5 + 1, i) for i in range(n)])


def numbers(n: int = N) -> Dataset:
    return td.data.from_arrays(np.arange(n))


def stream(n: int = N) -> Dataset:
    return td.data.from_generator(functools.partial(range, n))  # what is cached of it goes to other processes


def later(n: int = N) -> Dataset:
    """Differs from epoch to epoch."""
    return td.data.from_generator(lambda epoch: range(epoch * 100, epoch * 100 + n))


def double(x: Any) -> Any:
    return x * 2


def noisy(x: Any, rng: np.random.Generator) -> Any:
    return x * 1000 + rng.integers(1000)


def odd(x: Any) -> bool:
    return bool(np.all(x % 2 == 1))


def copies(x: Any) -> list[Any]:
    return [x] * int(x % 4)


# Of one number an element, whatever the source.
STEPS: dict[str, Build] = {
    "source": lambda d: d,
    "map": lambda d: d.map(double),
    "random map": lambda d: d.map(noisy, seed=3),
    "filter": lambda d: d.filter(odd),
    "flat_map": lambda d: d.flat_map(copies),
    "batch": lambda d: d.batch(4),
    "batch of all but the last": lambda d: d.batch(4, drop_last=True),
    "window": lambda d: d.window(5, stride=2),
    "window with gaps": lambda d: d.window(2, stride=3),
    "shuffle": lambda d: d.shuffle(7, buffer=10),
    "shuffle within": lambda d: d.shuffle(7, buffer=10, within=8),
    "one shuffle": lambda d: d.shuffle(7, buffer=6, each_epoch=False),
    "repeat": lambda d: d.repeat(3),
    "take": lambda d: d.take(11),
    "skip": lambda d: d.skip(11),
    "shard": lambda d: d.shard(2, 5),
    "zip": lambda d: d.zip(d.shuffle(1)),
    "concatenate": lambda d: d.concatenate(d.take(3), d.map(double)),
    "interleave": lambda d: d.interleave(d.take(3), d.map(double).take(10)),
    "mix": lambda d: td.data.mix([d, d.map(double)], [3, 1], seed=2),
    "repeated shuffle in batches": lambda d: d.shuffle(1, buffer=5).repeat(2).batch(8).map(double),
    "shuffle of a filter": lambda d: d.filter(odd).shuffle(3, buffer=5),
    "filter of a shuffle": lambda d: d.shuffle(3, buffer=5).filter(odd).batch(3),
    "flat_map, shuffle, windows": lambda d: d.flat_map(copies).shuffle(buffer=7).window(3),
    "buckets": lambda d: (
        d.map(lambda x: np.full(int(x) % 9 + 1, x)).shuffle(buffer=9).bucket_by_length([3, 6, 9], [4, 2, 1])
    ),
    "cache": lambda d: d.map(noisy, seed=1).cache(),
    "cache of all kinds": lambda d: d.map(lambda x: {"a": x, "b": (np.arange(x % 3), None)}).cache().shuffle(3),
    "padded": lambda d: d.map(lambda x: np.full(int(x) % 9 + 1, x)).padded_batch(5),
}

SOURCES: dict[str, Callable[[], Dataset]] = {"indexed": numbers, "stream": stream, "per epoch": later}


def plain(x: Any) -> Any:
    """An element as something that `==` compares."""
    return trees.map(lambda v: v if isinstance(v, str | bytes) else np.asarray(v).tolist(), x)


def values(ds: Any) -> list[Any]:
    return [plain(x) for x in ds]


def flat(ds: Any) -> list[int]:
    """The numbers of all batches, one after another."""
    return [int(v) for x in ds for v in np.ravel(x)]
