"""nn.models: sizes as published, torchvision's weights, and what holds for every model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, BuildError, ShapeError

models = nn.models


def oriented(shape: tuple[int, ...], data_format: str | None = None, **_: Any) -> tuple[int, ...]:
    """The shape of an image in a data format."""
    return (shape[-1], *shape[:-1]) if data_format == "channels_first" else shape


SMALL: dict[str, tuple[Callable[..., nn.Module], tuple[int, ...]]] = {
    "resnet": (lambda **k: models.ResNet([1, 2], 3, width=4, **k), (2, 32, 32, 3)),
    "resnet, bottleneck": (lambda **k: models.ResNet([1, 1], 3, width=4, bottleneck=True, **k), (2, 32, 32, 3)),
    "resnet, small": (lambda **k: models.ResNet([1, 1], 3, width=4, small=True, **k), (2, 8, 8, 1)),
    "mobilenet": (lambda **k: models.MobileNetV2(3, 0.25, **k), (2, 32, 32, 3)),
    "unet": (lambda **k: models.UNet(2, width=4, depth=2, **k), (2, 8, 12, 3)),
    "unet, bilinear": (lambda **k: models.UNet(2, width=4, depth=1, upsampling="bilinear", **k), (2, 8, 6, 3)),
    "vit": (lambda **k: models.VisionTransformer(8, 4, 3, width=8, depth=2, heads=2, **k), (2, 8, 8, 3)),
    "autoencoder": (lambda **k: models.Autoencoder(oriented((8, 4, 2), **k), 3, (4, 6), **k), (2, 8, 4, 2)),
    "vae": (lambda **k: models.VAE(oriented((8, 8, 1), **k), 3, (4, 6), seed=0, **k), (2, 8, 8, 1)),
}
every = pytest.mark.parametrize("name", SMALL)


def made(name: str) -> tuple[nn.Module, td.Tensor]:
    make, shape = SMALL[name]
    td.random.set_seed(0)
    return make().init(shape), td.asarray(np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32))


def first(out: Any) -> np.ndarray:
    return (out[0] if isinstance(out, tuple) else out).numpy()


def count(model: nn.Module) -> int:
    return sum(p.size for p in model.parameters().values())


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (models.resnet18, 11_689_512),
        (models.MobileNetV2, 3_504_872),
        (models.VisionTransformer, 5_717_416),  # timm's vit_tiny_patch16_224
        pytest.param(models.resnet34, 21_797_672, marks=pytest.mark.slow),
        pytest.param(models.resnet50, 25_557_032, marks=pytest.mark.slow),
        pytest.param(
            lambda: models.VisionTransformer(width=768, heads=12), 86_567_656, marks=pytest.mark.slow
        ),  # torchvision's vit_b_16
    ],
)
def test_as_many_parameters_as_published(make: Callable[[], nn.Module], parameters: int) -> None:
    with nn.defaults(  # zeros instead of 25 million random numbers
        Conv2D={"kernel_initializer": "zeros"}, Dense={"kernel_initializer": "zeros"}
    ):
        assert count(make().init((1, 224, 224, 3))) == parameters


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n == "mobilenet" else n for n in SMALL],  # 52 convolutions
)
def test_compiled_equals_eager_and_trains(name: str) -> None:
    model, x = made(name)
    np.testing.assert_allclose(first(td.compile(lambda m, x: m(x))(model, x)), first(model(x)), rtol=1e-4, atol=1e-5)

    def loss(model: nn.Module, x: td.Tensor) -> td.Tensor:
        out = model(x, training=True)
        return td.mean((out[0] if isinstance(out, tuple) else out) ** 2)

    gradients = td.compile(lambda m, x: td.grad(loss)(m, x))(model, x)
    assert list(gradients) == list(model.parameters())
    used = [bool(td.any(g != 0)) for path, g in gradients.items()]
    assert sum(used) >= 0.8 * len(used)  # a bias before a batch normalisation may have none
    assert all(np.isfinite(g.numpy()).all() for g in gradients.values())


@every
def test_saved_and_loaded(name: str, tmp_path: Any) -> None:
    model, x = made(name)
    model(x, training=True)  # moves statistics
    other = SMALL[name][0]()
    td.load(td.save(model, tmp_path / "w.safetensors"), into=other, example=x.spec)
    np.testing.assert_array_equal(first(other(x)), first(model(x)))


FIRST: dict[str, Any] = {"data_format": "channels_first"}


def images(out: td.Tensor) -> np.ndarray[Any, Any]:
    """Channels last, where these are images with channels first."""
    return np.moveaxis(out.numpy(), 1, -1) if out.ndim == 4 else out.numpy()


@pytest.mark.parametrize(
    ("name", "how"),
    # Autoencoders are told their images' shape, which goes with the format; MobileNetV2 is slow, once is enough.
    [(n, "argument") for n in SMALL] + [(n, "defaults") for n in SMALL if n not in ("autoencoder", "vae", "mobilenet")],
)
def test_channels_first_gives_the_same_with_the_same_weights(name: str, how: str) -> None:
    last, x = made(name)
    make, (batch, *shape) = SMALL[name]
    if how == "argument":
        model = make(**FIRST)
    else:
        with nn.defaults(Conv2D=FIRST):
            model = make()
    moved = td.moveaxis(x, -1, 1)
    model.init((batch, *oriented(tuple(shape), **FIRST))).assign(last.variables())
    for training in (True, False):  # the second time with the statistics of the first
        a, b = (m(v, training=training) for m, v in ((last, x), (model, moved)))
        for one, other in zip(*(y if isinstance(y, tuple) else (y,) for y in (a, b)), strict=True):
            np.testing.assert_allclose(images(other), one.numpy(), rtol=1e-5, atol=1e-5)
    states = {k: v.numpy() for k, v in last.states().items()}
    assert states.keys() == model.states().keys()
    for k, v in model.states().items():
        np.testing.assert_allclose(v.numpy(), states[k], rtol=1e-4, atol=1e-5, err_msg=k)


def test_an_explicit_format_wins_over_the_defaults() -> None:
    with nn.defaults(Conv2D=FIRST, BatchNormalization={"axis": 1}):
        model = models.ResNet([1, 1], None, width=4, small=True, data_format="channels_last")
    assert model(td.zeros((1, 8, 8, 3))).shape == (1, 4, 4, 8)
    assert models.ResNet([1, 1], None, width=4, small=True, **FIRST)(td.zeros((1, 3, 8, 8))).shape == (1, 8, 4, 4)


def test_a_text_has_its_own_format_whatever_images_have() -> None:
    with nn.defaults(Conv1D=FIRST, Conv2D=FIRST):
        model = models.TextCNN(9, 3, width=4, filters=5, windows=(2, 4))
    assert model(td.asarray([[1, 2, 0]])).shape == (1, 3)


def torchvision_cases() -> list[Any]:
    return [
        pytest.param(
            lambda t: t.ResNet([1, 2], 4, 5, bottleneck=False),
            lambda: models.ResNet([1, 2], 5, width=4),
            32,
            id="resnet",
        ),
        pytest.param(
            lambda t: t.ResNet([2, 1, 1], 4, 5, bottleneck=True),
            lambda: models.ResNet([2, 1, 1], 5, width=4, bottleneck=True),
            32,
            id="resnet, bottleneck",
        ),
        pytest.param(lambda t: t.MobileNetV2(5, 0.25), lambda: models.MobileNetV2(5, 0.25), 32, id="mobilenet"),
        pytest.param(
            lambda t: t.VisionTransformer(12, 4, 5, 16, 2, 4),
            lambda: models.VisionTransformer(12, 4, 5, width=16, depth=2, heads=4),
            12,
            id="vit",
        ),
    ]


@pytest.mark.parametrize(("theirs", "ours", "size"), torchvision_cases())
def test_weights_of_torchvision(theirs: Any, ours: Any, size: int, tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    from tests.nn import torchvision_models

    reference = torchvision_models.randomise(theirs(torchvision_models))
    path = torchvision_models.save(reference, tmp_path / "theirs.safetensors")
    model = ours().init((1, size, size, 3))
    models.from_torchvision(model, td.load(path))
    x = np.random.default_rng(0).standard_normal((2, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        expected = reference(torch.tensor(np.moveaxis(x, -1, 1).copy())).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ArgumentError, match="1 missing"):
        models.from_torchvision(model, {k: v for k, v in td.load(path).items() if k != next(iter(td.load(path)))})


def test_a_vae_samples_in_training_only_and_its_elbo_is_the_formula() -> None:
    model, x = made("vae")
    a, b = model(x, training=True), model(x, training=True)
    assert (a.logits.numpy() != b.logits.numpy()).any()
    np.testing.assert_array_equal(a.mean.numpy(), b.mean.numpy())
    np.testing.assert_array_equal(model(x).logits.numpy(), model.decode(model.encode(x)[0]).numpy())
    z, mean, log_variance = (v.numpy().astype(np.float64) for v in a)
    p, t = 1 / (1 + np.exp(-z)), x.numpy()
    pixels = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=(1, 2, 3))
    divergence = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(axis=1)
    for beta in (1.0, 4.0):
        expected = (pixels + beta * divergence).mean()
        np.testing.assert_allclose(models.negative_elbo(a, x, beta=beta).item(), expected, rtol=1e-5)


def test_a_vae_trains_with_fit() -> None:
    td.random.set_seed(0)
    x = td.datasets.digits().x_train[:256]
    model = models.VAE((8, 8, 1), 2, (8, 16))
    history = td.fit(model, (x, x), loss=models.negative_elbo, optimizer=td.optim.Adam(3e-3), epochs=12, verbose=False)
    assert history.rows[-1]["loss"] < 0.75 * history.rows[0]["loss"]


def test_a_features_model_has_no_head() -> None:
    assert models.ResNet([1, 1], None, width=4)(td.zeros((1, 32, 32, 3))).shape == (1, 4, 4, 8)
    assert models.MobileNetV2(None, 0.25)(td.zeros((1, 32, 32, 3))).shape == (1, 1, 1, 1280)


@every
def test_batch_sizes_may_be_unknown(name: str) -> None:
    model, x = made(name)
    given, unknown = (td.eval_shape(model)(td.Spec((n, *x.shape[1:]), td.float32)) for n in (2, td.Dim("batch")))
    shapes = [(out[0] if isinstance(out, tuple) else out).shape for out in (given, unknown)]
    assert shapes[1] == (td.Dim("batch"), *shapes[0][1:])


WRONG: list[tuple[Any, type[Exception], list[str]]] = [
    (lambda: models.ResNet([]), ArgumentError, ["depths", "[2, 2, 2, 2]"]),
    (lambda: models.MobileNetV2(width=0), ArgumentError, ["width is a factor"]),
    (lambda: models.UNet(2, upsampling="cubic"), ArgumentError, ['"transposed"', "'cubic'"]),
    (lambda: models.UNet(2, depth=0), ArgumentError, ["at least once"]),
    (lambda: models.UNet(2)(td.zeros((1, 20, 16, 1))), ShapeError, ["2**4 = 16", "has 20", "Pad it to 32"]),
    (lambda: models.UNet(2)(td.zeros((20, 16, 1))), ShapeError, ["[batch, height, width, channels]"]),
    (lambda: models.UNet(2, **FIRST)(td.zeros((1, 1, 16, 20))), ShapeError, ["its width is", "has 20"]),
    (lambda: models.UNet(2, **FIRST)(td.zeros((16, 20))), ShapeError, ["[batch, channels, height, width]"]),
    (lambda: models.ResNet([1], data_format="NCHW"), ArgumentError, ["data_format", "'NCHW'"]),
    (
        lambda: models.VisionTransformer(8, 4, width=8, depth=1, heads=2, **FIRST)(td.zeros((1, 8, 8, 3))),
        ShapeError,
        ["made for [batch, channels, 8, 8]", 'data_format="channels_first"'],
    ),
    (lambda: models.Autoencoder((1, 28, 30), **FIRST), ArgumentError, ["2**2 = 4", "28×30"]),
    (lambda: models.VAE((28, 28), **FIRST), ArgumentError, ["image_shape=(channels, height, width)"]),
    (lambda: models.VisionTransformer(30, 16), ArgumentError, ["do not divide images of (30, 30)"]),
    (lambda: models.VisionTransformer(width=10, heads=3), ArgumentError, ["10 % 3 = 1"]),
    (
        lambda: models.VisionTransformer(8, 4, width=8, depth=1, heads=2)(td.zeros((1, 9, 8, 3))),
        ShapeError,
        ["made for [batch, 8, 8, channels]", "td.nn.resize"],
    ),
    (lambda: models.Autoencoder((28, 30, 1)), ArgumentError, ["2**2 = 4", "28×30"]),
    (lambda: models.VAE((28, 28)), ArgumentError, ["image_shape=(height, width, channels)"]),
    (
        lambda: models.negative_elbo(made("vae")[0](td.zeros((2, 8, 8, 1))), td.zeros((2, 8, 8, 1)), beta=-1),
        ArgumentError,
        ["beta", "-1"],
    ),
    (lambda: models.from_torchvision(made("unet")[0], {}), ArgumentError, ["UNet", "nn.from_torch"]),
    (lambda: models.from_torchvision(models.ResNet([1]), {"a": np.ones(1)}), BuildError, ["first called"]),
]


@pytest.mark.parametrize(("call", "error", "words"), WRONG, ids=lambda v: None)
def test_message(call: Any, error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value), str(caught.value)


# nn.from_torch


def dense() -> nn.Module:
    return nn.Sequential([nn.Dense(2, input_size=3), nn.BatchNormalization(input_size=2), nn.Dropout(0.5)])


STATE = {
    "layers.0.weight": np.arange(6.0).reshape(2, 3),
    "layers.0.bias": np.ones(2),
    "layers.1.weight": np.ones(2),
    "layers.1.bias": np.zeros(2),
    "layers.1.running_mean": np.zeros(2),
    "layers.1.running_var": np.ones(2),
    "layers.1.num_batches_tracked": np.array(7),
}


def test_from_torch_takes_what_fits_and_says_what_does_not() -> None:
    model = dense()
    nn.from_torch(model, STATE)
    assert model.layers[0].kernel.tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    with pytest.raises(ArgumentError) as caught:
        nn.from_torch(model, {("fc" + k[8:] if k.startswith("layers.0") else k): v for k, v in STATE.items()})
    for words in ("2 missing: layers.0.weight", "2 of no layer: fc.weight", "rename=[(pattern, replacement)"):
        assert words in str(caught.value)
    with pytest.raises(ShapeError, match=r"layers.0.kernel is \[3, 2\], and layers.0.weight is \[2, 4\]"):
        nn.from_torch(model, STATE | {"layers.0.weight": np.zeros((2, 4)), "layers.0.bias": np.zeros(2)})
    assert model.layers[0].bias.tolist() == [1.0, 1.0]  # nothing was assigned
    with pytest.raises(ArgumentError, match=r"gives layers.0.weight and layers.1.weight the same name"):
        nn.from_torch(model, STATE, rename=[(r"layers\.\d", "layers.0")])


def test_from_torch_knows_the_other_layers() -> None:
    depthwise = nn.DepthwiseConv2D(3, depth_multiplier=2, input_size=4)
    w = np.random.default_rng(0).standard_normal((8, 1, 3, 3))
    nn.from_torch(depthwise, {"weight": w, "bias": np.zeros(8)})
    assert depthwise.kernel[1, 2, 3, 1].item() == np.float32(w[7, 0, 1, 2])
    with pytest.raises(ShapeError):
        nn.from_torch(depthwise, {"weight": w[:4], "bias": np.zeros(8)})
    prelu = nn.PReLU(shared_axes=(1, 2), input_size=(4, 4, 3))
    nn.from_torch(prelu, {"weight": np.arange(3.0)})
    assert prelu.alpha.shape == (1, 1, 3)
    table = nn.Embedding(2, 2)
    nn.from_torch(table, {"weight": np.eye(2)})
    assert table(td.asarray([1])).tolist() == [[0.0, 1.0]]
