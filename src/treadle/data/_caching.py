"""What was made once is kept: in memory as columns, or in files of a folder that are mapped into memory."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.errors import DataError
from treadle.data._columns import Array, Rows, collate, flatten, in_order, objects, positions
from treadle.data._nodes import Indexed, Node

FORMAT = 1


class MemoryCache(Indexed):
    """Elements of the first epoch, each made when it is first asked for; or all at the first, as of a stream."""

    def __init__(self, parent: Node, whole: bool = False) -> None:
        self.parents, self.parent, self.whole = (parent,), parent, whole
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._leaves: list[Array] | None = None
        self._have: Array = np.empty(0, bool)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "parents": self.parents,
            "parent": self.parent,
            "whole": self.whole,
        }  # a worker process has its own cache

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def describe(self) -> str:
        return "cache()"

    @property
    def length(self) -> int:
        if isinstance(self.parent, Indexed):
            return self.parent.length
        self._read_stream()
        return len(self._have)

    def _read_stream(self) -> None:
        with self._lock:
            if self._leaves is None:
                reader = self.parent.read(0)
                try:
                    elements = list(reader)
                finally:
                    reader.close()
                self._have = np.ones(len(elements), bool)
                self._leaves, self.structure = flatten(collate(elements, ragged=True)) if elements else ([], trees.LEAF)

    def get(self, i: int, epoch: int) -> Any:
        leaves = self._filled(np.array([i]))
        return trees.unflatten(self.structure, [x[i] for x in leaves])

    def take(self, rows: Rows, epoch: int) -> Any:
        leaves = self._filled(positions(rows))
        return trees.unflatten(self.structure, [x[rows] for x in leaves])

    def where(self, i: int, epoch: int) -> str:
        return self.parent.where(i, 0) if isinstance(self.parent, Indexed) else f"element {i}"

    def spec(self) -> Any:
        return self.parent.spec()

    def _filled(self, rows: Array) -> list[Array]:
        """The columns, after these rows were made."""
        if self.whole or not isinstance(self.parent, Indexed):
            self._read_stream()
        elif self._leaves is None or not self._have[rows].all():
            missing = np.unique(rows if self._leaves is None else rows[~self._have[rows]])
            # Made outside of the lock: threads make different elements at the same time.
            single = len(missing) == 1
            made = collate([self.parent.get(int(missing[0]), 0)]) if single else self.parent.take(missing, 0)
            with self._lock:
                self._put(missing, made)
        return self._leaves or []

    def _put(self, rows: Array, columns: Any) -> None:
        n = self.length
        leaves, structure = flatten(columns)
        if self._leaves is None:
            self.structure = structure
            self._have = np.zeros(n, bool)
            self._leaves = [np.empty((n, *x.shape[1:]), x.dtype) for x in leaves]
        for k, (kept, new) in enumerate(zip(self._leaves, leaves, strict=True)):
            if kept.dtype != object and (kept.shape[1:] != new.shape[1:] or kept.dtype != new.dtype):
                kept = self._leaves[k] = objects(kept)  # ragged after all
            kept[rows] = objects(new) if kept.dtype == object else new
        self._have[rows] = True


class DiskCache(Indexed):
    """Elements of the first epoch in a folder, written when the first is asked for."""

    def __init__(self, parent: Node, folder: Path, steps: list[str]) -> None:
        self.parents, self.parent, self.folder, self.steps = (parent,), parent, folder, steps
        self._opened: _Stored | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def describe(self) -> str:
        return "cache(a folder)"

    def spec(self) -> Any:
        return self.parent.spec()

    def opened(self) -> _Stored:
        if self._opened is None:
            if not (self.folder / "index.json").exists():
                write_cache(self.parent, self.folder, self.steps)
            self._opened = _Stored(self.folder, self.steps)
        return self._opened

    @property
    def length(self) -> int:
        return self.opened().length

    def get(self, i: int, epoch: int) -> Any:
        stored = self.opened()
        return unpack(stored.tree, [x.get(i) for x in stored.leaves])

    def take(self, rows: Rows, epoch: int) -> Any:
        stored = self.opened()
        return unpack(stored.tree, [x.take(rows) for x in stored.leaves])


class _Stored:
    """A cache's folder."""

    def __init__(self, folder: Path, steps: list[str]) -> None:
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            if index["format"] != FORMAT:
                raise DataError(f"{folder} is a cache of format {index['format']}; remove it, and it is written anew")
            if index["steps"] != steps:
                raise DataError(
                    f"{folder} holds the elements of other steps: {' → '.join(index['steps'])}; now they are "
                    f"{' → '.join(steps)}. Remove it or use another folder"
                )
            self.length, self.tree = int(index["length"]), index["tree"]
            self.leaves = [_Leaf(folder, k, leaf, self.length) for k, leaf in enumerate(index["leaves"])]
        except (OSError, ValueError, KeyError, TypeError) as e:
            if isinstance(e, DataError):
                raise
            raise DataError(f"{folder} is a damaged cache ({type(e).__name__}: {e}). Remove it") from e


