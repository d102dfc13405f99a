"""`GPT`: a language model of causal transformer layers, and text out of it, token by token."""

from __future__ import annotations

from typing import Any

from treadle import array as xp
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn import decoding
from treadle.nn.attention import Cache, LearnedPositions, TransformerEncoderLayer
from treadle.nn.dense import Dense
from treadle.nn.dropout import Dropout
from treadle.nn.embedding import Embedding
from treadle.nn.initializers import RandomNormal
from treadle.nn.masking import check_lengths, real_of
from treadle.nn.module import Module
from treadle.nn.normalization import LayerNormalization, RMSNormalization
from treadle.transforms import compile as compiled


class GPT(Module):
    """The scores of each next token: tokens `[batch, time]` of integers → logits `[batch, time, vocabulary_size]`.

    Layers of causal attention and a network for each place, normalisation first, with a norm at the end. The defaults
    are GPT-2's; `positions="rotary", norm="rms", gated=True, activation="silu", use_bias=False` are Llama's.

    Args:
        vocabulary_size: how many tokens there are.
        width: features of a place; a multiple of heads.
        depth, heads: number of layers, and of heads in each.
        max_length: the longest text.
        intermediate_dim: features inside of each network; `4 * width` if None.
        dropout: of embeddings, attention and networks, while training.
        positions: "learned", or "rotary" or "alibi" in each layer.
        tied: whether the logits are products with the tokens' embeddings, instead of a kernel of their own.
        key_heads, activation, gated, norm, use_bias: of `nn.TransformerEncoderLayer`.
        dtype: of the parameters.

    Call: `model(tokens, lengths=None, mask=None)`: lengths `[batch]` say where texts end, or a mask `[batch, time]`
    what is real (the rest gets logits of no meaning).

    Sources: Radford et al., Language models are unsupervised multitask learners (2019); Touvron et al., Llama, arXiv
    2302.13971.

    >>> model = td.nn.models.GPT(vocabulary_size=50, width=16, depth=2, heads=2, max_length=32)
    >>> model(td.asarray([[3, 1, 4, 1]])).shape
    (1, 4, 50)
    >>> model.generate(td.asarray([[3, 1, 4, 1]]), max_steps=5).tokens.shape
    (1, 5)
    """

    def __init__(
        self,
        vocabulary_size: int,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        max_length: int = 256,
        *,
        intermediate_dim: int | None = None,
        dropout: float = 0.0,
        positions: str = "learned",
        tied: bool = True,
        key_heads: int | None = None,
        activation: str = "gelu",
        gated: bool = False,
        norm: str = "layer",
        use_bias: bool = True,
        dtype: Any = "float32",
    ) -> None:
        if positions not in ("learned", "rotary", "alibi"):
            raise ArgumentError(f'positions is "learned", "rotary" or "alibi"; got {positions!r}')
        small = RandomNormal(stddev=0.02)
        self.max_length = max_length
        self.tokens = Embedding(vocabulary_size, width, small, dtype=dtype)
        learned = positions == "learned"
        self.positions = LearnedPositions(max_length, small, input_size=width, dtype=dtype) if learned else None
        self.dropout = Dropout(dropout) if dropout else None
        self.layers = [
            TransformerEncoderLayer(
                heads, 4 * width if intermediate_dim is None else intermediate_dim, dropout, activation,
                gated=gated, norm=norm, key_heads=key_heads, positions=None if learned else positions,
                use_bias=use_bias, input_size=width, dtype=dtype,
            )
            for _ in range(depth)
        ]  # fmt: skip
        self.norm = (RMSNormalization if norm == "rms" else LayerNormalization)(
            epsilon=1e-5, input_size=width, dtype=dtype
        )
        self.head = None if tied else Dense(vocabulary_size, use_bias=False, input_size=width, dtype=dtype)

    def __call__(self, tokens: Tensor, lengths: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        time = tokens.shape[1] if tokens.ndim == 2 else None
        if isinstance(time, int) and time > self.max_length:
            raise ShapeError(
                f"tokens {show_shape(tokens.shape)} are longer than max_length={self.max_length}; cut the texts, or "
                "make the model with a larger one"
            )
        return self._run(tokens, None, mask=real_of(tokens, lengths, mask))[0]

    def prompt(
        self, tokens: Tensor, lengths: Tensor | None = None, *, room: int | None = None
    ) -> tuple[list[Cache], Tensor]:
        """(state, last token) after which `step` goes on: what `nn.decoding` begins with.

        Args:
            tokens: `[batch, time]`, one token at least.
            lengths: `[batch]`, where each text ends, 1 at least; at the last token if None.
            room: how many places the state has, `max_length` if None; a step costs as much as it has.
        """
        if tokens.ndim != 2 or (isinstance(tokens.shape[1], int) and tokens.shape[1] < 1):
            raise ShapeError(f"a prompt is tokens [batch, time], one at least, and not {show_shape(tokens.shape)}")
        if lengths is None:
            before = xp.full((tokens.shape[0],), tokens.shape[1] - 1, dtype="int32")
        else:
            before = xp.maximum(check_lengths(lengths, tokens.shape[1]).astype("int32") - 1, 0)
        size = self.max_length if room is None else room
        state = [layer.empty_cache(tokens.shape[0], size) for layer in self.layers]
        state = self._run(tokens, state, lengths=before)[1]
        return state, xp.take_along_axis(tokens, before[:, None], axis=1)[:, 0]

    def step(self, state: list[Cache], token: Tensor) -> tuple[list[Cache], Tensor]:
        """One more token `[batch]`: (state, logits `[batch, vocabulary_size]` of the one after it)."""
        logits, state = self._run(token[:, None], state)
        return state, logits[:, 0]

    def generate(
        self,
        prompt: Tensor,
        max_steps: int,
        *,
        lengths: Tensor | None = None,
        key: Tensor | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        end: int | None = None,
    ) -> decoding.Decoded:
        """The tokens that follow a prompt, `nn.decoding.Decoded`; one compiled loop with cached keys and values.

        Args:
            prompt: `[batch, time]`, of any lengths `[batch]`, 1 at least.
            max_steps: how many tokens at most; with the prompt not more than `max_length`.
            key: draws tokens by their probability, with `temperature`, `top_k` and `top_p` of `nn.decoding.sample`;
                None takes the likeliest.
            end: the token that ends a text.

        Raises:
            ShapeError: more than `max_length`.
        """
        time = prompt.shape[1] if prompt.ndim == 2 else None
        if isinstance(time, int) and time + max_steps > self.max_length:
            raise ShapeError(
                f"a prompt {show_shape(prompt.shape)} and {max_steps} tokens more are longer than "
                f"max_length={self.max_length}; give the prompt's end alone, prompt[:, -n:], or fewer steps"
            )
        if key is None and (temperature != 1 or top_k is not None or top_p is not None):
            raise ArgumentError("temperature, top_k and top_p are for drawing; give key=td.random.key(seed)")
        filters = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        made: decoding.Decoded = _generate(self, prompt, lengths, key, max_steps, end, filters)
        return made

    def _run(
        self,
        tokens: Tensor,
        state: list[Cache] | None,
        *,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, list[Cache]]:
        x = self.tokens(tokens)
        if self.positions is not None:
            x = self.positions(x, 0 if state is None else state[0]["length"])
        if self.dropout is not None:
            x = self.dropout(x)
        after = []
        for k, layer in enumerate(self.layers):
            if state is None:
                x = layer(x, mask=mask, causal=True)
            else:
                x, cache = layer(x, lengths=lengths, cache=state[k])
                after.append(cache)
        x = self.norm(x)
        return x @ xp.matrix_transpose(self.tokens.embeddings) if self.head is None else self.head(x), after


@compiled
def _generate(
    model: GPT,
    prompt: Tensor,
    lengths: Tensor | None,
    key: Tensor | None,
    max_steps: int,
    end: int | None,
    filters: dict[str, Any],
) -> Any:
    time = prompt.shape[1]
    state, token = model.prompt(prompt, lengths, room=time + max_steps if isinstance(time, int) else None)
    if key is None:
        return decoding.greedy(model.step, state, token, max_steps=max_steps, end=end)
    return decoding.sample(model.step, state, token, key=key, max_steps=max_steps, end=end, **filters)
