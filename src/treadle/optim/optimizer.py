"""`Optimizer`: what all gradient optimisers share. Each one adds its rule for one tensor, `_direction`.

The learning rate and what depends on the step alone are float64 scalars, rounded once, where they meet a tensor: a
float64 model trains with exactly the number that was written, and `1 - 0.999**t` does not lose half its digits.
Moments are float32 (float64 for float64 parameters), and so is the arithmetic of 16-bit parameters.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, Union

import numpy as np

from treadle import array as xp
from treadle.core.dtypes import DType, float32, float64
from treadle.core.errors import ArgumentError, DTypeError
from treadle.core.owned import State
from treadle.core.source import phase, scope
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor
from treadle.core.tracing import untraced
from treadle.optim.checks import at_least_zero
from treadle.optim.paths import Choice, check_gradients, chosen_paths

LearningRate: TypeAlias = Union[float, Tensor, Callable[[Tensor], Tensor]]
Scalars: TypeAlias = tuple[Tensor, ...]
Slots: TypeAlias = dict[str, Tensor]
Clip: TypeAlias = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def work_dtype(x: Tensor) -> DType:
    """What a parameter is updated in, and what its moments are kept in."""
    return float64 if x.dtype is float64 else float32


class _Watching(threading.local):
    """Who is told the gradients of updates in this thread."""

    def __init__(self) -> None:
        self.observers: list[Callable[[Mapping[str, Any]], None]] = []


_watching = _Watching()


@contextmanager
def updates_observed(observer: Callable[[Mapping[str, Any]], None]) -> Iterator[None]:
    """Call `observer(gradients)` at each update of an optimiser."""
    _watching.observers.append(observer)
    try:
        yield
    finally:
        _watching.observers.remove(observer)


class Optimizer(Stateful):
    """Changes parameters by their gradients: `x ← x - learning_rate * direction`. Abstract; `SGD`, `Adam`, … are final.

    Args:
        learning_rate: >= 0, or a schedule: a function of the number of updates so far (int32 scalar) that gives a
            scalar.
        weight_decay: how much the parameters are pulled towards 0; the optimiser says whether through the gradient or
            beside it.
        decay_mask: which parameters decay: patterns of their paths (`["*.kernel"]`), or a function (path, tensor) →
            bool. By default those with two axes or more: kernels and embeddings, not biases and gains.
        clip: applied to the gradients first, for instance `td.optim.clip_by_global_norm(1.0)`.
        trainable: which parameters are updated, patterns or a function like `decay_mask`; the others stay as they
            are, and need no gradient. By default all.

    Attributes:
        step: number of updates so far, int32 scalar.
        learning_rate: float64 scalar, or the schedule. Assigning a number (`opt.learning_rate = 0.01`) holds from the
            next update on, and compiled functions need no new trace for it.
        moments: name of the moment → path of the parameter → tensor of its shape. Made at the first update.
    """

    step: State
    learning_rate: Any
    moments: dict[str, dict[str, State]]

    def __init__(
        self,
        learning_rate: LearningRate,
        *,
        weight_decay: float = 0.0,
        decay_mask: Choice = None,
        clip: Clip | None = None,
        trainable: Choice = None,
    ) -> None:
        at_least_zero(weight_decay=weight_decay)
        with untraced():
            self.step = State(xp.asarray(0))
            self.learning_rate = learning_rate
        self.weight_decay = float(weight_decay)
        self.decay_mask = _hashable(decay_mask)
        self.clip = clip
        self.trainable = _hashable(trainable)
        self.moments = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "learning_rate":
            value = as_learning_rate(value)
            if not isinstance(value, State):
                self.__dict__.pop(name, None)  # a schedule in the place of a number
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(learning_rate={_shown(self.learning_rate)}, step={_shown(self.step)})"

    def rate(self) -> Tensor:
        """The learning rate of the next update, float64 scalar."""
        rate = self.learning_rate
        if isinstance(rate, Tensor):
            return rate
        return xp.asarray(rate(self.step), dtype=float64)

    def init(self, model: Any) -> None:
        """Make the moments for a model (or a dict of tensors) from anew, and begin at step 0.

        `update` does it at its first call; a checkpoint is loaded into an optimiser after `init(model)`.

        Raises:
            ArgumentError: the model has no parameters yet, or a pattern matches none.
        """
        parameters = _parameters(model)
        paths = chosen_paths("trainable", self.trainable, parameters)
        with untraced():
            self.step = State(xp.asarray(0))
        self._make_moments(parameters, paths)

    def _make_moments(self, parameters: Mapping[str, Tensor], paths: Sequence[str]) -> None:
        with untraced():
            self.moments = {
                name: {p: _filled(parameters[p], value) for p in paths} for name, value in self._moments().items()
            }

    def update(self, model: Any, gradients: Mapping[str, Any]) -> dict[str, Tensor] | None:
        """One step: assign new parameters to the model, and new moments and `step + 1` to the optimiser.

        Args:
            model: a module, or a dict path → tensor, which is left as it is: the new one is returned.
            gradients: path → tensor of the parameter's shape, as `td.value_and_grad` gives them.

        Returns: None, or the new dict.

        Raises:
            ArgumentError: gradients of unknown parameters, or parameters without gradient.
            ShapeError: a gradient's shape is not its parameter's.
        """
        parameters = _parameters(model)
        paths = chosen_paths("trainable", self.trainable, parameters)
        check_gradients(parameters, gradients, paths)
        for observer in _watching.observers:
            observer(gradients)
        self._check_moments(parameters, paths)
        with scope(type(self).__name__), phase("optimizer"):
            new = self._updated({p: parameters[p] for p in paths}, gradients)
        self.step = self.step + 1
        if isinstance(model, Stateful):
            model.assign(new)
            return None
        return {**parameters, **new}

    def _updated(self, parameters: dict[str, Tensor], gradients: Mapping[str, Any]) -> dict[str, Tensor]:
        grads = {p: xp.asarray(gradients[p], dtype=work_dtype(x)) for p, x in parameters.items()}
        if self.clip is not None:
            grads = self.clip(grads)
        decaying = set(self._decaying(parameters)) if self.weight_decay else set()
        common = (self.rate(), *self._scalars((self.step + 1).astype(float64)))
        scalars = {d: tuple(s.astype(d) for s in common) for d in {work_dtype(x): None for x in parameters.values()}}
        new = {}
        for path, x in parameters.items():
            wide = x.astype(work_dtype(x))
            rate, *rest = scalars[wide.dtype]
            slots: Slots = {name: slot[path] for name, slot in self.moments.items()}
            decay = self.weight_decay if path in decaying else 0.0
            direction, slots = self._direction(wide, grads[path], slots, decay, tuple(rest))
            for name, moment in slots.items():
                self.moments[name][path] = State(moment)
            new[path] = (wide - rate * direction).astype(x.dtype)
        return new

    def _decaying(self, parameters: dict[str, Tensor]) -> Iterable[str]:
        if self.decay_mask is None:
            return [p for p, x in parameters.items() if x.ndim > 1]
        return chosen_paths("decay_mask", self.decay_mask, parameters)

    def _check_moments(self, parameters: Mapping[str, Tensor], paths: Sequence[str]) -> None:
        """Make the moments where there are none; refuse those of another model."""
        if not self.moments and self._moments():
            self._make_moments(parameters, paths)
        for moment in self.moments.values():
            odd = [p for p in paths if p not in moment or moment[p].shape != parameters[p].shape]
            odd += [p for p in moment if p not in parameters]
            if odd:
                raise ArgumentError(
                    f"this {type(self).__name__} has been used with other parameters, and its moments do not fit: "
                    f"{', '.join(odd)}. Make a new optimiser, or start this one again: opt.init(model)"
                )

    # what an optimiser adds

    @abstractmethod
    def _moments(self) -> dict[str, float]:
        """The names of the moments, and the numbers that they are filled with at first."""

    def _scalars(self, t: Tensor) -> Scalars:
        """What depends only on the number of this update, 1 at first (float64), as float64 scalars."""
        return ()

    @abstractmethod
    def _direction(self, x: Tensor, g: Tensor, m: Slots, decay: float, scalars: Scalars) -> tuple[Tensor, Slots]:
        """What is subtracted from the parameter x, but for the learning rate; and its new moments.

        x, its gradient g, its moments m and the scalars have one dtype; `decay` is 0 where x does not decay.
        """


def with_decay(g: Tensor, decay: float, x: Tensor) -> Tensor:
    """`g + decay * x`, without a node where there is nothing to add."""
    return g + decay * x if decay else g


def unbias(beta: float, t: Tensor) -> Tensor:
    """`1 - beta**t`, without its cancellation for beta near 1."""
    if beta == 0:
        return xp.ones_like(t)
    return -xp.expm1(float(np.log(beta)) * t)


def as_learning_rate(value: Any) -> Any:
    """A number as a float64 State; a schedule as it is.

    Raises:
        ArgumentError: a number that is negative or not finite, or something else.
    """
    if isinstance(value, Tensor | np.ndarray | np.generic):
        rate = xp.asarray(value, dtype=float64)
        if rate.shape != ():
            raise ArgumentError(f"the learning rate is a scalar; got {rate.spec}")
        return State(rate)
    if isinstance(value, int | float):
        at_least_zero(learning_rate=value)
        return State(xp.asarray(float(value), dtype=float64))
    if callable(value):
        return value
    raise ArgumentError(f"the learning rate is a number or a schedule (td.optim.schedules); got {value!r}")


def _parameters(model: Any) -> dict[str, Tensor]:
    """The parameters by path."""
    if isinstance(model, Stateful):
        found = model.parameters()
    elif isinstance(model, Mapping):
        found = {str(k): xp.asarray(v) for k, v in model.items()}
    else:
        raise ArgumentError(f"an optimiser updates a module or a dict of tensors, not {type(model).__name__}")
    if not found:
        raise ArgumentError(
            f"{type(model).__name__} has no parameters yet. A layer makes them at its first call: call the model once"
        )
    for path, x in found.items():
        if not x.dtype.is_floating:
            raise DTypeError(f"{path} is {x.spec}, and only floating-point tensors are trained")
    return found


def _filled(x: Tensor, value: float) -> State:
    return State(xp.full(x.shape, value, dtype=work_dtype(x)))


def _hashable(choice: Choice) -> Choice:
    """Lists of patterns as tuples: what compiled code depends on can be compared."""
    if choice is None or callable(choice):
        return choice
    return (choice,) if isinstance(choice, str) else tuple(choice)


def _shown(x: Any) -> str:
    if isinstance(x, Tensor):
        return f"{x.item():g}" if x.is_concrete else str(x.spec)
    return repr(x)
