"""Data: order as a function of seed and epoch, every row once, resumable anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from treadle.core.errors import ArgumentError, ShapeError
from treadle.train.data import Arrays, as_source, as_tensors, batch_rows, unpack

ROWS = st.integers(1, 40)


def source(n: int, size: int, shuffle: bool = True, seed: int = 0) -> Arrays:
    out = as_source((np.arange(n), -np.arange(n)), batch_size=size, shuffle=shuffle, seed=seed)
    assert isinstance(out, Arrays)
    return out


def rows(batches: Any) -> list[int]:
    return [int(v) for x, _ in batches for v in x]


@given(ROWS, st.integers(1, 12), st.integers(0, 5), st.integers(0, 3))
def test_each_row_once_an_epoch_and_from_any_position(n: int, size: int, epoch: int, seed: int) -> None:
    s = source(n, size, seed=seed)
    whole = rows(s.batches(epoch, 0))
    assert sorted(whole) == list(range(n))
    assert s.count() == -(-n // size) == len(list(s.batches(epoch, 0)))
    for skip in range(s.count() + 1):
        assert rows(s.batches(epoch, skip)) == whole[skip * size :]


def test_the_order_depends_on_seed_and_epoch_not_on_the_batches() -> None:
    n = 100
    orders = {(seed, epoch): rows(source(n, 7, seed=seed).batches(epoch, 0)) for seed in (0, 1) for epoch in (0, 1)}
    assert len({tuple(o) for o in orders.values()}) == 4
    assert rows(source(n, 32, seed=1).batches(1, 0)) == orders[1, 1]
    assert rows(source(n, 7, shuffle=False).batches(3, 0)) == list(range(n))


def test_the_order_is_this_one() -> None:
    # Written down once: a later version that shuffles otherwise could not resume this one's runs.
    assert rows(source(8, 8, seed=3).batches(2, 0)) == rows([(np.array(ORDER), None)])


ORDER = [6, 1, 2, 7, 4, 5, 0, 3]


def test_rows_stay_together_in_trees() -> None:
    n = 20
    data = {"x": {"a": np.arange(n), "b": td.asarray(np.arange(n)[:, None] * 2)}, "y": np.arange(n) * 3}
    for batch in as_source(data, batch_size=6, shuffle=True, seed=0).batches(0, 0):
        a = batch["x"]["a"]
        np.testing.assert_array_equal(batch["x"]["b"].numpy()[:, 0], 2 * a)
        np.testing.assert_array_equal(batch["y"], 3 * a)


@given(ROWS, st.floats(0.01, 0.99))
def test_split(n: int, fraction: float) -> None:
    s = source(n, 4)
    if not 0 < round(n * fraction) < n:
        with pytest.raises(ArgumentError, match="validation_split"):
            s.split(fraction)
        return
    training, validation = s.split(fraction)
    a, b = rows(training.batches(1, 0)), rows(validation.batches(0, 0))
    assert sorted(a + b) == list(range(n))
    assert len(b) == round(n * fraction)
    assert rows(validation.batches(5, 0)) == b
    assert rows(source(n, 9).split(fraction)[1].batches(0, 0)) == b


def test_dtypes() -> None:
    out = as_tensors({"a": np.ones(2), "b": np.ones(2, np.int64), "c": td.ones(2, dtype=td.float64), "d": [1.0, 2.0]})
    assert {k: str(v.spec) for k, v in out.items()} == {"a": "f32[2]", "b": "i64[2]", "c": "f64[2]", "d": "f32[2]"}
    assert as_tensors(np.ones(2), td.float64).dtype is td.float64
    assert as_tensors(None) is None


def test_batches_are_unpacked() -> None:
    assert unpack((1, 2)) == (1, 2, None)
    assert unpack([1, 2, 3]) == (1, 2, 3)
    assert unpack({"x": 1, "y": 2}) == (1, 2, None)
    for wrong, words in (
        ((1, 2, 3, 4), "a tuple of 4"),
        ({"image": 1}, "a dict with 'image'"),
        (np.ones(2), "ndarray"),
    ):
        with pytest.raises(ArgumentError, match=words):
            unpack(wrong)
    assert batch_rows({"a": [np.ones((5, 2))]}) == 5


def test_what_is_no_data() -> None:
    for wrong in (3, "file.csv", td.nn.Dense(2), None):
        with pytest.raises(ArgumentError, match="data is a tuple"):
            as_source(wrong, batch_size=1, shuffle=False, seed=0)
    with pytest.raises(ShapeError, match=r"x \[3\], y \[2\].*a list of batches is a list"):
        as_source((np.ones(3), np.ones(2)), batch_size=1, shuffle=False, seed=0)
    with pytest.raises(ShapeError, match="y has no rows"):
        as_source((np.ones(3), np.float32(1)), batch_size=1, shuffle=False, seed=0)
    with pytest.raises(ArgumentError, match="no rows"):
        as_source((np.ones((0, 2)), np.ones(0)), batch_size=1, shuffle=False, seed=0)
