"""Models get their parameters before training or loading begins, from shapes alone."""

from __future__ import annotations

from typing import Any

from treadle.core.dims import Dim
from treadle.core.errors import ArgumentError, BuildError
from treadle.core.stateful import Stateful
from treadle.nn.module import Module


def call_model(model: Any, x: Any, training: bool) -> Any:
    """The model's prediction: a tuple is spread over its arguments, anything else is its first."""
    inputs = x if isinstance(x, tuple) else (x,)
    options = {"training": training} if isinstance(model, Module) else {}
    return model(*inputs, **options)


def build_from(model: Stateful, example: Any) -> None:
    """Make the parameters of layers that have none yet, from an input: tensors, specs, a shape, or a tuple of them."""
    if not isinstance(model, Module) or all(m.is_built for m in model.modules().values()):
        return
    is_shape = isinstance(example, tuple) and all(isinstance(n, int | str | Dim) for n in example)
    model.init(*(example if isinstance(example, tuple) and not is_shape else (example,)))


def require_built(model: Stateful, what: str, fix: str = "") -> None:
    """Raise when a layer has no parameters yet, saying what was being done.

    Raises:
        BuildError
    """
    try:
        model.variables()
    except BuildError as e:
        raise BuildError(f"{what}: {e.message}{fix}") from None


def require_model(model: Any, where: str) -> None:
    """Raise unless something can be trained.

    Raises:
        ArgumentError
    """
    if isinstance(model, type):
        raise ArgumentError(f"{where} takes a model, and {model.__name__} is a class: write {model.__name__}(…)")
    if not isinstance(model, Stateful) or not callable(model):
        raise ArgumentError(
            f"{where} takes a model (a td.nn.Module), not {type(model).__name__}. A function has no parameters of its "
            "own: put it into a module, or train it by hand with td.value_and_grad"
        )
