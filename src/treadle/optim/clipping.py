"""Bounds on gradients: by value, by the norm of each tensor, by the norm of all. Optimisers take them as `clip=`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

from treadle import array as xp
from treadle.core import trees
from treadle.core.dtypes import float32, float64
from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor
from treadle.optim.checks import positive

Transform = Callable[[Any], Any]


def _norm(tensors: list[Tensor]) -> Tensor:
    """Euclidean norm over all elements. float64, in which no square of a float32 overflows or vanishes."""
    wide = [x.astype(float64) for x in tensors]
    squares = [xp.sum(x * x) for x in wide] or [xp.asarray(0.0, dtype=float64)]
    return xp.sqrt(reduce(xp.add, squares))


def global_norm(tree: Any) -> Tensor:
    """Euclidean norm of all tensors of a tree together, as one long vector.

    Returns: float32 scalar; float64 if one of the tensors is.

    >>> import treadle as td
    >>> td.optim.global_norm({"a": td.asarray([3.]), "b": td.asarray([[0., 4.]])}).item()
    5.0
    """
    tensors = [xp.asarray(x) for x in trees.leaves(tree)]
    return _norm(tensors).astype(float64 if any(x.dtype is float64 for x in tensors) else float32)


def _factor(norm: Tensor, max_norm: float) -> Tensor:
    """At most 1, and 1 is exact: gradients within the bound keep their bits."""
    return max_norm / xp.maximum(norm, max_norm)


def clip_by_value(limit: float, high: float | None = None) -> Transform:
    """A function of trees that brings each element into [-limit, limit], or into [limit, high]. NaN stays NaN.

    Raises:
        ArgumentError: the interval is empty.

    >>> import treadle as td
    >>> td.optim.clip_by_value(1.0)({"x": td.asarray([-3., 0.5])})["x"].tolist()
    [-1.0, 0.5]
    """
    low, top = (-limit, limit) if high is None else (limit, high)
    if not low <= top:
        raise ArgumentError(f"clip_by_value: the interval from {low} to {top} is empty")
    return partial(trees.map, partial(_between, float(low), float(top)))


def _between(low: float, high: float, x: Any) -> Tensor:
    return xp.clip(xp.asarray(x), low, high)


def clip_by_norm(max_norm: float) -> Transform:
    """A function of trees that shortens each tensor whose Euclidean norm exceeds `max_norm` to that norm.

    Raises:
        ArgumentError: `max_norm` is not > 0.

    >>> import treadle as td
    >>> td.optim.clip_by_norm(1.0)({"a": td.asarray([0., 4.]), "b": td.asarray([0.5])})["a"].tolist()
    [0.0, 1.0]
    """
    positive(max_norm=max_norm)
    return partial(trees.map, partial(_shortened, float(max_norm)))


def _shortened(max_norm: float, x: Any) -> Tensor:
    t = xp.asarray(x)
    return t * _factor(_norm([t]), max_norm).astype(t.dtype)


def clip_by_global_norm(max_norm: float) -> Transform:
    """A function of trees that scales all tensors by one factor, so that their `global_norm` is at most `max_norm`.

    The direction stays. A NaN or infinite element makes all of them NaN or 0: `td.optim.global_norm` shows it first.

    Raises:
        ArgumentError: `max_norm` is not > 0.

    >>> import treadle as td
    >>> out = td.optim.clip_by_global_norm(1.0)({"a": td.asarray([3.]), "b": td.asarray([4.])})
    >>> round(out["a"].item(), 6), round(out["b"].item(), 6)
    (0.6, 0.8)

    Source: Pascanu, Mikolov and Bengio, On the Difficulty of Training Recurrent Neural Networks (ICML 2013).
    """
    positive(max_norm=max_norm)
    return partial(_all_shortened, float(max_norm))


def _all_shortened(max_norm: float, tree: Any) -> Any:
    leaves, structure = trees.flatten(tree)
    tensors = [xp.asarray(x) for x in leaves]
    factor = _factor(_norm(tensors), max_norm)
    factors = {d: factor.astype(d) for d in {x.dtype: None for x in tensors}}
    return trees.unflatten(structure, [x * factors[x.dtype] for x in tensors])
