"""Losses of numbers, counts and directions."""

from __future__ import annotations

import math
from typing import Any

from treadle import array as xp
from treadle.array.convert import eps, stop_gradient
from treadle.core.spec import normalize_axis
from treadle.core.tensor import Tensor
from treadle.nn.losses.checks import Named, check_positive, pair
from treadle.nn.losses.sequences import of_sequences
from treadle.nn.losses.weighting import times, weigh


@of_sequences
def mse(
    prediction: Any,
    target: Any,
    *,
    weights: Any = None,
    mask: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean squared error: `(prediction - target)**2`.

    Args:
        prediction: `[...]` floating point.
        target: the same shape, in the same unit.
        weights, mask, reduction: as in `treadle.nn.losses`; the losses have the prediction's shape.

    Returns: `[]`, in the squared unit, or the prediction's shape with `reduction="none"`.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: an unknown reduction.

    >>> import treadle as td
    >>> td.losses.mse(td.asarray([1., 2.]), td.asarray([1., 5.])).item()
    4.5
    >>> td.losses.mse(td.zeros((32, 1)), td.zeros(32))
    Traceback (most recent call last):
    treadle.core.errors.ShapeError: in mse: prediction [32, 1] and target [32] would broadcast to [32, 32], 1024 pairs
    instead of 32. Write target[:, None], or let the model return prediction[:, 0].
    """
    with Named("mse"):
        p, t = pair(prediction, target)
        residual = p - t
        return weigh(residual * residual, weights, mask, reduction)


@of_sequences
def mae(
    prediction: Any,
    target: Any,
    *,
    weights: Any = None,
    mask: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean absolute error: `abs(prediction - target)`; its minimum is the median. Its derivative at 0 is 0.

    Args:
        prediction: `[...]` floating point.
        target: the same shape, in the same unit.
        weights, mask, reduction: as in `treadle.nn.losses`; the losses have the prediction's shape.

    Returns: `[]`, in that unit, or the prediction's shape with `reduction="none"`.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: an unknown reduction.

    >>> import treadle as td
    >>> td.losses.mae(td.asarray([1., 2.]), td.asarray([1., 5.])).item()
    1.5
    """
    with Named("mae"):
        p, t = pair(prediction, target)
        return weigh(xp.abs(p - t), weights, mask, reduction)


@of_sequences
def huber(
    prediction: Any,
    target: Any,
    *,
    delta: float = 1.0,
    weights: Any = None,
    mask: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Huber loss: quadratic near zero, linear in the tails, so that outliers pull less.

    With `r = prediction - target`: `r**2 / 2` where `|r| <= delta`, else `delta * (|r| - delta / 2)`.

    Args:
        prediction: `[...]` floating point.
        target: the same shape, in the same unit.
        delta: > 0, in that unit: residuals beyond it count as outliers.
        weights, mask, reduction: as in `treadle.nn.losses`; the losses have the prediction's shape.

    Returns: `[]`, in the squared unit, or the prediction's shape with `reduction="none"`.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: `delta <= 0`, or an unknown reduction.

    >>> import treadle as td
    >>> td.losses.huber(td.asarray([0., 3.]), td.asarray([0.5, 0.])).item()
    1.3125

    Source: Huber, Robust Estimation of a Location Parameter, Ann. Math. Statist. 35 (1964).
    PyTorch's SmoothL1Loss is this divided by `beta` (its delta).
    """
    with Named("huber"):
        check_positive("delta", delta)
        p, t = pair(prediction, target)
        residual = p - t
        inner = xp.clip(residual, -float(delta), float(delta))
        # Both cases in one: inside, inner is r, outside it is ±delta. The factor (r - inner) of the derivative of
        # `inner` vanishes wherever that is not 0, so the derivative is `inner`, at the joints too.
        return weigh(inner * (residual - inner / 2), weights, mask, reduction)


@of_sequences
def log_cosh(
    prediction: Any,
    target: Any,
    *,
    weights: Any = None,
    mask: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Logarithm of the hyperbolic cosine of the error: about `r**2 / 2` near zero, `|r| - log(2)` in the tails.

    Like `huber`, but smooth everywhere.

    Args:
        prediction: `[...]` floating point.
        target: the same shape, in the same unit.
        weights, mask, reduction: as in `treadle.nn.losses`; the losses have the prediction's shape.

    Returns: `[]`, or the prediction's shape with `reduction="none"`.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: an unknown reduction.

    >>> import treadle as td
    >>> print(round(td.losses.log_cosh(td.asarray([10000.]), td.asarray([0.])).item(), 3))  # 10000 - log(2)
    9999.307
    """
    with Named("log_cosh"):
        p, t = pair(prediction, target)
        residual = p - t
        size = xp.abs(residual)
        half = xp.sinh(xp.clip(residual, -1.0, 1.0) / 2)
        near = xp.log1p(2 * half * half)  # cosh(r) = 1 + 2 sinh(r/2)**2: small errors keep all their digits
        far = size + xp.log1p(xp.exp(-2 * size)) - math.log(2)
        return weigh(xp.where(size < 1, near, far), weights, mask, reduction)


@of_sequences
def poisson(
    prediction: Any,
    target: Any,
    *,
    log_input: bool = True,
    full: bool = False,
    weights: Any = None,
    mask: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of counts: `exp(prediction) - target * prediction`, the prediction being the log rate.

    Args:
        prediction: `[...]` floating point: logarithm of the expected count, or the expected count with
            `log_input=False` (whose logarithm is taken of no less than the dtype's resolution).
        target: the same shape: counts >= 0, also as integers.
        full: adds `log(target!)`, which no prediction changes: then it is the whole negative log-likelihood.
        weights, mask, reduction: as in `treadle.nn.losses`; the losses have the prediction's shape.

    Returns: `[]`, in nats, or the prediction's shape with `reduction="none"`.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: an unknown reduction.

    >>> import treadle as td
    >>> td.losses.poisson(td.asarray([0., 0.]), td.asarray([3, 0])).item()
    1.0
    """
    with Named("poisson"):
        p, t = pair(prediction, target)
        losses = xp.exp(p) - times(t, p) if log_input else p - t * xp.log(xp.clip(p, eps(p.dtype), None))
        if full:
            losses = losses + xp.lgamma(t + 1)
        return weigh(losses, weights, mask, reduction)


@of_sequences
def cosine_similarity(
    prediction: Any,
    target: Any,
    *,
    axis: int = -1,
    weights: Any = None,
    mask: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """One minus the cosine of the angle between prediction and target: 0 for one direction, 1 for a right angle, 2.

    A vector of zeros has a right angle to all. Neither huge nor tiny vectors overflow.

    Args:
        prediction: `[..., features]` floating point.
        target: the same shape.
        axis: where the features are.
        weights, mask, reduction: as in `treadle.nn.losses`; the losses have the shape without the features.

    Returns: `[]`, or the shape without the features with `reduction="none"`.

    Raises:
        ShapeError: the shapes differ, or there is no such axis.
        ArgumentError: an unknown reduction.

    >>> import treadle as td
    >>> loss = td.losses.cosine_similarity(td.asarray([[3., 4.]]), td.asarray([[4., 3.]]))
    >>> round(loss.item(), 6)  # 1 - 24/25
    0.04

    Keras's loss of this name is this minus 1.
    """
    with Named("cosine_similarity"):
        p, t = pair(prediction, target)
        axis = normalize_axis(axis, p.ndim)
        return weigh(1 - xp.sum(_direction(p, axis) * _direction(t, axis), axis=axis), weights, mask, reduction)


def _direction(x: Tensor, axis: int) -> Tensor:
    """x over its length; zeros stay zeros. Scaled first, which changes neither the direction nor its derivative."""
    largest = stop_gradient(xp.max(xp.abs(x), axis=axis, keepdims=True))
    scaled = x / xp.where(largest > 0, largest, 1.0)
    squares = xp.sum(scaled * scaled, axis=axis, keepdims=True)
    return scaled / xp.sqrt(xp.where(squares > 0, squares, 1.0))
