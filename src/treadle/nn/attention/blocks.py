"""Attention in blocks, which never holds queries × keys: softmax as running sums, and its derivative block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from treadle import array as xp
from treadle import random
from treadle.core.dims import Size
from treadle.core.tensor import Tensor
from treadle.nn.attention.products import scores_of, weighted
from treadle.nn.attention.scores import Terms
from treadle.ops.control import cond, scan
from treadle.transforms import custom_vjp, vjp


@dataclass(frozen=True)
class Tiling:
    """How many queries and keys a block has, and how many blocks there are."""

    rows: int
    columns: int
    down: int
    across: int

    @staticmethod
    def of(queries: int, keys: int, rows: int, columns: int) -> Tiling:
        rows, columns = min(rows, queries), min(columns, keys)
        return Tiling(rows, columns, -(-queries // rows), -(-keys // columns))


def blockwise(
    q: Tensor, k: Tensor, v: Tensor, terms: Terms, *, tiling: Tiling, dropout: float = 0.0, key: Tensor | None = None
) -> Tensor:
    """`softmax(scores) @ v`: scaled q `[lead, T, H, D]`, k `[lead, S, K, D]`, v `[lead, S, K, E]` → `[lead, T, H, E]`.

    For each block of queries, blocks of keys are visited one after the other; the largest score m, the total of
    exp(score - m) and the sum of values weighted by it are corrected when m grows. The logarithm of the totals is kept
    for the derivative, which computes each block's weights again. Memory beside inputs and outputs: one block a head.

    Sources: Milakov, Gimelshein, Online normalizer calculation for softmax, arXiv 1805.02867; Rabe, Staats,
    Self-attention does not need O(n²) memory, arXiv 2112.05682; Dao et al., FlashAttention (NeurIPS 2022).
    """
    lead, keys = q.ndim - 3, k.shape[-3]
    if tiling.columns * tiling.across != keys:  # the padding of the last block is no key
        given = xp.full((1,) * lead, keys, dtype="int32") if terms.lengths is None else terms.lengths
        terms = replace(terms, lengths=xp.minimum(given, keys))
    work = _Work(terms.causal, tiling, q.shape, k.shape, dropout)

    @custom_vjp
    def attention(*given: Any) -> Tensor:
        return work.forward(*given)[0]

    def forward(*given: Any) -> tuple[Tensor, Any]:
        out, log_sum = work.forward(*given)
        return out, (given, out, log_sum)

    def backward(kept: Any, ct: Tensor) -> tuple[Any, ...]:
        return work.backward(kept, ct)

    attention.def_vjp(forward, backward, forward_mode=True)
    made: Tensor = attention(
        q, k, v, terms.bias, terms.distance_bias, terms.mask, terms.lengths, terms.offset, key
    )  # fmt: skip
    return made


@dataclass(frozen=True)
class _Work:
    """What does not depend on numbers."""

    causal: bool
    tiling: Tiling
    q_shape: tuple[Size, ...]
    k_shape: tuple[Size, ...]
    dropout: float

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, bias: Any, distance: Any, mask: Any, lengths: Any, offset: Any, key: Any
    ) -> tuple[Tensor, Tensor]:
        """(output, logarithms of the sums in blocks `[down, lead, H, rows]`)"""
        t = self.tiling
        terms = Terms(self.causal, offset, lengths)
        ks, vs = _in_blocks(k, t.columns, t.across, -3), _in_blocks(v, t.columns, t.across, -3)
        biases, masks = self._tiles(bias), self._tiles(mask)
        heads = (*self.q_shape[:-3], self.q_shape[-2], t.rows)

        def row(_: Any, x: Any) -> Any:
            i, q_i = x

            def column(carry: Any, y: Any) -> Any:
                j, k_j, v_j = y

                def visit(m: Tensor, total: Tensor, acc: Tensor) -> Any:
                    s = self._scores(terms, q_i, k_j, biases(i, j), distance, masks(i, j), i, j)
                    top = xp.maximum(m, xp.max(s, axis=-1))
                    base = xp.where(top == -xp.inf, 0, top)  # nothing seen yet: exp(-inf - 0) = 0
                    p, shrink = xp.exp(s - base[..., None]), xp.exp(m - base)
                    kept = p if not self.dropout else p * self._kept(key, i, j, p)
                    return top, total * shrink + xp.sum(p, axis=-1), acc * shrink[..., None] + weighted(kept, v_j)

                return self._if_seen(terms, i, j, visit, lambda *c: c, *carry), None

            start = (
                xp.full(heads, -xp.inf, dtype=q.dtype),
                xp.zeros(heads, dtype=q.dtype),
                xp.zeros((*heads, v.shape[-1]), dtype=q.dtype),
            )
            (m, total, acc), _ = scan(column, start, (xp.arange(t.across, dtype="int32"), ks, vs))
            empty = total == 0
            total = xp.where(empty, 1, total)
            return None, (xp.moveaxis(acc / total[..., None], -3, -2), xp.where(empty, 0, m) + xp.log(total))

        qs = _in_blocks(q, t.rows, t.down, -3)
        _, (out, log_sum) = scan(row, None, (xp.arange(t.down, dtype="int32"), qs))
        return _together(out, self.q_shape[-3], -3), log_sum

    def backward(self, kept: Any, ct: Tensor) -> tuple[Any, ...]:
        """Cotangents of the inputs. With weights P = exp(scores - log_sum): dV = PᵀdO, dP = dO Vᵀ, and of the scores
        P * (dP - sum(dO * O)). Keys outside, queries inside: those of the queries are added up from block to block."""
        given, out, log_sum = kept
        q, k, v, bias, distance, mask, lengths, offset, key = given
        t = self.tiling
        terms = Terms(self.causal, offset, lengths)
        qs, cts = _in_blocks(q, t.rows, t.down, -3), _in_blocks(ct, t.rows, t.down, -3)
        products = xp.moveaxis(xp.sum(ct * out, axis=-1), -1, -2)  # [lead, H, T]
        deltas = _in_blocks(products, t.rows, t.down, -1)
        biases, masks = self._tiles(bias), self._tiles(mask)
        nothing = None if distance is None else xp.zeros_like(distance)

        def column(carry: Any, y: Any) -> Any:
            j, k_j, v_j = y

            def row(sums: Any, x: Any) -> Any:
                i, q_i, ct_i, delta, logs = x
                bias_ij = biases(i, j)

                def visit(dk: Tensor, dv: Tensor, dd: Any) -> Any:
                    def scores(q: Tensor, k: Tensor, b: Any, d: Any) -> Tensor:
                        return self._scores(terms, q, k, b, d, masks(i, j), i, j)

                    s, pull = vjp(scores, q_i, k_j, bias_ij, distance)
                    p = xp.exp(s - logs[..., None])
                    stays = None if not self.dropout else self._kept(key, i, j, p)
                    ct_h = xp.moveaxis(ct_i, -2, -3)
                    dp = self._against(ct_h, v_j)
                    if stays is not None:
                        dp = dp * stays
                    dq, dk_ij, db, dd_ij = pull(p * (dp - delta[..., None]))
                    dv_ij = self._values(p if stays is None else p * stays, ct_h)
                    return (dk + dk_ij, dv + dv_ij, None if dd is None else dd + dd_ij), (dq, db)

                def skip(*sums: Any) -> Any:
                    return sums, (xp.zeros_like(q_i), None if bias_ij is None else xp.zeros_like(bias_ij))

                return self._if_seen(terms, i, j, visit, skip, *sums)

            zero = (xp.zeros_like(k_j), xp.zeros_like(v_j), nothing)
            rows = (xp.arange(t.down, dtype="int32"), qs, cts, deltas, log_sum)
            (dk, dv, dd), (dq, db) = scan(row, zero, rows)
            dq_sum, dd_sum = carry
            return (dq_sum + dq, None if dd is None else dd_sum + dd), (dk, dv, self._bias_row(bias, db))

        columns = (
            xp.arange(t.across, dtype="int32"),
            _in_blocks(k, t.columns, t.across, -3),
            _in_blocks(v, t.columns, t.across, -3),
        )
        (dq, dd), (dk, dv, db) = scan(column, (xp.zeros_like(qs), nothing), columns)
        return (
            _together(dq, self.q_shape[-3], -3),
            _together(dk, self.k_shape[-3], -3),
            _together(dv, self.k_shape[-3], -3),
            self._bias_whole(bias, db),
            dd,
            None,
            None,
            None,
            None,
        )

    def _scores(
        self, terms: Terms, q: Tensor, k: Tensor, bias: Any, distance: Any, mask: Any, i: Any, j: Any
    ) -> Tensor:
        t = self.tiling
        rows = i * t.rows + xp.arange(t.rows, dtype="int32")
        columns = j * t.columns + xp.arange(t.columns, dtype="int32")
        here = replace(terms, bias=bias, distance_bias=distance, mask=mask)
        return here.apply(scores_of(q, k), rows, columns)

    def _against(self, ct: Tensor, v: Tensor) -> Tensor:
        """dO Vᵀ: ct `[lead, H, rows, E]`, v `[lead, columns, K, E]` → `[lead, H, rows, columns]`."""
        return scores_of(xp.moveaxis(ct, -3, -2), v)

    def _values(self, p: Tensor, ct: Tensor) -> Tensor:
        """PᵀdO summed over the heads that share values: `[lead, columns, K, E]`."""
        shared = self.k_shape[-2]
        lead = p.shape[:-3]
        group = p.shape[-3] // shared
        p = xp.reshape(p, (*lead, shared, group * p.shape[-2], p.shape[-1]))
        ct = xp.reshape(ct, (*lead, shared, group * ct.shape[-2], ct.shape[-1]))
        return xp.moveaxis(xp.matrix_transpose(p) @ ct, -3, -2)

    def _kept(self, key: Tensor, i: Tensor, j: Tensor, p: Tensor) -> Tensor:
        """1 / (1 - rate) for weights that dropout keeps, 0 for others: a block's own choice, the same each time."""
        keep = 1 - self.dropout
        here = random.fold_in(key, i * self.tiling.across + j)
        return xp.where(random.bernoulli(here, keep, p.shape), xp.asarray(1 / keep, dtype=p.dtype), 0)

    def _if_seen(
        self, terms: Terms, i: Tensor, j: Tensor, visit: Callable[..., Any], skip: Callable[..., Any], *carry: Any
    ) -> Any:
        """visit(*carry), or skip(*carry) for a block in which no query sees a key."""
        t = self.tiling
        some: Tensor | None = None
        if terms.causal:
            last = (i + 1) * t.rows - 1
            if terms.offset is not None:
                last = last + xp.max(terms.offset)
            some = j * t.columns <= last
        if terms.lengths is not None:
            real = j * t.columns < xp.max(terms.lengths)
            some = real if some is None else xp.logical_and(some, real)
        return visit(*carry) if some is None else cond(some, visit, skip, *carry)

    def _tiles(self, x: Tensor | None) -> Callable[[Any, Any], Tensor | None]:
        """(i, j) → the part of a mask or bias `[..., T | 1, S | 1]` in that block."""
        if x is None:
            return lambda i, j: None
        t = self.tiling
        down, across = x.shape[-2] != 1, x.shape[-1] != 1
        blocks = x[None] if not down else _in_blocks(x, t.rows, t.down, -2)
        blocks = blocks[None] if not across else _in_blocks(blocks, t.columns, t.across, -1)
        return lambda i, j: blocks[j if across else 0][i if down else 0]

    def _bias_row(self, bias: Tensor | None, db: Any) -> Any:
        """Of the cotangents of a bias's blocks `[down, …]`: their sum, where there is one row of it."""
        return None if bias is None else xp.sum(db, axis=0) if bias.shape[-2] == 1 else db

    def _bias_whole(self, bias: Tensor | None, db: Any) -> Any:
        """The cotangent of the bias, of those of its blocks: `[across, down, …]`, or `[across, …]` for one row."""
        if bias is None:
            return None
        rows, columns = bias.shape[-2:]
        db = _together(db, columns, -1) if columns != 1 else xp.sum(db, axis=0)
        return _together(db, rows, -2) if rows != 1 else db


def _in_blocks(x: Tensor, size: int, count: int, axis: int) -> Tensor:
    """`[..., n, ...]` → `[count, ..., size, ...]`, filled up with zeros."""
    axis %= x.ndim
    missing = size * count - x.shape[axis]
    if missing:
        x = xp.pad(x, [(0, missing if a == axis else 0) for a in range(x.ndim)])
    x = xp.reshape(x, (*x.shape[:axis], count, size, *x.shape[axis + 1 :]))
    return xp.moveaxis(x, axis, 0)


def _together(x: Tensor, size: Size, axis: int) -> Tensor:
    """The inverse: blocks on axis 0 become `size` elements of `axis`."""
    axis = axis % (x.ndim - 1)
    x = xp.moveaxis(x, 0, axis)
    x = xp.reshape(x, (*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :]))
    return x if x.shape[axis] == size else x[(*[slice(None)] * axis, slice(0, size))]
