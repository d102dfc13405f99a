"""Continuous distributions against SciPy's, by Kolmogorov-Smirnov tests with fixed keys; ends, dtypes, derivatives.

A right sampler fails a KS test at 1e-3 for one key in a thousand; the keys are fixed, so these tests always agree.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from scipy import stats

import treadle as td
from treadle.core.errors import ArgumentError, DTypeError, ShapeError

R = td.random
KEY = R.key(11)
N = 20000

STANDARD = {
    "uniform": (R.uniform, {}, stats.uniform()),
    "uniform_between": (R.uniform, {"low": -3.0, "high": 0.5}, stats.uniform(-3, 3.5)),
    "normal": (R.normal, {}, stats.norm()),
    "normal_moved": (R.normal, {"mean": 2.0, "std": 0.25}, stats.norm(2, 0.25)),
    "truncated": (R.truncated_normal, {}, stats.truncnorm(-2, 2)),
    "truncated_tail": (R.truncated_normal, {"low": 3.0, "high": 5.0}, stats.truncnorm(3, 5)),
    "truncated_open": (R.truncated_normal, {"low": -1.0, "high": float("inf")}, stats.truncnorm(-1, np.inf)),
    "exponential": (R.exponential, {"scale": 0.5}, stats.expon(scale=0.5)),
    "gumbel": (R.gumbel, {"loc": 1.0, "scale": 2.0}, stats.gumbel_r(1, 2)),
    "laplace": (R.laplace, {"loc": -1.0, "scale": 2.0}, stats.laplace(-1, 2)),
    "gamma_below_1": (functools.partial(R.gamma, alpha=0.4), {}, stats.gamma(0.4)),
    "gamma_1": (functools.partial(R.gamma, alpha=1.0), {"scale": 3.0}, stats.gamma(1, scale=3)),
    "gamma_above_1": (functools.partial(R.gamma, alpha=2.5), {}, stats.gamma(2.5)),
    "gamma_large": (functools.partial(R.gamma, alpha=1000.0), {}, stats.gamma(1000)),
}
CASES = pytest.mark.parametrize("name", STANDARD)


@CASES
@pytest.mark.parametrize("dtype", [td.float32, td.float64])
@pytest.mark.parametrize("seed", [0, 1])
def test_distribution(name, dtype, seed):
    sampler, options, truth = STANDARD[name]
    x = sampler(R.key(seed), shape=(N,), dtype=dtype, **options)
    assert x.dtype is dtype
    a = x.numpy().astype(np.float64)
    assert np.isfinite(a).all()
    assert stats.kstest(a, truth.cdf).pvalue > 1e-3
    if name != "truncated_open":
        np.testing.assert_allclose(a.mean(), truth.mean(), atol=4 * truth.std() / np.sqrt(N))


@CASES
@pytest.mark.parametrize("dtype", [td.float16, td.bfloat16])
def test_half_precision_is_the_rounded_sample(name, dtype):
    sampler, options, truth = STANDARD[name]
    x = sampler(KEY, shape=(N,), dtype=dtype, **options)
    assert x.dtype is dtype
    a = x.numpy().astype(np.float64)
    # Rounding moves the quantiles by at most one spacing, plus what chance does: 4 / sqrt(N).
    probabilities = np.linspace(0.05, 0.95, 7)
    want = truth.ppf(probabilities)
    spacing = float(td.finfo(dtype).eps) * np.maximum(np.abs(want), 1.0)
    below, above = truth.ppf(probabilities - 4 / np.sqrt(N)), truth.ppf(probabilities + 4 / np.sqrt(N))
    got = np.quantile(a, probabilities)
    assert (got >= below - spacing).all()
    assert (got <= above + spacing).all()


@CASES
def test_a_shorter_sample_is_the_beginning_of_a_longer_one(name):
    sampler, options, _ = STANDARD[name]
    long = sampler(KEY, shape=(300,), **options).numpy()
    for shape in ((), (1,), (7,), (2, 3), (299,)):
        short = sampler(KEY, shape=shape, **options)
        assert short.shape == shape
        np.testing.assert_array_equal(short.numpy().ravel(), long[: short.size])


@CASES
def test_compiled_and_batched_samples_are_the_same_bits(name):
    sampler, options, _ = STANDARD[name]
    f = lambda k: sampler(k, shape=(5, 3), **options)  # noqa: E731
    compiled = td.compile(f)
    # Other backends have other exponentials and logarithms, each right to 2 units in the last place (decision 6).
    np.testing.assert_allclose(compiled(KEY).numpy(), f(KEY).numpy(), rtol=5e-7, atol=1e-7)
    keys = R.split(KEY, 3)
    for one, many in ((f, td.vmap(f)), (compiled, td.compile(td.vmap(f)))):
        got = many(keys).numpy()
        for i in range(3):
            np.testing.assert_array_equal(got[i], one(keys[i]).numpy())


def test_sizes_that_are_not_known():
    f = td.compile(lambda k, x: x + R.normal(k, x.shape), dynamic={"x": ("batch", None)})
    for n in (1, 4):
        np.testing.assert_allclose(f(KEY, td.zeros((n, 3))).numpy(), R.normal(KEY, (n, 3)).numpy(), rtol=5e-7)


# ends


@pytest.mark.parametrize("dtype", [td.float32, td.float64, td.float16, td.bfloat16])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1.0, 1.5), (-1.0, 2.0**-20), (256.0, 258.0), (-2.0, -1.0)])
def test_uniform_never_gives_high(dtype, low, high):
    x = R.uniform(KEY, (N,), low=low, high=high, dtype=dtype).numpy().astype(np.float64)
    assert low <= x.min()
    assert x.max() < high


def test_uniform_does_not_round_up_to_high():
    # float32 between 2**24 and 2**24 + 4 has only even numbers: a quarter of the sums would round to `high`.
    low, high = 2.0**24, 2.0**24 + 4.0
    x = R.uniform(KEY, (1000,), low=low, high=high).numpy()
    assert set(x.tolist()) == {low, low + 2}


def test_uniform_of_an_empty_interval_is_its_end():
    assert R.uniform(KEY, (3,), low=2.0, high=2.0).tolist() == [2.0] * 3


def test_uniform_fills_its_grid():
    x = R.uniform(KEY, (N,), dtype=td.bfloat16).numpy().astype(np.float64)
    counts = np.bincount((x * 256).astype(int), minlength=256)
    assert (x * 256 % 1 == 0).all()
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("dtype", [td.float32, td.float64])
def test_tails_of_the_normal(dtype):
    """Counts beyond a threshold are Poisson; 4 standard deviations of it."""
    n = 2_000_000
    x = np.abs(R.normal(R.key(4), (n,), dtype=dtype).numpy())
    for threshold in (2.0, 2.5, 3.0, 4.0, 4.5):
        expected = 2 * stats.norm.sf(threshold) * n
        assert abs((x > threshold).sum() - expected) < 4 * np.sqrt(expected)


def _quantiles(monkeypatch, sampler, words, dtype):
    """What a sampler makes of given random words."""
    from treadle.random import draws

    drawn = td.asarray(np.array(words, np.uint64 if dtype is td.float64 else np.uint32))
    monkeypatch.setattr(draws, "bits", lambda key, shape, dtype: drawn)
    return sampler(KEY, (len(words),), dtype).numpy().astype(np.float64)


@pytest.mark.parametrize("dtype", [td.float32, td.float64])
@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize(
    ("name", "truth"), [("normal", stats.norm), ("exponential", stats.expon), ("gumbel", stats.gumbel_r)]
)
def test_quantiles_are_precise_to_the_last_word(monkeypatch, dtype, side, name, truth):
    """Each random word has its own quantile, as far as the ends: up to rounding, and to 1e-7 of the normal's tail."""
    from treadle.random import draws

    digits = 64 if dtype is td.float64 else 32
    ks = [0, 1, 2, 9, 1000, 12345, *(2**i + 1 for i in range(10, digits - 1))]
    words = ks if side < 0 else [2**digits - 1 - k for k in ks]
    got = _quantiles(monkeypatch, getattr(draws, f"standard_{name}"), words, dtype)
    p = (np.array(ks, np.float64) + 0.5) / 2.0**digits
    falling = name == "gumbel"  # the logarithm of an exponential, negated
    want = truth.ppf(p) if (side < 0) != falling else truth.isf(p)
    np.testing.assert_allclose(
        got, want, rtol=1e-6 if dtype is td.float32 else 1e-7, atol=1e-6 if dtype is td.float32 else 1e-9
    )


