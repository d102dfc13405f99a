"""Making a module: arguments checked by name before `__init__` sees them, defaults of `nn.defaults` filled in."""

from __future__ import annotations

import difflib
import inspect
from abc import ABCMeta
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from treadle.core.errors import ArgumentError
from treadle.core.source import place_text
from treadle.core.tensor import Tensor
from treadle.nn import defaults as _defaults

_T = TypeVar("_T")

# What other toolkits call an argument: found where a similar spelling would not be.
_ELSEWHERE = {
    "out_features": "units",
    "out_channels": "filters",
    "features": "units",
    "in_features": "input_size",
    "in_channels": "input_size",
    "num_features": "input_size",
    "num_channels": "input_size",
    "normalized_shape": "axis",
    "num_embeddings": "input_dim",
    "embedding_dim": "output_dim",
    "num_groups": "groups",
    "eps": "epsilon",
    "affine": "scale",
    "elementwise_affine": "scale",
    "bias": "use_bias",
    "with_bias": "use_bias",
    "stride": "strides",
    "dilation": "dilation_rate",
    "p": "rate",
    "w_init": "kernel_initializer",
    "kernel_init": "kernel_initializer",
    "param_dtype": "dtype",
}


class ModuleMeta(ABCMeta):
    """The type of module classes: `Dense(units=3)` comes here first."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> None:
        super().__init__(name, bases, namespace, **options)
        cls.__signature__ = _signature(cls)  # else `help` would show that of __call__ below

    def __call__(cls: type[_T], *args: Any, **kwargs: Any) -> _T:
        own = inspect.signature(cls)
        try:
            given = {**_defaults.missing(cls, own, args, kwargs), **kwargs}
            _check(cls, own, args, given)
        except ArgumentError as e:
            raise e.at(place_text()) from None
        module = type.__call__(cls, *args, **given)
        module.__dict__["_arguments"] = _text(args, given)
        return module


def _signature(cls: type) -> inspect.Signature:
    """That of `__init__` without self."""
    if cls.__init__ is object.__init__:  # type: ignore[misc]
        return inspect.Signature()
    first, *parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    if first.kind is first.VAR_POSITIONAL:  # def __init__(*args, **kwargs)
        parameters.insert(0, first)
    return inspect.Signature(parameters)


def _check(cls: type, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise an ArgumentError for what Python would raise a TypeError for, and say what was meant."""
    check_names(cls, signature, kwargs)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as e:
        raise ArgumentError(f"{cls.__name__}: {e}. It is {cls.__name__}{_compact(signature)}") from None


def check_names(cls: type, signature: inspect.Signature, names: Iterable[str]) -> None:
    """Raise for an argument that a class does not take, and name the one that was meant.

    Raises:
        ArgumentError: there is no such argument.
    """
    parameters = signature.parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in names:
        if name not in parameters:
            known = list(parameters)
            guess = _ELSEWHERE.get(name)
            close = [guess] if guess in known else difflib.get_close_matches(name, known, n=1, cutoff=0.55)
            meant = f"Did you mean {close[0]}? " if close else ""
            takes = f"It takes {', '.join(known)}" if known else "It takes none"
            raise ArgumentError(f"{cls.__name__} has no argument {name!r}. {meant}{takes}")


def _compact(signature: inspect.Signature) -> str:
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(inspect.Signature(bare))


def _text(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """The arguments as they were written, for `repr`."""
    parts = [_value(a) for a in args] + [f"{k}={_value(v)}" for k, v in kwargs.items()]
    return ", ".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, Tensor):
        return str(value.spec)
    if isinstance(value, tuple | list):
        inside = [_value(v) for v in value[:8]] + ["…"] * (len(value) > 8)
        return (
            f"({', '.join(inside)}{',' if len(inside) == 1 else ''})"
            if type(value) is tuple
            else f"[{', '.join(inside)}]"
        )
    if isinstance(value, type(None) | bool | int | float | str):
        return repr(value)
    if isinstance(type(value), ModuleMeta):
        return type(value).__name__
    name = getattr(value, "__name__", None)
    text = name if isinstance(name, str) else repr(value)
    return text if len(text) <= 60 else type(value).__name__
