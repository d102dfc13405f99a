"""simplify: each pass on a graph that one can read, its refusals, and the same bits on every graph of the layers."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle.core.checking import check_graph
from treadle.core.graph import Graph
from treadle.core.registry import backend
from treadle.transforms.simplify import PASSES, simplify
from treadle.transforms.simplify.constants import fold_literals, read_constants_as_literals
from treadle.transforms.simplify.equal import merge_equal_nodes
from treadle.transforms.simplify.identities import drop_identities
from treadle.transforms.simplify.views import compose_views


def body(graph: Graph) -> str:
    """The nodes without columns' padding, the values numbered from 0."""
    return "\n".join(" ".join(line.split()) for line in str(graph).splitlines()[1:])


CASES: list[tuple[Callable[[Graph], Graph], str, str]] = [
    (
        fold_literals,
        """
        graph f(x: f32[3]) -> f32[3]
          %0 = eq 64.0 0.0 : bool[]
          %1 = select %0 1.0 64.0 : f32[]
          %2 = div %x %1 : f32[3]
          return %2
        """,
        """
        %0 = div %x 64.0 : f32[3]
        return %0
        """,
    ),
    (
        read_constants_as_literals,
        """
        graph f(x: f32[3]) -> (f32[3], f32[3])
          %0 = reshape 2.0 shape=(1,) : f32[1]
          %1 = broadcast %0 shape=(3,) : f32[3]
          %2 = mul %1 %x : f32[3]
          %3 = add %1 %1 : f32[3]
          return %2 %3
        """,
        """
        %0 = reshape 2.0 shape=(1,) : f32[1]
        %1 = broadcast %0 shape=(3,) : f32[3]
        %2 = mul 2.0 %x : f32[3]
        %3 = add %1 %1 : f32[3]
        return %2 %3
        """,
    ),
    (
        merge_equal_nodes,
        """
        graph f(x: f32[3]) -> f32[3]
          %0 = tanh %x : f32[3]
          %1 = tanh %x : f32[3]
          %2 = add %0 %1 : f32[3]
          return %2
        """,
        """
        %0 = tanh %x : f32[3]
        %1 = add %0 %0 : f32[3]
        return %1
        """,
    ),
    (
        drop_identities,
        """
        graph f(x: f32[3]) -> f32[3]
          %0 = mul %x 1.0 : f32[3]
          %1 = reshape %0 shape=(3,) : f32[3]
          %2 = add %1 -0.0 : f32[3]
          %3 = masked_mul 1.0 %2 : f32[3]
          %4 = pad %3 0.0 high=(0,) interior=(0,) low=(0,) : f32[3]
          %5 = select true %4 %x : f32[3]
          return %5
        """,
        "return %x",
    ),
    (
        compose_views,
        """
        graph f(x: f32[2,3]) -> (f32[3,2], f32[2,3])
          %0 = reshape %x shape=(6,) : f32[6]
          %1 = reshape %0 shape=(3, 2) : f32[3,2]
          %2 = transpose %x axes=(1, 0) : f32[3,2]
          %3 = transpose %2 axes=(1, 0) : f32[2,3]
          return %1 %3
        """,
        """
        %0 = reshape %x shape=(3, 2) : f32[3,2]
        %1 = transpose %x axes=(0, 1) : f32[2,3]
        return %0 %1
        """,
    ),
]


@pytest.mark.parametrize(("run", "before", "after"), CASES, ids=[run.__name__ for run, _, _ in CASES])
def test_what_each_pass_rewrites(run: Callable[[Graph], Graph], before: str, after: str) -> None:
    graph = Graph.parse(textwrap.dedent(before).strip())
    made = run(graph).prune()
    assert body(made) == textwrap.dedent(after).strip()
    check_graph(made)
    assert body(run(made).prune()) == body(made)  # idempotent


REFUSED = [
    "%0 = add %x 0.0 : f32[3]",  # -0.0 + 0.0 is 0.0
    "%0 = sub %x -0.0 : f32[3]",
    "%0 = mul %x 0.0 : f32[3]",  # NaN and the sign of zero
    "%0 = masked_mul %x 1.0 : f32[3]",  # -0.0 becomes 0.0
    "%0 = add %x 1.0 : f32[3]",
]


@pytest.mark.parametrize("line", REFUSED)
def test_what_would_change_a_bit_stays(line: str) -> None:
    graph = Graph.parse(f"graph f(x: f32[3]) -> f32[3]\n  {line}\n  return %0")
    for run in PASSES:
        graph = run(graph)
    assert body(graph).splitlines()[0] == line


def test_a_cast_there_and_back_stays() -> None:
    text = "graph f(x: f32[3]) -> f32[3]\n  %0 = cast %x dtype=f16 : f16[3]\n  %1 = cast %0 dtype=f32 : f32[3]"
    text += "\n  return %1"
    assert len(simplify(Graph.parse(text)).nodes) == 2


def test_effects_are_neither_merged_nor_dropped() -> None:
    calls: list[float] = []

    def f(x: td.Tensor) -> td.Tensor:
        for _ in range(2):
            td.host(lambda a: calls.append(float(a)) or a, x, result_shape=x)
        return x

    td.compile(f)(td.asarray(1.0))
    assert calls == [1.0, 1.0]


def model_loss(x: td.Tensor) -> td.Tensor:
    y = td.softmax(td.tanh(x) @ x.T, axis=-1)
    h, ys = td.scan(lambda c, a: (td.tanh(c + a * 1.0), c * 1.0), x[0], x)
    return (y * td.log(y + 1.0)).sum() + (h * h).sum() + ys.mean() + td.where(x > 0, td.sqrt(td.abs(x)), 0.0).sum()


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "loss": model_loss,
    "gradient": td.grad(model_loss),
    "hessian": td.hessian(lambda x: model_loss(x)),
    "vmap": td.vmap(lambda r: td.grad(lambda x: model_loss(td.stack([x, x * 2])))(r)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_same_bits_with_fewer_nodes(name: str) -> None:
    x = td.asarray(np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32))
    graph = td.graph(FUNCTIONS[name])(x).close()
    small = simplify(graph)
    check_graph(small)
    assert len(list(small.walk())) < len(list(graph.walk()))
    run = backend("reference").run_graph
    for a, b in zip(run(small, [x.numpy()]), run(graph, [x.numpy()]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert simplify(small) == small


def test_sizes_that_are_not_known_stay() -> None:
    f = td.compile(td.grad(lambda x: (x * 1.0).mean()), dynamic={"x": ("n",)})
    for n in (2, 5):
        np.testing.assert_allclose(f(td.ones(n)).numpy(), np.full(n, 1 / n), rtol=1e-6)
    assert f.traces == 1
