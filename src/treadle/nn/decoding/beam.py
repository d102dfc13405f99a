"""Beam search: the best of several sequences that are kept at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from treadle import array as xp
from treadle.core import trees
from treadle.core.dtypes import int32
from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor
from treadle.nn.decoding.loop import Step, check_logits, check_start
from treadle.ops.control import while_loop
from treadle.transforms import eval_shape


class Beams(NamedTuple):
    """What beam search returns, the best first.

    Attributes:
        tokens: int32 `[batch, beams, max_steps]`; behind a sequence's end, `end`.
        lengths: int32 `[batch, beams]`: tokens before `end`.
        scores: `[batch, beams]`: log probability over length penalty; -inf where there are fewer sequences than beams.
    """

    tokens: Tensor
    lengths: Tensor
    scores: Tensor


def beam_search(
    step: Step,
    state: Any,
    start: Any,
    *,
    beams: int,
    max_steps: int,
    end: int,
    length_penalty: float = 0.0,
    constants: Mapping[str, Any] | None = None,
) -> Beams:
    """The `beams` best sequences that a search of this width finds.

    At each step every kept sequence is continued by every token; the best `beams` that go on are kept, and the best
    `beams` that have ended. It stops when no kept sequence can become better than those that have ended, or after
    `max_steps`, when those that go on count as they are. A sequence's score is `log p / ((5 + tokens) / 6) **
    length_penalty` (`end` counted as a token).

    Args:
        beams: the width; 1 is greedy decoding.
        length_penalty: >= 0; larger ones favour longer sequences. 0: log p alone. 0.6 to 1 are usual.
        step, state, start, max_steps, end, constants: as in `nn.decoding.greedy`. The state is rearranged with the
            sequences, `[batch * beams, …]`; constants are repeated once and stay.

    Raises:
        ArgumentError: a width below 1, a negative penalty.
        ShapeError: as `greedy` does.

    Source: Wu et al., Google's neural machine translation system (2016), equation 14 without coverage.

    >>> table = td.log(td.asarray([[.1, .5, .4], [.4, .3, .3], [.05, .05, .9]]))  # token 0 ends
    >>> found = td.nn.decoding.beam_search(
    ...     lambda s, token: (s, table[token]), (), td.asarray([0]), beams=2, max_steps=2, end=0
    ... )
    >>> found.tokens.tolist(), found.lengths.tolist()  # 0.4 * 0.9 is more than 0.5 * 0.4: greedy misses it
    ([[[2, 2], [1, 0]]], [[2, 1]])
    """
    if isinstance(beams, bool) or not isinstance(beams, int) or beams < 1:
        raise ArgumentError(f"beams is the width of the search, at least 1; got {beams!r}")
    if not length_penalty >= 0:
        raise ArgumentError(f"length_penalty must be >= 0; got {length_penalty}")
    first = check_start(start, max_steps)
    batch = first.shape[0]

    def repeated(x: Any) -> Tensor:
        x = xp.asarray(x)
        return x if x.ndim == 0 else xp.repeat(x, beams, axis=0)

    fixed = trees.map(repeated, dict(constants or {}))
    state, token = trees.map(repeated, state), repeated(first)
    logits = eval_shape(lambda state, token: step(state, token, **fixed)[1])(state, token)
    check_logits(logits, token)
    vocabulary, dtype = logits.shape[1], logits.dtype
    none = -1e30 if dtype.bits > 16 else -3e4  # finite: differences of two are 0, not NaN
    width = min(2 * beams, beams * vocabulary)
    places = xp.reshape(xp.arange(batch, dtype=int32) * beams, (batch, 1))

    def penalty(tokens: Any) -> Any:
        return ((5.0 + tokens) / 6.0) ** length_penalty

    def picked(x: Tensor, index: Tensor) -> Tensor:
        """Of `[batch, many, …]` the places `[batch, few]`."""
        if x.ndim == 3:
            index = xp.expand_dims(index, axis=2)
            index = xp.broadcast_to(index, (*index.shape[:2], x.shape[2]))
        return xp.take_along_axis(x, index, axis=1)

    def best(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The best of two pools (scores, tokens, lengths)."""
        both = [xp.concat([x, y], axis=1) for x, y in zip(a, b, strict=True)]
        scores, index = xp.top_k(both[0], beams)
        return (scores, *(picked(x, index) for x in both[1:]))

    def going(t: Tensor, state: Any, token: Tensor, live: Any, ended: Any) -> Tensor:
        # The best that the best live one can come to: its probability does not rise, its penalty grows to the last
        # step.
        hope = live[0][:, 0] / penalty(float(max_steps))
        return xp.logical_and(t < max_steps, xp.any(hope > ended[0][:, -1]))

    def body(t: Tensor, state: Any, token: Tensor, live: Any, ended: Any) -> Any:
        total, tokens = live
        state, logits = step(state, token, **fixed)
        log_p = xp.reshape(xp.log_softmax(logits, axis=-1), (batch, beams, vocabulary))
        sums = xp.reshape(xp.expand_dims(total, axis=2) + log_p, (batch, beams * vocabulary))
        # Twice as many as beams: at most one continuation of each kept sequence ends, so that enough go on.
        sums, index = xp.top_k(xp.maximum(sums, none), width)
        parent, new = index // vocabulary, (index % vocabulary).astype(int32)
        here = xp.arange(max_steps, dtype=int32) == t
        tokens = xp.where(here, xp.expand_dims(new, axis=2), picked(tokens, parent))
        ends = new == end
        length = t.astype(dtype) + 1.0
        finished = xp.where(xp.logical_and(ends, sums > none / 2), sums / penalty(length), none)
        ended = best(ended, (finished, tokens, xp.broadcast_to(t, ends.shape).astype(int32)))
        total, index = xp.top_k(xp.where(ends, none, sums), beams)
        rows = xp.reshape(places + picked(parent, index), (-1,))
        state = trees.map(lambda x: x if x.ndim == 0 else xp.take(x, rows, axis=0), state)
        return t + 1, state, xp.reshape(picked(new, index), (-1,)), (total, picked(tokens, index)), ended

    rank = xp.arange(beams, dtype=int32)
    total = xp.broadcast_to(xp.where(rank == 0, 0.0, none).astype(dtype), (batch, beams))
    tokens = xp.full((batch, beams, max_steps), end, dtype=int32)
    ended = (xp.full((batch, beams), none, dtype=dtype), tokens, xp.zeros((batch, beams), dtype=int32))
    t, _, _, (total, tokens), ended = while_loop(
        going, body, xp.asarray(0, dtype=int32), state, token, (total, tokens), ended
    )
    going_on = xp.where(xp.logical_and(t == max_steps, total > none / 2), total / penalty(float(max_steps)), none)
    scores, tokens, lengths = best(ended, (going_on, tokens, xp.full((batch, beams), max_steps, dtype=int32)))
    return Beams(tokens, lengths, xp.where(scores > none / 2, scores, -float("inf")))
