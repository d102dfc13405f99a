"""Averages of weights against their recursions in NumPy; swapped in and out; in compiled code; resumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.optim.models import Model, assert_same_bits, batches, loss_of, numbers
from treadle.core.errors import ArgumentError
from treadle.core.owned import Parameter
from treadle.core.stateful import Stateful

optim = td.optim


def fading(decay: float, warmup: bool) -> Callable[[list[np.ndarray]], np.ndarray]:
    def average(xs: list[np.ndarray]) -> np.ndarray:
        out = xs[0]
        for n, x in enumerate(xs[1:], 1):
            d = min(decay, (1 + n) / (10 + n)) if warmup else decay
            out = d * out + (1 - d) * x
        return out

    return average


CASES: dict[str, tuple[Callable[[], Any], Callable[[list[np.ndarray]], np.ndarray]]] = {
    "EMA": (lambda: optim.EMA(0.9), fading(0.9, False)),
    "EMA warmup": (lambda: optim.EMA(0.6, warmup=True), fading(0.6, True)),
    "SWA": (optim.SWA, lambda xs: np.mean(xs, axis=0)),
}
each_case = pytest.mark.parametrize(("make", "formula"), CASES.values(), ids=CASES.keys())


def train(model: Model, opt: Any, average: Any, x: td.Tensor, y: td.Tensor) -> None:
    opt.update(model, td.grad(loss_of)(model, x, y))
    average.update(model)


@each_case
@pytest.mark.parametrize("compiled", [False, True])
def test_the_formula(make: Any, formula: Any, compiled: bool) -> None:
    model, opt, average = Model(), optim.Adam(0.1), make()
    step = td.compile(train) if compiled else train
    seen: dict[str, list[np.ndarray]] = {p: [] for p in model.parameters()}
    for x, y in batches(20):
        step(model, opt, average, x, y)
        for p, v in numbers(model.parameters()).items():
            seen[p].append(v)
        for p, v in average.averages.items():
            np.testing.assert_allclose(v.numpy(), formula(seen[p]), rtol=1e-12, err_msg=p)
    assert average.count.item() == 20
    assert not compiled or step.traces == 1


@each_case
def test_resumed_is_uninterrupted(make: Any, formula: Any) -> None:
    model, opt, average = Model(), optim.Adam(0.1), make()
    data = batches(6)
    for x, y in data[:3]:
        train(model, opt, average, x, y)
    again = make()
    again.init(model)
    again.assign(numbers(average.variables()))
    for x, y in data[3:]:
        train(model, opt, average, x, y)
        again.update(model)
    assert_same_bits(average.variables(), again.variables())


@each_case
def test_swapped_in_and_out(make: Any, formula: Any) -> None:
    model, opt, average = Model(), optim.Adam(0.1), make()
    for x, y in batches(3):
        train(model, opt, average, x, y)
    own, averages = model.parameters(), numbers(average.averages)
    with average.swapped(model):
        for p, v in model.parameters().items():
            np.testing.assert_array_equal(v.numpy(), averages[p])
            assert v.kind == "parameter"
    assert_same_bits(model.parameters(), own)
    with pytest.raises(KeyError), average.swapped(model):
        raise KeyError
    assert_same_bits(model.parameters(), own)
    average.apply(model)
    np.testing.assert_array_equal(model.parameters()["layers.0.kernel"].numpy(), averages["layers.0.kernel"])


def test_sixteen_bit_parameters_have_averages_of_32() -> None:
    class Half(Stateful):
        def __init__(self) -> None:
            self.x = Parameter(td.asarray([1.0]).astype(td.bfloat16))

    model, average = Half(), optim.SWA()
    for value in (1.0, 1.0078125):  # neighbours in bfloat16
        model.x = td.asarray([value]).astype(td.bfloat16)
        average.update(model)
    assert average.averages["x"].dtype is td.float32
    assert average.averages["x"].item() == 1.00390625
    average.apply(model)
    assert model.x.dtype is td.bfloat16


def test_some_parameters_only() -> None:
    model, average = Model(), optim.EMA(include=["*.kernel"])
    average.update(model)
    assert list(average.averages) == ["layers.0.kernel", "layers.1.kernel"]
    bias = model.layers[0].bias
    average.apply(model)
    assert model.layers[0].bias is bias
    with pytest.raises(ArgumentError, match=r"include: no parameter matches '\*\.gain'"):
        optim.EMA(include=["*.gain"]).update(model)


def test_mistakes() -> None:
    model, average = Model(), optim.EMA()
    with pytest.raises(ArgumentError, match=r"EMA has no average yet: call update\(model\)"):
        average.apply(model)
    with pytest.raises(ArgumentError, match="no average yet"), average.swapped(model):
        pass
    average.update(model)
    model.extra = Parameter(td.ones(2))
    with pytest.raises(ArgumentError, match="averages other parameters than the model has: extra"):
        average.update(model)
    with pytest.raises(ArgumentError, match=r"decay lies in \[0, 1\); got 1"):
        optim.EMA(1.0)
