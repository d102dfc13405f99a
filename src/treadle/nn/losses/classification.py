"""Losses of class predictions. From logits unless told otherwise: then nothing overflows and no clipping is needed."""

from __future__ import annotations

from typing import Any

from treadle import array as xp
from treadle.array.convert import apply, eps
from treadle.core.errors import DTypeError, OutOfRangeError
from treadle.core.tensor import Tensor
from treadle.nn.losses.checks import (
    Named,
    as_prediction,
    check_fraction,
    class_numbers,
    class_weights_of,
    classes_last,
    pair,
)
from treadle.nn.losses.sequences import of_sequences
from treadle.nn.losses.weighting import times, weigh, weighting
from treadle.ops import index as index_ops


def _log_probabilities(p: Tensor, from_logits: bool) -> Tensor:
    """Along the last axis. Probabilities below the dtype's resolution count as that, so that their loss is finite."""
    return xp.log_softmax(p, axis=-1) if from_logits else xp.log(xp.clip(p, eps(p.dtype), None))


def _pick(log_p: Tensor, classes: Tensor) -> Tensor:
    """`log_p[..., classes[...]]`: `[..., classes]` and `[...]` → `[...]`."""
    try:
        return apply(index_ops.gather, log_p, xp.expand_dims(classes, axis=-1), batch_dims=classes.ndim, mode="error")
    except OutOfRangeError as e:
        n = log_p.shape[-1]
        raise OutOfRangeError(
            f"a target is not a class: the prediction has {n} classes, 0 to {n - 1}, and {e.message}. "
            "For padding, use mask= or ignore_index="
        ) from None


