"""treadle's line of the comparison with other toolkits: one workload, timed, as one line of JSON.

The runner of the peers calls it with their `data.py` and `common.py` on the path:

    C="PYTHON benchmarks/treadle_peer.py --workload {workload} --threads {threads} --steps {steps}"
    python run.py --extra treadle="$C"

The workloads are in `workloads.py`, written as a user would write them.
"""

from __future__ import annotations

import time

import common  # the peers' own: command line, threads, the timing loop

options = common.cli(["compile", "eager"])
begin = time.perf_counter()
import treadle as td  # noqa: E402, its import is timed

import_seconds = time.perf_counter() - begin

import data  # noqa: E402, the peers' own: inputs and first weights
import workloads  # noqa: E402


def main() -> None:
    inputs, parameters = ({k: td.asarray(v) for k, v in part.items()} for part in data.make(options.workload))
    wrap = td.compile if options.mode == "compile" else (lambda f: f)
    step = workloads.make(options.workload, inputs, parameters, wrap)
    common.bench(options, "treadle", td.__version__, import_seconds, step, lambda x: x.numpy())


main()
