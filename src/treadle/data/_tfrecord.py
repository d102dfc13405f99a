"""TFRecord files: length, its checksum, data, its checksum (TensorFlow's "TFRecord and tf.train.Example" guide)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from treadle.core.dtypes import as_dtype
from treadle.core.errors import ArgumentError, DataError, TreadleError
from treadle.core.spec import Spec
from treadle.data import _protobuf as protobuf
from treadle.data._columns import Array
from treadle.data._files import BAD, Blob, RecordFiles, extra

_HEAD = struct.Struct("<QI")


def masked_crc(data: bytes) -> int:
    """The checksum of a record: CRC-32C, rotated and shifted."""
    crc: int = extra("crc32c", "TFRecord files").crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class TFRecordFiles(RecordFiles):
    """Records as bytes, as Examples or as SequenceExamples."""

    def __init__(self, files: list[str], kind: str, features: Mapping[str, Any] | None) -> None:
        super().__init__(files, "from_tfrecord")
        self.kind = kind
        self.features = None if features is None else {k: _wanted(k, v) for k, v in features.items()}

    def scan(self, blob: Blob) -> tuple[Array, Array]:
        data, at, end = blob.data, 0, len(blob)
        starts, stops = [], []
        while at < end:
            starts.append(at)
            if at + 12 > end:
                stops.append(BAD)
                break
            size, crc = _HEAD.unpack_from(data, at)
            whole = crc == masked_crc(bytes(data[at : at + 8])) and at + 16 + size <= end
            stops.append(at + 16 + size if whole else BAD)
            if not whole:
                break  # where the next one begins cannot be known
            at += 16 + size
        return np.array(starts, np.int64), np.array(stops, np.int64)

    def parse(self, blob: Blob, start: int, stop: int) -> Any:
        if stop == BAD:
            self._explain(blob, start)
        data = blob[start + 12 : stop - 4]
        if masked_crc(data) != struct.unpack("<I", blob[stop - 4 : stop])[0]:
            raise DataError("its checksum is wrong: the data are damaged")
        if self.kind == "bytes":
            return data
        if self.kind == "example":
            return self._named(protobuf.example(data))
        context, lists = protobuf.sequence_example(data)
        joined = {k: np.concatenate(v) if v else np.empty(0) for k, v in lists.items()}
        return self._named({**context, **joined})

    def _explain(self, blob: Blob, start: int) -> None:
        left = len(blob) - start
        if left >= 12:
            size, crc = _HEAD.unpack(blob[start : start + 12])
            if crc != masked_crc(blob[start : start + 8]):
                raise DataError("its length's checksum is wrong: no TFRecord file, or a damaged one")
            raise DataError(f"the file is cut short: {size + 16} bytes are needed, and {left} are left")
        raise DataError(f"the file is cut short: {left} bytes are left, less than the head of a record")

    def _named(self, found: dict[str, Any]) -> dict[str, Any]:
        if self.features is None:
            return found
        return {k: _fit(k, found.get(k), spec) for k, spec in self.features.items()}


def _wanted(name: str, spec: Any) -> Any:
    """A feature's spec: a `td.Spec`, a dtype for one value, "str", "bytes", or [dtype] for any number of values."""
    if isinstance(spec, Spec) or spec in ("str", "bytes", ["str"], ["bytes"]):
        return spec
    try:
        return [as_dtype(spec[0])] if isinstance(spec, list) and len(spec) == 1 else Spec((), as_dtype(spec))
    except TreadleError:
        raise ArgumentError(
            f"features={{{name!r}: {spec!r}}}: a dtype for one value, [dtype] for any number of values, td.Spec(shape, "
            'dtype) for an array, "str" or "bytes"'
        ) from None


def _fit(name: str, found: Any, spec: Any) -> Any:
    """A feature's values as what was asked for.

    Raises:
        DataError: it is missing, of another kind, or of another size.
    """
    if found is None:
        raise DataError(f"there is no feature {name!r}")
    if isinstance(spec, Spec) and spec.shape and len(found) == 1 and isinstance(found[0], bytes):
        found = np.frombuffer(found[0], spec.dtype.numpy)  # an array as its bytes
    is_bytes = found.dtype == object
    wants = spec if isinstance(spec, str) else spec[0] if isinstance(spec, list) else spec.dtype
    if is_bytes != isinstance(wants, str) and len(found):
        raise DataError(f"feature {name!r} holds {'bytes' if is_bytes else found.dtype}, and {spec} was asked for")
    if wants == "str" and is_bytes:
        texts = np.empty(len(found), object)
        texts[:] = [v.decode() for v in found]
        found = texts
    if isinstance(spec, list):
        return found if isinstance(wants, str) else found.astype(wants.numpy)
    if len(found) == 1 and (isinstance(spec, str) or not spec.shape):
        return found[0] if isinstance(spec, str) else spec.dtype.numpy.type(found[0])
    shape = () if isinstance(spec, str) else tuple(n if isinstance(n, int) else -1 for n in spec.shape)
    try:
        shaped = found.reshape(shape)
    except ValueError:
        raise DataError(f"feature {name!r} has {len(found)} values, and {spec} was asked for") from None
    return shaped[()] if isinstance(spec, str) else shaped.astype(spec.dtype.numpy)[()]
