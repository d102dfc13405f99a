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
        data, ends = blob.data, []
        for start in range(0, len(data), _CHUNK):
            chunk = np.frombuffer(blob[start : start + _CHUNK], np.uint8)
            ends.append(np.flatnonzero(chunk == 10) + start)
        stops = np.concatenate(ends) if ends else np.empty(0, np.int64)
        if len(data) and (not len(stops) or stops[-1] != len(data) - 1):
            stops = np.append(stops, len(data))  # the last line has no end
        starts = np.concatenate([np.zeros(min(1, len(stops)), np.int64), stops[:-1] + 1])
        if self.keep_empty:
            return starts, stops
        kept = stops > starts
        self._numbers[blob.path] = np.flatnonzero(kept)
        return starts[kept], stops[kept]

    def parse(self, blob: Blob, start: int, stop: int) -> Any:
        text = blob[start:stop].decode(self.encoding).removesuffix("\r")
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
