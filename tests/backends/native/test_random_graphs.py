"""Random programs: compiled they give what the reference gives, in value and in gradient."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import treadle as td

SETTINGS = settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
LARGEST = 4000  # elements; a program that grows beyond is cut off there


def unary(r, x):
    f = r.choice([td.tanh, td.sin, td.exp, td.sigmoid, td.abs, td.relu, lambda t: t * 0.5 - 1.0])
    return f(x * 0.3)


def transposed(r, x):
    return td.permute_dims(x, tuple(r.sample(range(x.ndim), x.ndim)))


def reshaped(r, x):
    k = r.randrange(x.ndim)
    return td.reshape(x, (-1,)) if r.random() < 0.5 else td.reshape(x, (*x.shape[:k], 1, *x.shape[k:]))


def sliced(r, x):
    index = []
    for n in x.shape:
        start = r.randrange(n)
        index.append(slice(start, r.randint(start + 1, n), r.randint(1, 2)))
    return x[tuple(index)]


def flipped(r, x):
    return td.flip(x, axis=r.randrange(x.ndim))


def padded(r, x):
    return td.pad(x, [(r.randint(0, 2), r.randint(0, 2)) for _ in x.shape])


def reduced(r, x):
    f = r.choice([td.sum, td.max, td.mean])
    return f(x, axis=r.randrange(x.ndim), keepdims=x.ndim == 1 or r.random() < 0.5)


def softmax(r, x):
    return td.softmax(x, axis=r.randrange(x.ndim))


def running(r, x):
    return td.cumulative_sum(x, axis=r.randrange(x.ndim))


def joined(r, x):
    return td.concat([x, x * 2.0], axis=r.randrange(x.ndim))


def product(r, x):
    return x[:, None] * x[None, :] if x.ndim < 2 else td.tanh(x @ (x.mT * 0.2))


def gathered(r, x):
    axis = r.randrange(x.ndim)
    picks = [r.randrange(x.shape[axis]) for _ in range(r.randint(1, 5))]
    return td.take(x, td.asarray(picks, dtype=td.int32), axis=axis)


def masked(r, x):
    return td.where(x > 0.1, x, x * x)


def scanned(r, x):
    return td.scan(lambda c, a: (td.tanh(c + a), c * a), x[0], x)[1]


def chosen(r, x):
    return td.cond(td.sum(x) > 0.0, lambda t: t * 2.0, lambda t: td.sin(t), x)


STEPS = (
    *(unary, transposed, reshaped, sliced, flipped, padded, reduced, softmax, running, joined, product, gathered),
    *(masked, scanned, chosen),
)


def program(seed: int, steps):
    """A function of one tensor; the same at each call."""

    def f(x):
        r = random.Random(seed)
        for step in steps:
            if np.prod(x.shape) > LARGEST or x.ndim > 6:
                break
            x = step(r, x)
        return x

    return f


programs = st.tuples(
    st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple),
    st.lists(st.sampled_from(STEPS), min_size=1, max_size=8),
    st.integers(0, 2**20),
)


@SETTINGS
@given(programs)
def test_values(made):
    shape, steps, seed = made
    f = program(seed, steps)
    x = td.asarray(np.random.default_rng(seed).standard_normal(shape))
    want = td.compile(f, backend="reference")(x).numpy()
    got = td.compile(f)(x).numpy()
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11)


@SETTINGS
@given(programs)
def test_gradients(made):
    shape, steps, seed = made
    f = program(seed, steps)

    def loss(x):
        return td.sum(td.tanh(f(x)))

    x = td.asarray(np.random.default_rng(seed).standard_normal(shape))
    want = td.compile(td.grad(loss), backend="reference")(x).numpy()
    np.testing.assert_allclose(td.compile(td.grad(loss))(x).numpy(), want, rtol=1e-8, atol=1e-10)


@SETTINGS
@given(programs)
def test_single_precision_and_batches(made):
    shape, steps, seed = made
    f = program(seed, steps)
    x = td.asarray(np.random.default_rng(seed).standard_normal((3, *shape)), dtype=td.float32)
    want = td.compile(td.vmap(f), backend="reference")(x).numpy()
    np.testing.assert_allclose(td.compile(td.vmap(f))(x).numpy(), want, rtol=3e-4, atol=3e-5)


@pytest.mark.slow
@settings(SETTINGS, max_examples=600)
@given(programs)
def test_values_and_gradients_of_many_more(made):
    shape, steps, seed = made
    f = program(seed, steps)
    x = td.asarray(np.random.default_rng(seed).standard_normal(shape))

    def both(x):
        return f(x), td.grad(lambda x: td.sum(td.sin(f(x))))(x)

    want = td.compile(both, backend="reference")(x)
    for got, right in zip(td.compile(both)(x), want, strict=True):
        np.testing.assert_allclose(got.numpy(), right.numpy(), rtol=1e-8, atol=1e-10)
