"""What is added to or cut out of `query · key`, for all of it or for one block: masks, lengths, causality, biases."""

from __future__ import annotations

from dataclasses import dataclass, replace

from treadle import array as xp
from treadle.core.tensor import Tensor


@dataclass(frozen=True)
class Terms:
    """The tensors that decide beside query and key; None where there is none.

    Shapes: `lead` is the batch axes, H heads, T queries, S keys.

    Attributes:
        causal: query t sees the keys up to position t + offset.
        offset: integers `[]` or `lead`: where the first query stands among the keys.
        lengths: integers `lead`: how many keys there are.
        mask: bool, `[lead | 1, H | 1, T | 1, S | 1]`: which keys a query sees.
        bias: floating, the same shapes: added.
        distance_bias: floating `[H | 1, 2 * n - 1]`: `[h, n - 1 + s - (t + offset)]` is added.
    """

    causal: bool
    offset: Tensor | None = None
    lengths: Tensor | None = None
    mask: Tensor | None = None
    bias: Tensor | None = None
    distance_bias: Tensor | None = None

    def with_biases(self, bias: Tensor | None, distance_bias: Tensor | None) -> Terms:
        return replace(self, bias=bias, distance_bias=distance_bias)

    def apply(self, s: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Products `[lead, H, T, S]` of the queries at `rows` int32 `[T]` and keys at `columns` → scores, -inf where a
        query does not see a key. `mask` and `bias` are those of these rows and columns."""
        lead = s.ndim - 3
        if self.bias is not None:
            s = s + self.bias
        if self.distance_bias is not None:
            s = s + _by_distance(self.distance_bias, self._places(rows, lead), columns)
        allowed = self.allowed(rows, columns, lead)
        return s if allowed is None else xp.where(allowed, s, -xp.inf)

    def allowed(self, rows: Tensor, columns: Tensor, lead: int) -> Tensor | None:
        """Which keys the queries see, bool, broadcastable to `[lead, H, T, S]`; None: all."""
        found = self.mask
        if self.causal:
            found = _both(found, columns <= self._places(rows, lead)[..., None])
        if self.lengths is not None:
            found = _both(found, columns < xp.reshape(self.lengths, (*self.lengths.shape, 1, 1, 1)))
        return found

    def _places(self, rows: Tensor, lead: int) -> Tensor:
        """Where the queries stand among the keys: `[T]` or `[lead, 1, T]`."""
        if self.offset is None:
            return rows
        if self.offset.ndim == 0:
            return rows + self.offset
        return xp.reshape(self.offset, (*self.offset.shape, 1, 1)) + rows


def _both(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else xp.logical_and(a, b)


def _by_distance(table: Tensor, places: Tensor, columns: Tensor) -> Tensor:
    """`[H, T, S]`, or `[lead, H, T, S]` for places `[lead, 1, T]`."""
    index = columns - places[..., None] + (table.shape[1] - 1) // 2
    if index.ndim == 2:
        return xp.take(table, index, axis=1)
    index = xp.squeeze(index, axis=-3)  # [lead, T, S]
    return xp.moveaxis(xp.take(table, index, axis=1), 0, -3)
