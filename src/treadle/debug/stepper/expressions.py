"""Python expressions over a graph's values, as the user types them at the prompt: `np.abs(%3).max() + x.sum()`.

Only what is typed there comes here. Breakpoints and saved sessions have a language of their own (`conditions`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, TreadleError
from treadle.core.registry import package
from treadle.debug.stepper.frames import Array

_VALUE = re.compile(r"%([A-Za-z0-9_][\w./]*)")
_STRING = re.compile(r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")


def evaluate(text: str, names: Iterable[str], value: Callable[[str], Array]) -> Any:
    """The value of an expression.

    Args:
        names: what the graph calls its values: `%3`, `%model.kernel`. Inputs may be written without `%`.
        value: gives the array of one.

    Raises:
        ArgumentError: it is no expression, or evaluating it raises; the message has Python's own words.
    """
    known = {n[1:]: f"_v{k}" for k, n in enumerate(sorted(names))}
    code = _translate(text, known)
    namespace: dict[str, Any] = {"np": np, "td": package()}
    for name, identifier in known.items():
        if identifier in code.co_names:
            namespace[identifier] = value("%" + name)
    try:
        return eval(code, namespace)  # noqa: S307, typed at the user's own prompt
    except TreadleError:
        raise
    except Exception as e:
        raise ArgumentError(f"{text!r}: {type(e).__name__}: {e}") from None


def _translate(text: str, known: dict[str, str]) -> CodeType:
    inputs = sorted((n for n in known if not n.isdigit()), key=len, reverse=True)
    bare = re.compile(r"(?<![\w.])(" + "|".join(map(re.escape, inputs)) + r")(?![\w])") if inputs else None
    parts = _STRING.split(text)
    for k in range(0, len(parts), 2):
        plain = _VALUE.sub(lambda m: _identifier(m, known), parts[k])
        parts[k] = bare.sub(lambda m: known[m[1]], plain) if bare else plain
    try:
        return compile("".join(parts).strip(), "<the debugger>", "eval")
    except SyntaxError as e:
        raise ArgumentError(f"{text!r} is no expression: {e.msg}") from None


def _identifier(match: re.Match[str], known: dict[str, str]) -> str:
    """`%3` is a value where an operand may stand; behind one (`x %3`) it is the remainder."""
    before = match.string[: match.start()].rstrip()
    if before and (before[-1].isalnum() or before[-1] in "_)]}"):
        word = re.search(r"\w+$", before)
        if word is None or word[0] not in ("and", "else", "if", "in", "is", "not", "or"):
            return match[0]
    name, rest = match[1].rstrip("./"), ""
    while name not in known and "." in name:  # %3.max(): the method is no part of the name
        name, _, tail = name.rpartition(".")
        rest = f".{tail}{rest}"
    if name not in known:
        raise ArgumentError(f"there is no value %{match[1]} here")
    return known[name] + rest + match[1][len(match[1].rstrip("./")) :]
