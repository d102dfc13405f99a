"""A small problem for the tests, with everything that must survive a restart: dropout's stream, moments, shuffling."""

from __future__ import annotations

from typing import Any

import numpy as np

import treadle as td

ROWS = 150


def data(rows: int = ROWS) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int32)
    return x, y


def model(seed: int = 0, rate: float = 0.2) -> Any:
    td.random.set_seed(seed)
    return td.nn.Sequential([td.nn.Dense(8), td.tanh, td.nn.Dropout(rate), td.nn.Dense(2)]).init(("rows", 4))


def bits(*owners: Any) -> dict[str, bytes]:
    """Every variable's bytes."""
    return {f"{i}.{k}": v.numpy().tobytes() for i, o in enumerate(owners) for k, v in o.variables().items()}
