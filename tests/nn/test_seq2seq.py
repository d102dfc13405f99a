"""Attention inside of recurrences against its equations, decoders, and a model that learns to reverse words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(0)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def pair() -> tuple[td.Tensor, td.Tensor]:
    return td.asarray(RNG.standard_normal((3, 4))), td.asarray(RNG.standard_normal((3, 6, 5)))


def test_additive_attention() -> None:
    query, memory = pair()
    layer = nn.BahdanauAttention(7, dtype="float64")
    context, weights = layer(query, memory)
    w, u, v = (np.asarray(d.kernel) for d in (layer.query, layer.memory, layer.score))
    scores = np.tanh((query.numpy() @ w)[:, None] + memory.numpy() @ u + np.asarray(layer.memory.bias)) @ v[:, 0]
    np.testing.assert_allclose(weights.numpy(), softmax(scores), rtol=1e-10)
    np.testing.assert_allclose(context.numpy(), np.einsum("bt,btd->bd", softmax(scores), memory.numpy()), rtol=1e-10)


def test_multiplicative_attention() -> None:
    query, memory = pair()
    layer = nn.LuongAttention(dtype="float64")
    _, weights = layer(query, memory)
    scores = np.einsum("bd,btd->bt", query.numpy() @ np.asarray(layer.projection.kernel), memory.numpy())
    np.testing.assert_allclose(weights.numpy(), softmax(scores), rtol=1e-10)
    _, weights = nn.LuongAttention(scale=False)(memory[:, 0], memory)
    np.testing.assert_allclose(
        weights.numpy(), softmax(np.einsum("bd,btd->bt", memory.numpy()[:, 0], memory.numpy())), rtol=1e-10
    )
    with pytest.raises(ShapeError, match="same size; they have 4 and 5"):
        nn.LuongAttention(scale=False)(query, memory)


@pytest.mark.parametrize(
    "make", [lambda: nn.BahdanauAttention(7, dtype="float64"), lambda: nn.LuongAttention(dtype="float64")]
)
def test_attention_to_padded_memories_is_that_to_each_alone(make: Any) -> None:
    query, memory = pair()
    layer, lengths = make(), [6, 0, 2]
    dirty = memory.numpy().copy()
    for k, n in enumerate(lengths):
        dirty[k, n:] = np.nan
    context, weights = layer(query, td.asarray(dirty), lengths=td.asarray(lengths))
    for k in (0, 2):
        alone, w = layer(query[k : k + 1], memory[k : k + 1, : lengths[k]])
        np.testing.assert_allclose(context[k].numpy(), alone[0].numpy(), rtol=1e-12)
        np.testing.assert_allclose(weights[k, : lengths[k]].numpy(), w[0].numpy(), rtol=1e-12)
    assert not context[1].numpy().any()
    g = td.grad(lambda layer: td.sum(layer(query, td.asarray(dirty), lengths=td.asarray(lengths))[0]))(layer)
    assert all(np.isfinite(x.numpy()).all() for x in g.values())


@pytest.mark.parametrize("query", ["before", "after"])
def test_the_attention_cell_s_equations(query: str) -> None:
    inner, attention = nn.LSTMCell(4, dtype="float64"), nn.BahdanauAttention(3, dtype="float64")
    cell = nn.AttentionCell(inner, attention, 5, query, return_weights=True)
    x, (_, memory) = td.asarray(RNG.standard_normal((3, 4, 2))), pair()
    mask = td.arange(6) < td.asarray([6, 3, 1])[:, None]
    y, weights = nn.Recurrent(cell, return_sequences=True)(x, memory=memory, memory_mask=mask)
    state, context = inner.initial_state(3, td.float64), td.zeros((3, 5), dtype=td.float64)
    for t in range(4):
        if query == "before":
            context, w = attention(state[0], memory, mask=mask)
        state, h = inner(state, td.concat([x[:, t], context], axis=-1))
        if query == "after":
            context, w = attention(h, memory, mask=mask)
        np.testing.assert_allclose(y[:, t].numpy(), td.concat([h, context], axis=-1).numpy(), rtol=1e-10)
        np.testing.assert_allclose(weights[:, t].numpy(), w.numpy(), rtol=1e-10)


def decoder(rate: float | None) -> nn.Decoder:
    td.random.set_seed(0)
    return nn.Decoder(nn.Embedding(9, 4), nn.GRUCell(6), nn.Dense(9), rate, seed=1)


def test_scheduled_sampling_replaces_tokens_only_while_training() -> None:
    tokens, state = (
        td.asarray(RNG.integers(0, 9, (5, 8)), dtype=td.int32),
        td.asarray(RNG.standard_normal((5, 6)), dtype=td.float32),
    )
    forced = decoder(None)
    expected = forced(tokens, state, training=True).numpy()
    for rate, training in ((0.5, False), (0.0, True)):
        np.testing.assert_allclose(decoder(rate)(tokens, state, training=training).numpy(), expected, atol=1e-6)
    own = decoder(1.0)
    logits = own(tokens, state, training=True)
    greedy = nn.decoding.greedy(own.step, state, tokens[:, 0], max_steps=8)
    np.testing.assert_array_equal(td.argmax(logits, axis=-1).numpy(), greedy.tokens.numpy())
    own.sampling_rate = 0.0
    run = td.compile(lambda d, tokens, state: d(tokens, state, training=True))
    np.testing.assert_allclose(run(own, tokens, state).numpy(), expected, atol=1e-5)
    own.sampling_rate = 0.5
    mixed = run(own, tokens, state).numpy()
    assert run.traces == 1
    np.testing.assert_allclose(mixed[:, 0], expected[:, 0], atol=1e-5)
    assert not np.allclose(mixed, expected, atol=1e-3)


class Reverser(nn.Module):
    """Reads 1 … 7 and writes it backwards; 0 begins and ends."""

    def __init__(self) -> None:
        self.embedding = nn.Embedding(8, 16)
        self.encoder = nn.Bidirectional(nn.GRU(24, return_sequences=True), merge_mode="concat")
        cell = nn.AttentionCell(nn.GRUCell(32), nn.BahdanauAttention(24), memory_size=48)
        self.decoder = nn.Decoder(nn.Embedding(8, 16), cell, nn.Dense(8))

    def encoded(self, x: td.Tensor, lengths: td.Tensor) -> Any:
        memory = self.encoder(self.embedding(x), lengths=lengths)
        start = self.decoder.cell.initial_state(x.shape[0], td.float32)
        return start, {"memory": memory, "memory_mask": nn.mask_of(lengths, x.shape[1])}

    def __call__(self, x: td.Tensor, lengths: td.Tensor, tokens: td.Tensor) -> td.Tensor:
        start, constants = self.encoded(x, lengths)
        return self.decoder(tokens, start, **constants)


def words(rng: np.random.Generator, count: int) -> Any:
    lengths = rng.integers(1, 6, count).astype(np.int32)
    x, before, after = (np.zeros((count, n), np.int32) for n in (5, 6, 6))
    for k, n in enumerate(lengths):
        x[k, :n] = rng.integers(1, 8, n)
        after[k, :n] = before[k, 1 : n + 1] = x[k, :n][::-1]
    return x, lengths, before, after


@pytest.mark.slow
def test_a_model_learns_to_reverse_and_all_decoders_write() -> None:
    td.random.set_seed(0)
    model, optimizer, rng = Reverser(), td.optim.Adam(1e-2), np.random.default_rng(0)

    @td.compile
    def step(model: Any, optimizer: Any, x: Any, lengths: Any, before: Any, after: Any) -> td.Tensor:
        def loss(model: Any) -> td.Tensor:
            return td.losses.sparse_categorical_crossentropy(model(x, lengths, before), after, lengths=lengths + 1)

        value, gradients = td.value_and_grad(loss)(model)
        optimizer.update(model, gradients)
        return value

    for _ in range(250):
        step(model, optimizer, *map(td.asarray, words(rng, 64)))
    x, lengths, _, after = words(np.random.default_rng(1), 100)

    @td.compile
    def write(model: Any, x: td.Tensor, lengths: td.Tensor) -> Any:
        start, constants = model.encoded(x, lengths)
        first = td.zeros((x.shape[0],), dtype=td.int32)
        options = {"max_steps": 6, "end": 0, "constants": constants}
        return (
            nn.decoding.greedy(model.decoder.step, start, first, **options),
            nn.decoding.beam_search(model.decoder.step, start, first, beams=3, **options),
        )

    greedy, beams = write(model, td.asarray(x), td.asarray(lengths))
    right = (greedy.tokens.numpy() == after).all(1).mean()
    assert right > 0.9
    assert (beams.tokens[:, 0].numpy() == after).all(1).mean() >= right - 0.03


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: nn.AttentionCell(nn.GRUCell(3), nn.LuongAttention(), 4, "during"), ArgumentError, '"before"'),
        (lambda: nn.BahdanauAttention(3)(td.ones((2, 3)), td.ones((2, 3))), ShapeError, "takes a query"),
        (
            lambda: nn.Recurrent(nn.AttentionCell(nn.GRUCell(3), nn.LuongAttention(), 4))(td.ones((2, 3, 4))),
            ArgumentError,
            "call the layer with memory=",
        ),
        (lambda: decoder(1.5), ArgumentError, "from 0 to 1"),
        (lambda: decoder(None)(td.ones((2, 3)), td.ones((2, 6))), ShapeError, r"integers \[batch, time\]"),
    ],
)
def test_mistakes_are_explained(make: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        make()
