"""A scan whose derivative keeps the carry of every n-th step alone: the loop cut into segments that are run again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from treadle.core.dims import Size
from treadle.core.errors import ArgumentError, DimError
from treadle.core.graph import Graph
from treadle.core.registry import graph_transforms
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops.control.call import call
from treadle.ops.cutting import concatenate
from treadle.ops.cutting import slice as cut
from treadle.ops.layout import reshape

Bind = Callable[..., tuple[list[Tensor], list[Tensor]]]


def steps_of_segment(checkpoint: bool | int, length: Size) -> int:
    """How many steps a segment has: as many as are asked for, or about the square root of all.

    Raises:
        ArgumentError: no bool and no positive int. DimError: the number of steps is not known.
    """
    if not isinstance(checkpoint, bool) and (not isinstance(checkpoint, int) or checkpoint < 1):
        raise ArgumentError(
            f"td.scan: checkpoint is True, or how many steps run again at a time, 1 at least; got {checkpoint!r}"
        )
    if not isinstance(length, int):
        raise DimError(
            f"td.scan: checkpoint= needs a known number of steps, and it is {length}. td.checkpoint(body) as the body "
            "keeps the carry of each step alone, for any number"
        )
    return max(1, min(math.isqrt(max(length - 1, 0)) + 1 if checkpoint is True else checkpoint, length))


def segmented(
    bind: Bind,
    body: Graph,
    consts: Sequence[Tensor],
    carry: Sequence[Tensor],
    xs: Sequence[Tensor],
    *,
    length: int,
    reverse: bool,
    every: int,
) -> tuple[list[Tensor], list[Tensor]]:
    """`bind(body, consts, carry, xs, …)`: (carry, ys), as a scan over segments of `every` steps and one of the rest.

    A segment is a `call` that keeps its inputs and recomputes (`remat=True`): beside xs, the derivative keeps
    length / every carries, and while it passes a segment what the steps of that one need.
    """
    count, rest = divmod(length, every)

    def segment(steps: int, alone: int) -> Graph:
        """(consts, carry, xs `[*(1,) * alone, steps, …]`) → (carry, ys), as a graph."""
        rows = [x.spec.with_shape((*(1,) * alone, steps, *x.shape[1:])) for x in xs]

        def loop(*values: Tensor) -> list[Tensor]:
            c, s, x = _parts(values, len(consts), len(carry))
            x = [reshape(v, shape=v.shape[1:]) for v in x] if alone else x
            state, ys = bind(body, c, s, x, length=steps, reverse=reverse)
            return [*state, *ys]

        return _closed(loop, [*(x.spec for x in (*consts, *carry)), *rows], f"segment_{body.name}")

    def whole(state: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        # An axis of size 1 more: what a compiler computes of all the segment's xs at once, it then computes in each
        # turn, and does not take it out of this loop, where it would be kept for all steps.
        graph = segment(every, alone=1)
        again = _closed(lambda *v: list(call(*v, graph=graph, remat=True)), graph.input_specs, f"again_{body.name}")
        rows = [reshape(_rows(x, 0, count * every), shape=(count, 1, every, *x.shape[1:])) for x in xs]
        state, ys = bind(again, consts, state, rows, length=count, reverse=reverse)
        return state, [reshape(y, shape=(count * every, *y.shape[2:])) for y in ys]

    def remaining(state: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        tail = [_rows(x, count * every, length) for x in xs]
        outs = list(call(*consts, *state, *tail, graph=segment(rest, alone=0), remat=True))
        return outs[: len(carry)], outs[len(carry) :]

    if not rest:
        return whole(carry)
    first, second = (remaining, whole) if reverse else (whole, remaining)
    state, one = first(carry)
    state, other = second(state)
    pairs = zip(other, one, strict=True) if reverse else zip(one, other, strict=True)
    return state, [concatenate(a, b, axis=0) for a, b in pairs]


def _closed(function: Callable[..., list[Tensor]], specs: Sequence[Spec], name: str) -> Graph:
    made: Graph = graph_transforms().closed(function, specs, name)
    return made


def _parts(items: Sequence[Tensor], consts: int, carry: int) -> tuple[Any, Any, Any]:
    return items[:consts], items[consts : consts + carry], items[consts + carry :]


def _rows(x: Tensor, start: int, stop: int) -> Tensor:
    if (start, stop) == (0, x.shape[0]):
        return x
    made: Tensor = cut(x, start=(start, *(0,) * (x.ndim - 1)), stop=(stop, *x.shape[1:]), step=(1,) * x.ndim)
    return made
