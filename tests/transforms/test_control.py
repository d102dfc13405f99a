"""cond, switch, scan, while_loop: values, derivatives to second order, vmap, compile, messages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.transforms._oracles import check_grad, t64
from treadle.core.owned import State
from treadle.core.stateful import Stateful


def rnn(w: td.Tensor, xs: td.Tensor, reverse: bool = False) -> td.Tensor:
    def step(h: td.Tensor, x: td.Tensor) -> tuple[td.Tensor, td.Tensor]:
        h = td.tanh(w @ h + x)
        return h, h.sum()

    h, ys = td.scan(step, td.zeros(2, dtype=td.float64), xs, reverse=reverse)
    return h.sum() + (ys**2).sum()


def rnn_loop(w: td.Tensor, xs: td.Tensor, reverse: bool = False) -> td.Tensor:
    h, ys = td.zeros(2, dtype=td.float64), []
    order = range(xs.shape[0] - 1, -1, -1) if reverse else range(xs.shape[0])
    for t in order:
        h = td.tanh(w @ h + xs[t])
        ys.append(h.sum())
    return h.sum() + (td.stack(ys) ** 2).sum()


RNG = np.random.default_rng(0)
W, XS = RNG.standard_normal((2, 2)), RNG.standard_normal((5, 2))


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_equals_the_python_loop(reverse: bool) -> None:
    w, xs = t64(W), t64(XS)
    np.testing.assert_allclose(rnn(w, xs, reverse).numpy(), rnn_loop(w, xs, reverse).numpy(), rtol=1e-12)
    for n in (0, 1):
        a = td.grad(lambda w, xs: rnn(w, xs, reverse), n)(w, xs)
        b = td.grad(lambda w, xs: rnn_loop(w, xs, reverse), n)(w, xs)
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10)


def test_scan_second_order_and_forward_over_reverse() -> None:
    xs = t64(XS)
    check_grad(lambda w: rnn(w, xs), W, order=2)
    check_grad(lambda x: rnn(t64(W), x), XS, order=2)
    a = td.hessian(lambda w: rnn(w, xs))(t64(W))
    b = td.hessian(lambda w: rnn_loop(w, xs))(t64(W))
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-10)


def test_scan_under_vmap_in_both_orders() -> None:
    ws, xs = t64(RNG.standard_normal((3, 2, 2))), t64(XS)
    loop = np.stack([td.grad(rnn)(ws[i], xs).numpy() for i in range(3)])
    np.testing.assert_allclose(td.vmap(td.grad(rnn), (0, None))(ws, xs).numpy(), loop, rtol=1e-10)
    many = td.grad(lambda ws: td.vmap(rnn, (0, None))(ws, xs).sum())(ws)
    np.testing.assert_allclose(many.numpy(), loop, rtol=1e-10)
    batch = t64(RNG.standard_normal((5, 3, 2)))
    over = td.vmap(rnn, (None, 1))(t64(W), batch)
    np.testing.assert_allclose(over.numpy(), [rnn(t64(W), batch[:, i]).item() for i in range(3)], rtol=1e-12)


def test_scan_compiled_and_with_a_checkpointed_body() -> None:
    w, xs = t64(W), t64(XS)
    expected = td.grad(rnn)(w, xs).numpy()
    np.testing.assert_allclose(td.compile(td.grad(rnn))(w, xs).numpy(), expected, rtol=1e-12)

    def with_checkpoint(w: td.Tensor, xs: td.Tensor) -> td.Tensor:
        body = td.checkpoint(lambda h, x: (td.tanh(w @ h + x), (td.tanh(w @ h + x)).sum()))
        h, ys = td.scan(body, td.zeros(2, dtype=td.float64), xs)
        return h.sum() + (ys**2).sum()

    with pytest.raises(AssertionError):
        np.testing.assert_allclose(expected, 0)
    np.testing.assert_allclose(td.grad(with_checkpoint)(w, xs).numpy(), expected, rtol=1e-10)


def test_the_gradient_graph_does_not_grow_with_length() -> None:
    def count(n: int) -> int:
        xs = t64(np.zeros((n, 2)))
        return len(list(td.graph(td.grad(rnn))(t64(W), xs).walk()))

    assert count(3) == count(300)


def test_nested_scans() -> None:
    def f(x: td.Tensor) -> td.Tensor:
        def outer(c: td.Tensor, a: td.Tensor) -> tuple[td.Tensor, td.Tensor]:
            c2, _ = td.scan(lambda s, b: (s * a + b, None), c, x)
            return td.tanh(c2), c2

        c, ys = td.scan(outer, x[0], x)
        return c + ys.sum()

    def loop(x: td.Tensor) -> td.Tensor:
        c, total = x[0], 0.0
        for a in x:
            s = c
            for b in x:
                s = s * a + b
            total = total + s
            c = td.tanh(s)
        return c + total

    x = [0.5, -0.3, 0.8]
    np.testing.assert_allclose(td.grad(f)(t64(x)).numpy(), td.grad(loop)(t64(x)).numpy(), rtol=1e-10)
    check_grad(f, x, order=2)


def test_scan_without_xs_with_trees_and_without_steps() -> None:
    carry, ys = td.scan(lambda c, _: ({"n": c["n"] + 1}, (c["n"], None)), {"n": td.asarray(0)}, length=4)
    assert carry["n"].item() == 4
    assert ys[0].tolist() == [0, 1, 2, 3]
    c, y = td.scan(lambda c, x: (c + x, x), td.asarray(1.0), td.zeros(0))
    assert c.item() == 1.0
    assert y.shape == (0,)


@pytest.mark.parametrize("x", [[0.5, 0.2], [-0.5, 0.2]])
def test_cond_takes_one_branch_also_in_derivatives(x: list[float]) -> None:
    def f(y: td.Tensor) -> td.Tensor:
        k = y[1] * 3
        return td.cond(y[0] > 0, lambda a: (td.sin(a) * k).sum(), lambda a: (a**2).sum(), y)

    check_grad(f, x, order=2)
    check_grad(td.compile(f), x, order=2)


def test_only_the_chosen_branch_runs() -> None:
    calls: list[str] = []

    def noisy(name: str) -> Callable[[np.ndarray], np.ndarray]:
        return lambda a: calls.append(name) or a

    def f(p: td.Tensor, x: td.Tensor) -> td.Tensor:
        return td.cond(
            p,
            lambda a: td.host(noisy("true"), a, result_shape=a),
            lambda a: td.host(noisy("false"), a, result_shape=a),
            x,
        )

    td.compile(f)(td.asarray(True), td.ones(2))
    assert calls == ["true"]


def test_cond_under_vmap() -> None:
    xs = t64([[1.0, 2.0], [-1.0, 2.0], [3.0, -1.0]])

    def f(x: td.Tensor) -> td.Tensor:
        return td.cond(x[0] > 0, lambda a: td.sqrt(a[0]) * a[1], lambda a: a.sum() ** 2, x)

    loop = np.stack([td.grad(f)(xs[i]).numpy() for i in range(3)])
    np.testing.assert_allclose(td.vmap(td.grad(f))(xs).numpy(), loop, rtol=1e-12)
    shared = td.vmap(lambda p, x: td.cond(p, lambda a: a.sum(), lambda a: a[0], x), (None, 0))(td.asarray(False), xs)
    assert shared.tolist() == [1.0, -1.0, 3.0]


def test_an_index_out_of_range_in_the_branch_not_taken_does_not_raise() -> None:
    x = td.asarray([1.0, 2.0])

    def f(i: td.Tensor) -> td.Tensor:
        return td.cond(i < 2, lambda k: x[k], lambda k: td.asarray(0.0), i)

    assert td.vmap(f)(td.asarray([0, 1, 5])).tolist() == [1.0, 2.0, 0.0]


def test_switch() -> None:
    branches = [td.sin, td.exp, lambda a: a * 3]
    for k, expected in ((0, np.sin(0.5)), (1, np.exp(0.5)), (2, 1.5), (7, 1.5), (-1, np.sin(0.5))):
        np.testing.assert_allclose(td.switch(td.asarray(k), branches, t64(0.5)).item(), expected, rtol=1e-12)
    over = td.vmap(lambda k: td.switch(k, branches, t64(0.5)))(td.asarray([0, 1, 2]))
    np.testing.assert_allclose(over.numpy(), [np.sin(0.5), np.exp(0.5), 1.5], rtol=1e-12)


def newton(a: td.Tensor, max_steps: int | None = None) -> td.Tensor:
    """The square root of a by Newton's method."""

    def body(x: td.Tensor, k: td.Tensor) -> tuple[td.Tensor, td.Tensor]:
        return (x + a / x) / 2, k + 1

    return td.while_loop(lambda x, k: td.abs(x * x - a) > 1e-12 * a, body, a, td.asarray(0), max_steps=max_steps)[0]


