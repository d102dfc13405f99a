"""gamma: its loop ends, its edges, and what it refuses. Its distribution is tested in test_continuous.py."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td
from treadle.core.errors import ArgumentError, DerivativeError
from treadle.random import rejection

KEY = td.random.key(3)


def test_alphas_of_all_sizes_at_once():
    alpha = np.array([1e-3, 0.1, 0.999, 1.0, 1.001, 30.0, 1e4, 1e8], np.float32)
    x = td.random.gamma(KEY, td.asarray(alpha), (20000, 8)).numpy().astype(np.float64)
    assert np.isfinite(x).all()
    assert (x >= 0).all()
    mean = x.mean(0)
    assert (np.abs(mean - alpha) < 4 * np.sqrt(alpha / 20000)).all()


def test_impossible_alphas_are_nan_and_do_not_hang():
    alpha = td.asarray([float("nan"), -1.0, -0.5, float("inf"), 2.0])
    x = td.random.gamma(KEY, alpha).numpy()
    np.testing.assert_array_equal(np.isnan(x), [True, True, True, False, False])
    assert np.isposinf(x[3])
    assert 0 < x[4] < np.inf


def test_nothing_to_sample():
    assert td.random.gamma(KEY, 2.0, (0, 3)).shape == (0, 3)


def test_a_proposal_changes_only_what_is_pending():
    alpha = td.full((1000,), 1.0)
    d = alpha - 1 / 3
    pending = td.asarray(np.arange(1000) % 2 == 0)
    step, left, value = rejection.propose(
        KEY, d, 1 / td.sqrt(9 * d), (td.asarray(4), pending, td.full((1000,), -1.0)), (1000,), td.float32
    )
    assert step.item() == 5
    accepted = pending.numpy() & ~left.numpy()
    assert not (left.numpy() & ~pending.numpy()).any()
    np.testing.assert_array_equal(value.numpy() > 0, accepted)
    # Marsaglia and Tsang: at least 95% of proposals are accepted at alpha = 1.
    assert 0.93 < accepted.sum() / 500 < 1.0


def test_alpha_has_no_derivative_and_says_so():
    with pytest.raises(DerivativeError, match=r"no derivative with respect to alpha.*td.stop_gradient\(alpha\)"):
        td.grad(lambda a: td.random.gamma(KEY, a, (3,)).sum())(td.asarray(2.0))
    with pytest.raises(DerivativeError, match="alpha"):
        td.compile(td.grad(lambda a: td.random.gamma(KEY, a, (3,)).sum()))(td.asarray(2.0))
    got = td.grad(lambda a: a * td.random.gamma(KEY, td.stop_gradient(a), (3,)).sum())(td.asarray(2.0))
    np.testing.assert_allclose(got.item(), td.random.gamma(KEY, 2.0, (3,)).sum().item(), rtol=1e-6)


def test_derivative_of_what_stands_beside_alpha():
    def loss(scale, alpha):
        return td.random.gamma(KEY, alpha, (3,), scale=scale).sum()

    alpha = td.asarray(2.0)
    want = td.random.gamma(KEY, 2.0, (3,)).sum().item()
    np.testing.assert_allclose(td.grad(loss)(td.asarray(1.5), alpha).item(), want, rtol=1e-6)


def test_wrong_alpha():
    with pytest.raises(ArgumentError, match="alpha must be above 0, and is -1"):
        td.random.gamma(KEY, -1.0, (3,))