def test_truncated_normal_stays_inside():
    for low, high in ((-2.0, 2.0), (-0.1, 0.1), (5.0, 5.5), (-9.0, -5.5)):
        x = R.truncated_normal(KEY, (N,), low=low, high=high).numpy()
        assert x.min() >= np.float32(low)
        assert x.max() <= np.float32(high)


# parameters


def test_parameters_give_shape_and_dtype():
    mean = td.asarray(np.zeros((2, 1)))
    x = R.normal(KEY, mean=mean, std=td.asarray(np.ones(3)))
    assert x.spec == td.Spec((2, 3), td.float64)
    assert R.normal(KEY, (4, 2, 3), mean=mean).spec == td.Spec((4, 2, 3), td.float64)
    assert R.normal(KEY, (2, 3), mean=mean, dtype=td.float32).dtype is td.float32
    assert R.uniform(KEY).spec == td.Spec((), td.float32)
    assert R.gamma(KEY, td.asarray([1.0, 2.0])).shape == (2,)


def test_each_element_has_its_own_parameters():
    mean, std = np.array([0.0, 100.0, -5.0]), np.array([1.0, 0.0, 2.0])
    x = R.normal(KEY, (5, 3), mean=td.asarray(mean), std=td.asarray(std)).numpy()
    np.testing.assert_allclose(x, mean + std * R.normal(KEY, (5, 3), dtype=td.float64).numpy(), rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: R.uniform(KEY, (2,), low=1.0, high=0.0), ArgumentError, "low must be below high"),
        (lambda: R.normal(KEY, (2,), std=-1.0), ArgumentError, "std must be at least 0"),
        (
            lambda: R.normal(KEY, (2,), mean=td.zeros(3)),
            ShapeError,
            "mean has the shape [3], which does not stretch to [2]",
        ),
        (lambda: R.normal(KEY, (1,), mean=td.zeros(3)), ShapeError, "does not stretch to [1]"),
        (lambda: R.normal(KEY, (2,), dtype=td.int32), DTypeError, "td.random.randint"),
        (lambda: R.normal(KEY, (2,), mean=td.asarray(1)), DTypeError, "mean is i32[] and must be floating point"),
        (lambda: R.truncated_normal(KEY, (2,), low=2.0, high=2.0), ArgumentError, "below high"),
        (lambda: R.truncated_normal(KEY, (2,), low=6.5, high=7.0), ArgumentError, "shift the result"),
        (lambda: R.truncated_normal(KEY, (2,), low=-9.0, high=-7.0), ArgumentError, "[-9.0, -7.0]"),
        (lambda: R.exponential(KEY, (2,), scale=-1.0), ArgumentError, "scale"),
        (lambda: R.gumbel(KEY, (2,), scale=-1.0), ArgumentError, "scale"),
        (lambda: R.laplace(KEY, (2,), scale=-1.0), ArgumentError, "scale"),
        (lambda: R.normal(KEY, (-2,)), ShapeError, "not negative"),
    ],
)
def test_wrong_arguments_are_explained(call, error, words):
    with pytest.raises(error) as e:
        call()
    assert words in str(e.value)