def test_while_loop_forward_reverse_and_vmap() -> None:
    a = t64(2.0)
    np.testing.assert_allclose(newton(a).item(), np.sqrt(2), rtol=1e-12)
    slope = 0.5 / np.sqrt(2)
    np.testing.assert_allclose(td.jvp(newton, [a], [t64(1.0)])[1].item(), slope, rtol=1e-9)
    bounded = td.grad(lambda x: newton(x, max_steps=30))
    np.testing.assert_allclose(bounded(a).item(), slope, rtol=1e-9)
    np.testing.assert_allclose(td.compile(bounded)(a).item(), slope, rtol=1e-9)
    many = t64([2.0, 3.0, 100.0])
    np.testing.assert_allclose(td.vmap(newton)(many).numpy(), np.sqrt(many.numpy()), rtol=1e-9)
    np.testing.assert_allclose(td.vmap(bounded)(many).numpy(), 0.5 / np.sqrt(many.numpy()), rtol=1e-8)
    np.testing.assert_allclose(td.grad(bounded)(a).item(), -0.25 * 2**-1.5, rtol=1e-6)


def test_while_loop_stops_at_max_steps() -> None:
    assert td.while_loop(lambda x: x < 100, lambda x: x + 1, td.asarray(0), max_steps=7).item() == 7
    assert td.while_loop(lambda x: x < 100, lambda x: x + 1, td.asarray(0), max_steps=0).item() == 0


