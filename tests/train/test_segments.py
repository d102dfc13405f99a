"""Truncated back-propagation in fit, and sequences that begin and end at different times: against loops, and
resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, DataError, ShapeError

quiet = {"verbose": False}


def model() -> nn.Sequential:
    td.random.set_seed(0)
    return nn.Sequential([nn.GRU(5, return_sequences=True, stateful=True), nn.Dense(1)])


def data(rows: int = 4, time: int = 10) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, time, 2)).astype(np.float32), rng.standard_normal((rows, time, 1)).astype(
        np.float32
    )


def test_fit_in_segments_equals_the_loop_written_out() -> None:
    x, y = data()
    fitted, by_hand = (model().init(td.Spec((4, 4, 2), td.float32)) for _ in range(2))
    history = td.fit(
        fitted, (x, y), loss="mse", optimizer=td.optim.SGD(0.1), epochs=2, batch_size=4, shuffle=False, tbptt=4, **quiet
    )
    optimizer, losses = td.optim.SGD(0.1), []
    for _ in range(2):
        state = td.zeros((4, 5))
        for start in (0, 4, 8):
            piece = slice(start, start + 4)

            def loss(m: Any, state: Any = state, piece: slice = piece) -> Any:
                h, inner = [], state
                for t in range(*piece.indices(10)):
                    inner, out = m.layers[0].cell(inner, td.asarray(x[:, t]))
                    h.append(out)
                return td.losses.mse(m.layers[1](td.stack(h, axis=1)), td.asarray(y[:, piece])), inner

            (value, state), gradients = td.value_and_grad(loss, has_aux=True)(by_hand)
            losses.append(value.item())
            state = td.asarray(state.numpy())
            optimizer.update(by_hand, gradients)
    np.testing.assert_allclose(history.steps, losses, rtol=1e-4)
    for name, w in by_hand.parameters().items():
        np.testing.assert_allclose(fitted.parameters()[name].numpy(), w.numpy(), atol=1e-5)


def test_a_smaller_last_batch_and_validation_work() -> None:
    x, y = data(5, 9)
    m = model()
    history = td.fit(
        m,
        (x, y),
        loss="mse",
        optimizer=td.optim.Adam(0.02),
        epochs=3,
        batch_size=2,
        tbptt=4,
        validation_data=(x, y),
        **quiet,
    )
    assert len(history.steps) == 3 * 3 * 3
    found = td.evaluate(m, (x, y), loss="mse", batch_size=5, tbptt=9)
    np.testing.assert_allclose(history.rows[-1]["val_loss"], found["loss"], rtol=1e-4)
    plain = nn.Sequential([nn.GRU(5, return_sequences=True), nn.Dense(1)]).init(td.Spec((5, 9, 2), td.float32))
    plain.assign(m.parameters())
    np.testing.assert_allclose(td.evaluate(plain, (x, y), loss="mse")["loss"], found["loss"], rtol=1e-4)


def test_fit_says_where_the_gradient_ends(capsys: pytest.CaptureFixture[str]) -> None:
    td.fit(model(), data(), loss="mse", optimizer="sgd", tbptt=5, verbose="lines")
    assert (
        "Segments of 5 steps; the state goes on from one to the next, the gradient does not." in capsys.readouterr().out
    )


def songs(lengths: Any, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [
        (rng.standard_normal((n, 2)).astype(np.float32), rng.standard_normal((n, 1)).astype(np.float32))
        for n in lengths
    ]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    rows=st.integers(1, 4),
    segment=st.integers(1, 5),
    shuffle=st.booleans(),
)
def test_all_steps_come_once_in_order_and_any_position_resumes(
    lengths: Any, rows: int, segment: int, shuffle: bool
) -> None:
    given_ = songs(lengths)

    def make() -> td.data.SegmentedSequences:
        return td.data.SegmentedSequences(given_, batch_size=rows, segment=segment, shuffle=shuffle, seed=3)

    batches = make()
    list(batches)  # an epoch before
    found: dict[int, list[Any]] = {}
    states, seen, before = [], [], [-1] * rows
    for batch in batches:
        seen.append(batch)
        states.append(batches.state())
        for k, sequence in enumerate(batch.ids.tolist()):
            assert batch.reset[k] == (sequence >= 0 and before[k] != sequence)
            n = batch.x.lengths[k]
            assert (n > 0) == (sequence >= 0)
            if sequence >= 0:
                found.setdefault(sequence, []).append(batch.x.values[k, :n])
            before[k] = sequence
    assert sorted(found) == list(range(len(lengths)))
    for k, parts in found.items():
        np.testing.assert_array_equal(np.concatenate(parts), given_[k][0])
    for at, state in enumerate(states):
        other = make()
        other.restore(state)
        rest = list(other)
        assert len(rest) == len(seen) - at - 1
        for a, b in zip(rest, seen[at + 1 :], strict=True):
            np.testing.assert_array_equal(a.x.values, b.x.values)
            np.testing.assert_array_equal(a.reset, b.reset)


def test_each_row_s_state_is_carried_and_reset_by_itself() -> None:
    given_ = songs([7, 2, 5, 3])
    m = model()
    outputs: dict[int, list[Any]] = {}
    for batch in td.data.SegmentedSequences(given_, batch_size=2, segment=3, shuffle=False):
        if m.layers[0].is_built:
            nn.reset_states(m, batch.reset)
        y = m(td.asarray(batch.x.values), batch.x.lengths).numpy()
        for k, sequence in enumerate(batch.ids.tolist()):
            if sequence >= 0:
                outputs.setdefault(sequence, []).append(y[k, : batch.x.lengths[k]])
    plain = nn.Sequential([nn.GRU(5, return_sequences=True), nn.Dense(1)]).init(td.Spec((1, 9, 2), td.float32))
    plain.assign(m.parameters())
    for k, parts in outputs.items():
        np.testing.assert_allclose(np.concatenate(parts), plain(td.asarray(given_[k][0])[None])[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", ["arrays", "sequences"])
def test_a_run_stopped_between_segments_resumes_bit_by_bit(kind: str, tmp_path: Path) -> None:
    x, y = data(6, 10)

    def run(folder: Path | None, stop: int | None) -> tuple[Any, Any]:
        source: Any = (x, y)
        options: dict[str, Any] = {"batch_size": 3, "tbptt": 4}
        if kind == "sequences":
            source = td.data.SegmentedSequences(songs([7, 2, 5, 9, 4]), batch_size=2, segment=3, seed=1)
            options = {}
        m = model()

        class Stop(td.train.Callback):
            def on_batch_end(self, context: Any) -> None:
                if context.step == stop:
                    raise KeyboardInterrupt

        checkpoint = None if folder is None else td.train.Checkpoint(folder, every_steps=1)
        try:
            history = td.fit(
                m, source, loss="mse", optimizer=td.optim.Adam(0.01), epochs=3, checkpoint=checkpoint,
                callbacks=[Stop()], **options, **quiet,
            )  # fmt: skip
        except KeyboardInterrupt:
            return None, None
        return m, history

    whole, history = run(None, None)
    assert run(tmp_path / "run", 5) == (None, None)
    resumed, again = run(tmp_path / "run", None)
    assert again.steps == history.steps
    for name, w in whole.variables().items():
        np.testing.assert_array_equal(resumed.variables()[name].numpy(), w.numpy())


@pytest.mark.parametrize("kind", ["generator", "dataset", "list"])
def test_batches_of_an_iterable_are_cut_and_none_is_lost(kind: str) -> None:
    x, y = data(6, 8)
    cut = [(x[k : k + 2], y[k : k + 2]) for k in (0, 2, 4)]
    source: Any = cut
    if kind == "generator":
        source = iter(cut)
    if kind == "dataset":
        source = td.data.from_items([{"x": a, "y": b} for a, b in zip(x, y, strict=True)]).batch(2)
    options: Any = {"loss": "mse", "verbose": False, "tbptt": 4}
    first, second = (model().init(td.Spec((2, 4, 2), td.float32)) for _ in range(2))
    second.assign(first.parameters())
    history = td.fit(first, source, optimizer=td.optim.SGD(0.1), **options)
    expected = td.fit(second, (x, y), optimizer=td.optim.SGD(0.1), batch_size=2, shuffle=False, **options)
    np.testing.assert_allclose(history.steps, expected.steps, rtol=1e-5)
    assert len(history.steps) == 6


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: fit(nn.Sequential([nn.GRU(2, return_sequences=True)]), 4), ArgumentError, "stateful=True"),
        (lambda: fit(model(), 0), ArgumentError, "at least 1"),
        (
            lambda: td.fit(
                nn.GRU(2, return_sequences=True),
                td.data.SegmentedSequences(songs([3]), batch_size=1, segment=2),
                loss="mse",
                optimizer="sgd",
            ),
            ArgumentError,
            "data are segments of longer sequences",
        ),
        (lambda: fit(model(), 4, y=np.zeros((4, 1))), ShapeError, "targets for each step"),
        (lambda: td.data.SegmentedSequences([], batch_size=1, segment=1), ArgumentError, "no sequences"),
        (lambda: td.data.SegmentedSequences(songs([3]), batch_size=0, segment=1), ArgumentError, "batch_size must be"),
        (lambda: td.data.SegmentedSequences([songs([3])], batch_size=1, segment=1), DataError, r"must be \(x, y\)"),
        (lambda: td.data.SegmentedSequences(songs([0]), batch_size=1, segment=1), ShapeError, "at least one"),
    ],
)
def test_mistakes_are_explained(make: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def fit(m: Any, steps: int, y: Any = None) -> Any:
    return td.fit(m, (data()[0], data()[1] if y is None else y), loss="mse", optimizer="sgd", tbptt=steps, **quiet)
