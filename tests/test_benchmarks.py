"""The benchmarks' programs run: a few steps of the smallest, with inputs of the shapes that they expect."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import treadle as td

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def workloads() -> ModuleType:
    spec = importlib.util.spec_from_file_location("workloads", ROOT / "benchmarks" / "workloads.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def normal(*shape: int, scale: float = 0.1) -> td.Tensor:
    return td.asarray((np.random.default_rng(sum(shape)).standard_normal(shape) * scale).astype(np.float32))


def integers(high: int, *shape: int) -> td.Tensor:
    return td.asarray(np.random.default_rng(high).integers(0, high, shape).astype(np.int32))


def small(name: str) -> tuple[dict[str, td.Tensor], dict[str, td.Tensor]]:
    """Inputs and weights of a small example of a workload."""
    if name == "mlp_tiny":
        weights = {"w0": normal(8, 8), "b0": normal(8), "w1": normal(8, 3), "b1": normal(3)}
        return {"x": normal(6, 8, scale=1.0), "y": integers(3, 6)}, weights
    if name == "gru_var":
        weights = {"wx": normal(4, 384), "wh": normal(128, 384), "bx": normal(384), "bh": normal(384)}
        inputs = {"x": normal(3, 5, 4), "len": td.asarray([5, 0, 2]), "y": integers(3, 3)}
        return inputs, {**weights, "w": normal(128, 3), "b": normal(3)}
    if name == "lstm_lm":
        inputs = {"x": integers(7, 2, 5), "y": integers(6, 2, 5), "h": normal(2, 4), "c": normal(2, 4)}
        weights = {"emb": normal(7, 4), "wx": normal(4, 16), "wh": normal(4, 16), "b": normal(16)}
        return inputs, {**weights, "wo": normal(4, 7), "bo": normal(7)}
    weights = {"emb": normal(9, 4), "w": normal(6, 2), "b": normal(2)}
    weights |= {f"k{w}": normal(w, 4, 2) for w in (3, 4, 5)} | {f"c{w}": normal(2) for w in (3, 4, 5)}
    return {"x": integers(9, 3, 8), "y": integers(2, 3)}, weights


@pytest.mark.parametrize("name", ["mlp_tiny", "gru_var", "lstm_lm", "textcnn"])
def test_losses_fall_and_compiled_equals_eager(workloads: ModuleType, name: str) -> None:
    def losses(wrap: Any) -> list[float]:
        step = workloads.make(name, *small(name), wrap)
        return [step().item() for _ in range(12)]

    compiled = losses(td.compile)
    assert compiled[-1] < compiled[0]
    np.testing.assert_allclose(compiled, losses(lambda f: f), rtol=1e-5)
