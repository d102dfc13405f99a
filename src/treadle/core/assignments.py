"""What a traced function makes in modules and assigns to them: noted while it runs, put back or carried on after.

Variables live in ordinary attributes, lists and dicts; a place is such a container and a key in it. `Stateful` notes
each write here, so that a trace can put back what was there, and a loop can carry along what its body changes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from treadle.core.errors import TraceError
from treadle.core.owned import Parameter, State, wrap_like
from treadle.core.tensor import Tensor


class _Created(threading.local):
    log: list[tuple[dict[str, Any], str, Any]] | None = None


def holds_variables(value: Any) -> bool:
    """Whether a value is a variable, or a list or dict that holds some directly."""
    if type(value) is list:
        return any(map(holds_variables, value))
    if type(value) is dict:
        return any(map(holds_variables, value.values()))
    return isinstance(value, Parameter | State)


def snapshot(value: Any) -> Any:
    """The value with lists and dicts of its own."""
    if type(value) is list:
        return [snapshot(v) for v in value]
    if type(value) is dict:
        return {k: snapshot(v) for k, v in value.items()}
    return value


_created = _Created()


@contextmanager
def log_created() -> Iterator[list[tuple[dict[str, Any], str, Any]]]:
    """Collect the variables that are created inside, with their first numbers (lazily built layers)."""
    outer = _created.log
    log: list[tuple[dict[str, Any], str, Any]] = []
    _created.log = log
    try:
        yield log
    finally:
        _created.log = outer
        if outer is not None:
            outer += log


class _Written(threading.local):
    log: dict[tuple[int, Any], tuple[Any, Any, Any, bool]] | None = None


_written = _Written()


def note(container: Any, key: Any, first: Any = None) -> None:
    """Remember what a variable was before it is written to; `first` is its value where it is new."""
    if _written.log is not None:
        old = container[key] if first is None else first
        _written.log.setdefault((id(container), key), (container, key, old, first is not None))


@contextmanager
def assignments_stay(creator: str) -> Iterator[None]:
    """Refuse that a traced function leaves symbols of its own in modules that were not passed to it.

    Raises:
        TraceError: it did. The variables are as they were before.
    """
    log: dict[tuple[int, Any], tuple[Any, Any, Any, bool]] = {}
    outer, _written.log = _written.log, log
    lost = None
    try:
        yield
    finally:
        _written.log = outer
        for place, (container, key, old, is_new) in log.items():
            now = container.get(key) if isinstance(container, dict) else container[key]
            if isinstance(now, Tensor) and now is not old and now._value is None and now._trace is not old._trace:
                container[key] = old
                lost = lost if is_new else (key, old)
            if outer is not None:
                outer.setdefault(place, (container, key, old, is_new))
    if lost is not None:
        raise TraceError(
            f"the {lost[1].kind} {lost[0]!r} ({lost[1].spec}) is assigned inside {creator}, but its module is not an "
            "argument there: the new value would not come out of it. Pass the module as an argument, or return the "
            "value and assign it afterwards"
        )


Place = tuple[Any, Any]  # a __dict__, list or dict, and the key in it


@dataclass
class Taken:
    """Where a function assigned to modules, and what was there; and whether it made variables and assigned to those."""

    places: list[tuple[Place, Tensor]]
    made: bool = False


@contextmanager
def assignments_taken() -> Iterator[Taken]:
    """Put back what a traced function assigns to modules, and tell where that was."""
    log: dict[tuple[int, Any], tuple[Any, Any, Any, bool]] = {}
    taken = Taken([])
    outer, _written.log = _written.log, log
    try:
        yield taken
    finally:
        _written.log = outer
        for container, key, old, is_new in log.values():
            now = container[key]
            if isinstance(now, Tensor) and now is not old and now._value is None:
                container[key] = old
                if is_new:
                    taken.made = True
                else:
                    taken.places.append(((container, key), old))
            elif outer is not None:
                outer.setdefault((id(container), key), (container, key, old, is_new))


@contextmanager
def assignments_within(places: Sequence[Place]) -> Iterator[None]:
    """What is assigned to these places inside concerns nobody around: they are put back by who asks for this."""
    known = {(id(container), key) for container, key in places}
    log: dict[tuple[int, Any], tuple[Any, Any, Any, bool]] = {}
    outer, _written.log = _written.log, log
    try:
        yield
    finally:
        _written.log = outer
        for place, entry in log.items():
            if outer is not None and place not in known:
                outer.setdefault(place, entry)


def put(places: Sequence[Place], tensors: Sequence[Tensor], *, noted: bool = False) -> None:
    """Put tensors into places, keeping Parameters Parameters."""
    for (container, key), x in zip(places, tensors, strict=True):
        if noted:
            note(container, key)
        container[key] = wrap_like(container[key], x)


def note_created(container: dict[str, Any], name: str, value: Any) -> None:
    """Remember the first numbers of variables that a value brings along."""
    if _created.log is not None and holds_variables(value):
        _created.log.append((container, name, snapshot(value)))
