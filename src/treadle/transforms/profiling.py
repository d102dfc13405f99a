"""`profile`: how long each kernel of a compiled function takes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from treadle.core.errors import ArgumentError
from treadle.transforms.compiling import Compiled


class Profile:
    """What `td.profile(f)(*args)` returns: prints as a table; `by` sums up; `save` writes a trace.

    Attributes:
        seconds: of a whole call, the fastest one.
        kernels: the steps, as `td.compile(f).explain(*args).kernels`.
        times: the seconds of each in a call; those of loops and branches contain what is inside of them.
    """

    def __init__(self, name: str, kernels: Sequence[Any], times: Sequence[float], seconds: float) -> None:
        self.name, self.kernels, self.times, self.seconds = name, list(kernels), list(times), seconds

    def by(self, what: str = "kernel") -> dict[str, float]:
        """Seconds by "kernel", "scope" (the layer), or "line" of the user's source; the largest first.

        Raises:
            ArgumentError: none of these.
        """
        names: dict[str, Callable[[Any], str]] = {
            "kernel": lambda k: k.name,
            "scope": lambda k: k.scope or "(no scope)",
            "line": lambda k: k.source or "(unknown)",
        }
        if what not in names:
            raise ArgumentError(f"profile.by({what!r}): one of {', '.join(map(repr, names))} is needed")
        total: dict[str, float] = {}
        for k, t in zip(self.kernels, self.times, strict=True):
            if not k.is_container:
                total[names[what](k)] = total.get(names[what](k), 0.0) + t
        return dict(sorted(total.items(), key=lambda item: -item[1]))

    def __str__(self) -> str:
        inside = sum(t for k, t in zip(self.kernels, self.times, strict=True) if not k.is_container)
        lines = [
            f"{self.name}: {self.seconds * 1e3:.3f} ms, of which {inside * 1e3:.3f} ms in {len(self.kernels)} steps",
            "",
            f"{'#':>4}  {'kernel':<44}{'us':>10}{'%':>6}{'Gop/s':>8}{'GB/s':>7}  where",
        ]
        order = sorted(range(len(self.times)), key=lambda k: -self.times[k])
        for n in order[:MOST]:
            k, t = self.kernels[n], self.times[n]
            if k.is_container:
                continue
            name = k.name if len(k.name) <= 42 else k.name[:41] + "…"
            rates = [f"{x * k.rounds / t * 1e-9:.1f}" if t else "" for x in (k.operations, k.bytes)]
            share = 100 * t / self.seconds if self.seconds else 0.0
            lines.append(f"{k.number:>4}  {name:<44}{t * 1e6:>10.1f}{share:>6.1f}{rates[0]:>8}{rates[1]:>7}  {k.where}")
        if len(order) > MOST:
            lines.append(f"      … and {len(order) - MOST} more, all in .kernels and .times")
        return "\n".join(lines)

    __repr__ = __str__

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the call as a trace that https://ui.perfetto.dev and chrome://tracing open (Trace Event Format).

        Kernels stand in the order of the plan, each as long as it took; those in a loop stand once, with the time of
        all rounds.
        """
        events: list[dict[str, Any]] = []
        now = 0.0
        ends: list[float] = []
        for k, t in zip(self.kernels, self.times, strict=True):
            del ends[k.depth :]
            begin = now
            ends.append(begin + t)
            if not k.is_container:
                now = begin + t
            arguments = {"where": k.where, "operations": k.operations, "bytes": k.bytes, "rounds": k.rounds}
            events.append(
                {
                    "name": k.name,
                    "cat": "loop" if k.is_container else "kernel",
                    "ph": "X",
                    "ts": begin * 1e6,
                    "dur": t * 1e6,
                    "pid": 1,
                    "tid": 1,
                    "args": arguments,
                }
            )
        target = Path(path)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as f:
            json.dump({"traceEvents": events, "displayTimeUnit": "ms"}, f)
        os.replace(temporary, target)


MOST = 40  # rows of the printed table


def profile(function: Callable[..., Any], *, repeat: int = 5) -> Callable[..., Profile]:
    """A function that runs `function`, compiled, a few times, and returns how long each of its kernels took.

    Nothing is assigned: modules and optimisers among the arguments stay as they are.

    Args:
        function: compiled or to be compiled.
        repeat: how many runs are timed; each kernel's fastest counts.

    Raises:
        ArgumentError: `repeat` is no positive number, or the function's backend has no kernels.

    >>> import treadle as td
    >>> result = td.profile(lambda x: td.softmax(x @ x))(td.ones((64, 64)))
    >>> len(result.times) == len(result.kernels), result.seconds > 0
    (True, True)
    """
    if not isinstance(repeat, int) or repeat < 1:
        raise ArgumentError(f"profile: repeat={repeat!r} must be a number from 1 up")
    compiled = function if isinstance(function, Compiled) else Compiled(function, None, None, None)

    def profiled(*args: Any, **kwargs: Any) -> Profile:
        kernels, times, seconds = compiled.measure(repeat, args, kwargs)
        return Profile(compiled.name, kernels, times, seconds)

    return profiled
