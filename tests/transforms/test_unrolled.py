"""A Python loop that was unrolled is reported; what only looks like one is not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import treadle as td
from treadle import nn


def test_an_unrolled_loop_is_named_with_its_line():
    def f(x):
        for _ in range(100):
            x = td.tanh(x) * 2.0
        return x

    with pytest.warns(td.UnrolledWarning, match=r"test_unrolled.py:\d+ was unrolled 100 times.*td.scan"):
        td.compile(f)(td.ones(3))


def test_a_very_long_one_compiles():
    def f(x):
        for k in range(3000):
            x = x * 1.0001 + float(k % 3)
        return x

    with pytest.warns(td.UnrolledWarning, match="unrolled 3000 times"):
        got = td.compile(f)(td.ones(3))
    np.testing.assert_allclose(got.numpy(), f(td.ones(3)).numpy(), rtol=1e-3)


def test_its_gradient_too():
    def f(w, x):
        for _ in range(80):
            x = td.tanh(x @ w)
        return x.sum()

    with pytest.warns(td.UnrolledWarning, match=r"unrolled \d+ times"):
        td.compile(td.grad(f))(td.eye(3), td.ones((2, 3)))


def test_short_loops_and_scans_are_fine():
    def f(x):
        for _ in range(20):
            x = td.tanh(x)
        return td.scan(lambda c, _: (td.tanh(c), None), x, td.zeros(500))[0]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        td.compile(f)(td.ones(3))


def test_layers_with_weights_of_their_own_are_fine():
    model = nn.Sequential([nn.Dense(4, activation="tanh") for _ in range(70)])
    x = td.ones((2, 4))
    model(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        td.compile(lambda m, x: m(x))(model, x)


def test_an_optimiser_of_many_parameters_is_fine():
    weights = {str(k): td.ones(3) for k in range(80)}
    optimizer = td.optim.Adam(0.1)

    def step(optimizer, weights):
        return optimizer.update(weights, {k: w * 0.5 for k, w in weights.items()})

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        td.compile(step)(optimizer, weights)
