"""`scaled_dot_product_attention`: the one place where queries meet keys. Every attention layer computes with it."""

from __future__ import annotations

import math
from typing import Any

from treadle import array as xp
from treadle import random
from treadle.array.convert import as_tensor
from treadle.core.dims import Dim, Size, same_size
from treadle.core.dtypes import float32
from treadle.core.errors import ArgumentError, DimError, DTypeError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.attention.blocks import Tiling, blockwise
from treadle.nn.attention.products import scores_of, weighted
from treadle.nn.attention.scores import Terms
from treadle.nn.masking import check_lengths

# Queries × keys from which "auto" works in blocks: 1024 × 1024 where half of the blocks are skipped, else twice that.
# Below, the plain form is as fast or faster on two cores (measured with 6 heads of 64 features, forward and gradient).
BLOCKS_FROM, BLOCKS_FROM_CAUSAL = 1 << 21, 1 << 20
ROWS, COLUMNS = 256, 256  # of a block
_METHODS = ("auto", "plain", "blocks")


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    causal: bool = False,
    offset: Any = None,
    mask: Tensor | None = None,
    lengths: Tensor | None = None,
    bias: Tensor | None = None,
    distance_bias: Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
    dropout_key: Tensor | None = None,
    method: str = "auto",
) -> Tensor:
    """For each query, the mean of the values weighted by `softmax(scale * query · key + bias)`.

    A query that sees no key at all gives zeros, and no gradient.

    Shapes: `...` are the batch's axes, T queries, S keys, H heads:

        query   [..., T, H, D]        key    [..., S, K, D]      K divides H: heads h with the same h // (H / K) share
        result  [..., T, H, E]        value  [..., S, K, E]      a key head (K = 1: multi-query attention)

    Args:
        query, key, value: floating point. 16-bit floats are computed in float32 and rounded at the end.
        causal: query t sees the keys 0 to t + offset.
        offset: integers, `[]` or the batch's shape: where the first query stands among the keys; 0 if None. With S keys
            of which the T last belong to the queries, S - T.
        mask: bool, True for what is seen; broadcasts to `[..., H, T, S]`.
        lengths: integers of the batch's shape, of any dtype, 0 to S: only the first so many keys of each are seen.
            Whatever lies behind them, NaN for instance, takes no part.
        bias: floating, is added to the scores; broadcasts to `[..., H, T, S]`. -inf hides a key.
        distance_bias: floating `[H, 2 * n - 1]` (or `[1, …]`), n >= S and T + offset: `[h, n - 1 + s - t]` is added
            where key s meets query t: a bias by distance in linear memory (`nn.RelativePositionBias`, `nn.alibi`).
        scale: of the products; 1 / sqrt(D) if None.
        dropout: the probability to drop a weight; the others are divided by `1 - dropout`. Needs `dropout_key`.
        dropout_key: of `td.random.key` or `stream.next_key()`.
        method: "plain" holds the weights, T × S a head. "blocks" never does, in its derivative neither: memory grows
            with T + S. Both give the same to rounding; with dropout each has its own choice. "auto" takes blocks where
            T and S are known and T * S >= 2**21, or 2**20 if causal.

    Raises:
        ShapeError: axes that do not fit each other.
        DTypeError: a mask that is not bool, lengths that are no integers, others that are not floating point.
        ArgumentError: no such method, dropout without a key.
        OutOfRangeError: a length above S or below 0 (inside of a compiled function it counts as the nearer of the two).

    Source: Vaswani et al., Attention is all you need (NeurIPS 2017); Ainslie et al., GQA (EMNLP 2023) for K < H.

    >>> q = k = v = td.asarray([[[1., 0.]], [[0., 1.]]])  # two times, one head, two features
    >>> td.nn.scaled_dot_product_attention(q, k, v, causal=True)[0, 0].tolist()
    [1.0, 0.0]
    """
    query, key, value = (_floating(n, x) for n, x in (("query", query), ("key", key), ("value", value)))
    _check_shapes(query, key, value)
    out = xp.result_type(query, key, value)
    wide = float32 if out.bits < 32 else out
    lead = query.shape[:-3]
    terms = _terms(lead, query, key, causal, offset, mask, lengths, bias, distance_bias, wide)
    if method not in _METHODS:
        raise ArgumentError(f"method is one of {', '.join(map(repr, _METHODS))}; got {method!r}")
    if isinstance(dropout, bool) or not 0 <= dropout < 1:
        raise ArgumentError(f"dropout is the probability to drop a weight, from 0 to less than 1; got {dropout!r}")
    if dropout and dropout_key is None:
        raise ArgumentError("dropout needs dropout_key: td.random.key(seed), or stream.next_key()")
    q = query.astype(wide) * (1 / math.sqrt(_known(query.shape[-1])) if scale is None else scale)
    k, v = key.astype(wide), value.astype(wide)
    if terms.lengths is not None:  # 0 * NaN is NaN: what is not seen must not be there
        real = xp.arange(k.shape[-3], dtype="int32") < terms.lengths[..., None]
        k, v = (xp.where(real[..., None, None], x, 0) for x in (k, v))
    if _in_blocks(method, q.shape[-3], k.shape[-3], causal):
        tiling = Tiling.of(_known(q.shape[-3]), _known(k.shape[-3]), ROWS, COLUMNS)
        y = blockwise(q, k, v, terms, tiling=tiling, dropout=dropout, key=dropout_key)
    else:
        y = _plain(q, k, v, terms, dropout, dropout_key)
    return y.astype(out)


