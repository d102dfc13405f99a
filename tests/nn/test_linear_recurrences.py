"""associative_scan against loops; linear recurrences in parallel against the same cells step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle as td
from treadle import nn
from treadle.core.errors import BuildError, ShapeError

RNG = np.random.default_rng(0)
CELLS = {
    "mingru": lambda: nn.MinGRUCell(4, dtype="float64"),
    "minlstm": lambda: nn.MinLSTMCell(4, dtype="float64"),
    "s4d": lambda: nn.S4DCell(3, dtype="float64"),
    "selective": lambda: nn.SelectiveCell(3, dtype="float64"),
}
every = pytest.mark.parametrize("kind", CELLS)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(n=st.integers(1, 17), axis=st.integers(0, 1), reverse=st.booleans())
def test_a_scan_of_matrix_products_is_the_loop(n: int, axis: int, reverse: bool) -> None:
    x = np.random.default_rng(n).standard_normal((n, 2, 3, 3))
    xs = td.asarray(np.moveaxis(x, 0, axis))
    made = td.associative_scan(lambda a, b: {"m": a["m"] @ b["m"]}, {"m": xs}, axis=axis, reverse=reverse)["m"]
    rows = list(x[::-1] if reverse else x)
    expected = [rows[0]]
    for row in rows[1:]:
        expected.append(expected[-1] @ row)
    np.testing.assert_allclose(np.moveaxis(made.numpy(), axis, 0), expected[::-1] if reverse else expected, rtol=1e-9)


def test_it_compiles_and_its_derivative_is_that_of_the_loop() -> None:
    a, b = td.asarray(RNG.uniform(0.5, 1, (11, 2))), td.asarray(RNG.standard_normal((11, 2)))

    def parallel(a: td.Tensor, b: td.Tensor) -> td.Tensor:
        return td.sum(td.associative_scan(lambda p, q: (q[0] * p[0], q[0] * p[1] + q[1]), (a, b))[1] ** 2)

    def loop(a: td.Tensor, b: td.Tensor) -> td.Tensor:
        _, h = td.scan(lambda h, x: (x[0] * h + x[1],) * 2, td.zeros((2,), dtype=td.float64), (a, b))
        return td.sum(h**2)

    mine = td.compile(td.grad(parallel, argnums=(0, 1)))(a, b)
    for g, expected in zip(mine, td.grad(loop, argnums=(0, 1))(a, b), strict=True):
        np.testing.assert_allclose(g.numpy(), expected.numpy(), rtol=1e-9)


@every
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("sequences", "rounds"), [(False, True), (True, True), (True, False)])
def test_all_steps_at_once_equal_one_after_the_other(kind: str, backwards: bool, sequences: bool, rounds: bool) -> None:
    td.random.set_seed(0)
    cell, x = CELLS[kind](), td.asarray(RNG.standard_normal((4, 9, 5)))
    options = {"return_sequences": sequences, "return_state": True, "go_backwards": backwards}
    parallel, steps = nn.LinearRecurrent(cell, parallel=rounds, **options), nn.Recurrent(cell, **options)
    parallel.init(x)
    start = td.tree.map(lambda s: td.asarray(RNG.standard_normal(s.shape)), cell.initial_state(4, td.float64))
    for lengths in (None, td.asarray([9, 1, 4, 0])):
        y, state = parallel(x, start, lengths=lengths)
        expected, end = steps(x, start, lengths=lengths)
        rows = (
            slice(None) if lengths is None or sequences else slice(0, 3)
        )  # an empty sequence has no output to compare
        np.testing.assert_allclose(y.numpy()[rows], expected.numpy()[rows], rtol=1e-8, atol=1e-11)
        for a, b in zip(td.tree.leaves(state), td.tree.leaves(end), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-8, atol=1e-11)


def test_the_formulas() -> None:
    x = RNG.standard_normal((2, 5))

    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    cell = nn.MinLSTMCell(4, input_size=5, dtype="float64")
    h = RNG.standard_normal((2, 4))
    f, i, n = np.split(x @ np.asarray(cell.kernel) + np.asarray(cell.bias), 3, axis=-1)
    expected = (sigmoid(f) * h + sigmoid(i) * n) / (sigmoid(f) + sigmoid(i))
    np.testing.assert_allclose(cell(td.asarray(h), td.asarray(x))[1].numpy(), expected, rtol=1e-10)

    s4d = nn.S4DCell(3, input_size=5, dtype="float64")
    a = -np.exp(np.asarray(s4d.log_decay)) + 1j * np.asarray(s4d.frequency)
    step = np.exp(np.asarray(s4d.log_step))[:, None]
    state = RNG.standard_normal((2, 5, 3)) + 1j * RNG.standard_normal((2, 5, 3))
    new = np.exp(step * a) * state + (np.exp(step * a) - 1) / a * x[..., None]
    c = np.asarray(s4d.c_real) + 1j * np.asarray(s4d.c_imaginary)
    y = 2 * (c * new).sum(-1).real + np.asarray(s4d.skip) * x
    (real, imaginary), found = s4d((td.asarray(state.real), td.asarray(state.imag)), td.asarray(x))
    np.testing.assert_allclose(real.numpy() + 1j * imaginary.numpy(), new, rtol=1e-9)
    np.testing.assert_allclose(found.numpy(), y, rtol=1e-9)
    assert 1e-3 <= step.min() <= step.max() <= 1e-1

    mamba = nn.SelectiveCell(3, input_size=5, dtype="float64")
    w = {k: v.numpy() for k, v in mamba.parameters().items()}
    delta = np.log1p(np.exp(x @ w["step_down"] @ w["step_up"] + w["step_bias"]))[..., None]
    b, c = np.split(x @ w["projection"], 2, axis=-1)
    h = RNG.standard_normal((2, 5, 3))
    new = np.exp(-delta * np.exp(w["log_decay"])) * h + delta * b[:, None] * x[..., None]
    np.testing.assert_allclose(
        mamba(td.asarray(h), td.asarray(x))[1].numpy(), (new * c[:, None]).sum(-1) + w["skip"] * x, rtol=1e-9
    )


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: td.associative_scan(td.add, (td.ones(3), td.ones(4))), ShapeError, "one known size, and has 3, 4"),
        (lambda: td.associative_scan(lambda a, b: a[:1], td.ones(4)), ShapeError, "must return what it gets"),
        (lambda: nn.LinearRecurrent(nn.MinGRUCell(3))(td.ones((2, 3))), ShapeError, r"\[batch, time, features\]"),
    ],
)
def test_mistakes_are_explained(make: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("parallel", [False, True])
def test_a_mamba_block_against_its_formula_and_each_sequence_alone(parallel: bool) -> None:
    td.random.set_seed(0)
    block = nn.MambaBlock(3, parallel=parallel, input_size=4, dtype="float64")
    block.convolution.assign({"bias": np.random.default_rng(5).standard_normal(8)})
    x = np.random.default_rng(0).standard_normal((2, 6, 4))

    def silu(a: np.ndarray) -> np.ndarray:
        return a / (1 + np.exp(-a))

    h, gate = np.split(x @ block.project.kernel.numpy(), 2, axis=-1)
    kernel, bias = block.convolution.kernel.numpy()[:, :, 0], block.convolution.bias.numpy()
    behind = np.concatenate([np.zeros((2, 3, 8)), h], axis=1)
    h = silu(sum(behind[:, k : k + 6] * kernel[k] for k in range(4)) + bias)
    cell = block.scan.cell
    p = {name: w.numpy() for name, w in cell.parameters().items()}
    state, ys = np.zeros((2, 8, 3)), []
    for t in range(6):
        u = h[:, t]
        step = np.log1p(np.exp(u @ p["step_down"] @ p["step_up"] + p["step_bias"]))[..., None]
        b, c = np.split(u @ p["projection"], 2, axis=-1)
        state = np.exp(-step * np.exp(p["log_decay"])) * state + step * b[:, None] * u[..., None]
        ys.append((state * c[:, None]).sum(-1) + p["skip"] * u)
    expected = (np.stack(ys, 1) * silu(gate)) @ block.output.kernel.numpy()
    np.testing.assert_allclose(block(td.asarray(x)).numpy(), expected, rtol=1e-9, atol=1e-12)

    padded = td.asarray(np.where(np.arange(6)[:, None] < np.array([6, 2])[:, None, None], x, np.nan))
    y = block(padded, lengths=[6, 2])
    np.testing.assert_allclose(y[1:, :2].numpy(), block(td.asarray(x[1:, :2])).numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(y[1, 2:].numpy(), 0)
    with pytest.raises(ShapeError, match="MambaBlock takes"):
        block(td.ones((2, 4)))


@pytest.mark.parametrize("kernel_size", [1, 4])
def test_a_mamba_block_goes_on_step_by_step(kernel_size: int) -> None:
    block = nn.MambaBlock(3, kernel_size=kernel_size, input_size=4, dtype="float64")
    block.convolution.assign({"bias": np.random.default_rng(5).standard_normal(8)})
    x = td.asarray(np.random.default_rng(0).standard_normal((2, 7, 4)))
    expected = block(x).numpy()

    state, prompt = td.scan(block.step, block.initial_state(2), td.moveaxis(x[:, :5], 1, 0))
    np.testing.assert_allclose(prompt.numpy(), expected[:, :5].transpose(1, 0, 2), rtol=1e-9, atol=1e-12)
    step = td.compile(lambda block, state, x: block.step(state, x))
    for t in (5, 6):
        state, y = step(block, state, x[:, t])
        np.testing.assert_allclose(y.numpy(), expected[:, t], rtol=1e-9, atol=1e-12)
    assert [s.shape for s in state] == [(2, kernel_size - 1, 8), (2, 8, 3)]
    assert block.initial_state(3, "float32")[1].dtype == td.float32
    with pytest.raises(ShapeError, match=r"a step of MambaBlock takes \[batch, features\]"):
        block.step(state, x)
    with pytest.raises(BuildError, match="first called"):
        nn.MambaBlock().initial_state(2)
