"""Ranges of hyperparameters, with messages in their names."""

from __future__ import annotations

from treadle.core.errors import ArgumentError


def at_least_zero(**values: float) -> None:
    """Raise for a number that is negative, NaN or infinite.

    Raises:
        ArgumentError: naming it.
    """
    for name, value in values.items():
        if not 0 <= value < float("inf"):
            raise ArgumentError(f"{name} is a finite number >= 0; got {value}")


def positive(**values: float) -> None:
    """Raise for a number that is not > 0 and finite.

    Raises:
        ArgumentError: naming it.
    """
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise ArgumentError(f"{name} is a finite number > 0; got {value}")


def fractions(**values: float) -> None:
    """Raise for a number outside of [0, 1).

    Raises:
        ArgumentError: naming it.
    """
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ArgumentError(f"{name} lies in [0, 1); got {value}")
