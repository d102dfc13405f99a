"""Seeing inside of code that runs as a graph. `td.debug(f)(x)` steps through a function node by node."""

from __future__ import annotations

import importlib as _importlib
import sys as _sys
import typing as _typing

from treadle.debug._namespace import DebugModule as _DebugModule

if _typing.TYPE_CHECKING:
    from treadle.debug.stepper.running import DebuggerQuit, load, step, stepping

# The step debugger opens on first use.
_STEPPER = ("DebuggerQuit", "load", "step", "stepping")


def __getattr__(name: str) -> _typing.Any:
    if name not in _STEPPER:
        raise AttributeError(f"treadle.debug has no {name!r}")
    value = globals()[name] = getattr(_importlib.import_module("treadle.debug.stepper.running"), name)
    return value


_sys.modules[__name__].__class__ = _DebugModule

__all__ = ["DebuggerQuit", "load", "step", "stepping"]
