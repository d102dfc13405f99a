"""Tables: Arrow's columns as NumPy's, and Parquet files by row group."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, DataError, TreadleError
from treadle.data._columns import Array, Rows, join, objects, positions
from treadle.data._files import Blob, extra, is_plain, open_bytes, show_files
from treadle.data._nodes import Indexed
from treadle.data._sources import Columns


def columns_of(table: Any) -> dict[str, Any]:
    """The columns of an Arrow table by name: numbers (missing ones NaN), texts ("" if missing), lists ragged."""
    return {name: column_of(table.column(name), name) for name in table.column_names}


def column_of(column: Any, name: str) -> Any:
    """One Arrow column.

    Raises:
        DataError: of a type that is neither numbers, texts, dates, nor lists of these.
    """
    arrow = extra("pyarrow", "tables")
    kinds = arrow.types
    kind = column.type
    if kinds.is_dictionary(kind):
        return column_of(column.cast(kind.value_type), name)
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        texts = column.to_pylist()
        return objects(["" if t is None else t for t in texts] if column.null_count else texts)
    if kinds.is_binary(kind) or kinds.is_large_binary(kind):
        return objects([v or b"" for v in column.to_pylist()])
    if kinds.is_null(kind):
        return np.full(len(column), np.nan)
    if kinds.is_fixed_size_list(kind) and not column.null_count:
        flat = column_of(arrow.chunked_array([c.flatten() for c in column.chunks], kind.value_type), name)
        return flat.reshape(len(column), kind.list_size)
    if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
        return _lists(column, name)
    if kinds.is_struct(kind):
        return {f.name: column_of(_child(column, i), f"{name}.{f.name}") for i, f in enumerate(kind)}
    if kinds.is_decimal(kind):
        return column_of(column.cast(arrow.float64()), name)
    if kinds.is_boolean(kind) and column.null_count:
        return column_of(column.cast(arrow.int8()), name)
    if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind) or kinds.is_temporal(kind):
        return column.to_numpy()
    raise DataError(f"column {name!r} is {kind}, which is neither numbers, texts, dates nor lists of these")


def _child(column: Any, i: int) -> Any:
    arrow = extra("pyarrow", "tables")
    return arrow.chunked_array([c.flatten()[i] for c in column.chunks], column.type.field(i).type)


def _lists(column: Any, name: str) -> Array:
    parts: list[Any] = []
    arrow = extra("pyarrow", "tables")
    for chunk in column.chunks:
        values = column_of(arrow.chunked_array([chunk.flatten()]), name)
        lengths = np.nan_to_num(chunk.value_lengths().to_numpy(zero_copy_only=False)).astype(np.int64)
        parts += np.split(values, np.cumsum(lengths)[:-1]) if len(lengths) else []
    return objects(parts)


def choose(columns: dict[str, Any], x: Any, y: Any) -> Any:
    """(x, y) of a table's columns: several numeric ones as one float32 vector, one by name as it is."""
    if x is None and y is None:
        return columns
    if x is None:
        x = [c for c in columns if c != y and c not in (y if isinstance(y, list) else [])]
    made = _join(columns, x)
    return made if y is None else (made, _join(columns, y))


def _join(columns: dict[str, Any], names: Any) -> Any:
    wanted = [names] if isinstance(names, str) else list(names)
    missing = [n for n in wanted if n not in columns]
    if missing:
        raise ArgumentError(f"there is no column {missing[0]!r}; there are {', '.join(map(repr, columns))}")
    if isinstance(names, str):
        return columns[names]
    bad = [n for n in wanted if not isinstance(columns[n], np.ndarray) or columns[n].dtype.kind not in "fiub"]
    if bad:
        raise ArgumentError(
            f"column {bad[0]!r} is no number and cannot be part of a vector. Name the numeric columns, x=[…]; texts "
            "become numbers by a td.data.Vocabulary"
        )
    return np.stack([np.asarray(columns[n], np.float32) for n in wanted], axis=1)


