"""Discrete distributions by chi-square tests with fixed keys; ranges, orders, choices."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import treadle as td
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.random import discrete

R = td.random
KEY = R.key(21)
N = 20000


def agrees(counts, probabilities):
    """Chi-square: a right sampler fails it for one key in a thousand, and the keys are fixed."""
    counts, expected = np.asarray(counts), np.asarray(probabilities) * np.sum(counts)
    assert (counts[expected == 0] == 0).all()
    if (expected > 0).sum() == 1:
        return True  # a certainty, which the line above has checked
    return stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 1e-3


# bernoulli, categorical


@pytest.mark.parametrize("p", [0.0, 0.001, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [td.float32, td.float64, td.bfloat16])
def test_bernoulli(p, dtype):
    given_p = td.asarray(p, dtype=dtype)
    x = R.bernoulli(KEY, given_p, (N,))
    assert x.dtype is td.bool
    true, share = int(x.numpy().sum()), given_p.astype(td.float64).item()
    assert agrees([true, N - true], [share, 1 - share])


def test_bernoulli_of_many_probabilities():
    p = td.asarray([[0.0], [1.0]])
    np.testing.assert_array_equal(R.bernoulli(KEY, p, (2, 3)).numpy(), [[False] * 3, [True] * 3])
    assert R.bernoulli(KEY, p).shape == (2, 1)
    assert R.bernoulli(KEY).shape == ()


@pytest.mark.parametrize("offset", [0.0, -1000.0, 1000.0])
def test_categorical(offset):
    p = np.array([0.5, 0.0, 0.3, 0.19, 0.01])
    with np.errstate(divide="ignore"):
        logits = td.asarray(np.log(p) + offset)
    x = R.categorical(KEY, logits, shape=(N,))
    assert x.dtype is td.int32
    assert agrees(np.bincount(x.numpy(), minlength=5), p)


def test_categorical_along_axes():
    sure = np.full((2, 3, 4), -np.inf, np.float32)
    for i, k in itertools.product(range(2), range(4)):
        sure[i, (i + k) % 3, k] = 0
    want = np.array([[(i + k) % 3 for k in range(4)] for i in range(2)])
    np.testing.assert_array_equal(R.categorical(KEY, td.asarray(sure), axis=1).numpy(), want)
    np.testing.assert_array_equal(R.categorical(KEY, td.asarray(sure), 1, (5, 2, 4)).numpy(), np.stack([want] * 5))


def test_rare_categories_come_as_often_as_they_should():
    """20 times in 200000: a cut of the Gumbel distribution's upper end would show here."""
    n = 200_000
    x = R.categorical(KEY, td.asarray([0.0, np.log(1e-4)]), shape=(n,)).numpy()
    assert abs(x.sum() - n * 1e-4) < 4 * np.sqrt(n * 1e-4)


# integers


@pytest.mark.parametrize("dtype", [td.int8, td.uint8, td.int32, td.uint32, td.int64, td.uint64])
def test_randint(dtype):
    low = 3 if dtype.name.startswith("u") else -3
    x = R.randint(KEY, (N,), low, low + 7, dtype=dtype)
    assert x.dtype is dtype
    assert agrees(np.bincount(x.numpy().astype(np.int64) - low, minlength=7), [1 / 7] * 7)


