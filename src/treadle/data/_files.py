"""Files: finding them, opening them wherever they are and however they are compressed, and records inside of them."""

from __future__ import annotations

import bz2
import contextlib
import glob
import gzip
import importlib
import lzma
import mmap
import os
import weakref
from abc import abstractmethod
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import IO, Any

import numpy as np

from treadle.core.errors import ArgumentError, DataError, MissingExtraError
from treadle.data._columns import Array
from treadle.data._filters import Readable
from treadle.data._nodes import Indexed

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def extra(module: str, what: str) -> ModuleType:
    """Import a package of treadle[data].

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as e:
        package = {"PIL": "pillow"}.get(module.partition(".")[0], module.partition(".")[0])
        raise MissingExtraError(f'{what} needs {package}: pip install "treadle[data]"') from e


def find(paths: Paths, what: str) -> list[str]:
    """Files by name, glob or list of these, in order of their names; URLs through fsspec ("s3://…", "memory://…").

    Raises:
        DataError: there is no such file.
    """
    given = [paths] if isinstance(paths, str | PathLike) else list(paths)
    if not given:
        raise ArgumentError(f"{what}: no files were given")
    found: list[str] = []
    for path in [os.fspath(p) for p in given]:
        if is_url(path):
            filesystem, inside = extra("fsspec.core", what).url_to_fs(path)
            names = sorted(filesystem.glob(inside)) if glob.has_magic(inside) else [inside]
            matches = [filesystem.unstrip_protocol(n) for n in names if filesystem.exists(n)]
        else:
            matches = sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else [path]
            matches = [m for m in matches if os.path.isfile(m)]
        if not matches:
            here = "" if is_url(path) or os.path.isabs(path) else f" (looked for from {os.getcwd()})"
            raise DataError(f"{what}: there is no file {path}{here}")
        found += matches
    return found


def is_url(path: str) -> bool:
    return "://" in path


def show(path: str) -> str:
    return path if is_url(path) else os.path.basename(path)


def show_files(files: Sequence[str]) -> str:
    return show(files[0]) + (f" and {len(files) - 1} more" if len(files) > 1 else "")


def open_bytes(path: str) -> IO[bytes]:
    """A file to read bytes from, decompressed if its name ends in .gz, .bz2, .xz, .zst or .lz4."""
    suffix = os.path.splitext(path)[1].lower()
    raw: Any = extra("fsspec", f"reading {path}").open(path, "rb").open() if is_url(path) else path
    if suffix in _OPENERS:
        return _OPENERS[suffix](raw, "rb")
    if suffix in (".zst", ".lz4"):
        arrow = extra("pyarrow", f"reading {path}")
        return arrow.CompressedInputStream(raw, {".zst": "zstd", ".lz4": "lz4"}[suffix])
    return raw if is_url(path) else open(path, "rb")


def is_plain(path: str) -> bool:
    """Whether a file can be mapped into memory as it is."""
    return not is_url(path) and os.path.splitext(path)[1].lower() not in (*_OPENERS, ".zst", ".lz4")


def read_bytes(path: str) -> bytes:
    """All of a file.

    Raises:
        DataError: it cannot be read, or what is compressed is damaged.
    """
    try:
        with open_bytes(path) as file:
            return file.read()
    except (OSError, EOFError, lzma.LZMAError, ValueError) as e:
        raise DataError(f"{path} cannot be read: {e}") from e


class Residence:
    """How much of the mapped files was read lately, so that what this process holds of them stays small.

    Pages that were read count as the process's memory until the system needs them; letting go of them costs little,
    since they stay in the system's cache. Each read brings in some neighbours, too.
    """

    MOST, READ = 64 << 20, 1 << 16  # bytes altogether; what a small read brings in

    def __init__(self) -> None:
        self._maps: weakref.WeakValueDictionary[int, mmap.mmap] = weakref.WeakValueDictionary()
        self._bytes = 0

    def read(self, mapped: Any, size: int, times: int = 1) -> None:
        """Note that so many bytes of a mapped file were read, by so many reads."""
        if not isinstance(mapped, mmap.mmap):
            return
        self._maps[id(mapped)] = mapped
        self._bytes += max(size, min(self.READ * times, len(mapped)))
        if self._bytes > self.MOST:
            self._bytes = 0
            if sum(map(len, self._maps.values())) < 4 * self.MOST:
                return  # they may stay whole
            for one in list(self._maps.values()):
                with contextlib.suppress(AttributeError, OSError, ValueError):  # no such system call, or closed
                    one.madvise(mmap.MADV_DONTNEED)
            self._maps.clear()


residence = Residence()


class Blob:
    """The bytes of a file: mapped into memory, or in memory when it is compressed or remote. Opened on use."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._data: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_data": None}

    @property
    def data(self) -> Any:
        if self._data is None:
            if not is_plain(self.path):
                self._data = read_bytes(self.path)
            else:
                try:
                    with open(self.path, "rb") as file:
                        size = os.fstat(file.fileno()).st_size
                        self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
                except OSError as e:
                    raise DataError(f"{self.path} cannot be read: {e}") from e
        return self._data

    def __getitem__(self, span: slice) -> bytes:
        data = self.data
        residence.read(data, span.stop - span.start)
        return bytes(data[span])

    def __len__(self) -> int:
        return len(self.data)


