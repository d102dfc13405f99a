"""Transformer layers: attention and a feed-forward network, each with a normalisation and a residual connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from treadle import array as xp
from treadle.core.dims import Size
from treadle.core.errors import ArgumentError
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.nn import activations
from treadle.nn.activations import ActivationLike
from treadle.nn.attention.multi_head import Cache, MultiHeadAttention
from treadle.nn.attention.positions import RelativePositionBias, check_sequence
from treadle.nn.dense import Dense
from treadle.nn.dropout import Dropout
from treadle.nn.initializers import InitializerLike
from treadle.nn.masking import sequence_mask
from treadle.nn.module import Module
from treadle.nn.normalization import LayerNormalization, RMSNormalization
from treadle.nn.spatial import per_axis


class FeedForward(Module):
    """Two dense layers, at each time alone: `down(activation(up(x)))`, or gated: `down(activation(gate(x)) * up(x))`.

    With `activation="silu", gated=True` it is SwiGLU, with "gelu" GEGLU. x `[..., in]` → the same.

    Args:
        units: features inside.
        activation: a name or a function.
        gated: whether there is a third kernel, `gate`, whose activation multiplies.
        dropout: of what is inside, while training.
        use_bias, kernel_initializer, bias_initializer, dtype: of the dense layers.
        seed: of the dropout.
        input_size: `in`, to make the parameters at once.

    Source: Shazeer, GLU variants improve transformer, arXiv 2002.05202.

    >>> td.nn.FeedForward(16, "silu", gated=True)(td.ones((2, 3, 4))).shape
    (2, 3, 4)
    """

    down: Dense

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "gelu",
        gated: bool = False,
        dropout: float = 0.0,
        use_bias: bool = True,
        *,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        seed: int | None = None,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.units = per_axis("units", units, 1)[0]
        self.activation = activations.get(activation)
        self._dense: dict[str, Any] = {
            "use_bias": use_bias, "kernel_initializer": kernel_initializer, "bias_initializer": bias_initializer,
            "dtype": dtype,
        }  # fmt: skip
        self.up = Dense(units, input_size=input_size, **self._dense)
        self.gate = Dense(units, input_size=input_size, **self._dense) if gated else None
        self.dropout = Dropout(dropout, seed=seed) if dropout else None
        if input_size is not None:
            self._build_for((1, input_size))

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        self.down = Dense(x.shape[-1], input_size=self.units, **self._dense)  # type: ignore[arg-type]  # Dense checks it

    def __call__(self, x: Tensor) -> Tensor:
        h = self.up(x) if self.gate is None else self.activation(self.gate(x)) * self.up(x)
        if self.gate is None:
            h = self.activation(h)
        return self.down(h if self.dropout is None else self.dropout(h))


_NORMS: dict[str, Any] = {"layer": LayerNormalization, "rms": RMSNormalization}


class _Layer(Module):
    """What both transformer layers consist of: sublayers, each with a norm and a dropout of its own."""

    sees_memory: ClassVar[bool]
    attention: MultiHeadAttention
    feed_forward: FeedForward
    memory_attention: MultiHeadAttention  # where it sees one

    def __init__(
        self,
        num_heads: int,
        intermediate_dim: int,
        dropout: float = 0.0,
        activation: ActivationLike = "gelu",
        norm_first: bool = True,
        *,
        gated: bool = False,
        norm: str = "layer",
        epsilon: float = 1e-5,
        attention_dropout: float | None = None,
        activation_dropout: float | None = None,
        key_dim: int | None = None,
        key_heads: int | None = None,
        positions: str | RelativePositionBias | None = None,
        rotary_base: float = 10000.0,
        method: str = "auto",
        use_bias: bool = True,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        if norm not in _NORMS:
            raise ArgumentError(f'norm is "layer" or "rms"; got {norm!r}')
        self.norm_first = norm_first
        common: dict[str, Any] = {"use_bias": use_bias, "input_size": input_size, "dtype": dtype}
        inner = dropout if attention_dropout is None else attention_dropout
        heads = {**common, "dropout": inner, "key_dim": key_dim, "key_heads": key_heads, "method": method}
        self.attention = MultiHeadAttention(num_heads, positions=positions, rotary_base=rotary_base, **heads)
        self.feed_forward = FeedForward(
            intermediate_dim, activation, gated, dropout if activation_dropout is None else activation_dropout, **common
        )
        sublayers = range(3 if self.sees_memory else 2)
        self.norms: list[Module] = [
            _NORMS[norm](epsilon=epsilon, input_size=input_size, dtype=dtype) for _ in sublayers
        ]
        self.dropouts = [Dropout(dropout) for _ in sublayers] if dropout else []
        if self.sees_memory:
            self.memory_attention = MultiHeadAttention(num_heads, **heads)

    def empty_cache(self, batch: Size, max_length: int, dtype: Any = None) -> Cache:
        """That of the self-attention."""
        return self.attention.empty_cache(batch, max_length, dtype)

    def _run(
        self,
        x: Tensor,
        lengths: Tensor | None,
        mask: Tensor | None,
        cache: Cache | None,
        *between: Callable[[Tensor], Tensor],
        **options: Any,
    ) -> Any:
        """Self-attention with these options, what stands between, and the network."""
        check_sequence(type(self).__name__, x.spec)
        real = sequence_mask(x, mask, lengths, time_axis=1)
        x = _only(real, x)

        def attend(h: Tensor) -> Any:
            return self.attention(h, lengths=lengths, mask=mask, cache=cache, **options)

        x, cache = self._add(0, x, attend)
        for k, sublayer in enumerate((*between, self.feed_forward), 1):
            x, _ = self._add(k, x, sublayer)
        x = _only(real, x)
        return x if cache is None else (x, cache)

    def _add(self, k: int, x: Tensor, sublayer: Any) -> tuple[Tensor, Any]:
        """(x with the sublayer's result, what it returns beside it)"""
        y = sublayer(self.norms[k](x) if self.norm_first else x)
        y, more = y if isinstance(y, tuple) else (y, None)
        x = x + (self.dropouts[k](y) if self.dropouts else y)
        return (x if self.norm_first else self.norms[k](x)), more


class TransformerEncoderLayer(_Layer):
    """Self-attention, then a feed-forward network: x `[batch, time, in]` → the same.

    With `norm_first`, `x + attention(norm(x))` and `x + feed_forward(norm(x))` (trains deep stacks more easily; the
    stack ends with a norm of its own); else `norm(x + attention(x))`, as in the paper. With `causal=True` in the call
    it is a layer of a GPT.

    Args:
        num_heads: of the attention.
        intermediate_dim: features inside of the feed-forward network.
        dropout: of both results, of the attention's weights and inside of the network, while training.
        activation, gated: of `nn.FeedForward`.
        norm_first: before the sublayers instead of behind.
        norm: "layer" or "rms".
        epsilon: of the norms.
        attention_dropout, activation_dropout: of the weights, and inside of the network; `dropout` if None.
        key_dim, key_heads, positions, rotary_base, method: of `nn.MultiHeadAttention`.
        use_bias: of the attention and the network.
        input_size: `in`, to make the parameters at once.
        dtype: of the parameters.

    Call: `layer(x, *, lengths=None, mask=None, attention_mask=None, causal=False, cache=None)`, as of
    `nn.MultiHeadAttention`; with a cache it returns `(y, cache)`. What is not real gives 0.

    Source: Vaswani et al., Attention is all you need (NeurIPS 2017); Xiong et al., On layer normalization in the
    transformer architecture (ICML 2020).

    >>> layer = td.nn.TransformerEncoderLayer(num_heads=2, intermediate_dim=16)
    >>> layer(td.ones((2, 5, 8)), lengths=td.asarray([5, 1])).shape
    (2, 5, 8)
    """

    sees_memory = False

    def __call__(
        self,
        x: Tensor,
        *,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        causal: bool = False,
        cache: Cache | None = None,
    ) -> Any:
        return self._run(x, lengths, mask, cache, attention_mask=attention_mask, causal=causal)


class TransformerDecoderLayer(_Layer):
    """Causal self-attention, attention to an encoder's output, then a feed-forward network.

    Shapes: x `[batch, T, in]`, memory `[batch, S, in2]` → `[batch, T, in]`.

    Args: those of `nn.TransformerEncoderLayer`; `positions` are those of the self-attention.

    Call: `layer(x, memory, *, lengths=None, mask=None, memory_lengths=None, memory_mask=None, attention_mask=None,
    causal=True, cache=None)`. `lengths` and `mask` say what of x is real, the others what of the memory. For
    generation, `memory` may be what `layer.remember(memory, memory_lengths)` has projected once. With a cache it
    returns `(y, cache)`.

    Source: Vaswani et al., Attention is all you need (NeurIPS 2017).

    >>> layer = td.nn.TransformerDecoderLayer(num_heads=2, intermediate_dim=16)
    >>> layer(td.ones((2, 5, 8)), td.ones((2, 7, 8)), memory_lengths=td.asarray([7, 3])).shape
    (2, 5, 8)
    """

    sees_memory = True

    def remember(self, memory: Tensor, memory_lengths: Tensor | None = None) -> Cache:
        """Keys and values of an encoder's output, to be given instead of it."""
        return self.memory_attention.remember(memory, lengths=memory_lengths)

    def __call__(
        self,
        x: Tensor,
        memory: Tensor | Cache,
        *,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        memory_lengths: Tensor | None = None,
        memory_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        causal: bool = True,
        cache: Cache | None = None,
    ) -> Any:
        def look(h: Tensor) -> Tensor:
            if isinstance(memory, Tensor):
                y: Tensor = self.memory_attention(h, memory, lengths=memory_lengths, mask=memory_mask)
                return y
            if memory_lengths is not None or memory_mask is not None:
                raise ArgumentError("a memory that was remembered has its lengths already: remember(memory, lengths)")
            remembered: Tensor = self.memory_attention(h, memory=memory)
            return remembered

        return self._run(x, lengths, mask, cache, look, attention_mask=attention_mask, causal=causal)


def _only(real: Tensor | None, x: Tensor) -> Tensor:
    """x where it is real, 0 elsewhere: then NaN in the padding reaches no gradient."""
    return x if real is None else xp.where(real[:, :, None], x, 0)