def test_messages() -> None:
    x = td.asarray(1.0)
    with pytest.raises(td.errors.DerivativeError, match="max_steps="):
        td.grad(lambda a: newton(a))(t64(2.0))
    with pytest.raises(td.errors.DTypeError, match="must be bool, and is f32"):
        td.cond(x, td.sin, td.cos, x)
    with pytest.raises(td.errors.ArgumentError, match=r"the true branch must be a function, and is 1\.0.*td\.where"):
        td.cond(x > 0, 1.0, 2.0)
    with pytest.raises(td.errors.ShapeError, match=r"td.where"):
        td.cond(td.asarray([True, False]), td.sin, td.cos, x)
    with pytest.raises(td.errors.ShapeError, match="same shapes and dtypes"):
        td.cond(td.asarray(True), lambda a: a, lambda a: a.astype(td.float64), x)
    with pytest.raises(td.errors.ShapeError, match="same structure"):
        td.cond(td.asarray(True), lambda a: a, lambda a: (a, a), x)
    with pytest.raises(td.errors.ShapeError, match=r"came as f32\[\] and returns as f32\[2\]"):
        td.scan(lambda c, y: (c + y, None), x, td.ones((3, 2)))
    with pytest.raises(td.errors.ShapeError, match="start with init of dtype float64"):
        td.scan(lambda c, y: (c + y, None), x, t64([1.0]))
    with pytest.raises(td.errors.ArgumentError, match="length="):
        td.scan(lambda c, y: (c, y), x)
    with pytest.raises(td.errors.ShapeError, match="sizes differ on axis 0"):
        td.scan(lambda c, y: (c, y), x, (td.ones(3), td.ones(4)))
    with pytest.raises(td.errors.ArgumentError, match=r"must return \(carry, y\)"):
        td.scan(lambda c, y: c, x, td.ones(3))
    with pytest.raises(td.errors.TraceError, match=r"the body of td.scan"):
        td.scan(lambda c, y: (c if c > 0 else y, None), x, td.ones(3))
    with pytest.raises(td.errors.ShapeError, match="condition must return one bool"):
        td.while_loop(lambda a: a, lambda a: a, x)
    with pytest.raises(td.errors.ShapeError, match="as it came"):
        td.while_loop(lambda a: a < 3, lambda a: td.ones(2), x)


class Counting(Stateful):
    def __init__(self) -> None:
        self.steps = State(td.asarray(0))

    def __call__(self, x: td.Tensor) -> td.Tensor:
        self.steps = self.steps + 1
        return x * 2.0


LOSING: dict[str, Any] = {
    r"td.vmap\(": lambda m, x: td.vmap(lambda v: m(v))(x),
    r"td.checkpoint\(": lambda m, x: td.checkpoint(lambda v: m(v))(x),
}


@pytest.mark.parametrize("place", LOSING)
@pytest.mark.parametrize("around", [lambda f: f, td.compile])
def test_a_module_that_would_lose_what_is_assigned_says_so_and_keeps_its_value(place: str, around: Any) -> None:
    counting = Counting()
    with pytest.raises(td.errors.TraceError, match=f"'steps'.*is assigned inside {place}") as caught:
        around(lambda m, x: LOSING[place](m, x))(counting, td.ones(2))
    assert "test_control.py" in str(caught.value)
    assert counting.steps.item() == 0


