"""Twelve bugs as people write them; for each, a check, the NaN finder or td.doctor names the culprit's line."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pytest

import treadle as td
from treadle.core.errors import NonFiniteError, OutOfRangeError

SOURCE = Path(__file__).read_text("utf-8").splitlines()


def line_of(mark: str) -> str:
    """`test_planted_bugs.py:12`, of the line with this comment."""
    (number,) = [k for k, text in enumerate(SOURCE, 1) if text.endswith(f"# bug: {mark}")]
    return f"test_planted_bugs.py:{number}"


def caught(function, *args) -> str:
    with pytest.raises(NonFiniteError) as info:
        td.compile(function, nan_check=True)(*args)
    return str(info.value)


def rows(*shape):
    return td.random.normal(td.random.key(7), shape)


# with the NaN finder


def test_log_of_zero():
    def f(x):
        p = td.relu(x)
        return -td.log(p).mean()  # bug: log

    words = caught(f, td.asarray([[0.5, 1.0], [-1.0, 2.0]]))
    assert words.startswith(
        f"in {line_of('log')}: an infinite value in the forward pass: `log` made it of finite numbers"
    )
    assert "1 of 4 elements, at (1, 0), first of 0" in words
    assert "Log of 0 is -inf" in words


def test_division_by_zero_variance():
    def f(x):
        c = x - x.mean(axis=0)
        return (c / td.sqrt((c * c).mean(axis=0))).sum()  # bug: variance

    words = caught(f, td.asarray([[1.0, 2.0], [1.0, 3.0]]))
    assert words.startswith(f"in {line_of('variance')}: NaN in the forward pass: `div` made it of finite numbers")
    assert "2 of 4 elements, at (0, 0), (1, 0), first of 0 and 0" in words
    assert re.search(r"from +x +f32\[2,2\]  1 … 3", words)
    assert "add a small number to the divisor" in words


def recurrent(w, x):
    def body(h, v):
        h = h @ w + v  # bug: rnn
        return h, None

    return td.scan(body, td.zeros(2), x)[0].sum()


@pytest.mark.parametrize("f", [recurrent, td.grad(recurrent)], ids=["forward", "gradient"])
def test_an_exploding_rnn(f):
    words = caught(f, td.asarray([[1e5, 0.0], [0.0, 1e5]]), td.ones((12, 2)))
    assert f"in {line_of('rnn')}: an infinite value in the forward pass: `contract` made it" in words
    assert "in step 8 of the loop at" in words
    assert re.search(r"inputs  the carry +f32\[2\]  all 1\.00001e\+35\n +w +f32\[2,2\]  0 … 1e\+05", words)
    assert "clipped gradients" in words


def test_an_rnn_that_explodes_backwards():
    def f(h, w):
        def body(h, _):
            return h * w, None  # bug: backward

        return td.scan(body, h, length=9)[0]

    words = caught(td.grad(f), td.asarray(1e-30), td.asarray(1e5))
    assert words.startswith(f"in {line_of('backward')}: an infinite value in the backward pass")
    assert "in step 1 of the loop at" in words


def test_infinity_times_zero_in_a_mask():
    def f(x, mask):
        y = td.exp(x)  # bug: exp
        return (y * mask).sum()  # bug: mask

    words = caught(f, td.asarray([1.0, 1000.0]), td.asarray([1.0, 0.0]))
    assert words.startswith(f"in {line_of('exp')}: an infinite value in the forward pass: `exp` made it")
    assert f"it became NaN in `mul` at {line_of('mask')}" in words
    assert "A product with a mask does not take an infinite value out: 0 · inf is NaN" in words
    assert "td.where(mask, x, 0.0)" in words


def test_the_slope_of_sqrt_at_zero():
    def f(x):
        return td.sqrt(x).sum()  # bug: sqrt

    words = caught(td.grad(f), td.asarray([0.0, 1.0]))
    assert words.startswith(f"in {line_of('sqrt')}: an infinite value in the slope of this line")
    assert "The slope of a root, a norm or a power below 1 is infinite at 0" in words
    assert caught_nothing(td.grad(lambda x: td.where(x > 0, td.sqrt(x), 0.0).sum()), td.asarray([0.0, 1.0]))


def test_nan_check_holds_op_by_op_too():
    @td.compile(nan_check=True)
    def f(state, x):
        state.total = state.total + td.log(x).sum()  # bug: eager
        return state.total * 1.0

    owner = Owner()
    with td.debug.eager():
        assert f(owner, td.ones(2)).item() == 0.0
        with pytest.raises(NonFiniteError) as info:
            f(owner, td.asarray([0.0, 1.0]))
    assert str(info.value).startswith(f"in {line_of('eager')}: an infinite value in the forward pass: `log` made it")
    assert owner.total.item() == 0.0


class Owner(td.nn.Module):
    def __init__(self):
        self.total = td.nn.State(td.zeros(()))


def test_a_where_that_chooses_the_bad_branch():
    def f(x):
        return td.where(x >= 0, td.log(x), 0.0).sum()  # bug: where

    words = caught(f, td.asarray([0.0, 1.0]))
    assert words.startswith(f"in {line_of('where')}: an infinite value in the forward pass: `log` made it")
    assert f"The `where` at {line_of('where')} chose it: its condition is true there" in words
    assert "td.where(ok, f(td.where(ok, x, 1.0)), 0.0)" in words


@pytest.mark.parametrize(("dtype", "large", "limit"), [(td.float16, 300.0, "65504"), (td.bfloat16, 3e19, "3.39e38")])
def test_overflow_in_half_precision(dtype, large, limit):
    def f(x):
        h = x.astype(dtype)
        return (h * h).sum()  # bug: half

    words = caught(f, td.asarray([large, 1.0]))
    assert words.startswith(f"in {line_of('half')}: an infinite value in the forward pass")
    assert f"The largest {dtype.name} is {limit}" in words


def test_a_mask_that_does_not_take_nan_out():
    def f(x, mask):
        y = td.sqrt(x)  # bug: nan mask
        return (y * mask).sum()  # bug: product

    words = caught(f, td.asarray([-1.0, 4.0]), td.asarray([0.0, 1.0]))
    assert words.startswith(f"in {line_of('nan mask')}: NaN in the forward pass: `sqrt` made it")
    assert (
        "A product with a mask does not take NaN out: 0 · NaN is NaN. Choose instead: td.where(mask, x, 0.0)" in words
    )
    assert words.endswith(f"(the product is at {line_of('product')})")
    assert "A product with a mask" not in caught(f, td.asarray([-1.0, 4.0]), td.asarray([1.0, 1.0]))


def piles() -> np.ndarray:
    """Numbers whose sum is 0, of which a float32 sum by stride overflows; the reference sums in float64."""
    x = np.zeros(1 << 16, np.float32)
    x[::16], x[1::16] = 1e38, -1e38
    return x


def test_rounding_that_decides():
    def f(x):
        return td.sum(x * 1.0)  # bug: rounding

    def loop(x):
        return td.scan(lambda h, k: (h + td.sum(x * k), None), td.asarray(0.0), td.ones(3))[0]  # bug: in a loop

    for function, what, mark in ((f, "sum", "rounding"), (loop, "scan", "in a loop")):
        words = caught(function, piles())
        assert words.startswith(f"in {line_of(mark)}: ")
        assert f"in the forward pass: `{what}` made it of finite numbers" in words
        assert words.endswith("NumPy's run of the same inputs stays finite, barely; the compiled one does not")
    assert "a constant of the program's" in caught(lambda x: x.sum() - td.inf, piles())


def caught_nothing(function, *args) -> bool:
    td.compile(function, nan_check=True)(*args)
    return True


# with checks that are always there


def test_a_label_out_of_range():
    @td.compile
    def f(logits, labels):
        return td.losses.sparse_categorical_crossentropy(logits, labels)  # bug: label

    with pytest.raises(OutOfRangeError) as info:
        f(rows(4, 3), td.asarray([0, 1, 2, 3]))
    assert line_of("label") in str(info.value)
    assert "3" in info.value.message


# with td.doctor


class Model(td.nn.Module):
    def __init__(self, call, **parts):
        self.call = call
        for name, part in parts.items():
            setattr(self, name, part)

    def __call__(self, x):
        return self.call(self, x)


def found(model, kind, **more):
    report = td.doctor(model, rows(16, 6), **more)
    texts = [f"{f.name}: {f.text}" for f in report.findings if f.kind == kind]
    assert len(texts) == 1, report
    assert {f.kind for f in report.findings} == {kind}, report
    return texts[0]


def test_a_sum_over_the_wrong_axis():
    def call(self, x):
        e = td.exp(self.dense(x))
        return e / e.sum(axis=0, keepdims=True)  # bug: axis

    words = found(Model(call, dense=td.nn.Dense(4)), "mixed examples")
    assert words.startswith(f"{line_of('axis')}: `sum` lets the output of one example depend on the others")


def test_a_shuffled_axis():
    def call(self, x):
        return self.dense(x.reshape(6, 16).T)  # bug: shuffled

    words = found(Model(call, dense=td.nn.Dense(4)), "mixed examples")
    assert words.startswith(line_of("shuffled"))


class Unused(td.nn.Module):
    def __init__(self):
        self.a = td.nn.Dense(4)
        self.extra = td.nn.Parameter(td.ones(3))  # bug: unused
        self.head = td.nn.Dense(2, input_size=4)  # bug: never called

    def __call__(self, x):
        _ = self.extra * 2.0  # read in vain
        return self.a(x)


def test_an_unused_parameter():
    report = td.doctor(Unused(), rows(16, 6))
    assert {f.kind for f in report.findings} == {"unused parameter"}, report
    lines = {f.name: f.text.rpartition("(made at ")[2].rstrip(")") for f in report.findings}
    head = line_of("never called")
    assert lines == {"extra": line_of("unused"), "head.kernel": head, "head.bias": head}
    assert report.findings[0].text.startswith("the loss does not depend on it")
    cloned = td.doctor(copy.deepcopy(Unused()), rows(16, 6))  # the line of the copy, not one inside of Python's copy
    assert all("(made at test_planted_bugs.py:" in f.text for f in cloned.findings), cloned


def test_a_dead_relu():
    layer = td.nn.Dense(8, activation="relu", bias_initializer=td.nn.initializers.Constant(-50.0))  # bug: dead

    def call(self, x):
        return self.head(self.hidden(x))  # bug: relu

    words = found(Model(call, hidden=layer, head=td.nn.Dense(2)), "dead units")
    assert words.startswith("hidden: 8 of 8 units are 0 for all 16 rows")
    assert line_of("relu") in words


def test_a_stale_state():
    def call(self, x):
        mean = 0.9 * self.mean + 0.1 * x.mean()  # bug: forgets `self.mean = mean`
        return self.dense(x - td.stop_gradient(mean) * 0.0)

    model = Model(call, dense=td.nn.Dense(2))
    model.mean = td.nn.State(td.zeros(()))  # bug: state
    report = td.doctor(model, rows(16, 6))
    assert [f"{f.kind}: {f.name}" for f in report.findings] == ["stale state: mean"]
    read = line_of("forgets `self.mean = mean`")
    assert f"(made at {line_of('state')}, read at {read})" in report.findings[0].text


# what is healthy, and what else doctor sees


@pytest.mark.parametrize(
    "model",
    [
        td.nn.Sequential([td.nn.Dense(32, activation="relu"), td.nn.BatchNorm(), td.nn.Dropout(0.2), td.nn.Dense(3)]),
        td.nn.Sequential([td.nn.Reshape((6, 1)), td.nn.LSTM(8), td.nn.Dense(3)]),
        td.nn.Sequential(
            [td.nn.Reshape((6, 1)), td.nn.Conv1D(4, 3, activation="relu"), td.nn.Flatten(), td.nn.Dense(3)]
        ),
        td.nn.Sequential([td.nn.LayerNorm(), td.nn.Dense(3, activation="tanh")]),
    ],
    ids=["mlp", "lstm", "conv", "norm"],
)
def test_healthy_models(model):
    y = td.asarray(np.arange(16) % 3)
    loss = "sparse_categorical_crossentropy"
    report = td.doctor(model, (rows(16, 6), y), loss=loss, optimizer="adam")
    assert report.findings == [], report
    assert set(report.updates) <= set(model.parameters())
    assert report.gradients
    variables = {k: v.tolist() for k, v in model.variables().items()}
    td.doctor(model, (rows(16, 6), y), loss=loss, optimizer="adam")
    assert {k: v.tolist() for k, v in model.variables().items()} == variables


def test_gradients_that_vanish_and_explode():
    layers = [td.nn.Dense(8, activation="sigmoid") for _ in range(14)]
    report = td.doctor(td.nn.Sequential([*layers, td.nn.Dense(1)]), rows(16, 6))
    assert any(f.kind == "vanishing gradient" and f.name.startswith("layers.0") for f in report.findings)
    wide = td.nn.initializers.RandomNormal(30.0)
    layers = [td.nn.Dense(16, kernel_initializer=wide) for _ in range(9)]
    report = td.doctor(td.nn.Sequential([*layers, td.nn.Dense(1)]), rows(16, 6))
    assert any(f.kind in ("exploding gradient", "not finite") for f in report.findings)


def test_saturation_updates_and_nan():
    model = td.nn.Sequential(
        [td.nn.Dense(8, activation="tanh", kernel_initializer=td.nn.initializers.RandomNormal(50.0)), td.nn.Dense(1)]
    )
    report = td.doctor(model, rows(16, 6), optimizer=td.optim.SGD(1e6))
    kinds = {f.kind: f for f in report.findings}
    assert "saturated" in kinds
    assert "a lower learning rate" in kinds["update size"].text
    report = td.doctor(Model(lambda self, x: td.log(self.d(x) * 0.0), d=td.nn.Dense(2)), rows(16, 6))
    assert "`log` made it" in next(f for f in report.findings if f.kind == "not finite").text


def test_words_of_doctors_errors():
    model = td.nn.Dense(1)
    with pytest.raises(td.errors.ArgumentError, match="the batch has targets: give loss= too"):
        td.doctor(model, (rows(4, 2), rows(4, 1)))
    with pytest.raises(td.errors.ArgumentError, match="the loss needs targets"):
        td.doctor(model, rows(4, 2), loss="mse")
