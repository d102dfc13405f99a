"""Schedules against their formulas in plain Python; called with numbers, with tensors, traced and batched."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle.core.errors import ArgumentError

schedules = td.optim.schedules


def cosine(t: float, start: float, end: float, steps: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(t / steps, 1))) / 2


def restarts(t: int, start: float, end: float, steps: int, growth: int, shrink: float) -> float:
    period, height = steps, 1.0
    while t >= period:
        t, period, height = t - period, period * growth, height * shrink
    return end + (cosine(t, start, end, period) - end) * height


def one_cycle(t: int) -> float:
    peak, low, last, top = 2.0, 0.2, 0.002, 10
    return low + (peak - low) * (1 - math.cos(math.pi * t / top)) / 2 if t < top else cosine(t - top, peak, last, 30)


CASES: dict[str, tuple[Any, Callable[[int], float]]] = {
    "constant": (schedules.constant(0.3), lambda t: 0.3),
    "piecewise_constant": (
        schedules.piecewise_constant([3, 17], [1.0, 0.3, 0.7]),
        lambda t: 1.0 if t < 3 else 0.3 if t < 17 else 0.7,
    ),
    "step_decay": (schedules.step_decay(0.7, every=6, factor=0.3), lambda t: 0.7 * 0.3 ** (t // 6)),
    "exponential": (schedules.exponential(0.7, steps=6, factor=0.3), lambda t: 0.7 * 0.3 ** (t / 6)),
    "polynomial": (
        schedules.polynomial(0.7, 0.1, steps=20, power=1.5),
        lambda t: 0.1 + 0.6 * (1 - min(t, 20) / 20) ** 1.5,
    ),
    "linear": (schedules.linear(0.1, 0.7, steps=20), lambda t: 0.1 + 0.6 * min(t, 20) / 20),
    "cosine": (schedules.cosine(0.7, 0.1, steps=20), lambda t: cosine(t, 0.7, 0.1, 20)),
    "cosine_restarts": (
        schedules.cosine_restarts(0.7, 0.1, steps=7, shrink=0.8),
        lambda t: restarts(t, 0.7, 0.1, 7, 1, 0.8),
    ),
    "cosine_restarts growing": (
        schedules.cosine_restarts(0.7, 0.1, steps=3, growth=3, shrink=0.8),
        lambda t: restarts(t, 0.7, 0.1, 3, 3, 0.8),
    ),
    "warmup": (schedules.warmup(0.5, steps=8, start=0.1), lambda t: 0.1 + 0.4 * min(t / 8, 1)),
    "warmup then cosine": (
        schedules.warmup(schedules.cosine(0.7, 0.1, steps=20), steps=8),
        lambda t: 0.7 * t / 8 if t < 8 else cosine(t - 8, 0.7, 0.1, 20),
    ),
    "one_cycle": (
        schedules.one_cycle(2.0, steps=40, warmup=0.25, start_divisor=10.0, end_divisor=100.0),
        one_cycle,
    ),
}
each_case = pytest.mark.parametrize(("schedule", "formula"), CASES.values(), ids=CASES.keys())
STEPS = range(60)


def test_every_schedule_is_in_the_list() -> None:
    assert {name.split()[0] for name in CASES} == set(schedules.__all__) - {"Schedule"}


@each_case
def test_the_formula(schedule: Any, formula: Callable[[int], float]) -> None:
    expected = [formula(t) for t in STEPS]
    values = [schedule(t) for t in STEPS]
    assert all(v.spec == td.Spec((), td.float64) for v in values)
    np.testing.assert_allclose([v.item() for v in values], expected, rtol=1e-12, atol=1e-15)
    assert schedule(td.asarray(5)).item() == values[5].item()


@each_case
def test_traced_and_batched(schedule: Any, formula: Callable[[int], float]) -> None:
    compiled = td.compile(lambda t: schedule(t))
    np.testing.assert_allclose([compiled(td.asarray(t)).item() for t in STEPS], [formula(t) for t in STEPS], atol=1e-14)
    assert compiled.traces == 1
    together = td.vmap(lambda t: schedule(t))(td.arange(60))
    np.testing.assert_allclose(together.numpy(), [formula(t) for t in STEPS], atol=1e-14)


@each_case
def test_the_last_step_there_is(schedule: Any, formula: Callable[[int], float]) -> None:
    last = 2**31 - 1
    value = schedule(td.asarray(last)).item()
    assert np.isfinite(value)
    if "restarts" not in repr(schedule):  # one period of growth=1 after the other would be counted for long
        assert value == pytest.approx(formula(last), rel=1e-9, abs=1e-15)


def test_restarts_come_at_their_step() -> None:
    schedule = schedules.cosine_restarts(1.0, steps=10, growth=10)
    for start in (0, 10, 110, 1110, 111110, 1111111110):
        assert schedule(start).item() == 1.0
        assert start == 0 or schedule(start - 1).item() < 0.03


def test_warmup_of_a_users_own_schedule() -> None:
    seen = []

    def own(step: td.Tensor) -> td.Tensor:
        seen.append(step.dtype)
        return td.where(step >= 2, 0.5, 1.0)

    schedule = schedules.warmup(own, steps=2)
    assert [schedule(t).item() for t in range(6)] == [0.0, 0.5, 1.0, 1.0, 0.5, 0.5]
    assert set(seen) == {td.int32}


def test_it_prints_as_it_was_written() -> None:
    schedule = schedules.warmup(schedules.cosine(0.1, steps=100), steps=10)
    assert repr(schedule) == "warmup(cosine(0.1, 0.0, steps=100), steps=10, start=0.0)"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: schedules.piecewise_constant([5], [1.0]), ["1 boundaries need 2 rates; got 1"]),
        (lambda: schedules.piecewise_constant([5, 5], [1.0, 1.0, 1.0]), ["boundaries increase; got [5, 5]"]),
        (lambda: schedules.piecewise_constant([5], [1.0, -1.0]), ["rate", "-1.0"]),
        (lambda: schedules.constant(-0.1), ["rate", "-0.1"]),
        (lambda: schedules.cosine(0.1, steps=0), ["steps", "> 0; got 0"]),
        (lambda: schedules.exponential(0.1, steps=1, factor=-1.0), ["factor"]),
        (lambda: schedules.polynomial(0.1, steps=5, power=0), ["power"]),
        (lambda: schedules.cosine_restarts(0.1, steps=5, growth=0), ["growth is a whole number >= 1; got 0"]),
        (lambda: schedules.cosine_restarts(0.1, steps=5, growth=1.5), ["growth", "1.5"]),
        (lambda: schedules.warmup(-1.0, steps=5), ["rate", "-1.0"]),
        (lambda: schedules.one_cycle(0.1, steps=5, warmup=1.0), ["warmup lies in [0, 1); got 1.0"]),
        (lambda: schedules.one_cycle(0.1, steps=5, warmup=0.0), ["warmup", "> 0; got 0.0"]),
    ],
)
def test_impossible_arguments(make: Callable[[], Any], words: list[str]) -> None:
    with pytest.raises(ArgumentError) as e:
        make()
    assert all(word in str(e.value) for word in words), str(e.value)
