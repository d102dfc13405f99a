"""Names of weights as files and models write them: patterns that choose, and patterns that rename."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, Union

from treadle.core.errors import ArgumentError

Patterns: TypeAlias = Union[str, Sequence[str], None]
Rename: TypeAlias = Union[Mapping[str, str], Sequence[tuple[str, str]], None]


def as_regex(pattern: str) -> re.Pattern[str]:
    """`*` is any run of characters; a pattern without one names a tensor, or a module with all that is in it."""
    if "*" in pattern:
        return re.compile("(.*)".join(re.escape(part) for part in pattern.split("*")))
    return re.compile(re.escape(pattern) + r"(\..*)?")


def chooser(patterns: Patterns, when_none: bool) -> Callable[[str], bool]:
    """Whether a name fits one of the patterns; `when_none` if there are none."""
    if patterns is None:
        return lambda name: when_none
    found = [as_regex(p) for p in ([patterns] if isinstance(patterns, str) else patterns)]
    return lambda name: any(r.fullmatch(name) for r in found)


def renamed(names: Iterable[str], rename: Rename) -> tuple[dict[str, str], list[str]]:
    """The new name of each, and the patterns that fitted none.

    Raises:
        ArgumentError: a pattern is not a regular expression, or its replacement has more `*` than it has.
    """
    if rename is None:
        return {n: n for n in names}, []
    out: dict[str, str] = {}
    if isinstance(rename, Mapping):
        rules = [(old, as_regex(old), new) for old, new in rename.items()]
        used: set[str] = set()
        for name in names:
            out[name] = name
            for old, regex, new in rules:
                match = regex.fullmatch(name)
                if match:
                    used.add(old)
                    out[name] = _replace(match, old, new)
                    break
        return out, [old for old in rename if old not in used]
    compiled = [(_compiled(old), new) for old, new in rename]
    hits = [0] * len(compiled)
    for name in names:
        out[name] = name
        for i, (regex, new) in enumerate(compiled):
            out[name], n = regex.subn(new, out[name])
            hits[i] += n
    return out, [regex.pattern for (regex, _), n in zip(compiled, hits, strict=True) if not n]


def _replace(match: re.Match[str], old: str, new: str) -> str:
    if "*" not in old:
        return new + (match.group(1) or "")
    parts = new.split("*")
    if len(parts) - 1 > len(match.groups()):
        raise ArgumentError(f"rename={{{old!r}: {new!r}}}: the new name has more * than the old one")
    return parts[0] + "".join(g + p for g, p in zip(match.groups(), parts[1:], strict=False))


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as e:
        raise ArgumentError(
            f"rename=[({pattern!r}, …)] is no regular expression: {e}. "
            "Patterns with * go into a dict: rename={old: new}"
        ) from e
