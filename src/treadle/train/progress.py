"""What a person sees while training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from treadle.core.errors import ArgumentError

SECONDS_BETWEEN_LINES = 5.0


class Progress(ABC):
    """Shows a run."""

    @abstractmethod
    def epoch(self, epoch: int, epochs: int, batches: int | None, done: int) -> None:
        """An epoch begins, or goes on after `done` batches."""

    @abstractmethod
    def step(self, values: Mapping[str, float]) -> None:
        """A step was done; `values` are means over the epoch so far."""

    @abstractmethod
    def epoch_end(self, row: Mapping[str, Any]) -> None:
        """An epoch has ended."""

    @abstractmethod
    def tell(self, message: str) -> None:
        """Say something."""

    @abstractmethod
    def close(self) -> None:
        """The run has ended, one way or another."""


class Silent(Progress):
    """Shows nothing."""

    def epoch(self, epoch: int, epochs: int, batches: int | None, done: int) -> None:
        pass

    def step(self, values: Mapping[str, float]) -> None:
        pass

    def epoch_end(self, row: Mapping[str, Any]) -> None:
        pass

    def tell(self, message: str) -> None:
        pass

    def close(self) -> None:
        pass


class Lines(Progress):
    """One line an epoch, and one every few seconds in a long one; epochs that follow each other faster are left out."""

    def __init__(self, seconds: float = SECONDS_BETWEEN_LINES) -> None:
        self.seconds = seconds
        self.started = self.last = time.monotonic()
        self.first = True
        self.where, self.batches, self.done, self.is_last = "", None, 0, False  # type: tuple[str, int | None, int, bool]

    def epoch(self, epoch: int, epochs: int, batches: int | None, done: int) -> None:
        self.where, self.batches, self.done = f"epoch {epoch + 1}/{epochs}", batches, done
        self.is_last = epoch + 1 == epochs
        self.started = time.monotonic()
        self.begun_at = done

    def step(self, values: Mapping[str, float]) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.last >= self.seconds:
            of = f"/{self.batches}" if self.batches else ""
            self._print(f"{self.where}  batch {self.done}{of}  {show(values)}{self._left(now)}", now)

    def epoch_end(self, row: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if self.first or self.is_last or now - self.last >= self.seconds:
            values = {k: v for k, v in row.items() if k not in ("epoch", "step", "learning_rate")}
            self._print(f"{self.where}  {show(values)}  {duration(now - self.started)}", now)
            self.first = False

    def _left(self, now: float) -> str:
        done = self.done - self.begun_at
        if not self.batches or not done or self.batches < self.done:
            return ""
        return f"  {duration((now - self.started) / done * (self.batches - self.done))} left"

    def _print(self, text: str, now: float) -> None:
        print(text, flush=True)
        self.last = now

    def tell(self, message: str) -> None:
        print(message, flush=True)

    def close(self) -> None:
        pass


class Bar(Progress):
    """A bar with the loss, the metrics and the time left; a line remains of each epoch."""

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.console = console or Console()
        self.bar = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[values]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.task: Any = None
        self.where = ""
        self.started = time.monotonic()
        self.bar.start()

    def epoch(self, epoch: int, epochs: int, batches: int | None, done: int) -> None:
        self._clear()
        self.where, self.started = f"epoch {epoch + 1}/{epochs}", time.monotonic()
        self.task = self.bar.add_task(self.where, total=batches, completed=done, values="")

    def step(self, values: Mapping[str, float]) -> None:
        self.bar.update(self.task, advance=1, values=show(values))

    def epoch_end(self, row: Mapping[str, Any]) -> None:
        self._clear()
        values = {k: v for k, v in row.items() if k not in ("epoch", "step", "learning_rate")}
        took = duration(time.monotonic() - self.started)
        self.console.print(f"{self.where}  {show(values)}  {took}", highlight=False, markup=False)

    def _clear(self) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None

    def tell(self, message: str) -> None:
        self.console.print(message, highlight=False, markup=False)

    def close(self) -> None:
        self._clear()
        self.bar.stop()


def make_progress(verbose: Any) -> Progress:
    """What `verbose=` asks for: None is the bar on a terminal and lines elsewhere, "bar", "lines", or False.

    Raises:
        ArgumentError: something else.
    """
    if verbose is None or verbose is True:
        return Bar() if sys.stdout.isatty() else Lines()
    if verbose is False or verbose == 0:
        return Silent()
    if verbose in ("bar", "lines"):
        return Bar() if verbose == "bar" else Lines()
    raise ArgumentError(f'verbose={verbose!r}: None (a bar on a terminal, else lines), "bar", "lines" or False')


def show(values: Mapping[str, Any]) -> str:
    """`loss 0.1234  accuracy 0.9876`; what is no number is left out."""
    return "  ".join(f"{k} {_number(v)}" for k, v in values.items() if isinstance(v, int | float))


def _number(v: float) -> str:
    return f"{v:.4f}" if 1e-3 <= abs(v) < 1e4 or v == 0 else f"{v:.3e}"


def duration(seconds: float) -> str:
    """`0.3 s`, `42 s`, `3:05`, `1:02:03`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"