class Loaded(Indexed):
    """A table that is read whole when it is first asked for."""

    columnar = rigid = True

    def __init__(self, load: Callable[[], tuple[Columns, int]], shown: str) -> None:
        self._load, self.shown = load, shown
        self._columns: Columns | None = None

    @property
    def columns(self) -> Columns:
        if self._columns is None:
            self._columns, self.skipped = self._load()
        return self._columns

    @property
    def length(self) -> int:
        return self.columns.length

    def describe(self) -> str:
        return self.shown

    def get(self, i: int, epoch: int) -> Any:
        return self.columns.get(i, epoch)

    def take(self, rows: Rows, epoch: int) -> Any:
        return self.columns.take(rows, epoch)

    def where(self, i: int, epoch: int) -> str:
        return self.columns.where(i, epoch)

    def spec(self) -> Any:
        return self.columns.spec()


class RowGroups(Indexed):
    """Parquet files, decoded by row group; the groups used last are kept, up to `memory` bytes.

    When rows of several groups are asked for at once and all fit, they become one table. With `skip_bad`, files and
    groups that cannot be read are left out; which these are is found out by reading all of them once.
    """

    columnar = True

    def __init__(
        self, files: list[str], names: Sequence[str] | None, x: Any, y: Any, memory: int, skip_bad: bool = False
    ) -> None:  # fmt: skip
        self.files, self.names, self.x, self.y, self.memory = files, names, x, y, memory
        self.skip_bad = skip_bad
        self._begin()

    def _begin(self) -> None:
        self._groups: list[tuple[int, int]] | None = None  # (file, row group)
        self._all_fit: bool | None = None
        self._whole: Columns | None = None
        self._ends: Array = np.empty(0, np.int64)
        self._kept: OrderedDict[int, tuple[Columns, int]] = OrderedDict()
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def describe(self) -> str:
        return f"from_parquet({show_files(self.files)})"

    def _index(self) -> list[tuple[int, int]]:
        if self._groups is None:
            groups, rows, skipped = [], [], 0
            for k, path in enumerate(self.files):
                try:
                    with self._open(path) as file:
                        sizes = [file.metadata.row_group(g).num_rows for g in range(file.metadata.num_row_groups)]
                except DataError:
                    if not self.skip_bad:
                        raise
                    skipped += 1  # how many rows it had cannot be known
                    continue
                for g, size in enumerate(sizes):
                    if self.skip_bad and not self._readable(k, g):
                        skipped += size
                        continue
                    groups.append((k, g))
                    rows.append(size)
            self.skipped = skipped
            self._ends, self._groups = np.cumsum(np.array(rows, np.int64)), groups
        return self._groups

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[Any]:
        parquet = extra("pyarrow.parquet", "Parquet files")
        with contextlib.nullcontext(path) if is_plain(path) else open_bytes(path) as source:
            try:
                file = parquet.ParquetFile(source, page_checksum_verification=True)
            except Exception as e:
                raise DataError(f"{path} is no Parquet file, or is damaged: {e}") from e
            with file:
                yield file

    @property
    def length(self) -> int:
        self._index()
        return int(self._ends[-1]) if len(self._ends) else 0

    def get(self, i: int, epoch: int) -> Any:
        if self._whole is not None:
            return self._whole.get(i, 0)
        k = self._group_of(i)
        return self._group(k).get(i - self._start(k), 0)

    def take(self, rows: Rows, epoch: int) -> Any:
        self._index()
        if self._whole is not None:
            return self._whole.take(rows, 0)
        wanted = positions(rows)
        group = np.searchsorted(self._ends, wanted, side="right")
        kinds = np.unique(group)
        if not len(kinds):
            return self._group(0).take(np.empty(0, np.int64), 0)
        if len(kinds) > 1 and not isinstance(rows, slice) and self._fits():
            return self._together().take(rows, 0)
        places = [np.flatnonzero(group == k) for k in kinds]
        parts = [
            self._group(int(k)).take(wanted[p] - self._start(int(k)), 0) for k, p in zip(kinds, places, strict=True)
        ]
        return parts[0] if len(parts) == 1 else join(parts, places)

    def _fits(self) -> bool:
        """Whether all groups, and one table of them, take no more than `memory`, judging by the first."""
        if self._all_fit is None:
            first = self._group(0)
            size = sum(_size(x) for x in first.leaves)
            self._all_fit = 2 * size * self.length <= self.memory * max(1, first.length)
        return self._all_fit

    def _together(self) -> Columns:
        with self._lock:
            if self._whole is None:
                parts = [self._group(k) for k in range(len(self._index()))]
                everything = [p.take(slice(0, p.length), 0) for p in parts]
                self._whole = Columns(join(everything), table=True)
                self._kept.clear()
            return self._whole

    def where(self, i: int, epoch: int) -> str:
        k = self._group_of(i)
        file, g = self._index()[k]
        return f"{self.files[file]}, row group {g}, row {i - self._start(k)}"

    def spec(self) -> Any:
        return self._group(0).spec()

    def _group_of(self, i: int) -> int:
        self._index()
        return int(np.searchsorted(self._ends, i, side="right"))

    def _start(self, k: int) -> int:
        return int(self._ends[k - 1]) if k else 0

    def _group(self, k: int) -> Columns:
        with self._lock:
            if k in self._kept:
                self._kept.move_to_end(k)
                return self._kept[k][0]
        groups = self._index()
        if not groups:
            raise DataError(f"{self.describe()}: there are no rows that can be read")
        columns = self._decoded(*groups[k])
        with self._lock:
            self._kept[k] = columns, sum(_size(x) for x in columns.leaves)
            while len(self._kept) > 1 and sum(n for _, n in self._kept.values()) > self.memory:
                self._kept.popitem(last=False)
        return columns

    def _readable(self, which: int, g: int) -> bool:
        try:
            self._decoded(which, g)
        except DataError:
            return False
        return True

    def _decoded(self, which: int, g: int) -> Columns:
        path = self.files[which]
        with self._open(path) as file:
            try:
                table = file.read_row_group(g, columns=None if self.names is None else list(self.names))
            except Exception as e:
                raise DataError(f"{path}, row group {g}, cannot be read: {e}") from e
            have = file.schema_arrow.names
        missing = [n for n in self.names or () if n.partition(".")[0] not in have]  # pyarrow leaves them out
        if missing:
            raise ArgumentError(f"{path} has no column {missing[0]!r}; it has {', '.join(map(repr, have))}")
        try:
            return Columns(choose(columns_of(table), self.x, self.y))
        except TreadleError as e:
            raise type(e)(f"{path}, row group {g}: {e.message}") from e


