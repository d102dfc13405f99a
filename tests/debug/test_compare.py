"""td.compare: matching values of two versions, and the first where they part."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td


def plain(x):
    with td.scope("a"):
        y = td.tanh(x * 2)
    return td.exp(y).sum()


X = td.asarray([0.5, 1.0])


@pytest.mark.parametrize("f", [plain, td.grad(plain)], ids=["value", "gradient"])
def test_backends_agree(f):
    report = td.compare(f, td.compile(f), X)
    assert report.first is None
    assert [p.name for p in report.pairs][:3] == ["x", "a/mul", "a/tanh"]
    assert 0 <= max(p.difference for p in report.pairs) < 1e-6
    assert str(report).startswith(f"All {len(report.pairs)} values that both have agree; the largest difference is ")


def test_the_first_difference_and_what_only_one_has():
    def changed(x):
        with td.scope("a"):
            y = td.tanh(x * 2) + 0.0 * x
        return td.exp(y * 1.5).sum()

    report = td.compare(plain, changed, X)
    assert report.first.name == "exp"
    a, b = np.exp(np.tanh(2.0)), np.exp(1.5 * np.tanh(2.0))
    assert report.first.text.startswith(f"{a:.5}"[:5])
    assert f"{b:.5}"[:5] in report.first.text
    assert not report.pairs[-1].agrees
    words = str(report)
    assert words.startswith("They part at exp: ")
    assert "the 3 values before it agree; the largest difference there is 0.0e+00" in words
    assert "of the 1 after it 1 differ" in words
    assert "only in changed: a/mul_1, a/add, mul" in words


def test_precision_and_tolerance():
    def low(x):
        with td.scope("a"):
            y = td.tanh(x * 2).astype(td.bfloat16)
        return td.exp(y).sum()

    assert td.compare(plain, low, X).first is None  # bfloat16's tolerance
    assert td.compare(plain, low, X, tolerance=1e-5).first.name == "exp"
    double = td.asarray(X.numpy().astype(np.float64))
    assert td.compare(plain, lambda x: plain(x.astype(td.float32)), double).first is None  # float32's
    assert td.compare(plain, lambda x: plain(x.astype(td.float32)), double, tolerance=1e-12).first is not None


def test_steps_of_loops_and_values_that_are_not_finite():
    def loop(x, k):
        return td.scan(lambda c, v: (td.tanh(c + k * v), None), td.asarray(0.0), x)[0]

    x = td.asarray([1.0, 2.0, 3.0])
    report = td.compare(lambda x: loop(x, 1.0), lambda x: loop(x, 1.5), x)
    assert report.first.name == "mul"
    assert "3 against 4.5 at (2,)" in report.first.text
    assert td.compare(td.log, td.compile(td.log), td.asarray([-1.0, 0.0, 1.0])).first is None
    report = td.compare(lambda x: td.log(x), lambda x: td.log(td.abs(x)), td.asarray([-1.0, 1.0]))
    assert report.first.difference == float("inf")
    assert "nan against 0 at (0,)" in report.first.text


def test_nothing_is_assigned():
    model = td.nn.BatchNorm()
    x = td.random.normal(td.random.key(0), (8, 3))
    model(x)
    before = model.variables()
    step = td.compile(lambda m, x: m(x, training=True))
    assert td.compare(step, lambda m, x: m(x, training=True), model, x).first is None
    assert all(model.variables()[k] is v for k, v in before.items())
