"""Results of database queries, through Python's DB-API (PEP 249)."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, DataError
from treadle.data._columns import objects
from treadle.data._nodes import Node, Reader

_ROWS = 1024


def connector(source: Any) -> Callable[[], tuple[Any, bool]]:
    """A function that gives a connection, and whether it is to be closed: from a file's name, a function, or itself."""
    if isinstance(source, str | os.PathLike):
        return _File(os.fspath(source))
    if callable(getattr(source, "cursor", None)):
        return lambda: (source, False)
    if callable(source):
        return lambda: (source(), True)
    raise ArgumentError(
        "from_sql takes a connection, a function that makes one, or the name of an SQLite file, not "
        f"{type(source).__name__}"
    )


class _File:
    """Opens an SQLite file, for reading only."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self) -> tuple[Any, bool]:
        if not os.path.exists(self.path):
            raise DataError(f"from_sql: there is no file {self.path}")
        return sqlite3.connect(f"file:{self.path}?mode=ro", uri=True), True


def run(connection: Any, query: str, parameters: Sequence[Any]) -> Any:
    """The cursor of a query that has results.

    Raises:
        DataError: the database refused it; the message has the query.
    """
    try:
        cursor = connection.cursor()
        cursor.execute(query, parameters)
    except Exception as e:
        raise DataError(f"{type(e).__name__}: {e}\n    query: {query}") from e
    if cursor.description is None:
        raise DataError(f"the query gives no rows\n    query: {query}")
    return cursor


def fetch(connect: Callable[[], tuple[Any, bool]], query: str, parameters: Sequence[Any]) -> dict[str, Any]:
    """All rows, as columns by name."""
    connection, close = connect()
    try:
        cursor = run(connection, query, parameters)
        names = [d[0] for d in cursor.description]
        rows = cursor.fetchall()
    finally:
        if close:
            connection.close()
    values = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return {n: column(v) for n, v in zip(names, values, strict=True)}


def column(values: Sequence[Any]) -> Any:
    """Numbers with NaN for NULL, or texts with "" for NULL."""
    kinds = {type(v) for v in values if v is not None}
    if kinds <= {int, float, bool}:
        missing = None in values
        return np.array([np.nan if v is None else v for v in values] if missing else values or np.empty(0))
    empty = b"" if bytes in kinds else ""
    return objects([empty if v is None else v for v in values])


class QueryRows(Node):
    """Rows as they come, for results that do not fit into memory. ORDER BY makes them the same again."""

    def __init__(self, connect: Callable[[], tuple[Any, bool]], query: str, parameters: Sequence[Any]) -> None:
        self.connect, self.query, self.parameters = connect, query, parameters

    def describe(self) -> str:
        return f"from_sql({self.query!r}, stream=True)"

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _RowReader(self, state or 0)


class _RowReader(Reader):
    def __init__(self, node: QueryRows, at: int) -> None:
        self.connection, self.ends = node.connect()
        self.cursor = run(self.connection, node.query, node.parameters)
        self.names = [d[0] for d in self.cursor.description]
        self.rows: list[Any] = []
        self.at = 0
        self.skip(at)

    def __next__(self) -> Any:
        if not self.rows:
            self.rows = list(reversed(self.cursor.fetchmany(_ROWS)))
            if not self.rows:
                raise StopIteration
        row = self.rows.pop()
        self.at += 1
        return {n: np.nan if v is None else v for n, v in zip(self.names, row, strict=True)}

    def state(self) -> int:
        return self.at

    def where(self) -> str | None:
        return f"row {self.at}"

    def close(self) -> None:
        self.cursor.close()
        if self.ends:
            self.connection.close()
