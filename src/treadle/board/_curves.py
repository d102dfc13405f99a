"""Precision, recall and ROC at many thresholds, from sums over the scores in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from treadle.board._summaries import numbers
from treadle.core.errors import ArgumentError, ShapeError

Array = np.ndarray[Any, Any]


def checked(what: str, labels: Any, scores: Any, weights: Any) -> tuple[Array, Array, Array]:
    """Truth (bool), scores and weights, each `[n]`.

    Raises:
        ShapeError, ArgumentError: they do not fit, or are no scores.
    """
    truth, score = np.asarray(labels).ravel(), numbers(scores).ravel()
    weight = np.ones(len(score)) if weights is None else numbers(weights).ravel()
    if not len(truth) == len(score) == len(weight) or not len(truth):
        raise ShapeError(
            f"{what}: labels {np.shape(labels)} and scores {np.shape(scores)} must have the same number of elements, "
            "one at least" + ("" if weights is None else f", and so must weights {np.shape(weights)}")
        )
    if not np.isin(truth, (0, 1)).all():
        raise ArgumentError(f"{what}: labels are 0 or 1; for classes, pass scores [n, classes] and labels [n]")
    if not ((score >= 0) & (score <= 1)).all():
        raise ArgumentError(
            f"{what}: scores lie between 0 and 1, and these between {score.min():.4g} and {score.max():.4g}. "
            "Apply td.sigmoid or td.softmax to logits"
        )
    if not (weight >= 0).all():
        raise ArgumentError(f"{what}: weights are >= 0")
    return truth.astype(bool), score, weight


def per_class(what: str, labels: Any, scores: Any, classes: Any) -> dict[str, tuple[Array, Array]]:
    """For each class its name, whether a row is of it, and the scores: `labels` `[n]`, `scores` `[n, classes]`.

    Raises:
        ShapeError, ArgumentError: they do not fit.
    """
    score, truth = numbers(scores), np.asarray(labels)
    if truth.shape != score.shape[:1]:
        raise ShapeError(f"{what}: scores {score.shape} need labels of shape ({score.shape[0]},), not {truth.shape}")
    names = [str(k) for k in (range(score.shape[1]) if classes is None else classes)]
    if len(names) != score.shape[1]:
        raise ShapeError(f"{what}: {len(names)} names of classes for scores {score.shape}")
    if not np.issubdtype(truth.dtype, np.integer) or truth.min() < 0 or truth.max() >= len(names):
        raise ArgumentError(f"{what}: labels are integers from 0 to {len(names) - 1}")
    return {name: (truth == k, score[:, k]) for k, name in enumerate(names)}


def pr_table(truth: Array, score: Array, weight: Array, thresholds: int) -> Array:
    """`[6, thresholds]` as the plugin wants it, at `i / (thresholds - 1)`; a score of the threshold is positive.

    Rows: true and false positives, true and false negatives, precision (0 where nothing is positive), recall.
    """
    cuts = np.linspace(0.0, 1.0, thresholds)
    order = np.argsort(score, kind="stable")
    below = np.searchsorted(score[order], cuts, side="left")  # how many scores lie below each threshold
    positive = np.concatenate([[0.0], np.cumsum((weight * truth)[order])])
    negative = np.concatenate([[0.0], np.cumsum((weight * ~truth)[order])])
    fn, tn = positive[below], negative[below]
    tp, fp = positive[-1] - fn, negative[-1] - tn
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(tp + fp > 0, tp / (tp + fp), 0.0)
        recall = np.where(tp + fn > 0, tp / (tp + fn), 0.0)
    return np.stack([tp, fp, tn, fn, precision, recall])


def roc(truth: Array, score: Array, weight: Array) -> tuple[Array, Array, float]:
    """False and true positive rates at each distinct score, from the highest down, and the area below the curve.

    NaN where a class is missing. Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27 (2006).
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
    tp = np.concatenate([[0.0], np.cumsum((weight * truth)[order])[ends]])
    fp = np.concatenate([[0.0], np.cumsum((weight * ~truth)[order])[ends]])
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = fp / fp[-1], tp / tp[-1]
    return *rates, float(np.trapezoid(rates[1], rates[0]))


def each(
    what: str, tag: str, labels: Any, scores: Any, weights: Any, classes: Sequence[str] | None
) -> dict[str, tuple[Array, Array, Array]]:
    """What `checked` makes of each curve, by its tag: `<tag>/<class>` where the scores are of several classes.

    Raises:
        ArgumentError: names of classes, and scores of one.
    """
    if np.ndim(scores) == 2:
        found = per_class(f"{what}({tag!r})", labels, scores, classes)
        pairs = {f"{tag}/{name}": pair for name, pair in found.items()}
    elif classes is None:
        pairs = {tag: (labels, scores)}
    else:
        raise ArgumentError(f"{what}({tag!r}): classes= goes with scores [n, classes]")
    return {name: checked(f"{what}({name!r})", truth, score, weights) for name, (truth, score) in pairs.items()}
