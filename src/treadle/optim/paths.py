"""Parameters by path: choosing some by patterns, and comparing gradients with them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias, Union

from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor

Choice: TypeAlias = Union[Sequence[str], Callable[[str, Tensor], bool], None]


def chosen_paths(argument: str, choice: Choice, parameters: Mapping[str, Tensor]) -> list[str]:
    """The paths that patterns match (`*` any text, `?` a character) or that a function says True to; None is all.

    Raises:
        ArgumentError: a pattern matches nothing.
    """
    if choice is None:
        return list(parameters)
    if callable(choice):
        return [p for p, x in parameters.items() if choice(p, x)]
    patterns = [choice] if isinstance(choice, str) else list(choice)
    for pattern in patterns:
        if not any(fnmatchcase(p, pattern) for p in parameters):
            raise ArgumentError(f"{argument}: no parameter matches {pattern!r}; there are {_some(parameters)}")
    return [p for p in parameters if any(fnmatchcase(p, pattern) for pattern in patterns)]


def check_gradients(parameters: Mapping[str, Tensor], gradients: Mapping[str, Any], wanted: Sequence[str]) -> None:
    """Raise unless there is a gradient for each wanted parameter, of its shape, and none of something unknown.

    Raises:
        ArgumentError: unknown or missing paths.
        ShapeError: the shapes differ.
    """
    if not isinstance(gradients, Mapping):
        raise ArgumentError(
            f"gradients are a dict path → tensor, as td.value_and_grad gives; got {type(gradients).__name__}"
        )
    unknown = [p for p in gradients if p not in parameters]
    if unknown:
        raise ArgumentError(f"gradients of unknown parameters: {_some(unknown)}. {_similar(unknown[0], parameters)}")
    missing = [p for p in wanted if p not in gradients]
    if missing:
        raise ArgumentError(
            f"no gradient was given for {_some(missing)}. To leave parameters as they are, "
            f'name those that are trained: trainable=["{_prefix(gradients)}*"]'
        )
    for path in wanted:
        given = getattr(gradients[path], "shape", None)
        if given is not None and tuple(given) != parameters[path].shape:
            raise ShapeError(
                f"the gradient of {path} is {show_shape(tuple(given))}, "
                f"and the parameter {show_shape(parameters[path].shape)}. "
                "For gradients of each sample, take their mean over the first axis"
            )


def _some(paths: Iterable[str], limit: int = 8) -> str:
    listed = list(paths)
    return ", ".join(listed[:limit]) + (f", … ({len(listed)} in all)" if len(listed) > limit else "")


def _similar(path: str, parameters: Iterable[str]) -> str:
    close = difflib.get_close_matches(path, list(parameters), 1)
    return f"Did you mean {close[0]}?" if close else f"The parameters are {_some(parameters)}"


def _prefix(paths: Iterable[str]) -> str:
    first = next(iter(paths), "head.kernel")
    return first.rpartition(".")[0] + "." if "." in first else first
