"""Datasets of tables: CSV, Parquet, data frames, databases. An element is a row, a dict by column."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from treadle.core.errors import ArgumentError
from treadle.data._csv_stream import CSVRows
from treadle.data._files import Paths, check_on_error, extra, find, show_files
from treadle.data._sources import Columns
from treadle.data._sql import QueryRows, connector, fetch
from treadle.data._tables import Loaded, RowGroups, choose, columns_of, read_csv
from treadle.data.dataset import Dataset, IndexedDataset


def from_csv(
    paths: Paths, *, columns: Sequence[str] | None = None, x: str | Sequence[str] | None = None,
    y: str | Sequence[str] | None = None, dtypes: dict[str, Any] | None = None, delimiter: str = ",",
    header: Sequence[str] | None = None, stream: bool = False, on_error: str = "raise",
) -> Any:  # fmt: skip
    """Rows of CSV files, read when the first is asked for: dicts, or `(x, y)`.

    Args:
        paths: a name, glob, URL (fsspec), or list of them; .gz, .bz2, .xz, .zst and .lz4 are decompressed.
        columns: which to read; None: all.
        x, y: make elements `(x, y)`: a list of numeric columns is one float32 vector, a name that column as it is. With
            y alone, x is all the others.
        dtypes: NumPy dtypes (or `str`) by column; others are found out. Missing numbers are NaN, missing texts "".
        delimiter, header: how cells are separated; the columns' names for files without a first line of them.
        stream: read from the front, in blocks, for files that do not fit into memory.
        on_error: "raise", or "skip": leave rows out that have another number of cells, or (unless streamed) a cell that
            is not of its dtype in `dtypes`; `skipped` counts them.

    Raises:
        DataError: no such file; when it is read, a bad row, by file and row.
        ArgumentError (when it is read): there is no such column.
        MissingExtraError: pyarrow is not installed.

    >>> with open("cars.csv", "w") as f:
    ...     _ = f.write("weight,power,maker\\n1200,70,A\\n900,,B\\n")
    >>> td.data.from_csv("cars.csv")[1]
    {'weight': np.int64(900), 'power': np.float64(nan), 'maker': 'B'}
    >>> td.data.from_csv("cars.csv", x=["weight", "power"], y="maker")[0]
    (array([1200.,   70.], dtype=float32), 'A')
    """
    files = find(paths, "from_csv")
    extra("pyarrow.csv", "from_csv")
    check_on_error(on_error, "from_csv")
    if stream:
        rows = CSVRows(files, columns, dtypes or {}, delimiter, header, x, y, on_error == "skip")
        return Dataset(rows)
    load = functools.partial(_load_csv, files, columns, x, y, dtypes or {}, delimiter, header, on_error)
    return IndexedDataset(Loaded(load, f"from_csv({show_files(files)})"))


def _load_csv(
    files: list[str], names: Any, x: Any, y: Any, dtypes: dict[str, Any], delimiter: str, header: Any, on_error: str
) -> tuple[Columns, int]:
    columns, skipped, ends = read_csv(files, names, dtypes, delimiter, header, on_error)
    where = functools.partial(_row_of, files, ends)
    return Columns(choose(columns, x, y), "from_csv", where, table=True), skipped


def _row_of(files: list[str], ends: list[int], i: int) -> str:
    """Where row i is from; rows count from 1, below the header."""
    k = next(k for k, end in enumerate(ends) if i < end)
    return f"{files[k]}, row {i - (ends[k - 1] if k else 0) + 1}"


def from_parquet(
    paths: Paths, *, columns: Sequence[str] | None = None, x: str | Sequence[str] | None = None,
    y: str | Sequence[str] | None = None, memory: int = 1 << 30, on_error: str = "raise",
) -> IndexedDataset:  # fmt: skip
    """Rows of Parquet files, decoded by row group: dicts, or `(x, y)` as for `from_csv`.

    Args:
        memory: bytes of decoded row groups that are kept. Reading in order never needs more than one group; a shuffle
            of more than fits decodes groups again and again: see `shuffle(within=…)`.
        on_error: "raise", or "skip": leave out row groups that are damaged, and files that cannot be opened; `skipped`
            counts the rows (a file as one). Everything is then read once to find them.
        paths, columns, x, y: as for `from_csv`.

    Raises:
        DataError: no such file; when it is read, a damaged one.
        MissingExtraError: pyarrow is not installed.

    >>> _ = td.data.write_parquet(td.data.from_arrays(a=np.arange(3), b=["x", "y", "z"]), "t.parquet")
    >>> td.data.from_parquet("t.parquet")[2]
    {'a': np.int64(2), 'b': 'z'}
    """
    extra("pyarrow.parquet", "from_parquet")
    wanted = columns
    if wanted is None and x is not None:
        named = [x] if isinstance(x, str) else [*x]
        wanted = [*named, *([] if y is None else [y] if isinstance(y, str) else y)]
    check_on_error(on_error, "from_parquet")
    return IndexedDataset(RowGroups(find(paths, "from_parquet"), wanted, x, y, memory, on_error == "skip"))


def from_dataframe(
    frame: Any, *, x: str | Sequence[str] | None = None, y: str | Sequence[str] | None = None
) -> IndexedDataset:
    """Rows of a data frame (pandas, polars) or Arrow table: dicts, or `(x, y)` as for `from_csv`.

    Raises:
        ArgumentError: it is none.
        MissingExtraError: pyarrow is not installed, through which columns pass.

    >>> import pyarrow
    >>> td.data.from_dataframe(pyarrow.table({"a": [1, 2], "b": [0.5, None]}), x=["a", "b"])[1]
    array([ 2., nan], dtype=float32)
    """
    arrow = extra("pyarrow", "from_dataframe")
    if isinstance(frame, arrow.Table):
        table = frame
    elif hasattr(frame, "iloc") and hasattr(frame, "columns"):  # pandas: its index is no column
        table = arrow.Table.from_pandas(frame, preserve_index=False)
    elif hasattr(frame, "__arrow_c_stream__"):
        table = arrow.table(frame)
    else:
        raise ArgumentError(
            f"from_dataframe takes a pandas or polars data frame or an Arrow table, not {type(frame).__name__}"
        )
    return IndexedDataset(Columns(choose(columns_of(table), x, y), "from_dataframe", table=True))


def from_sql(
    source: Any, query: str, parameters: Sequence[Any] = (), *, x: str | Sequence[str] | None = None,
    y: str | Sequence[str] | None = None, stream: bool = False, on_error: str = "raise",
) -> Any:  # fmt: skip
    """Rows of a query's result: dicts, or `(x, y)` as for `from_csv`. NULL is NaN among numbers, "" among texts.

    Args:
        source: a DB-API connection (SQLite, DuckDB, psycopg, …), a function that makes one, or an SQLite file's name.
        query: SQL. Without ORDER BY, a database may give another order each time.
        parameters: for the query's placeholders.
        stream: fetch rows as they are read, for results that do not fit into memory; elements are dicts.
        on_error: "raise", or "skip" (unless streamed): leave out rows with a text among numbers, or a number among
            texts, as SQLite allows; `skipped` counts them. What most of a column are decides.

    Raises:
        ArgumentError: the source is no connection.
        DataError (when it is read): the database refused the query, or a column holds both numbers and texts.

    >>> import sqlite3
    >>> db = sqlite3.connect(":memory:")
    >>> _ = db.execute("create table t (a integer, b text)")
    >>> _ = db.executemany("insert into t values (?, ?)", [(1, "x"), (None, "y")])
    >>> td.data.from_sql(db, "select * from t where b >= ? order by b", ["x"])[1]
    {'a': np.float64(nan), 'b': 'y'}
    """
    connect = connector(source)
    check_on_error(on_error, "from_sql")
    if stream:
        if x is not None or y is not None:
            raise ArgumentError("from_sql(stream=True) gives dicts; make (x, y) of them with map(…)")
        if on_error == "skip":
            raise ArgumentError('from_sql(stream=True) has no on_error="skip": a column is known only when it is read')
        return Dataset(QueryRows(connect, query, parameters))
    return IndexedDataset(
        Loaded(
            functools.partial(_load_sql, connect, query, parameters, x, y, on_error == "skip"), f"from_sql({query!r})"
        )
    )


def _load_sql(
    connect: Callable[[], Any], query: str, parameters: Any, x: Any, y: Any, skip_bad: bool
) -> tuple[Columns, int]:
    columns, skipped = fetch(connect, query, parameters, skip_bad)
    return Columns(choose(columns, x, y), "from_sql", table=True), skipped