def attention_weights(query: Tensor, key: Tensor, *, scale: float | None = None, **seen: Any) -> Tensor:
    """What `scaled_dot_product_attention` multiplies the values with: `[..., H, T, S]`, to look at.

    Args: as there: `causal`, `offset`, `mask`, `lengths`, `bias`, `distance_bias`, `scale`. What is not seen has 0.
    """
    wide = xp.result_type(query, key)
    wide = float32 if wide.bits < 32 else wide
    offset, mask, lengths, bias, distance = (
        seen.get(n) for n in ("offset", "mask", "lengths", "bias", "distance_bias")
    )
    causal = bool(seen.get("causal"))
    terms = _terms(query.shape[:-3], query, key, causal, offset, mask, lengths, bias, distance, wide)
    q = query.astype(wide) * (1 / math.sqrt(_known(query.shape[-1])) if scale is None else scale)
    return _weights(q, key.astype(wide), terms)


def _plain(q: Tensor, k: Tensor, v: Tensor, terms: Terms, dropout: float, key: Tensor | None) -> Tensor:
    if isinstance(k.shape[-3], int) and k.shape[-3] == 0:
        return xp.zeros((*q.shape[:-1], v.shape[-1]), dtype=q.dtype)
    p = _weights(q, k, terms)
    if dropout:
        assert key is not None
        p = xp.where(random.bernoulli(key, 1 - dropout, p.shape), p / (1 - dropout), 0)
    return xp.moveaxis(weighted(p, v), -3, -2)


def _weights(q: Tensor, k: Tensor, terms: Terms) -> Tensor:
    rows, columns = (xp.arange(x.shape[-3], dtype="int32") for x in (q, k))
    s = terms.apply(scores_of(q, k), rows, columns)
    # Softmax in a form in which a row of nothing but -inf gives zeros, and gradients of zero.
    top = xp.max(_constant(s), axis=-1, keepdims=True)
    e = xp.exp(s - xp.where(top == -xp.inf, 0, top))
    total = xp.sum(e, axis=-1, keepdims=True)
    return e / xp.where(total == 0, 1, total)


def _constant(s: Tensor) -> Tensor:
    from treadle.transforms import stop_gradient

    made: Tensor = stop_gradient(s)
    return made


def _in_blocks(method: str, queries: Size, keys: Size, causal: bool) -> bool:
    known = isinstance(queries, int) and isinstance(keys, int)
    if method == "blocks" and not known:
        raise DimError(
            f'method="blocks" needs known numbers of queries and keys, and they are {queries} and {keys}; '
            'only the batch may be unknown. Write method="auto"'
        )
    if not known or queries == 0 or keys == 0:
        return False
    from_here = BLOCKS_FROM_CAUSAL if causal else BLOCKS_FROM
    return method == "blocks" or (method == "auto" and int(queries * keys) >= from_here)


def _known(n: Size) -> int:
    if isinstance(n, Dim):
        raise DimError(f"the number of features of a head must be known, and is {n}")
    return n


def _floating(name: str, x: Any) -> Tensor:
    x = as_tensor(x, name)
    if not x.dtype.is_floating:
        raise DTypeError(f"{name} must be floating point, and is {x.spec}; write {name}.astype(td.float32)")
    return x