def test_modules_made_inside_of_a_loop_may_assign() -> None:
    def step(h: td.Tensor, _: None) -> tuple[td.Tensor, td.Tensor]:
        inner = Counting()
        return inner(inner(h)), inner.steps

    last, steps = td.scan(step, td.ones(2), length=2)
    assert last.tolist() == [16.0, 16.0]
    assert steps.tolist() == [2, 2]


CARRYING: dict[str, tuple[Any, int, float]] = {  # the function, steps counted, the value of each element for x = 1
    "scan": (lambda m, x: td.scan(lambda h, _: (m(h), None), x, length=3)[0], 3, 8.0),
    "while_loop": (lambda m, x: td.while_loop(lambda h: h.sum() < 9.0, m, x, max_steps=9), 3, 8.0),
    "cond": (lambda m, x: td.cond(x.sum() > 0, lambda: m(m(x)), lambda: x), 2, 4.0),
    "cond that does not": (lambda m, x: td.cond(x.sum() < 0, lambda: m(x), lambda: x), 0, 1.0),
    "loop in loop": (
        lambda m, x: td.scan(lambda h, _: (td.scan(lambda k, _: (m(k), None), h, length=2)[0], None), x, length=3)[0],
        6,
        64.0,
    ),
    "branch in loop": (
        lambda m, x: td.scan(lambda h, i: (td.cond(i > 0, lambda: m(h), lambda: h), None), x, td.arange(3))[0],
        2,
        4.0,
    ),
}
AROUND: dict[str, Any] = {
    "eager": lambda f: f,
    "compile": td.compile,
    "grad": lambda f: lambda m, x: td.value_and_grad(lambda x, m: (f(m, x).sum(), f), has_aux=True)(x, m) and None,
    "compiled grad": lambda f: td.compile(lambda m, x: td.grad(lambda x, m: f(m, x).sum())(x, m)),
}


@pytest.mark.parametrize("name", CARRYING)
@pytest.mark.parametrize("around", AROUND)
def test_what_a_body_assigns_to_modules_is_carried_along(name: str, around: str) -> None:
    f, steps, value = CARRYING[name]
    counting = Counting()
    made = AROUND[around](f)(counting, td.ones(2))
    assert counting.steps.item() == steps
    assert isinstance(counting.steps, State)
    assert not counting.steps.is_symbolic
    if made is not None:
        assert made.tolist() == [value, value]
    AROUND[around](f)(counting, td.ones(2))
    assert counting.steps.item() == 2 * steps


@pytest.mark.parametrize("around", [lambda f: f, td.compile])
def test_a_condition_sees_what_the_body_assigns(around: Any) -> None:
    def loop(m: Counting, x: td.Tensor) -> td.Tensor:
        return td.while_loop(lambda h: m.steps < 4, m, x, max_steps=20)

    counting = Counting()
    assert around(loop)(counting, td.ones(1)).tolist() == [16.0]
    assert counting.steps.item() == 4


def test_dropout_draws_anew_at_each_step_and_batch_norm_keeps_its_statistics() -> None:
    drop, norm = td.nn.Dropout(0.5), td.nn.BatchNormalization(momentum=0.5)

    def step(h: td.Tensor, x: td.Tensor) -> tuple[td.Tensor, td.Tensor]:
        return h, drop(norm(x, training=True), training=True)

    def loop(xs: td.Tensor) -> td.Tensor:
        return td.stack([step(xs[0], x)[1] for x in xs])

    xs = td.asarray(np.random.default_rng(0).standard_normal((4, 6, 3)).astype(np.float32))
    drop.stream = td.random.Stream(1)
    _, ys = td.scan(step, xs[0], xs)  # builds the layers on the way
    mean = norm.moving_mean
    again, drop.stream = td.nn.BatchNormalization(momentum=0.5, input_size=3), td.random.Stream(1)
    norm = again
    np.testing.assert_allclose(ys.numpy(), loop(xs).numpy(), rtol=1e-6)
    np.testing.assert_allclose(mean.numpy(), again.moving_mean.numpy(), rtol=1e-6)
    assert len({tuple((y == 0).reshape(-1).tolist()) for y in ys}) == 4


# checkpointed scans


def _chain(length: int, checkpoint: bool | int, reverse: bool = False) -> Any:
    def loss(w: td.Tensor, xs: td.Tensor, h: td.Tensor) -> td.Tensor:
        def step(h: td.Tensor, x: td.Tensor) -> tuple[td.Tensor, td.Tensor]:
            h = td.tanh(w @ h + x)
            return h, td.sin(h).sum()

        h, ys = td.scan(step, h, xs, reverse=reverse, checkpoint=checkpoint)
        return h.sum() + (ys * td.arange(length, dtype=ys.dtype)).sum()

    return loss


