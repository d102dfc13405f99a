"""What `td.debug` is: the package `treadle.debug`, which can also be called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, TextIO


class DebugModule(ModuleType):
    """`td.debug(f)` opens the step debugger on a function; the package's names are its attributes as ever."""

    def __call__(
        self,
        function: Callable[..., Any],
        *,
        commands: Iterable[str] | None = None,
        output: TextIO | None = None,
        screen: bool = False,
        memory: int | None = None,
    ) -> Callable[..., Any]:
        """A function that runs in the step debugger, and returns what `function` returns: see `td.debug.step`."""
        from treadle.debug.stepper.engine import MEMORY
        from treadle.debug.stepper.running import step

        kept = MEMORY if memory is None else memory
        return step(function, commands=commands, output=output, screen=screen, memory=kept)
