"""Records a second of data pipelines: treadle's beside tf.data, PyTorch's DataLoader, Grain and Hugging Face datasets.

    python benchmarks/data_bench.py --torch PYTHON --tf PYTHON --grain PYTHON --hf PYTHON

Each peer runs in its own Python (the one given), every workload in processes of its own (`data_peers.py`) that take
turns: one epoch of each variant of each peer is a round, after one that does not count. Of the variants of a peer the
one with the best median counts. Results are kept in `--results`, so `--workloads` may be measured one at a time; the
page DATA.md is written from all that are there, with what `data_step.py` says.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PEERS = ("treadle", "torch", "tf", "grain", "hf")
NAMES = {"torch": "DataLoader", "tf": "tf.data", "grain": "Grain", "hf": "HF datasets"}
WORKLOADS = {
    "images": "60,000 28x28 uint8 pictures in memory, shuffled, batches of 128 as float32 in 0..1",
    "csv": "a CSV file of 50,000 rows of 20 floats and a label, read, shuffled, batches of 128",
    "parquet": "a Parquet file of 60,000 such rows, read, shuffled, batches of 128",
    "jpeg": "1,000 JPEG files of 500x375, decoded, resized to 224x224 (antialiased), flipped at random, batches of 32 "
    "(tf.data's faster variant does not antialias: other pictures for less work)",
    "ragged": "20,000 sequences of 5 to 127 tokens, shuffled, padded batches of 128 with lengths, in four buckets "
    "(DataLoader, Grain and HF have no buckets: their batches are padded to the longest)",
    "tfrecord": "a TFRecord file of 50,000 Examples (784 bytes and an integer), shuffled, parsed, batches of 128 "
    "(the others through a buffer of 1,000 or 10,000, treadle exactly)",
}


def prepare(what: str, folder: Path) -> None:
    """Write the data that all read."""
    import treadle as td

    rng = np.random.default_rng(0)
    if what in ("images", "tfrecord"):
        n = 60_000 if what == "images" else 50_000
        x, y = rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n)
        if what == "tfrecord":
            ds = td.data.from_arrays(x=x, y=y).map(lambda e: {"x": e["x"].tobytes(), "y": e["y"]})
            td.data.write_tfrecord(ds, folder / "d.tfrecord")
            return
        np.save(folder / "images.npy", x)
        np.save(folder / "labels.npy", y)
    elif what in ("csv", "parquet"):
        import pyarrow
        from pyarrow import csv, parquet

        n = 50_000 if what == "csv" else 60_000
        columns = {f"f{i}": rng.standard_normal(n).astype(np.float32) for i in range(20)}
        table = pyarrow.table({**columns, "y": rng.integers(0, 2, n)})
        if what == "csv":
            csv.write_csv(table, folder / "table.csv", csv.WriteOptions(quoting_style="none"))
        else:
            parquet.write_table(table, folder / "table.parquet", row_group_size=20_000)
    elif what == "jpeg":
        from PIL import Image
        from sklearn.datasets import load_sample_images

        photos = [Image.fromarray(photo) for photo in load_sample_images().images]
        for i in range(1000):
            left, top = int(rng.integers(0, 640 - 500)), int(rng.integers(0, 427 - 375))
            path = folder / "jpeg" / str(i % 2) / f"{i:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            photos[i % 2].crop((left, top, left + 500, top + 375)).save(path, quality=90)
    else:
        lengths = rng.integers(5, 128, 20_000)
        np.save(folder / "lengths.npy", lengths)
        np.save(folder / "tokens.npy", rng.integers(1, 1000, lengths.sum()).astype(np.int32))


class Peer:
    """A process that reads an epoch when it is told to."""

    def __init__(self, name: str, python: str, what: str, folder: Path) -> None:
        self.name = name
        # HF keeps what it converts below its home; TensorFlow writes pages of notes.
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "HF_HOME": str(folder), "HF_HUB_OFFLINE": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "",
        }  # fmt: skip
        self.notes = open(folder / f"{name}.log", "w+")  # noqa: SIM115, closed with the process
        self.process = subprocess.Popen(
            [python, str(HERE / "data_peers.py"), name, what, str(folder)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.notes, text=True, env=environment,
        )  # fmt: skip

    def begin(self) -> None:
        head = self.answer()
        self.variants, self.versions = head["variants"], head["versions"]

    def answer(self) -> Any:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)
        self.notes.seek(0)
        sys.exit(f"{self.name} ended:\n{self.notes.read()}")

    def epoch(self, variant: str) -> tuple[int, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(variant + "\n")
        self.process.stdin.flush()
        got = self.answer()
        return got["records"], got["seconds"]

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.notes.close()


def measure(what: str, pythons: dict[str, str], rounds: int) -> dict[str, Any]:
    """By peer and variant: records a second of each round."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(what, folder)
        peers = [Peer(p, python, what, folder) for p, python in pythons.items()]
        try:
            for peer in peers:
                peer.begin()
            rates: dict[str, dict[str, list[float]]] = {p.name: {v: [] for v in p.variants} for p in peers}
            counts: dict[tuple[str, str], int] = {}
            for k in range(rounds + 1):
                for peer in peers:
                    for variant in peer.variants:
                        records, seconds = peer.epoch(variant)
                        counts[peer.name, variant] = records
                        if k:
                            rates[peer.name][variant].append(records / seconds)
            if len(set(counts.values())) > 1:
                sys.exit(f"{what}: the peers read different numbers of records: {counts}")
            return {"rates": rates, "versions": {p.name: p.versions for p in peers}, "records": max(counts.values())}
        finally:
            for peer in peers:
                peer.close()


