"""Metrics of classifiers that look at the predicted class."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, ShapeError
from treadle.train.metrics.base import Array, Metric, ratio
from treadle.train.metrics.labels import Examples, read, warn_of_probabilities, widened

AVERAGES = ("binary", "macro", "micro", "weighted", None)


class _Classes(Metric):
    """A metric of predicted classes: reads the examples and watches the scores' range."""

    def __init__(self, name: str, threshold: float | None, task: str | None) -> None:
        super().__init__(name)
        self.threshold = threshold
        self.task = task

    def update(self, prediction: Any, target: Any, weights: Any = None) -> None:
        e = read(prediction, target, weights, self.name, self.threshold, self.task)
        if e.task != "multiclass" and self.threshold is None:
            self.totals.update(widened(self.totals, e.scores))
        self.count(e)

    @abstractmethod
    def count(self, e: Examples) -> None:
        """Take the examples of a batch."""

    def result(self) -> Any:
        if self.threshold is None:
            warn_of_probabilities(self.totals, self.name)
        return self.value()

    @abstractmethod
    def value(self) -> Any:
        """The result."""


class Accuracy(_Classes):
    """The part of the examples whose predicted class is right.

    What is compared is read from the shapes:

    | prediction | target | meaning |
    |---|---|---|
    | float `[..., classes]` | int `[...]` or `[..., 1]` | the highest score (the first of equals) against the label |
    | float `[..., classes]` | `[..., classes]` | the same, labels one-hot; with `task="multilabel"` each entry counts |
    | float `[...]` or `[..., 1]` | 0/1 `[...]` or `[..., 1]` | score > threshold against 0/1 |
    | int or bool `[...]` | int `[...]` | label against label |

    A NaN score makes the example wrong.

    Args:
        threshold: scores above it mean 1. None is 0, for logits, which treadle's losses take; 0.5 for probabilities.
        task: "binary", "multiclass" or "multilabel", to say what is meant instead of leaving it to the shapes.

    >>> m = td.train.metrics.Accuracy()
    >>> m.update([[0.1, 2.0], [3.0, 1.0]], [1, 0]); m.update([[0.0, 1.0]], [0])
    >>> round(m.result(), 4)
    0.6667
    """

    def __init__(self, *, threshold: float | None = None, task: str | None = None, name: str = "accuracy") -> None:
        super().__init__(name, threshold, task)

    def count(self, e: Examples) -> None:
        hit = e.labels == e.targets
        if e.task == "multilabel":
            hit = hit.mean(axis=1)
        if e.weights is None:
            self.add(right=hit.sum(), all=len(hit))
        else:
            self.add(right=(hit * e.weights).sum(), all=e.weights.sum())

    def value(self) -> float:
        return ratio(self.total("right"), self.total("all"))


class TopK(Metric):
    """The part of the examples whose class is among the k highest scores (of equal ones, the lower class number first).

    Args:
        k: >= 1.

    >>> m = td.train.metrics.TopK(2)
    >>> m.update([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]], [1, 2]); m.result()
    0.5
    """

    def __init__(self, k: int = 5, *, name: str | None = None) -> None:
        if k < 1:
            raise ArgumentError(f"TopK(k={k}): k is at least 1")
        super().__init__(name or f"top_{k}")
        self.k = k

    def update(self, prediction: Any, target: Any, weights: Any = None) -> None:
        e = read(prediction, target, weights, self.name, None, "multiclass")
        if e.scores is None:
            raise ShapeError(f"{self.name} needs scores [n, classes]; the predictions are integers")
        own = np.take_along_axis(e.scores, e.targets[:, None], axis=1)
        earlier = np.arange(e.classes) < e.targets[:, None]
        ahead = (e.scores > own) | ((e.scores == own) & earlier)
        hit = (ahead.sum(axis=1) < self.k) & ~np.isnan(e.scores).any(axis=1)
        if e.weights is None:
            self.add(right=hit.sum(), all=len(hit))
        else:
            self.add(right=(hit * e.weights).sum(), all=e.weights.sum())

    def result(self) -> float:
        return ratio(self.total("right"), self.total("all"))


class ConfusionMatrix(_Classes):
    """How often class i (row) was called class j (column): `int64[classes, classes]`, float64 with weights.

    Args:
        classes: how many; None takes it from the scores, or grows with the labels.
        threshold, task: as in `Accuracy`.

    Raises (from `update`):
        ArgumentError: a label beyond `classes`; a NaN score, which has no column.

    >>> m = td.train.metrics.ConfusionMatrix()
    >>> m.update([[0.1, 2.0], [3.0, 1.0]], [1, 1]); m.result().tolist()
    [[0, 0], [1, 1]]
    """

    def __init__(
        self,
        classes: int | None = None,
        *,
        threshold: float | None = None,
        task: str | None = None,
        name: str = "confusion_matrix",
    ) -> None:
        super().__init__(name, threshold, task)
        self.classes = classes

    def count(self, e: Examples) -> None:
        if e.task == "multilabel":
            raise ShapeError(f"{self.name} counts one class an example; these have several (multilabel)")
        if (e.labels < 0).any():
            raise ArgumentError(f"{self.name}: example {int(np.argmax(e.labels < 0))} has a NaN score")
        n = e.classes if self.classes is None else self.classes
        if e.classes > n:
            top = int(max(e.labels.max(initial=-1), e.targets.max(initial=-1)))
            if top >= n:
                raise ArgumentError(f"{self.name}(classes={n}): there is a class {top}; give classes={top + 1}")
        counts = np.bincount(e.targets * n + e.labels, weights=e.weights, minlength=n * n).reshape(n, n)
        old = self.totals.get("counts")
        if old is not None and len(old) != n:
            size = max(n, len(old))
            old, counts = _grown(old, size), _grown(counts, size)
        self.totals["counts"] = counts if old is None else old + counts

    def value(self) -> Array:
        n = self.classes or 0
        return self.totals.get("counts", np.zeros((n, n), np.int64))


