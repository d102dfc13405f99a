"""Records a second of data pipelines: treadle's, PyTorch's DataLoader and Grain, on the same data.

    python benchmarks/data_bench.py --torch PYTHON --grain PYTHON

Each peer runs in its own Python (the one given), each workload in a process of its own, the peers in turn; the best of
`--repeat` passes counts, after one that does not. A pass is one epoch in random order, in batches, from data that lie
in memory or files. Workers: the better of none and two for the peers and for treadle alike (threads for treadle and
Grain, processes for PyTorch, which has no others).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

PEERS = ("treadle", "torch", "grain")
WORKLOADS = ("images", "table", "csv", "jpeg", "ragged")
BATCH, ROWS, PICTURES = 128, 60_000, 400


# The data: the same for all.


def images() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (ROWS, 28, 28), np.uint8), rng.integers(0, 10, ROWS).astype(np.int32)


def table() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((ROWS, 20)).astype(np.float32), rng.integers(0, 2, ROWS).astype(np.int32)


def csv_file(folder: Path) -> Path:
    path = folder / "table.csv"
    x, y = table()
    head = ",".join([*(f"f{i}" for i in range(20)), "y"])
    np.savetxt(path, np.column_stack([x, y])[: ROWS // 3], fmt="%.6g", delimiter=",", header=head, comments="")
    return path


def jpeg_files(folder: Path) -> list[Path]:
    from PIL import Image

    rng, paths = np.random.default_rng(0), []
    for i in range(PICTURES):
        small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        path = folder / f"{i:04d}.jpg"
        small.resize((320, 240), Image.Resampling.BICUBIC).save(path, quality=90)
        paths.append(path)
    return paths


def ragged() -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.integers(1, 1000, n).astype(np.int32) for n in rng.integers(5, 128, 20_000)]


def to_float(x: Any) -> Any:
    return x.astype(np.float32) / 255


def decode(data: bytes) -> Any:
    """A picture of 224 x 224, by the same library for all."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (224, 224))
        return np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))


# The pipelines: functions of the number of workers that make one epoch's batches.

Epoch = Callable[[], Iterator[Any]]


def treadle_epoch(what: str, folder: Path, workers: int) -> Epoch:
    import treadle as td

    def ready(ds: Any) -> Epoch:
        ds = ds.parallel(workers) if workers else ds
        return lambda: iter(ds)

    if what == "images":
        return ready(td.data.from_arrays(*images()).shuffle(0).batch(BATCH).map(lambda b: (to_float(b[0]), b[1])))
    if what == "table":
        return ready(td.data.from_arrays(*table()).shuffle(0).batch(BATCH))
    if what == "csv":
        path = csv_file(folder)
        return lambda: iter(td.data.from_csv(path, y="y").shuffle(0).batch(BATCH))
    if what == "jpeg":
        files = [str(p) for p in jpeg_files(folder)]

        def flip(x: Any, rng: Any) -> Any:
            return x[:, ::-1] if rng.random() < 0.5 else x

        return ready(td.data.from_images(files, size=(224, 224)).shuffle(0).map(flip, seed=1).batch(32))
    ds = td.data.from_arrays(ragged()).shuffle(0).bucket_by_length([32, 64, 96, 128], 64)
    return lambda: iter(ds)


def torch_epoch(what: str, folder: Path, workers: int) -> Epoch:
    import torch
    from torch.utils.data import DataLoader, Dataset, TensorDataset

    torch.set_num_threads(1)

    class Mapped(Dataset):  # type: ignore[type-arg,misc]
        def __init__(self, n: int, get: Callable[[int], Any]) -> None:
            self.n, self.get = n, get

        def __len__(self) -> int:
            return self.n

        def __getitem__(self, i: int) -> Any:
            return self.get(i)

    def loader(ds: Any, size: int = BATCH, **options: Any) -> Any:
        keep = {"persistent_workers": True} if workers else {}
        return DataLoader(ds, batch_size=size, shuffle=True, num_workers=workers, **keep, **options)

    if what == "images":
        x, y = images()
        made = loader(Mapped(ROWS, lambda i: (to_float(x[i]), y[i])))
    elif what == "table":
        made = loader(TensorDataset(*map(torch.from_numpy, table())))
    elif what == "csv":
        path = csv_file(folder)

        def read() -> Iterator[Any]:
            data = torch.from_numpy(np.loadtxt(path, np.float32, delimiter=",", skiprows=1))
            return iter(loader(TensorDataset(data[:, :-1], data[:, -1])))

        return read
    elif what == "jpeg":
        paths = jpeg_files(folder)

        def picture(i: int) -> Any:
            x = torch.from_numpy(decode(paths[i].read_bytes()).copy())
            return x.flip(1) if torch.rand(()) < 0.5 else x

        made = loader(Mapped(len(paths), picture), 32)
    else:
        # DataLoader has no buckets: each batch is padded to its longest, as its documentation's collate_fn does.
        data = [torch.from_numpy(v) for v in ragged()]
        pad = torch.nn.utils.rnn.pad_sequence
        made = loader(
            Mapped(len(data), data.__getitem__), 64,
            collate_fn=lambda b: (pad(b, batch_first=True), torch.tensor([len(v) for v in b])),
        )  # fmt: skip
    return lambda: iter(made)