def _size(column: Array) -> int:
    """Bytes of a column, with what its objects hold."""
    if column.dtype != object:
        return column.nbytes
    return column.nbytes + sum(v.nbytes + 100 if isinstance(v, np.ndarray) else 50 + len(v) for v in column)


def read_csv(
    files: list[str], names: Sequence[str] | None, dtypes: dict[str, Any], delimiter: str, header: Sequence[str] | None,
    on_error: str,
) -> tuple[dict[str, Any], int, list[int]]:  # fmt: skip
    """The columns of CSV files, how many rows were left out, and where each file's rows end.

    Raises:
        DataError: a row with another number of cells, or a cell that is not what `dtypes` says; names file and row.
    """
    arrow, csv = extra("pyarrow", "CSV files"), extra("pyarrow.csv", "CSV files")
    skipped = 0

    def bad_row(row: Any) -> str:
        nonlocal skipped
        skipped += on_error == "skip"
        return "skip" if on_error == "skip" else "error"

    kinds = {k: arrow.from_numpy_dtype(np.dtype(v)) if v is not str else arrow.string() for k, v in dtypes.items()}
    # What may be mistyped is read as text when rows are to be left out: then the other cells of its row can go, too.
    asked = dict.fromkeys(kinds, arrow.string()) if on_error == "skip" else kinds
    tables: list[Any] = []

    def read(path: str, threads: bool) -> Any:
        # Without quotes in the file no cell has a line end in it, and blocks of it are parsed side by side.
        quoted = not is_plain(path) or Blob(path).data.find(b'"') >= 0
        with contextlib.nullcontext(path) if is_plain(path) else open_bytes(path) as file:
            return csv.read_csv(
                file,
                read_options=csv.ReadOptions(use_threads=threads, column_names=header),
                parse_options=csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=quoted, invalid_row_handler=None if threads else bad_row
                ),
                convert_options=csv.ConvertOptions(
                    include_columns=None if names is None else list(names), column_types=asked
                ),
            )

    for path in files:
        try:
            try:
                table = read(path, threads=True)
            except arrow.ArrowInvalid:
                table = read(path, threads=False)  # only one thread knows in which row the error is
        except arrow.ArrowKeyError as e:
            raise ArgumentError(f"{path}: {e}") from e
        except (arrow.ArrowInvalid, OSError, EOFError, UnicodeDecodeError) as e:
            raise DataError(f"{path}: {e}") from e
        table, bad = as_texts(table, path, on_error == "skip")
        skipped += bad
        if on_error == "skip":
            table, bad = _convert(table, kinds)
            skipped += bad
        if tables and table.column_names != tables[0].column_names:
            raise DataError(f"{path} has the columns {table.column_names}, and {files[0]} {tables[0].column_names}")
        tables.append(table)
    ends = np.cumsum([t.num_rows for t in tables]).tolist()
    try:
        return columns_of(arrow.concat_tables(tables, promote_options="permissive")), skipped, ends
    except arrow.ArrowInvalid as e:
        raise DataError(f"the files have columns of different types: {e}. Say which: dtypes={{…}}") from e


