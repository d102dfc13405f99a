"""Order: sorted values, the positions that sort, the largest few."""

from __future__ import annotations

from typing import NamedTuple

from treadle.array.axes import axis_of
from treadle.array.convert import ArrayLike, apply, as_size, numeric
from treadle.array.manipulation import permute
from treadle.core.tensor import Tensor
from treadle.core.tracing import bind
from treadle.ops import sort as sort_ops


def sort(x: ArrayLike, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Sorted along an axis; NaN last. Always stable, whatever `stable` says.

    Raises:
        ShapeError: there is no such axis.

    >>> td.sort(td.asarray([3, 1, 2])).tolist()
    [1, 2, 3]
    """
    t = numeric("sort", x)
    return apply(sort_ops.sort, t, axis=axis_of("sort", t, axis), descending=bool(descending))


def argsort(x: ArrayLike, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The positions that sort along an axis, int32; equal elements keep their order, NaN comes last.

    Raises:
        ShapeError: there is no such axis.

    >>> td.argsort(td.asarray([3, 1, 2])).tolist()
    [1, 2, 0]
    """
    t = numeric("argsort", x)
    return apply(sort_ops.argsort, t, axis=axis_of("argsort", t, axis), descending=bool(descending))


class TopK(NamedTuple):
    """What `top_k` returns."""

    values: Tensor
    indices: Tensor


def top_k(x: ArrayLike, k: int, /, *, axis: int = -1) -> TopK:
    """The k largest along an axis, in descending order, and their positions (int32).

    Raises:
        ShapeError: there is no such axis, or it has fewer than k elements.

    >>> values, indices = td.top_k(td.asarray([3, 9, 5]), 2)
    >>> values.tolist(), indices.tolist()
    ([9, 5], [1, 2])
    """
    t = numeric("top_k", x)
    a = axis_of("top_k", t, axis)
    last = (*(b for b in range(t.ndim) if b != a), a)
    back = tuple(last.index(b) for b in range(t.ndim))
    values, indices = bind(sort_ops.top_k, permute(t, last), k=as_size("top_k", k))
    return TopK(permute(values, back), permute(indices, back))
