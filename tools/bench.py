"""Measures treadle beside other toolkits, in one interleaved run, and writes benchmarks/RESULTS.md.

    python tools/bench.py --peers FOLDER [--python torch=PATH ...] [--rounds 3] [--json FILE]

FOLDER holds the other toolkits' versions of the workloads and their runner (`run.py`); interpreters that have those
toolkits are given by --python or by the runner's own variables (PEER_PYTHON_TORCH, …). With --json the runner is not
called, and the report is made of what it wrote before.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import subprocess
import sys
import tempfile
from math import exp, log
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "benchmarks" / "RESULTS.md"
Runs = dict[str, dict[str, list[dict[str, Any]]]]

HEAD = """# Results

Made by `make bench`: one interleaved run of every toolkit on the same inputs and first weights, {rounds},
{threads} threads; medians of the rounds' medians. {cpu}; {date}.
Machines differ and are shared: read ratios, and only within one run.

`best peer / treadle` above 1: treadle is faster than the fastest of the others. The floor counts the operations of all
matrix products and convolutions at the practical peak, {peak:.0f} GFLOP/s (the best product that any toolkit reached in
this run); it leaves out memory and everything else, so nothing comes near it where products are small.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure treadle beside other toolkits.")
    parser.add_argument("--peers", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument(
        "--names", default="torch,torch-compile,jax,keras-tf", help="peers to run, by the runner's names"
    )
    parser.add_argument("--workloads", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = options.json or measure(options, Path(folder))
        report = json.loads(found.read_text("utf-8"))
    runs: Runs = report["results"]
    counted = floors(options.peers, [w for w in runs if not w.startswith("matmul")])
    TARGET.write_text(page(report, runs, counted, options.rounds), "utf-8")
    print(TARGET.read_text("utf-8"))
    return 0


def measure(options: argparse.Namespace, folder: Path) -> Path:
    """Run the peers' runner; the file it writes."""
    out = folder / "run.json"
    compileall.compile_dir(ROOT / "src", quiet=1)  # as pip does for the others: imports and first steps are timed
    own = f"{sys.executable} {ROOT / 'benchmarks' / 'treadle_peer.py'}"
    runner = str(options.peers.resolve() / "run.py")
    command = [sys.executable, runner, "--peers", options.names, "--rounds", str(options.rounds)]
    command += ["--threads", str(options.threads), "--out", str(out)]
    command += ["--workloads", options.workloads] if options.workloads else []
    for pair in options.python:
        command += ["--python", pair]
    command += ["--extra", f"treadle={own} --workload {{workload}} --threads {{threads}} --steps {{steps}}"]
    subprocess.run(command, cwd=folder, check=True)
    return out


def floors(peers: Path, names: list[str]) -> dict[str, int]:
    """Operations of each workload's products in one step."""
    paths = os.pathsep.join([str(peers.resolve()), str(ROOT / "benchmarks")])
    command = [sys.executable, str(ROOT / "benchmarks" / "floor.py"), *names]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=True)
    counted: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return counted


def page(report: dict[str, Any], runs: Runs, counted: dict[str, int], rounds: int) -> str:
    """The whole of RESULTS.md."""
    names = list(dict.fromkeys(n for row in runs.values() for n in row))
    others = [n for n in names if n != "treadle"]
    step = {w: {n: _median(row, n, "median_s") for n in names} for w, row in runs.items()}
    gflops = {w: {n: _rate(w, row, n) for n in names} for w, row in runs.items() if w.startswith("matmul")}
    peak = max((v for row in gflops.values() for v in row.values() if v), default=float("nan"))
    ratios = {w: _ratio(row, others) for w, row in step.items()}
    models = [r for w, r in ratios.items() if r and not w.startswith("matmul")]
    mean = exp(sum(map(log, models)) / len(models)) if models else float("nan")
    head = HEAD.format(
        rounds="one round" if rounds == 1 else f"{rounds} rounds",
        threads=report["threads"],
        cpu=report["cpu"],
        date=report["date"],
        peak=peak,
    )
    parts = [head, f"Geometric mean over the workloads without the bare products: **{mean:.2f}**.\n"]
    rows = []
    for w, row in step.items():
        if w in gflops:
            continue
        floor = counted[w] / peak / 1e6
        own = row["treadle"]
        share = f"{100 * floor / (own * 1e3):.0f} %" if own else ""
        rows.append([w, *(_ms(row[n]) for n in names), _two(ratios[w]), f"{floor:.3f}", share])
    parts.append("## Time of a step, ms\n")
    parts.append(_table(["workload", *names, "best peer / treadle", "floor", "of the floor"], rows))
    parts.append("## Matrix products, GFLOP/s\n")
    rows = [[w, *(f"{row[n]:.0f}" if row[n] else "" for n in names), _two(ratios[w])] for w, row in gflops.items()]
    parts.append(_table(["product", *names, "best peer / treadle"], rows))
    for title, key, scale, form in (
        ("## First step with a cold cache, s\n", "first_step_s", 1.0, "{:.2f}"),
        ("## Peak resident memory, MB\n", "peak_rss_mb", 1.0, "{:.0f}"),
    ):
        cold = [
            [w, *(form.format(scale * row[n][0][key]) if row.get(n) and key in row[n][0] else "" for n in names)]
            for w, row in runs.items()
        ]
        parts += [title, _table(["workload", *names], cold)]
    versions = [[n, _version(runs, n), f"{_import(runs, n):.2f}"] for n in names]
    parts += ["## Versions\n", _table(["toolkit", "version", "import, s"], versions)]
    return "\n".join(parts)


def _median(row: dict[str, list[dict[str, Any]]], name: str, key: str) -> float | None:
    found = [r[key] for r in row.get(name, []) if key in r]
    return median(found) if found else None


def _rate(workload: str, row: dict[str, list[dict[str, Any]]], name: str) -> float | None:
    found = [r["min_s"] for r in row.get(name, []) if "min_s" in r]
    return 2 * int(workload.split("_")[1]) ** 3 / min(found) / 1e9 if found else None


def _ratio(row: dict[str, float | None], others: list[str]) -> float | None:
    best = min((v for n in others if (v := row[n])), default=None)
    own = row["treadle"]
    return best / own if best and own else None


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1e3:.3f}" if seconds < 1e-3 else f"{seconds * 1e3:.2f}"


def _two(x: float | None) -> str:
    return "" if x is None else f"**{x:.2f}**" if x >= 1 else f"{x:.2f}"


def _version(runs: Runs, name: str) -> str:
    return next((r["version"] for row in runs.values() for r in row.get(name, []) if "version" in r), "")


def _import(runs: Runs, name: str) -> float:
    return median(r["import_s"] for row in runs.values() for r in row.get(name, []) if "import_s" in r)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


if __name__ == "__main__":
    sys.exit(main())
