"""The passes before fusion, by their printed results: calls inlined, logsumexp spelt out, products out of scans."""

from __future__ import annotations

import re

import numpy as np

import treadle as td
from treadle.backends.native.expand import expand
from treadle.backends.native.fuse import fuse
from treadle.backends.native.steps import supported
from treadle.core.graph import Graph
from treadle.transforms.simplify import simplify


def lines(graph: Graph) -> list[str]:
    """The nodes as text, without their lines of source."""
    body = str(graph).splitlines()[1:-1]
    return [re.sub(r"\s{2,}\S*\.py:\d+.*", "", re.sub(r"\s+:", " :", line)).strip() for line in body]


def expanded(f, *args) -> Graph:
    return expand(simplify(td.compile(f).graph(*args)))


def fused(f, *args) -> str:
    return str(fuse(expanded(f, *args), supported()))


def test_calls_are_inlined():
    inner = td.compile(lambda x: td.tanh(x))
    assert lines(expanded(lambda x: inner(x) + 1.0, td.ones(3))) == [
        "%0 = tanh %x : f32[3]",
        "%1 = add %0 1.0 : f32[3]",
    ]


def test_logsumexp_is_spelt_out():
    found = [line.split()[2] for line in lines(expanded(lambda x: td.logsumexp(x, axis=1), td.ones((4, 5))))]
    assert found == ["max", "is_finite", "select", "reshape", "sub", "exp", "sum", "log", "add"]


def test_long_reductions_are_done_in_two_steps():
    found = lines(expanded(lambda x: td.sum(x), td.ones(1 << 20)))
    assert [line.split()[2] for line in found] == ["reshape", "sum", "sum"]
    assert found[-1].endswith(": f32[]")


XS, W, U, B = (
    td.asarray(np.random.default_rng(0).standard_normal(s) * 0.3, dtype=td.float64)
    for s in ((30, 4, 8), (8, 16), (16, 16), (16,))
)


def products_by_depth(f, *args) -> dict[int, int]:
    """How many products a plan has outside of loops (0) and inside (1)."""
    found: dict[int, int] = {}
    for kernel in td.compile(f).explain(*args).kernels:
        if "contract" in kernel.name:
            found[kernel.depth] = found.get(kernel.depth, 0) + 1
    return found


def test_the_input_projection_leaves_the_scan():
    def f(xs, w, u, b):
        def step(h, x):
            h = td.tanh(x @ w + h @ u + b)
            return h, h

        return td.scan(step, td.zeros((4, 16), dtype=td.float64), xs)[1]

    found = products_by_depth(f, XS, W, U, B)
    assert found == {0: 1, 1: 1}
    np.testing.assert_allclose(
        td.compile(f)(XS, W, U, B).numpy(),
        td.compile(f, backend="reference")(XS, W, U, B).numpy(),
        rtol=1e-12,
    )


def test_gradients_of_weights_leave_the_scan():
    def loss(w, u, xs, b):
        def step(h, x):
            h = td.tanh(x @ w + h @ u + b)
            return h, h

        return td.sum(td.scan(step, td.zeros((4, 16), dtype=td.float64), xs)[1] ** 2)

    g = td.grad(loss, argnums=(0, 1))
    found = products_by_depth(g, W, U, XS, B)
    # forward: projection outside, recurrence inside; backward: two weight gradients outside, recurrence inside
    assert found[1] == 2
    assert found[0] >= 3
    for got, want in zip(td.compile(g)(W, U, XS, B), td.compile(g, backend="reference")(W, U, XS, B), strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-11)


def test_a_product_with_the_state_stays():
    def f(xs, u):
        return td.scan(lambda h, x: (td.tanh(h @ u + x), None), td.zeros((4, 16), dtype=td.float64), xs)[0]

    xs = td.zeros((30, 4, 16), dtype=td.float64)
    assert products_by_depth(f, xs, U) == {1: 1}


def test_softmax_is_one_step():
    assert (
        fused(lambda x: td.softmax(x * 2.0), td.ones((64, 32))) == "step 0: max exp sum div over 64 x 32 -> f32[64,32]"
    )


def test_layer_norm_is_one_step():
    def norm(x, g, b):
        centred = x - td.mean(x, axis=-1, keepdims=True)
        return centred * td.rsqrt(td.mean(centred * centred, axis=-1, keepdims=True) + 1e-5) * g + b

    (step,) = fused(norm, td.ones((64, 32)), td.ones(32), td.zeros(32)).splitlines()
    assert step.endswith("over 64 x 32 -> f32[64,32]")


def test_views_cost_no_step():
    def f(x, w):
        return td.tanh(td.flip(td.permute_dims(x, (2, 0, 1)), axis=0)[:, ::2] @ w.mT)

    steps = fused(f, td.ones((5, 6, 7)), td.ones((3, 6))).splitlines()
    assert all("transpose" not in s and "slice" not in s for s in steps)


def test_an_optimiser_is_one_step_a_parameter():
    def step(p, m, g):
        m = 0.9 * m + 0.1 * g
        return p - 0.01 * m / (td.sqrt(m * m) + 1e-8), m

    assert len(fused(step, td.ones((8, 8)), td.ones((8, 8)), td.ones((8, 8))).splitlines()) == 1
