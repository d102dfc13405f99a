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
        ({"precision": "mixed_float16"}, ["65504", "unless the loss is scaled", "precision='mixed_bfloat16'"]),
        ({"precision": "bfloat16"}, ["no precision='bfloat16'", "mixed_bfloat16"]),
        ({"precision": "half"}, ["no precision='half'"]),
        (
            {"precision": "mixed_bfloat16", "loss": None, "step": lambda m, o, b: {}},
            ["in a step of your own", 'with td.nn.autocast("bfloat16")'],
        ),
    ],
)
def test_refused(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ArgumentError) as caught:
        td.fit(nn.Dense(1), (np.ones((4, 2)), np.ones((4, 1))), **({"loss": "mse", "optimizer": "sgd"} | options))
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_autocast_refuses_other_dtypes() -> None:
    for dtype, words in (("float16", "65504"), ("float64", "bfloat16 or float32; got float64")):
        with pytest.raises(ArgumentError, match=words), nn.autocast(dtype):
            pass


def test_recurrences_stay_float32_also_behind_layers_that_multiply_in_bfloat16() -> None:
    tokens = td.asarray([[1, 2, 3]])
    decoder = nn.Decoder(nn.Embedding(7, 4), nn.GRUCell(3), nn.Dense(7))
    model = nn.Sequential([nn.Dense(4), nn.LSTM(3, return_sequences=True), nn.Dense(2)])
    with nn.autocast():
        assert decoder(tokens, td.zeros((1, 3))).dtype in (td.float32, td.bfloat16)
        x = model(td.ones((2, 5, 3)))
    assert x.dtype is td.bfloat16
