"""The file that events go into: tensorboard's own event writer, closed at exit, its failures as SaveError."""

from __future__ import annotations

import os
import secrets
import time
import weakref
from pathlib import Path
from typing import Any

from treadle.board._extra import tensorboard
from treadle.core.errors import SaveError

FLUSH_SECONDS = 2
QUEUE = 1000  # events that wait for the disk before a call does


def _wait_for_a_later_name(folder: Path) -> None:
    """Files are read in the order of their names, which begin with the second: not in the second of another file."""
    names = [p.name.split(".") for p in folder.glob("events.out.tfevents.*")]
    newest = max((int(n[3]) for n in names if len(n) > 3 and n[3].isdigit()), default=0)
    while 0 <= newest - int(time.time()) <= 1:
        time.sleep(0.02)


class EventFile:
    """One event file in a folder, of a name that no other writer has. A thread of tensorboard's writes it.

    Each event goes to the file as one piece within FLUSH_SECONDS, so a process that is killed leaves whole events, the
    last perhaps cut short, which readers pass over.
    """

    def __init__(self, folder: Path, *, after_others: bool = False) -> None:
        self.folder = folder
        try:
            if after_others:
                _wait_for_a_later_name(folder)
            self._writer = tensorboard("summary.writer.event_file_writer").EventFileWriter(
                os.fspath(folder),
                max_queue_size=QUEUE,
                flush_secs=FLUSH_SECONDS,
                # Its name has the time, host and process; containers share host and number, hence the random part.
                filename_suffix=f".{secrets.token_hex(4)}",
            )
        except OSError as e:
            raise SaveError(f"no event file can be made in {folder}: {e}") from e
        self._process = os.getpid()
        self._end = weakref.finalize(self, _close, self._writer, self._process)  # also at the interpreter's exit

    @property
    def is_closed(self) -> bool:
        return not self._end.alive

    def add(self, step: int | None = None, wall_time: float | None = None, **what: Any) -> None:
        """Write an event: `summary=`, `graph_def=`, `tagged_run_metadata=`, `session_log=`.

        Raises:
            SaveError: the file is closed, or cannot be written.
        """
        event = _events().Event(wall_time=time.time() if wall_time is None else wall_time, step=step or 0, **what)
        self._guarded(lambda: self._writer.add_event(event))

    def flush(self) -> None:
        self._guarded(self._writer.flush)

    def close(self) -> None:
        self._end()

    def _guarded(self, act: Any) -> None:
        if self.is_closed:
            raise SaveError(
                f"this writer of {self.folder} is closed: make another td.board.Writer({str(self.folder)!r})"
            )
        if os.getpid() != self._process:
            raise SaveError(
                f"this writer of {self.folder} belongs to another process, and its thread did not come along in the "
                "fork: make a td.board.Writer of the same folder here; several may write side by side"
            )
        try:
            act()
        except Exception as e:  # whatever stopped tensorboard's thread
            raise SaveError(f"events cannot be written to {self.folder}: {e}") from e


def _close(writer: Any, process: int) -> None:
    if os.getpid() == process:
        writer.close()


def _events() -> Any:
    return tensorboard("compat.proto.event_pb2")


def restart() -> Any:
    """What tells readers that a run goes on: what was written for this step and later ones is void."""
    return _events().SessionLog(status=_events().SessionLog.START)
