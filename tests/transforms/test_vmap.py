"""vmap against a Python loop: axes, nesting, trees, modules, messages."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td
from tests.transforms._oracles import t64

RNG = np.random.default_rng(0)
A = RNG.standard_normal((4, 3, 2))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("out", [0, 1, -1])
def test_axes(axis: int, out: int) -> None:
    made = td.vmap(lambda x: td.cumulative_sum(x, axis=0) * 2, axis, out)(t64(A))
    rows = [np.cumsum(np.take(A, i, axis), axis=0) * 2 for i in range(A.shape[axis])]
    np.testing.assert_allclose(made.numpy(), np.stack(rows, axis=out), rtol=1e-12)


def test_arguments_with_axes_of_their_own() -> None:
    x, y = t64(A), t64(A[0])
    made = td.vmap(lambda a, b: a @ b["k"][0], (0, None))(x, {"k": [td.matrix_transpose(y)]})
    np.testing.assert_allclose(made.numpy(), A @ A[0].T, rtol=1e-12)
    made = td.vmap(lambda a, b: (a * b["u"], b["v"]), (0, {"u": 0, "v": None}), (0, None))(
        x, {"u": t64(np.arange(4.0)), "v": y}
    )
    np.testing.assert_allclose(made[0].numpy(), A * np.arange(4.0)[:, None, None], rtol=1e-12)
    assert made[1].shape == (3, 2)


def test_nesting() -> None:
    x, y = t64(A[0]), t64(A[1])
    outer = td.vmap(td.vmap(lambda a, b: td.vecdot(a, b), (None, 0)), (0, None))
    np.testing.assert_allclose(outer(x, y).numpy(), A[0] @ A[1].T, rtol=1e-12)


def test_per_example_gradients_equal_the_loop() -> None:
    w, xs = t64(RNG.standard_normal((2, 3))), t64(RNG.standard_normal((5, 3)))

    def loss(w: td.Tensor, x: td.Tensor) -> td.Tensor:
        return td.logsumexp(w @ x) ** 2

    made = td.vmap(td.grad(loss), (None, 0))(w, xs)
    np.testing.assert_allclose(made.numpy(), [td.grad(loss)(w, xs[i]).numpy() for i in range(5)], rtol=1e-10)
    total = td.grad(lambda w: td.vmap(loss, (None, 0))(w, xs).sum())(w)
    np.testing.assert_allclose(total.numpy(), made.numpy().sum(0), rtol=1e-10)
    twice = td.vmap(td.hessian(loss), (None, 0))(w, xs)
    np.testing.assert_allclose(twice[2].numpy(), td.hessian(loss)(w, xs[2]).numpy(), rtol=1e-9)


def test_results_that_do_not_depend_on_the_example_are_repeated() -> None:
    assert td.vmap(lambda x: td.ones(2))(td.zeros(3)).shape == (3, 2)
    assert td.vmap(lambda x: x)(td.zeros((3, 0))).shape == (3, 0)


def test_compile_of_vmap_with_an_unknown_batch() -> None:
    f = td.compile(td.vmap(lambda x: td.softmax(x @ x.T, axis=-1)), dynamic={"x": ("batch", None, None)})
    for n in (1, 4, 2):
        expected = td.vmap(lambda x: td.softmax(x @ x.T, axis=-1))(t64(A[:n]))
        np.testing.assert_allclose(f(t64(A[:n])).numpy(), expected.numpy(), rtol=1e-12)
    assert f.traces == 1


def test_messages() -> None:
    with pytest.raises(td.errors.ShapeError, match="a has 3, b has 4"):
        td.vmap(lambda a, b: a)(td.zeros(3), td.zeros(4))
    with pytest.raises(td.errors.ArgumentError, match="no argument is mapped"):
        td.vmap(lambda a: a, None)(td.zeros(3))
    with pytest.raises(td.errors.ArgumentError, match="2 entries for 1"):
        td.vmap(lambda a: a, (0, 0))(td.zeros(3))
    with pytest.raises(td.errors.ShapeError, match="mapped axis 1 does not exist"):
        td.vmap(lambda a: a, 1)(td.zeros(3))
    with pytest.raises(td.errors.ArgumentError, match="differs between examples"):
        td.vmap(lambda a: a, 0, None)(td.zeros(3))
    with pytest.raises(td.errors.TraceError, match=r"td.vmap"):
        td.vmap(lambda a: a if a > 0 else -a)(td.zeros(3))


def test_examples_that_are_done_with_a_loop_do_not_index_out_of_range() -> None:
    table = td.asarray([1.0, 2.0, 3.0])

    def every(step: td.Tensor) -> td.Tensor:
        body = lambda i, s: (i + step, s + table[i])  # noqa: E731
        return td.while_loop(lambda i, _: i < 3, body, td.asarray(0), td.asarray(0.0))[1]

    assert td.vmap(every)(td.asarray([1, 2, 3])).tolist() == [6.0, 4.0, 1.0]


def test_in_axes_name_the_keys_that_there_are() -> None:
    with pytest.raises(td.errors.ArgumentError, match="does not fit a tree with the leaves"):
        td.vmap(lambda d: d["a"], in_axes=({"a": 0, "b": None},))({"a": td.ones(2)})
