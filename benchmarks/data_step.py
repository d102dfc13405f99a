"""Whether arrays in memory keep up with the smallest network that is measured: microseconds a step of `mlp_tiny`.

    python benchmarks/data_step.py

prints them as JSON by case: the compiled step alone, on one batch that stays; the same fed by a pipeline, with and
without reading ahead; and the pipeline's batches without a step.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from workloads import mlp_tiny

import treadle as td

ROWS, BATCH, ROUNDS = 60_000, 32, 7
SIZES = (64, 64, 10)


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, SIZES[0])).astype(np.float32)
    y = rng.integers(0, SIZES[2], ROWS).astype(np.int32)
    weights: dict[str, Any] = {}
    for k, (old, new) in enumerate(itertools.pairwise(SIZES)):
        weights |= {f"w{k}": rng.standard_normal((old, new)).astype(np.float32) / 8, f"b{k}": np.zeros(new, np.float32)}
    held = [{k: td.asarray(v) for k, v in weights.items()}]
    optimizer = td.optim.SGD(0.1)
    optimizer.init(held[0])

    @td.compile
    def update(parameters: Any, optimizer: Any, x: Any, y: Any) -> Any:
        _, gradients = td.value_and_grad(mlp_tiny)(parameters, x, y)
        return optimizer.update(parameters, gradients)

    def step(x: Any, y: Any) -> None:
        held[0] = update(held[0], optimizer, x, y)

    ds = td.data.from_arrays(x, y).shuffle(0).batch(BATCH, drop_last=True)
    one = td.asarray(x[:BATCH]), td.asarray(y[:BATCH])
    cases: dict[str, tuple[Iterable[Any], Callable[..., None]]] = {
        "one batch that stays": ([one] * len(ds), step),
        "shuffled batches": (ds, step),
        "shuffled batches, prefetch(2)": (ds.prefetch(2), step),
        "batches without a step": (ds, lambda x, y: None),
    }
    spent: dict[str, list[float]] = {name: [] for name in cases}
    for k in range(ROUNDS + 1):
        for name, (batches, use) in cases.items():
            begun = time.perf_counter()
            for batch in batches:
                use(*batch)
            if k:
                spent[name].append((time.perf_counter() - begun) / len(ds) * 1e6)
    print(json.dumps(spent))


if __name__ == "__main__":
    main()
