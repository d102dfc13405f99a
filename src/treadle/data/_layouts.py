"""Many Examples at once: records of one layout differ in values alone, which then lie in columns.

Most files hold records that were written by one program: those of equal size mostly have the same bytes but for the
values. A layout is what the first of them looks like. That another record has it is verified byte by byte, so nothing
is guessed; what has another one is parsed by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.core.errors import DataError
from treadle.data import _protobuf as protobuf
from treadle.data._columns import Array, objects

_FLOATS, _INTEGERS, _TEXT = "floats", "integers", "text"


@dataclass(frozen=True)
class Field:
    """Where a feature's values lie in a record.

    Attributes:
        kind: packed floats, packed integers, or one value of bytes.
        ends: of integers, which bytes end one.
    """

    kind: str
    start: int
    stop: int
    ends: Array | None = None


class Layout:
    """Fields by name, and the bytes between them."""

    def __init__(self, record: bytes) -> None:
        self.fields = dict(_fields_of(record))
        bits = np.full(len(record), 0xFF, np.uint8)  # that must be as they are here
        for f in self.fields.values():
            bits[f.start : f.stop] = 0x80 if f.kind == _INTEGERS else 0  # the bit that an integer goes on
        self.places = np.flatnonzero(bits)
        self.bits = bits[self.places]
        self.looks = np.frombuffer(record, np.uint8)[self.places] & self.bits

    def has(self, records: Array) -> Array:
        """Which of some records `[n, size]` are of this layout."""
        return np.asarray(((records[:, self.places] & self.bits) == self.looks).all(axis=1))

    def values(self, name: str, records: Array) -> tuple[str, Array]:
        """The kind of a feature, and its values `[n, count]`: float32, int64, or the bytes of texts as uint8."""
        f = self.fields[name]
        raw = records[:, f.start : f.stop]
        if f.kind == _FLOATS:
            return f.kind, np.ascontiguousarray(raw).view("<f4").astype(np.float32, copy=False)
        if f.kind == _TEXT or f.ends is None:
            return f.kind, raw
        starts = np.concatenate([[0], f.ends[:-1] + 1])
        place = np.arange(raw.shape[1]) - np.repeat(starts, f.ends - starts + 1)
        if len(starts) == raw.shape[1]:
            return f.kind, raw.astype(np.int64)
        parts = (raw & 127).astype(np.uint64) << (7 * place).astype(np.uint64)
        return f.kind, np.add.reduceat(parts, starts, axis=1).view(np.int64)


def _fields_of(record: bytes) -> Any:
    """Each feature's name and field.

    Raises:
        DataError: it is no Example, or one that has to be parsed by itself.
    """
    seen = set()
    for number, start, stop in _spans(record, 0, len(record)):
        _require(number == 1)
        for entry, a, b in _spans(record, start, stop):
            _require(entry == 1)
            (key, k0, k1), (value, v0, v1) = _two(_spans(record, a, b))
            _require((key, value) == (1, 2))
            name = record[k0:k1].decode()
            _require(name not in seen)
            seen.add(name)
            ((kind, i0, i1),) = _one(_spans(record, v0, v1))
            ((inner, p0, p1),) = _one(_spans(record, i0, i1))
            _require(inner == 1)
            if kind == 1:
                yield name, Field(_TEXT, p0, p1)
            elif kind == 2:
                _require((p1 - p0) % 4 == 0 and p1 > p0)
                yield name, Field(_FLOATS, p0, p1)
            else:
                _require(kind == 3 and p1 > p0)
                protobuf.varints(record[p0:p1])  # raises if they are none
                yield name, Field(_INTEGERS, p0, p1, np.flatnonzero(np.frombuffer(record[p0:p1], np.uint8) < 128))


def _spans(data: bytes, start: int, stop: int) -> list[tuple[int, int, int]]:
    """(number, start, stop) of each field of a message, which must all be of bytes."""
    found, at = [], start
    for number, kind, value in protobuf.fields(data[start:stop]):
        _require(kind == 2)
        # Keys and sizes are written in as few bytes as they need; otherwise the sum is wrong, which is seen below.
        head = protobuf.encoded_size(number << 3 | kind) + protobuf.encoded_size(len(value))
        found.append((number, at + head, at + head + len(value)))
        at += head + len(value)
    _require(at == stop)
    return found


def _one(spans: Any) -> Any:
    _require(len(spans) == 1)
    return spans


def _two(spans: Any) -> Any:
    _require(len(spans) == 2)
    return spans


def _require(holds: bool) -> None:
    if not holds:
        raise DataError("an Example of an unusual form")


class Layouts:
    """The layouts that were seen, by the records' size."""

    _MOST = 1000

    def __init__(self) -> None:
        self._known: dict[int, Layout | None] = {}

    def of(self, record: bytes) -> Layout | None:
        """The layout of records of this one's size; None if they are to be parsed one by one."""
        size = len(record)
        if size not in self._known:
            if len(self._known) >= self._MOST:
                return None
            try:
                self._known[size] = Layout(record)
            except (DataError, UnicodeDecodeError, ValueError):
                self._known[size] = None
        return self._known[size]


def texts(raw: Array, decode: bool) -> Array:
    """Rows of bytes as objects."""
    data, size = np.ascontiguousarray(raw).tobytes(), raw.shape[1]
    parts: Sequence[Any] = [data[i * size : (i + 1) * size] for i in range(len(raw))]
    return objects([p.decode() for p in parts] if decode else parts)
