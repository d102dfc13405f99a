"""Tar shards as WebDataset has them: files of one name but for the ending are one element."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import numpy as np

from treadle.core.errors import DataError
from treadle.data._columns import Array
from treadle.data._files import BAD, Blob, RecordFiles, is_plain


class TarFiles(RecordFiles):
    """An element is a dict: "__key__", and each ending ("jpg", "cls") with what is in the file."""

    def __init__(self, files: list[str], decode: bool) -> None:
        super().__init__(files, "from_webdataset")
        self.decode = decode
        self._members: dict[str, list[tuple[str, list[tuple[str, int, int]]]]] = {}
        self._broken: dict[str, str] = {}

    def scan(self, blob: Blob) -> tuple[Array, Array]:
        groups: list[tuple[str, list[tuple[str, int, int]]]] = []
        end = 0
        try:
            # A file object of its own: the map that records are read from has one position for all threads.
            raw = open(blob.path, "rb") if is_plain(blob.path) else io.BytesIO(blob.data)  # noqa: SIM115
            with raw, tarfile.open(fileobj=raw) as tar:
                for member in tar:
                    end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                    if member.isfile():
                        _add(groups, member)
            if blob[end : end + tarfile.BLOCKSIZE] != bytes(tarfile.BLOCKSIZE):
                self._broken[blob.path] = f"there is no mark of its end at byte {end}"
        except (tarfile.TarError, EOFError, OSError, ValueError) as e:
            self._broken[blob.path] = str(e)
        self._members[blob.path] = groups
        starts = [g[1][0][1] for g in groups] or [0] * (blob.path in self._broken)
        stops = [g[1][-1][1] + g[1][-1][2] for g in groups]
        if blob.path in self._broken:
            stops = [*stops[:-1], BAD]  # of the last element, files may be missing
        return np.array(starts, np.int64), np.array(stops, np.int64)

    def parse(self, blob: Blob, start: int, stop: int) -> Any:
        groups = self._members[blob.path]
        found = next((g for g in groups if g[1][0][1] == start), None)
        if stop == BAD or found is None:
            raise DataError(
                f"no tar file, or one that is cut short: {self._broken.get(blob.path, 'a file does not end')}"
            )
        key, members = found
        element: dict[str, Any] = {"__key__": key}
        for ending, at, size in members:
            data = blob[at : at + size]
            element[ending] = decode(data, ending) if self.decode else data
        return element


def _add(groups: list[tuple[str, list[tuple[str, int, int]]]], member: tarfile.TarInfo) -> None:
    """Put a file to the element before it, if it has the same name, or begin a new one."""
    folder, slash, name = member.name.rpartition("/")
    stem, _, ending = name.partition(".")
    key = folder + slash + stem
    if not groups or groups[-1][0] != key:
        groups.append((key, []))
    groups[-1][1].append((ending, member.offset_data, member.size))


def decode(data: bytes, ending: str) -> Any:
    """What a file of a shard holds, by its ending; bytes if that says nothing."""
    last = ending.rpartition(".")[2].lower()
    if last in ("cls", "id", "index"):
        return int(data)
    if last in ("txt", "text"):
        return data.decode()
    if last == "json":
        return json.loads(data)
    if last == "npy":
        return np.load(io.BytesIO(data), allow_pickle=False)
    if last in ("jpg", "jpeg", "png", "webp", "bmp", "ppm", "pgm"):
        from treadle.data._media import decode_image

        return decode_image(data)
    if last == "wav":
        from treadle.data._sound import decode_wav

        return decode_wav(data)[0]
    return data
