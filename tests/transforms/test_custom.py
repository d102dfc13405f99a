"""Derivatives of the user's own, host functions, stop_gradient."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td
from tests.transforms._oracles import t64


@td.custom_jvp
def cube(x: td.Tensor) -> td.Tensor:
    return x**3


@cube.def_jvp
def _(primals: tuple[td.Tensor], tangents: tuple[td.Tensor]) -> tuple[td.Tensor, td.Tensor]:
    (x,), (dx,) = primals, tangents
    return cube(x), 100 * x * dx  # deliberately not 3 x^2


@td.custom_vjp
def scaled(x: td.Tensor, p: dict[str, td.Tensor]) -> td.Tensor:
    return x * p["k"]


scaled.def_vjp(
    lambda x, p: (x * p["k"], {"x": x, "k": p["k"]}),
    lambda r, ct: (7 * ct * r["k"], {"k": (ct * r["x"]).sum()}),
)


def test_custom_jvp_in_every_transform() -> None:
    x = t64(2.0)
    assert cube(x).item() == 8.0
    assert td.grad(cube)(x).item() == 200.0
    assert td.jvp(cube, [x], [t64(0.5)])[1].item() == 100.0
    assert td.grad(td.grad(cube))(x).item() == 100.0
    assert td.compile(td.grad(cube))(x).item() == 200.0
    assert td.vmap(td.grad(cube))(t64([1.0, 2.0])).tolist() == [100.0, 200.0]
    assert td.grad(lambda y: td.vmap(cube)(y).sum())(t64([1.0, 2.0])).tolist() == [100.0, 200.0]
    assert td.grad(lambda y: td.scan(lambda c, _: (cube(c), None), y, length=1)[0])(x).item() == 200.0


def test_custom_vjp_in_every_transform() -> None:
    x, p = t64([1.0, 2.0]), {"k": t64(3.0)}

    def loss(x: td.Tensor, p: dict[str, td.Tensor]) -> td.Tensor:
        return scaled(x, p).sum()

    gx, gp = td.grad(loss, (0, 1))(x, p)
    assert gx.tolist() == [21.0, 21.0]
    assert gp["k"].item() == 3.0
    assert td.compile(td.grad(loss))(x, p).tolist() == [21.0, 21.0]
    rows = td.vmap(td.grad(loss, (0, 1)), (0, None))(t64([[1.0, 2.0], [3.0, 4.0]]), p)
    assert rows[0].tolist() == [[21.0, 21.0], [21.0, 21.0]]
    assert rows[1]["k"].tolist() == [3.0, 7.0]
    total = td.grad(lambda p: td.vmap(loss, (0, None))(t64([[1.0, 2.0], [3.0, 4.0]]), p).sum())(p)
    assert total["k"].item() == 10.0
    assert td.grad(lambda y: td.grad(loss)(y, {"k": y.sum()}).sum())(x).tolist() == [14.0, 14.0]


def test_a_python_if_inside_a_custom_function() -> None:
    @td.custom_jvp
    def f(x: td.Tensor) -> td.Tensor:
        return x * 2 if x > 0 else x

    f.def_jvp(lambda p, t: (f(p[0]), t[0] * 5))
    assert td.grad(f)(t64(1.0)).item() == 5.0


def test_messages_of_custom_derivatives() -> None:
    x = t64(2.0)
    with pytest.raises(td.errors.DerivativeError, match="custom_jvp instead"):
        td.jvp(lambda y: scaled(y, {"k": y}), [x], [x])
    with pytest.raises(td.errors.ArgumentError, match="def_jvp before"):
        td.custom_jvp(lambda y: y)(x)
    with pytest.raises(td.errors.ArgumentError, match="def_vjp before"):
        td.custom_vjp(lambda y: y)(x)

    def closing(z: td.Tensor) -> td.Tensor:
        @td.custom_jvp
        def f(y: td.Tensor) -> td.Tensor:
            return y * z

        f.def_jvp(lambda p, t: (f(p[0]), t[0]))
        return f(td.asarray(np.float64(1.0)))

    with pytest.raises(td.errors.DerivativeError, match="Pass it as an argument"):
        td.grad(closing)(x)

    bad = td.custom_vjp(lambda y: y)
    bad.def_vjp(lambda y: (y, None), lambda r, ct: ct)
    with pytest.raises(td.errors.ArgumentError, match="one cotangent an argument"):
        td.grad(bad)(x)
    worse = td.custom_vjp(lambda y: y)
    worse.def_vjp(lambda y: (y, None), lambda r, ct: (td.ones(3),))
    with pytest.raises(td.errors.ShapeError, match=r"f64\[\].*f32\[3\]"):
        td.grad(worse)(x)


def test_stop_gradient_of_trees() -> None:
    def f(x: td.Tensor) -> td.Tensor:
        fixed = td.stop_gradient({"a": x, "name": "n"})
        return (x * fixed["a"]).sum()

    assert td.grad(f)(t64([2.0])).tolist() == [2.0]
    assert td.hessian(f)(t64([2.0])).tolist() == [[0.0]]


def test_host_call() -> None:
    calls = []

    def host(a: np.ndarray, b: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        calls.append(a.shape)
        return {"s": a + b["k"]}

    def f(x: td.Tensor) -> td.Tensor:
        return td.host_call(host, x, {"k": x * 2}, result={"s": x})["s"]

    assert f(t64([1.0])).tolist() == [3.0]
    assert td.compile(f)(t64([1.0, 2.0])).tolist() == [3.0, 6.0]
    assert td.vmap(td.vmap(f))(t64([[[1.0], [2.0]], [[3.0], [4.0]]])).tolist() == [[[3.0], [6.0]], [[9.0], [12.0]]]
    assert calls == [(1,), (2,), (1,), (1,), (1,), (1,)]
    with pytest.raises(td.errors.DerivativeError, match=r"no derivative.*custom_jvp"):
        td.grad(lambda x: f(x).sum())(t64([1.0]))
    with pytest.raises(td.errors.ShapeError, match="promised"):
        td.host_call(lambda a: a[:1], t64([1.0, 2.0]), result=t64([1.0, 2.0]))
    assert td.host_call(lambda a: None, t64([1.0]), result=()) == ()


def test_a_host_function_runs_though_nobody_uses_its_result() -> None:
    seen = []

    def f(x: td.Tensor) -> td.Tensor:
        td.host_call(lambda a: seen.append(float(a)) or a, x, result=x)
        return x * 2

    td.compile(f)(t64(3.0))
    assert seen == [3.0]
