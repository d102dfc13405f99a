"""Files of lines, and of JSON objects, one a line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from treadle.core.errors import DataError
from treadle.data._columns import Array, as_column
from treadle.data._files import Blob, RecordFiles

_CHUNK = 1 << 24


class LineFiles(RecordFiles):
    """The lines that are not empty, without their ends."""

    def __init__(self, files: list[str], shown: str, encoding: str, as_json: bool, keep_empty: bool) -> None:
        super().__init__(files, shown)
        self.encoding, self.as_json, self.keep_empty = encoding, as_json, keep_empty
        self._numbers: dict[str, Array] = {}

    def scan(self, blob: Blob) -> tuple[Array, Array]:
        """Where lines begin and where the next one does: of few bytes a line, both are one array."""
        size = len(blob.data)
        kind = np.uint32 if size < 1 << 32 else np.int64
        begins = [np.zeros(1, kind)]
        for start in range(0, size, _CHUNK):
            chunk = np.frombuffer(blob[start : start + _CHUNK], np.uint8)
            begins.append((np.flatnonzero(chunk == 10) + (start + 1)).astype(kind))
        bounds = np.concatenate(begins)
        del begins
        if bounds[-1] != size:
            bounds = np.append(bounds, kind(size))  # the last line has no end
        starts, stops = bounds[:-1], bounds[1:]
        if self.keep_empty:
            return starts, stops
        kept = stops - starts > 1
        if len(kept) and not kept[-1] and blob[int(starts[-1]) : size] != b"\n":
            kept[-1] = True  # one letter without an end
        if kept.all():
            return starts, stops
        self._numbers[blob.path] = np.flatnonzero(kept).astype(kind)
        return starts[kept], stops[kept]

    def parse(self, blob: Blob, start: int, stop: int) -> Any:
        text = blob[start:stop].decode(self.encoding).removesuffix("\n").removesuffix("\r")
        return _values(json.loads(text)) if self.as_json else text

    def where(self, i: int, epoch: int) -> str:
        k, j = self.place(i)
        numbers = self._numbers.get(self.files[k])
        return f"{self.files[k]}, line {(j if numbers is None else int(numbers[j])) + 1}"


def _values(x: Any) -> Any:
    """JSON as an element: lists of numbers or texts are arrays."""
    if isinstance(x, dict):
        return {k: _values(v) for k, v in x.items()}
    if isinstance(x, list):
        if any(isinstance(v, dict) for v in x):
            return [_values(v) for v in x]
        if any(v is None for v in x):
            raise DataError("a list with null in it is no array")
        try:
            return as_column(x) if x else np.empty(0)
        except ValueError as e:
            raise DataError(f"a list that is no array: {e}") from e
    return x
