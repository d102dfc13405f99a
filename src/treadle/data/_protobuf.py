"""Just enough of protocol buffers for tf.train.Example and SequenceExample.

Sources: the encoding is described in protobuf's documentation ("Encoding"); the messages in TensorFlow's
core/example/feature.proto and example.proto: Example {features = 1}, SequenceExample {context = 1, feature_lists = 2},
Features {map<string, Feature> feature = 1}, Feature {bytes_list = 1, float_list = 2, int64_list = 3}, each list with
its values in field 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from treadle.core.errors import DataError
from treadle.data._columns import Array, objects

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of each field of a message.

    Raises:
        DataError: it is no message.
    """
    at, end = 0, len(data)
    while at < end:
        # Almost all keys and sizes are one byte: a call for each would be half of the time.
        key, at = (data[at], at + 1) if data[at] < 128 else _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, kind, value
            continue
        if kind == _BYTES:
            size, at = (data[at], at + 1) if at < end and data[at] < 128 else _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise DataError(f"no protocol buffer: wire type {kind} at byte {at}")
        if at + size > end:
            raise DataError(f"no protocol buffer: a field of {size} bytes at byte {at} of {end}")
        yield key >> 3, kind, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise DataError(f"no protocol buffer: an integer does not end at byte {at}")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def varints(data: bytes) -> Array:
    """Packed integers, as int64."""
    if len(data) <= _FEW:
        return _few_varints(data)
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 128)
    if len(raw) and (not len(ends) or ends[-1] != len(raw) - 1):
        raise DataError("no protocol buffer: packed integers do not end")
    if not len(ends):
        return np.empty(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(raw)) - np.repeat(starts, ends - starts + 1)
    if place.max(initial=0) > 9:
        raise DataError("no protocol buffer: an integer of more than 64 bits")
    parts = (raw & 127).astype(np.uint64) << (7 * place).astype(np.uint64)
    return np.add.reduceat(parts, starts).view(np.int64)


def encoded_size(n: int) -> int:
    """How many bytes an integer takes at least."""
    return max(1, -(-n.bit_length() // 7))


_FEW = 16  # bytes, below which NumPy's calls cost more than a loop


def _few_varints(data: bytes) -> Array:
    found, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        found.append(value)
    if any(v >= 1 << 64 for v in found):
        raise DataError("no protocol buffer: an integer of more than 64 bits")
    return np.array(found, np.uint64).view(np.int64)


def feature(data: bytes) -> Any:
    """A Feature: an array of float32 or int64, or of bytes as objects."""
    for number, _, inside in fields(data):
        values = list(fields(inside))
        if number == 1:
            return objects([v for _, _, v in values])
        if number == 2:
            return np.frombuffer(b"".join(v for _, _, v in values), "<f4").astype(np.float32)
        if number == 3:
            parts = [varints(v) if kind == _BYTES else _signed(v) for _, kind, v in values]
            return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0, np.int64)
    return np.empty(0, np.float32)


def _signed(value: int) -> Array:
    return np.array([value], np.uint64).view(np.int64)


def _entries(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Of a map: its keys and values."""
    for _, _, entry in fields(data):
        found = {n: v for n, _, v in fields(entry)}
        yield found.get(1, b"").decode(), found.get(2, b"")


def example(data: bytes) -> dict[str, Any]:
    """The features of an Example by name."""
    return {key: feature(value) for n, _, inside in fields(data) if n == 1 for key, value in _entries(inside)}


def sequence_example(data: bytes) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The context features of a SequenceExample, and its lists of features."""
    context: dict[str, Any] = {}
    lists: dict[str, list[Any]] = {}
    for number, _, inside in fields(data):
        if number == 1:
            context |= {key: feature(value) for key, value in _entries(inside)}
        elif number == 2:
            lists |= {key: [feature(v) for _, _, v in fields(value)] for key, value in _entries(inside)}
    return context, lists


def encode_example(element: Mapping[str, Any]) -> bytes:
    """An Example of arrays, numbers, texts and bytes by name.

    Raises:
        DataError: something that has no place in a Feature.
    """
    return _field(1, b"".join(_field(1, _field(1, k.encode()) + _field(2, _feature(k, v))) for k, v in element.items()))


def _feature(name: str, value: Any) -> bytes:
    if isinstance(value, str | bytes):
        return _field(1, _bytes_list([value]))
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        return _field(1, _bytes_list(array.ravel().tolist()))
    if array.dtype.kind == "f":
        return _field(2, _field(1, array.astype("<f4").tobytes()))
    if array.dtype.kind in "iub":
        return _field(3, _field(1, b"".join(_encode(v & (2**64 - 1)) for v in array.ravel().tolist())))
    raise DataError(f"{name}: {array.dtype} has no place in an Example; it holds floats, integers, texts and bytes")


def _bytes_list(values: Sequence[Any]) -> bytes:
    return b"".join(_field(1, v.encode() if isinstance(v, str) else bytes(v)) for v in values)


def _field(number: int, data: bytes) -> bytes:
    return _encode(number << 3 | _BYTES) + _encode(len(data)) + data


def _encode(n: int) -> bytes:
    out = bytearray()
    n = int(n)
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)
