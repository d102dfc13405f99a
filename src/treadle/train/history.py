"""`History`: what training has measured, epoch by epoch and step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, MissingExtraError
from treadle.train._words import suggestion


class History(Mapping[str, list[Any]]):
    """What `fit` returns. `history["val_loss"]` is the list of that value, one an epoch.

    Attributes:
        rows: one dict an epoch: "epoch" (from 1), "step", "learning_rate", "loss", the metrics, "val_…".
        steps: the loss of each step.
        interrupted: whether Ctrl-C ended the run.
        stopped: why a callback ended the run, or "".
        skipped: steps that were left out because of a NaN (`nan="skip"`).

    >>> history = td.train.History()
    >>> history.rows += [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    >>> history["loss"], history.last["loss"]
    ([0.5, 0.25], 0.25)
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.steps: list[float] = []
        self.interrupted = False
        self.stopped = ""
        self.skipped = 0

    def __getitem__(self, key: str) -> list[Any]:
        names = list(self)
        if key not in names:
            raise KeyError(f"the history has no {key!r}. {suggestion(key, names) if names else 'It is empty.'}")
        return [row.get(key, float("nan")) for row in self.rows]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(k for row in self.rows for k in row))

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def last(self) -> dict[str, Any]:
        """The newest epoch's row; empty before the first epoch has ended."""
        return self.rows[-1] if self.rows else {}

    def best(self, key: str = "val_loss", mode: str = "min") -> dict[str, Any]:
        """The row in which a value is lowest (`mode="min"`) or highest ("max"); NaN is never best.

        Raises:
            ArgumentError: no epoch has that value.
        """
        if mode not in ("min", "max"):
            raise ArgumentError(f'mode={mode!r}: "min" or "max"')
        found = [row for row in self.rows if np.isfinite(row.get(key, np.nan))]
        if not found:
            raise ArgumentError(f"no epoch has a finite {key!r}. {suggestion(key, self)}")
        return (min if mode == "min" else max)(found, key=lambda row: row[key])

    def state(self) -> dict[str, Any]:
        return {
            "rows": [dict(row) for row in self.rows],
            "steps": np.asarray(self.steps, np.float64),
            "skipped": self.skipped,
            "stopped": self.stopped,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.rows = [dict(row) for row in state["rows"]]
        self.steps = np.asarray(state["steps"], np.float64).tolist()
        self.skipped, self.stopped = state["skipped"], state["stopped"]

    def plot(self, path: str | PathLike[str] | None = None) -> Any:
        """Draw each measure over the epochs, training and validation together.

        Args:
            path: where to write the picture (PNG, SVG, PDF by its ending); None shows it where that is possible.

        Returns: matplotlib's Figure.

        Raises:
            MissingExtraError: matplotlib is not installed.
            ArgumentError: no epoch has ended yet.
        """
        names = [k for k in self._curves() if not k.startswith("val_") or k.removeprefix("val_") not in self]
        if not names:
            raise ArgumentError("there is nothing to draw: no epoch has ended yet")
        try:
            from matplotlib.figure import Figure
        except ImportError as e:
            raise MissingExtraError('drawing needs matplotlib: pip install "treadle[plot]"') from e
        columns = min(3, len(names))
        lines = -(-len(names) // columns)
        figure = Figure(figsize=(4.5 * columns, 3.2 * lines), layout="constrained")
        for i, name in enumerate(names):
            self._draw(figure.add_subplot(lines, columns, i + 1), name)
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure

    def _curves(self) -> list[str]:
        """The names whose values are numbers and change from epoch to epoch."""
        skip = ("epoch", "step")
        return [k for k in self if k not in skip and all(isinstance(v, int | float) for v in self[k])]

    def _draw(self, axes: Any, name: str) -> None:
        epochs = [row["epoch"] for row in self.rows]
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if key in self:
                axes.plot(epochs, self[key], marker="." if len(epochs) < 30 else None, label=label)
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if name != "learning_rate":
            axes.legend()

    def __repr__(self) -> str:
        shown = ", ".join(f"{k} {v:.4g}" for k, v in self.last.items() if isinstance(v, float))
        ended = " (interrupted)" if self.interrupted else f" (stopped: {self.stopped})" if self.stopped else ""
        return f"<History: {len(self.rows)} epochs, {len(self.steps)} steps{ended}{'; ' + shown if shown else ''}>"
