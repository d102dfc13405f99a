"""Averages of weights over the updates: they often predict better than the last weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from treadle import array as xp
from treadle.core.dtypes import float64
from treadle.core.errors import ArgumentError
from treadle.core.owned import State
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor
from treadle.core.tracing import untraced
from treadle.optim.checks import fractions
from treadle.optim.optimizer import work_dtype
from treadle.optim.paths import Choice, chosen_paths


class WeightAverage(Stateful):
    """Keeps an average of a model's parameters. Abstract; `EMA` and `SWA` are final.

    The first `update` takes the parameters as they are. Averages of 16-bit parameters are float32.

    Args:
        include: which parameters are averaged: patterns of their paths, or a function (path, tensor) → bool. All by
            default.

    Attributes:
        count: number of updates so far, int32 scalar.
        averages: path of the parameter → tensor of its shape.
    """

    count: State
    averages: dict[str, State]

    def __init__(self, *, include: Choice = None) -> None:
        with untraced():
            self.count = State(xp.asarray(0))
        self.averages = {}
        self.include = include if include is None or callable(include) else tuple(include)

    def init(self, model: Stateful) -> None:
        """Make the averages for a model from anew. `update` does it at its first call.

        Raises:
            ArgumentError: the model has no parameters yet.
        """
        parameters = self._parameters(model)
        with untraced():
            self.count = State(xp.asarray(0))
            self.averages = {p: State(xp.zeros(x.shape, dtype=work_dtype(x))) for p, x in parameters.items()}

    def update(self, model: Stateful) -> None:
        """Take the parameters as they are now into the average.

        Raises:
            ArgumentError: the average is of another model's parameters.
        """
        if not self.averages:
            self.init(model)
        parameters = self._parameters(model)
        self._check(parameters)
        share = xp.where(self.count == 0, 1.0, self._share(self.count.astype(float64)))
        for path, x in parameters.items():
            old = self.averages[path]
            new = x.astype(old.dtype)
            self.averages[path] = State(old + share.astype(old.dtype) * (new - old))
        self.count = self.count + 1

    def apply(self, model: Stateful) -> None:
        """Assign the averages to the model's parameters.

        Raises:
            ArgumentError: there is no average yet, or it is of another model's parameters.
        """
        parameters = self._parameters(model)
        if not self.averages:
            raise ArgumentError(f"{type(self).__name__} has no average yet: call update(model) after the optimiser's")
        self._check(parameters)
        model.assign({p: self.averages[p].astype(x.dtype) for p, x in parameters.items()})

    @contextmanager
    def swapped(self, model: Stateful) -> Iterator[None]:
        """With the averages in the model inside, and its own parameters again afterwards.

        Raises:
            ArgumentError: as `apply`.
        """
        own = self._parameters(model)
        self.apply(model)
        try:
            yield
        finally:
            model.assign(own)

    def _parameters(self, model: Stateful) -> dict[str, Tensor]:
        parameters = model.parameters()
        if not parameters:
            raise ArgumentError(f"{type(model).__name__} has no parameters yet: call the model once")
        return {p: parameters[p] for p in chosen_paths("include", self.include, parameters)}

    def _check(self, parameters: dict[str, Tensor]) -> None:
        odd = [p for p in {**parameters, **self.averages} if p not in parameters or p not in self.averages]
        odd += [p for p, x in parameters.items() if p in self.averages and self.averages[p].shape != x.shape]
        if odd:
            raise ArgumentError(
                f"this {type(self).__name__} averages other parameters than the model has: {', '.join(odd)}. "
                "Make a new one, or start this one again: init(model)"
            )

    @abstractmethod
    def _share(self, n: Tensor) -> Tensor:
        """How much the parameters count beside the average of n > 0 updates; float64 scalars."""


class EMA(WeightAverage):
    """Exponential moving average: `average ← decay * average + (1 - decay) * x`.

    Args:
        decay: in [0, 1); the average reaches back about `1 / (1 - decay)` updates.
        warmup: at update n (0, 1, …), decay by `min(decay, (1 + n) / (10 + n))`, so that the first ones fade soon.
        include: as in `WeightAverage`.

    >>> import treadle as td
    >>> class Model(td.nn.Module):
    ...     def __init__(self):
    ...         self.x = td.nn.Parameter(td.asarray(1.0))
    >>> model, average = Model(), td.optim.EMA(0.75)
    >>> average.update(model)
    >>> model.x = td.asarray(5.0)
    >>> average.update(model)
    >>> with average.swapped(model):
    ...     print(model.x.item())  # 0.75 * 1 + 0.25 * 5
    2.0
    >>> model.x.item()
    5.0

    Source: Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging (1992), with fading memory.
    """

    def __init__(self, decay: float = 0.999, *, warmup: bool = False, include: Choice = None) -> None:
        super().__init__(include=include)
        fractions(decay=decay)
        self.decay = float(decay)
        self.warmup = bool(warmup)

    def _share(self, n: Tensor) -> Tensor:
        decay = xp.asarray(self.decay, dtype=float64)
        return 1.0 - (xp.minimum(decay, (1.0 + n) / (10.0 + n)) if self.warmup else decay)


class SWA(WeightAverage):
    """The plain average of the parameters at the updates: `average ← average + (x - average) / (n + 1)`.

    Usually begun late in the training and updated once an epoch. Statistics of batch normalisation belong to the
    weights they were collected with: run the model on the training data once more with the averages in place.

    Args:
        include: as in `WeightAverage`.

    >>> import treadle as td
    >>> class Model(td.nn.Module):
    ...     def __init__(self):
    ...         self.x = td.nn.Parameter(td.asarray(0.0))
    >>> model, average = Model(), td.optim.SWA()
    >>> for value in (1.0, 2.0, 6.0):
    ...     model.x = td.asarray(value)
    ...     average.update(model)
    >>> average.apply(model)
    >>> model.x.item()
    3.0

    Source: Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization (UAI 2018).
    """

    def _share(self, n: Tensor) -> Tensor:
        return 1.0 / (n + 1.0)
