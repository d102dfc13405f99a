"""One token after the other: the likeliest, or one drawn by its probability."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from treadle import array as xp
from treadle import random
from treadle.core.dtypes import int32
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.decoding.choosing import filter_logits
from treadle.ops.control import while_loop
from treadle.transforms import eval_shape

Step = Callable[..., tuple[Any, Tensor]]
Choose = Callable[[Tensor, Tensor], Tensor]  # (logits, number of the step) → tokens


class Decoded(NamedTuple):
    """What greedy decoding and sampling return.

    Attributes:
        tokens: int32 `[batch, max_steps]`; behind a sequence's end, `end` (or 0).
        lengths: int32 `[batch]`: tokens before `end`.
        log_probability: `[batch]`: of the tokens, `end` included, as the model gives it: before temperature and
            filters.
    """

    tokens: Tensor
    lengths: Tensor
    log_probability: Tensor


def greedy(
    step: Step,
    state: Any,
    start: Any,
    *,
    max_steps: int,
    end: int | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Decoded:
    """The likeliest token at each step.

    Args:
        step: `(state, token, **constants) → (state, logits)`, see `nn.decoding`.
        state: before the first step: a tree of tensors `[batch, …]`.
        start: integers `[batch]`: the token that the first step gets.
        max_steps: how many tokens at most.
        end: the token that ends a sequence; None: all have `max_steps` tokens.
        constants: passed on to each step by name.

    Raises:
        ShapeError: start is not `[batch]`, or logits are not `[batch, vocabulary]`.
        ArgumentError: no step at all.

    >>> table = td.asarray([[0., 2., 1.], [0., 1., 2.], [2., 0., 1.]])  # row: scores of the next token
    >>> td.nn.decoding.greedy(lambda s, token: (s, table[token]), (), td.asarray([0]), max_steps=4).tokens.tolist()
    [[1, 2, 0, 1]]
    """

    def likeliest(logits: Tensor, t: Tensor) -> Tensor:
        return xp.argmax(logits, axis=-1)

    return _decode(step, state, start, likeliest, max_steps, end, constants)


def sample(
    step: Step,
    state: Any,
    start: Any,
    *,
    key: Tensor,
    max_steps: int,
    end: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Decoded:
    """A token drawn by its probability at each step.

    Args:
        key: `u32[2]`: the same key draws the same sequences.
        temperature, top_k, top_p: as in `nn.decoding.filter_logits`.
        step, state, start, max_steps, end, constants: as in `nn.decoding.greedy`.

    Raises:
        ShapeError, ArgumentError: as `greedy` and `filter_logits` do.

    >>> coin = td.zeros((3, 2))
    >>> tokens = td.nn.decoding.sample(
    ...     lambda s, token: (s, coin), (), td.asarray([0, 0, 0]), key=td.random.key(0), max_steps=100
    ... ).tokens
    >>> 100 < tokens.sum().item() < 200
    True
    """

    def drawn(logits: Tensor, t: Tensor) -> Tensor:
        allowed = filter_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p)
        return random.categorical(random.fold_in(key, t), allowed)

    return _decode(step, state, start, drawn, max_steps, end, constants)


def _decode(
    step: Step,
    state: Any,
    start: Any,
    choose: Choose,
    max_steps: int,
    end: int | None,
    constants: Mapping[str, Any] | None,
) -> Decoded:
    first = check_start(start, max_steps)
    fixed = dict(constants or {})
    logits = eval_shape(lambda state, token: step(state, token, **fixed)[1])(state, first)
    check_logits(logits, first)
    batch = first.shape[0]
    dtype = logits.dtype

    def going(t: Tensor, token: Tensor, done: Tensor, *rest: Any) -> Tensor:
        return xp.logical_and(t < max_steps, xp.logical_not(xp.all(done)))

    def body(t: Tensor, token: Tensor, done: Tensor, length: Tensor, total: Tensor, tokens: Tensor, state: Any) -> Any:
        state, logits = step(state, token, **fixed)
        token = choose(logits, t).astype(int32)
        chosen = xp.take_along_axis(xp.log_softmax(logits, axis=-1), xp.expand_dims(token, axis=1), axis=1)[:, 0]
        total = total + xp.where(done, 0.0, chosen)
        if end is not None:
            token = xp.where(done, end, token).astype(int32)
            done = xp.logical_or(done, token == end)
        tokens = tokens.at[t].set(token)
        return t + 1, token, done, length + xp.logical_not(done).astype(int32), total, tokens, state

    filler = xp.full((max_steps, batch), 0 if end is None else end, dtype=int32)
    _, _, _, length, total, tokens, _ = while_loop(
        going,
        body,
        xp.asarray(0, dtype=int32),
        first,
        xp.zeros((batch,), dtype=xp.bool),
        xp.zeros((batch,), dtype=int32),
        xp.zeros((batch,), dtype=dtype),
        filler,
        state,
    )
    return Decoded(xp.moveaxis(tokens, 0, 1), length, total)


def check_start(start: Any, max_steps: int) -> Tensor:
    """The first tokens as int32 `[batch]`."""
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
        raise ArgumentError(f"max_steps is the number of tokens at most, at least 1; got {max_steps!r}")
    first = xp.asarray(start)
    if first.ndim != 1 or not first.dtype.is_integer:
        raise ShapeError(f"start holds the first token of each sequence, integers [batch], and is {first.spec}")
    return first.astype(int32)


def check_logits(logits: Any, first: Tensor) -> None:
    """Raise unless a step gives a score for each token of each sequence."""
    if len(logits.shape) != 2 or logits.shape[0] != first.shape[0]:
        raise ShapeError(
            f"step(state, token) must return (state, logits [{first.shape[0]}, vocabulary]), and the logits are "
            f"{show_shape(logits.shape)}"
        )
