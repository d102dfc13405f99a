"""How a recurrence goes through its steps: written out, or in blocks, of which some can be skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treadle import array as xp
from treadle.core import trees
from treadle.core.dims import Size
from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor
from treadle.ops.control import cond, scan
from treadle.transforms import eval_shape

BLOCK = 16  # steps: enough for the products taken out of the inner loop to be large ones

Body = Callable[[Any, Any], tuple[Any, Any]]


def unrolled(body: Body, carry: Any, xs: Any, *, reverse: bool) -> tuple[Any, Any]:
    """`scan`, step by step.

    Raises:
        ArgumentError: the number of steps is not known.
    """
    count: Size = trees.leaves(xs)[0].shape[0]
    if not isinstance(count, int):
        raise ArgumentError("unroll=True needs a known number of steps")
    outs = []
    for t in reversed(range(count)) if reverse else range(count):
        carry, y = body(carry, trees.map(lambda a, t=t: a[t], xs))
        outs.append(y)
    if reverse:
        outs.reverse()
    return carry, trees.map(lambda *ys: xp.stack(ys), *outs) if outs and outs[0] is not None else None


def scan_of_blocks(
    body: Body, carry: Any, xs: tuple[Any, Tensor], *, reverse: bool, checkpoint: bool | int = False
) -> tuple[Any, Any]:
    """`scan`, but blocks of steps that are not real for any sequence are skipped.

    Args:
        body: leaves the carry as it is, and gives zeros, for sequences whose step is not real.
        xs: (inputs, bool `[time, batch]` of what is real).
    """
    _, real = xs
    time = real.shape[0]
    if not isinstance(time, int) or time < 2 * BLOCK:
        return scan(body, carry, xs, reverse=reverse, checkpoint=checkpoint)
    count = -(-time // BLOCK)
    rest = count * BLOCK - time

    def cut(a: Tensor) -> Tensor:
        if rest:
            a = xp.concat([a, xp.zeros((rest, *a.shape[1:]), dtype=a.dtype)], axis=0)
        return xp.reshape(a, (count, BLOCK, *a.shape[1:]))

    y = eval_shape(lambda carry, x: body(carry, x)[1])(carry, trees.map(lambda a: a[0], xs))

    def run(carry: Any, block: Any) -> Any:
        return scan(body, carry, block, reverse=reverse)

    def skip(carry: Any, block: Any) -> Any:
        return carry, trees.map(lambda s: xp.zeros((BLOCK, *s.shape), dtype=s.dtype), y)

    def each(carry: Any, block: Any) -> Any:
        return cond(xp.any(block[1]), run, skip, carry, block)

    blocks = checkpoint if isinstance(checkpoint, bool) else -(-checkpoint // BLOCK)
    carry, ys = scan(each, carry, trees.map(cut, xs), reverse=reverse, checkpoint=blocks)
    return carry, trees.map(lambda a: xp.reshape(a, (count * BLOCK, *a.shape[2:]))[:time], ys)