@pytest.mark.parametrize("length", [1, 2, 9, 11, 16])
@pytest.mark.parametrize("checkpoint", [True, 1, 4, 100])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_checkpointed_scan_gives_the_same(length: int, checkpoint: bool | int, reverse: bool) -> None:
    rng = np.random.default_rng(length)
    given = t64(W), t64(rng.standard_normal((length, 2))), t64(rng.standard_normal(2))
    plain, kept = _chain(length, False, reverse), _chain(length, checkpoint, reverse)
    for run in (lambda f: f, td.compile):
        np.testing.assert_allclose(run(kept)(*given).item(), plain(*given).item(), rtol=1e-12)
        made, wanted = run(td.grad(kept, argnums=(0, 1, 2)))(*given), td.grad(plain, argnums=(0, 1, 2))(*given)
        for a, b in zip(made, wanted, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


def test_a_checkpointed_scan_in_other_transforms() -> None:
    xs, h = t64(np.random.default_rng(0).standard_normal((7, 2))), t64([0.1, 0.2])
    plain, kept = (partial(_chain(7, c), xs=xs, h=h) for c in (False, True))
    ws = t64(np.random.default_rng(1).standard_normal((3, 2, 2)))
    for transform in (lambda f: td.vmap(td.grad(f)), lambda f: td.vmap(td.hessian(f))):
        np.testing.assert_allclose(transform(kept)(ws).numpy(), transform(plain)(ws).numpy(), rtol=1e-9, atol=1e-12)
    (a, da), (b, db) = (td.jvp(f, (ws[0],), (ws[1],)) for f in (plain, kept))
    np.testing.assert_allclose([b.item(), db.item()], [a.item(), da.item()], rtol=1e-12)


def test_a_checkpointed_scan_carries_what_its_body_assigns() -> None:
    def loss(x: td.Tensor, stream: td.random.Stream, checkpoint: bool) -> td.Tensor:
        def step(h: td.Tensor, _: None) -> tuple[td.Tensor, None]:
            return h * td.where(stream.bernoulli(0.5, ()), 1.1, 0.9), None

        return td.scan(step, x, length=10, checkpoint=checkpoint)[0]

    results = []
    for checkpoint in (False, True):
        stream = td.random.Stream(3)
        g = td.compile(lambda x, s, c=checkpoint: td.grad(loss)(x, s, c))(t64(2.0), stream)
        results.append((g.item(), stream.variables()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-12)
    assert {k: v.tolist() for k, v in results[0][1].items()} == {k: v.tolist() for k, v in results[1][1].items()}


def _kept_bytes(length: int, checkpoint: bool) -> int:
    """What one call of the compiled gradient needs beside inputs and results."""

    def loss(w: td.Tensor) -> td.Tensor:
        def step(h: td.Tensor, _: None) -> tuple[td.Tensor, None]:
            return td.tanh(td.sin(h @ w)), None

        return td.scan(step, td.ones((64, 32)), length=length, checkpoint=checkpoint)[0].sum()

    return int(td.compile(td.grad(loss)).explain(td.ones((32, 32))).arena)


def test_memory_of_a_checkpointed_scan_grows_with_the_square_root_of_its_length() -> None:
    sizes = {c: [_kept_bytes(n, c) for n in (256, 1024, 4096)] for c in (False, True)}
    for a, b in pairwise(sizes[False]):
        assert 3.5 < b / a < 4.5
    for a, b in pairwise(sizes[True]):
        assert 1.6 < b / a < 2.2
    assert sizes[True][-1] < sizes[False][-1] / 20


@pytest.mark.parametrize("checkpoint", [False, True])
def test_the_graph_of_a_scan_does_not_grow_with_its_length(checkpoint: bool) -> None:
    def count(n: int) -> int:
        given = t64(W), t64(np.zeros((n, 2))), t64(np.zeros(2))
        return len(list(td.graph(td.grad(_chain(n, checkpoint)))(*given).walk()))

    assert count(4) == count(400) == count(10000)


@pytest.mark.parametrize("checkpoint", [0, -1, 2.5, "yes"])
def test_what_checkpoint_takes(checkpoint: Any) -> None:
    with pytest.raises(td.errors.ArgumentError, match="checkpoint is True, or how many steps"):
        td.scan(lambda h, x: (h + x, None), 0.0, t64([1.0, 2.0]), checkpoint=checkpoint)
    with pytest.raises(td.errors.DimError, match="needs a known number of steps"):
        td.compile(lambda x: td.scan(lambda h, x: (h + x, None), 0.0, x, checkpoint=True)[0], dynamic={"x": ("n",)})(
            td.ones(3)
        )
