"""The two products of attention, for heads that may share keys and values."""

from __future__ import annotations

from treadle import array as xp
from treadle.core.tensor import Tensor
from treadle.ops.contract import contract


def scores_of(q: Tensor, k: Tensor) -> Tensor:
    """q · k: `[lead, T, H, D]` and `[lead, S, K, D]` → `[lead, H, T, S]`; head h meets the key head h // (H / K)."""
    lead, heads, shared = tuple(range(q.ndim - 3)), q.shape[-2], k.shape[-2]
    n = len(lead)
    if heads == shared:
        return _contract(q, k, ((*lead, n + 1), (*lead, n + 1)), ((n + 2,), (n + 2,)))
    parted = xp.moveaxis(xp.reshape(q, (*q.shape[:-2], shared, heads // shared, q.shape[-1])), n, -2)
    s = _contract(parted, k, ((*lead, n), (*lead, n + 1)), ((n + 3,), (n + 2,)))
    return xp.reshape(s, (*s.shape[:n], heads, *s.shape[-2:]))


def weighted(p: Tensor, v: Tensor) -> Tensor:
    """Sums of values: `[lead, H, T, S]` and `[lead, S, K, E]` → `[lead, H, T, E]`."""
    lead, heads, shared = tuple(range(p.ndim - 3)), p.shape[-3], v.shape[-2]
    n = len(lead)
    if heads == shared:
        return _contract(p, v, ((*lead, n), (*lead, n + 1)), ((n + 2,), (n,)))
    parted = xp.reshape(p, (*p.shape[:n], shared, heads // shared, *p.shape[-2:]))
    y = _contract(parted, v, ((*lead, n), (*lead, n + 1)), ((n + 3,), (n,)))
    return xp.reshape(y, (*y.shape[:n], heads, *y.shape[-2:]))


def _contract(
    x: Tensor,
    y: Tensor,
    batch: tuple[tuple[int, ...], tuple[int, ...]],
    axes: tuple[tuple[int, ...], tuple[int, ...]],
) -> Tensor:
    out: Tensor = contract(x, y, batch=batch, axes=axes)
    return out