def _grown(counts: Array, size: int) -> Array:
    return np.pad(counts, [(0, size - n) for n in counts.shape])


class _Rates(_Classes):
    """Precision, recall and F1: from three counts a class."""

    def __init__(
        self, average: str | None, threshold: float | None, task: str | None, name: str, classes: int | None
    ) -> None:
        if average not in (*AVERAGES, "auto"):
            listed = ", ".join(map(repr, AVERAGES))
            raise ArgumentError(f"{type(self).__name__}(average={average!r}): there are {listed}")
        super().__init__(name, threshold, task)
        self.average = average
        self.classes = classes

    def count(self, e: Examples) -> None:
        if e.task == "multilabel":
            hits, called, truly = e.labels * e.targets, e.labels == 1, e.targets
            rows = e.weights if e.weights is not None else np.ones(len(hits), np.int64)
            counts = [(part * rows[:, None]).sum(axis=0) for part in (hits, called, truly)]
        else:
            n = max(e.classes, self.classes or 0)
            w = e.weights
            hit, known = e.labels == e.targets, e.labels >= 0
            counts = [
                np.bincount(labels[keep], weights=None if w is None else w[keep], minlength=n)
                for labels, keep in ((e.targets, hit), (e.labels, known), (e.targets, slice(None)))
            ]
        size = max(len(counts[0]), len(self.totals.get("hits", ())))
        for key, part in zip(("hits", "called", "truly"), counts, strict=True):
            self.totals[key] = _grown(self.totals.get(key, np.zeros(0, np.int64)), size) + _grown(part, size)
        self.totals["binary"] = np.asarray(e.task == "binary")

    def value(self) -> Any:
        if "hits" not in self.totals:
            return float("nan")
        hits, called, truly = (self.totals[k] for k in ("hits", "called", "truly"))
        average = self.average
        if average == "auto":
            average = "binary" if self.totals["binary"] else "macro"
        if average == "binary":
            if len(hits) > 2:
                raise ArgumentError(
                    f'{self.name}: average="binary" is about class 1 of two, but there are {len(hits)} classes. '
                    'Use average="macro", "micro", "weighted" or None (one number a class)'
                )
            return float(self.rate(hits, called, truly)[1]) if len(hits) == 2 else 0.0
        if average == "micro":
            return float(self.rate(*(np.asarray([x.sum()]) for x in (hits, called, truly)))[0])
        rates = self.rate(hits, called, truly)
        if average is None:
            return rates
        if average == "weighted":
            return ratio((rates * truly).sum(), truly.sum())
        there = (called > 0) | (truly > 0)
        return float(rates[there].mean()) if there.any() else float("nan")

    @abstractmethod
    def rate(self, hits: Array, called: Array, truly: Array) -> Array:
        """One number a class, from its counts."""


def _divided(top: Array, bottom: Array) -> Array:
    """0 where nothing is counted."""
    return np.divide(top, bottom, out=np.zeros(len(top)), where=bottom > 0)


class Precision(_Rates):
    """Of the examples that were called a class, the part that is of it. Arguments: see `F1`.

    >>> m = td.train.metrics.Precision()
    >>> m.update([2.0, 1.0, -1.0], [1, 0, 1]); m.result()
    0.5
    """

    def __init__(
        self,
        average: str | None = "auto",
        *,
        threshold: float | None = None,
        task: str | None = None,
        classes: int | None = None,
        name: str = "precision",
    ) -> None:
        super().__init__(average, threshold, task, name, classes)

    def rate(self, hits: Array, called: Array, truly: Array) -> Array:
        return _divided(hits, called)


class Recall(_Rates):
    """Of the examples of a class, the part that was called it. Arguments: see `F1`.

    >>> m = td.train.metrics.Recall()
    >>> m.update([2.0, 1.0, -1.0], [1, 0, 1]); m.result()
    0.5
    """

    def __init__(
        self,
        average: str | None = "auto",
        *,
        threshold: float | None = None,
        task: str | None = None,
        classes: int | None = None,
        name: str = "recall",
    ) -> None:
        super().__init__(average, threshold, task, name, classes)

    def rate(self, hits: Array, called: Array, truly: Array) -> Array:
        return _divided(hits, truly)


class F1(_Rates):
    """The harmonic mean of precision and recall: `2 hits / (called + truly)`. 0 where nothing was counted.

    Args:
        average: "binary": of class 1 of two; "macro": the mean over the classes that occur in targets or predictions;
            "micro": of all counts together; "weighted": the mean weighted by the targets of each class; None: an array
            with one number a class; "auto" (default): "binary" for binary predictions, else "macro".
        threshold, task: as in `Accuracy`.
        classes: at least this many in the array of `average=None`.

    >>> m = td.train.metrics.F1(average=None)
    >>> m.update([0, 1, 1, 1], [0, 0, 1, 1]); m.result().round(4).tolist()
    [0.6667, 0.8]
    """

    def __init__(
        self,
        average: str | None = "auto",
        *,
        threshold: float | None = None,
        task: str | None = None,
        classes: int | None = None,
        name: str = "f1",
    ) -> None:
        super().__init__(average, threshold, task, name, classes)

    def rate(self, hits: Array, called: Array, truly: Array) -> Array:
        return _divided(2 * hits, called + truly)
