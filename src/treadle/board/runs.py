"""Which folders are runs, and short names for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path

from treadle.core.errors import ArgumentError

_SKIPPED = {"node_modules", "__pycache__", "site-packages"}


def is_event_file(name: str) -> bool:
    """TensorBoard's own rule."""
    return "tfevents" in name


def find(folders: Iterable[str | PathLike[str]]) -> list[Path]:
    """The folders with event files at and below these, in order, each once.

    Links are followed where they are given, not below; folders that begin with a dot are passed over.

    Raises:
        ArgumentError: one of the folders does not exist.
    """
    found: dict[Path, None] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ArgumentError(f"there is no folder {str(folder)!r}")
        for place, inside, files in os.walk(folder.resolve()):
            inside[:] = sorted(d for d in inside if not d.startswith(".") and d not in _SKIPPED)
            if any(map(is_event_file, files)):
                found[Path(place)] = None
    return list(found)


def names(paths: Sequence[Path], given: Mapping[Path, str] | None = None) -> dict[Path, str]:
    """The shortest end of each path that no other has: `a/x/train`, `a/y/train`, `b/z` → `x/train`, `y/train`, `z`.

    A run inside of another one's folder is called by that one's name and the path from there, as TensorBoard does.
    Names that are given already stay, and no other becomes the same.
    """
    roots = [p for p in paths if not any(q in p.parents for q in paths)]
    found: dict[Path, str] = {p: n for p, n in (given or {}).items() if p in roots}
    for path in roots:
        if path in found:
            continue
        others = [p.parts for p in roots if p != path]
        parts = path.parts[1:] or path.parts  # without the drive
        for k in range(1, len(parts) + 1):
            end = parts[-k:]
            # No name may be the beginning of another: the link folder would have to be a link and a folder.
            if any(other[-k:] == end for other in others) or _clashes("/".join(end), found.values()):
                continue
            found[path] = "/".join(end)
            break
        else:  # a path that is the end of another, near the root of the disk
            name = "_".join(parts)
            while _clashes(name, found.values()):
                name += "_"
            found[path] = name
    for path in paths:
        if path not in found:
            root = next(r for r in roots if r in path.parents)
            found[path] = f"{found[root]}/{path.relative_to(root).as_posix()}"
    return {p: found[p] for p in paths}


def _clashes(name: str, others: Iterable[str]) -> bool:
    return any(o == name or o.startswith(f"{name}/") or name.startswith(f"{o}/") for o in others)


def tops(named: dict[Path, str]) -> dict[Path, str]:
    """Those runs that are in no other's folder."""
    return {p: n for p, n in named.items() if not any(q in p.parents for q in named)}
