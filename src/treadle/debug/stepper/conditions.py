"""Conditions on values: `has_nan`, `abs > 1e3`, `shape == [2,3]`, joined by `and`.

A language of its own, read by this file alone, because saved sessions hold conditions and nothing in a file is run.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError
from treadle.core.spec import show_shape
from treadle.debug.stepper.frames import Array

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_PATTERN = re.compile(r"(?P<what>\w+)\s*(?P<compare>==|!=|<=|>=|<|>)\s*(?P<to>.+)$")
FLAGS = ("has_inf", "has_nan", "nonfinite")
ELEMENTS = ("abs", "value")  # hold where any element does
NUMBERS = ("max", "mean", "min", "ndim", "size", "std")
SHAPES = ("shape",)


def numbers_of(array: Array) -> Array:
    """The elements in an ordinary dtype of NumPy: bfloat16 as float32."""
    return array.astype(np.float32) if array.dtype.kind == "V" or array.dtype.name == "bfloat16" else array


@dataclass(frozen=True)
class Condition:
    """A condition and its text."""

    text: str
    parts: tuple[Callable[[Array], str | None], ...]

    def __str__(self) -> str:
        return self.text

    def holds(self, array: Array) -> str | None:
        """Why it holds, in words (`2 of 12 elements are NaN`); None where it does not."""
        reasons = []
        for part in self.parts:
            reason = part(array)
            if reason is None:
                return None
            reasons.append(reason)
        return ", ".join(reasons)


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        ArgumentError: it is none; the message lists what there is.

    >>> from treadle.debug.stepper.conditions import parse_condition
    >>> parse_condition("abs > 1e3 and shape == [3]").holds(np.array([1.0, -2e3, 3e4]))
    '2 of 3 elements have abs > 1e3, the shape is [3]'
    """
    pieces = [p.strip() for p in re.split(r"\band\b", text)]
    return Condition(" and ".join(pieces), tuple(_part(p, text) for p in pieces))


def _part(piece: str, whole: str) -> Callable[[Array], str | None]:
    if piece in FLAGS:
        return _flag(piece)
    match = _PATTERN.match(piece)
    if match is None or match["what"] not in (*ELEMENTS, *NUMBERS, *SHAPES):
        raise ArgumentError(
            f"{piece or whole!r} is no condition. There are {', '.join(FLAGS)}; and "
            f"{', '.join((*ELEMENTS, *NUMBERS))} compared to a number (abs > 1e3), shape == [2,3]; join them with and"
        )
    compare = _COMPARE[match["compare"]]
    if match["what"] in SHAPES:
        return _shape(match["compare"], compare, _sizes(match["to"], piece))
    try:
        to = float(match["to"])
    except ValueError:
        raise ArgumentError(f"{piece!r}: {match['what']} is compared to a number, not to {match['to']!r}") from None
    if match["what"] in ELEMENTS:
        return _elements(piece, match["what"], compare, to)
    return _number(match["what"], compare, to)


def _sizes(text: str, piece: str) -> tuple[int, ...]:
    inside = text.strip().strip("[]()")
    try:
        return tuple(int(n) for n in inside.replace(",", " ").split())
    except ValueError:
        raise ArgumentError(f"{piece!r}: a shape is written [2,3], not {text!r}") from None


def _flag(name: str) -> Callable[[Array], str | None]:
    def holds(array: Array) -> str | None:
        x = numbers_of(array)
        if x.dtype.kind != "f":
            return None
        marks = np.isnan(x) if name == "has_nan" else np.isinf(x) if name == "has_inf" else ~np.isfinite(x)
        count = int(np.count_nonzero(marks))
        word = {"has_nan": "NaN", "has_inf": "infinite", "nonfinite": "not finite"}[name]
        return f"{count} of {x.size} element{_is(count, x.size)} {word}" if count else None

    return holds


def _is(count: int, size: int) -> str:
    return ("s" if size != 1 else "") + (" is" if count == 1 else " are")


def _elements(piece: str, what: str, compare: Callable[[Any, Any], Any], to: float) -> Callable[[Array], str | None]:
    def holds(array: Array) -> str | None:
        x = numbers_of(array)
        if x.dtype.kind == "b":
            return None
        with np.errstate(all="ignore"):
            count = int(np.count_nonzero(compare(np.abs(x) if what == "abs" else x, to)))
        if not count:
            return None
        return f"{count} of {x.size} element{'s' if x.size != 1 else ''} {'has' if count == 1 else 'have'} {piece}"

    return holds


def _number(what: str, compare: Callable[[Any, Any], Any], to: float) -> Callable[[Array], str | None]:
    def holds(array: Array) -> str | None:
        if what in ("ndim", "size"):
            found = float(getattr(array, what))
        elif not array.size or array.dtype.kind == "b":
            return None
        else:
            with np.errstate(all="ignore"):
                found = float(getattr(np, what)(numbers_of(array).astype(np.float64)))
        return f"{what} is {found:.6g}" if compare(found, to) else None

    return holds


def _shape(sign: str, compare: Callable[[Any, Any], Any], to: tuple[int, ...]) -> Callable[[Array], str | None]:
    if sign not in ("==", "!="):
        raise ArgumentError(f"shapes are compared with == and !=, not with {sign}")
    return lambda array: f"the shape is {show_shape(array.shape)}" if compare(array.shape, to) else None
