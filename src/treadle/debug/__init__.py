"""Seeing inside of code that runs as a graph: printing, checks, probes, what went wrong where, and the step debugger.

`td.debug(f)(x)` steps through a function node by node.
"""

from __future__ import annotations

import importlib as _importlib
import sys as _sys
import typing as _typing

from treadle.core.eager import eager
from treadle.debug._namespace import DebugModule as _DebugModule
from treadle.debug.compare import compare
from treadle.debug.describe import summary
from treadle.debug.effects import check, on_gradient, print, probe
from treadle.debug.messages import reset_counts

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

__all__ = [
    "DebuggerQuit",
    "check",
    "compare",
    "eager",
    "load",
    "on_gradient",
    "print",
    "probe",
    "reset_counts",
    "step",
    "stepping",
    "summary",
]