class _Leaf:
    """The values of a leaf: one behind another, with their sizes where these differ."""

    def __init__(self, folder: Path, k: int, leaf: dict[str, Any], n: int) -> None:
        self.kind, self.dtype = leaf["kind"], np.dtype(leaf["dtype"])
        path = folder / f"{k}.bin"
        count = path.stat().st_size // self.dtype.itemsize
        flat = np.memmap(path, self.dtype, "r", shape=(count,)) if count else np.empty(0, self.dtype)
        if self.kind == "fixed":
            self.values: Array = flat.reshape(n, *leaf["shape"])
            return
        self.shapes = np.load(folder / f"{k}.shapes.npy", allow_pickle=False)
        self.ends = np.cumsum(np.prod(self.shapes, axis=1, dtype=np.int64))
        if len(self.shapes) != n or (n and self.ends[-1] != count):
            raise DataError(f"{path} has {count} values and should have {self.ends[-1] if n else 0}. Remove {folder}")
        self.values = flat

    def get(self, i: int) -> Any:
        if self.kind == "fixed":
            return np.array(self.values[i])[()]
        shape = self.shapes[i]
        part = np.array(self.values[self.ends[i] - int(np.prod(shape)) : self.ends[i]])
        if self.kind == "ragged":
            return part.reshape(shape)
        return part.tobytes().decode() if self.kind == "str" else part.tobytes()

    def take(self, rows: Rows) -> Array:
        if self.kind == "fixed":
            return np.array(self.values[rows])
        return objects([self.get(int(i)) for i in positions(rows)])


def write_cache(parent: Node, folder: Path, steps: list[str]) -> None:
    """Write all elements, under another name until they are complete.

    Raises:
        DataError: a leaf that is neither numbers nor text, or one that changes its type.
    """
    temporary = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    writers: list[_Writer] = []
    structure, count, first = trees.LEAF, 0, None
    reader = parent.read(0)
    try:
        for element in reader:
            first = element if not writers else first
            leaves, found = flatten(in_order(element, first))
            if not writers:
                structure = found
                writers = [_Writer(temporary / f"{k}.bin", p) for k, p in enumerate(found.paths())]
            if found != structure:
                raise DataError(f"cache: element {count} has another structure than element 0")
            for writer, leaf in zip(writers, leaves, strict=True):
                writer.put(leaf)
            count += 1
        for k, writer in enumerate(writers):
            writer.end(temporary / f"{k}.shapes.npy")
        index = {
            "format": FORMAT, "steps": steps, "length": count, "tree": pack(structure),
            "leaves": [w.index() for w in writers],
        }  # fmt: skip
        (temporary / "index.json").write_text(json.dumps(index), encoding="utf-8")
        os.replace(temporary, folder)
    except BaseException:
        for writer in writers:
            writer.file.close()
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        reader.close()


class _Writer:
    def __init__(self, path: Path, name: str) -> None:
        self.file, self.name = open(path, "wb"), name  # noqa: SIM115, closed by `end` or on failure
        self.kind, self.dtype = "", np.dtype(np.uint8)
        self.shapes: list[tuple[int, ...]] = []

    def put(self, x: Any) -> None:
        text = isinstance(x, str | bytes)
        array = np.frombuffer(x.encode() if isinstance(x, str) else x, np.uint8) if text else np.asarray(x)
        kind = type(x).__name__ if text else "ragged"
        if array.dtype.hasobject or array.dtype.kind in "US":
            raise DataError(
                f"cache: {self.name or 'the element'} is {array.dtype}; a cache in files holds numbers and texts"
            )
        if self.kind and (kind != self.kind or array.dtype != self.dtype or array.ndim != len(self.shapes[0])):
            raise DataError(
                f"cache: {self.name or 'the element'} was {self.kind} of {self.dtype} with {len(self.shapes[0])} axes "
                f"up to element {len(self.shapes)}, which is {kind} of {array.dtype} with {array.ndim}"
            )
        self.kind, self.dtype = kind, array.dtype
        self.shapes.append(array.shape)
        self.file.write(np.ascontiguousarray(array).tobytes())

    def end(self, shapes: Path) -> None:
        self.file.close()
        if self.kind == "ragged" and len(set(self.shapes)) == 1:
            self.kind = "fixed"
        else:
            np.save(shapes, np.array(self.shapes, np.int64).reshape(len(self.shapes), -1))

    def index(self) -> dict[str, Any]:
        return {"kind": self.kind, "dtype": self.dtype.name, "shape": list(self.shapes[0]) if self.shapes else []}


def pack(structure: trees.Structure) -> Any:
    """A structure as JSON: dicts and lists, tuples as {"()": […]}; a leaf is 0.

    Raises:
        DataError: a tree of other classes.
    """
    kind, children = structure.kind, [pack(c) for c in structure.children]
    if kind is None:
        return 0
    if kind is dict and all(isinstance(k, str) for k in structure.keys):
        return {"{}": dict(zip(structure.keys, children, strict=True))}
    if kind in (tuple, list):
        return {"()" if kind is tuple else "[]": children}
    if kind is type(None):
        return None
    raise DataError(f"cache: a {kind.__name__} cannot be kept in files; make dicts, lists and tuples of it with map(…)")


def unpack(tree: Any, leaves: list[Any]) -> Any:
    """The tree of such a structure with these leaves."""
    return _unpack(tree, iter(leaves))


def _unpack(tree: Any, leaves: Any) -> Any:
    if tree == 0:
        return next(leaves)
    if tree is None:
        return None
    ((kind, inside),) = tree.items()
    if kind == "{}":
        return {k: _unpack(v, leaves) for k, v in inside.items()}
    made = [_unpack(v, leaves) for v in inside]
    return tuple(made) if kind == "()" else made
