"""Results of database queries, through Python's DB-API (PEP 249)."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, DataError
from treadle.data._columns import objects
from treadle.data._nodes import Node, Place, Reader

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


def run(connection: Any, query: str, parameters: Sequence[Any], connect: Any) -> Any:
    """The cursor of a query that has results.

    Raises:
        DataError: the database refused it; the message has the query.
    """
    try:
        cursor = connection.cursor()
        cursor.execute(query, parameters)
    except Exception as e:
        raise failed(e, connect, query) from e
    if cursor.description is None:
        raise DataError(f"the query gives no rows\n    query: {query}")
    return cursor


def fetch(
    connect: Callable[[], tuple[Any, bool]], query: str, parameters: Sequence[Any], skip_bad: bool
) -> tuple[dict[str, Any], int]:
    """All rows, as columns by name, and how many were left out.

    Raises:
        DataError: the database cannot give them, or a cell is a text among numbers or the reverse.
    """
    connection, close = connect()
    try:
        cursor = run(connection, query, parameters, connect)
        names = [d[0] for d in cursor.description]
        try:
            rows = cursor.fetchall()
        except Exception as e:
            raise failed(e, connect, query) from e
    finally:
        if close:
            connection.close()
    values = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    bad: set[int] = set()
    for name, cells in zip(names, values, strict=True):
        found = mistyped(cells)
        if found and not skip_bad:
            raise DataError(
                f"row {found[0] + 1}, column {name!r}: {cells[found[0]]!r} among "
                f"{'numbers' if isinstance(cells[found[0]], str | bytes) else 'texts'}. Cast it in the query, or "
                f"on_error='skip'\n    query: {query}"
            )
        bad.update(found)
    kept = [[v for i, v in enumerate(cells) if i not in bad] for cells in values] if bad else values
    return {n: column(v) for n, v in zip(names, kept, strict=True)}, len(bad)


def mistyped(cells: Sequence[Any]) -> list[int]:
    """The cells that are texts among numbers, or numbers among texts: those of which there are fewer."""
    kinds = {type(v) for v in cells}
    if not kinds & {str, bytes} or not kinds & {int, float}:
        return []
    texts = [i for i, v in enumerate(cells) if isinstance(v, str | bytes)]
    numbers = [i for i, v in enumerate(cells) if isinstance(v, int | float)]
    return texts if len(texts) <= len(numbers) else numbers


def failed(error: Exception, connect: Any, query: str) -> DataError:
    """The error that names the file, if it is one, and the query."""
    file = f"{connect.path}: " if isinstance(connect, _File) else ""
    return DataError(f"{file}{type(error).__name__}: {error}\n    query: {query}")


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
        self.node = node
        self.cursor = run(self.connection, node.query, node.parameters, node.connect)
        self.names = [d[0] for d in self.cursor.description]
        self.rows: list[Any] = []
        self.at = 0
        self.skip(at)

    def __next__(self) -> Any:
        if not self.rows:
            try:
                self.rows = list(reversed(self.cursor.fetchmany(_ROWS)))
            except Exception as e:
                raise failed(e, self.node.connect, self.node.query) from e
            if not self.rows:
                raise StopIteration
        row = self.rows.pop()
        self.at += 1
        return {n: np.nan if v is None else v for n, v in zip(self.names, row, strict=True)}

    def state(self) -> int:
        return self.at

    def place(self) -> Place:
        return partial("row {}".format, self.at)

    def close(self) -> None:
        self.cursor.close()
        if self.ends:
            self.connection.close()