def as_texts(table: Any, path: str, skip: bool, first: int = 0) -> tuple[Any, int]:
    """Columns that Arrow took for bytes, since some cells are no UTF-8, as texts; how many rows were left out for it.

    Raises:
        DataError: such a cell, if it is not to be left out; names file, row and column.
    """
    arrow = extra("pyarrow", "CSV files")
    good = np.ones(table.num_rows, bool)
    for at, field in enumerate(table.schema):
        if not arrow.types.is_binary(field.type):
            continue
        texts: list[str | None] = []
        for i, cell in enumerate(table.column(at).to_pylist()):
            try:
                texts.append(None if cell is None else cell.decode())
            except UnicodeDecodeError as e:
                if not skip:
                    place = f"{path}, row {first + i + 1}, column {field.name!r}"
                    raise DataError(f"{place}: {cell[:20]!r} is not UTF-8 ({e.reason})") from e
                texts.append(None)
                good[i] = False
        table = table.set_column(at, field.name, arrow.array(texts, arrow.string()))
    return table if good.all() else table.filter(arrow.array(good)), int((~good).sum())


def _convert(table: Any, kinds: dict[str, Any]) -> tuple[Any, int]:
    """Columns of text as what they should be, without the rows in which one is not; how many these were."""
    arrow = extra("pyarrow", "CSV files")
    good = np.ones(table.num_rows, bool)
    converted: dict[str, list[Any]] = {}
    for name, kind in kinds.items():
        if name not in table.column_names or kind == arrow.string():
            continue
        texts = table.column(name)
        try:
            converted[name] = texts.cast(kind).to_pylist()
        except arrow.ArrowInvalid:
            values = []
            for i, text in enumerate(texts):
                try:
                    values.append(text.cast(kind).as_py() if text.as_py() else None)
                except arrow.ArrowInvalid:
                    values.append(None)
                    good[i] = False
            converted[name] = values
    for name, values in converted.items():
        at = table.column_names.index(name)
        table = table.set_column(at, name, arrow.array(values, kinds[name]))
    return table.filter(arrow.array(good)) if not good.all() else table, int((~good).sum())