# derivatives


@pytest.mark.parametrize(
    ("sampler", "parameters"),
    [
        (R.uniform, {"low": 0.3, "high": 2.0}),
        (R.normal, {"mean": 0.3, "std": 2.0}),
        (R.truncated_normal, {"low": -0.5, "high": 1.5}),
        (R.exponential, {"scale": 2.0}),
        (R.gumbel, {"loc": 0.3, "scale": 2.0}),
        (R.laplace, {"loc": 0.3, "scale": 2.0}),
        (functools.partial(R.gamma, alpha=2.0), {"scale": 2.0}),
    ],
)
def test_derivatives_with_respect_to_the_parameters(sampler, parameters):
    """With the key held, a sample is a smooth function of its parameters: central differences, error about h**2."""
    names, h = list(parameters), 1e-5
    at = np.array(list(parameters.values()))

    def f(p):
        return sampler(KEY, shape=(6,), **{n: p[i] for i, n in enumerate(names)})

    jacobian = td.jacobian(f)(td.asarray(at)).numpy()
    for i in range(len(names)):
        step = h * np.eye(len(names))[i]
        want = (f(td.asarray(at + step)).numpy() - f(td.asarray(at - step)).numpy()) / (2 * h)
        np.testing.assert_allclose(jacobian[:, i], want, rtol=1e-7, atol=1e-8)


def test_uniform_at_its_upper_end_still_follows_high():
    # Here most sums round to `high` and are replaced by the number below it.
    low, high = td.asarray(2.0**24), td.asarray(2.0**24 + 2)
    gradient = td.jacobian(lambda h: R.uniform(KEY, (50,), low=low, high=h))(high).numpy()
    x = R.uniform(KEY, (50,), low=low, high=high).numpy()
    assert (x == 2.0**24).all()
    u = R.uniform(KEY, (50,)).numpy()
    assert ((gradient == 1.0) | (gradient == u)).all()
    assert (gradient[u > 0.6] == 1.0).all()
