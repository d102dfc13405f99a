"""Arrays in files: memory-mapped .npy files and HDF5 datasets."""

from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.dtypes import as_dtype
from treadle.core.errors import ArgumentError, DataError, DTypeError
from treadle.core.spec import Spec
from treadle.data._columns import Rows
from treadle.data._files import extra, is_plain, open_bytes, read_bytes, residence, show
from treadle.data._nodes import Indexed
from treadle.data._sources import Columns, common_length


def map_npy(path: str) -> Any:
    """An array of a .npy file, mapped into memory; one that is compressed or remote is read whole.

    Raises:
        DataError: no such file, or a damaged one.
    """
    try:
        if not is_plain(path):
            return np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as e:
        raise DataError(f"{path} is no .npy file of numbers, or is cut short: {e}") from e


class MappedFiles(Indexed):
    """Columns of one or more .npy files each; the files of one shard belong together."""

    def __init__(self, names: list[str], files: list[list[str]]) -> None:
        self.names, self.files = names, files
        self._shard: Columns | None = None
        structure = trees.flatten(dict.fromkeys(names, 0) if names != [""] else 0)[1]
        arrays = [map_npy(f[0]) for f in files]
        self._maps = [getattr(x, "_mmap", None) for x in arrays]
        self._shard = Columns(trees.unflatten(structure, arrays), "from_numpy_files")

    def __getstate__(self) -> dict[str, Any]:
        return {"names": self.names, "files": self.files}  # mapped anew, not copied, in another process

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def inner(self) -> Columns:
        assert self._shard is not None
        return self._shard

    @property
    def length(self) -> int:
        return self.inner.length

    def describe(self) -> str:
        return f"from_numpy_files({', '.join(show(f[0]) for f in self.files)})"

    def get(self, i: int, epoch: int) -> Any:
        return self._copied(self.inner.get(i, epoch), 1)

    def take(self, rows: Rows, epoch: int) -> Any:
        count = 1 if isinstance(rows, slice) else len(rows)
        return self._copied(self.inner.take(rows, epoch), count)

    def _copied(self, tree: Any, reads: int) -> Any:
        """Read now, not when the map is touched."""
        copy = trees.map(np.array, tree)
        for mapped, x in zip(self._maps, trees.leaves(copy), strict=True):
            residence.read(mapped, x.nbytes, reads)
        return copy

    def where(self, i: int, epoch: int) -> str:
        return f"{self.files[0][0]}, row {i}"

    def spec(self) -> Any:
        return self.inner.spec()


class HDF5(Indexed):
    """Datasets of one HDF5 file, rows on the first axis; opened once in each process."""

    def __init__(self, path: str, names: dict[str, str], skip_bad: bool = False) -> None:
        self.path, self.names, self.skip_bad = path, names, skip_bad
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()  # the library is not safe for threads
        self._file: Any = None
        self._sets: list[Any] = []

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "names": self.names, "skip_bad": self.skip_bad}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def sets(self) -> list[Any]:
        if self._file is None:
            h5py = extra("h5py", "HDF5 files")
            try:
                self._file = h5py.File(self.path if is_plain(self.path) else open_bytes(self.path), "r")
            except OSError as e:
                raise DataError(f"{self.path} is no HDF5 file, or is damaged: {e}") from e
            for name in self.names.values():
                if not isinstance(self._file.get(name), h5py.Dataset):
                    have = ", ".join(map(repr, _datasets(self._file, h5py.Dataset)))
                    raise ArgumentError(f"{self.path} has no dataset {name!r}; it has {have}")
            self._sets = [self._file[n] for n in self.names.values()]
            common_length(list(self.names.values()), self._sets)
        return self._sets

    @property
    def length(self) -> int:
        try:
            return len(self.sets()[0])
        except DataError:
            if not self.skip_bad:
                raise
            self.skipped = 1  # the file: how many rows it had cannot be known
            return 0

    def describe(self) -> str:
        return f"from_hdf5({show(self.path)}, {', '.join(self.names.values())})"

    def _put(self, values: list[Any]) -> Any:
        return values[0] if list(self.names) == [""] else dict(zip(self.names, values, strict=True))

    def get(self, i: int, epoch: int) -> Any:
        return self._read(lambda s: _text(s[i]), self.where(i, epoch))

    def take(self, rows: Rows, epoch: int) -> Any:
        if isinstance(rows, slice):
            return self._read(lambda s: _texts(s[rows]), f"{self.path}, rows {rows.start} to {rows.stop - 1}")
        # The library takes increasing positions, each once.
        unique, back = np.unique(rows, return_inverse=True)
        return self._read(lambda s: _texts(s[unique])[back.ravel()], f"{self.path}, {len(rows)} rows")

    def _read(self, read: Any, where: str) -> Any:
        try:
            with self._lock:
                return self._put([read(s) for s in self.sets()])
        except OSError as e:
            raise DataError(f"{where}: {e}") from e

    def where(self, i: int, epoch: int) -> str:
        return f"{self.path}, row {i}"

    def spec(self) -> Any:
        try:
            return self._put([Spec(tuple(s.shape[1:]), as_dtype(s.dtype)) for s in self.sets()])
        except DTypeError:
            return super().spec()


def _datasets(file: Any, kind: type) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, x: found.append(name) if isinstance(x, kind) else None)
    return found


def _text(x: Any) -> Any:
    return x.decode() if isinstance(x, bytes) else x


def _texts(x: Any) -> Any:
    if x.dtype != object:
        return x
    out = np.empty(len(x), object)
    out[:] = [_text(v) for v in x]
    return out
