"""Models that take texts: trained, measured, compiled, and in another process, by the same code as called directly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, BuildError, DTypeError, ShapeError

LOSS = "sparse_categorical_crossentropy"
FOUND = td.datasets.languages()
TRAIN = [pair for pair in FOUND.train if len(pair[0]) <= 60][:400]
TEST = [pair for pair in FOUND.test if len(pair[0]) <= 60][:150]
TEXTS, LABELS = [t for t, _ in TEST], np.array([y for _, y in TEST], np.int32)


def of(pairs: Any) -> Any:
    return td.data.from_arrays([t for t, _ in pairs], np.array([y for _, y in pairs], np.int32))


def model_of(first: Any, *, size: int, head: Any = None) -> Any:
    layers = [first, nn.Embedding(size, 16, mask_zero=True), head or nn.GlobalAveragePooling1D(), nn.Dense(13)]
    return nn.Sequential(layers)


def trained(data: Any, head: Any = None, epochs: int = 2, **options: Any) -> tuple[Any, Any]:
    td.random.set_seed(0)
    layer = td.data.TextVectorization("characters", limit=100, max_tokens=60).adapt(data, 0)
    model = model_of(layer, size=len(layer), head=head)
    history = td.fit(
        model, data.shuffle().batch(50), loss=LOSS, optimizer=td.optim.Adam(0.02), epochs=epochs, metrics=["accuracy"],
        verbose=False, **options,
    )  # fmt: skip
    return model, history


AGAIN = """
import json, sys
import numpy as np
import treadle as td
from treadle import nn
head = nn.GRU(12) if sys.argv[2] == "GRU" else nn.GlobalAveragePooling1D()
layer = td.data.TextVectorization("characters", limit=100, max_tokens=60)
model = nn.Sequential([layer, nn.Embedding(int(sys.argv[3]), 16, mask_zero=True), head, nn.Dense(13)])
td.load(sys.argv[1], model)
texts = json.load(sys.stdin)
print(json.dumps([np.asarray(y).tolist() for y in
    (td.predict(model, texts), td.predict(model, texts, batch_size=7), model(texts), td.compile(model)(texts))]))
