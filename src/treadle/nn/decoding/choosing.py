"""Which tokens may be drawn: temperature, top-k and nucleus filters."""

from __future__ import annotations

from typing import Any

from treadle import array as xp
from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor


def filter_logits(
    logits: Any, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Logits to draw from: divided by the temperature, and -inf for tokens that shall not be drawn.

    Args:
        logits: `[..., vocabulary]` floating point.
        temperature: > 0; below 1 likely tokens become likelier.
        top_k: only the k likeliest tokens (and those as likely as the last of them).
        top_p: then only the smallest set of likeliest tokens whose probabilities sum to at least top_p, 0 < top_p <= 1
            (nucleus sampling: Holtzman et al., The curious case of neural text degeneration, ICLR 2020).

    Raises:
        ArgumentError: one of these is out of its range.

    >>> logits = td.log(td.asarray([0.5, 0.3, 0.15, 0.05]))
    >>> td.round(td.exp(td.nn.decoding.filter_logits(logits, top_p=0.7)) * 10).tolist()
    [5.0, 3.0, 0.0, 0.0]
    """
    x = xp.asarray(logits)
    if not temperature > 0:
        raise ArgumentError(f"temperature must be > 0 (greedy decoding is nn.decoding.greedy); got {temperature}")
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise ArgumentError(f"top_k is the number of tokens to draw from, at least 1; got {top_k!r}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ArgumentError(f"top_p is a probability, more than 0 and at most 1; got {top_p}")
    if temperature != 1:
        x = x / temperature
    least = -float("inf")
    size = x.shape[-1]
    if top_k is not None and (not isinstance(size, int) or top_k < size):
        x = xp.where(x < xp.top_k(x, top_k).values[..., -1:], least, x)
    if top_p is not None and top_p < 1:
        ordered = xp.sort(x, axis=-1, descending=True)
        p = xp.softmax(ordered, axis=-1)
        # A token stays if those before it do not reach top_p yet: the first always does.
        before = xp.cumulative_sum(p, axis=-1) - p
        last = xp.min(xp.where(before < top_p, ordered, float("inf")), axis=-1, keepdims=True)
        x = xp.where(x < last, least, x)
    return x
