"""Metrics of scores that depend on their order alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle.core.errors import ShapeError
from treadle.train.metrics.base import Array, Metric
from treadle.train.metrics.labels import read


class AUC(Metric):
    """Area under the ROC curve: how likely a positive example scores above a negative one; ties count one half.

    Exact: it keeps all scores (8 bytes an example and class), not a histogram. Scores `[n, 2]` count by their
    difference; for more classes it is the mean over classes of the AUC of each one's probability against the rest.
    NaN while one of the two kinds is missing, or when a score is NaN.

    Args:
        from_logits: whether scores `[n, classes]` are logits (then softmax makes probabilities of them), as in losses.
        task: as in `Accuracy`.

    >>> m = td.train.metrics.AUC()
    >>> m.update([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]); m.result()
    0.75

    Source: Mann, Whitney, Ann. Math. Statist. 18 (1947); Hanley, McNeil, Radiology 143 (1982).
    """

    def __init__(self, *, from_logits: bool = True, task: str | None = None, name: str = "auc") -> None:
        super().__init__(name)
        self.from_logits, self.task = from_logits, task
        self._parts: dict[str, list[Array]] = {}

    def reset(self) -> None:
        super().reset()
        self._parts = {}

    def update(self, prediction: Any, target: Any, weights: Any = None) -> None:
        e = read(np.asarray(prediction, np.float64), target, weights, self.name, None, self.task)
        if e.scores is None:
            raise ShapeError(f"{self.name} needs scores")
        scores, targets = e.scores, e.targets
        if e.task == "multiclass" and e.classes == 2:
            scores = scores[:, 1] - scores[:, 0]
        elif e.task == "multiclass":
            scores = _softmax(scores) if self.from_logits else scores
            targets = targets[:, None] == np.arange(e.classes)
        w = np.ones(len(targets), np.int64) if e.weights is None else e.weights
        for key, part in (("scores", scores), ("targets", targets.astype(np.bool_)), ("weights", w)):
            self._parts.setdefault(key, []).append(part.copy())

    def state(self) -> dict[str, Array]:
        self._join()
        return super().state()

    def _join(self) -> None:
        for key, parts in self._parts.items():
            old = [self.totals[key]] if key in self.totals else []
            self.totals[key] = np.concatenate(old + parts)
        self._parts = {}

    def result(self) -> float:
        self._join()
        if "scores" not in self.totals:
            return float("nan")
        scores, targets, w = (self.totals[k] for k in ("scores", "targets", "weights"))
        if scores.ndim == 1:
            return area(scores, targets, w)
        return float(np.mean([area(s, t, w) for s, t in zip(scores.T, targets.T, strict=True)]))


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=-np.inf))
    return powers / powers.sum(axis=-1, keepdims=True)


def area(scores: Array, targets: Array, weights: Array) -> float:
    """The area under the ROC curve by the rank statistic; groups of equal scores share their rank."""
    counted = weights != 0
    scores, targets, weights = scores[counted], targets[counted], weights[counted]
    if np.isnan(scores).any():
        return float("nan")
    order = np.argsort(scores, kind="stable")
    scores, targets, weights = scores[order], targets[order], weights[order]
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]]) if len(scores) else np.zeros(0, np.int64)
    if not len(starts):
        return float("nan")
    positive = np.add.reduceat(np.where(targets, weights, 0), starts)
    negative = np.add.reduceat(np.where(targets, 0, weights), starts)
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    # Twice the area, so that unweighted counts stay integers to the end.
    twice = (positive * (2 * below + negative)).sum()
    return float(twice / (2 * pairs)) if pairs else float("nan")