def grain_epoch(what: str, folder: Path, workers: int) -> Epoch:
    import grain

    def ready(ds: Any, size: int = BATCH, finish: Any = None) -> Epoch:
        ds = ds.batch(size) if finish is None else ds.batch(size, batch_fn=finish)
        options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=16 if workers else 0)
        made = ds.to_iter_dataset(options)
        return lambda: iter(made)

    def source(n: int, get: Callable[[int], Any]) -> Any:
        return grain.MapDataset.range(n).seed(0).shuffle().map(get)

    if what == "images":
        x, y = images()
        return ready(source(ROWS, lambda i: (to_float(x[i]), y[i])))
    if what == "table":
        a, b = table()
        return ready(source(ROWS, lambda i: (a[i], b[i])))
    if what == "csv":
        path = csv_file(folder)

        def read() -> Iterator[Any]:
            data = np.loadtxt(path, np.float32, delimiter=",", skiprows=1)
            return ready(source(len(data), lambda i: (data[i, :-1], data[i, -1])))()

        return read
    if what == "jpeg":
        paths = jpeg_files(folder)

        def flip(x: Any, rng: Any) -> Any:
            return x[:, ::-1] if rng.random() < 0.5 else x

        return ready(source(len(paths), lambda i: decode(paths[i].read_bytes())).random_map(flip), 32)
    data = ragged()

    def pad(batch: Any) -> Any:
        lengths = np.array([len(v) for v in batch])
        out = np.zeros((len(batch), lengths.max()), np.int32)
        for row, v in zip(out, batch, strict=True):
            row[: len(v)] = v
        return out, lengths

    return ready(source(len(data), data.__getitem__), 64, pad)


def records(what: str) -> int:
    return {"images": ROWS, "table": ROWS, "csv": ROWS // 3, "jpeg": PICTURES, "ragged": 20_000}[what]


def measure(peer: str, what: str, workers: int, repeat: int) -> float:
    """Records a second of the best pass."""
    make = {"treadle": treadle_epoch, "torch": torch_epoch, "grain": grain_epoch}[peer]
    with tempfile.TemporaryDirectory() as folder:
        epoch = make(what, Path(folder), workers)
        best = float("inf")
        for _ in range(repeat + 1):
            begun = time.perf_counter()
            batches = sum(1 for _ in epoch())
            best = min(best, time.perf_counter() - begun)
            assert batches, "no batches"
    return records(what) / best


def compare(pythons: dict[str, str], workloads: list[str], repeat: int) -> None:
    """Every workload in every peer's Python; prints a table."""
    print(f"{'records/s':10}" + "".join(f"{p:>12}" for p in pythons) + f"{'ratio':>8}")
    for what in workloads:
        rates: dict[str, float] = {}
        for peer, python in pythons.items():
            found = []
            for workers in (0, 2):
                call = [python, __file__, "--one", peer, what, str(workers), "--repeat", str(repeat)]
                run = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
                if run.returncode:
                    sys.exit(run.stderr)
                found.append(json.loads(run.stdout.splitlines()[-1])["rate"])
            rates[peer] = max(found)
        others = [r for p, r in rates.items() if p != "treadle"]
        ratio = f"{rates['treadle'] / max(others):8.2f}" if others else ""
        print(f"{what:10}" + "".join(f"{r:12,.0f}" for r in rates.values()) + ratio, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", help="a Python that has torch and pillow")
    parser.add_argument("--grain", help="a Python that has grain and pillow")
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--one", nargs=3, metavar=("PEER", "WORKLOAD", "WORKERS"), help="measure one, print JSON")
    options = parser.parse_args()
    if options.one:
        peer, what, workers = options.one
        print(json.dumps({"rate": measure(peer, what, int(workers), options.repeat)}))
        return
    given = {"treadle": sys.executable, "torch": options.torch, "grain": options.grain}
    compare({p: python for p, python in given.items() if python}, options.workloads, options.repeat)


if __name__ == "__main__":
    main()
