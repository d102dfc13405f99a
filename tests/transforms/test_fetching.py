"""Values from the middle of compiled functions: fetched, and replaced."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td
from treadle.core.errors import ArgumentError, ShapeError


@pytest.fixture
def model():
    made = td.nn.Sequential([td.nn.Dense(4, activation="tanh"), td.nn.Dense(2)])
    made(td.zeros((1, 5)))
    return made


X = td.random.normal(td.random.key(0), (3, 5))


@td.compile
def step(model, optimizer, x):
    def loss(model, x):
        y = td.on_gradient(model(x), lambda g: td.probe(g, "dy"))
        td.probe(y, "prediction")
        return (y * y).mean()

    value, gradients = td.value_and_grad(loss)(model, x)
    optimizer.update(model, gradients)
    return {"loss": value}


def test_values_and_gradients_of_a_training_step(model):
    optimizer = td.optim.SGD(0.1)
    before = {**model.variables(), **optimizer.variables()}
    names = [
        "layers.*/out",
        "loss",
        "prediction",
        "dy",
        "grad/prediction",
        "grad/model.layers.0.kernel",
        "grad/layers.0/out",
    ]
    found = step.fetch(names, model, optimizer, X)
    assert {**model.variables(), **optimizer.variables()} == before  # the same objects: nothing was assigned
    hidden = model.layers[0](X)
    y = model.layers[1](hidden)
    expected = {
        "layers.0/out": hidden,
        "layers.1/out": y,
        "prediction": y,
        "loss": (y * y).mean(),
        "dy": 2 * y / 6,
        "grad/prediction": 2 * y / 6,
        "grad/layers.0/out": td.grad(lambda h: (model.layers[1](h) ** 2).mean())(hidden),
        "grad/model.layers.0.kernel": td.grad(lambda m: (m(X) ** 2).mean())(model)["layers.0.kernel"],
    }
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name].numpy(), value.numpy(), rtol=1e-5, atol=1e-7, err_msg=name)


def test_every_name_can_be_fetched(model):
    optimizer = td.optim.SGD(0.1)
    names = step.names(model, optimizer, X)
    assert {"x", "loss", "layers.0/tanh", "layers.0/contract", "SGD/out"} <= set(names)
    assert set(step.fetch(["**"], model, optimizer, X)) >= set(names)


def loop(x):
    def body(c, v):
        with td.scope("cell"):
            h = td.tanh(c + v)
            td.probe(h, "h")
        return h, h

    return td.scan(body, td.asarray(0.0), x)[1].sum()


@pytest.mark.parametrize("wrap", [lambda f: f, td.compile, td.checkpoint], ids=["plain", "compiled", "checkpoint"])
def test_values_of_each_step_of_a_loop(wrap):
    x = td.asarray([1.0, 2.0, 3.0])
    found = td.compile(wrap(loop)).fetch(["h", "cell/add", "grad/h", "grad/x"], x)
    h = [0.0]
    for v in x.tolist():
        h.append(np.tanh(h[-1] + v))
    np.testing.assert_allclose(found["h"].numpy(), h[1:], rtol=1e-6)
    np.testing.assert_allclose(
        found["cell/add"].numpy(), [a + v for a, v in zip(h, x.tolist(), strict=False)], rtol=1e-6
    )
    slope = td.grad(loop)(x).numpy()
    np.testing.assert_allclose(found["grad/x"].numpy(), slope, rtol=1e-5)
    np.testing.assert_allclose(found["grad/h"].numpy() * (1 - found["h"].numpy() ** 2), slope, rtol=1e-4)


def test_batches_and_named_sizes():
    f = td.compile(td.vmap(loop))
    x = td.asarray([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]])
    assert f.fetch(["h"], x)["h"].shape == (3, 2)
    g = td.compile(lambda x: td.exp(td.tanh(x)).sum(), dynamic={"x": ("n",)})
    for n in (2, 5):
        found = g.fetch(["tanh", "grad/tanh"], td.ones(n))
        assert found["tanh"].shape == (n,)
        np.testing.assert_allclose(found["grad/tanh"].numpy(), np.exp(np.tanh(np.ones(n))), rtol=1e-6)


def test_equal_names_are_numbered_and_stars_stop_at_slashes():
    def f(x):
        with td.scope("a"):
            y = td.exp(td.exp(x))
            with td.scope("b"):
                y = td.exp(y)
        x = x + 1
        with td.scope("a"):
            z = td.exp(x) * 2
        return y, z

    f = td.compile(f)
    x = td.zeros(())
    assert f.names(x) == [
        *("x", "0", "1", "a/out", "a/out_1", "a/b/out"),
        *("a/exp", "a/exp_1", "a/b/exp", "add", "a/exp_2", "a/mul"),
    ]
    assert set(f.fetch(["a/*"], x)) == {"a/out", "a/out_1", "a/exp", "a/exp_1", "a/exp_2", "a/mul"}
    assert set(f.fetch(["a/**/out"], x)) == {"a/b/out"}
    assert f.fetch("%1", x)["%1"].item() == f.fetch(["a/exp_1"], x)["a/exp_1"].item() == np.float32(np.e)


def test_replaced_values(model):
    optimizer = td.optim.SGD(0.1)
    before = model.variables()
    assert step.override({"prediction": lambda y: y * 0 + 3}, model, optimizer, X)["loss"].item() == 9
    assert step.override({"prediction": td.ones((3, 2))}, model, optimizer, X)["loss"].item() == 1
    assert step.override({"model.**": lambda w: w * 0}, model, optimizer, X)["loss"].item() == 0
    assert model.variables() == before
    f = td.compile(loop)
    assert f.override({"h": 0.5}, td.zeros(4)).item() == 2.0
    assert f.override({"x": np.zeros(4)}, td.ones(4)).item() == 0.0
    x = td.asarray([1.0, 2.0])
    np.testing.assert_allclose(f.override({"cell/add": lambda a: a * 0 + 1}, x).item(), 2 * np.tanh(1), rtol=1e-6)


def test_words_of_errors(model):
    optimizer = td.optim.SGD(0.1)
    with pytest.raises(ArgumentError, match=r"no value is called 'layers.0/outt'. Near are 'layers.0/out'"):
        step.fetch(["layers.0/outt"], model, optimizer, X)
    with pytest.raises(ArgumentError, match=r"There are 'x', 'model.layers.0.kernel'.*f.names\(\*args\)"):
        step.fetch(["qqq"], model, optimizer, X)
    with pytest.raises(ArgumentError, match="gradients are those of a floating-point scalar"):
        td.compile(lambda x: x * 2).fetch(["grad/x"], td.ones(2))
    with pytest.raises(ArgumentError, match=r"'x' is i32\[2\], which has no gradient"):
        td.compile(lambda x: x.astype(td.float32).sum()).fetch(["grad/x"], td.asarray([1, 2], dtype=td.int32))
    with pytest.raises(ShapeError, match=r"'x' is f32\[2\], and f32\[3\] was given in its place"):
        td.compile(lambda x: x * 2).override({"x": td.ones(3)}, td.ones(2))
    with pytest.raises(ArgumentError, match="chosen by their names, strings; 3 is none"):
        td.compile(lambda x: x * 2).fetch([3], td.ones(2))


# what may not run


def halving(x):
    def body(i, v):
        with td.scope("half"):
            w = td.where(i > 1, v / 2, v)
            td.probe(w, "w")

        def large(w):
            y = td.exp(w) * 2
            td.probe(y, "large")
            return y

        return i + 1, td.cond(w > 3.0, large, lambda w: w + 0.5, w)

    return td.while_loop(lambda i, v: v < 10.0, body, td.asarray(0), x, max_steps=9)[1]


@pytest.mark.parametrize("wrap", [lambda f: f, td.compile, td.checkpoint], ids=["plain", "compiled", "checkpoint"])
def test_values_of_a_while_loop_are_those_of_its_last_turn(wrap):
    f = td.compile(wrap(halving))
    found = f.fetch(["w", "large", "half/*"], td.asarray(2.8))
    w = [2.8, 3.3]  # 2.8 + 0.5, then above 3
    assert f(td.asarray(2.8)).item() == pytest.approx(2 * np.exp(w[-1]), rel=1e-6)
    assert found["w"].item() == pytest.approx(w[-1])
    assert found["large"].item() == pytest.approx(2 * np.exp(w[-1]), rel=1e-6)
    assert {"half/out", "half/div", "half/gt"} <= set(found)
    assert found["half/div"].item() == pytest.approx(w[-1] / 2)
    with pytest.raises(ArgumentError, match=r"'w' was not made in this call: it is in a branch of td.cond .* no turn"):
        f.fetch(["w"], td.asarray(11.0))
    assert f.fetch(["half/*"], td.asarray(11.0)) == {}
    assert f.override({"w": 4.0}, td.asarray(0.0)).item() == pytest.approx(2 * np.exp(4.0), rel=1e-6)
    assert f.override({"large": lambda y: y * 0 + 50}, td.asarray(2.8)).item() == 50
    with pytest.raises(ArgumentError, match=r"made anew in each turn of a td.while_loop.*td.on_gradient"):
        f.fetch(["grad/w"], td.asarray(2.8))


def test_the_last_turn_that_made_a_value_is_kept():
    def body(i):
        def even(i):
            h = i * 10
            td.probe(h, "h")
            _, each = td.scan(lambda c, k: (c, td.cond(k + i > 2, lambda: k * 1, lambda: 5)), 0, td.arange(3))
            td.probe(each, "each")
            return i + 1

        return td.cond(i % 2 == 0, even, lambda i: i + 1, i)

    f = td.compile(lambda i: td.while_loop(lambda i: i < 6, body, i))
    found = f.fetch(["h", "each"], td.asarray(0))
    assert found["h"].item() == 40  # of turn 4; turn 5 takes the other branch
    assert found["each"].tolist() == [0, 1, 2]


def branches(x):
    def positive(x):
        with td.scope("up"):
            y = td.exp(x)
            td.probe(y, "y")
        return y

    def negative(x):
        z = x * 3
        td.probe(z, "z")
        return z

    return {"loss": td.cond(x > 0, positive, negative, x) * 2}


def test_values_in_the_branch_that_is_taken():
    f = td.compile(branches)
    e = np.exp(1.0)
    found = f.fetch(["y", "up/out", "grad/y", "grad/z"], td.asarray(1.0))
    expected = {"y": e, "up/out": e, "grad/y": 2.0, "grad/z": 0.0}
    assert {k: v.item() for k, v in found.items()} == pytest.approx(expected)
    assert f.fetch(["z", "grad/x"], td.asarray(-1.0)) == {"z": -3.0, "grad/x": 6.0}
    with pytest.raises(
        ArgumentError, match=r"'z' was not made in this call: it is in a branch of td.cond that was not"
    ):
        f.fetch(["z"], td.asarray(1.0))
    assert "z" not in f.fetch(["*"], td.asarray(1.0))
    assert f.override({"y": 5.0}, td.asarray(1.0))["loss"].item() == 10.0
    assert f.override({"y": 5.0}, td.asarray(-1.0))["loss"].item() == -6.0


def test_a_branch_in_a_loop_is_nan_in_the_other_steps():
    def f(xs):
        return td.scan(lambda c, x: (c + branches(x)["loss"], None), td.asarray(0.0), xs)[0]

    xs = td.asarray([1.0, -1.0, 2.0])
    found = td.compile(f).fetch(["y", "z", "grad/y", "grad/z"], xs)
    np.testing.assert_allclose(found["y"].numpy(), [np.exp(1), np.nan, np.exp(2)], rtol=1e-6)
    np.testing.assert_allclose(found["z"].numpy(), [np.nan, -3, np.nan])
    np.testing.assert_allclose(found["grad/y"].numpy(), [2, 0, 2])
    np.testing.assert_allclose(found["grad/z"].numpy(), [0, 2, 0])
    with pytest.raises(ArgumentError, match="'z' was not made"):
        td.compile(f).fetch(["z"], td.ones(3))
    batch = td.compile(td.vmap(f, in_axes=1)).fetch(["y"], td.ones((3, 2)))["y"]
    assert batch.shape == (3, 2)


def test_branches_and_loops_with_named_sizes():
    def f(x):
        return td.while_loop(lambda v: v.sum() < 20, lambda v: td.cond(v[0] > 1, td.exp, lambda v: v * 2, v), x).sum()

    g = td.compile(f, dynamic={"x": ("n",)})
    for n, last in ((2, np.exp(np.exp(2.0))), (3, np.exp(2.0))):
        assert g.fetch(["exp"], td.ones(n))["exp"].tolist() == pytest.approx([last] * n, rel=1e-6)
