"""`Metric`: a number about a whole data set, gathered batch by batch without loss."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.padded import Padded
from treadle.core.spec import show_shape
from treadle.nn.masking import check_lengths

Array = np.ndarray[Any, Any]


class Metric(ABC):
    """A number about a whole data set. What it keeps between batches are NumPy arrays in `totals`.

    The result does not depend on how the data was cut into batches: counts are integers, sums are float64, and nothing
    is an average of averages. `fit` keeps `state()` in checkpoints.

    Attributes:
        name: how histories and progress bars call it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.totals: dict[str, Array] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "update" in cls.__dict__:
            cls.update = _of_sequences(cls.__dict__["update"])  # type: ignore[method-assign]

    def reset(self) -> None:
        """Forget all batches."""
        self.totals = {}

    @abstractmethod
    def update(self, prediction: Any, target: Any, weights: Any = None) -> None:
        """Take a batch.

        Args:
            prediction, target: tensors or arrays, examples on axis 0.
            weights: `[n]`, or with the leading axes of the targets; one weight (or bool: counts or not) an example.

        Every metric also takes `mask=` (bool, True for what counts) or `lengths=` (integers `[batch]`) for padded
        sequences `[batch, time, …]`; a `td.data.Padded` as prediction or target brings its own.
        """

    @abstractmethod
    def result(self) -> Any:
        """The metric over all batches since `reset`: a float (NaN before the first batch), or an array."""

    def state(self) -> dict[str, Array]:
        """What has been gathered so far."""
        return dict(self.totals)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`."""
        self.totals = {k: np.asarray(v) for k, v in state.items()}

    def add(self, **amounts: Any) -> None:
        """Add to totals, which begin at 0."""
        for key, amount in amounts.items():
            old = self.totals.get(key)
            self.totals[key] = np.asarray(amount if old is None else old + amount)

    def total(self, key: str) -> Any:
        return self.totals.get(key, np.asarray(0.0))[()]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"


def _of_sequences(update: Callable[..., None]) -> Callable[..., None]:
    """An `update` that takes lengths, a mask and `Padded`s, and makes weights of them."""

    @functools.wraps(update)
    def wrapped(
        self: Any, prediction: Any, target: Any = None, weights: Any = None, *, mask: Any = None, lengths: Any = None
    ) -> None:
        for x in (prediction, target):
            if isinstance(x, Padded) and lengths is None:
                lengths = x.lengths
        prediction, target = (x.values if isinstance(x, Padded) else x for x in (prediction, target))
        if lengths is not None:
            if mask is not None:
                raise ArgumentError(f"{self.name}: give a mask or lengths (a Padded brings its own), not both")
            steps = np.shape(prediction if target is None else target)
            if len(steps) < 2 or np.shape(lengths) != steps[:1]:
                raise ShapeError(
                    f"{self.name}: lengths {show_shape(np.shape(lengths))} for targets {show_shape(steps)}"
                )
            mask = np.arange(steps[1]) < np.asarray(check_lengths(lengths, steps[1]))[:, None]
        if mask is not None:
            weights = both(np.asarray(mask), weights)
        if weights is None:
            update(self, prediction, target)
        else:
            update(self, prediction, target, weights)

    return wrapped


def both(mask: Array, weights: Any) -> Array:
    """Weights that are 0 where the mask is False. Of a narrower rank, either counts for all that lies behind."""
    if weights is None:
        return mask
    w = array(weights)
    rank = max(mask.ndim, w.ndim)
    mask = mask.reshape(mask.shape + (1,) * (rank - mask.ndim))
    return np.where(mask, w.reshape(w.shape + (1,) * (rank - w.ndim)), np.zeros((), w.dtype))


def array(x: Any) -> Array:
    """A tensor's or array's numbers; half precision as float32, which NumPy computes with."""
    a = np.asarray(x)
    return a.astype(np.float32) if a.dtype.kind == "V" or a.dtype == np.float16 else a


def spread_weights(weights: Any, shape: tuple[int, ...], metric: str) -> Array | None:
    """One weight for each element of `shape`, from weights for its leading axes; None when there are none.

    Raises:
        ShapeError: they are not the leading axes.
    """
    if weights is None:
        return None
    w = array(weights)
    w = w.reshape(w.shape[:-1]) if w.ndim == len(shape) + 1 and w.shape[-1] == 1 else w
    if w.shape != shape[: w.ndim]:
        raise ShapeError(
            f"{metric}: weights {show_shape(w.shape)} for targets {show_shape(shape)}: "
            "give one weight an example, or one for each of the leading axes"
        )
    w = w.astype(np.int64) if w.dtype == np.bool_ else w.astype(np.float64)
    return np.broadcast_to(w.reshape(w.shape + (1,) * (len(shape) - w.ndim)), shape)


def ratio(top: Any, bottom: Any) -> float:
    """top / bottom; NaN when there was nothing."""
    return float(top) / float(bottom) if bottom else float("nan")


class Mean(Metric):
    """The mean of the values that it is given. `update(values, weights=…)`.

    >>> m = td.train.metrics.Mean()
    >>> m.update([1.0, 2.0]); m.update([6.0]); m.result()
    3.0
    """

    def __init__(self, name: str = "mean") -> None:
        super().__init__(name)

    def update(self, prediction: Any, target: Any = None, weights: Any = None) -> None:
        values = array(prediction).astype(np.float64)
        w = spread_weights(weights, values.shape, self.name)
        if w is None:
            self.add(sum=values.sum(), weight=values.size)
        else:
            self.add(sum=_weighted_sum(values, w), weight=w.sum())

    def result(self) -> float:
        return ratio(self.total("sum"), self.total("weight"))


def _weighted_sum(values: Array, weights: Array) -> Any:
    """An example of weight 0 counts nothing, whatever its value: also NaN and infinity."""
    return np.where(weights == 0, 0.0, values * weights).sum()


class FunctionMetric(Metric):
    """The mean over examples of `function(prediction, target)`: a scalar for the batch, or one number an example."""

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(name or str(getattr(function, "__name__", "metric")))
        self.function = function
        try:
            self._weighted = "weights" in inspect.signature(function).parameters
        except (TypeError, ValueError):
            self._weighted = False
        self._mean = Mean(self.name)

    def update(self, prediction: Any, target: Any, weights: Any = None) -> None:
        n = len(array(prediction))
        options = {"weights": weights} if self._weighted and weights is not None else {}
        values = array(self.function(prediction, target, **options)).astype(np.float64)
        if values.ndim == 0:
            # A function that knows weights has given a weighted mean; it counts by the weight of its batch.
            share = float(array(weights).sum()) if options else float(n)
            self._mean.update(values[None], weights=np.asarray([share]))
        else:
            self._mean.update(values, weights=weights)
        self.totals = self._mean.totals

    def reset(self) -> None:
        super().reset()
        self._mean.totals = self.totals

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._mean.totals = self.totals

    def result(self) -> float:
        return self._mean.result()
