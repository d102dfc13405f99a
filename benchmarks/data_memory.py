"""How much memory a pass over more data than fits into it takes.

    python benchmarks/data_memory.py [--gigabytes 20] [--kinds npy tfrecord parquet] [--folder FOLDER]

Writes sets of the size that is asked for, one after another (.npy and TFRecord files are sparse, and Parquet holds a
constant: these take few bytes on the disk; CSV, JSON lines and tar shards take all), reads each whole in a process of
its own, in batches of a shuffled order (CSV in the order of the files), removes it, and prints that process's greatest
resident memory. Ends with 1 if one is above 500 MB.
"""

from __future__ import annotations

import argparse
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

MOST = 500e6
ROW, RECORD, SHARDS = 1 << 12, 1 << 16, 20  # bytes of a row of .npy and of a record; files of a set


def write_npy(folder: Path, size: int) -> None:
    for k in range(SHARDS):
        rows = size // SHARDS // ROW
        array = np.lib.format.open_memmap(folder / f"{k:02d}.npy", "w+", np.float32, (rows, ROW // 4))
        array[0, 0] = 1  # the rest is a hole in the file


def write_tfrecord(folder: Path, size: int) -> None:
    from treadle.data._tfrecord import masked_crc

    head = struct.pack("<Q", RECORD)
    head += struct.pack("<I", masked_crc(head))
    foot = struct.pack("<I", masked_crc(bytes(RECORD)))
    for k in range(SHARDS):
        with open(folder / f"{k:02d}.tfrecord", "wb") as file:
            file.write(head)
            for _ in range(size // SHARDS // RECORD - 1):
                file.seek(RECORD, 1)
                file.write(foot + head)
            file.seek(RECORD, 1)
            file.write(foot)


def write_parquet(folder: Path, size: int) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = 5000
    values = pyarrow.array(np.ones(rows * ROW // 4, np.float32))
    table = pyarrow.table({"x": pyarrow.FixedSizeListArray.from_arrays(values, ROW // 4)})
    per_file = size // SHARDS // (rows * ROW)
    for k in range(SHARDS):
        with parquet.ParquetWriter(folder / f"{k:02d}.parquet", table.schema) as writer:
            for _ in range(per_file):
                writer.write_table(table)


def write_csv(folder: Path, size: int) -> None:
    row = ",".join(["0.125"] * 40).encode() + b"\n"
    head = ",".join(f"c{i}" for i in range(40)).encode() + b"\n"
    for k in range(SHARDS):
        _repeat(folder / f"{k:02d}.csv", head, row, size // SHARDS)


def write_jsonl(folder: Path, size: int) -> None:
    row = b'{"x": [' + b", ".join([b"0.125"] * 500) + b'], "y": 1}\n'
    for k in range(SHARDS):
        _repeat(folder / f"{k:02d}.jsonl", b"", row, size // SHARDS)


def write_tar(folder: Path, size: int) -> None:
    import io
    import tarfile

    for k in range(SHARDS):
        with tarfile.open(folder / f"{k:02d}.tar", "w") as tar:
            for i in range(size // SHARDS // RECORD):
                entry = tarfile.TarInfo(f"{i:06d}.bin")
                entry.size = RECORD
                tar.addfile(entry, io.BytesIO(bytes(RECORD)))


def _repeat(path: Path, head: bytes, row: bytes, size: int) -> None:
    many = row * (1 + (1 << 20) // len(row))
    with open(path, "wb") as file:
        file.write(head)
        for _ in range(size // len(many)):
            file.write(many)


def dataset(what: str, folder: Path) -> Any:
    import treadle as td

    files = str(folder / f"*.{what}")
    if what == "npy":
        return td.data.from_numpy_files(files).shuffle(0).batch(256)
    if what == "tfrecord":
        return td.data.from_tfrecord(files, kind="bytes").shuffle(0).batch(64)
    if what == "csv":
        return td.data.from_csv(files, x=[f"c{i}" for i in range(40)], stream=True).batch(256)
    if what == "jsonl":
        return td.data.from_jsonl(files).shuffle(0).batch(256)
    if what == "tar":
        return td.data.from_webdataset(files).shuffle(0).batch(64)
    return td.data.from_parquet(files, x="x", memory=100 << 20).shuffle(0, within=10_000).batch(256)


def read(what: str, folder: Path) -> None:
    begun, total = time.perf_counter(), 0
    for batch in dataset(what, folder):
        values = batch[{"jsonl": "x", "tar": "bin"}[what]] if isinstance(batch, dict) else batch
        total += sum(map(len, values)) if values.dtype == object else values.nbytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{what:9} {total / 1e9:6.1f} GB read in {time.perf_counter() - begun:4.0f} s, at most {peak / 1e6:.0f} MB")
    sys.exit(peak > MOST)


KINDS = [name.removeprefix("write_") for name in globals() if name.startswith("write_")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--folder", type=Path, help="where to write; on a file system that has sparse files")
    parser.add_argument("--kinds", nargs="+", default=["npy", "tfrecord", "parquet"], choices=KINDS)
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read[0], Path(options.read[1]))
    failed = False
    for what in options.kinds:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            globals()[f"write_{what}"](Path(folder), int(options.gigabytes * 1e9))
            failed |= bool(subprocess.run([sys.executable, __file__, "--read", what, folder]).returncode)
    sys.exit(failed)


if __name__ == "__main__":
    main()
