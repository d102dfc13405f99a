"""Initialisers: the published variances, orthogonality, what layers make of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle import nn
from treadle.nn import initializers

KEY = td.random.key(3)
# Variances of the papers, for a kernel [in, out]: Glorot 2 / (in + out), He 2 / in, LeCun 1 / in.
VARIANCES = {
    "glorot_uniform": 2 / (300 + 200),
    "glorot_normal": 2 / (300 + 200),
    "he_uniform": 2 / 300,
    "he_normal": 2 / 300,
    "lecun_uniform": 1 / 300,
    "lecun_normal": 1 / 300,
    "variance_scaling": 1 / 300,
    "random_normal": 0.05**2,
    "random_uniform": 0.1**2 / 12,
    "orthogonal": 1 / 300,
}


@pytest.mark.parametrize(("name", "variance"), VARIANCES.items())
def test_mean_and_variance(name: str, variance: float) -> None:
    x = np.asarray(initializers.get(name)(KEY, (300, 200), td.float32)).astype(np.float64)
    n = x.size
    # Three standard errors; the kurtosis of none of these is above the normal one's 3.
    assert abs(x.mean()) < 3 * math.sqrt(variance / n)
    assert abs(x.var() / variance - 1) < 3 * math.sqrt(2 / n)


@pytest.mark.parametrize("name", initializers.NAMES)
@pytest.mark.parametrize("dtype", [td.float32, td.float64, td.bfloat16])
def test_shape_dtype_and_key(name: str, dtype: Any) -> None:
    init = initializers.get(name)
    x = init(KEY, (3, 2, 4, 5), dtype)
    assert x.spec == td.Spec((3, 2, 4, 5), dtype)
    np.testing.assert_array_equal(np.asarray(x), np.asarray(init(KEY, (3, 2, 4, 5), dtype)))
    other = np.asarray(init(td.random.key(4), (3, 2, 4, 5), dtype))
    random = name not in ("zeros", "ones", "constant", "identity")
    assert (np.asarray(x) != other).any() == random


def test_limits() -> None:
    uniform = np.asarray(initializers.glorot_uniform(KEY, (30, 20), td.float32))
    assert np.abs(uniform).max() <= math.sqrt(6 / 50)
    truncated = np.asarray(initializers.TruncatedNormal(1.0, 0.5)(KEY, (4000,), td.float32))
    assert truncated.min() >= 0 - 1e-6
    assert truncated.max() <= 2 + 1e-6
    assert (np.abs(np.asarray(initializers.he_normal(KEY, (50, 50), td.float32))) > 0.2).sum() > 0


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (3, 2, 2, 5)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    q = np.asarray(initializers.Orthogonal(gain=2.0)(KEY, shape, td.float64)).reshape(-1, shape[-1]) / 2
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)


def test_identity_kernel_passes_images_on() -> None:
    x = np.random.default_rng(0).standard_normal((1, 6, 5, 3)).astype(np.float32)
    layer = nn.Conv2D(3, 3, padding="same", kernel_initializer="identity")
    np.testing.assert_array_equal(np.asarray(layer(x)), x)


def test_constant_zeros_ones() -> None:
    assert initializers.Constant(2.5)(KEY, (2,), td.float32).tolist() == [2.5, 2.5]
    assert initializers.zeros(KEY, (1,), td.float32).tolist() == [0.0]
    assert initializers.ones(KEY, (1,), td.float32).tolist() == [1.0]


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda init: nn.Conv2D(64, 3, groups=4, kernel_initializer=init, input_size=32), 9 * 8),
        (lambda init: nn.DepthwiseConv2D(7, depth_multiplier=8, depthwise_initializer=init, input_size=64), 49),
        (lambda init: nn.Conv2DTranspose(64, 3, kernel_initializer=init, input_size=32), 9 * 32),
        (lambda init: nn.Dense(100, kernel_initializer=init, input_size=50), 50),
    ],
)
def test_layers_count_what_an_output_depends_on(layer: Any, fan_in: int) -> None:
    td.random.set_seed(0)
    kernel = np.asarray(layer("he_normal").kernel).astype(np.float64)
    assert abs(kernel.var() / (2 / fan_in) - 1) < 4 * math.sqrt(2 / kernel.size)


def test_own_function() -> None:
    def init(key: td.Tensor, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.full(shape, 3, dtype.numpy)

    assert nn.Dense(1, kernel_initializer=init, input_size=2).kernel.tolist() == [[3.0], [3.0]]


@pytest.mark.parametrize(
    ("init", "error", "words"),
    [
        (lambda key, shape, dtype: td.zeros(3), td.errors.ShapeError, r"asked for f32\[2,1\] and made f32\[3\]"),
        (lambda key, shape, dtype: td.zeros(shape, dtype=td.float64), td.errors.DTypeError, r"\.astype\(dtype\)"),
        (initializers.TruncatedNormal, td.errors.ArgumentError, r"write TruncatedNormal\(…\)"),
        (3, td.errors.ArgumentError, "a callable"),
    ],
)
def test_wrong_initialisers(init: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        nn.Dense(1, kernel_initializer=init, input_size=2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: initializers.VarianceScaling(mode="fan"), "fan_in, fan_out, fan_avg"),
        (lambda: initializers.VarianceScaling(distribution="normal"), "untruncated_normal"),
        (lambda: initializers.VarianceScaling(scale=0), "positive"),
        (lambda: initializers.orthogonal(KEY, (3,), td.float32), "fewer than two axes"),
        (lambda: initializers.get("glorot"), "did you mean 'glorot_"),
    ],
)
def test_wrong_arguments(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_the_seed_decides() -> None:
    def weights() -> list[Any]:
        td.random.set_seed(11)
        return (
            nn.Sequential([nn.Dense(3, input_size=2), nn.Dense(2, input_size=3)])
            .parameters()["layers.1.kernel"]
            .tolist()
        )

    assert weights() == weights()
