"""Lengths are a contract: layers, models, losses, metrics and fit take them alike, and padding never counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, OutOfRangeError, ShapeError

LOSSES = [n for n in td.losses.__all__ if n != "ctc"]


def tagger() -> nn.Sequential:
    td.random.set_seed(0)
    return nn.Sequential([nn.Embedding(9, 4), nn.Bidirectional(nn.GRU(3, return_sequences=True)), td.tanh, nn.Dense(2)])


def classifier() -> nn.Sequential:
    td.random.set_seed(0)
    return nn.Sequential(
        [nn.Embedding(9, 4), nn.LSTM(3, return_sequences=True), nn.GlobalAveragePooling1D(), nn.Dense(2)]
    )


def ragged(lengths: Any, seed: int = 0) -> td.data.Padded:
    rng = np.random.default_rng(seed)
    return nn.pad_sequences([rng.integers(1, 9, n).astype(np.int32) for n in lengths])


@settings(max_examples=10, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4).filter(lambda n: max(n) > 0))
@pytest.mark.parametrize("make", [tagger, classifier])
def test_a_model_gives_each_sequence_what_it_gives_it_alone(make: Any, lengths: list[int]) -> None:
    model, x = make(), ragged(lengths)
    y = model(x)
    values = y.values if make is tagger else y
    for other in (model(x.values, x.lengths), model(x.values, mask=x.mask), model(*x)):
        np.testing.assert_array_equal(other.numpy(), values.numpy())
    for k, n in enumerate(lengths):
        if n:
            alone = model(x.values[k : k + 1, :n])[0]
            np.testing.assert_allclose(
                (values[k, :n] if make is tagger else values[k]).numpy(), alone.numpy(), atol=1e-6
            )


def test_a_convolution_in_between_loses_the_lengths_and_says_so() -> None:
    model = nn.Sequential([nn.Conv1D(4, 3), nn.GRU(3)])
    with pytest.raises(ShapeError, match=r"layers\.1 \(GRU\) needs to know.*layers\.0 \(Conv1D\) made \[2, 5, 4\]"):
        model(td.ones((2, 7, 3)), lengths=[7, 3])
    assert nn.Sequential([nn.Conv1D(4, 3, padding="same"), nn.GRU(3)])(td.ones((2, 7, 3)), lengths=[7, 3]).shape == (
        2,
        3,
    )


def test_batch_normalization_counts_only_what_is_real() -> None:
    rng = np.random.default_rng(0)
    x, n = rng.standard_normal((3, 5, 2)).astype(np.float32), [5, 0, 2]
    layer = nn.BatchNormalization(momentum=0.0)
    layer(td.asarray(x), lengths=td.asarray(n), training=True)
    real = np.concatenate([x[0], x[2, :2]])
    np.testing.assert_allclose(layer.moving_mean.numpy(), real.mean(0), rtol=1e-5)
    first = nn.BatchNormalization(axis=1, momentum=0.0)
    first(td.asarray(np.moveaxis(x, 2, 1)), lengths=td.asarray(n), training=True)
    np.testing.assert_allclose(first.moving_variance.numpy(), real.var(0), rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_take_lengths_and_padded_targets(name: str) -> None:
    loss, rng = getattr(td.losses, name), np.random.default_rng(0)
    p, t = rng.uniform(0.1, 1, (2, 4, 3)).astype(np.float32), rng.uniform(0.1, 1, (2, 4, 3)).astype(np.float32)
    if name == "sparse_categorical_crossentropy":
        t = rng.integers(0, 3, (2, 4))
    p[1, 2:] = np.nan
    mask = np.arange(4) < np.array([4, 2])[:, None]
    expected = loss(p, t, mask=mask).item()
    assert np.isfinite(expected)
    assert loss(p, t, lengths=np.array([4, 2])).item() == expected
    assert loss(td.data.Padded(p, np.array([4, 2]), mask), td.data.Padded(t, np.array([4, 2]), mask)).item() == expected
    with pytest.raises(ArgumentError, match="not both"):
        loss(p, t, lengths=[4, 2], mask=mask)
    with pytest.raises(ShapeError, match="one for each sequence"):
        loss(p, t, lengths=[4, 2, 1])


def test_metrics_take_lengths_masks_and_padded_targets() -> None:
    target, prediction = np.array([[1, 0, 1], [1, 1, 1]]), np.array([[0.9, 0.1, 0.1], [0.9, 0.1, 0.1]])
    mask = np.array([[True, True, True], [True, False, False]])
    results = []
    for options in ({"lengths": [3, 1]}, {"mask": mask}, {"weights": mask}):
        metric = td.train.metrics.as_metrics(["mae"])[0]
        metric.update(prediction, target, **options)
        results.append(metric.result())
    metric.reset()
    metric.update(prediction, td.data.Padded(target, np.array([3, 1]), mask))
    np.testing.assert_allclose([*results, metric.result()], 0.3)
    with pytest.raises(ShapeError, match="lengths"):
        metric.update(prediction, target, lengths=[1])


def test_fit_on_padded_batches_counts_real_steps() -> None:
    x = ragged([5, 2, 4, 1, 3, 5], seed=1)
    rows = [x.values.numpy()[k, :n] for k, n in enumerate(x.lengths.tolist())]
    items = [{"x": r, "y": (r > 4).astype(np.int32)} for r in rows]
    batches = td.data.from_items(items).padded_batch(4, ragged=("x", "y"))
    model = tagger()
    history = td.fit(
        model, batches, loss="sparse_categorical_crossentropy", optimizer=td.optim.Adam(0.05), epochs=20,
        metrics=["accuracy"], verbose=False,
    )  # fmt: skip
    assert history.rows[-1]["accuracy"] > 0.9
    found = td.evaluate(model, batches, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    losses = [
        td.losses.sparse_categorical_crossentropy(
            model(td.asarray(r)[None])[0], td.asarray((r > 4).astype(np.int32))
        ).item()
        for r in rows
    ]
    np.testing.assert_allclose(found["loss"], np.average(losses, weights=[len(r) for r in rows]), rtol=1e-4)


X = td.ones((2, 5, 4))
TAKERS: dict[str, Any] = {
    "mask_of": lambda n: nn.mask_of(n, 5),
    "recurrent": lambda n: nn.GRU(3)(X, lengths=n),
    "bidirectional": lambda n: nn.Bidirectional(nn.GRU(3))(X, lengths=n),
    "linear recurrence": lambda n: nn.LinearRecurrent(nn.MinGRUCell(3))(X, lengths=n),
    "attention": lambda n: nn.MultiHeadAttention(2)(X, lengths=n),
    "attention to another": lambda n: nn.MultiHeadAttention(2)(X, X + 1, lengths=n),
    "encoder layer": lambda n: nn.TransformerEncoderLayer(2, 8)(X, lengths=n),
    "decoder layer": lambda n: nn.TransformerDecoderLayer(2, 8)(X, X, memory_lengths=n),
    "remember": lambda n: nn.MultiHeadAttention(2, input_size=4).remember(X, lengths=n),
    "dot product": lambda n: nn.scaled_dot_product_attention(*[td.reshape(X, (2, 5, 2, 2))] * 3, lengths=n),
    "pooling": lambda n: nn.GlobalMaxPooling1D()(X, lengths=n),
    "batch normalization": lambda n: nn.BatchNormalization()(X, lengths=n),
    "sequential": lambda n: nn.Sequential([nn.GRU(3)])(X, n),
    "loss": lambda n: td.losses.mse(X, X, lengths=n),
    "ctc": lambda n: td.losses.ctc(X, td.ones((2, 3), dtype=td.int32), lengths=n),
    "ctc_greedy": lambda n: nn.decoding.ctc_greedy(X, lengths=n),
    "ctc_beam_search": lambda n: nn.decoding.ctc_beam_search(X, lengths=n),
    "unpad": lambda n: nn.unpad_sequences(X, n),
    "metric": lambda n: td.train.metrics.MSE().update(X, X, lengths=n),
    "gpt": lambda n: nn.models.GPT(9, 8, 1, 2, 5)(td.ones((2, 5), dtype=td.int32), n),
    "gpt's prompt": lambda n: nn.models.GPT(9, 8, 1, 2, 5).prompt(td.ones((2, 5), dtype=td.int32), n),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_lengths_beyond_the_padding_are_an_error(taker: str, dtype: str) -> None:
    TAKERS[taker](np.array([5, 3], dtype))
    with pytest.raises(OutOfRangeError, match=r"lengths\[1\] is 9, and the sequences are padded to 5 steps"):
        TAKERS[taker](np.array([5, 9], dtype))
    if dtype == "int64":
        with pytest.raises(OutOfRangeError, match=r"lengths\[0\] is -1"):
            TAKERS[taker](np.array([-1, 5]))


def test_labels_longer_than_their_padding_and_pieces_of_a_cache() -> None:
    labels = td.ones((2, 3), dtype=td.int32)
    with pytest.raises(OutOfRangeError, match=r"target_lengths\[0\] is 4"):
        td.losses.ctc(X, labels, target_lengths=[4, 1])
    layer = nn.MultiHeadAttention(2, input_size=4)
    with pytest.raises(OutOfRangeError, match=r"lengths\[1\] is 6"):
        layer(X, lengths=[1, 6], cache=layer.empty_cache(2, 8))


def test_in_compiled_code_lengths_outside_count_as_the_nearest_possible() -> None:
    f = td.compile(lambda n: nn.mask_of(n, 3))
    assert f(td.asarray([9, -2])).tolist() == [[True] * 3, [False] * 3]
    layer = nn.MultiHeadAttention(2, input_size=4)
    run = td.compile(lambda layer, x, n: layer(x, lengths=n, cache=layer.empty_cache(2, 8))[1]["length"])
    assert run(layer, X, td.asarray([9, 2])).tolist() == [5, 2]
    ctc = td.compile(lambda n: td.losses.ctc(X, td.ones((2, 3), dtype=td.int32), lengths=n, target_lengths=n))
    expected = td.losses.ctc(X, td.ones((2, 3), dtype=td.int32), lengths=[5, 2], target_lengths=[3, 2])
    np.testing.assert_allclose(ctc(td.asarray([9, 2])).item(), expected.item(), rtol=1e-6)
