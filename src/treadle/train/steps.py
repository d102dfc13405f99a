"""One step of training or evaluation: what is compiled."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from treadle import array as xp
from treadle import optim as _optim
from treadle.core.errors import ArgumentError
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor
from treadle.nn import losses
from treadle.train._building import call_model
from treadle.train._words import suggestion
from treadle.transforms import compile as _compile
from treadle.transforms import value_and_grad

Loss = Callable[..., Any]
_COMPILED = 32  # kept versions: a second fit with the same loss need not trace again


def as_loss(loss: Any) -> Loss:
    """A loss from its name in `td.losses`, or a function of (prediction, target[, weights=]).

    Raises:
        ArgumentError: there is none of that name; or a function that does not take two arguments.
    """
    if isinstance(loss, str):
        if loss not in losses.__all__:
            raise ArgumentError(f"there is no loss {loss!r} in td.losses. {suggestion(loss, losses.__all__)}")
        return getattr(losses, loss)
    if not callable(loss) or isinstance(loss, type):
        raise ArgumentError(f"loss= is a name or a function of (prediction, target), not {loss!r}")
    try:
        inspect.signature(loss).bind("prediction", "target")
    except TypeError as e:
        raise ArgumentError(
            f"loss={getattr(loss, '__name__', loss)} is called with (prediction, target): {e}. For a loss of other "
            "things (the model, several predictions), write the step: step=function(model, optimizer, batch)"
        ) from None
    except ValueError:
        pass  # a builtin without signature
    return loss


def as_optimizer(optimizer: Any) -> Any:
    """An optimiser, or one with its default learning rate from its name ("adam").

    Raises:
        ArgumentError: there is none of that name; a class instead of an object.
    """
    if isinstance(optimizer, str):
        names = {
            n.lower(): n
            for n in _optim.__all__
            if n in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Lion", "LAMB")
        }
        if optimizer.lower() not in names:
            raise ArgumentError(f"there is no optimiser {optimizer!r}. {suggestion(optimizer, names)}")
        return getattr(_optim, names[optimizer.lower()])()
    if isinstance(optimizer, type):
        raise ArgumentError(f"optimizer={optimizer.__name__} is a class: write td.optim.{optimizer.__name__}(1e-3)")
    if not isinstance(optimizer, Stateful) or not hasattr(optimizer, "update"):
        raise ArgumentError(f"optimizer= is an optimiser such as td.optim.Adam(1e-3), not {optimizer!r}")
    return optimizer


def takes_weights(loss: Loss) -> bool:
    """Whether a loss has a `weights` argument."""
    try:
        parameters = inspect.signature(loss).parameters
    except (TypeError, ValueError):
        return False
    return "weights" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def loss_value(loss: Loss, prediction: Any, target: Any, weights: Any) -> Tensor:
    """The loss of a batch.

    Raises:
        ArgumentError: the batch has weights, and the loss does not take any; or it gives no scalar.
    """
    if weights is None:
        value = loss(prediction, target)
    elif takes_weights(loss):
        value = loss(prediction, target, weights=weights)
    else:
        name = getattr(loss, "__name__", "the loss")
        raise ArgumentError(f"the data has weights, but {name} does not take them: give it an argument weights=None")
    value = xp.asarray(value)
    if value.shape != ():
        raise ArgumentError(
            f"{getattr(loss, '__name__', 'the loss')} gave {value.spec}, and a loss is one number: take its mean"
        )
    return value


@functools.lru_cache(maxsize=_COMPILED)
def training_step(loss: Loss, keep_prediction: bool, compiled: bool) -> Callable[..., dict[str, Any]]:
    """(model, optimizer, x, y, weights) → loss, whether each gradient is finite, perhaps the prediction."""

    def train_step(model: Any, optimizer: Any, x: Any, y: Any, weights: Any) -> dict[str, Any]:
        def objective(model: Any, x: Any, y: Any, weights: Any) -> tuple[Tensor, Any]:
            prediction = call_model(model, x, training=True)
            return loss_value(loss, prediction, y, weights), prediction if keep_prediction else None

        (value, prediction), gradients = value_and_grad(objective, has_aux=True)(model, x, y, weights)
        finite = {path: xp.all(xp.isfinite(g)) for path, g in gradients.items()}
        optimizer.update(model, gradients)
        return {"loss": value, "prediction": prediction, "finite": _all_true(value, finite), "gradients": finite}

    return _compile(train_step, name="train_step") if compiled else train_step


def _all_true(value: Tensor, flags: dict[str, Tensor]) -> Tensor:
    out = xp.isfinite(value)
    for flag in flags.values():
        out = xp.logical_and(out, flag)
    return out


@functools.lru_cache(maxsize=_COMPILED)
def evaluation_step(loss: Loss | None, compiled: bool) -> Callable[..., dict[str, Any]]:
    """(model, x, y, weights) → prediction and, with a loss, its value."""

    def evaluation_step(model: Any, x: Any, y: Any, weights: Any) -> dict[str, Any]:
        prediction = call_model(model, x, training=False)
        value = None if loss is None else loss_value(loss, prediction, y, weights)
        return {"loss": value, "prediction": prediction}

    return _compile(evaluation_step, name="evaluation_step") if compiled else evaluation_step


@functools.lru_cache(maxsize=_COMPILED)
def compiled_step(function: Callable[..., Any], compiled: bool) -> Callable[..., Any]:
    """A user's own step, compiled unless it is already."""
    from treadle.transforms.compiling import Compiled

    return _compile(function) if compiled and not isinstance(function, Compiled) else function
