"""Metrics of regression."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from treadle.core.errors import ShapeError
from treadle.core.spec import show_shape
from treadle.train.metrics.base import Array, Metric, array, ratio, spread_weights


def _pair(prediction: Any, target: Any, metric: str) -> tuple[Array, Array]:
    """Both in float64.

    Raises:
        ShapeError: the shapes differ; they are never broadcast against each other.
    """
    p, t = array(prediction), array(target)
    if p.shape != t.shape:
        hint = ""
        if p.ndim == t.ndim + 1 and p.shape[-1] == 1:
            hint = " Write target[:, None], or let the model return prediction[..., 0]."
        elif t.ndim == p.ndim + 1 and t.shape[-1] == 1:
            hint = " Write target[..., 0]."
        raise ShapeError(
            f"{metric}: prediction {show_shape(p.shape)} and target {show_shape(t.shape)} must have the same shape."
            + hint
        )
    return p.astype(np.float64), t.astype(np.float64)


class _MeanOf(Metric):
    """The weighted mean over all elements of some error."""

    def update(self, prediction: Any, target: Any, weights: Any = None) -> None:
        p, t = _pair(prediction, target, self.name)
        errors = self.error(p - t)
        w = spread_weights(weights, errors.shape, self.name)
        if w is None:
            self.add(sum=errors.sum(), weight=errors.size)
        else:
            self.add(sum=np.where(w == 0, 0.0, errors * w).sum(), weight=w.sum())

    @abstractmethod
    def error(self, residual: Array) -> Array:
        """The error of each element."""

    def mean(self) -> float:
        return ratio(self.total("sum"), self.total("weight"))


class MAE(_MeanOf):
    """Mean absolute error, in the unit of the targets.

    >>> m = td.train.metrics.MAE()
    >>> m.update([1.0, 2.0], [0.0, 5.0]); m.result()
    2.0
    """

    def __init__(self, *, name: str = "mae") -> None:
        super().__init__(name)

    def error(self, residual: Array) -> Array:
        return np.abs(residual)

    def result(self) -> float:
        return self.mean()


class MSE(_MeanOf):
    """Mean squared error, in the squared unit of the targets.

    >>> m = td.train.metrics.MSE()
    >>> m.update([1.0, 2.0], [0.0, 5.0]); m.result()
    5.0
    """

    def __init__(self, *, name: str = "mse") -> None:
        super().__init__(name)

    def error(self, residual: Array) -> Array:
        return np.square(residual)

    def result(self) -> float:
        return self.mean()


class RMSE(_MeanOf):
    """Square root of the mean squared error over all data (not the mean of the batches' roots).

    >>> m = td.train.metrics.RMSE()
    >>> m.update([3.0], [0.0]); m.update([4.0], [0.0]); round(m.result(), 4)
    3.5355
    """

    def __init__(self, *, name: str = "rmse") -> None:
        super().__init__(name)

    def error(self, residual: Array) -> Array:
        return np.square(residual)

    def result(self) -> float:
        return float(np.sqrt(self.mean()))


class R2(Metric):
    """Coefficient of determination: `1 - sum (target - prediction)² / sum (target - mean)²`, averaged over outputs.

    1 is perfect, 0 as good as the mean. For constant targets 1 when all residuals are 0, else 0 (as scikit-learn).
    Shapes: `[n]`, or `[n, outputs…]`; weights `[n]`.

    >>> m = td.train.metrics.R2()
    >>> m.update([1.0, 2.0], [1.0, 3.0]); m.update([2.0], [2.0]); m.result()
    0.5

    Source: sums about the mean are joined batch by batch without cancellation: Chan, Golub, LeVeque, Updating formulae
    and a pairwise algorithm for computing sample variances (1979).
    """

    def __init__(self, *, name: str = "r2") -> None:
        super().__init__(name)

    def update(self, prediction: Any, target: Any, weights: Any = None) -> None:
        p, t = _pair(prediction, target, self.name)
        n = len(p)
        w = spread_weights(weights, (n,), self.name)
        w = np.ones(n) if w is None else w.astype(np.float64)
        p, t, w = p.reshape(n, -1)[w != 0], t.reshape(n, -1)[w != 0], w[w != 0]
        if not len(w):
            return
        weight = w.sum()
        mean = (t * w[:, None]).sum(axis=0) / weight
        spread = (np.square(t - mean) * w[:, None]).sum(axis=0)
        if "weight" in self.totals:
            old, before = self.totals["mean"], self.totals["weight"]
            spread = spread + self.totals["spread"] + np.square(mean - old) * (before * weight / (before + weight))
            mean = old + (mean - old) * (weight / (before + weight))
        self.totals["mean"], self.totals["spread"] = mean, spread
        self.add(weight=weight, residual=(np.square(t - p) * w[:, None]).sum(axis=0))

    def result(self) -> float:
        if "weight" not in self.totals:
            return float("nan")
        residual, spread = self.totals["residual"], self.totals["spread"]
        constant = np.where(residual == 0, 1.0, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.where(spread > 0, 1 - residual / spread, constant).mean())
