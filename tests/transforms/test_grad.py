"""Reverse and forward mode against finite differences, closed forms and each other, to third order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.transforms._oracles import check_grad, t64

FUNCTIONS: dict[str, tuple[Callable[[td.Tensor], td.Tensor], tuple[int, ...]]] = {
    "polynomial": (lambda x: (x**3 - 2 * x * x).sum(), (3,)),
    "shared subexpression": (lambda x: (td.tanh(x) * td.tanh(x) + td.tanh(x)).sum(), (2, 2)),
    "broadcasting": (lambda x: (x[:, None] * x[None, :] + x).sum(), (3,)),
    "matmul": (lambda x: td.tanh(x @ x.T).sum(), (3, 2)),
    "einsum": (lambda x: td.einsum("ij,jk,kl->il", x, x.T, x).sum(), (2, 3)),
    "softmax": (lambda x: (td.softmax(x, axis=-1) ** 2).sum(), (2, 3)),
    "logsumexp": (lambda x: td.logsumexp(x, axis=0).sum(), (3, 2)),
    "reductions": (lambda x: td.prod(x) + td.max(x) * td.min(x) + td.var(x), (4,)),
    "indexing": (lambda x: (x[1:, ::2] * x[0, 1]).sum() + x[-1, 0] ** 2, (3, 4)),
    "gather": (lambda x: (x[td.asarray([2, 0, 2])] ** 2).sum(), (3, 2)),
    "scatter": (lambda x: (x.at[td.asarray([0, 0])].add(x[1:3] ** 2) ** 2).sum(), (3,)),
    "cumulative": (lambda x: (td.cumulative_sum(x) * td.cumulative_prod(x)).sum(), (4,)),
    "sort": (lambda x: (td.sort(x) * td.arange(4.0, dtype=td.float64)).sum(), (4,)),
    "concat": (lambda x: (td.concat([x, td.sin(x)], axis=1) ** 2).sum(), (2, 2)),
    "where": (lambda x: td.where(x > 0, td.exp(x), x**2).sum(), (4,)),
    "does not depend": (lambda x: td.asarray(np.float64(3.0)), (2,)),
    "through integers": (lambda x: (x * td.floor(x).astype(td.int32).astype(td.float64)).sum(), (3,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient_and_its_gradient_against_differences(name: str) -> None:
    f, shape = FUNCTIONS[name]
    x = np.random.default_rng(len(name)).uniform(0.4, 1.6, shape) * np.where(np.indices(shape).sum(0) % 2, 1, -1)
    check_grad(f, x, order=2)


def test_third_order() -> None:
    check_grad(lambda x: (td.sin(x) * x**2).sum(), [0.3, -0.7], order=3)
    d3 = td.grad(td.grad(td.grad(lambda x: x**4)))
    assert d3(td.asarray(2.0)).item() == 48.0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_equals_eager(name: str) -> None:
    f, shape = FUNCTIONS[name]
    x = t64(np.random.default_rng(1).uniform(0.4, 1.6, shape))
    np.testing.assert_allclose(td.compile(td.grad(f))(x).numpy(), td.grad(f)(x).numpy(), rtol=1e-12)
    np.testing.assert_allclose(td.grad(td.compile(f))(x).numpy(), td.grad(f)(x).numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_linearize_vjp_and_jvp_agree(name: str) -> None:
    f, shape = FUNCTIONS[name]
    rng = np.random.default_rng(2)
    x, v = t64(rng.uniform(0.4, 1.6, shape)), t64(rng.standard_normal(shape))
    value, tangent = td.jvp(f, [x], [v])
    value2, push = td.linearize(f, x)
    value3, pull = td.vjp(f, x)
    assert value.item() == value2.item() == value3.item() == f(x).item()
    np.testing.assert_allclose(push(v).item(), tangent.item(), rtol=1e-12)
    (g,) = pull(t64(1.0))
    np.testing.assert_allclose((g * v).sum().item(), tangent.item(), rtol=1e-9, atol=1e-12)


def test_trees_argnums_and_aux() -> None:
    def f(p: dict[str, td.Tensor], scale: td.Tensor, n: int) -> tuple[td.Tensor, dict[str, td.Tensor]]:
        y = p["w"] * scale * n + p["b"][0]
        return y.sum(), {"y": y}

    p = {"w": td.asarray([1.0, 2.0]), "b": [td.asarray(3.0)]}
    (value, aux), (gp, gs) = td.value_and_grad(f, (0, 1), has_aux=True)(p, td.asarray(2.0), 3)
    assert value.item() == 24.0
    assert aux["y"].tolist() == [9.0, 15.0]
    assert gp["w"].tolist() == [6.0, 6.0]
    assert gp["b"][0].item() == 2.0
    assert gs.item() == 9.0


def test_a_python_if_on_values_works() -> None:
    def f(x: td.Tensor) -> td.Tensor:
        return (x**2).sum() if x.sum() > 0 else x.sum()

    assert td.grad(f)(td.asarray([1.0, 2.0])).tolist() == [2.0, 4.0]
    assert td.grad(f)(td.asarray([-1.0, -2.0])).tolist() == [1.0, 1.0]


def test_float_and_numpy_arguments_become_tensors() -> None:
    assert td.grad(lambda x: x * x)(3.0).item() == 6.0
    assert td.grad(lambda x: (x * x).sum())(np.asarray([3.0], np.float32)).tolist() == [6.0]


def test_what_has_no_derivative_says_so() -> None:
    with pytest.raises(td.errors.DerivativeError, match=r"argument 0 is i32\[2\]: integers and bools have no"):
        td.grad(lambda x: x.sum())(td.asarray([1, 2]))
    with pytest.raises(td.errors.DerivativeError, match=r"argument 0, k is bool\[\]"):
        td.grad(lambda x: x["k"])({"k": td.asarray(True)})
    with pytest.raises(td.errors.DerivativeError, match=r"returned f32\[2\].*jacobian"):
        td.grad(lambda x: x)(td.ones(2))
    with pytest.raises(td.errors.DerivativeError, match=r"2 things.*has_aux"):
        td.grad(lambda x: (x, x))(td.asarray(1.0))
    with pytest.raises(td.errors.DerivativeError, match="'a'"):
        td.grad(lambda x: x)("a")
    with pytest.raises(td.errors.ArgumentError, match="no positional argument 1"):
        td.grad(lambda x: x, 1)(td.asarray(1.0))
    with pytest.raises(td.errors.DerivativeError, match=r"f32\[\].*f32\[2\]"):
        td.jvp(td.sin, [td.asarray(1.0)], [td.ones(2)])
    with pytest.raises(td.errors.DerivativeError, match=r"returned 1\.5, which no longer.*\.item\(\)"):
        td.grad(lambda x: x.item())(td.asarray(1.5))
    with pytest.raises(td.errors.ArgumentError, match=r"\[x\], \[dx\]"):
        td.jvp(td.sin, td.ones(2), td.ones(2))
    with pytest.raises(td.errors.ArgumentError, match=r"\[x\], \[dx\]"):
        td.hvp(td.sum, td.ones(2), td.ones(2))


def test_numpy_does_not_swallow_a_derivative() -> None:
    x, k = td.asarray([1.0, 4.0]), np.asarray([2.0, 3.0], np.float32)
    with pytest.raises(td.errors.DerivativeError, match=r"f32\[2\], an input, and td.grad.*td\.sin for np\.sin"):
        td.grad(lambda x: td.asarray(np.sqrt(x)).sum())(x)
    assert td.grad(lambda x: (k * x).sum())(x).tolist() == [2.0, 3.0]
    assert td.grad(lambda x: (x * x.numpy()).sum())(x).tolist() == [1.0, 4.0]  # a constant, asked for by name
    seen = []
    td.grad(lambda x: (seen.append(np.asarray(td.argmax(x))), x.sum())[1])(x)
    assert seen == [1]  # what has no derivative loses none


def test_an_exact_zero_stays_zero() -> None:
    g = td.grad(lambda x: td.where(x > 0, td.sqrt(x), 0.0).sum())(td.asarray([0.0, 4.0]))
    assert g.tolist() == [0.0, 0.25]


def test_hessian_jacobian_hvp() -> None:
    a = np.random.default_rng(0).standard_normal((3, 3))
    m = t64(a)

    def quadratic(x: td.Tensor) -> td.Tensor:
        return td.vecdot(x, m @ x)

    x = t64([1.0, -2.0, 0.5])
    np.testing.assert_allclose(td.hessian(quadratic)(x).numpy(), a + a.T, rtol=1e-12)
    v = t64([0.3, 0.1, -1.0])
    np.testing.assert_allclose(td.hvp(quadratic, [x], [v]).numpy(), (a + a.T) @ v.numpy(), rtol=1e-12)
    for mode in ("forward", "reverse", None):
        made = td.jacobian(lambda y: {"p": m @ y, "q": y.sum()}, mode=mode)(x)
        np.testing.assert_allclose(made["p"].numpy(), a, rtol=1e-12)
        assert made["q"].tolist() == [1.0, 1.0, 1.0]


def test_jacobian_of_several_trees() -> None:
    def f(p: dict[str, td.Tensor], y: td.Tensor) -> td.Tensor:
        return td.tensordot(p["w"], y, axes=1)

    p = {"w": t64(np.arange(6.0).reshape(2, 3))}
    y = t64([1.0, 2.0, 3.0])
    jp, jy = td.jacobian(f, (0, 1))(p, y)
    np.testing.assert_allclose(jp["w"].numpy(), np.einsum("ai,j->aij", np.eye(2), y.numpy()))
    np.testing.assert_allclose(jy.numpy(), p["w"].numpy())
    h = td.hessian(f_scalar, (0, 1))(t64(2.0), t64(3.0))
    assert [[round(b.item(), 6) for b in row] for row in h] == [[6.0, 4.0], [4.0, 0.0]]


def f_scalar(a: td.Tensor, b: td.Tensor) -> td.Tensor:
    return a * a * b


def test_checkpoint_keeps_values_and_derivatives() -> None:
    def block(x: td.Tensor) -> td.Tensor:
        return td.sin(x) * td.exp(-x)

    def f(g: Callable[[td.Tensor], td.Tensor], x: td.Tensor) -> td.Tensor:
        return (g(g(x)) ** 2).sum()

    x = t64([0.3, 0.9])
    for order in (lambda h: h, td.grad):
        plain = td.grad(lambda y, order=order: order(lambda z: f(block, z))(y).sum())(x)
        again = td.grad(lambda y, order=order: order(lambda z: f(td.checkpoint(block), z))(y).sum())(x)
        np.testing.assert_allclose(again.numpy(), plain.numpy(), rtol=1e-12)
    graph = td.graph(td.grad(lambda y: f(td.checkpoint(block), y)))(x)
    remat = [n for n in graph.nodes if n.primitive.name == "call"]
    assert len(remat) == 4
    assert all(len(n.inputs) <= 2 for n in remat)  # only arguments and cotangents are kept


@pytest.mark.parametrize("transform", [td.grad, td.vmap, td.compile, td.jacobian, td.hessian, td.checkpoint])
def test_what_is_no_function_says_so_at_once(transform: Any) -> None:
    with pytest.raises(td.errors.ArgumentError, match=r"this is the tensor f64\[\].*Write td.grad\(loss\)\(x\)"):
        transform(t64(1.0))


@pytest.mark.parametrize("argnums", ["x", ("x", "y"), (0, 1.0)])
def test_argnums_are_positions(argnums: Any) -> None:
    for transform in (td.grad, td.jacobian):
        with pytest.raises(td.errors.ArgumentError, match="must be the position"):
            transform(f_scalar, argnums)
