"""`MultiHeadAttention`: attention with learned projections, many heads, positions and a cache."""

from __future__ import annotations

from typing import Any, TypedDict

from treadle import array as xp
from treadle import random
from treadle.core.dims import Size, same_size
from treadle.core.dtypes import as_dtype
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import initializers
from treadle.nn.attention.dot_product import attention_weights, scaled_dot_product_attention
from treadle.nn.attention.positions import RelativePositionBias, alibi, check_sequence, positions_from, rotary
from treadle.nn.calls import is_training
from treadle.nn.dense import Dense
from treadle.nn.initializers import InitializerLike
from treadle.nn.masking import check_lengths, sequence_mask
from treadle.nn.module import Module
from treadle.nn.spatial import per_axis
from treadle.ops.index import scatter


class Cache(TypedDict):
    """Keys and values so far: a tree of tensors, which a loop carries.

    key `[batch, max_length, key heads, D]`, value `[batch, max_length, key heads, E]`, length int32 `[batch]`.
    """

    key: Tensor
    value: Tensor
    length: Tensor


class MultiHeadAttention(Module):
    """Attention of several heads: `output(attention(query(x), key(z), value(z)))`, each of the four an `nn.Dense`.

    Shapes: query x `[batch, T, in]`, value (and key) z `[batch, S, in2]` → `[batch, T, output_dim]`. Without a value, x
    attends to itself. Kernels: `query` `[in, H * D]`, `key` `[in2, K * D]`, `value` `[in2, K * E]`, `output`
    `[H * E, output_dim]`.

    Args:
        num_heads: H.
        key_dim: D, features of queries and keys a head; `in / H` if None.
        value_dim: E, of values a head; D if None.
        dropout: of the weights, while training.
        use_bias: whether the four have biases.
        output_dim: `in` if None.
        key_heads: K: heads of keys and values, each shared by H / K query heads (1: multi-query); H if None.
        positions: None; "rotary" turns queries and keys (`nn.rotary`); "alibi" subtracts what grows with distance; or
            an `nn.RelativePositionBias`, which may be shared.
        rotary_base: of "rotary".
        kernel_initializer, bias_initializer: of the four.
        method: of `nn.scaled_dot_product_attention`.
        seed: of the dropout's random stream.
        input_size: `in` and `in2`, to make the parameters at once.
        dtype: of the parameters.

    Call: `layer(query, value=None, key=None, *, lengths=None, mask=None, attention_mask=None, causal=False, cache=None,
    memory=None, return_weights=False)`.

        lengths: integers `[batch]`, 0 allowed: how much of the value (and of x, which attends to itself) is real.
        mask: bool `[batch, S]`, instead of lengths: what is real.
        attention_mask: bool, True for what a query sees: `[T, S]`, `[batch, T, S]` or `[batch, H | 1, T, S]`.
        causal: nothing sees what comes after it.
        memory: what `layer.remember(value)` returned, instead of the value.
        return_weights: return `(y, weights)` (with a cache `(y, cache, weights)`): after the softmax, before dropout,
            `[batch, H, T, S]`, float32 or wider. They are T × S numbers a head, whatever the method.
        cache: keys and values so far, of `layer.empty_cache(batch, max_length)`. x comes behind them and sees them, and
            itself causally; the call returns `(y, cache)`. With `lengths`, only so much of x is kept.

    What attends to itself and is not real gives 0; nothing real depends on it, whatever it holds.

    Raises (at a call):
        ShapeError: shapes that do not fit; more time than a cache has room for.
        ArgumentError: what cannot be combined.
        OutOfRangeError: the cache is full (inside of a compiled function, after the run); a length above S or below 0.

    Sources: Vaswani et al., Attention is all you need (NeurIPS 2017); Shazeer, Fast transformer decoding, arXiv
    1911.02150 (multi-query); Ainslie et al., GQA (EMNLP 2023).

    >>> layer = td.nn.MultiHeadAttention(num_heads=2)
    >>> layer(td.ones((3, 5, 8)), lengths=td.asarray([5, 2, 0])).shape
    (3, 5, 8)
    >>> cache = layer.empty_cache(batch=3, max_length=10)
    >>> y, cache = layer(td.ones((3, 1, 8)), cache=cache)
    >>> y.shape, cache["length"].tolist()
    ((3, 1, 8), [1, 1, 1])
    """

    query: Dense
    key: Dense
    value: Dense
    output: Dense

    def __init__(
        self,
        num_heads: int,
        key_dim: int | None = None,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_dim: int | None = None,
        *,
        key_heads: int | None = None,
        positions: str | RelativePositionBias | None = None,
        rotary_base: float = 10000.0,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        method: str = "auto",
        seed: int | None = None,
        input_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        self.num_heads = per_axis("num_heads", num_heads, 1)[0]
        self.key_heads = self.num_heads if key_heads is None else per_axis("key_heads", key_heads, 1)[0]
        if self.num_heads % self.key_heads:
            raise ArgumentError(
                f"{self.num_heads} heads do not share {self.key_heads} key heads evenly; key_heads must divide "
                "num_heads"
            )
        self.key_dim, self.value_dim, self.output_dim = key_dim, value_dim, output_dim
        if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
            raise ArgumentError(f"dropout is the probability to drop a weight, from 0 to less than 1; got {dropout!r}")
        if not (positions in (None, "rotary", "alibi") or isinstance(positions, RelativePositionBias)):
            raise ArgumentError(
                f'positions is None, "rotary", "alibi" or an nn.RelativePositionBias; got {positions!r}'
            )
        if isinstance(positions, RelativePositionBias) and positions.heads != self.num_heads:
            raise ArgumentError(f"the RelativePositionBias has {positions.heads} heads, and the layer {self.num_heads}")
        self.positions, self.rotary_base, self.method = positions, rotary_base, method
        self.dropout, self.use_bias = float(dropout), use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.dtype = as_dtype(dtype)
        if dropout:
            self.stream = random.Stream(random.default_stream().next_seed() if seed is None else seed)
        self._input_size = input_size
        if input_size is not None:
            self._build_for((1, 1, input_size))

    def build(self, query: Spec) -> None:  # type: ignore[override]  # the others make their own kernels
        check_sequence("MultiHeadAttention", query)
        width = query.shape[-1]
        if self.key_dim is None:
            if not isinstance(width, int) or width % self.num_heads:
                raise ShapeError(
                    f"{width} features do not divide among {self.num_heads} heads; give key_dim=, the features "
                    "of a head"
                )
            self.key_dim = width // self.num_heads
        value_dim = self.key_dim if self.value_dim is None else self.value_dim
        self.value_dim = value_dim
        if self.positions == "rotary" and self.key_dim % 2:
            raise ArgumentError(f"rotary positions turn pairs of features, and key_dim is {self.key_dim}")

        def dense(units: Any, size: int | None) -> Dense:
            return Dense(
                units, None, self.use_bias, self.kernel_initializer, self.bias_initializer,
                input_size=None if self._input_size is None else size, dtype=self.dtype,
            )  # fmt: skip

        self.query = dense(self.num_heads * self.key_dim, self._input_size)
        self.key = dense(self.key_heads * self.key_dim, self._input_size)
        self.value = dense(self.key_heads * value_dim, self._input_size)
        self.output = dense(width if self.output_dim is None else self.output_dim, self.num_heads * value_dim)

    def empty_cache(self, batch: Size, max_length: int, dtype: Any = None) -> Cache:
        """Room for the keys and values of `max_length` times.

        Args:
            dtype: of them; the parameters' if None.

        Raises:
            BuildError: the layer has not been called yet, and its sizes are not known.
        """
        kind = self.dtype if dtype is None else as_dtype(dtype)
        sizes = (self.key.units // self.key_heads, self.value.units // self.key_heads)
        key, value = (xp.zeros((batch, max_length, self.key_heads, n), dtype=kind) for n in sizes)
        return {"key": key, "value": value, "length": xp.zeros((batch,), dtype="int32")}

    def remember(self, value: Tensor, key: Tensor | None = None, lengths: Tensor | None = None) -> Cache:
        """Keys and values of what queries will attend to again and again (an encoder's output), projected once.

        Call `layer(x, memory=layer.remember(z))` for `layer(x, z)`.
        """
        z = value if key is None else key
        k, v = self._heads(self.key(z), self.key_heads), self._heads(self.value(value), self.key_heads)
        if self.positions == "rotary":
            k = rotary(k, base=self.rotary_base)
        full = xp.full((z.shape[0],), z.shape[1], dtype="int32")
        full = full if lengths is None else check_lengths(lengths, z.shape[1]).astype("int32")
        return {"key": k, "value": v, "length": full}

    def __call__(
        self,
        query: Tensor,
        value: Tensor | None = None,
        key: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        causal: bool = False,
        cache: Cache | None = None,
        memory: Cache | None = None,
        return_weights: bool = False,
    ) -> Any:
        alone = value is None and key is None and memory is None
        lengths = None if lengths is None else xp.asarray(lengths)
        mask = None if mask is None else xp.asarray(mask)
        attention_mask = None if attention_mask is None else xp.asarray(attention_mask)
        self._check(query, value, key, alone, mask, cache, memory)
        if memory is not None:
            q = self._heads(self.query(query), self.num_heads)
            if self.positions == "rotary":
                q = rotary(q, base=self.rotary_base)
            y, weights = self._attend(
                q, memory["key"], memory["value"], return_weights,
                lengths=memory["length"], mask=attention_mask, causal=causal,
            )  # fmt: skip
            return (y, weights) if return_weights else y
        z = query if value is None else value
        real = sequence_mask(z, mask, lengths, time_axis=1)
        if real is not None:  # whatever lies in the padding, NaN for instance, takes no part in any product
            z = xp.where(real[:, :, None], z, 0)
            key = None if key is None else xp.where(real[:, :, None], key, 0)
        x = z if alone else query
        offset: Any = 0 if cache is None else cache["length"]
        q = self._heads(self.query(x), self.num_heads)
        k = self._heads(self.key(z if key is None else key), self.key_heads)
        v = self._heads(self.value(z), self.key_heads)
        if self.positions == "rotary":
            q = rotary(q, positions_from(offset, q.shape[1]), base=self.rotary_base)
            k = rotary(k, positions_from(offset, k.shape[1]), base=self.rotary_base)
        if cache is not None:
            cache = _extended(cache, k, v, lengths)
            y, weights = self._attend(
                q, cache["key"], cache["value"], return_weights, offset=offset, causal=True, mask=attention_mask
            )
        else:
            unseen = None if mask is None else mask[:, None, None, :]
            both = _and(unseen, _four_axes(attention_mask))
            y, weights = self._attend(q, k, v, return_weights, lengths=lengths, mask=both, causal=causal)
        if alone and real is not None:
            y = xp.where(real[:, :, None], y, 0)
        out = (y, *(() if cache is None else (cache,)), *((weights,) if return_weights else ()))
        return out if len(out) > 1 else y

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        return_weights: bool,
        *,
        mask: Tensor | None,
        causal: bool,
        lengths: Tensor | None = None,
        offset: Any = None,
    ) -> tuple[Tensor, Tensor | None]:
        """(the result, the weights if they are wanted)"""
        n = k.shape[1] if same_size(q.shape[1], k.shape[1]) else _larger(q.shape[1], k.shape[1])
        distance = None
        if self.positions == "alibi":
            distance = alibi(self.num_heads, n)
        elif isinstance(self.positions, RelativePositionBias):
            distance = self.positions(n)
        dropping = self.dropout if is_training() else 0.0
        k, v = k.astype(q.dtype), v.astype(q.dtype)
        seen: dict[str, Any] = {
            "causal": causal, "offset": offset, "mask": _four_axes(mask), "lengths": lengths, "distance_bias": distance,
        }  # fmt: skip
        key = self.stream.next_key() if dropping else None
        y = scaled_dot_product_attention(q, k, v, **seen, dropout=dropping, dropout_key=key, method=self.method)
        weights = attention_weights(q, k, **seen) if return_weights else None
        return self.output(xp.reshape(y, (*y.shape[:2], y.shape[2] * y.shape[3]))), weights

    def _heads(self, x: Tensor, heads: int) -> Tensor:
        return xp.reshape(x, (*x.shape[:2], heads, x.shape[2] // heads))

    def _check(self, query: Tensor, value: Any, key: Any, alone: bool, mask: Any, cache: Any, memory: Any) -> None:
        for name, x in (("query", query), ("value", value), ("key", key)):
            if x is not None:
                check_sequence(f"MultiHeadAttention, {name},", x.spec)
                if not x.dtype.is_floating:
                    raise DTypeError(
                        f"{name} must be floating point, and is {x.spec}; an nn.Embedding makes it of numbers"
                    )
        if key is not None and value is None:
            raise ArgumentError("give the value, too; key= alone says what is compared, and not what is returned")
        if value is not None and key is not None and not same_size(value.shape[1], key.shape[1]):
            raise ShapeError(f"value {show_shape(value.shape)} and key {show_shape(key.shape)} differ in time")
        if cache is not None and (not alone or mask is not None):
            raise ArgumentError(
                "a cache is for what attends to itself: without value, key, memory and mask (use lengths)"
            )
        if memory is not None and value is not None:
            raise ArgumentError("memory= stands for the value; give one of them")
        if cache is not None:
            room, time = cache["key"].shape[1], query.shape[1]
            if isinstance(time, int) and time > room:
                raise ShapeError(f"the cache has room for {room} times, and x {show_shape(query.shape)} has {time}")


def _larger(a: Size, b: Size) -> Size:
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return a + b  # sure to be enough, whatever the sizes turn out to be


def _and(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else xp.logical_and(a, b)


def _four_axes(mask: Tensor | None) -> Tensor | None:
    """`[batch, T, S]` → `[batch, 1, T, S]`; others as they are."""
    return mask[:, None] if mask is not None and mask.ndim == 3 else mask


def _extended(cache: Cache, k: Tensor, v: Tensor, lengths: Tensor | None) -> Cache:
    """The cache with new keys and values behind those that it has."""
    places = positions_from(cache["length"], k.shape[1])
    kept = k.shape[1] if lengths is None else check_lengths(lengths, k.shape[1]).astype("int32")
    grown = cache["length"] + kept

    def put(old: Tensor, new: Tensor) -> Tensor:
        made: Tensor = scatter(old, places[:, :, None], new.astype(old.dtype), batch_dims=1, op="set", mode="error")
        return made

    return {"key": put(cache["key"], k), "value": put(cache["value"], v), "length": grown}
