"""What a classifier's predictions and targets mean, read from their shapes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.train.metrics.base import Array, array, spread_weights

TASKS = ("binary", "multiclass", "multilabel")


@dataclass(frozen=True)
class Examples:
    """Flattened to one row an example.

    Attributes:
        task: one of TASKS.
        scores: `[n]` for binary, else `[n, classes]`; None when the predictions were labels already.
        labels: the predicted `[n]` or, for multilabel, `[n, classes]` of 0 and 1; -1 where a score is NaN.
        targets: as the labels.
        weights: `[n]` or None.
        classes: how many.
    """

    task: str
    scores: Array | None
    labels: Array
    targets: Array
    weights: Array | None
    classes: int


def read(
    prediction: Any, target: Any, weights: Any, metric: str, threshold: float | None, task: str | None
) -> Examples:
    """Predictions and targets as examples. See `Accuracy` for the table of shapes.

    Raises:
        ShapeError: they do not fit together, or several tasks could be meant.
        ArgumentError: an unknown task.
    """
    if task is not None and task not in TASKS:
        raise ArgumentError(f"{metric}: task={task!r}; there are {', '.join(TASKS)}")
    p, t = array(prediction), array(target)
    floating = p.dtype.kind == "f"
    if task is None:
        task = _task(p, t, floating, metric)
    if task == "multiclass":
        return _multiclass(p, t, floating, weights, metric)
    if task == "multilabel":
        _same(p, t, metric)
        w = spread_weights(weights, t.shape[:-1], metric)
        rows = p.reshape(-1, p.shape[-1])
        labels = _over(rows, threshold) if floating else rows.astype(np.int64)
        return Examples(
            task, rows if floating else None, labels, _zero_one(t.reshape(rows.shape), metric), _flat(w), p.shape[-1]
        )
    p, t = _column(p, t, metric)
    w = spread_weights(weights, t.shape, metric)
    flat = p.reshape(-1)
    labels = _over(flat, threshold) if floating else flat.astype(np.int64)
    return Examples(task, flat if floating else None, labels, _zero_one(t.reshape(-1), metric), _flat(w), 2)


def _task(p: Array, t: Array, floating: bool, metric: str) -> str:
    if not floating:
        return "multiclass"  # labels against labels
    if p.ndim == t.ndim + 1 and p.shape[:-1] == t.shape:
        return "binary" if p.shape[-1] == 1 else "multiclass"
    if p.shape == t.shape:
        return "multiclass" if p.ndim >= 2 and p.shape[-1] > 1 else "binary"
    if t.ndim == p.ndim and t.shape[:-1] == p.shape[:-1] and t.shape[-1] == 1:
        return "multiclass"  # labels [n, 1] for scores [n, classes]
    raise _unfit(p, t, metric)


def _multiclass(p: Array, t: Array, floating: bool, weights: Any, metric: str) -> Examples:
    if not floating:
        p, t = _column(p, t, metric)
        w = spread_weights(weights, t.shape, metric)
        labels, targets = p.reshape(-1).astype(np.int64), _integers(t.reshape(-1), metric)
        classes = int(max(np.max(labels, initial=-1), np.max(targets, initial=-1))) + 1
        _in_range(targets, classes, metric)
        return Examples("multiclass", None, labels, targets, _flat(w), classes)
    classes = p.shape[-1] if p.ndim else 0
    if t.shape == p.shape:
        t = t.argmax(axis=-1)
    elif t.ndim == p.ndim and t.shape[-1:] == (1,):
        t = t[..., 0]
    if t.shape != p.shape[:-1]:
        raise _unfit(p, t, metric)
    w = spread_weights(weights, t.shape, metric)
    scores, targets = p.reshape(-1, classes), _integers(t.reshape(-1), metric)
    if w is not None:  # padding has weight 0 and whatever label
        targets = np.where(_flat(w) == 0, 0, targets)
    _in_range(targets, classes, metric)
    labels = np.where(np.isnan(scores).any(axis=-1), -1, scores.argmax(axis=-1)) if len(scores) else targets
    return Examples("multiclass", scores, labels, targets, _flat(w), classes)


def _column(p: Array, t: Array, metric: str) -> tuple[Array, Array]:
    """`[n, 1]` and `[n]` mean the same here: a trailing axis of one is dropped where the other lacks it."""
    if p.ndim == t.ndim + 1 and p.shape[-1] == 1:
        p = p[..., 0]
    elif t.ndim == p.ndim + 1 and t.shape[-1] == 1:
        t = t[..., 0]
    elif p.ndim == t.ndim == 2 and p.shape == t.shape and p.shape[1] == 1:
        p, t = p[:, 0], t[:, 0]
    _same(p, t, metric)
    return p, t


def _same(p: Array, t: Array, metric: str) -> None:
    if p.shape != t.shape:
        raise _unfit(p, t, metric)


def _unfit(p: Array, t: Array, metric: str) -> ShapeError:
    return ShapeError(
        f"{metric}: predictions {show_shape(p.shape)} and targets {show_shape(t.shape)} do not fit together. Scores "
        "[n, classes] go with labels [n] or one-hot rows [n, classes]; scores [n] or [n, 1] with 0/1 targets [n]"
    )


def _over(scores: Array, threshold: float | None) -> Array:
    labels = (scores > (0.0 if threshold is None else threshold)).astype(np.int64)
    return np.where(np.isnan(scores), -1, labels)


def _zero_one(t: Array, metric: str) -> Array:
    out = _integers(t, metric)
    if out.size and (out.min() < 0 or out.max() > 1):
        raise ArgumentError(
            f"{metric}: binary targets are 0 or 1, but these go from {out.min()} to {out.max()}. For classes, let the "
            "model give one score a class: predictions [n, classes]"
        )
    return out


def _integers(t: Array, metric: str) -> Array:
    out = t.astype(np.int64)
    if t.dtype.kind == "f" and (out != t).any():
        raise ArgumentError(f"{metric}: targets are class numbers, but {t[out != t][0]} is no integer")
    return out


def _in_range(targets: Array, classes: int, metric: str) -> None:
    wrong = (targets < 0) | (targets >= classes)
    if wrong.any():
        raise ArgumentError(
            f"{metric}: the target {targets[wrong][0]} (example {int(np.argmax(wrong))}) is not among the classes 0 to "
            f"{classes - 1}. Number classes from 0; give examples that do not count the weight 0"
        )


def _flat(w: Array | None) -> Array | None:
    return None if w is None else w.reshape(-1)


def widened(totals: dict[str, Array], scores: Array | None) -> dict[str, Array]:
    """The lowest and highest score seen, when these have been seen too: whether they look like probabilities."""
    finite = np.zeros(0) if scores is None else scores[np.isfinite(scores)]
    if not finite.size:
        return {}
    lowest, highest = totals.get("lowest", np.inf), totals.get("highest", -np.inf)
    return {"lowest": np.minimum(lowest, np.min(finite)), "highest": np.maximum(highest, np.max(finite))}


def warn_of_probabilities(totals: dict[str, Array], metric: str) -> None:
    """Scores that are read as logits, but all lie between 0 and 1, would all mean class 1."""
    low, high = float(totals.get("lowest", 0.0)), float(totals.get("highest", 0.0))
    if 0 <= low < high <= 1:
        warnings.warn(
            f"{metric}: all scores lie between {low:.3g} and {high:.3g}, so they look like probabilities; "
            "as logits, all of them above 0 mean class 1. If they are probabilities, use threshold=0.5",
            stacklevel=3,
        )
