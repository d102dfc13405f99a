"""What is known while a graph runs: the turn of each loop around, and whether effects were seen to already.

References and backends keep it; what prints, checks or calls Python reads it. One state for each thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Running(threading.local):
    def __init__(self) -> None:
        self.turns: list[int] = []  # of the loops around, outermost first
        self.quiet = False
        self.results: list[Any] | None = None  # what host functions returned, in order
        self.given: Iterator[Any] | None = None  # the same, to be returned again


_running = _Running()


def turns() -> list[int]:
    """The turn that each loop around is in, outermost first. Loops count on it in place: append, set, pop."""
    return _running.turns


@contextmanager
def looping() -> Iterator[list[int]]:
    """A loop runs: it puts the turn it is in at the end of the list."""
    stack = _running.turns
    depth = len(stack)
    stack.append(0)
    try:
        yield stack
    finally:
        del stack[depth:]


def is_quiet() -> bool:
    """Whether this run repeats one whose effects have happened: it must not print again."""
    return _running.quiet


@contextmanager
def quiet() -> Iterator[None]:
    """Run something again without its effects."""
    before, _running.quiet = _running.quiet, True
    try:
        yield
    finally:
        _running.quiet = before


@contextmanager
def fresh_turns() -> Iterator[None]:
    """A run of its own: inside, no loop is around; and nothing that an error leaves open stays."""
    before, _running.turns = _running.turns, []
    try:
        yield
    finally:
        _running.turns = before


@contextmanager
def results_kept() -> Iterator[list[Any]]:
    """Collect what host functions return, so that the run can be repeated without calling them again."""
    before, _running.results = _running.results, []
    try:
        yield _running.results
    finally:
        _running.results = before


@contextmanager
def repeating(results: list[Any] | None) -> Iterator[None]:
    """Repeat a run: nothing prints, checks are made, and host functions return what they returned then.

    Args:
        results: of the host functions, in order; None: they are called again.
    """
    before = _running.given
    _running.given = None if results is None else iter(results)
    try:
        with quiet():
            yield
    finally:
        _running.given = before


def is_repeating() -> bool:
    """Whether a run is repeated to find out what was wrong in it."""
    return _running.given is not None


def next_result() -> Any:
    """What the next host function returned then; None where that is not known."""
    return None if _running.given is None else next(_running.given, None)


def keep_result(made: Any) -> None:
    """Note what a host function returned, where somebody wants to know."""
    if _running.results is not None:
        _running.results.append(made)
