"""`CSVLog`: one line an epoch in a file that other programs read."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from treadle.core.errors import SaveError
from treadle.train._files import write_whole
from treadle.train.callbacks import Callback, Context


class CSVLog(Callback):
    """Write the history's rows to a CSV file while training, one an epoch.

    A resumed run first cuts off what was written after its checkpoint, so no epoch is there twice; a line that a crash
    cut short is dropped. Values that are arrays (a confusion matrix) are left out.

    Args:
        path: the file.
        append: keep what an earlier, other run wrote, and add to it; else a new run begins a new file.

    Raises (while training):
        SaveError: the file cannot be written, or has other columns than this run.
    """

    def __init__(self, path: str | PathLike[str], *, append: bool = False) -> None:
        self.path = Path(path)
        self.append = append
        self.rows: int | None = None  # lines of the file that are known to be right, the header not counted

    def reset(self) -> None:
        self.rows = None

    def on_train_begin(self, context: Context) -> None:
        if self.rows is None and not self.append:
            self.rows = 0
            self._rewrite([])
            return
        lines = self._lines()
        kept = lines if self.rows is None else lines[: self.rows + 1]
        if self.rows is not None and len(lines) < self.rows + 1 and self.rows:
            context.tell(f"{self.path} has {max(0, len(lines) - 1)} rows; the checkpoint had written {self.rows}.")
        self.rows = max(0, len(kept) - 1)
        self._rewrite(kept)

    def on_epoch_end(self, context: Context) -> None:
        row = {k: v for k, v in context.logs.items() if isinstance(v, int | float | str)}
        lines = self._lines()
        header = _line(list(row))
        if lines and lines[0] != header:
            raise SaveError(
                f"{self.path} has the columns {lines[0].strip()}, but this run gives {header.strip()}. "
                "Use another file, or CSVLog(…, append=False)"
            )
        with open(self.path, "a", encoding="utf-8", newline="") as f:
            f.write(("" if lines else header) + _line(list(row.values())))
        self.rows = (self.rows or 0) + 1

    def state(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.rows = state["rows"]

    def _lines(self) -> list[str]:
        """The whole lines of the file; one that does not end was cut short by a crash."""
        if not self.path.exists():
            return []
        with open(self.path, encoding="utf-8", newline="") as f:
            return [line for line in f.read().splitlines(keepends=True) if line.endswith("\n")]

    def _rewrite(self, lines: list[str]) -> None:
        text = "".join(lines)
        if not self.path.exists() or self.path.read_text(encoding="utf-8") != text:
            write_whole(self.path, text.encode())


def _line(values: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue()
