"""Messages with places for values that are known when the graph runs."""

from __future__ import annotations

import builtins
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.describing import describe
from treadle.core.errors import ArgumentError
from treadle.core.registry import array_namespace
from treadle.core.source import caller, current_scope
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor
from treadle.debug.describe import Shown, Summary

Array = np.ndarray[Any, Any]

# How often each message came to be written, by its line, scope and words: the same line is the same message, however
# often its function is traced.
_counts: dict[tuple[str, int, str, str], int] = {}


def reset_counts() -> None:
    """Let `first_n=` and `every=` of every `td.print` count from the beginning again.

    >>> td.debug.reset_counts()
    """
    _counts.clear()


class Message:
    """A template with values, some of which are tensors.

    Attributes:
        tensors: those, in order; `text` gets an array for each.
    """

    def __init__(self, what: str, template: Any, values: Sequence[Any]) -> None:
        if isinstance(template, str):
            self.template = template
            _check_places(what, template, len(values))
        else:
            self.template, values = " ".join(["{}"] * (len(values) + 1)), (template, *values)
        opened = [x.variables() if isinstance(x, Stateful) else x for x in values]
        leaves, self.structure = trees.flatten(tuple(opened), lambda x: isinstance(x, Summary))
        self.leaves: list[Any] = list(leaves)
        self.tensors: list[Tensor] = []
        self._places: list[tuple[int, bool]] = []
        for i, x in enumerate(leaves):
            is_summary = isinstance(x, Summary)
            inner = x.tensor if is_summary else x
            if isinstance(inner, Tensor | np.ndarray):
                self.tensors.append(array_namespace().asarray(inner))
                self.leaves[i] = None
                self._places.append((i, is_summary))

    def text(self, arrays: Sequence[Array]) -> str:
        """The message with these numbers."""
        leaves = list(self.leaves)
        for (i, is_summary), a in zip(self._places, arrays, strict=True):
            leaves[i] = _Words(describe(a, moments=True)) if is_summary else Shown(a)
        return self.template.format(*trees.unflatten(self.structure, leaves))

    def __str__(self) -> str:
        return self.template


class _Words(str):
    """A text that shows without quotes inside of lists and dicts too."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Printed(Message):
    """What `td.print` writes, and when."""

    def __init__(self, template: Any, values: Sequence[Any], first_n: int | None, every: int, file: Any) -> None:
        super().__init__("td.print", template, values)
        for name, number in (("first_n", first_n), ("every", every)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise ArgumentError(f"td.print: {name}={number!r} must be an int from 1 up")
        self.first_n, self.every, self.file = first_n, every, file
        source = caller()
        self._key = (source.file, source.line, current_scope(), self.template)

    def show(self, arrays: Sequence[Array], where: str) -> None:
        """Write it, unless it is not its turn."""
        count = _counts.get(self._key, 0)
        _counts[self._key] = count + 1
        turn, rest = divmod(count, self.every)
        if rest or (self.first_n is not None and turn >= self.first_n):
            return
        builtins.print(f"[{where}] {self.text(arrays)}" if where else self.text(arrays), file=self.file)


def _check_places(what: str, template: str, count: int) -> None:
    """Raise unless the template has a place for each value, and a value for each place."""
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as e:
        raise ArgumentError(f"{what}: {template!r} is no template: {e}. Write {{{{ and }}}} for braces") from None
    heads = [n.split(".")[0].split("[")[0] for n in names]
    if any(h and not h.isdigit() for h in heads):
        raise ArgumentError(f"{what}: the places in {template!r} have names; use {{}} and {{:.3f}}, in order")
    needed = max((int(h) + 1 for h in heads if h), default=0) if any(heads) else len(heads)
    if needed != count:
        raise ArgumentError(
            f"{what}: {template!r} has {needed} place{'' if needed == 1 else 's'} for values, and {count} "
            f"{'is' if count == 1 else 'are'} given"
        )
