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
from treadle.data._columns import Array, Rows, collate, join, positions
from treadle.data._files import BAD, Blob, Growing, RecordFiles, Residence, extra, residence
from treadle.data._layouts import Layout, Layouts, texts

_HEAD = struct.Struct("<QI")


def masked_crc(data: bytes) -> int:
    """The checksum of a record: CRC-32C, rotated and shifted."""
    crc: int = extra("crc32c", "TFRecord files").crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


_MASK = 0xA282EAD8
_RUN, _RUN_BYTES = 4096, 1 << 24  # records, and bytes, in which heads are compared at once
_FEW = 4  # records of one size, below which each is parsed by itself


class TFRecordFiles(RecordFiles):
    """Records as bytes, as Examples or as SequenceExamples."""

    def __init__(self, files: list[str], kind: str, features: Mapping[str, Any] | None) -> None:
        super().__init__(files, "from_tfrecord")
        self.kind, self.columnar = kind, kind == "example"
        self.features = None if features is None else {k: _wanted(k, v) for k, v in features.items()}
        self._layouts = Layouts()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_layouts"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _layouts=Layouts())

    def scan(self, blob: Blob) -> tuple[Array, Array]:
        data, at, end = blob.data, 0, len(blob)
        starts, stops = Growing(), Growing()
        last, seen = -1, 0
        while at < end:
            starts.add(at)
            if at + 12 > end:
                stops.add(BAD)
                break
            size, crc = _HEAD.unpack_from(data, at)
            whole = crc == masked_crc(bytes(data[at : at + 8])) and at + 16 + size <= end
            stops.add(at + 16 + size if whole else BAD)
            if not whole:
                break  # where the next one begins cannot be known
            step = size + 16
            if size == last:  # maybe many of one size: their heads are alike, byte by byte
                count = _alike(data, at, step, end)
                starts.extend(np.arange(at + step, at + step * count, step))
                stops.extend(np.arange(at + 2 * step, at + step * count + 1, step))
                at += step * (count - 1)
            at, last = at + step, size
            residence.read(data, min(at - seen, Residence.READ * 64), 0)
            seen = at
        return starts.array(), stops.array()

    def take(self, rows: Rows, epoch: int) -> Any:
        places = positions(rows)
        if self.kind != "example" or len(places) < _FEW:
            return super().take(rows, epoch)
        spans = self.spans()
        file, record = self._places(places)
        starts, stops = np.empty(len(places), np.int64), np.empty(len(places), np.int64)
        for k in np.unique(file):
            here = file == k
            starts[here], stops[here] = (v[record[here]] for v in spans[k])
        sizes = stops - starts
        parts: list[Any] = []
        found: list[Array] = []
        alone: list[Array] = []
        for size in np.unique(sizes):
            same = np.flatnonzero(sizes == size)
            good = self._alike(file[same], starts[same], int(size)) if len(same) >= _FEW and size > 0 else None
            if good is None:
                alone.append(same)
                continue
            parts.append(good[0])
            found.append(same[good[1]])
            alone.append(same[~good[1]])
        rest = np.concatenate(alone)
        if len(parts) == 1 and len(found[0]) == len(places):
            return parts[0]
        if len(rest):  # also what is damaged: here the error is raised that says so
            parts.append(collate([self.get(int(i), epoch) for i in places[rest]], ragged=True))
            found.append(rest)
        return join(parts, found)

    def _alike(self, file: Array, starts: Array, size: int) -> tuple[Any, Array] | None:
        """Columns of the records of one size that share a layout, and which these are."""
        crc32c = extra("crc32c", "TFRecord files").crc32c
        data: dict[int, Any] = {}
        for k, count in zip(*np.unique(file, return_counts=True), strict=True):
            data[int(k)] = self.blobs[k].data
            residence.read(data[int(k)], size * int(count), int(count))
        raw = [data[k][s : s + size] for k, s in zip(file.tolist(), starts.tolist(), strict=True)]
        layout = self._layouts.of(bytes(raw[0][12:-4]))
        if layout is None:
            return None
        records = np.frombuffer(b"".join(raw), np.uint8).reshape(len(raw), size)
        crc = np.array([crc32c(memoryview(r)[12:-4]) for r in raw], np.uint64)
        masked = ((crc >> np.uint64(15) | crc << np.uint64(17)) + np.uint64(_MASK)) & np.uint64(0xFFFFFFFF)
        good = masked == np.ascontiguousarray(records[:, -4:]).view("<u4")[:, 0]
        good &= layout.has(records[:, 12:-4])
        if good.sum() < _FEW:
            return None
        records = records[:, 12:-4] if good.all() else records[good, 12:-4]
        try:
            columns = self._columns(layout, records)
        except (ValueError, UnicodeDecodeError):
            return None
        return None if columns is None else (columns, good)

    def _columns(self, layout: Layout, records: Array) -> dict[str, Any] | None:
        """The features that are wanted, as `_fit` makes them of one record; None where it has to do so."""
        wanted = dict.fromkeys(sorted(layout.fields)) if self.features is None else self.features
        columns: dict[str, Any] = {}
        for name, spec in wanted.items():
            if name not in layout.fields:
                return None
            columns[name] = _fit_all(*layout.values(name, records), spec)
            if columns[name] is None:
                return None
        return columns

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
            return dict(sorted(found.items()))  # a map's entries have no order
        return {k: _fit(k, found.get(k), spec) for k, spec in self.features.items()}


def _alike(data: Any, at: int, step: int, end: int) -> int:
    """How many records from `at` on have the same head."""
    count = max(1, min((end - at) // step, _RUN, _RUN_BYTES // step))
    heads = np.frombuffer(data, np.uint8, count * step, at).reshape(count, step)[:, :12]
    other = np.flatnonzero((heads != heads[0]).any(axis=1))
    return int(other[0]) if len(other) else count


def _fit_all(kind: str, values: Array, spec: Any) -> Array | None:
    """What `_fit` makes of one record's feature, of many records `[n, count]`; None where it would raise, or differ."""
    n = len(values)
    wants = spec if isinstance(spec, str) else spec[0] if isinstance(spec, list) else None
    if kind == "text":
        if wants in ("str", "bytes") and isinstance(spec, str):
            return texts(values, wants == "str")
        if not isinstance(spec, Spec) or not spec.shape:
            return None
        values = np.ascontiguousarray(values).view(spec.dtype.numpy)
    elif isinstance(wants, str):
        return None
    if spec is None:
        return values
    if isinstance(spec, list):
        return values.astype(spec[0].numpy, copy=False)
    shape = tuple(size if isinstance(size, int) else -1 for size in spec.shape)
    if -1 in shape and values.shape[1] == 0:
        return None
    return values.reshape(n, *shape).astype(spec.dtype.numpy, copy=False)


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