@of_sequences
def sparse_categorical_crossentropy(
    prediction: Any,
    target: Any,
    *,
    from_logits: bool = True,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    axis: int = -1,
    weights: Any = None,
    mask: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of one true class each, given by its number: `-log(p[target])`, in nats.

    With `label_smoothing` s and K classes, the true class counts `1 - s + s/K` and each other one `s/K`.

    Args:
        prediction: `[..., classes]` floating point: logits, or probabilities with `from_logits=False` (those below the
            dtype's resolution count as that).
        target: `[...]` integers, 0 to classes - 1.
        ignore_index: targets with this number are masked; it may lie outside of the classes.
        axis: where the classes are in the prediction; the target has the other axes.
        weights, mask, reduction: as in `treadle.nn.losses`; the losses have the target's shape.

    Returns: `[]`, or the target's shape with `reduction="none"`.

    Raises:
        DTypeError: the targets are not integers.
        ShapeError: the target's shape is not the prediction's without its classes.
        OutOfRangeError: a target that is no class (in compiled code: when it runs).
        ArgumentError: `label_smoothing` outside of [0, 1), or an unknown reduction.

    >>> import treadle as td
    >>> logits = td.log(td.asarray([[0.5, 0.25, 0.25]]))
    >>> print(round(td.losses.sparse_categorical_crossentropy(logits, td.asarray([0])).item(), 4))  # log(2)
    0.6931

    Source of the smoothing: Szegedy et al., Rethinking the Inception Architecture (CVPR 2016), section 7.
    """
    with Named("sparse_categorical_crossentropy"):
        check_fraction("label_smoothing", label_smoothing)
        p = classes_last(as_prediction(prediction), axis)
        classes = class_numbers(target, p.shape)
        counted = weighting(classes.shape, p.dtype, weights, mask)
        if ignore_index is not None:
            counted = counted.without(classes == ignore_index)
        log_p = _log_probabilities(p, from_logits)
        losses = -_pick(log_p, counted.where_present(classes, 0))
        if label_smoothing:
            losses = (1 - label_smoothing) * losses - label_smoothing * xp.mean(log_p, axis=-1)
        return counted.reduce(losses, reduction)


@of_sequences
def categorical_crossentropy(
    prediction: Any,
    target: Any,
    *,
    from_logits: bool = True,
    label_smoothing: float = 0.0,
    axis: int = -1,
    weights: Any = None,
    mask: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of target probabilities, for instance one-hot rows: `-sum(target * log(p))`, in nats.

    A class whose target is 0 adds 0, also where the prediction excludes it (a logit of -inf).

    Args:
        prediction: `[..., classes]` floating point: logits, or probabilities with `from_logits=False` (those below the
            dtype's resolution count as that).
        target: the same shape, floating point: probabilities with sum 1 along `axis`.
        label_smoothing: s replaces the target by `(1 - s) * target + s / classes`.
        axis: where the classes are.
        weights, mask, reduction: as in `treadle.nn.losses`; the losses have the shape without the classes.

    Returns: `[]`, or the shape without the classes with `reduction="none"`.

    Raises:
        DTypeError: the targets are not floating point.
        ShapeError: the shapes differ.
        ArgumentError: `label_smoothing` outside of [0, 1), or an unknown reduction.

    >>> import treadle as td
    >>> logits = td.log(td.asarray([[0.5, 0.25, 0.25]]))
    >>> print(round(td.losses.categorical_crossentropy(logits, td.asarray([[0., 1., 0.]])).item(), 4))  # log(4)
    1.3863
    """
    with Named("categorical_crossentropy"):
        check_fraction("label_smoothing", label_smoothing)
        given = as_prediction(prediction)
        t = class_weights_of(target, given, axis)
        p = classes_last(given, axis)
        if label_smoothing:
            t = (1 - label_smoothing) * t + label_smoothing / xp.asarray(p.shape[-1], dtype=p.dtype)
        losses = -xp.sum(times(t, _log_probabilities(p, from_logits)), axis=-1)
        return weigh(losses, weights, mask, reduction)


@of_sequences
def binary_crossentropy(
    prediction: Any,
    target: Any,
    *,
    from_logits: bool = True,
    label_smoothing: float = 0.0,
    weights: Any = None,
    mask: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of yes or no, each element by itself: `-t * log(p) - (1 - t) * log(1 - p)`, in nats.

    From logits z it is `t * softplus(-z) + (1 - t) * softplus(z)`: exact also where p rounds to 0 or 1.

    Args:
        prediction: `[...]` floating point: logits, or probabilities with `from_logits=False` (which count as no nearer
            to 0 and 1 than the dtype's resolution).
        target: the same shape: probabilities, or 0 and 1, also as integers or bool.
        label_smoothing: s replaces the target by `(1 - s) * target + s / 2`.
        weights, mask, reduction: as in `treadle.nn.losses`; the losses have the prediction's shape.

    Returns: `[]`, or the prediction's shape with `reduction="none"`.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: `label_smoothing` outside of [0, 1), or an unknown reduction.

    >>> import treadle as td
    >>> td.losses.binary_crossentropy(td.asarray([1e4, -1e4]), td.asarray([True, True])).item()
    5000.0
    """
    with Named("binary_crossentropy"):
        check_fraction("label_smoothing", label_smoothing)
        p, t = pair(prediction, target)
        if label_smoothing:
            t = (1 - label_smoothing) * t + label_smoothing / 2
        if from_logits:
            yes, no = xp.softplus(-p), xp.softplus(p)
        else:
            inside = xp.clip(p, eps(p.dtype), 1 - eps(p.dtype))
            yes, no = -xp.log(inside), -xp.log1p(-inside)
        return weigh(times(t, yes) + times(1 - t, no), weights, mask, reduction)


@of_sequences
def kl_divergence(
    prediction: Any,
    target: Any,
    *,
    from_logits: bool = True,
    axis: int = -1,
    weights: Any = None,
    mask: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Kullback-Leibler divergence of the prediction from the target: `sum(target * log(target / p))`, in nats.

    Cross-entropy less the target's own entropy: the same gradient, and 0 where they agree.

    Args:
        prediction: `[..., classes]` floating point: logits, or probabilities with `from_logits=False` (those below the
            dtype's resolution count as that).
        target: the same shape, floating point: probabilities with sum 1 along `axis`.
        axis: where the classes are.
        weights, mask, reduction: as in `treadle.nn.losses`; the losses have the shape without the classes.

    Returns: `[]`, or the shape without the classes with `reduction="none"`.

    Raises:
        DTypeError: the targets are not floating point.
        ShapeError: the shapes differ.
        ArgumentError: an unknown reduction.

    >>> import treadle as td
    >>> print(round(td.losses.kl_divergence(td.asarray([[0., 0.]]), td.asarray([[1., 0.]])).item(), 4))  # log(2)
    0.6931

    Source: Kullback and Leibler, On Information and Sufficiency, Ann. Math. Statist. 22 (1951).
    """
    with Named("kl_divergence"):
        given = as_prediction(prediction)
        t = class_weights_of(target, given, axis)
        log_p = _log_probabilities(classes_last(given, axis), from_logits)
        losses = xp.sum(times(t, xp.log(t)) - times(t, log_p), axis=-1)
        return weigh(losses, weights, mask, reduction)


@of_sequences
def hinge(
    prediction: Any,
    target: Any,
    *,
    weights: Any = None,
    mask: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Hinge loss: `maximum(0, 1 - target * prediction)`; 0 beyond the margin. Its derivative on the margin is 0.

    Args:
        prediction: `[...]` floating point: signed scores.
        target: the same shape: -1 and 1, floating point or integers.
        weights, mask, reduction: as in `treadle.nn.losses`; the losses have the prediction's shape.

    Returns: `[]`, or the prediction's shape with `reduction="none"`.

    Raises:
        DTypeError: the targets are bool.
        ShapeError: the shapes differ.
        ArgumentError: an unknown reduction.

    >>> import treadle as td
    >>> td.losses.hinge(td.asarray([0.5, 3.0, 0.5]), td.asarray([1, 1, -1]), reduction="none").tolist()
    [0.5, 0.0, 1.5]
    """
    with Named("hinge"):
        if getattr(target, "dtype", None) == xp.bool:
            raise DTypeError("targets are bool, and hinge needs -1 and 1: td.where(target, 1.0, -1.0)")
        p, t = pair(prediction, target)
        return weigh(xp.relu(1 - t * p), weights, mask, reduction)
