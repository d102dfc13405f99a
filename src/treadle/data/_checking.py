"""Arguments of steps: what they must be."""

from __future__ import annotations

import operator
from typing import Any

from treadle.core.errors import ArgumentError


def check_count(what: str, n: Any, least: int = 1) -> int:
    try:
        value = operator.index(n)
    except TypeError:
        value = least - 1
    if value < least or isinstance(n, bool):
        raise ArgumentError(f"{what}({n!r}): an integer of at least {least}")
    return value


def check_function(what: str, function: Any) -> None:
    if not callable(function):
        raise ArgumentError(f"{what} takes a function of an element, not {function!r}")
