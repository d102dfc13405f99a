"""One step of training or evaluation: what is compiled."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeAlias, Union
from weakref import WeakKeyDictionary

from treadle import array as xp
from treadle import optim as _optim
from treadle.core import trees
from treadle.core.errors import ArgumentError
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor
from treadle.nn import losses
from treadle.nn.precision import autocast
from treadle.nn.widening import widened
from treadle.train._building import call_model
from treadle.train._words import suggestion
from treadle.train.checked import checked
from treadle.transforms import compile as _compile
from treadle.transforms import value_and_grad
from treadle.transforms.compiling import Compiled

Loss = Callable[..., Any]
Compile: TypeAlias = Union[bool, Mapping[str, Any]]  # a mapping is td.compile's dynamic=

_kept: WeakKeyDictionary[Any, dict[Hashable, Callable[..., Any]]] = WeakKeyDictionary()


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


PRECISIONS = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


def as_precision(precision: Any) -> str:
    """A name of `PRECISIONS`.

    Raises:
        ArgumentError: there is none of that name.
    """
    if precision not in PRECISIONS:
        close = f"mixed_{precision}" if f"mixed_{precision}" in PRECISIONS else precision
        raise ArgumentError(f"there is no precision={precision!r}. {suggestion(str(close), PRECISIONS)}")
    return str(precision)


_said: list[bool] = []


def say_once_what_precision_costs(precision: str, tell: Callable[[str], None]) -> None:
    """That the compiler has no 16-bit products, the first time in this process."""
    if not _said:
        _said.append(True)
        tell(
            f"{precision}: this processor's {PRECISIONS[precision]} products, if it has any, are not used: numbers are "
            f"rounded to {PRECISIONS[precision]} and multiplied as float32. Kept activations take half of the memory; "
            "a step takes up to twice as long."
        )


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


def kept(model: Any, key: Hashable, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """A step made for this model before, so that a second `fit` need not trace again; forgotten with the model."""
    steps = _kept.setdefault(model, {})
    if key not in steps:
        steps[key] = make()
    return steps[key]


def _compiled(function: Callable[..., Any], compiled: Compile, nan_check: bool = False) -> Callable[..., Any]:
    """The function compiled as asked; sizes are named for those arguments that it has."""
    if isinstance(function, Compiled):
        return function.around(checked(function.function)) if nan_check else function
    if nan_check:
        function = checked(function)
    if not compiled:
        return function
    sizes = {} if compiled is True else compiled
    names = inspect.signature(function).parameters
    return _compile(function, dynamic={k: v for k, v in sizes.items() if k.partition(".")[0] in names})


def check_compile(compiled: Any, names: Iterable[str]) -> None:
    """Raise unless `compile=` is True, False, or names sizes of arguments that the step has.

    Raises:
        ArgumentError
    """
    if isinstance(compiled, bool):
        return
    if not isinstance(compiled, Mapping):
        raise ArgumentError(
            f'compile={compiled!r}: True, False, or names for sizes that change: {{"x": ("batch", "time", None)}}'
        )
    names = list(names)
    for name in compiled:
        if name.partition(".")[0] not in names:
            raise ArgumentError(f"compile= names {name!r}. {suggestion(name, names)}")


def training_objective(loss: Loss, precision: str = "float32") -> Callable[..., tuple[Tensor, Any]]:
    """(model, x, y, weights) → loss and prediction, as in training."""

    def objective(model: Any, x: Any, y: Any, weights: Any) -> tuple[Tensor, Any]:
        with autocast(PRECISIONS[precision]):
            prediction = call_model(model, x, training=True)
        if precision != "float32":
            prediction = trees.map(_single, prediction)
        return loss_value(loss, prediction, y, weights), prediction

    return objective


def training_step(
    model: Any,
    loss: Loss,
    keep_prediction: bool,
    compiled: Compile,
    precision: str = "float32",
    nan_check: bool = False,
) -> Callable[..., Any]:
    """(model, optimizer, x, y, weights[, loss scale]) → loss, whether each gradient is finite, perhaps the prediction.

    With a loss scale also `overflown`: the step was left out, and the next one has a smaller scale. With `nan_check`,
    all that and whether all that the step leaves is finite: see `checked`.
    """
    whole = training_objective(loss, precision)

    def train_step(
        model: Any, optimizer: Any, x: Any, y: Any, weights: Any, scale: _optim.LossScale | None = None
    ) -> dict[str, Any]:
        def objective(model: Any, x: Any, y: Any, weights: Any) -> tuple[Tensor, Any]:
            value, prediction = whole(model, x, y, weights)
            scaled = value if scale is None else value * scale.scale.astype(value.dtype)
            return scaled, (value, prediction if keep_prediction else None)

        (_, (value, prediction)), gradients = value_and_grad(objective, has_aux=True)(model, x, y, weights)
        finite = {path: xp.all(xp.isfinite(g)) for path, g in gradients.items()}
        out = {"loss": value, "prediction": prediction, "finite": _all_true(value, finite), "gradients": finite}
        if scale is None:
            optimizer.update(model, gradients)
            return out
        can_shrink = scale.can_shrink
        good = scale.update(model, optimizer, gradients)
        overflown = xp.logical_and(xp.logical_not(good), can_shrink)
        return {**out, "overflown": xp.logical_and(overflown, xp.isfinite(value))}

    key = ("train", loss, keep_prediction, repr(compiled), precision, nan_check)
    return kept(model, key, lambda: _compiled(train_step, compiled, nan_check))


def _single(x: Any) -> Any:
    """16-bit floats as float32, for losses and metrics."""
    return widened(x) if isinstance(x, Tensor) and x.dtype.is_floating else x


def _all_true(value: Tensor, flags: dict[str, Tensor]) -> Tensor:
    out = xp.isfinite(value)
    for flag in flags.values():
        out = xp.logical_and(out, flag)
    return out


def evaluation_step(model: Any, loss: Loss | None, compiled: Compile) -> Callable[..., dict[str, Any]]:
    """(model, x, y, weights) → prediction and, with a loss, its value."""

    def evaluation_step(model: Any, x: Any, y: Any, weights: Any) -> dict[str, Any]:
        prediction = call_model(model, x, training=False)
        value = None if loss is None else loss_value(loss, prediction, y, weights)
        return {"loss": value, "prediction": prediction}

    return kept(model, ("evaluate", loss, repr(compiled)), lambda: _compiled(evaluation_step, compiled))


def own_step(
    model: Any, function: Callable[..., Any], compiled: Compile, nan_check: bool = False
) -> Callable[..., Any]:
    """A step that is given as a function, compiled unless it is already; with `nan_check`, as `checked` makes it."""
    return kept(model, ("own", function, repr(compiled), nan_check), lambda: _compiled(function, compiled, nan_check))
