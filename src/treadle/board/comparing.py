"""Runs side by side in the terminal: last step and loss, final measures, and their course as a line of blocks."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from treadle.board import runs
from treadle.board.reading import Run, Series, read
from treadle.core.errors import ArgumentError

Array = np.ndarray[Any, Any]
BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 12  # of a sparkline
COLUMNS = 6  # of measures, unless they are chosen
_ASIDE = ("learning_rate*", "speed/*", "*/non-finite", "loss/step")  # what is no result


@dataclass(frozen=True)
class Entry:
    """A run and its name."""

    name: str
    run: Run

    @property
    def loss(self) -> Series | None:
        """The scalar that is most likely the loss."""
        found = self.run.scalars
        for pattern in ("loss/train", "loss", "*loss/train", "train/loss", "epoch_loss", "loss/step", "*loss*"):
            for tag in fnmatch.filter(found, pattern):
                return found[tag]
        return None


def entries(folders: Sequence[str | PathLike[str]]) -> list[Entry]:
    """All runs at and below folders.

    Raises:
        ArgumentError: there is no such folder.
    """
    named = runs.names(runs.find(folders))
    return [Entry(name, read(path)) for path, name in sorted(named.items(), key=lambda item: item[1])]


def sparkline(values: Any, width: int = WIDTH) -> str:
    """The course of a series, from its least (▁) to its largest (█); "×" where a value is not finite."""
    array = np.asarray(values, np.float64)
    if not array.size:
        return ""
    picked = array[np.round(np.linspace(0, len(array) - 1, min(width, len(array)))).astype(int)]
    finite = picked[np.isfinite(picked)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    out = []
    for value in picked:
        if not np.isfinite(value):
            out.append("×")
        else:
            share = 0.0 if high <= low else (value - low) / (high - low)
            out.append(BLOCKS[min(7, int(share * 8))])
    return "".join(out)


def listing(found: Sequence[Entry]) -> list[list[str]]:
    """The rows of `--list`: run, last step, last loss, folder. The first row is the heading."""
    rows = [["run", "last step", "last loss", "folder"]]
    for entry in found:
        loss = entry.loss
        last = "" if loss is None else f"{loss.values[-1]:.6g}"
        step = "" if entry.run.last_step < 0 else str(entry.run.last_step)
        rows.append([entry.name, step, last, str(_short(entry.run.folder))])
    return rows


def comparison(found: Sequence[Entry], patterns: Sequence[str] = ()) -> list[list[str]]:
    """The rows of `--compare`: a run in each, with the last value and the course of each measure.

    Args:
        patterns: which scalars, with `*`; none: those that are results, up to COLUMNS of them.

    Raises:
        ArgumentError: no scalar fits a pattern.
    """
    tags = list(dict.fromkeys(tag for entry in found for tag in entry.run.scalars))
    if patterns:
        chosen: list[str] = []
        for pattern in patterns:
            fitting = fnmatch.filter(tags, pattern)
            if not fitting:
                raise ArgumentError(f"no scalar fits {pattern!r}. There are {', '.join(tags) or 'none'}")
            chosen += [t for t in fitting if t not in chosen]
    else:
        results = [t for t in tags if not any(fnmatch.fnmatch(t, p) for p in _ASIDE)]
        chosen = (results or tags)[:COLUMNS]
    rows = [["run", "step", *chosen]]
    for entry in found:
        step = "" if entry.run.last_step < 0 else str(entry.run.last_step)
        rows.append([entry.name, step, *(_cell(entry.run.scalars.get(t)) for t in chosen)])
    return rows


def _cell(series: Series | None) -> str:
    return "" if series is None else f"{series.values[-1]:.4g} {sparkline(series.values)}"


def _short(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
