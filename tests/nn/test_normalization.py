"""Normalisation against the published formulas, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle import nn

X = np.random.default_rng(0).standard_normal((4, 5, 6, 8)) * 3 + 10


def with_weights(layer: nn.Module, x: Any = X) -> tuple[nn.Module, dict[str, np.ndarray]]:
    """The layer with random gamma and beta."""
    layer.init(td.asarray(x))
    rng = np.random.default_rng(1)
    values = {k: rng.standard_normal(v.shape) for k, v in layer.parameters().items()}
    layer.assign(values)
    return layer, values


@pytest.mark.parametrize("axis", [-1, 1])
def test_batch_norm(axis: int) -> None:
    layer, w = with_weights(nn.BatchNormalization(axis, momentum=0.9, epsilon=1e-2, dtype="float64"))
    others = tuple(a for a in range(4) if a != axis % 4)
    shape = [n if a == axis % 4 else 1 for a, n in enumerate(X.shape)]
    gamma, beta = w["gamma"].reshape(shape), w["beta"].reshape(shape)
    mean, var = X.mean(others), X.var(others)

    def formula(m: np.ndarray, v: np.ndarray) -> np.ndarray:
        return gamma * (X - m.reshape(shape)) / np.sqrt(v.reshape(shape) + 1e-2) + beta

    np.testing.assert_allclose(np.asarray(layer(X)), formula(np.zeros_like(mean), np.ones_like(var)), rtol=1e-10)
    assert layer.moving_mean.tolist() == [0.0] * len(mean)  # not training: nothing moves
    np.testing.assert_allclose(np.asarray(layer(X, training=True)), formula(mean, var), rtol=1e-10)
    # keras.layers.BatchNormalization: moving = moving * momentum + batch * (1 - momentum), variance divided by n
    np.testing.assert_allclose(np.asarray(layer.moving_mean), 0.1 * mean, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(layer.moving_variance), 0.9 + 0.1 * var, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(layer(X)), formula(0.1 * mean, 0.9 + 0.1 * var), rtol=1e-10)
    assert list(layer.states()) == ["moving_mean", "moving_variance"]
    assert list(layer.parameters()) == ["gamma", "beta"]


def test_batch_norm_in_a_compiled_training_step() -> None:
    eager = nn.BatchNormalization(momentum=0.5, input_size=8)
    compiled = nn.BatchNormalization(momentum=0.5, input_size=8)
    x = td.asarray(X.astype(np.float32))

    def loss(model: nn.Module, x: td.Tensor) -> td.Tensor:
        return td.sum(model(x, training=True) ** 2)

    step = td.compile(lambda m, x: td.value_and_grad(loss)(m, x))
    for _ in range(3):
        a, b = step(compiled, x), td.value_and_grad(loss)(eager, x)
        np.testing.assert_allclose(a[0].item(), b[0].item(), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(compiled.moving_mean), np.asarray(eager.moving_mean), rtol=1e-6)
    expected = X.mean((0, 1, 2)) * (1 - 0.5**3)
    np.testing.assert_allclose(np.asarray(eager.moving_mean), expected, rtol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_batch_norm_with_a_mask_sees_only_what_is_real(rank: int) -> None:
    rng = np.random.default_rng(2)
    mask = rng.random(X.shape[:rank]) < 0.5
    real = X[mask].reshape(-1, 8)
    layer = nn.BatchNormalization(epsilon=1e-2, momentum=0.0, dtype="float64")
    noisy = np.where(mask.reshape(*mask.shape, *[1] * (4 - rank)), X, 1e6)
    y = np.asarray(layer(noisy, mask=td.asarray(mask), training=True))
    np.testing.assert_allclose(np.asarray(layer.moving_mean), real.mean(0), rtol=1e-10)
    np.testing.assert_allclose(np.asarray(layer.moving_variance), real.var(0), rtol=1e-10)
    np.testing.assert_allclose(
        y[mask].reshape(-1, 8), (real - real.mean(0)) / np.sqrt(real.var(0) + 1e-2), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("axis", [-1, (-1,), (1, 2, 3), (2, -1)])
def test_layer_norm(axis: Any) -> None:
    layer, w = with_weights(nn.LayerNormalization(axis, epsilon=1e-2, dtype="float64"))
    axes = tuple(a % 4 for a in ((axis,) if isinstance(axis, int) else axis))
    shape = [n if a in axes else 1 for a, n in enumerate(X.shape)]
    mean, var = X.mean(axes, keepdims=True), X.var(axes, keepdims=True)
    expected = w["gamma"].reshape(shape) * (X - mean) / np.sqrt(var + 1e-2) + w["beta"].reshape(shape)
    np.testing.assert_allclose(np.asarray(layer(X)), expected, rtol=1e-10, atol=1e-12)


def test_rms_norm() -> None:
    layer, w = with_weights(nn.RMSNormalization(epsilon=1e-2, dtype="float64"))
    expected = w["gamma"] * X / np.sqrt((X**2).mean(-1, keepdims=True) + 1e-2)
    np.testing.assert_allclose(np.asarray(layer(X)), expected, rtol=1e-12)
    assert list(w) == ["gamma"]


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("groups", [1, 2, 4, -1])
def test_group_norm(axis: int, groups: int) -> None:
    x = X if axis == -1 else X.transpose(0, 3, 1, 2)
    layer, w = with_weights(nn.GroupNormalization(groups, axis, epsilon=1e-2, dtype="float64"), x)
    count = 8 if groups == -1 else groups
    expected = np.empty_like(X)
    for n in range(4):
        for g in range(count):
            channels = slice(g * 8 // count, (g + 1) * 8 // count)
            part = X[n, :, :, channels]
            y = (part - part.mean()) / np.sqrt(part.var() + 1e-2)
            expected[n, :, :, channels] = w["gamma"][channels] * y + w["beta"][channels]
    if axis == 1:
        expected = expected.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(np.asarray(layer(x)), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda **k: nn.BatchNormalization(**k),
        lambda **k: nn.LayerNormalization(**k),
        lambda **k: nn.GroupNormalization(2, **k),
    ],
)
def test_without_scale_or_center(make: Any) -> None:
    names = {(True, True): ["gamma", "beta"], (True, False): ["gamma"], (False, True): ["beta"], (False, False): []}
    plain = np.asarray(make()(X.astype(np.float32)))
    for (scale, center), expected in names.items():
        layer = make(scale=scale, center=center)
        np.testing.assert_allclose(np.asarray(layer(X.astype(np.float32))), plain, rtol=1e-6)
        assert list(layer.parameters()) == expected


@pytest.mark.parametrize(
    "make", [nn.BatchNormalization, nn.LayerNormalization, lambda **k: nn.GroupNormalization(2, **k)]
)
def test_a_large_mean_in_half_precision(make: Any) -> None:
    """Mean 1000 and deviation 4: their squares, summed in float16, would be infinite."""
    x = (np.random.default_rng(3).standard_normal((64, 64)) * 4 + 1000).astype(np.float16)
    y = make(dtype="float16")(x, training=True)
    assert y.dtype is td.float16
    y64 = np.asarray(make(dtype="float64")(x.astype(np.float64), training=True))
    np.testing.assert_allclose(np.asarray(y).astype(np.float64), y64, atol=4e-3)  # float16 at 4 has steps of 4e-3


def test_constant_input_is_not_divided_by_zero() -> None:
    for layer in (nn.BatchNorm(), nn.LayerNorm(), nn.RMSNorm(), nn.GroupNorm(1)):
        y = layer(td.zeros((3, 4)), training=True)
        assert y.tolist() == [[0.0] * 4] * 3
        g = td.grad(lambda m, x: td.sum(m(x, training=True)), argnums=1)(layer, td.zeros((3, 4)))
        assert bool(td.all(td.isfinite(g)))


@pytest.mark.parametrize("groups", [1, 2, -1])
@pytest.mark.parametrize("masked", [False, True])
def test_group_normalization_counts_only_what_is_real(groups: int, masked: bool) -> None:
    x = td.asarray(np.random.default_rng(0).standard_normal((3, 5, 4)))
    layer = nn.GroupNormalization(groups, dtype="float64", beta_initializer="random_normal", input_size=4)
    lengths = [5, 2, 0]
    padded = td.where(nn.mask_of(lengths, 5)[:, :, None], x, float("nan"))
    call = {"mask": nn.mask_of(lengths, 5)} if masked else {"lengths": lengths}
    y = layer(padded, **call).numpy()
    g = td.grad(lambda x: td.sum(layer(x, **call) ** 3))(padded).numpy()
    for k, n in enumerate(lengths):
        np.testing.assert_array_equal(y[k, n:], 0)
        np.testing.assert_array_equal(g[k, n:], 0)
        if n:
            alone = x[k : k + 1, :n]
            np.testing.assert_allclose(y[k : k + 1, :n], layer(alone).numpy(), rtol=1e-12)
            expected = td.grad(lambda x: td.sum(layer(x) ** 3))(alone).numpy()
            np.testing.assert_allclose(g[k : k + 1, :n], expected, rtol=1e-10, atol=1e-12)
    first = nn.GroupNormalization(groups, 1, dtype="float64", input_size=4)
    first.assign(layer.parameters())
    turned = first(td.moveaxis(padded, -1, 1), **call)
    np.testing.assert_allclose(td.moveaxis(turned, 1, -1).numpy(), y, rtol=1e-12)
    with pytest.raises(td.errors.ShapeError, match="are of sequences"):
        nn.GroupNormalization(1)(td.ones((2, 4)), lengths=[1, 1])
