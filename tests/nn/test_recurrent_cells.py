"""ConvLSTM against its equations in NumPy; cells around cells, and attention inside a recurrence, against loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(0)


def sequences(*shape: int) -> td.Tensor:
    return td.asarray(np.random.default_rng(1).standard_normal(shape))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int, same: bool) -> np.ndarray:
    """[batch, height, width, channels] with [a, b, channels, filters]: the definition, place by place."""
    a, b = kernel.shape[:2]
    if same:
        x = np.pad(x, ((0, 0), ((a - 1) // 2, a // 2), ((b - 1) // 2, b // 2), (0, 0)))
    rows, columns = (x.shape[1] - a) // stride + 1, (x.shape[2] - b) // stride + 1
    out = np.zeros((len(x), rows, columns, kernel.shape[3]))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i * stride : i * stride + a, j * stride : j * stride + b]
            out[:, i, j] = np.tensordot(window, kernel, 3)
    return out


@pytest.mark.parametrize(("stride", "padding"), [(1, "same"), (2, "valid")])
def test_conv_lstm_equations(stride: int, padding: str) -> None:
    layer = nn.ConvLSTM2D(
        2, (3, 2), stride, padding, return_sequences=True, return_state=True, bias_initializer="random_normal",
        dtype="float64",
    )  # fmt: skip
    x = sequences(2, 3, 6, 5, 2)
    y, (h, c) = layer(x)
    kernel, recurrent, bias = nn.recurrent.to_keras(layer)
    assert kernel.shape == (3, 2, 2, 8)
    assert recurrent.shape == (3, 2, 2, 8)
    hidden = memory = np.zeros(h.shape)
    for t in range(3):
        z = convolved(x.numpy()[:, t], kernel, stride, padding == "same") + convolved(hidden, recurrent, 1, True) + bias
        i, f, g, o = np.split(z, 4, axis=-1)
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(memory)
        np.testing.assert_allclose(y[:, t].numpy(), hidden, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(c.numpy(), memory, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(h.numpy(), hidden, rtol=1e-9, atol=1e-12)


def test_conv_lstm_takes_lengths_goes_backwards_and_takes_channels_first() -> None:
    x, n = sequences(3, 4, 5, 5, 2), td.asarray([4, 0, 2])
    last = nn.ConvLSTM2D(3, 3, padding="same", dtype="float64", go_backwards=True)
    y = last(x, lengths=n)
    np.testing.assert_allclose(y[2:].numpy(), last(x[2:, :2]).numpy(), rtol=1e-12)
    assert not np.any(y[1].numpy())
    first = nn.ConvLSTM2D(
        3, 3, padding="same", data_format="channels_first", dtype="float64", go_backwards=True, input_size=2
    )
    nn.recurrent.from_keras(first, nn.recurrent.to_keras(last))
    np.testing.assert_allclose(
        first(td.moveaxis(x, -1, 2), lengths=n).numpy(), td.moveaxis(y, -1, 1).numpy(), rtol=1e-10, atol=1e-14
    )


def test_conv_lstm_is_stateful_stacked_bidirectional_and_dropped() -> None:
    x = sequences(2, 4, 5, 5, 2)
    layer = nn.ConvLSTM2D(3, 3, padding="same", dtype="float64", stateful=True, return_sequences=True)
    parts = td.concat([layer(x[:, :1]), layer(x[:, 1:])], axis=1)
    layer.reset_states()
    np.testing.assert_allclose(parts.numpy(), layer(x).numpy(), rtol=1e-12)
    stack = nn.StackedCells([nn.ConvLSTMCell(2, 3, 3, 2), nn.ConvLSTMCell(2, 4, 2)])
    assert nn.Recurrent(stack, return_sequences=True)(x).shape == (2, 4, 1, 1, 4)
    both = nn.Bidirectional(nn.ConvLSTM2D(3, 3, padding="same", return_sequences=True))
    assert both(x).shape == (2, 4, 5, 5, 6)
    dropping = nn.ConvLSTM2D(3, 3, padding="same", recurrent_dropout=0.5, dropout=0.2, seed=0)
    assert not np.array_equal(dropping(x, training=True).numpy(), dropping(x, training=True).numpy())


def test_a_residual_cell_adds_its_input() -> None:
    x = sequences(2, 4, 3)
    inner = nn.GRU(3, return_sequences=True, dtype="float64")
    expected = inner(x).numpy() + x.numpy()
    residual = nn.Recurrent(nn.ResidualCell(inner.cell), return_sequences=True)
    np.testing.assert_allclose(residual(x).numpy(), expected, rtol=1e-12)


def test_feedback_brings_the_last_output_back() -> None:
    x, readout, cell = sequences(2, 4, 3), nn.Dense(2, dtype="float64"), nn.LSTMCell(5, dtype="float64")
    y = nn.Recurrent(nn.FeedbackCell(cell, 2, readout), return_sequences=True)(x)
    state, last = cell.initial_state(2, td.float64), td.zeros((2, 2), dtype=td.float64)
    for t in range(4):
        state, h = cell(state, td.concat([x[:, t], last], axis=-1))
        last = readout(h)
        np.testing.assert_allclose(y[:, t].numpy(), last.numpy(), rtol=1e-12)


def test_clocks_step_when_they_are_due_and_see_the_slower_ones() -> None:
    x, n = sequences(2, 7, 3), [7, 5]
    fast, slow = nn.GRUCell(2, dtype="float64"), nn.LSTMCell(3, dtype="float64")
    cell = nn.ClockedCells([fast, slow], [1, 3])
    layer = nn.Recurrent(cell, return_sequences=True, return_state=True)
    y, (count, _, _) = layer(x, lengths=n)
    assert count.tolist() == n
    h, (state, held) = fast.initial_state(2, td.float64), (slow.initial_state(2, td.float64), None)
    for t in range(5):
        if t % 3 == 0:
            state, held = slow(state, x[:, t])
        h, _ = fast(h, td.concat([x[:, t], held], axis=-1))
        np.testing.assert_allclose(y[:, t].numpy(), td.concat([h, held], axis=-1).numpy(), rtol=1e-12)


def test_attention_inside_of_a_recurrence_takes_a_few_lines() -> None:
    class Reader(nn.Cell):
        def __init__(self) -> None:
            self.rnn = nn.GRUCell(4, dtype="float64")

        def initial_state(self, batch: Any, dtype: Any) -> Any:
            return self.rnn.initial_state(batch, dtype)

        def __call__(self, state: Any, x: td.Tensor, memory: td.Tensor) -> Any:
            weights = td.softmax((memory @ state[:, :, None])[..., 0], axis=-1)
            return self.rnn(state, td.concat([x, (weights[:, None] @ memory)[:, 0]], axis=-1))

    x, memory = sequences(2, 5, 3), sequences(2, 6, 4)
    layer = nn.Recurrent(Reader(), return_sequences=True)
    y = td.compile(lambda layer, x, memory: layer(x, memory=memory))(layer, x, memory)
    h = np.zeros((2, 4))
    for t in range(5):
        scores = np.einsum("btd,bd->bt", memory.numpy(), h)
        weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        context = np.einsum("bt,btd->bd", weights, memory.numpy())
        h = layer.cell.rnn(td.asarray(h), td.asarray(np.concatenate([x.numpy()[:, t], context], 1)))[1].numpy()
        np.testing.assert_allclose(y[:, t].numpy(), h, rtol=1e-9)
    gradients = td.grad(lambda layer, m: td.sum(layer(x, memory=m)), argnums=(0, 1))(layer, memory)
    assert all(np.abs(g.numpy()).max() > 0 for g in (*gradients[0].values(), gradients[1]))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: nn.ConvLSTM2D(2, 3)(td.ones((2, 3, 4, 4))), ShapeError, r"\[batch, time, and 4 axes|3 more axes"),
        (lambda: nn.ConvLSTM2D(2, 7)(td.ones((2, 3, 4, 4, 1))), ShapeError, "nothing is left of height"),
        (lambda: nn.ConvLSTMCell(4, 2, 3), ArgumentError, "1 to 3"),
        (lambda: nn.Recurrent(nn.ResidualCell(nn.GRUCell(4)))(td.ones((2, 3, 5))), ShapeError, "residual connection"),
        (lambda: nn.Recurrent(nn.FeedbackCell(nn.GRUCell(4), 2))(td.ones((2, 3, 5))), ShapeError, "outputs=2"),
        (lambda: nn.ClockedCells([nn.GRUCell(4)], [0]), ArgumentError, "periods of at least 1"),
        (
            lambda: nn.Recurrent(nn.ResidualCell(nn.GRUCell(4)), recurrent_dropout=0.5)(
                td.ones((2, 3, 4)), training=True
            ),
            ArgumentError,
            "takes recurrent_mask",
        ),
    ],
)
def test_mistakes_are_explained(make: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        make()
