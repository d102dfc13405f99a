"""`associative_scan`: all partial results of an associative function at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treadle import array as xp
from treadle.core import trees
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.tensor import Tensor


def associative_scan(function: Callable[[Any, Any], Any], xs: Any, *, axis: int = 0, reverse: bool = False) -> Any:
    """`[x0, f(x0, x1), f(f(x0, x1), x2), …]` in about 2 log2(n) rounds of `function` instead of n.

    In each round the function gets many elements at once: it must treat the elements along `axis` separately.
    Derivatives, vmap and compile work through it, because it is made of ordinary operations. A linear recurrence
    `h[t] = a[t] h[t-1] + b[t]` is the scan of `(a, b)` with `f((a, b), (c, d)) = (c a, c b + d)`.

    Args:
        function: associative: `f(f(a, b), c) = f(a, f(b, c))`; of two trees like xs, the earlier elements first.
        xs: a tree of tensors with equal, known sizes on `axis`.
        reverse: from the last element to the first: `[…, f(x[n-1], x[n-2]), x[n-1]]`.

    Returns: a tree like xs. The rounding differs from that of a loop, which adds in another order.

    Raises:
        ShapeError: sizes differ on the axis, or are not known; the function changes shapes.

    >>> import treadle as td
    >>> td.associative_scan(td.add, td.asarray([1., 2., 3., 4., 5.])).tolist()
    [1.0, 3.0, 6.0, 10.0, 15.0]
    >>> a, b = td.asarray([.5, .5, .5]), td.asarray([1., 1., 1.])
    >>> td.associative_scan(lambda x, y: (y[0] * x[0], y[0] * x[1] + y[1]), (a, b))[1].tolist()
    [1.0, 1.5, 1.75]

    Source: Blelloch, Prefix sums and their applications, CMU-CS-90-190 (1990).
    """
    leaves, structure = trees.flatten(xs)
    moved = [xp.moveaxis(xp.asarray(x), axis, 0) for x in leaves]
    if not moved:
        raise ArgumentError("associative_scan: there are no tensors to scan")
    sizes = [x.shape[0] for x in moved]
    if len(set(sizes)) > 1 or not isinstance(sizes[0], int):
        raise ShapeError(
            f"associative_scan: axis {axis} must have one known size, and has {', '.join(map(str, sizes))}"
        )

    def combined(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        out, found = trees.flatten(function(trees.unflatten(structure, a), trees.unflatten(structure, b)))
        if found != structure or any(x.shape != y.shape for x, y in zip(out, a, strict=True)):
            raise ShapeError(
                "associative_scan: the function must return what it gets, "
                f"{[str(x.spec) for x in a]}, and returns {[str(x.spec) for x in out]}"
            )
        return out

    if reverse:
        moved = [xp.flip(x, axis=0) for x in moved]
    made = _scan(combined, moved)
    if reverse:
        made = [xp.flip(x, axis=0) for x in made]
    return trees.unflatten(structure, [xp.moveaxis(x, 0, axis) for x in made])


def _scan(function: Callable[[list[Tensor], list[Tensor]], list[Tensor]], xs: list[Tensor]) -> list[Tensor]:
    """Pairs, half as many, are scanned: those are the results at odd places. The even ones are one step on."""
    n = int(xs[0].shape[0])
    if n < 2:
        return xs
    odd = _scan(function, function([x[: n - 1 : 2] for x in xs], [x[1::2] for x in xs]))
    first = [x[:1] for x in xs]
    if n == 2:
        return [xp.concat([a, b], axis=0) for a, b in zip(first, odd, strict=True)]
    known = odd if n % 2 else [x[:-1] for x in odd]
    even = function(known, [x[2::2] for x in xs])
    even = [xp.concat([a, b], axis=0) for a, b in zip(first, even, strict=True)]
    return [_interleaved(a, b, n) for a, b in zip(even, odd, strict=True)]


def _interleaved(even: Tensor, odd: Tensor, n: int) -> Tensor:
    if n % 2:
        odd = xp.concat([odd, even[:1]], axis=0)  # one too many, which is cut off
    both = xp.stack([even, odd], axis=1)
    return xp.reshape(both, (n + n % 2, *even.shape[1:]))[:n]
