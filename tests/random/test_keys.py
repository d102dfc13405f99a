"""Keys: reproducible, unrelated, checked."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td
from treadle.core.errors import ArgumentError, DTypeError, ShapeError

KEY = td.random.key(5)


def test_a_seed_is_the_key():
    assert td.random.key(2**40 + 3).tolist() == [3, 2**8]
    assert td.random.key(-1).tolist() == [2**32 - 1, 2**32 - 1]
    assert td.random.key(0).spec == td.Spec((2,), td.uint32)


@pytest.mark.parametrize("seed", [0, 7, -7, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("dtype", [td.int32, td.int64])
def test_a_tensor_seed_is_the_same_as_the_number(seed, dtype):
    as_tensor = td.asarray(seed, dtype=dtype)
    assert td.random.key(as_tensor).tolist() == td.random.key(seed).tolist()
    assert td.random.fold_in(KEY, as_tensor).tolist() == td.random.fold_in(KEY, seed).tolist()
    assert td.compile(td.random.fold_in)(KEY, as_tensor).tolist() == td.random.fold_in(KEY, seed).tolist()


def test_unsigned_seeds_use_all_their_bits():
    assert td.random.key(td.asarray(2**64 - 2, dtype=td.uint64)).tolist() == td.random.key(2**64 - 2).tolist()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: td.random.key(2**64), ArgumentError, "64 bits"),
        (lambda: td.random.key(1.5), DTypeError, "integer, not 1.5"),
        (lambda: td.random.key(True), DTypeError, "integer"),
        (lambda: td.random.key(td.asarray([1, 2])), ShapeError, "one integer"),
        (lambda: td.random.fold_in(KEY, td.asarray(0.5)), DTypeError, "data is an integer"),
        (lambda: td.random.normal(0, (3,)), DTypeError, "td.random.key(0)"),
        (lambda: td.random.normal(td.asarray([1, 2]), (3,)), DTypeError, "i32[2]"),
        (lambda: td.random.normal(td.random.split(KEY), (3,)), ShapeError, "td.vmap"),
        (lambda: td.random.split(KEY, -1), ShapeError, "negative"),
        (lambda: td.random.bits(KEY, (2,), dtype=td.int32), DTypeError, "uint32 or uint64"),
    ],
)
def test_wrong_keys_are_explained(call, error, words):
    with pytest.raises(error) as e:
        call()
    assert words in str(e.value)


def test_derived_keys_all_differ():
    """From neighbouring seeds by split, nested split and fold_in; and from the bits that are sampled."""
    found = []
    for seed in range(20):
        k = td.random.key(seed)
        found += td.random.split(k, 20).tolist()
        found += td.random.split(td.random.split(k)[0], 20).tolist()
        found += [td.random.fold_in(k, i).tolist() for i in range(20)]
        found += td.random.bits(k, (20, 2)).tolist()
        found.append(k.tolist())
    assert len({tuple(f) for f in found}) == len(found)


def test_the_first_keys_do_not_depend_on_their_number():
    np.testing.assert_array_equal(td.random.split(KEY, 9).numpy()[:4], td.random.split(KEY, 4).numpy())


def test_samples_of_split_keys_are_uncorrelated():
    """16 streams of 4000: a correlation of independent ones has the standard deviation 1 / sqrt(4000) = 0.016."""
    keys = td.random.split(td.random.key(1), 12)
    keys = [*keys, *(td.random.fold_in(td.random.key(1), i) for i in range(3)), td.random.key(1)]
    x = np.stack([td.random.normal(k, (4000,)).numpy() for k in keys])
    r = np.corrcoef(x)[np.triu_indices(16, 1)]
    assert np.abs(r).max() < 4 / np.sqrt(4000)
    assert 0.8 / np.sqrt(4000) < r.std() < 1.2 / np.sqrt(4000)


def test_neighbours_in_one_sample_are_uncorrelated():
    x = td.random.uniform(KEY, (20000,)).numpy().astype(np.float64)
    for lag in (1, 2, 3, 64):
        assert abs(np.corrcoef(x[:-lag], x[lag:])[0, 1]) < 4 / np.sqrt(20000)


def test_keys_work_under_vmap():
    keys = td.random.split(KEY, 3)
    got = td.vmap(lambda k: td.random.normal(td.random.fold_in(k, 2), (4,)))(keys).numpy()
    for i in range(3):
        np.testing.assert_array_equal(got[i], td.random.normal(td.random.fold_in(keys[i], 2), (4,)).numpy())
