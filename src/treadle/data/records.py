"""Datasets of records in files: lines of text, JSON lines, TFRecords, tar shards. One quick pass indexes a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treadle.core.errors import ArgumentError
from treadle.data._files import Paths, extra, find, with_errors
from treadle.data._lines import LineFiles
from treadle.data._tar import TarFiles
from treadle.data._tfrecord import TFRecordFiles
from treadle.data.dataset import IndexedDataset


def from_text(
    paths: Paths, *, encoding: str = "utf-8", keep_empty: bool = False, on_error: str = "raise"
) -> IndexedDataset:
    """Lines of text files, without their ends; any line at once.

    Args:
        paths: a name, glob, URL (fsspec), or list of them; .gz, .bz2, .xz, .zst and .lz4 are decompressed into memory.
        keep_empty: whether empty lines are elements.
        on_error: "raise", or "skip": leave out what is not of the encoding; `skipped` counts it.

    Raises:
        DataError: no such file; when it is read, a line that is not of the encoding, by file and line.

    >>> with open("poem.txt", "w") as f:
    ...     _ = f.write("one\\n\\ntwo")
    >>> list(td.data.from_text("poem.txt"))
    ['one', 'two']
    """
    files = LineFiles(find(paths, "from_text"), "from_text", encoding, False, keep_empty)
    return IndexedDataset(with_errors(files, on_error, "from_text"))


def from_jsonl(paths: Paths, *, on_error: str = "raise") -> IndexedDataset:
    """JSON objects, one a line; lists of numbers or texts become arrays.

    Args:
        paths, on_error: as for `from_text`; an error is a line that is no JSON.

    Raises:
        DataError: no such file; when it is read, a line that is no JSON, by file and line.

    >>> with open("a.jsonl", "w") as f:
    ...     _ = f.write('{"tokens": [1, 2], "label": "x"}\\n{"tokens": [3], "label": "y"}\\n')
    >>> td.data.from_jsonl("a.jsonl")[1]
    {'tokens': array([3]), 'label': 'y'}
    """
    files = LineFiles(find(paths, "from_jsonl"), "from_jsonl", "utf-8", True, False)
    return IndexedDataset(with_errors(files, on_error, "from_jsonl"))


def from_tfrecord(
    paths: Paths, features: Mapping[str, Any] | None = None, *, kind: str = "example", on_error: str = "raise"
) -> IndexedDataset:
    """Records of TFRecord files, without TensorFlow; each record's checksum is verified when it is read.

    Args:
        features: what to read of each, by name: a dtype for one value ("int64"), [dtype] for any number, a `td.Spec`
            for an array (also of one that was written as its bytes), "str" or "bytes", ["str"] or ["bytes"]. None: all,
            as arrays.
        kind: "example", "sequence" (SequenceExample: context features and lists together), or "bytes".
        paths, on_error: as for `from_text`; an error is a damaged record or one without the features.

    Raises:
        DataError: no such file; when it is read, a bad record, by file, number and byte.
        MissingExtraError: crc32c is not installed.

    >>> _ = td.data.write_tfrecord(td.data.from_arrays(x=np.eye(2, dtype=np.float32), name=["a", "b"]), "d.tfrecord")
    >>> td.data.from_tfrecord("d.tfrecord", {"x": td.Spec((2,), td.float32), "name": "str"})[1]
    {'x': array([0., 1.], dtype=float32), 'name': 'b'}
    """
    if kind not in ("example", "sequence", "bytes"):
        raise ArgumentError(f'from_tfrecord(kind={kind!r}): "example", "sequence" or "bytes"')
    if kind == "bytes" and features is not None:
        raise ArgumentError('from_tfrecord(kind="bytes") has no features')
    extra("crc32c", "from_tfrecord")
    files = TFRecordFiles(find(paths, "from_tfrecord"), kind, features)
    return IndexedDataset(with_errors(files, on_error, "from_tfrecord"))


def from_webdataset(paths: Paths, *, decode: bool = True, on_error: str = "raise") -> IndexedDataset:
    """Elements of tar shards as WebDataset has them: files of one name but for the ending make one.

    Args:
        decode: by the ending: cls, txt, json, npy, wav, pictures; other files, and all without it, are bytes.
        paths, on_error: as for `from_text`.

    Returns: dicts: "__key__", and each ending. Consecutive files of one name belong together.

    Raises:
        DataError: no such file; when it is read, a tar file that is damaged or cut short, by file, number and byte.

    >>> _ = td.data.write_tar(td.data.from_arrays(txt=["one", "two"], cls=[0, 1]), "d.tar")
    >>> td.data.from_webdataset("d.tar")[1]
    {'__key__': '000001', 'txt': 'two', 'cls': 1}
    """
    files = TarFiles(find(paths, "from_webdataset"), decode)
    return IndexedDataset(with_errors(files, on_error, "from_webdataset"))
