"""Words for messages: the nearest of the names that exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from treadle.core.errors import ArgumentError


def nearest(name: str, options: Iterable[str], count: int = 1) -> list[str]:
    """The names that are most like a name, best first; none that are far from it."""
    return difflib.get_close_matches(name, list(options), n=count, cutoff=0.5)


# What other toolkits call an argument: found where a similar spelling would not be.
_ELSEWHERE = {
    "criterion": "loss",
    "loss_fn": "loss",
    "loss_function": "loss",
    "opt": "optimizer",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "random_state": "seed",
    "sample_weight": "weights",
    "val_data": "validation_data",
    "valid_data": "validation_data",
    "validation_set": "validation_data",
    "eval_set": "validation_data",
}


def suggestion(name: str, options: Iterable[str]) -> str:
    """`Did you mean 'epochs'?`, or the list of what there is."""
    options = list(options)
    words = set(name.split("_"))
    close = [_ELSEWHERE[name]] if _ELSEWHERE.get(name) in options else []
    close += [o for o in options if words <= set(o.split("_"))] or nearest(name, options)
    return f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(options)}."


def refuse_unknown(function: str, unknown: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise for keyword arguments that a function does not have.

    Raises:
        ArgumentError: there is one; with the nearest name that exists.
    """
    for name in unknown:
        raise ArgumentError(f"{function} has no argument {name!r}. {suggestion(name, known)}")


def count(n: int, what: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
