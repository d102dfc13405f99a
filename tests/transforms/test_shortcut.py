"""Calls that are recognised fast give what the general way gives, and nothing else is taken for them."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import treadle as td
from treadle import nn
from treadle.transforms import compiling


def general(monkeypatch) -> None:
    monkeypatch.setattr(compiling, "SHORTCUTS", 0)


Point = namedtuple("Point", "x y")

CALLS = {
    "one": ((td.ones(3),), {}),
    "nothing": ((), {}),
    "tree": (({"a": td.ones(2), "b": [td.zeros(3), (td.ones(1), None)]}, 2), {}),
    "keywords": ((td.ones(2),), {"scale": 3, "shift": td.ones(2)}),
    "static": ((td.ones(2), "relu", True, None), {}),
    "float": ((td.ones(2), 0.5), {}),
    "array": ((np.ones(2, np.float32),), {}),
    "named tuple": ((Point(td.ones(2), td.zeros(2)),), {}),
}


def returned(*args, **kwargs):
    """Every tensor changed, in the tree it came in, and static things as they are."""
    return td.tree.map(lambda x: x * 2.0 if isinstance(x, td.Tensor) else x, (args, kwargs))


@pytest.mark.parametrize("name", CALLS)
def test_second_calls_give_what_first_ones_give(name):
    args, kwargs = CALLS[name]
    f = td.compile(returned)
    first = f(*args, **kwargs)
    for _ in range(3):
        again = f(*args, **kwargs)
        assert str(again) == str(first)
        assert f.traces == 1


def test_every_difference_is_noticed():
    f = td.compile(lambda p, flag, k=1: (p["a"] * k if flag else p["a"]) + sum(p.values()))
    a, b = td.ones(2), td.ones(2) * 5.0
    calls = [
        (({"a": a, "b": b}, True), {}),
        (({"b": b, "a": a}, True), {}),  # other order
        (({"a": a, "b": b}, False), {}),  # other static value
        (({"a": a, "b": b}, True), {"k": 3}),  # a keyword
        (({"a": a, "b": b}, 1), {}),  # equal, but another type
        (({"a": a}, True), {}),  # a key less
        (({"a": td.ones(3), "b": td.ones(3)}, True), {}),  # another shape
        (({"a": td.ones(2, dtype=td.float64), "b": td.ones(2, dtype=td.float64)}, True), {}),  # another dtype
    ]
    expected = [f.function(*args, **kwargs).tolist() for args, kwargs in calls]
    for _ in range(3):
        for (args, kwargs), want in zip(calls, expected, strict=True):
            assert f(*args, **kwargs).tolist() == want
    assert f.traces == len(calls)


def test_arrays_of_numpy_are_recognised_and_not_kept():
    f = td.compile(lambda x: x.reshape((2, 2)))  # a view: it must not show what is written later
    x = np.arange(4, dtype=np.float32)
    results = [f(x) for _ in range(3)]
    assert len(f._shortcuts) == 1
    x[:] = 9.0
    assert all(r.tolist() == [[0.0, 1.0], [2.0, 3.0]] for r in results)
    assert f(x).tolist() == [[9.0, 9.0], [9.0, 9.0]]
    assert f(np.arange(8, dtype=np.float32)[::2]).tolist() == [[0.0, 2.0], [4.0, 6.0]]
    assert f(np.arange(4, dtype=">f4")).tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert f(np.arange(4)).dtype is td.int64
    assert f(x).tolist() == [[9.0, 9.0], [9.0, 9.0]]


def test_equal_shapes_from_elsewhere_are_the_same_call():
    f = td.compile(lambda x: x + 1.0)
    for k in range(5):
        assert f(td.asarray(np.full(3, k, np.float32))).tolist() == [k + 1.0] * 3
    assert f.traces == 1


def test_modules_are_read_and_written():
    class Counter(nn.Module):
        def __init__(self) -> None:
            self.count = nn.State(td.asarray(0))

        def __call__(self, x):
            self.count = self.count + 1
            return x * self.count

    f = td.compile(lambda m, x: m(x))
    one, other = Counter(), Counter()
    assert [f(one, td.asarray(10)).item() for _ in range(3)] == [10, 20, 30]
    assert f(other, td.asarray(10)).item() == 10
    assert one.count.item() == 3
    one.count = td.asarray(7)
    assert f(one, td.asarray(10)).item() == 80
    assert f.traces == 1


def test_a_module_of_another_build_is_another_call():
    f = td.compile(lambda m, x: m(x))
    x = td.ones((1, 3))
    for units in (2, 4, 2, 4):
        assert f(nn.Sequential([nn.Dense(units)]), x).shape == (1, units)


def test_methods():
    class Model(nn.Module):
        def __init__(self, factor: float) -> None:
            self.weight = nn.Parameter(td.asarray(factor))

        @td.compile
        def scaled(self, x):
            return self.weight * x

    a, b = Model(2.0), Model(3.0)
    for _ in range(2):
        assert a.scaled(td.asarray(1.0)).item() == 2.0
        assert b.scaled(td.asarray(1.0)).item() == 3.0


def test_inside_of_traces_the_general_way_is_taken():
    f = td.compile(lambda x: x * x)
    x = td.asarray(3.0)
    for _ in range(2):
        assert f(x).item() == 9.0
        assert td.grad(f)(x).item() == 6.0
        assert td.compile(lambda y: f(y) + 1.0)(x).item() == 10.0
        assert td.vmap(f)(td.arange(3).astype(td.float32)).tolist() == [0.0, 1.0, 4.0]


def test_what_layers_ask_for_is_part_of_the_call():
    class Doubling(nn.Module):
        def __call__(self, x):
            return f(x)

    f = td.compile(lambda x: x * (2.0 if nn.is_training() else 1.0))
    model, x = Doubling(), td.asarray(1.0)
    for _ in range(2):
        assert model(x, training=True).item() == 2.0
        assert model(x).item() == 1.0


def test_captured_tensors_are_passed():
    shift = td.asarray([1.0, 2.0])
    f = td.compile(lambda x: x + shift)
    assert [f(td.zeros(2)).tolist() for _ in range(3)] == [[1.0, 2.0]] * 3


def test_a_cleared_cache_forgets_shortcuts():
    f = td.compile(lambda x: x + 1.0)
    f(td.zeros(1)), f(td.zeros(1))
    f.clear_cache()
    f(td.zeros(1))
    assert f.traces == 2


def test_general_way_alone_gives_the_same(monkeypatch):
    args, kwargs = CALLS["tree"]
    fast = str(td.compile(returned)(*args, **kwargs))
    general(monkeypatch)
    assert str(td.compile(returned)(*args, **kwargs)) == fast