def _check_shapes(query: Tensor, key: Tensor, value: Tensor) -> None:
    def refuse(why: str) -> ShapeError:
        return ShapeError(
            f"{why}\n    query  {show_shape(query.shape)}   [..., T, heads, D]\n"
            f"    key    {show_shape(key.shape)}   [..., S, key heads, D]\n"
            f"    value  {show_shape(value.shape)}   [..., S, key heads, E]"
        )

    if min(query.ndim, key.ndim, value.ndim) < 3 or not query.ndim == key.ndim == value.ndim:
        raise refuse("query, key and value need the same number of axes, three at least")
    pairs = [(query, key, a, "batch axes") for a in range(query.ndim - 3)]
    pairs += [(key, value, a, "batch axes") for a in range(query.ndim - 3)]
    pairs += [(key, value, -3, "numbers of keys"), (key, value, -2, "heads of key and value")]
    pairs += [(query, key, -1, "features of query and key")]
    for x, y, a, what in pairs:
        if not same_size(x.shape[a], y.shape[a]):
            raise refuse(f"the {what} differ, {x.shape[a]} and {y.shape[a]}")
    heads, shared = query.shape[-2], key.shape[-2]
    if isinstance(heads, Dim) or isinstance(shared, Dim) or shared == 0 or heads % shared:
        moved = isinstance(query.shape[-3], int) and isinstance(key.shape[-3], int)
        swap = moved and query.shape[-3] == key.shape[-3]
        hint = ". Heads come after time here: for [..., heads, T, D] pass td.moveaxis(x, -3, -2)" if swap else ""
        raise refuse(f"{heads} heads of the query do not divide among {shared} heads of the key{hint}")


def _terms(
    lead: tuple[Size, ...],
    query: Tensor,
    key: Tensor,
    causal: bool,
    offset: Any,
    mask: Tensor | None,
    lengths: Tensor | None,
    bias: Tensor | None,
    distance_bias: Tensor | None,
    wide: Any,
) -> Terms:
    full = (*lead, query.shape[-2], query.shape[-3], key.shape[-3])
    if mask is not None:
        mask = as_tensor(mask, "mask")
        if not mask.dtype.is_bool:
            raise DTypeError(
                f"the mask is bool, True for what is seen, and is {mask.spec}; "
                + ("pass numbers to be added as bias=" if mask.dtype.is_floating else "write mask.astype(td.bool)")
            )
        mask = _stretched("mask", mask, full)
    if bias is not None:
        bias = _stretched("bias", _floating("bias", bias), full).astype(wide)
    if distance_bias is not None:
        distance_bias = _floating("distance_bias", distance_bias).astype(wide)
        _check_table(distance_bias, full)
    if lengths is not None:
        lengths = check_lengths(_of_batch("lengths", lengths, lead), key.shape[-3]).astype("int32")
    if isinstance(offset, int) and not isinstance(offset, bool):
        offset = None if offset == 0 else xp.asarray(offset, dtype="int32")
    if offset is not None:
        offset = xp.asarray(offset)
        offset = _of_batch("offset", offset, lead if offset.ndim else ()).astype("int32")
    return Terms(causal, offset, lengths, mask, bias, distance_bias)


def _of_batch(name: str, x: Any, lead: tuple[Size, ...]) -> Tensor:
    x = xp.asarray(x)
    if not x.dtype.is_integer:
        raise DTypeError(f"{name} must be integers, and are {x.spec}; write {name}.astype(td.int32)")
    if x.ndim != len(lead) or not all(same_size(a, b) for a, b in zip(x.shape, lead, strict=True)):
        raise ShapeError(f"{name} must have the batch's shape {show_shape(lead)}, and has {show_shape(x.shape)}")
    return x


def _stretched(name: str, x: Tensor, full: tuple[Size, ...]) -> Tensor:
    """x with as many axes as `full`, each of its size or 1."""
    fits = x.ndim <= len(full) and all(
        n == 1 or same_size(n, m) for n, m in zip(x.shape[::-1], full[::-1], strict=False)
    )
    if not fits:
        raise ShapeError(
            f"the {name} must broadcast to [..., heads, T, S] = {show_shape(full)}, and is {show_shape(x.shape)}"
            + (f". For a {name} of the keys alone, [batch, S], write {name}[:, None, None]" if x.ndim == 2 else "")
        )
    return xp.reshape(x, (*(1 for _ in range(len(full) - x.ndim)), *x.shape))


def _check_table(table: Tensor, full: tuple[Size, ...]) -> None:
    heads, queries, keys = full[-3:]
    wide = table.shape[-1]
    odd = not isinstance(wide, int) or wide % 2 == 1
    enough = not all(isinstance(n, int) for n in (wide, queries, keys)) or (wide + 1) // 2 >= max(queries, keys)
    if table.ndim != 2 or not (table.shape[0] == 1 or same_size(table.shape[0], heads)) or not (odd and enough):
        raise ShapeError(
            f"distance_bias must be [heads, 2 * n - 1] with n >= {queries} and {keys}, the numbers of queries and keys "
            f"(with {heads} heads), and is {show_shape(table.shape)}"
        )
