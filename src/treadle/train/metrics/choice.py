"""Metrics by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from treadle.core.errors import ArgumentError
from treadle.train._words import suggestion
from treadle.train.metrics.base import FunctionMetric, Metric
from treadle.train.metrics.classification import F1, Accuracy, ConfusionMatrix, Precision, Recall, TopK
from treadle.train.metrics.ranking import AUC
from treadle.train.metrics.regression import MAE, MSE, R2, RMSE

NAMED: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy,
    "precision": Precision,
    "recall": Recall,
    "f1": F1,
    "auc": AUC,
    "mae": MAE,
    "mse": MSE,
    "rmse": RMSE,
    "r2": R2,
    "confusion_matrix": ConfusionMatrix,
    "top_5": TopK,
}


def as_metric(what: Any) -> Metric:
    """A metric from its name ("accuracy", "top_3"), an instance, a class, or a function of (prediction, target).

    Raises:
        ArgumentError: there is none of that name; or it is none of these.

    >>> td.train.metrics.as_metric("top_3")
    TopK(top_3)
    """
    if isinstance(what, Metric):
        return what
    if isinstance(what, str):
        top = re.fullmatch(r"top_?(\d+)(?:_accuracy)?", what)
        if top:
            return TopK(int(top.group(1)))
        if what not in NAMED:
            raise ArgumentError(f"there is no metric {what!r}. {suggestion(what, [*NAMED, 'top_3'])}")
        return NAMED[what]()
    if isinstance(what, type) and issubclass(what, Metric):
        return what()  # type: ignore[call-arg]
    if callable(what):
        return FunctionMetric(what)
    raise ArgumentError(f"a metric is a name, a Metric, or a function (prediction, target), not {what!r}")


def as_metrics(what: Any) -> list[Metric]:
    """Several metrics, whose names differ; from a list, or a dict of name → metric.

    Raises:
        ArgumentError: two have the same name; or as `as_metric`.
    """
    if isinstance(what, dict):
        out = []
        for name, one in what.items():
            metric = as_metric(one)
            metric.name = name
            out.append(metric)
        return out
    single = isinstance(what, str | Metric | type) or not isinstance(what, Iterable)
    found = [as_metric(m) for m in ([what] if single else what)]
    names = [m.name for m in found]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(f"two metrics are called {name!r}; give one another: name=…")
        if name == "loss":
            raise ArgumentError("a metric cannot be called 'loss'; give it another: name=…")
    return found
