"""Sequence to sequence: attention to an encoder's outputs inside of a recurrence, and decoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treadle import array as xp
from treadle import random
from treadle.core.dims import Size, same_size
from treadle.core.dtypes import DType, float32, int32
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.owned import State
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.calls import is_training
from treadle.nn.dense import Dense
from treadle.nn.masking import sequence_mask
from treadle.nn.module import Module
from treadle.nn.recurrent.cells import Cell
from treadle.nn.recurrent.layer import Recurrent
from treadle.nn.spatial import per_axis


class BahdanauAttention(Module):
    """Additive attention: which places of a memory a query looks at, and what it sees there.

        score[t] = v · tanh(query @ W + memory[t] @ U + b)
        weights = softmax(score),   context = Σ weights[t] memory[t]

    query `[batch, q]`, memory `[batch, time, m]` → (context `[batch, m]`, weights `[batch, time]`). A call takes
    `mask` (bool `[batch, time]`) or `lengths`: what is not real has weight 0; of an empty memory the context is 0.

    Args:
        units: size of the hidden layer. dtype: of the parameters.

    Source: Bahdanau, Cho, Bengio, Neural machine translation by jointly learning to align and translate, ICLR 2015.

    >>> context, weights = td.nn.BahdanauAttention(8)(td.ones((2, 4)), td.ones((2, 5, 3)), lengths=td.asarray([5, 2]))
    >>> context.shape, weights[1].tolist()
    ((2, 3), [0.5, 0.5, 0.0, 0.0, 0.0])
    """

    def __init__(self, units: int, *, dtype: Any = "float32") -> None:
        self.units = per_axis("units", units, 1)[0]
        self.query, self.memory = Dense(units, use_bias=False, dtype=dtype), Dense(units, dtype=dtype)
        self.score = Dense(1, use_bias=False, dtype=dtype)

    def __call__(
        self, query: Tensor, memory: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        _check(self, query, memory)
        memory, real = _cleaned(memory, mask, lengths)
        hidden = xp.tanh(xp.expand_dims(self.query(query), axis=1) + self.memory(memory))
        return _look(self.score(hidden)[..., 0], memory, real)


class LuongAttention(Module):
    """Multiplicative attention, `score[t] = query · (memory[t] @ W)`; else as `nn.BahdanauAttention`.

    Args:
        scale: whether there is a W (Luong's "general"); without one ("dot"), query and memory have the same size.
        dtype: of W.

    Source: Luong, Pham, Manning, Effective approaches to attention-based neural machine translation, EMNLP 2015.

    >>> context, weights = td.nn.LuongAttention()(td.ones((2, 4)), td.ones((2, 5, 3)))
    >>> context.shape, weights.shape
    ((2, 3), (2, 5))
    """

    def __init__(self, scale: bool = True, *, dtype: Any = "float32") -> None:
        self.scale = scale
        self.projection: Dense | None = None
        self._dtype = dtype

    def build(self, query: Any, memory: Any) -> None:  # type: ignore[override]
        if self.scale:
            self.projection = Dense(memory.shape[-1], use_bias=False, input_size=query.shape[-1], dtype=self._dtype)

    def __call__(
        self, query: Tensor, memory: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        _check(self, query, memory)
        memory, real = _cleaned(memory, mask, lengths)
        if self.projection is not None:
            query = self.projection(query)
        if not same_size(query.shape[-1], memory.shape[-1]):
            raise ShapeError(
                f"without a matrix, query and memory have the same size; they have {query.shape[-1]} and "
                f"{memory.shape[-1]}. Leave scale=False out"
            )
        return _look((memory @ xp.expand_dims(query, axis=2))[..., 0], memory, real)


def _check(module: Module, query: Tensor, memory: Tensor) -> None:
    if query.ndim != 2 or memory.ndim != 3 or not same_size(query.shape[0], memory.shape[0]):
        raise ShapeError(
            f"{type(module).__name__} takes a query [batch, features] and a memory [batch, time, features], and got "
            f"{show_shape(query.shape)} and {show_shape(memory.shape)}"
        )


def _cleaned(memory: Tensor, mask: Tensor | None, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The memory with zeros where it is not real (NaN in the padding does not matter), and what is."""
    real = sequence_mask(memory, mask, lengths, time_axis=1)
    return memory if real is None else xp.where(xp.expand_dims(real, axis=2), memory, 0), real


def _look(scores: Tensor, memory: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor]:
    if real is None:
        weights = xp.softmax(scores, axis=-1)
    else:
        top = xp.max(xp.where(real, scores, -1e30), axis=-1, keepdims=True)
        powers = xp.where(real, xp.exp(xp.where(real, scores - top, 0)), 0)
        total = xp.sum(powers, axis=-1, keepdims=True)
        weights = powers / xp.where(total > 0, total, 1.0)
    return (xp.expand_dims(weights, axis=1) @ memory)[:, 0], weights


class AttentionCell(Cell):
    """A cell that looks at a memory at each step: `layer(x, state, memory=encoded, memory_mask=mask)`.

    With `query="before"` (Bahdanau): the state before the step asks, and what it sees enters beside x:

        context = attention(h before),   h = cell(concat(x, context)),   y = concat(h, context)

    With `query="after"` (Luong, input feeding): the new state asks, and what it saw last enters beside x:

        h = cell(concat(x, context before)),   context = attention(h),   y = concat(h, context)

    The state is (cell's state, context).

    Args:
        cell: an `nn.Cell` whose state has an output, such as GRUCell or LSTMCell.
        attention: (query, memory, mask=) → (context, weights), such as `nn.BahdanauAttention(64)`.
        memory_size: the features of the memory.
        query: "before" or "after".
        return_weights: y is the pair (y, weights `[batch, time of the memory]`): to draw.

    >>> cell = td.nn.AttentionCell(td.nn.GRUCell(8), td.nn.BahdanauAttention(6), memory_size=5)
    >>> td.nn.Recurrent(cell, return_sequences=True)(td.ones((2, 4, 3)), memory=td.ones((2, 7, 5))).shape
    (2, 4, 13)
    """

    def __init__(
        self,
        cell: Cell,
        attention: Callable[..., tuple[Tensor, Tensor]],
        memory_size: int,
        query: str = "before",
        return_weights: bool = False,
    ) -> None:
        if query not in ("before", "after"):
            raise ArgumentError(f'query is "before" (Bahdanau) or "after" (Luong) the step; got {query!r}')
        self.cell, self.attention, self.query = cell, attention, query
        self.memory_size = per_axis("memory_size", memory_size, 1)[0]
        self.return_weights = return_weights

    def initial_state(self, batch: Size, dtype: DType) -> Any:
        return self.state_from(self.cell.initial_state(batch, dtype), dtype)

    def state_from(self, inner: Any, dtype: DType = float32) -> Any:
        """The state to begin with from the cell's state, an encoder's last one for instance."""
        h = self.cell.output(inner)
        if h is None:
            raise ArgumentError("AttentionCell needs a cell whose state has an output, such as GRUCell or LSTMCell")
        return inner, xp.zeros((h.shape[0], self.memory_size), dtype=dtype)

    def __call__(
        self, state: Any, x: Tensor, memory: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> tuple[Any, Any]:
        if memory is None:
            raise ArgumentError(
                "AttentionCell looks at a memory: call the layer with memory=, `[batch, time, features]`"
            )
        inner, context = state
        if self.query == "before":
            context, weights = self.attention(self.cell.output(inner), memory, mask=memory_mask)
            inner, h = self.cell(inner, xp.concat([x, context], axis=-1))
        else:
            inner, h = self.cell(inner, xp.concat([x, context], axis=-1))
            context, weights = self.attention(h, memory, mask=memory_mask)
        y = xp.concat([h, context], axis=-1)
        return (inner, context), ((y, weights) if self.return_weights else y)


class Decoder(Module):
    """Writes a sequence of tokens: an embedding, a recurrence, and scores of the next token.

    Training knows the right tokens (teacher forcing): `decoder(tokens, state)` gives for each the scores of the next
    one. `decoder.step` writes, in `nn.decoding.greedy`, `sample` and `beam_search`.

    With `sampling_rate` p, while training each token after the first is replaced with probability p by what the model
    itself thinks likeliest: so it learns to go on from its own mistakes. p may be assigned between steps,
    `decoder.sampling_rate = 0.25`: a schedule.

    Args:
        embedding: a layer from tokens `[…]` to features.
        cell: an `nn.Cell`, for instance an AttentionCell.
        readout: a layer from the cell's outputs to `[…, vocabulary]`.
        sampling_rate: None: teacher forcing alone.
        seed: of which tokens are replaced.

    Call: `decoder(tokens, state, lengths=None, mask=None, **constants)`: tokens integers `[batch, time]` → logits
    `[batch, time, vocabulary]`.

    Sources: Sutskever, Vinyals, Le (2014); Bengio et al., Scheduled sampling for sequence prediction, NeurIPS 2015.

    >>> decoder = td.nn.Decoder(td.nn.Embedding(11, 4), td.nn.GRUCell(8), td.nn.Dense(11))
    >>> decoder(td.zeros((2, 5), dtype=td.int32), td.zeros((2, 8))).shape
    (2, 5, 11)
    >>> td.nn.decoding.greedy(decoder.step, td.zeros((2, 8)), td.asarray([1, 1]), max_steps=6).tokens.shape
    (2, 6)
    """

    def __init__(
        self,
        embedding: Callable[[Tensor], Tensor],
        cell: Cell,
        readout: Callable[[Tensor], Tensor],
        sampling_rate: float | None = None,
        seed: int | None = None,
    ) -> None:
        if sampling_rate is not None and not 0 <= sampling_rate <= 1:
            raise ArgumentError(f"sampling_rate is a probability, from 0 to 1; got {sampling_rate!r}")
        self.embedding, self.cell, self.readout = embedding, cell, readout
        self.layer = Recurrent(cell, return_sequences=True)
        if sampling_rate is not None:
            self.sampling_rate = State(xp.asarray(sampling_rate, dtype=float32))
            self.stream = random.Stream(random.default_stream().next_seed() if seed is None else seed)

    def __call__(
        self, tokens: Tensor, state: Any, lengths: Tensor | None = None, mask: Tensor | None = None, **constants: Any
    ) -> Tensor:
        if tokens.ndim != 2 or not tokens.dtype.is_integer:
            raise ShapeError(f"a decoder takes tokens, integers [batch, time], and got {tokens.spec}")
        if not is_training() or not hasattr(self, "sampling_rate"):
            y = self.layer(self.embedding(tokens), state, lengths=lengths, mask=mask, **constants)
            return self.readout(y)
        first = xp.arange(tokens.shape[1]) == 0
        own = xp.logical_and(self.stream.uniform(tokens.shape) < self.sampling_rate, xp.logical_not(first))

        def step(state: Any, item: tuple[Tensor, Tensor]) -> tuple[Any, Tensor]:
            (token, own), (inner, last) = item, state
            inner, logits = self.step(inner, xp.where(own, last, token), **constants)
            return (inner, xp.argmax(logits, axis=-1).astype(int32)), logits

        sampled = Recurrent(step, return_sequences=True)
        made: Tensor = sampled(
            (tokens.astype(int32), own), (state, tokens[:, 0].astype(int32)), lengths=lengths, mask=mask
        )
        return made

    def step(self, state: Any, token: Tensor, **constants: Any) -> tuple[Any, Tensor]:
        """One step, as `nn.decoding` wants it: tokens `[batch]` → the new state, and the next token's logits
        `[batch, vocabulary]`."""
        state, y = self.cell(state, self.embedding(token), **constants)
        return state, self.readout(y)
