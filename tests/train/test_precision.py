"""Mixed precision: what is bfloat16 and what float32, how near it comes to float32, and what is refused."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import treadle as td
from tests.nn.catalog import LAYERS, Entry
from treadle import nn
from treadle.core.errors import ArgumentError
from treadle.train import steps

DATA = td.datasets.digits()


def convnet() -> nn.Sequential:
    return nn.Sequential(
        [
            nn.Conv2D(8, 3, padding="same"),
            nn.BatchNormalization(momentum=0.9),
            nn.ReLU(),
            nn.MaxPooling2D(2),
            nn.Flatten(),
            nn.Dense(10),
        ]
    )


def train(precision: str, **options: Any) -> tuple[nn.Module, Any]:
    td.random.set_seed(0)
    model = convnet()
    history = td.fit(
        model, DATA.train, loss="sparse_categorical_crossentropy", optimizer=td.optim.Adam(1e-2), verbose=False,
        metrics=["accuracy"], validation_data=DATA.test, precision=precision, **options,
    )  # fmt: skip
    return model, history


def test_training_on_digits_agrees_with_float32() -> None:
    """Stated in docs/howto/images.md: the first losses within 2 %, the accuracy after 4 epochs within 2 points."""
    (_, single), (_, mixed) = train("float32", epochs=4), train("mixed_bfloat16", epochs=4)
    np.testing.assert_allclose(mixed.steps[:5], single.steps[:5], rtol=0.02)
    assert mixed.steps[:5] != single.steps[:5]
    assert abs(mixed.rows[-1]["val_accuracy"] - single.rows[-1]["val_accuracy"]) < 0.02
    assert mixed.rows[-1]["val_accuracy"] > 0.93


def test_what_is_kept_is_float32(tmp_path: Any) -> None:
    model, _ = train("mixed_bfloat16", epochs=1)
    assert {v.dtype for v in model.variables().values()} == {td.float32}
    saved = td.load(td.save(model, tmp_path / "m.safetensors"))
    assert {v.dtype for v in saved.values()} == {td.float32}
    # Not the numbers of bfloat16: steps smaller than its resolution add up.
    kernel = model.layers[0].kernel.numpy()
    assert (kernel != kernel.astype(ml_dtypes.bfloat16).astype(np.float32)).any()


def test_products_are_bfloat16_and_statistics_losses_and_gradients_float32() -> None:
    model = convnet().init((4, 8, 8, 1))

    def loss(model: nn.Module, x: td.Tensor) -> td.Tensor:
        with nn.autocast("bfloat16"):
            y = model(x, training=True)
        assert y.dtype is td.bfloat16
        return td.sum(y.astype(td.float32) ** 2)

    x = td.asarray(DATA.x_train[:4])
    graph = td.graph(loss)(model, x)
    products = [n for n in graph.nodes if n.primitive.name in ("conv", "contract")]
    assert [v.spec.dtype for n in products for v in (*n.inputs, *n.outputs)] == [td.bfloat16] * 6
    sums = [n for n in graph.nodes if n.primitive.name == "sum"]
    assert sums
    assert {v.spec.dtype for n in sums for v in n.inputs} == {td.float32}
    gradients = td.grad(loss)(model, x)
    assert {g.dtype for g in gradients.values()} == {td.float32}
    assert model.layers[1].moving_mean.dtype is td.float32


MULTIPLYING = [e for e in LAYERS if e.dtype and e.integers is None]


@pytest.mark.parametrize("entry", MULTIPLYING, ids=str)
def test_every_layer_stays_near_float32(entry: Entry) -> None:
    layer, x = entry.layer(), entry.input()
    expected = layer(x)
    with nn.autocast():
        y = layer(x)
    assert y.dtype in (td.bfloat16, td.float32)
    scale = float(td.max(td.abs(expected)).item())
    np.testing.assert_allclose(
        y.numpy().astype(np.float64), expected.numpy(), rtol=0.05, atol=0.05 * scale
    )  # bfloat16 has 8 bits, and sums of up to 100 rounded products follow
    half = x.astype(td.bfloat16)  # as after a layer that multiplied
    with nn.autocast():
        again = layer(half)
    np.testing.assert_allclose(again.numpy().astype(np.float64), expected.numpy(), rtol=0.05, atol=0.05 * scale)


def test_a_compiled_function_is_traced_for_each_precision() -> None:
    layer = nn.Dense(3, input_size=4)
    f = td.compile(lambda layer, x: layer(x))
    x = td.ones((2, 4))
    assert f(layer, x).dtype is td.float32
    with nn.autocast():
        assert f(layer, x).dtype is td.bfloat16
        with nn.autocast("float32"):
            assert f(layer, x).dtype is td.float32
    assert f(layer, x).dtype is td.float32
    assert f.traces == 2


def test_float64_layers_stay_float64() -> None:
    layer = nn.Dense(3, input_size=4, dtype="float64")
    with nn.autocast():
        assert layer(td.ones((2, 4), dtype=td.float64)).dtype is td.float64


def test_autocast_ends_with_an_error() -> None:
    with pytest.raises(ZeroDivisionError), nn.autocast():
        raise ZeroDivisionError
    assert nn.Dense(2)(td.ones((1, 2))).dtype is td.float32


@pytest.mark.parametrize("dtype", [td.bfloat16, td.float16])
def test_softmax_of_sixteen_bits_sums_in_float32(dtype: Any) -> None:
    x = td.zeros((1, 4096), dtype=dtype)  # in bfloat16 a sum of ones stops at 256
    for f in (td.softmax, td.compile(td.softmax)):
        np.testing.assert_allclose(f(x).numpy().astype(np.float64), 1 / 4096, rtol=1e-3)
    np.testing.assert_allclose(td.log_softmax(x).numpy().astype(np.float64), -np.log(4096), rtol=0.004)


def test_predictions_reach_metrics_and_losses_of_trees_in_float32() -> None:
    seen = []

    def loss(prediction: Any, target: td.Tensor) -> td.Tensor:
        seen.append(prediction[0].dtype)
        return td.mean((prediction[0] - target) ** 2)

    class Two(nn.Module):
        def __init__(self) -> None:
            self.dense = nn.Dense(1)

        def __call__(self, x: td.Tensor) -> tuple[td.Tensor, td.Tensor]:
            return self.dense(x), td.argmax(x, axis=-1)

    td.fit(Two(), (np.ones((4, 2)), np.ones((4, 1))), loss=loss, optimizer="sgd", precision="mixed_bfloat16",
           verbose=False)  # fmt: skip
    assert seen == [td.float32]


def test_it_is_said_once_that_products_are_float32(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_said", [])
    for _ in range(2):
        td.fit(nn.Dense(1), (np.ones((4, 2)), np.ones((4, 1))), loss="mse", optimizer="sgd", verbose="lines",
               precision="mixed_bfloat16")  # fmt: skip
    assert capsys.readouterr().out.count("multiplied as float32") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "bfloat16"}, ["no precision='bfloat16'", "mixed_bfloat16"]),
        ({"precision": "half"}, ["no precision='half'"]),
        (
            {"precision": "mixed_bfloat16", "loss": None, "step": lambda m, o, b: {}},
            ["in a step of your own", 'with td.nn.autocast("bfloat16")'],
        ),
        ({"precision": "mixed_float16", "loss": None, "step": lambda m, o, b: {}}, ["and td.optim.LossScale"]),
    ],
)
def test_refused(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ArgumentError) as caught:
        td.fit(nn.Dense(1), (np.ones((4, 2)), np.ones((4, 1))), **({"loss": "mse", "optimizer": "sgd"} | options))
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_autocast_refuses_other_dtypes() -> None:
    with pytest.raises(ArgumentError, match="float16 or float32; got float64"), nn.autocast("float64"):
        pass


def test_recurrences_stay_float32_also_behind_layers_that_multiply_in_bfloat16() -> None:
    tokens = td.asarray([[1, 2, 3]])
    decoder = nn.Decoder(nn.Embedding(7, 4), nn.GRUCell(3), nn.Dense(7))
    model = nn.Sequential([nn.Dense(4), nn.LSTM(3, return_sequences=True), nn.Dense(2)])
    with nn.autocast():
        assert decoder(tokens, td.zeros((1, 3))).dtype in (td.float32, td.bfloat16)
        x = model(td.ones((2, 5, 3)))
    assert x.dtype is td.bfloat16


# float16, with a scaled loss


def test_training_in_float16_agrees_with_float32() -> None:
    (_, single), (model, mixed) = train("float32", epochs=3), train("mixed_float16", epochs=3)
    np.testing.assert_allclose(mixed.steps[:5], single.steps[:5], rtol=0.005)
    assert mixed.steps[:5] != single.steps[:5]
    assert abs(mixed.rows[-1]["val_accuracy"] - single.rows[-1]["val_accuracy"]) < 0.02
    assert mixed.rows[-1]["loss_scale"] == 2.0 ** (15 - mixed.skipped)  # too few steps for it to grow
    assert {v.dtype for v in model.variables().values()} == {td.float32}


class Deep(nn.Module):
    """Two products in a row: the gradient between them is float16."""

    def __init__(self) -> None:
        self.one, self.two = nn.Dense(1, use_bias=False, input_size=1), nn.Dense(1, use_bias=False, input_size=1)
        self.one.assign({"kernel": [[1.0]]})
        self.two.assign({"kernel": [[1.0]]})

    def __call__(self, x: td.Tensor) -> td.Tensor:
        return self.two(self.one(x))


def small_loss(prediction: td.Tensor, target: td.Tensor) -> td.Tensor:
    return td.mean(prediction) * 1e-9  # its gradient is 0 in float16


@pytest.mark.parametrize("compiled", [False, True])
def test_small_gradients_survive_the_scale(compiled: bool) -> None:
    model = Deep()
    history = td.fit(
        model, (np.ones((4, 1)), np.ones((4, 1))), loss=small_loss, optimizer=td.optim.SGD(1e6), verbose=False,
        precision="mixed_float16", compile=compiled,
    )  # fmt: skip
    assert history.skipped == 0
    np.testing.assert_allclose(model.one.kernel.item(), 1 - 1e-3, rtol=1e-5)  # 1e-9 * 32768 has 5 bits less than 11
    np.testing.assert_allclose(model.two.kernel.item(), 1 - 1e-3, rtol=1e-5)
    with nn.autocast("float16"):
        g = td.grad(lambda m: small_loss(m(td.ones((4, 1))).astype(td.float32), None))(model)
    assert g["one.kernel"].item() == 0  # without it they do not


def steep_loss(prediction: td.Tensor, target: td.Tensor) -> td.Tensor:
    return td.mean(prediction) * 100.0  # times 32768: more than 65504


@pytest.mark.parametrize("compiled", [False, True])
def test_steps_that_overflow_are_left_out_and_the_scale_is_halved(compiled: bool) -> None:
    model, optimizer = Deep(), td.optim.Adam(0.125)
    history = td.fit(
        model, (np.ones((4, 1)), np.ones((4, 1))), loss=steep_loss, optimizer=optimizer, epochs=7, verbose=False,
        precision="mixed_float16", compile=compiled,
    )  # fmt: skip
    # 100 * 2**15, 2**14, … > 65504, until 100 * 2**9 = 51200: six halvings
    assert history.skipped == 6
    assert history.rows[-1]["loss_scale"] == 2.0**9
    assert int(optimizer.step) == 1  # not those that were left out
    assert history.steps[:7] == [100.0] * 7
    np.testing.assert_allclose(model.one.kernel.item(), 0.875, rtol=1e-5)  # Adam's first step is its learning rate


def test_clipping_sees_unscaled_gradients_and_the_scale_grows() -> None:
    model = Deep()
    scale = td.optim.LossScale(8.0, interval=2)
    optimizer = td.optim.SGD(1.0, clip=td.optim.clip_by_value(0.5))
    for _ in range(4):
        gradients = {"one.kernel": td.asarray([[2.0]]), "two.kernel": td.asarray([[80.0]])}
        assert scale.update(model, optimizer, gradients).item()
    assert scale.scale.item() == 32.0
    # 2 / 8 twice, 2 / 16 twice; the other one clipped each time
    np.testing.assert_allclose([model.one.kernel.item(), model.two.kernel.item()], [1 - 0.75, 1 - 2.0])


def test_the_scale_stays_between_one_and_its_largest() -> None:
    model, optimizer = Deep(), td.optim.SGD(1.0)
    zero = {"one.kernel": td.asarray([[0.0]]), "two.kernel": td.asarray([[0.0]])}
    for initial, bad, expected in ((2.0**24, 0.0, 2.0**24), (1.0, float("nan"), 1.0)):
        scale = td.optim.LossScale(initial, interval=1)
        scale.update(model, optimizer, zero | {"one.kernel": td.asarray([[bad]])})
        assert scale.scale.item() == expected


def test_what_is_not_finite_at_the_smallest_scale_is_told() -> None:
    def bad_gradient(prediction: td.Tensor, target: td.Tensor) -> td.Tensor:
        return td.sqrt(td.mean(prediction) * 0.0)  # finite, its derivative is not

    with pytest.raises(td.errors.NonFiniteError):
        td.fit(
            Deep(), (np.ones((4, 1)), np.ones((4, 1))), loss=bad_gradient, optimizer="sgd", epochs=40, verbose=False,
            precision="mixed_float16",
        )  # fmt: skip


def test_a_run_in_float16_goes_on_with_its_scale(tmp_path: Any) -> None:
    def run(folder: str, epochs: int) -> tuple[Any, Any]:
        model = Deep()
        history = td.fit(
            model, (np.ones((8, 1)), np.ones((8, 1))), loss=steep_loss, optimizer=td.optim.Adam(0.1), epochs=epochs,
            batch_size=4, verbose=False, precision="mixed_float16", checkpoint=tmp_path / folder,
        )  # fmt: skip
        return model, history

    whole, once = run("whole", 5)
    run("parted", 2)
    parted, twice = run("parted", 5)
    assert [r["loss_scale"] for r in twice.rows] == [r["loss_scale"] for r in once.rows]
    assert (twice.steps, twice.skipped) == (once.steps, once.skipped)
    assert parted.one.kernel.item() == whole.one.kernel.item()


@pytest.mark.parametrize("options", [{"initial": 0.5}, {"initial": 2.0**30}, {"factor": 1.0}, {"interval": 0}])
def test_a_loss_scale_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="LossScale"):
        td.optim.LossScale(**options)