def best(rates: dict[str, list[float]]) -> tuple[str, float, float, float]:
    """The fastest variant: its name, median, least and greatest rate."""
    if not rates:
        return "", 0.0, 0.0, 0.0
    name = max(rates, key=lambda v: statistics.median(rates[v]))
    return name, statistics.median(rates[name]), min(rates[name]), max(rates[name])


def ratio(rates: dict[str, Any]) -> float:
    return best(rates["treadle"])[1] / max(best(r)[1] for p, r in rates.items() if p != "treadle")


def feed() -> dict[str, list[float]]:
    """Microseconds a step of the smallest network, by how it is fed."""
    made = subprocess.run([sys.executable, str(HERE / "data_step.py")], capture_output=True, text=True, check=True)
    spent: dict[str, list[float]] = json.loads(made.stdout)
    return spent


def page(results: dict[str, Any], spent: dict[str, list[float]]) -> str:
    """The results as a page."""
    peers = [p for p in PEERS[1:] if any(p in r["rates"] for r in results.values())]
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} processors"
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    lines = [
        "# Data pipelines, side by side", "",
        "Made by `benchmarks/data_bench.py`: records a second of one epoch, medians of the rounds (least to greatest),",
        f"the peers in turn on the same files. {machine}; {today}. The machine was shared: read ratios.",
        "Of each peer the fastest of its variants counts, as often as it could be found (`data_peers.py`).", "",
        "| | treadle | " + " | ".join(NAMES[p] for p in peers) + " | treadle / the fastest other |",
        "|---" * (len(peers) + 3) + "|",
    ]  # fmt: skip
    for what in (w for w in WORKLOADS if w in results):
        rates = results[what]["rates"]
        cells = [_cell(best(rates.get(p, {}))) for p in ("treadle", *peers)]
        lines.append(f"| {what} | " + " | ".join(cells) + f" | **{ratio(rates):.2f}** |")
    lost = [w for w in results if ratio(results[w]["rates"]) < 1.5]
    lines += ["", f"Below 1.5: {', '.join(lost) or 'none'}.", "", "## What is read", ""]
    lines += [f"- {w}: {WORKLOADS[w]}." for w in WORKLOADS if w in results]
    lines += ["", "## All variants", "", "| | peer | variant | records/s |", "|---|---|---|---|"]
    for what in (w for w in WORKLOADS if w in results):
        for peer, variants in results[what]["rates"].items():
            name = NAMES.get(peer, peer)
            lines += [f"| {what} | {name} | {v} | {_cell(best({v: r}))} |" for v, r in variants.items()]
    lines += ["", "## Feeding the smallest network", ""]
    lines += ["60,000 rows of 64 floats in memory, in batches of 32, to the compiled training step of `mlp_tiny`"]
    lines += ["(`data_step.py`, two threads of computation): microseconds a step.", "", "| | µs a step |", "|---|---|"]
    lines += [f"| {name} | {statistics.median(v):.1f} ({min(v):.1f} to {max(v):.1f}) |" for name, v in spent.items()]
    versions = {p: v for r in results.values() for p, v in r["versions"].items()}
    lines += ["", "## Versions", ""]
    lines += [f"- {NAMES.get(p, p)}: {versions[p]}" for p in PEERS if p in versions]
    return "\n".join([*lines, f"- Python {platform.python_version()}, NumPy {np.__version__}", ""])


def _cell(found: tuple[str, float, float, float]) -> str:
    return f"{found[1]:,.0f} ({found[2]:,.0f} to {found[3]:,.0f})" if found[1] else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for peer in PEERS[1:]:
        parser.add_argument(f"--{peer}", metavar="PYTHON", help=f"a Python that has {NAMES[peer]}")
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path(tempfile.gettempdir()) / "treadle-data-bench.json")
    parser.add_argument("--page", type=Path, default=HERE / "DATA.md")
    options = parser.parse_args()
    pythons = {"treadle": sys.executable} | {p: getattr(options, p) for p in PEERS[1:] if getattr(options, p)}
    if len(pythons) < 2:
        parser.error("give the Python of at least one peer")
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    for what in options.workloads:
        results[what] = measure(what, pythons, options.rounds)
        rates = results[what]["rates"]
        shown = ", ".join(f"{p} {best(r)[1]:,.0f} ({best(r)[0]})" for p, r in rates.items())
        print(f"{what}: {shown}; ratio {ratio(rates):.2f}", flush=True)
        options.results.write_text(json.dumps(results))
    options.page.write_text(page(results, feed()), encoding="utf-8")


if __name__ == "__main__":
    main()