@pytest.mark.parametrize("dtype", [td.int8, td.uint16, td.int32, td.uint32, td.int64, td.uint64])
def test_randint_over_the_whole_range(dtype):
    info = np.iinfo(dtype.numpy)
    x = R.randint(KEY, (N,), int(info.min), int(info.max) + 1, dtype=dtype).numpy()
    eighth = [(int(v) - int(info.min)) * 8 // 2**dtype.bits for v in x.tolist()]
    assert agrees(np.bincount(eighth, minlength=8), [1 / 8] * 8)


@pytest.mark.parametrize("count", [3 * 2**61, 2**63 + 1, 2**40 + 1])
def test_randint_of_wide_ranges_is_even(count):
    """The remainder of 64 bits by 3 * 2**61 would give the lower third twice as often."""
    x = R.randint(KEY, (N,), 0, count, dtype=td.uint64).numpy()
    assert int(x.max()) < count
    assert agrees(np.bincount([int(v) * 6 // count for v in x.tolist()], minlength=6), [1 / 6] * 6)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_high_product_is_the_upper_half(a, b):
    got = discrete._high_product(*(td.asarray(v, dtype=td.uint64) for v in (a, b)))
    assert got.item() == a * b >> 64


@pytest.mark.parametrize("dtype", [td.int32, td.int64])
def test_randint_is_the_fraction_of_the_range(dtype):
    low, high = -(2**31), 2**31 - 5
    got = R.randint(KEY, (20,), low, high, dtype=dtype).tolist()
    if dtype is td.int32:
        fractions = [Fraction(b, 2**64) for b in R.bits(KEY, (20,), dtype=td.uint64).tolist()]
    else:
        words = R.bits(KEY, (20, 2), dtype=td.uint64).tolist()
        fractions = [Fraction(b0 + (b1 << 64), 2**128) for b0, b1 in words]
    assert got == [low + int(f * (high - low)) for f in fractions]


def test_randint_with_tensor_bounds():
    high = td.asarray([1, 2, 1000])
    x = R.randint(KEY, (500, 3), td.asarray(0), high).numpy()
    assert (x < high.numpy()).all()
    assert x.min() == 0
    assert (x[:, 0] == 0).all()
    assert x[:, 2].max() > 900
    assert R.randint(KEY, None, 0, high).shape == (3,)
    assert (
        td.compile(lambda h: R.randint(KEY, (4,), 0, h))(td.asarray(9)).tolist() == R.randint(KEY, (4,), 0, 9).tolist()
    )


def test_randint_of_n():
    np.testing.assert_array_equal(R.randint(KEY, (9,), 5).numpy(), R.randint(KEY, (9,), 0, 5).numpy())


# orders


def test_every_order_is_as_likely():
    keys = R.split(KEY, 4800)
    x = td.vmap(lambda k: R.permutation(k, 4))(keys).numpy()
    number = {p: i for i, p in enumerate(itertools.permutations(range(4)))}
    counts = np.bincount([number[tuple(row)] for row in x.tolist()], minlength=24)
    assert agrees(counts, [1 / 24] * 24)


def test_permutation_of_a_tensor():
    x = td.asarray(np.arange(12).reshape(3, 4))
    order = R.permutation(KEY, 4).numpy()
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    assert order.dtype == np.int32
    np.testing.assert_array_equal(R.permutation(KEY, x, axis=1).numpy(), x.numpy()[:, order])
    np.testing.assert_array_equal(R.permutation(KEY, x).numpy(), x.numpy()[R.permutation(KEY, 3).numpy()])
    assert R.shuffle is R.permutation
    assert R.permutation(KEY, 0).shape == (0,)


def test_permutation_passes_gradients():
    weights = np.arange(5.0)
    got = td.grad(lambda x: (R.permutation(KEY, x) * td.asarray(weights)).sum())(td.asarray(np.zeros(5)))
    np.testing.assert_array_equal(got.numpy(), weights[np.argsort(R.permutation(KEY, 5).numpy())])


# choice


def test_choice_with_replacement():
    p = np.array([0.1, 0.0, 0.6, 0.3])
    assert agrees(np.bincount(R.choice(KEY, 4, (N,), p=td.asarray(p)).numpy(), minlength=4), p)
    assert agrees(np.bincount(R.choice(KEY, 4, (N,)).numpy(), minlength=4), [0.25] * 4)


def test_choice_without_replacement():
    keys = R.split(KEY, 3000)
    x = td.vmap(lambda k: R.choice(k, 3, (2,), replace=False))(keys).numpy()
    assert agrees(np.bincount(x[:, 0] * 3 + x[:, 1], minlength=9), (1 - np.eye(3)).ravel() / 6)
    p = np.array([0.5, 0.3, 0.2])
    x = td.vmap(lambda k: R.choice(k, 3, (2,), replace=False, p=td.asarray(p)))(keys).numpy()
    successive = [[0 if i == j else p[i] * p[j] / (1 - p[i]) for j in range(3)] for i in range(3)]
    assert agrees(np.bincount(x[:, 0] * 3 + x[:, 1], minlength=9), np.ravel(successive))


def test_choice_of_slices():
    x = np.arange(24).reshape(2, 4, 3)
    picked = R.choice(KEY, 4, (2, 2)).numpy()
    np.testing.assert_array_equal(R.choice(KEY, td.asarray(x), (2, 2), axis=1).numpy(), x[:, picked])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: R.bernoulli(KEY, 1.5), ArgumentError, "from 0 to 1, and is 1.5"),
        (lambda: R.bernoulli(KEY, td.asarray(1)), DTypeError, "floating point"),
        (lambda: R.bernoulli(KEY, td.zeros(3), (2,)), ShapeError, "p has the shape [3]"),
        (lambda: R.categorical(KEY, td.asarray([1, 2])), DTypeError, "floating point"),
        (lambda: R.categorical(KEY, td.zeros((2, 3)), axis=2), ShapeError, "axis 2"),
        (lambda: R.categorical(KEY, td.zeros((2, 3)), shape=(4,)), ShapeError, "[2]"),
        (lambda: R.randint(KEY, (2,), 3, 3), ArgumentError, "low must be below high; they are 3 and 3"),
        (lambda: R.randint(KEY, (2,), 0, td.asarray([1, 0])), ArgumentError, "below high"),
        (lambda: R.randint(KEY, (2,), 0, 300, dtype=td.uint8), ArgumentError, "uint8 holds 0 to 255"),
        (lambda: R.randint(KEY, (2,), -1, 3, dtype=td.uint8), ArgumentError, "low is -1"),
        (lambda: R.randint(KEY, (2,), 0, 3, dtype=td.float32), DTypeError, "td.random.uniform"),
        (lambda: R.randint(KEY, (2,), 0.0, 3.0), DTypeError, "integers"),
        (lambda: R.permutation(KEY, td.asarray(3)), ShapeError, "scalar"),
        (lambda: R.choice(KEY, 3, (2, 2), replace=False), ArgumentError, "4 of 3"),
        (lambda: R.choice(KEY, 3, (2,), p=td.ones(2)), ShapeError, "each of 3"),
    ],
)
def test_wrong_arguments_are_explained(call, error, words):
    with pytest.raises(error) as e:
        call()
    assert words in str(e.value)
