"""Checkpoints: everything that a run needs to go on as if it had never stopped.

A checkpoint is a folder `step-00001234`:

    weights.safetensors     the model's parameters and states (its random streams among them)
    optimizer.safetensors   the optimiser's moments, step and learning rate
    state.safetensors       arrays of the history, the metrics of a half-done epoch, and the callbacks
    state.json              position, settings, the rest of their state, versions; size and SHA-256 of the other files

It is written under a temporary name, forced to the disk and renamed, so a folder of that name is complete. What is
damaged later (a full disk, a bad sector) shows by its checksum and is passed over for the one before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from treadle._version import __version__
from treadle.core.errors import ArgumentError, SaveError
from treadle.train._files import (
    FORMAT,
    join_arrays,
    pack_tensors,
    read_tensors,
    split_arrays,
    sync_folder,
    write_synced,
)

WEIGHTS, OPTIMIZER, STATE, RECORD = "weights.safetensors", "optimizer.safetensors", "state.safetensors", "state.json"
_NAME = re.compile(r"step-(\d{8,})")
_TEMPORARY = ".unfinished-"

Array = np.ndarray[Any, Any]


@dataclass
class Saved:
    """What a checkpoint holds: variables of the model and the optimiser by path, and a tree of JSON and arrays."""

    weights: dict[str, Array]
    optimizer: dict[str, Array]
    state: dict[str, Any]


@dataclass
class Checkpoint:
    """Where and when `fit` saves, and what it resumes from.

    Args:
        path: a folder; made when missing. One run a folder.
        every_steps: save after each so many steps.
        every_seconds: save when so many seconds have passed since the last time.
        every_epochs: save at the end of each so many epochs. 1 if none of the three is given.
            The end of a run is always saved.
        keep: how many of the newest to keep; None keeps all.

    Raises:
        ArgumentError: a number that is not positive.

    >>> td.train.Checkpoint("run", every_steps=500, keep=2).keep
    2
    """

    path: str | PathLike[str]
    every_steps: int | None = None
    every_seconds: float | None = None
    every_epochs: int | None = None
    keep: int | None = 3
    _last_time: float = field(default=0.0, init=False, repr=False)
    _last_step: int = field(default=-1, init=False, repr=False)

    def __post_init__(self) -> None:
        self.path = Path(self.path)
        for name in ("every_steps", "every_seconds", "every_epochs", "keep"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ArgumentError(f"Checkpoint({name}={value}): a positive number, or None")
        if self.every_steps is self.every_seconds is self.every_epochs is None:
            self.every_epochs = 1

    @property
    def folder(self) -> Path:
        return Path(self.path)

    def begin(self, step: int | None) -> None:
        """Start the clock of a run that resumes at a step (None: a new one); clear away what was left half-written."""
        self._last_time, self._last_step = time.monotonic(), -1 if step is None else step
        for left in self.folder.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True)

    def is_due(self, step: int, epoch_ended: int | None) -> bool:
        """Whether to save after this step; `epoch_ended` is the number of epochs done, when one has just ended."""
        if epoch_ended is not None and self.every_epochs and epoch_ended % self.every_epochs == 0:
            return True
        if self.every_steps and step // self.every_steps > self._last_step // self.every_steps:
            return True
        return bool(self.every_seconds) and time.monotonic() - self._last_time >= (self.every_seconds or 0)

    def write(self, saved: Saved, step: int) -> Path:
        """Write a checkpoint, then remove the oldest beyond `keep`. A step that was just written is not written again.

        Raises:
            SaveError: it cannot be written.
        """
        if step == self._last_step:
            return self.folder / _folder_name(step)
        try:
            path = _write(self.folder, step, saved)
        except OSError as e:
            raise SaveError(f"the checkpoint of step {step} cannot be written to {self.folder}: {e}") from e
        self._last_time, self._last_step = time.monotonic(), step
        if self.keep is not None:
            for old in steps(self.folder)[: -self.keep]:
                _remove(old)
        return path

    def latest(self, tell: Callable[[str], None] = print) -> tuple[Path, Saved] | None:
        """The newest complete checkpoint, or None; damaged ones are told of and passed over."""
        for path in reversed(steps(self.folder)):
            try:
                return path, read(path)
            except SaveError as e:
                tell(f"Checkpoint {path.name} is passed over: {e.message}")
        return None


def _folder_name(step: int) -> str:
    return f"step-{step:08d}"


def steps(folder: Path) -> list[Path]:
    """The folders of checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    found = [(int(m.group(1)), p) for p in folder.iterdir() if (m := _NAME.fullmatch(p.name)) and p.is_dir()]
    return [p for _, p in sorted(found)]


def newest(folder: Path) -> Path | None:
    """The newest complete checkpoint's folder."""
    found = Checkpoint(folder).latest(lambda message: None)
    return None if found is None else found[0]


def _write(folder: Path, step: int, saved: Saved) -> Path:
    arrays: dict[str, Array] = {}
    tree = split_arrays(saved.state, arrays)
    files = {
        WEIGHTS: pack_tensors(saved.weights),
        OPTIMIZER: pack_tensors(saved.optimizer),
        STATE: pack_tensors(arrays),
    }
    record = {
        "format": FORMAT,
        "version": __version__,
        "step": step,
        "files": {name: {"size": len(data), "sha256": _digest(data)} for name, data in files.items()},
        "state": tree,
    }
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / _folder_name(step)
    temporary = folder / f"{_TEMPORARY}{target.name}-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        for name, data in files.items():
            write_synced(temporary / name, data)
        write_synced(temporary / RECORD, json.dumps(record).encode())
        sync_folder(temporary)
        if target.exists():  # damaged, as the run that writes this has resumed from an earlier one
            _remove(target)
        os.rename(temporary, target)
        sync_folder(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def read(path: Path) -> Saved:
    """Read a checkpoint, and check all of it.

    Raises:
        SaveError: a file is missing, damaged, or of a newer treadle.
    """
    try:
        record = json.loads((path / RECORD).read_bytes())
        known, tree = dict(record["files"]), record["state"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise SaveError(f"{path / RECORD} cannot be read: {e}") from e
    if record["format"] > FORMAT:
        raise SaveError(f"it was written by treadle {record['version']}, a newer one than this ({__version__})")
    found = []
    for name in (WEIGHTS, OPTIMIZER, STATE):
        _verify(path / name, known.get(name, {}))
        found.append(read_tensors(path / name)[0])
    return Saved(found[0], found[1], join_arrays(tree, found[2]))


def _verify(path: Path, known: Mapping[str, Any]) -> None:
    try:
        size = path.stat().st_size
        if size != known.get("size"):
            raise SaveError(f"{path.name} has {size} bytes instead of {known.get('size')}")
        if _digest(path.read_bytes()) != known["sha256"]:
            raise SaveError(f"{path.name} is damaged: its checksum differs")
    except OSError as e:
        raise SaveError(f"{path.name} cannot be read: {e}") from e


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _remove(path: Path) -> None:
    """Remove a checkpoint: under another name first, so that no half of it stands under its own."""
    doomed = path.with_name(f"{_TEMPORARY}old-{path.name}-{os.getpid()}")
    with contextlib.suppress(OSError):
        shutil.rmtree(doomed, ignore_errors=True)
        os.rename(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)