"""


@pytest.mark.parametrize("head", ["pooling", "GRU"])
def test_trained_on_texts_saved_and_the_same_in_another_process(head: str, tmp_path: Path) -> None:
    model, history = trained(
        of(TRAIN), nn.GRU(12) if head == "GRU" else None, epochs=6, validation_data=of(TEST).batch(50)
    )
    assert history["loss"][-1] < history["loss"][0]
    common = np.bincount([y for _, y in TRAIN]).argmax()
    assert history["val_accuracy"][-1] > 1.5 * np.mean(common == LABELS)
    measured = td.evaluate(model, of(TEST).batch(32), loss=LOSS, metrics=["accuracy"])
    assert measured["accuracy"] == pytest.approx(history["val_accuracy"][-1])
    want = np.asarray(td.predict(model, TEXTS))
    assert (want.argmax(-1) == LABELS).mean() == pytest.approx(measured["accuracy"])
    td.save(model, tmp_path / "model.safetensors")
    size = str(model.layers[1].input_dim)
    run = subprocess.run(
        [sys.executable, "-c", AGAIN, str(tmp_path / "model.safetensors"), head, size],
        input=json.dumps(TEXTS), capture_output=True, text=True, check=True,
    )  # fmt: skip
    whole, small, eager, compiled = map(np.array, json.loads(run.stdout))
    np.testing.assert_array_equal(whole.astype(np.float32), want)
    for other in (small, eager, compiled):  # batches of other sizes, and NumPy, add up in another order
        np.testing.assert_allclose(other, want, rtol=1e-4, atol=1e-5)


def test_the_same_as_with_numbers_made_before() -> None:
    data = of(TRAIN[:100])
    model, history = trained(data, nn.LSTM(8))
    layer = td.data.TextVectorization("characters", limit=100, max_tokens=60).adapt(data, 0)
    td.random.set_seed(0)
    plain = nn.Sequential(model_of(layer, size=len(layer), head=nn.LSTM(8)).layers[1:])
    numbers = data.shuffle().batch(50).map(lambda e: (layer.batch(e[0]), e[1]))
    other = td.fit(plain, numbers, loss=LOSS, optimizer=td.optim.Adam(0.02), epochs=2, verbose=False)
    assert other.steps == history.steps
    made = layer.batch(TEXTS)
    np.testing.assert_array_equal(np.asarray(td.compile(plain)(*made)), np.asarray(td.compile(model)(*made)))
    np.testing.assert_array_equal(np.asarray(td.compile(model)(*made)), np.asarray(td.compile(model)(TEXTS)))


def test_padding_changes_nothing() -> None:
    """A short text gives the same alone and beside a long one, since the mask goes on."""
    model, _ = trained(of(TRAIN[:100]), nn.LSTM(8), epochs=1)
    short = min(TEXTS, key=len)
    alone, beside = model([short]), model([short, "a" * 55])
    np.testing.assert_allclose(np.asarray(alone)[0], np.asarray(beside)[0], rtol=1e-5, atol=1e-6)
    values, lengths, _ = model.prepare([short, "a" * 55])
    assert values.shape == (2, 60)
    assert lengths.tolist() == [len(short), 55]


def test_from_files_of_each_form(tmp_path: Path) -> None:
    import csv

    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *TRAIN[:100]])
    lines = [json.dumps({"text": t, "label": int(y)}) for t, y in TRAIN[:100]]
    (tmp_path / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    from_csv = td.data.from_csv(tmp_path / "t.csv", x="text", y="label")
    from_jsonl = td.data.from_jsonl(tmp_path / "t.jsonl").map(lambda e: (e["text"], e["label"]))
    want = trained(of(TRAIN[:100]))[1].steps
    assert trained(from_csv)[1].steps == want
    assert trained(from_jsonl)[1].steps == want


def test_arrays_and_lists_of_texts_are_rows() -> None:
    layer = td.data.TextVectorization("characters").adapt(TEXTS)
    model = model_of(layer, size=len(layer))
    for x in (TEXTS, np.array(TEXTS), np.array(TEXTS, object)):
        history = td.fit(model, (x, LABELS), loss=LOSS, optimizer="adam", epochs=1, validation_split=0.2, verbose=False)
        assert len(history.steps) == 4
        assert td.predict(model, x).shape == (150, 13)
    assert td.predict(model, [TEXTS[:3], TEXTS[3:5]]).shape == (5, 13)  # batches


def test_vocabulary_of_categories_and_of_lists_of_words() -> None:
    days = np.array(["mon", "tue", "wed", "thu"] * 10)
    y = (np.arange(40) % 4 * 1.5).astype(np.float32)[:, None]
    layer = td.data.Vocabulary().adapt(td.data.from_arrays(days))
    model = nn.Sequential([layer, nn.Embedding(len(layer), 4), nn.Dense(1)])
    td.fit(model, (days, y), loss="mse", optimizer=td.optim.Adam(0.05), epochs=60, verbose=False)
    np.testing.assert_allclose(np.asarray(td.predict(model, ["mon", "thu"]))[:, 0], [0, 4.5], atol=0.1)
    assert model(np.array([["mon", "tue"], ["wed", "x"]])).shape == (2, 2, 1)
    words = td.data.Vocabulary(["to", "be", "or"])
    ragged = nn.Sequential([words, nn.Embedding(len(words), 4), nn.LSTM(3)])
    assert words.batch([["to", "be"], ["or"]]).lengths.tolist() == [2, 1]
    history = td.fit(
        nn.Sequential([*ragged.layers, nn.Dense(1), nn.Flatten(), lambda x: x[:, 0]]),
        [([["to", "be"], ["or"]], np.array([0.0, 1.0], np.float32))], loss="mse", optimizer="adam", verbose=False,
    )  # fmt: skip
    assert np.isfinite(history.steps).all()


def test_few_shapes_are_compiled() -> None:
    layer = td.data.TextVectorization("characters", max_tokens=50).adapt(TEXTS)
    sizes = {layer.batch(["a" * n]).values.shape[1] for n in range(80)}
    assert sizes == {8, 16, 32, 50}
    model = model_of(layer, size=len(layer))
    f = td.compile(model)
    with td.testing.assert_compiles(4):
        for n in range(1, 80):
            f(["a" * n, "b"])


def test_resumed_inside_of_an_epoch(tmp_path: Path) -> None:
    class Fail(td.train.Callback):
        def on_batch_end(self, context: Any) -> None:
            if context.step == 6:
                raise RuntimeError

    def run(folder: str, **options: Any) -> list[float]:
        checkpoint = td.train.Checkpoint(tmp_path / folder, every_steps=1)
        return trained(of(TRAIN[:200]), checkpoint=checkpoint, **options)[1].steps

    with pytest.raises(RuntimeError):
        run("stopped", callbacks=[Fail()])
    assert run("stopped") == run("whole")


class Two(nn.Module):
    """Texts and numbers."""

    def __init__(self) -> None:
        self.words = td.data.TextVectorization(tokens=["to", "be"])
        self.embedding = nn.Embedding(len(self.words), 4, mask_zero=True)
        self.readout = nn.Dense(1)

    def prepare(self, texts: Any, size: Any) -> Any:
        return self.words.batch(texts).values, size

    def __call__(self, tokens: Any, size: Any) -> Any:
        return self.readout(td.concat([self.embedding(tokens).sum(axis=1), size], axis=1))


def test_a_module_of_ones_own_prepares_its_inputs() -> None:
    texts, size = ["to be", "be", "or"], np.ones((3, 1), np.float32)
    model = Two()
    td.fit(model, ((texts, size), np.ones((3, 1), np.float32)), loss="mse", optimizer="adam", verbose=False)
    want = np.asarray(model(texts, size))
    np.testing.assert_allclose(np.asarray(td.predict(model, (texts, size))), want, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(td.compile(model)(texts, size)), want, rtol=1e-5)
    with td.debug.eager():
        np.testing.assert_allclose(np.asarray(td.compile(model)(texts, size)), want, rtol=1e-5)


def test_a_sequential_in_a_sequential() -> None:
    layer = td.data.TextVectorization(tokens=["to", "be"])
    inner = nn.Sequential([layer, nn.Embedding(len(layer), 4), nn.LSTM(3)])
    outer = nn.Sequential([inner, nn.Dense(2)])
    np.testing.assert_allclose(
        np.asarray(td.predict(outer, ["to be", "be"])), np.asarray(outer(["to be", "be"])), rtol=1e-5
    )


def test_derivatives_of_a_call_with_texts() -> None:
    layer = td.data.TextVectorization(tokens=["to", "be"])
    model = nn.Sequential([layer, nn.Embedding(len(layer), 4), nn.GlobalAveragePooling1D()])
    by_texts = td.grad(lambda model: model(["to be", "be"]).sum())(model)
    made = model.prepare(["to be", "be"])
    by_numbers = td.grad(lambda model: model(*made).sum())(model)
    np.testing.assert_array_equal(
        np.asarray(by_texts["layers.1.embeddings"]), np.asarray(by_numbers["layers.1.embeddings"])
    )


def test_what_cannot_be_is_said() -> None:
    layer = td.data.TextVectorization(tokens=["to", "be"])
    model = nn.Sequential([layer, nn.Embedding(len(layer), 4), nn.GlobalAveragePooling1D(), nn.Dense(1)])
    model(["to be"])
    y = np.zeros((2, 1), np.float32)
    fit = {"optimizer": "adam", "verbose": False}
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: nn.Sequential([nn.Dense(1), layer]), ArgumentError, "layers.1 is a TextVectorization.*first.*Dense"),
        (lambda: model("to be"), ArgumentError, r"a list of them, and got one: write model\(\['to be'\]\)"),
        (lambda: model(["to"], td.asarray([1])), ArgumentError, "lengths beside"),
        (lambda: model([["to", "be"]]), ShapeError, r"TextVectorization takes texts \[batch\].*\[1, 2\]"),
        (lambda: model(["to", 3]), ArgumentError, "takes texts, and there is 3"),
        (lambda: model([b"to"]), ArgumentError, "takes texts, and there is b'to'"),
        (lambda: layer(td.ones(3)), ArgumentError, "got the tensor.*first layer of a Sequential"),
        (lambda: td.data.Vocabulary(["a"])(td.ones(3)), ArgumentError, "Vocabulary takes texts, and got the tensor"),
        (
            lambda: td.compile(lambda model, t: model(t))(model, ["to"]),
            ArgumentError,
            r"while a graph is traced.*model.prepare\(texts\)",
        ),
        (lambda: td.compile(lambda model, t: model(t))(model, np.array(["to"])), DTypeError, "first layer of a"),
        (
            lambda: td.fit(nn.Sequential([nn.Dense(1)]), (["a", "b"], y), loss="mse", **fit),
            DTypeError,
            r"first layer of a td.nn.Sequential.*prepare\(\)",
        ),
        (
            lambda: td.fit(
                nn.Sequential([td.data.TextVectorization(), nn.Embedding(4, 1)]), (["a", "b"], y), loss="mse", **fit
            ),
            BuildError,
            "no list yet: call adapt",
        ),
        (
            lambda: td.fit(model, (["a", "b"], y), step=lambda m, o, b: {"loss": m(b[0]).sum()}, **fit),
            DTypeError,
            "before the graph",
        ),
    ]
    for call, error, words in cases:
        with pytest.raises(error, match=words):
            call()


def test_byte_pairs_at_the_front() -> None:
    pytest.importorskip("tokenizers")
    texts, y = ["low lower", "slow", "lowest of all"], np.zeros((3, 1), np.float32)
    first = td.data.BytePairs(280).adapt(texts)
    model = nn.Sequential([first, nn.Embedding(len(first), 4, mask_zero=True), nn.GRU(3), nn.Dense(1)])
    compiled = td.fit(model, (texts, y), loss="mse", optimizer=td.optim.SGD(0.0), verbose=False).steps
    at_once = td.fit(model, (texts, y), loss="mse", optimizer=td.optim.SGD(0.0), compile=False, verbose=False).steps
    np.testing.assert_allclose(compiled, at_once, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(td.predict(model, texts)), np.asarray(model(texts)), rtol=1e-4, atol=1e-6)


def test_doctor_takes_texts() -> None:
    layer = td.data.TextVectorization("characters", max_tokens=60).adapt(TEXTS)
    model = model_of(layer, size=len(layer))
    by_texts = td.doctor(model, (TEXTS[:16], LABELS[:16]), loss=LOSS, optimizer="adam")
    by_numbers = td.doctor(model, (layer.batch(TEXTS[:16]), LABELS[:16]), loss=LOSS, optimizer="adam")
    assert str(by_texts) == str(by_numbers)
    assert "layers.0" not in str(by_texts)
