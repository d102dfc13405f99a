"""Ctrl-C: the first asks for an end after the current step, the second ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether Ctrl-C was pressed."""

    pressed = False


@contextmanager
def watched(tell: Callable[[str], None]) -> Iterator[Interrupt]:
    """Catch Ctrl-C inside. Only in the main thread, and only where nobody else has taken the signal."""
    state = Interrupt()
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield state
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if state.pressed:
            raise KeyboardInterrupt
        state.pressed = True
        tell("Ctrl-C: ending after this step (press it again to end at once).")

    signal.signal(signal.SIGINT, handler)
    try:
        yield state
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
