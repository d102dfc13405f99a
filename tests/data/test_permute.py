"""Orders: permutations, uniform, the same for ever, of any length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.data._permute import SORTED, Permutation


@settings(max_examples=20, deadline=None)
@given(st.integers(SORTED + 1, 200_000), st.integers(0, 2**70), st.integers(0, 9))
def test_a_large_order_has_each_place_once(n: int, seed: int, epoch: int) -> None:
    order = Permutation(n, seed, epoch)(np.arange(n))
    assert np.array_equal(np.sort(order), np.arange(n))
    assert order.dtype == np.int64


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300_000), st.data())
def test_a_span_is_what_stands_at_its_places(n: int, data: st.DataObject) -> None:
    p = Permutation(n, 1, 2)
    start = data.draw(st.integers(0, n))
    stop = data.draw(st.integers(start, min(n, start + 70_000)))
    assert np.array_equal(p.span(start, stop), p(np.arange(start, stop)))


def test_a_hundred_million_elements_cost_nothing() -> None:
    p = Permutation(10**8, 0, 0)
    assert len(set(p.span(0, 1000).tolist())) == 1000
    assert p.span(10**8 - 10, 10**8).shape == (10,)
    assert 0 <= p(np.array([10**8 - 1]))[0] < 10**8


@pytest.mark.parametrize("n", [SORTED - 1, 3 * SORTED])
def test_orders_look_random(n: int) -> None:
    """Of a random order, the mean displacement is n/3, and neighbours have no correlation (both to 1 %, ~4 sigma)."""
    for seed, epoch in [(0, 0), (0, 1), (1, 0)]:
        order = Permutation(n, seed, epoch)(np.arange(n)).astype(float)
        assert abs(np.abs(order - np.arange(n)).mean() / (n / 3) - 1) < 0.01
        assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.016
        assert abs(np.corrcoef(order, np.arange(n))[0, 1]) < 0.016
        # Places that lie one row of the network's square apart, whose hashes share an argument.
        row = int(np.ceil(n / np.ceil(np.sqrt(n))))
        assert abs(np.corrcoef(order[:-row], order[row:])[0, 1]) < 0.016


def test_small_orders_are_uniform() -> None:
    """Each of the 24 orders of 4 elements about equally often in 2,400 epochs: chi-squared, 23 degrees of freedom."""
    counts: dict[tuple[int, ...], int] = {}
    for epoch in range(2400):
        order = tuple(Permutation(4, 9, epoch)(np.arange(4)).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert sum((c - 100) ** 2 / 100 for c in counts.values()) < 49.7  # one in a thousand seeds


def test_the_orders_are_these() -> None:
    # Written down once: a later version that shuffles otherwise could not resume this one's runs.
    assert Permutation(8, 3, 2)(np.arange(8)).tolist() == SMALL
    assert Permutation(10**6, 3, 2).span(0, 6).tolist() == LARGE


SMALL = [0, 6, 5, 3, 2, 7, 4, 1]
LARGE = [947235, 850227, 314653, 362253, 476779, 297946]
