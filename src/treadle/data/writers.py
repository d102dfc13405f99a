"""Datasets into files: Parquet, TFRecord, tar shards. A file is there whole or not at all."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import struct
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, DataError
from treadle.data._columns import collate
from treadle.data._files import extra
from treadle.data._protobuf import encode_example
from treadle.data._tfrecord import masked_crc
from treadle.data.dataset import Dataset

Put = Callable[[int, Any], None]


def write_parquet(
    ds: Dataset, path: str | PathLike[str], *, shard: int | None = None, group: int = 10_000
) -> list[str]:
    """Write elements, dicts of numbers, texts and arrays, as rows of Parquet files.

    Args:
        path: the file; with shards, "data.parquet" becomes "data-00000.parquet", …
        shard: rows a file; None: one file.
        group: rows a row group, the unit that is decoded at once.

    Returns: the files.

    Raises:
        DataError: an element that is no dict, or has a leaf that Parquet does not hold.

    >>> td.data.write_parquet(td.data.from_arrays(x=np.eye(3), y=[1, 2, 3]), "a.parquet")
    ['a.parquet']
    >>> td.data.from_parquet("a.parquet")[0]
    {'x': array([1., 0., 0.]), 'y': np.int64(1)}
    """
    extra("pyarrow.parquet", "write_parquet")
    return _write(ds, path, shard, lambda part: _parquet(part, group))


@contextlib.contextmanager
def _parquet(path: Path, group: int) -> Iterator[Put]:
    arrow, parquet = extra("pyarrow", "write_parquet"), extra("pyarrow.parquet", "write_parquet")
    rows: list[dict[str, Any]] = []
    writer: list[Any] = []

    def flush() -> None:
        if not rows:
            return
        columns = {k: _arrow(arrow, k, v) for k, v in collate(rows, ragged=True).items()}
        table = arrow.table(columns)
        if not writer:
            writer.append(parquet.ParquetWriter(path, table.schema, write_page_checksum=True))
        try:
            writer[0].write_table(table.cast(writer[0].schema))
        except (arrow.ArrowInvalid, ValueError) as e:
            raise DataError(f"write_parquet: rows are not of the first rows' types: {e}") from e
        rows.clear()

    def put(i: int, element: Any) -> None:
        if not isinstance(element, dict) or not element:
            raise DataError(f"write_parquet: element {i} is no dict of columns. Make dicts of them with map(…)")
        rows.append(element)
        if len(rows) == group:
            flush()

    try:
        yield put
        flush()
        if not writer:
            raise DataError("write_parquet: there are no elements, so the columns are not known")
    finally:
        if writer:
            writer[0].close()


def _arrow(arrow: Any, name: str, column: Any) -> Any:
    """A column as Arrow has it: arrays are lists."""
    try:
        if isinstance(column, dict | tuple | list):
            raise DataError(f"write_parquet: {name} is a {type(column).__name__}; name its parts with map(…)")
        if column.dtype == object and not isinstance(column[0], str | bytes):
            return arrow.array([np.asarray(v).ravel() for v in column]) if column[0].ndim == 1 else _refuse(name)
        if column.ndim == 1:
            return arrow.array(column)
        if column.ndim == 2:
            return arrow.FixedSizeListArray.from_arrays(arrow.array(column.ravel()), column.shape[1])
    except arrow.ArrowException as e:
        raise DataError(f"write_parquet: {name}: {e}") from e
    return _refuse(name)


def _refuse(name: str) -> Any:
    raise DataError(f"write_parquet: {name} has more than one axis, and a cell holds a list. Reshape it with map(…)")


def write_tfrecord(ds: Dataset, path: str | PathLike[str], *, shard: int | None = None) -> list[str]:
    """Write elements as TFRecords: dicts as tf.train.Example (of float32, int64, bytes), bytes as they are.

    Args:
        path, shard: as for `write_parquet`; shards are named as TensorFlow does, "data.tfrecord-00000-of-00004".

    Raises:
        DataError: an element that is neither.

    >>> td.data.write_tfrecord(td.data.from_arrays(a=np.arange(4)), "a.tfrecord", shard=2)
    ['a.tfrecord-00000-of-00002', 'a.tfrecord-00001-of-00002']
    """
    extra("crc32c", "write_tfrecord")
    parts = _write(ds, path, shard, _tfrecord)
    if shard is None:
        return parts
    names = [f"{os.fspath(path)}-{k:05d}-of-{len(parts):05d}" for k in range(len(parts))]
    for part, name in zip(parts, names, strict=True):
        os.replace(part, name)
    return names


@contextlib.contextmanager
def _tfrecord(path: Path) -> Iterator[Put]:
    with open(path, "wb") as file:

        def put(i: int, element: Any) -> None:
            if not isinstance(element, dict | bytes):
                raise DataError(
                    f"write_tfrecord: element {i} is neither a dict nor bytes. Make dicts of them with map(…)"
                )
            data = element if isinstance(element, bytes) else encode_example(element)
            head = struct.pack("<Q", len(data))
            file.write(head + struct.pack("<I", masked_crc(head)) + data + struct.pack("<I", masked_crc(data)))

        yield put


def write_tar(ds: Dataset, path: str | PathLike[str], *, shard: int | None = None) -> list[str]:
    """Write elements, dicts by file ending, as tar shards that WebDataset reads: {"jpg": bytes, "cls": 3}.

    Args:
        path, shard: as for `write_parquet`. "__key__" names an element; without it its number does.

    Raises:
        DataError: an element that is no such dict.

    >>> td.data.write_tar(td.data.from_arrays(npy=np.eye(2), cls=[0, 1]), "a.tar")
    ['a.tar']
    """
    return _write(ds, path, shard, _tar)


@contextlib.contextmanager
def _tar(path: Path) -> Iterator[Put]:
    with tarfile.open(path, "w") as tar:

        def put(i: int, element: Any) -> None:
            if not isinstance(element, dict):
                raise DataError(f"write_tar: element {i} is no dict by file ending. Make dicts of them with map(…)")
            key = str(element.get("__key__", f"{i:06d}"))
            for ending, value in element.items():
                if ending != "__key__":
                    data = _file(ending, value)
                    member = tarfile.TarInfo(f"{key}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))

        yield put


def _file(ending: str, value: Any) -> bytes:
    """A value as the content of a file of this ending."""
    last = ending.rpartition(".")[2]
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if last == "npy":
        out = io.BytesIO()
        np.save(out, np.asarray(value), allow_pickle=False)
        return out.getvalue()
    if last == "json":
        return json.dumps(value).encode()
    if last in ("png", "jpg", "jpeg", "webp", "bmp"):
        out, picture = io.BytesIO(), np.asarray(value)
        picture = picture[..., 0] if picture.ndim == 3 and picture.shape[-1] == 1 else picture
        extra("PIL.Image", "write_tar").fromarray(picture).save(out, {"jpg": "jpeg"}.get(last, last))
        return out.getvalue()
    if np.ndim(value) == 0 and last in ("cls", "id", "index"):
        return str(int(value)).encode()
    raise DataError(
        f"write_tar: {type(value).__name__} in a file .{ending}; bytes and texts fit into any, arrays into npy, JSON "
        "into json, pictures into png, integers into cls"
    )


def _write(
    ds: Dataset, path: str | PathLike[str], shard: int | None, open_part: Callable[[Path], AbstractContextManager[Put]]
) -> list[str]:
    """Write parts under other names, and give them theirs when all are complete."""
    if shard is not None and shard < 1:
        raise ArgumentError(f"shard={shard}: at least one element a file")
    final, done = Path(path), list[tuple[Path, Path]]()
    final.parent.mkdir(parents=True, exist_ok=True)
    elements = enumerate(ds)
    try:
        first = next(elements, None)
        while first is not None or not done:
            name = final if shard is None else final.with_name(f"{final.stem}-{len(done):05d}{final.suffix}")
            temporary = name.with_name(f".{name.name}.tmp-{os.getpid()}")
            done.append((temporary, name))
            with open_part(temporary) as put:
                part = elements if shard is None else itertools.islice(elements, shard - 1)
                for i, element in itertools.chain([] if first is None else [first], part):
                    put(i, element)
            first = None if shard is None else next(elements, None)
            if first is None:
                break
        for temporary, name in done:
            os.replace(temporary, name)
    except BaseException:
        for temporary, _ in done:
            temporary.unlink(missing_ok=True)
        raise
    return [os.fspath(n) for _, n in done]
