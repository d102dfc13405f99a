"""Files that are there whole or not at all, and tensors in them (the safetensors format)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from treadle._version import __version__
from treadle.core.dtypes import as_dtype
from treadle.core.errors import DTypeError, SaveError

FORMAT = 1  # of what treadle adds to the safetensors format: the metadata entry below
_METADATA = "treadle"
_DTYPES = {
    "BOOL": np.bool_,
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "U8": np.uint8,
    "U16": np.uint16,
    "U32": np.uint32,
    "U64": np.uint64,
    "BF16": ml_dtypes.bfloat16,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}

Array = np.ndarray[Any, Any]


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, sees the old content or the new, never a part.

    Raises:
        SaveError: the file cannot be written.
    """
    # Begins with a dot and carries the process's number: two runs that save to one path do not meet in the middle.
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_synced(temporary, data)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as e:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise SaveError(f"{path} cannot be written: {e}") from e


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with open(path, "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has a folder's entries; a no-op where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def pack_tensors(arrays: Mapping[str, Array], metadata: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a safetensors file with these arrays, treadle's version, and more metadata (JSON).

    Raises:
        SaveError: an array's dtype has no place in the format.
    """
    import safetensors.numpy

    noted = {"version": __version__, "format": FORMAT, **(metadata or {})}
    whole = {}
    for name, array in arrays.items():
        try:
            as_dtype(array.dtype)
        except DTypeError as e:
            raise SaveError(f"{name} cannot be saved: {e.message}") from e
        whole[name] = np.require(array, requirements="C")  # the package reads memory as it lies
    return safetensors.numpy.save(whole, {_METADATA: json.dumps(noted)})


def read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a safetensors file, and treadle's metadata (empty when another program wrote it).

    Raises:
        SaveError: the file is missing, damaged, or holds an element type that treadle does not have.
    """
    import safetensors

    try:
        data = path.read_bytes()
    except OSError as e:
        raise SaveError(f"{path} cannot be read: {e}") from e
    try:
        entries = safetensors.deserialize(data)  # type: ignore[no-untyped-call]  # checks every offset against the file's length
        noted = _metadata(data)
    except (safetensors.SafetensorError, ValueError) as e:
        raise SaveError(f"{path} is no safetensors file, or is damaged ({len(data)} bytes): {e}") from e
    if noted.get("format", FORMAT) > FORMAT:
        raise SaveError(
            f"{path} was written by treadle {noted.get('version')} in format {noted['format']}; "
            f"this is treadle {__version__}, which reads formats up to {FORMAT}. Update treadle"
        )
    return {name: _array(path, name, entry) for name, entry in sorted(entries, key=lambda e: e[0])}, noted


def _array(path: Path, name: str, entry: Mapping[str, Any]) -> Array:
    if entry["dtype"] not in _DTYPES:
        raise SaveError(f"{path}: {name} is {entry['dtype']}, which treadle does not have")
    return np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _metadata(data: bytes) -> dict[str, Any]:
    """treadle's entry in the header: its length in eight bytes, then JSON (the format's page says so)."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    text = header.get("__metadata__", {}).get(_METADATA)
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}
