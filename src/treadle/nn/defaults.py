"""`nn.defaults`: default constructor arguments of layers, for a while."""

from __future__ import annotations

import difflib
import inspect
import threading
from collections.abc import Mapping
from typing import Any

from treadle.core.errors import ArgumentError
from treadle.core.source import place_text

_Defaults = dict[type, dict[str, Any]]


class _Open(threading.local):
    """The scopes that are open in this thread, merged."""

    def __init__(self) -> None:
        self.current: _Defaults = {}


_open = _Open()


class Defaults:
    """A scope of `nn.defaults`, to be entered with `with`; as often as one likes."""

    def __init__(self, given: _Defaults) -> None:
        self._given = given
        self._before: list[_Defaults] = []

    def __enter__(self) -> None:
        self._before.append(_open.current)
        merged = {cls: dict(arguments) for cls, arguments in _open.current.items()}
        for cls, arguments in self._given.items():
            merged[cls] = merged.get(cls, {}) | arguments
        _open.current = merged

    def __exit__(self, *_: object) -> None:
        _open.current = self._before.pop()


def defaults(classes: Mapping[type, Mapping[str, Any]] | None = None, /, **by_name: Mapping[str, Any]) -> Defaults:
    """Layers constructed inside of the `with` take these arguments where their caller gives none.

    `with nn.defaults(Conv2D=dict(padding="same", use_bias=False)): …` holds for every `Conv2D` made inside, also by
    the constructors of other modules. Scopes nest: an inner one adds to the outer ones and wins over them. It holds for
    exactly that class, not for its subclasses, and in this thread.

    Args:
        classes: the same with classes as keys, for classes of your own whose names are not unique.
        by_name: class name → arguments.

    Raises:
        ArgumentError: there is no such layer, or it has no such argument (at once, not when a layer is made).

    >>> with td.nn.defaults(Dense=dict(activation="relu", use_bias=False)):
    ...     a, b = td.nn.Dense(8), td.nn.Dense(3, activation=None)
    >>> a, b
    (Dense(8, activation='relu', use_bias=False), Dense(3, use_bias=False, activation=None))
    """
    try:
        return Defaults(_checked(dict(classes or {}), by_name))
    except ArgumentError as e:
        raise e.at(place_text()) from None


def _checked(classes: Mapping[type, Mapping[str, Any]], by_name: Mapping[str, Mapping[str, Any]]) -> _Defaults:
    from treadle.nn.construction import check_names

    found: _Defaults = {}
    for cls, given in [*classes.items(), *((_find(name), given) for name, given in by_name.items())]:
        if not isinstance(given, Mapping):
            raise ArgumentError(
                f"nn.defaults: {cls.__name__}={given!r} is no dict of arguments; write dict(name=value)"
            )
        check_names(cls, inspect.signature(cls), given)
        found[cls] = found.get(cls, {}) | dict(given)
    return found


def _find(name: str) -> type:
    """The layer of that name: one of treadle's, an alias, or a class of the user's."""
    from treadle import nn

    found = getattr(nn, name, None)
    if isinstance(found, type) and issubclass(found, nn.Module):
        return found
    known: dict[str, list[type]] = {}
    for cls in _subclasses(nn.Module):
        known.setdefault(cls.__name__, []).append(cls)
    if len(known.get(name, ())) == 1:
        return known[name][0]
    if name in known:
        raise ArgumentError(
            f"nn.defaults: {len(known[name])} classes are named {name}; give the class: {{{name}: dict(…)}}"
        )
    close = difflib.get_close_matches(name, [k for k in known if not k.startswith("_")], n=1)
    meant = f"did you mean {close[0]}?" if close else "it names a class of layers, such as Conv2D=dict(…)"
    raise ArgumentError(f"nn.defaults: there is no layer {name}; {meant}")


def _subclasses(cls: type) -> set[type]:
    """The class and all that derive from it."""
    found = {cls}
    below: list[type] = type.__subclasses__(cls)
    for inner in below:
        found |= _subclasses(inner)
    return found


def missing(
    cls: type, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The open defaults of a class for what a call does not give."""
    known = _open.current.get(cls)
    if not known:
        return {}
    positional = [p.name for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY]
    given = {*positional[: len(args)], *kwargs}
    return {name: value for name, value in known.items() if name not in given}
