"""Activations against their formulas in float64, and at the ends of the range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats

import treadle as td
from treadle import nn
from treadle.nn import activations

X = np.linspace(-8, 8, 161) + 0.01


def sigmoid(x: np.ndarray) -> np.ndarray:
    return scipy.special.expit(x)


FORMULAS: dict[str, Any] = {
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "gelu": lambda x: x * scipy.stats.norm.cdf(x),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "linear": lambda x: x,
    "log_softmax": lambda x: scipy.special.log_softmax(x),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "softmax": lambda x: scipy.special.softmax(x),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "swish": lambda x: x * sigmoid(x),
    "tanh": np.tanh,
}


def test_every_name_has_a_formula() -> None:
    assert set(FORMULAS) == set(activations.NAMES)


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name: str) -> None:
    np.testing.assert_allclose(
        np.asarray(activations.get(name)(td.asarray(X))), FORMULAS[name](X), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_keeps_dtype_and_stays_finite_at_large_inputs(name: str, dtype: str) -> None:
    x = td.asarray([-1e4, -100.0, 0.0, 100.0, 1e4]).astype(dtype)
    f = activations.get(name)
    y = f(x)
    assert y.spec == x.spec
    assert bool(td.all(td.isfinite(y.astype("float64"))))
    g = td.grad(lambda x: td.sum(f(x)))(x)
    assert bool(td.all(td.isfinite(g.astype("float64"))))


def test_gelu_approximate() -> None:
    x = td.asarray(X)
    expected = 0.5 * X * (1 + np.tanh(np.sqrt(2 / np.pi) * (X + 0.044715 * X**3)))
    np.testing.assert_allclose(np.asarray(activations.gelu(x, approximate=True)), expected, rtol=1e-10, atol=1e-14)
    assert float(td.max(td.abs(activations.gelu(x) - activations.gelu(x, approximate=True))).item()) < 5e-4


@pytest.mark.parametrize(
    ("layer", "formula"),
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.ReLU(max_value=2), lambda x: np.clip(x, 0, 2)),
        (nn.ReLU(negative_slope=0.5), lambda x: np.where(x > 0, x, 0.5 * x)),
        (nn.ReLU(threshold=1), lambda x: np.where(x > 1, x, 0)),
        # keras.layers.ReLU: negative_slope * (x - threshold) below the threshold
        (
            nn.ReLU(max_value=3, negative_slope=0.5, threshold=1),
            lambda x: np.where(x > 1, np.minimum(x, 3), 0.5 * (x - 1)),
        ),
        (nn.LeakyReLU(0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
        (nn.Activation("tanh"), np.tanh),
        (nn.Activation(td.exp), np.exp),
    ],
    ids=lambda value: (
        repr(value) if isinstance(value, nn.Module) else ""
    ),  # a function's repr differs between processes
)
def test_layers(layer: nn.Module, formula: Any) -> None:
    np.testing.assert_allclose(np.asarray(layer(td.asarray(X))), formula(X), rtol=1e-12, atol=1e-14)


def test_prelu_has_one_slope_for_each_place() -> None:
    layer = nn.PReLU(input_size=3)
    layer.assign({"alpha": [0.5, 1.0, 2.0]})
    assert layer(td.asarray([[-1.0, -1.0, -1.0], [4.0, 4.0, 4.0]])).tolist() == [[-0.5, -1.0, -2.0], [4.0, 4.0, 4.0]]


def test_softmax_with_mask() -> None:
    x = td.asarray([[1.0, 2.0, 3.0], [np.nan, np.inf, -np.inf]])
    mask = td.asarray([[True, False, True], [False, False, False]])
    y = nn.Softmax()(x, mask=mask)
    expected = scipy.special.softmax([1.0, 3.0])
    np.testing.assert_allclose(np.asarray(y), [[expected[0], 0, expected[1]], [0, 0, 0]], rtol=1e-6)
    g = td.grad(lambda x: td.sum(nn.Softmax()(x, mask=mask) ** 2))(x)
    assert bool(td.all(td.isfinite(g)))
    assert g[1].tolist() == [0.0, 0.0, 0.0]


def test_softmax_over_several_axes() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    np.testing.assert_allclose(np.asarray(nn.Softmax((1, 2))(x)), scipy.special.softmax(x, (1, 2)), rtol=1e-12)


# dropout


def test_dropout_keeps_the_mean_and_scales() -> None:
    layer = nn.Dropout(0.25, seed=0)
    y = layer(td.ones(10000), training=True).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    # Four standard errors of a binomial share.
    assert abs((y == 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 10000)


def test_dropout_rates_at_the_ends() -> None:
    x = td.ones(10)
    assert nn.Dropout(0.0)(x, training=True) is x
    assert nn.Dropout(1.0)(x, training=True).tolist() == [0.0] * 10
    assert nn.Dropout(0.9)(x) is x


def test_dropout_drops_others_each_time_and_the_same_with_one_seed() -> None:
    x = td.ones(64)
    first, second = nn.Dropout(0.5, seed=3), nn.Dropout(0.5, seed=3)
    a, b = first(x, training=True).tolist(), first(x, training=True).tolist()
    assert a != b
    assert [second(x, training=True).tolist() for _ in range(2)] == [a, b]
    assert nn.Dropout(0.5)(x, training=True).tolist() != nn.Dropout(0.5)(x, training=True).tolist()


def test_dropout_noise_shape_drops_whole_channels() -> None:
    layer = nn.Dropout(0.5, noise_shape=(None, 1, 1, None), seed=0)
    y = layer(td.ones((4, 5, 6, 16)), training=True).numpy()
    assert (y == y[:, :1, :1]).all()
    assert 0 < (y == 0).mean() < 1


def test_dropout_of_infinite_values_has_no_nan() -> None:
    x = td.full(64, float("inf"))
    y = nn.Dropout(0.5, seed=0)(x, training=True).numpy()
    assert not np.isnan(y).any()


# embedding


def test_embedding_takes_rows_and_its_gradient_adds_up() -> None:
    layer = nn.Embedding(4, 2)
    x = td.asarray([[1, 3], [1, 0]])
    np.testing.assert_array_equal(np.asarray(layer(x)), np.asarray(layer.embeddings)[[[1, 3], [1, 0]]])
    g = td.grad(lambda m, x: td.sum(m(x)))(layer, x)
    assert g["embeddings"].tolist() == [[1.0, 1.0], [2.0, 2.0], [0.0, 0.0], [1.0, 1.0]]
