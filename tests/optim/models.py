"""A small thing to optimise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import treadle as td
from treadle.core.owned import Parameter
from treadle.core.stateful import Stateful

Array = np.ndarray[Any, Any]


class Layer(Stateful):
    """An affine map's parameters."""

    def __init__(self, kernel: Array, bias: Array) -> None:
        self.kernel = Parameter(td.asarray(kernel))
        self.bias = Parameter(td.asarray(bias))


class Model(Stateful):
    """Two layers, so that paths have dots in them."""

    def __init__(self, dtype: str = "float64") -> None:
        rng = np.random.default_rng(1)
        shapes = ((3, 4), 4), ((4, 2), 2)
        self.layers = [Layer(*(rng.normal(size=s).astype(dtype) for s in pair)) for pair in shapes]

    def __call__(self, x: td.Tensor) -> td.Tensor:
        first, second = self.layers
        return td.tanh(x @ first.kernel + first.bias) @ second.kernel + second.bias


def loss_of(model: Model, x: td.Tensor, y: td.Tensor) -> td.Tensor:
    return td.losses.mse(model(x), y)


def batches(n: int, dtype: str = "float64") -> list[tuple[td.Tensor, td.Tensor]]:
    rng = np.random.default_rng(2)
    return [tuple(td.asarray(rng.normal(size=(5, k)).astype(dtype)) for k in (3, 2)) for _ in range(n)]  # type: ignore[misc]


def numbers(variables: Mapping[str, td.Tensor]) -> dict[str, Any]:
    return {path: x.numpy() for path, x in variables.items()}


def assert_same_bits(a: Mapping[str, td.Tensor], b: Mapping[str, td.Tensor]) -> None:
    assert list(a) == list(b)
    for path in a:
        assert a[path].dtype is b[path].dtype
        assert a[path].numpy().tobytes() == b[path].numpy().tobytes(), path