class Growing:
    """Integers, more and more: a list of which what is long becomes arrays. (A list takes five times as much.)"""

    _MOST = 1 << 16

    def __init__(self) -> None:
        self._last: list[int] = []
        self._parts: list[Array] = []

    def add(self, n: int) -> None:
        self._last.append(n)
        if len(self._last) == self._MOST:
            self._settle()

    def extend(self, more: Array) -> None:
        self._settle()
        self._parts.append(more)

    def _settle(self) -> None:
        if self._last:
            self._parts.append(np.array(self._last, np.int64))
            self._last = []

    def array(self) -> Array:
        self._settle()
        return np.concatenate(self._parts) if self._parts else np.empty(0, np.int64)


BAD = -1  # where a record should end that is damaged


class RecordFiles(Indexed):
    """Records that lie in files one behind another. Where each begins is found out by one pass over the file."""

    def __init__(self, files: list[str], shown: str) -> None:
        self.files, self.shown = files, shown
        self.blobs = [Blob(f) for f in files]
        self._spans: list[tuple[Array, Array]] | None = None
        self._ends: Array = np.empty(0, np.int64)

    @abstractmethod
    def scan(self, blob: Blob) -> tuple[Array, Array]:
        """Where each record begins and ends; BAD as the end of one that is damaged."""

    @abstractmethod
    def parse(self, blob: Blob, start: int, stop: int) -> Any:
        """The element that a record is. Any exception makes it a bad record."""

    def describe(self) -> str:
        return f"{self.shown}({show_files(self.files)})"

    def spans(self) -> list[tuple[Array, Array]]:
        if self._spans is None:
            spans = [self.scan(b) for b in self.blobs]
            self._ends = np.cumsum([len(s) for s, _ in spans])
            self._spans = spans
        return self._spans

    @property
    def length(self) -> int:
        self.spans()
        return int(self._ends[-1])

    def place(self, i: int) -> tuple[int, int]:
        """The file and the record's number in it."""
        self.spans()
        k = int(np.searchsorted(self._ends, i, side="right"))
        return k, i - (int(self._ends[k - 1]) if k else 0)

    def _places(self, rows: Array) -> tuple[Array, Array]:
        """Of many elements the files, and the records' numbers in them."""
        self.spans()
        k = np.searchsorted(self._ends, rows, side="right")
        return k, rows - np.concatenate([[0], self._ends])[k]

    def get(self, i: int, epoch: int) -> Any:
        k, j = self.place(i)
        starts, stops = self.spans()[k]
        try:
            return self.parse(self.blobs[k], int(starts[j]), int(stops[j]))
        except Exception as e:
            raise self.failed(e, self.where(i, epoch)) from e

    def where(self, i: int, epoch: int) -> str:
        k, j = self.place(i)
        return f"{self.files[k]}, record {j}, byte {int(self.spans()[k][0][j])}"


def check_on_error(on_error: str, what: str) -> None:
    if on_error not in ("raise", "skip"):
        raise ArgumentError(f'{what}(on_error={on_error!r}): "raise" or "skip"')


def with_errors(node: Indexed, on_error: str, what: str) -> Indexed:
    """The node, or those of its elements that can be made.

    Raises:
        ArgumentError: neither "raise" nor "skip".
    """
    check_on_error(on_error, what)
    return Readable(node) if on_error == "skip" else node


def is_folder(path: Any) -> bool:
    """Whether a name, or a URL, is that of a folder."""
    if not isinstance(path, str | PathLike):
        return False
    name = os.fspath(path)
    if not is_url(name):
        return os.path.isdir(name)
    filesystem, inside = extra("fsspec.core", f"reading {name}").url_to_fs(name)
    return not glob.has_magic(inside) and bool(filesystem.isdir(inside))


def class_folders(folder: str | PathLike[str], suffixes: Sequence[str], what: str) -> tuple[list[str], list[str]]:
    """Files and the folders below `folder` in which they are: names of classes. All below one folder have no class.

    Raises:
        DataError: there is no such file.
    """
    root = os.fspath(folder)
    if is_url(root):
        filesystem, inside = extra("fsspec.core", what).url_to_fs(root)
        base = PurePosixPath(inside)
        below = {PurePosixPath(n).relative_to(base): filesystem.unstrip_protocol(n) for n in filesystem.find(inside)}
    else:
        below = {PurePosixPath(p.relative_to(root).as_posix()): str(p) for p in Path(root).rglob("*") if p.is_file()}
    names = sorted(n for n in below if n.suffix.lower() in suffixes)
    if not names:
        raise DataError(f"{what}: there are no files with {', '.join(suffixes)} in {root}")
    return [below[n] for n in names], [n.parts[0] if len(n.parts) > 1 else "" for n in names]
