"""Resizing, borders, channel attention, reparametrised weights: formulas, Pillow, SciPy, and what messages say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, DTypeError, ShapeError

X = np.random.default_rng(0).standard_normal((2, 5, 6, 4))


@given(
    st.integers(1, 7),
    st.integers(1, 20),
    st.sampled_from(["nearest", "bilinear"]),
    st.sampled_from(["float32", "uint8"]),
)
def test_resize_along_one_axis_against_the_formula(n: int, m: int, method: str, dtype: str) -> None:
    x = np.random.default_rng(n).integers(0, 200, n).astype(dtype)
    if method == "bilinear" and dtype == "uint8":
        return
    centre = (np.arange(m) + 0.5) * n / m - 0.5
    if method == "nearest":  # in integers: floor((i + 0.5) n / m)
        expected = x[[(2 * i + 1) * n // (2 * m) for i in range(m)]]
    else:
        expected = np.interp(centre, np.arange(n), x)  # which keeps the last value beyond the ends
    y = nn.resize(td.asarray(x[None, :, None]), m, method=method)
    assert y.dtype == td.asarray(x).dtype
    np.testing.assert_allclose(y.numpy()[0, :, 0], expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size", [(10, 12), (9, 4), (2, 3)])
def test_resize_against_pillow(size: tuple[int, int]) -> None:
    x = X[0, :, :, 0].astype(np.float32)
    expected = np.asarray(Image.fromarray(x).resize(size[::-1], Image.Resampling.BILINEAR))
    y = nn.resize(td.asarray(x[None, :, :, None]), size, antialias=True)
    np.testing.assert_allclose(y.numpy()[0, :, :, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("factor", [2, 3])
def test_upsampling_against_scipy(factor: int) -> None:
    x = X[0, :, :, 0]
    expected = scipy.ndimage.zoom(x, factor, order=1, grid_mode=True, mode="nearest")
    y = nn.UpSampling2D(factor, interpolation="bilinear")(td.asarray(x[None, :, :, None]))
    np.testing.assert_allclose(y.numpy()[0, :, :, 0], expected, rtol=1e-10)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_upsampling_of_unknown_sizes(interpolation: str) -> None:
    layer = nn.UpSampling2D((2, 3), interpolation=interpolation)
    run = td.compile(lambda x: layer(x), dynamic={"x": ("batch", "height", "width", None)})
    for shape in ((2, 5, 6, 4), (1, 1, 3, 4)):
        x = td.asarray(X[: shape[0], : shape[1], : shape[2]].astype(np.float32))
        np.testing.assert_allclose(run(x).numpy(), layer(x).numpy(), rtol=1e-5)
    assert run.traces == 1


def test_padding_and_cropping_undo_each_other() -> None:
    sides = ((1, 2), 3)
    y = nn.ZeroPadding2D(sides)(td.asarray(X))
    np.testing.assert_array_equal(y.numpy(), np.pad(X, ((0, 0), (1, 2), (3, 3), (0, 0))))
    np.testing.assert_array_equal(nn.Cropping2D(sides)(y).numpy(), X)
    assert nn.ZeroPadding1D((1, 0))(td.asarray([[[5]]])).tolist() == [[[0], [5]]]


def test_global_response_normalisation_against_the_formula() -> None:
    layer = nn.GlobalResponseNormalization(epsilon=1e-2, input_size=4, dtype="float64")
    gamma, beta = np.arange(4.0) + 1, np.arange(4.0) - 2
    layer.assign({"gamma": td.asarray(gamma), "beta": td.asarray(beta)})
    lengths = np.sqrt((X**2).sum(axis=(1, 2), keepdims=True))
    expected = gamma * X * lengths / (lengths.mean(axis=-1, keepdims=True) + 1e-2) + beta + X
    np.testing.assert_allclose(layer(X).numpy(), expected, rtol=1e-12)


def test_a_channel_that_is_zero_has_a_finite_gradient() -> None:
    layer = nn.GlobalResponseNormalization(input_size=4)
    layer.assign({"gamma": td.ones(4)})
    gradient = td.grad(lambda x: td.sum(layer(x)))(td.zeros((1, 2, 2, 4)))
    np.testing.assert_array_equal(gradient.numpy(), np.ones((1, 2, 2, 4)))


def test_spectral_norm_is_the_singular_value_and_follows_the_weight() -> None:
    layer = nn.SpectralNormalization(nn.Conv2D(6, 3, dtype="float64"))
    layer(X)
    kernel = np.random.default_rng(1).standard_normal((3, 3, 4, 6))
    layer.assign({"layer.kernel": td.asarray(kernel)})
    for _ in range(200):
        y = layer(X, training=True)
    plain = nn.Conv2D(6, 3, dtype="float64", use_bias=False, input_size=4)
    largest = np.linalg.svd(kernel.reshape(-1, 6), compute_uv=False)[0]
    plain.assign({"kernel": td.asarray(kernel / largest)})
    np.testing.assert_allclose(y.numpy(), plain(X).numpy(), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(layer(X).numpy(), layer(X).numpy())  # not training: the vectors stay


def test_wrapped_weights_train_and_keep_the_layers_own() -> None:
    td.random.set_seed(0)
    model = nn.Sequential([nn.WeightNormalization(nn.Dense(8, "tanh")), nn.SpectralNormalization(nn.Dense(1))])
    x = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
    y = np.sin(x[:, :1]) * 0.5
    history = td.fit(model, (x, y), loss="mse", optimizer=td.optim.Adam(1e-2), epochs=20, verbose=False)
    assert history.rows[-1]["loss"] < 0.5 * history.rows[0]["loss"]
    assert all(isinstance(v, nn.Parameter) for n, v in model.variables().items() if "kernel" in n)
    assert sorted(model.parameters()) == [
        "layers.0.layer.bias", "layers.0.layer.kernel", "layers.0.magnitude", "layers.1.layer.bias",
        "layers.1.layer.kernel",
    ]  # fmt: skip
    assert sorted(model.states()) == ["layers.1.left", "layers.1.right"]


def test_wrapped_layers_are_saved_and_loaded_without_an_example(tmp_path: Any) -> None:
    def fresh() -> nn.Module:
        return nn.Sequential([nn.SpectralNormalization(nn.Conv2D(3, 3)), nn.WeightNormalization(nn.Conv2D(2, 1))])

    trained, loaded = fresh(), fresh()
    y = trained(X.astype(np.float32))
    td.load(td.save(trained, tmp_path / "w.safetensors"), into=loaded)
    np.testing.assert_array_equal(loaded(X.astype(np.float32)).numpy(), y.numpy())


WRONG = [
    (lambda: nn.resize(X, 3, method="cubic"), ArgumentError, ['"nearest"', '"bilinear"', "'cubic'"]),
    (lambda: nn.resize(X, (3,)), ArgumentError, ["size is an int or 2 of them"]),
    (lambda: nn.resize(X[0, 0], 3), ShapeError, ["one to three spatial axes", "[6, 4]"]),
    (
        lambda: nn.resize(td.asarray(X).astype("int32"), 3),
        DTypeError,
        ['"bilinear"', "astype(td.float32)", '"nearest"'],
    ),
    (lambda: nn.resize(X[:, :0], 3), ShapeError, ["height=0", "nothing along its height"]),
    (
        lambda: td.eval_shape(lambda x: nn.resize(x, 3))(td.Spec((1, td.Dim("height"), 4, 2), td.float32)),
        ShapeError,
        ["height", "nn.UpSampling2D"],
    ),
    (lambda: nn.UpSampling2D(0), ArgumentError, ["size must be at least 1"]),
    (lambda: nn.UpSampling2D(interpolation="area"), ArgumentError, ['"bilinear"', "'area'"]),
    (lambda: nn.UpSampling2D()(X[0]), ShapeError, ["[5, 6, 4] has 3 axes", "UpSampling2D", "[batch, height, width"]),
    (lambda: nn.ZeroPadding2D("same"), ArgumentError, ["padding is an int", "each of the 2 spatial axes", "'same'"]),
    (lambda: nn.ZeroPadding2D(-1), ArgumentError, ["none negative", "-1"]),
    (lambda: nn.Cropping1D((1, 2, 3)), ArgumentError, ["cropping is an int or a pair"]),
    (lambda: nn.Cropping2D(3)(X), ShapeError, ["nothing is left of the height", "5 - 3 - 3 = -1"]),
    (lambda: nn.ZeroPadding1D()(X), ShapeError, ["has 4 axes", "[batch, length, channels]"]),
    (lambda: nn.SqueezeExcitation()(X[0, 0]), ShapeError, ["[batch, *spatial, channels]", "[6, 4]"]),
    (lambda: nn.GlobalResponseNormalization(input_size=3)(X), ShapeError, ["4 channels", "made for 3"]),
    (lambda: nn.WeightNormalization(nn.Dense), ArgumentError, ["wraps a layer", "nn.Dense(8)"]),
    (
        lambda: nn.WeightNormalization(nn.Dense(3), "weight")(X),
        ArgumentError,
        ["no 'weight'", "kernel, bias", "weight=…"],
    ),
    (lambda: nn.WeightNormalization(nn.Dense(3), "bias")(X), ArgumentError, ["two axes or more", "bias is f32[3]"]),
    (lambda: nn.SpectralNormalization(nn.Dense(3), "units")(X), ArgumentError, ["power_iterations is an int"]),
    (lambda: nn.SpectralNormalization(nn.Dense(3), weight="units")(X), ArgumentError, ["'units'", "is no parameter"]),
]


@pytest.mark.parametrize(("call", "error", "words"), WRONG, ids=lambda v: None)
def test_message(call: Any, error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value), str(caught.value)
