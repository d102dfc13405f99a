"""The commands of the step debugger: text in, text out. The line mode and the screen both speak to it.

A command is a method `do_name` of what `Session` is made of; the first line of its docstring is its usage and what it
does, and `help name` shows the rest.
"""

from __future__ import annotations

import inspect

from treadle.core.errors import ArgumentError, TreadleError
from treadle.debug.stepper.changing import Changing
from treadle.debug.stepper.looking import Looking
from treadle.debug.stepper.moving import Moving
from treadle.debug.stepper.position import Wishes, table

ALIASES = {
    "a": "args",
    "b": "break",
    "bt": "where",
    "c": "continue",
    "cl": "clear",
    "d": "down",
    "exit": "quit",
    "g": "graph",
    "h": "help",
    "image": "picture",
    "l": "list",
    "n": "next",
    "out": "return",
    "q": "quit",
    "r": "return",
    "s": "step",
    "u": "up",
    "v": "values",
    "w": "where",
}
REPEATED = ("back", "line", "layer", "next", "step", "up", "down")  # by an empty line


class Session(Moving, Looking, Changing):
    """One call of a graph in the debugger, with all of its commands."""

    _last = ""  # the command that an empty line repeats

    def execute(self, command: str) -> str:
        """Run a command and return what it has to say. Mistakes are said, not raised."""
        command = command.strip()
        if not command:
            command = self._last
        word, _, rest = command.partition(" ")
        self._last = command if ALIASES.get(word, word) in REPEATED else ""
        if not word or word.startswith("#"):
            return ""
        method = getattr(self, f"do_{ALIASES.get(word, word)}", None)
        try:
            if method is None:
                return self._other(command)
            return str(method(rest.strip()))
        except TreadleError as e:
            return f"*** {e.message}"

    def _other(self, command: str) -> str:
        """What is no command is an expression, unless it begins like one."""
        word = command.split()[0]
        if word.isidentifier() and not any("%" + word in f.layout.by_name for f in self.engine.frames):
            raise ArgumentError(f"there is no command {word!r}; h lists them, and p shows a value")
        return self.do_p(command)

    def do_help(self, rest: str) -> str:
        """h(elp) [COMMAND]: this list, or more of one"""
        if rest:
            method = getattr(self, f"do_{ALIASES.get(rest, rest)}", None)
            if method is None:
                raise ArgumentError(f"there is no command {rest!r}")
            return inspect.getdoc(method) or ""
        rows = []
        for heading, names in GROUPS.items():
            rows.append((heading, ""))
            for name in names:
                first = (inspect.getdoc(getattr(self, f"do_{name}")) or f"{name}: ").splitlines()[0]
                usage, _, what = first.partition(": ")
                rows.append((f"  {usage}", what))
        return table(rows) + "\n\nAn empty line repeats a movement. What is no command is an expression: %3.sum()"


GROUPS = {
    "forward": ("step", "next", "line", "layer", "return", "until", "continue"),
    "back": ("back",),
    "look": (
        "p", "stat", "hist", "picture", "args", "values", "made", "uses", "forward", "backward", "where", "up", "down",
        "list", "graph",
    ),
    "change": ("set", "unset"),
    "breakpoints": ("break", "tbreak", "clear"),
    "session": ("save", "pass", "detach", "quit", "help"),
}  # fmt: skip

__all__ = ["ALIASES", "GROUPS", "Session", "Wishes"]
