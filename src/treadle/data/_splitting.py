"""Which elements go to which part of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError
from treadle.data._columns import Array, leaf_at
from treadle.data._nodes import Indexed
from treadle.data._permute import permutation

_CHUNK = 8192


def split_rows(
    node: Indexed, fractions: Sequence[float], seed: int, stratify: Any, group: Any, time: Any
) -> list[Array]:
    """The places of each part's elements, in increasing order (by time: in the order of time).

    Raises:
        ArgumentError: see `IndexedDataset.split`.
    """
    shares = _shares(fractions)
    if sum(x is not None for x in (stratify, group, time)) > 1:
        raise ArgumentError("split: give one of stratify=, group= and time=")
    n = node.length
    order = permutation(n, seed, 0).span(0, n)
    if time is not None:
        parts = _cut(np.argsort(values_of(node, time, "time"), kind="stable"), shares)
    elif stratify is not None:
        kinds = np.unique(values_of(node, stratify, "stratify"), return_inverse=True)[1].ravel()
        parts = _stratified(order, kinds, shares)
    elif group is not None:
        kinds = np.unique(values_of(node, group, "group"), return_inverse=True)[1].ravel()
        parts = _grouped(kinds, shares, seed)
    else:
        parts = _cut(order, shares)
    if any(not len(p) for p in parts):
        sizes = ", ".join(str(len(p)) for p in parts)
        raise ArgumentError(f"split{tuple(fractions)} of {n} elements would give parts of {sizes}: one is empty")
    return parts if time is not None else [np.sort(p) for p in parts]


def _shares(fractions: Sequence[float]) -> Array:
    shares = np.asarray(fractions, np.float64)
    total = float(shares.sum())
    if shares.ndim != 1 or not len(shares) or (shares <= 0).any() or total > 1 + 1e-9:
        raise ArgumentError(f"split{tuple(fractions)}: positive fractions that add up to 1 or less, such as split(0.8)")
    return shares if total > 1 - 1e-9 else np.append(shares, 1 - total)


def _cut(order: Array, shares: Array) -> list[Array]:
    return np.split(order, np.round(np.cumsum(shares)[:-1] * len(order)).astype(np.int64))


def _stratified(order: Array, kinds: Array, shares: Array) -> list[Array]:
    """Spread each kind evenly over the order, then cut: each part's share of each kind is exact to within one."""
    shuffled = kinds[order]
    by_kind = np.argsort(shuffled, kind="stable")
    counts = np.bincount(shuffled)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    place = (rank + 0.5) / np.repeat(counts, counts)  # of each element within its kind, from 0 to 1
    edges = np.cumsum(shares)[:-1]
    part = np.searchsorted(edges, place, side="right")
    return [order[by_kind[part == k]] for k in range(len(shares))]


def _grouped(kinds: Array, shares: Array, seed: int) -> list[Array]:
    """Whole groups in random order, each to the part that lacks most."""
    counts = np.bincount(kinds)
    lacking = shares * len(kinds)
    part = np.empty(len(counts), np.int64)
    for g in permutation(len(counts), seed, 0).span(0, len(counts)):
        part[g] = np.argmax(lacking)
        lacking[part[g]] -= counts[g]
    return [np.flatnonzero(part[kinds] == k) for k in range(len(shares))]


def values_of(node: Indexed, by: Any, what: str) -> Array:
    """One value for each element: of a leaf, of a function, or an array that has them.

    Raises:
        ArgumentError: no such leaf, or an array of another length.
    """
    n = node.length
    if callable(by):
        return np.asarray([by(node.get(i, 0)) for i in range(n)])
    if isinstance(by, str | int):
        chunks = [leaf_at(node.take(slice(a, min(a + _CHUNK, n)), 0), by, what) for a in range(0, n, _CHUNK)]
        values = np.concatenate(chunks) if chunks else np.empty(0)
    else:
        values = np.asarray(by)
    if values.shape != (n,):
        raise ArgumentError(f"{what}: {n} elements need one value each, and there is an array {list(values.shape)}")
    return values
