"""Where a node comes from: the user's source line and the scope ("encoder/layers.0") it was made in."""

from __future__ import annotations

import contextlib
import copy
import copyreg
import itertools
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NamedTuple

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@dataclass(frozen=True, slots=True)
class Source:
    """A line of the user's code. Two are equal when they print alike: `model.py:12`.

    Attributes:
        phase: why there is a node for this line: "" it computes what the line says; "derivative" it is part of a
            derivative rule, made while values flow forward; "backward" it carries gradients back; "optimizer" it
            updates parameters.
    """

    file: str
    line: int
    phase: str = ""

    def in_phase(self, phase: str) -> Source:
        """The same line in a later phase: backward is not left again."""
        return self if self.phase in (phase, "backward") else Source(self.file, self.line, phase)

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


UNKNOWN = Source("?", 0)


class Origin(NamedTuple):
    """Ties what a derivative makes to the node that was differentiated.

    Nodes with the same number come from the same one. `backward` holds for those that carry cotangents. No part of
    what a graph computes: two graphs are equal, and print alike, whatever the origins of their nodes.
    """

    number: int
    backward: bool = False


_numbers = itertools.count(1)


def fresh_origin() -> Origin:
    """An origin that no node has yet."""
    return Origin(next(_numbers))


class _Place(threading.local):
    scopes: tuple[str, ...] = ()
    source: Source | None = None
    origin: Origin | None = None


_place = _Place()


def is_ours(frame: FrameType) -> bool:
    """Whether a frame runs treadle's own code, or a `with` or copy of it. Doctests in its files are the user's code."""
    return frame.f_code.co_filename.startswith((_PACKAGE, contextlib.__file__, copy.__file__, copyreg.__file__))


def caller() -> Source:
    """The innermost line outside of treadle, or the line that is being replayed."""
    if _place.source is not None:
        return _place.source
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and is_ours(frame):
        frame = frame.f_back
    return UNKNOWN if frame is None else Source(frame.f_code.co_filename, frame.f_lineno)


def current_origin() -> Origin | None:
    """What the nodes that are being made come from, inside of a derivative."""
    return _place.origin


def current_scope() -> str:
    """The names of the scopes that are open, joined with "/"."""
    return "/".join(_place.scopes)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Name what is made inside: nodes carry `outer/inner`, and messages and pictures speak in those names.

    >>> import treadle as td
    >>> def f(x):
    ...     with td.scope("head"):
    ...         return td.tanh(x)
    >>> td.graph(f)(td.zeros(3)).nodes[0].scope
    'head'
    """
    before = _place.scopes
    _place.scopes = (*before, name)
    try:
        yield
    finally:
        _place.scopes = before


class placed:  # noqa: N801, used like a function; a class, because every node of every transform passes here
    """Make nodes as if from this line and scope: what a transform makes belongs where its origin stands."""

    __slots__ = ("_inside", "_outside")

    def __init__(self, source: Source | None, scope_name: str, origin: Origin | None = None) -> None:
        self._inside = (scope_name,) if scope_name else (), source, origin

    def __enter__(self) -> None:
        self._outside = _place.scopes, _place.source, _place.origin
        _place.scopes, _place.source = self._inside[:2]
        # A node without an origin of its own, replayed inside of a derivative, belongs to that derivative's node.
        _place.origin = self._inside[2] or _place.origin

    def __exit__(self, *_: object) -> None:
        _place.scopes, _place.source, _place.origin = self._outside


class phase:  # noqa: N801, as `placed`
    """What is made inside belongs to this phase of the line."""

    __slots__ = ("_name", "_outside")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._outside = _place.source
        _place.source = caller().in_phase(self._name)

    def __exit__(self, *_: object) -> None:
        _place.source = self._outside


def place_text(source: Source | None = None, scope_name: str | None = None) -> str:
    """ "encoder/dense, model.py:12" for messages."""
    parts = [current_scope() if scope_name is None else scope_name, str(source or caller())]
    return ", ".join(p for p in parts if p and not p.startswith("?"))
