"""Datasets in td.fit: the same as its own arrays, validation, and resuming in the middle of an epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle.data import Dataset

X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
Y = (X @ np.array([[1.0], [2.0], [-1.0]]) + 0.5).astype(np.float32)


def train(data: Any, **options: Any) -> tuple[Any, Any]:
    model = td.nn.Dense(1, kernel_initializer="zeros")
    history = td.fit(model, data, loss="mse", optimizer=td.optim.SGD(0.1), verbose=False, **options)
    return model, history


def chain() -> Any:
    return td.data.from_arrays(X, Y).shuffle(seed=1).batch(8)


def test_batches_of_a_dataset_are_those_of_arrays() -> None:
    a, first = train(td.data.from_arrays(X, Y).batch(8), epochs=3)
    b, second = train((X, Y), batch_size=8, shuffle=False, epochs=3)
    assert first.steps == second.steps
    assert np.array_equal(a.kernel, b.kernel)


def test_epochs_differ_and_validation_is_read_each_time() -> None:
    seen: list[list[float]] = []

    def note(batch: Any) -> Any:
        seen.append(batch[0][:, 0].tolist())
        return batch

    _, history = train(chain().map(note), epochs=2, validation_data=td.data.from_arrays(X, Y).batch(50))
    assert len(history.rows) == 2
    assert history.rows[-1]["val_loss"] < history.rows[0]["val_loss"]
    epochs = [list(itertools.chain(*seen[-14:-7])), list(itertools.chain(*seen[-7:]))]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(X[:, 0].tolist())


class StopError(Exception):
    pass


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("at", [3, 7, 11])
def test_a_stopped_run_goes_on_with_the_very_next_record(stream: bool, at: int, tmp_path: Path) -> None:
    def data() -> Dataset:
        if not stream:
            made: Dataset = chain()
            return made

        def rows() -> Iterator[Any]:
            return iter(list(zip(X, Y, strict=True)))

        return td.data.from_generator(rows).shuffle(seed=1, buffer=20).batch(8)

    whole, _ = train(data(), epochs=2)

    def stop(context: Any) -> None:
        if context.step == at:
            raise StopError

    callback = td.train.LambdaCallback(on_batch_end=stop)
    checkpoint = td.train.Checkpoint(tmp_path, every_steps=2)
    with pytest.raises(StopError):
        train(data(), epochs=2, checkpoint=checkpoint, callbacks=[callback])
    resumed, history = train(data(), epochs=2, checkpoint=checkpoint)
    assert np.array_equal(whole.kernel, resumed.kernel)
    assert len(history.steps) == 14


class Bag(td.nn.Module):
    """The mean of a sequence's embeddings."""

    def __init__(self) -> None:
        self.embedding, self.dense = td.nn.Embedding(10, 4), td.nn.Dense(1)

    def __call__(self, values: Any, lengths: Any, mask: Any) -> Any:
        x = td.where(mask[..., None], self.embedding(values), 0.0)
        return self.dense(td.sum(x, axis=1) / lengths.astype(td.float32)[:, None])


def test_a_padded_batch_is_the_arguments_of_the_model() -> None:
    rng = np.random.default_rng(0)
    tokens = [rng.integers(0, 10, n).astype(np.int32) for n in rng.integers(1, 9, 64)]
    share = np.array([[np.mean(t < 5)] for t in tokens], np.float32)
    ds = td.data.from_arrays(tokens, share).shuffle().padded_batch(16, multiple=4, ragged=[0])
    model = Bag()
    history = td.fit(model, ds, loss="mse", optimizer=td.optim.Adam(0.1), epochs=40, verbose=False)
    assert history["loss"][-1] < 1e-3
    # The same whatever stands behind the ends, and however far the batch is padded.
    wide = td.data.from_arrays(tokens, share).padded_batch(64, pad=9, to=20, ragged=[0])[0]
    assert td.evaluate(model, [wide], loss="mse")["loss"] < 1e-3
