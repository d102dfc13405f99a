"""Random nests of loops, branches and transforms: every way to compute a derivative gives the same one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from tests.transforms._oracles import t64

Program = Callable[[td.Tensor, td.Tensor], td.Tensor]  # (x[3], w[3]) -> [3]; smooth, so that differences converge

SIMPLE: list[Program] = [
    lambda x, w: td.sin(x) * w,
    lambda x, w: td.tanh(x * 0.5 + w),
    lambda x, w: td.flip(td.exp(-x * x)) + w,
    lambda x, w: td.softmax(x) + td.cumulative_sum(w) * 0.3,
    lambda x, w: (x[:, None] * w[None, :]) @ x * 0.3,
    lambda x, w: td.concatenate([x[1:], w[:1] * x[2]]),
    lambda x, w: x[td.asarray([0, 0, 2])] * w,
    lambda x, w: x.at[1].add(w[2] * x[0]),
]


def _scan(f: Program, g: Program) -> Program:
    def run(x: td.Tensor, w: td.Tensor) -> td.Tensor:
        def body(carry: Any, v: td.Tensor) -> Any:
            i, h = carry
            return (i + 1, f(h, w * v)), (i, g(h, w))

        (_, h), (i, ys) = td.scan(body, (td.asarray(0), x), t64([1.0, 0.5, -1.0]))
        return h + (ys * i.astype(td.float64)[:, None]).sum(axis=0) * 0.3

    return run


def _while(f: Program, g: Program) -> Program:
    def run(x: td.Tensor, w: td.Tensor) -> td.Tensor:
        state = td.while_loop(lambda i, _: i < 3, lambda i, s: (i + 1, td.tanh(f(s, w))), td.asarray(0), x, max_steps=4)
        return g(state[1], w)

    return run


def _custom(f: Program, g: Program) -> Program:
    def run(x: td.Tensor, w: td.Tensor) -> td.Tensor:
        h = td.custom_jvp(f)
        h.def_jvp(lambda p, t: (h(*p), td.jvp(f, p, t)[1]))
        return g(h(x, w), w)

    return run


NESTS: list[Callable[[Program, Program], Program]] = [
    _scan,
    _while,
    _custom,
    lambda f, g: lambda x, w: g(f(x, w), w),
    lambda f, g: lambda x, w: td.cond(x[0] > 0, lambda: f(x, w), lambda: g(w, x)),
    lambda f, g: lambda x, w: td.vmap(f, (0, None))(td.outer(x, w), w).sum(axis=0) * 0.3 + g(x, w),
    lambda f, g: lambda x, w: td.tanh(td.grad(lambda x: (f(x, w) * w).sum())(x)) + g(x, w),
    lambda f, g: lambda x, w: td.tanh(td.jvp(lambda x: f(x, w), [x], [g(w, w)])[1]),
    lambda f, g: lambda x, w: td.checkpoint(f)(x, w) + td.compile(g)(x, w),
]


def _programs() -> st.SearchStrategy[Program]:
    leaf = st.sampled_from(SIMPLE)
    return st.recursive(
        leaf, lambda inner: st.builds(lambda nest, f, g: nest(f, g), st.sampled_from(NESTS), inner, inner), max_leaves=4
    )


@given(_programs(), st.integers(0, 10))
def test_all_ways_to_a_derivative_agree(program: Program, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w, v, c = (t64(rng.uniform(0.2, 1.5, 3) * rng.choice([-1, 1], 3)) for _ in range(4))

    def loss(x: td.Tensor, w: td.Tensor) -> td.Tensor:
        return (program(x, w) * c).sum()

    gradient = td.grad(loss)
    expected = gradient(x, w).numpy()
    scale = 1 + np.abs(expected).max()
    np.testing.assert_allclose(td.compile(gradient)(x, w).numpy(), expected, atol=1e-11 * scale)
    rows = td.vmap(gradient, (0, None))(td.stack([x, v]), w).numpy()
    np.testing.assert_allclose(rows[0], expected, atol=1e-11 * scale)
    np.testing.assert_allclose(rows[1], gradient(v, w).numpy(), atol=1e-10 * (1 + np.abs(rows[1]).max()))
    slope = td.jvp(lambda x: loss(x, w), [x], [v])[1].item()
    np.testing.assert_allclose(slope, expected @ v.numpy(), atol=1e-10 * scale)
    h = 1e-5
    difference = (loss(x + h * v, w).item() - loss(x - h * v, w).item()) / (2 * h)
    np.testing.assert_allclose(slope, difference, atol=1e-6 * scale)  # differences of step 1e-5 hold 1e-10 / h at best
    curvature = td.hvp(lambda x: loss(x, w), [x], [v]).numpy()
    plus, minus = (gradient(x + s * v, w).numpy() for s in (h, -h))
    np.testing.assert_allclose(
        curvature, (plus - minus) / (2 * h), atol=1e-5 * (scale + np.abs(curvature).max())
    )  # a further order: the third derivative is larger
