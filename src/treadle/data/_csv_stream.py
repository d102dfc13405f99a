"""CSV files that are read from the front, block by block, for those that do not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from treadle.core.errors import ArgumentError, DataError
from treadle.data._columns import count_rows, pick
from treadle.data._files import extra, is_plain, open_bytes, show_files
from treadle.data._nodes import Node, Place, Reader
from treadle.data._tables import as_texts, choose, columns_of


class CSVRows(Node):
    """Rows one after another; a position is a file and a row in it."""

    def __init__(
        self, files: list[str], names: Sequence[str] | None, dtypes: dict[str, Any], delimiter: str,
        header: Sequence[str] | None, x: Any, y: Any, skip_bad: bool,
    ) -> None:  # fmt: skip
        self.files, self.names, self.dtypes, self.delimiter = files, names, dtypes, delimiter
        self.header, self.x, self.y, self.skip_bad = header, x, y, skip_bad
        self.skipped = 0

    def describe(self) -> str:
        return f"from_csv({show_files(self.files)}, stream=True)"

    def read(self, epoch: int, state: Any = None) -> Reader:
        return _CSVReader(self, state or {"file": 0, "row": 0})

    def open(self, path: str) -> Any:
        """A reader of blocks, whose column types are those of the first block."""
        arrow, csv = extra("pyarrow", "CSV files"), extra("pyarrow.csv", "CSV files")
        kinds = {k: arrow.string() if v is str else arrow.from_numpy_dtype(np.dtype(v)) for k, v in self.dtypes.items()}
        return csv.open_csv(
            path if is_plain(path) else open_bytes(path),
            read_options=csv.ReadOptions(use_threads=False, column_names=self.header),
            parse_options=csv.ParseOptions(delimiter=self.delimiter, invalid_row_handler=self._bad_row),
            convert_options=csv.ConvertOptions(
                include_columns=None if self.names is None else list(self.names), column_types=kinds
            ),
        )

    def _bad_row(self, row: Any) -> str:
        self.skipped += self.skip_bad
        return "skip" if self.skip_bad else "error"


class _CSVReader(Reader):
    def __init__(self, node: CSVRows, state: Any) -> None:
        self.node, self.file, self.row = node, state["file"], 0
        self.blocks: Any = None
        self.columns: Any = None
        self.at = self.count = 0
        self.skip(state["row"])

    def __next__(self) -> Any:
        self._fill()
        self.at, self.row = self.at + 1, self.row + 1
        return pick(self.columns, self.at - 1)

    def skip(self, n: int) -> None:
        while n > 0:
            self._fill()
            step = min(n, self.count - self.at)
            self.at, self.row, n = self.at + step, self.row + step, n - step

    def _fill(self) -> None:
        """Have a row at hand."""
        arrow = extra("pyarrow", "CSV files")
        while self.at >= self.count:
            if self.file >= len(self.node.files):
                raise StopIteration
            path = self.node.files[self.file]
            try:
                if self.blocks is None:
                    self.blocks = self.node.open(path)
                block = self.blocks.read_next_batch()
            except StopIteration:
                self.close()
                self.file, self.row = self.file + 1, 0
                continue
            except arrow.ArrowKeyError as e:
                raise ArgumentError(f"{path}: {e}") from e
            except (arrow.ArrowInvalid, OSError, EOFError) as e:
                raise DataError(f"{path}, behind row {self.row}: {e}") from e
            table, bad = as_texts(arrow.Table.from_batches([block]), path, self.node.skip_bad, self.row)
            self.node.skipped += bad
            self.columns, self.at = choose(columns_of(table), self.node.x, self.node.y), 0
            self.count = count_rows(self.columns)

    def state(self) -> Any:
        return {"file": self.file, "row": self.row}

    def place(self) -> Place:
        return partial("{}, row {}".format, self.node.files[self.file], self.row)

    def close(self) -> None:
        if self.blocks is not None:
            self.blocks.close()
            self.blocks = None
