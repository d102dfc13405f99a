"""`read`: a run's event files as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from treadle.board import _pictures
from treadle.board._extra import tensorboard
from treadle.board.runs import is_event_file
from treadle.core.errors import ArgumentError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Series:
    """What was written under one tag, in the order of its steps.

    Attributes:
        steps: `[n]`, int64.
        times: `[n]`, float64: seconds since 1970.
        values: `[n]` numbers for scalars; `[n, bins, 3]` (left, right, count) for histograms if all have as many bins;
            `[n, 6, thresholds]` for PR curves (true and false positives, true and false negatives, precision, recall);
            else a list of what each step has: texts, pictures `[h, w, c]` in a list, WAV files as bytes in a list.
    """

    steps: Array
    times: Array
    values: Any

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        span = f"steps {self.steps[0]} to {self.steps[-1]}" if len(self) else "empty"
        return f"<Series: {len(self)} values, {span}>"


@dataclass(frozen=True)
class Run:
    """A run that was read: `Series` by kind and tag.

    Attributes:
        folder: where it lies.
        scalars, histograms, images, audio, texts, pr_curves: tag → `Series`.
        hparams: the settings, empty if there are none.
        graph: the GraphDef of the run, or None.
    """

    folder: Path
    scalars: dict[str, Series] = field(default_factory=dict)
    histograms: dict[str, Series] = field(default_factory=dict)
    images: dict[str, Series] = field(default_factory=dict)
    audio: dict[str, Series] = field(default_factory=dict)
    texts: dict[str, Series] = field(default_factory=dict)
    pr_curves: dict[str, Series] = field(default_factory=dict)
    hparams: dict[str, Any] = field(default_factory=dict)
    graph: Any = None

    @property
    def last_step(self) -> int:
        """The largest step of its scalars, -1 without any."""
        return max((int(s.steps[-1]) for s in self.scalars.values() if len(s)), default=-1)

    def __repr__(self) -> str:
        kinds = ("scalars", "histograms", "images", "audio", "texts", "pr_curves")
        counts = ", ".join(f"{len(getattr(self, kind))} {kind}" for kind in kinds if getattr(self, kind))
        return f"<Run {self.folder}: {counts or 'nothing written'}>"


def read(folder: str | PathLike[str]) -> Run:
    """What a run has written so far, by this package or another, as arrays.

    All event files of the folder itself are read, oldest first. What a resumed run has taken back is left out; a last
    event that a crash cut short is passed over.

    Raises:
        ArgumentError: there is no such folder, or it has no event files.
        MissingExtraError: tensorboard is not installed.

    >>> with td.board.Writer("runs/one") as w:
    ...     w.scalars({"loss": 0.5, "accuracy": 0.75}, step=10)
    >>> run = td.board.read("runs/one")
    >>> run.scalars["accuracy"].steps.tolist(), run.scalars["accuracy"].values.tolist(), run.last_step
    ([10], [0.75], 10)
    """
    path = Path(folder)
    if not path.is_dir():
        raise ArgumentError(f"there is no folder {str(path)!r}")
    files = event_files(path)
    if not files:
        raise ArgumentError(f"{path} has no event files; below it there may be runs: treadle board --list {path}")
    return _collected(path, _events(files))


def event_files(folder: Path) -> list[Path]:
    """The event files of a folder, oldest first (their names begin with the time)."""
    return sorted(p for p in folder.iterdir() if is_event_file(p.name) and p.is_file())


def _events(files: list[Path]) -> Iterator[Any]:
    """The events of all files, with the old forms of summaries brought to today's."""
    loader = tensorboard("backend.event_processing.event_file_loader")
    for file in files:
        yield from loader.EventFileLoader(str(file)).Load()


_Entry = tuple[int, float, Any]


def _collected(folder: Path, events: Iterator[Any]) -> Run:
    found: dict[str, dict[str, list[_Entry]]] = {}
    plugins: dict[str, str] = {}
    graph: bytes | None = None
    hparams: dict[str, Any] = {}
    started = False
    start = tensorboard("compat.proto.event_pb2").SessionLog.START
    for event in events:
        if event.HasField("session_log") and event.session_log.status == start:
            if started:
                _take_back(found, event.step)
            started = True
        if event.HasField("graph_def"):
            graph = event.graph_def
        for value in event.summary.value:
            # A tag's first value says what it is.
            plugin = plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
            if plugin == "hparams":
                hparams |= _hparams(value.metadata.plugin_data.content)
            elif plugin in _DECODE:
                entries = found.setdefault(plugin, {}).setdefault(value.tag, [])
                entries.append((event.step, event.wall_time, value.tensor))
    kinds = {
        kind: {tag: _series(plugin, e) for tag, e in found.get(plugin, {}).items() if e} for plugin, kind in _KINDS
    }
    made = None if graph is None else tensorboard("compat.proto.graph_pb2").GraphDef.FromString(graph)
    return Run(folder, **kinds, hparams=hparams, graph=made)


_KINDS = (
    ("scalars", "scalars"),
    ("histograms", "histograms"),
    ("images", "images"),
    ("audio", "audio"),
    ("text", "texts"),
    ("pr_curves", "pr_curves"),
)


def _take_back(found: dict[str, dict[str, list[_Entry]]], step: int) -> None:
    for tags in found.values():
        for entries in tags.values():
            entries[:] = [e for e in entries if e[0] < step]


def _series(plugin: str, entries: list[_Entry]) -> Series:
    ordered = sorted(entries, key=lambda e: e[0])  # stable: of one step, as they were written
    values: Any = [_DECODE[plugin](_array(tensor)) for _, _, tensor in ordered]
    if plugin == "scalars" or (plugin in ("histograms", "pr_curves") and len({v.shape for v in values}) == 1):
        values = np.array(values)
    return Series(np.array([e[0] for e in ordered], np.int64), np.array([e[1] for e in ordered]), values)


def _array(tensor: Any) -> Array:
    return np.asarray(tensorboard("util.tensor_util").make_ndarray(tensor))


def _text(array: Array) -> Any:
    decoded = [t.decode("utf-8", "replace") for t in array.ravel()]
    return decoded[0] if array.ndim == 0 or array.size == 1 else decoded


_DECODE: dict[str, Any] = {
    "scalars": lambda a: float(a.reshape(())),
    "histograms": lambda a: a.astype(np.float64),
    "images": lambda a: [_pictures.from_png(b) for b in a.ravel()[2:]],
    "audio": lambda a: list(a.reshape(len(a), -1)[:, 0]) if a.size else [],
    "text": _text,
    "pr_curves": lambda a: a.astype(np.float64),
}


def _hparams(content: bytes) -> dict[str, Any]:
    data = tensorboard("plugins.hparams.plugin_data_pb2").HParamsPluginData.FromString(content)
    if data.WhichOneof("data") != "session_start_info":
        return {}
    return {
        k: getattr(v, v.WhichOneof("kind") or "null_value") for k, v in sorted(data.session_start_info.hparams.items())
    }
