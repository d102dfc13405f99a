"""The switch that makes everything run operation by operation, in the user's own frames."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from treadle.core.tensor import Tensor


def _asked_for() -> int:
    wanted = os.environ.get("TREADLE_DEBUG", "")
    if wanted not in ("", "eager"):
        warnings.warn(f"TREADLE_DEBUG={wanted!r} means nothing; TREADLE_DEBUG=eager is known", stacklevel=2)
    return int(wanted == "eager")


class _Switch:
    lock = threading.Lock()
    on = _asked_for()  # how many have it on; of the process, so that callbacks and workers see it too


def is_eager() -> bool:
    """Whether the switch is on."""
    return _Switch.on > 0


@contextmanager
def eager() -> Iterator[None]:
    """Run everything inside operation by operation with NumPy, in your own frames: breakpoints stop, values print.

    Compiled functions, `td.fit`'s steps, losses, metrics and callbacks, the bodies of `td.scan`, `td.while_loop` and
    `td.cond`, `td.vmap` (example by example) and the maps of `td.data` (workers or not) are called as they are written,
    in this thread, with numbers. Results are those of the compiled run up to rounding. Slower, often by a factor of ten
    to a thousand. `TREADLE_DEBUG=eager` in the environment does the same for a whole program.

    >>> @td.compile
    ... def f(x):
    ...     print(x.tolist())     # compiled, this would raise: there are no numbers while tracing
    ...     return x * 2
    >>> with td.debug.eager():
    ...     y = f(td.asarray([1., 2.]))
    [1.0, 2.0]
    """
    with _Switch.lock:
        _Switch.on += 1
    try:
        yield
    finally:
        with _Switch.lock:
            _Switch.on -= 1


def runs_at_once(tensors: Iterator[Tensor] | list[Tensor]) -> bool:
    """Whether a loop or branch over these runs in Python: the switch is on, and all have numbers."""
    if not is_eager():
        return False
    from treadle.core.tracing import is_staging  # it is a user of tensors, as this is

    return not is_staging() and all(x.is_concrete for x in tensors)
