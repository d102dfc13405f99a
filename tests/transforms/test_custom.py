"""Derivatives of the user's own, host functions, stop_gradient."""

from __future__ import annotations

from typing import Any

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


def test_host() -> None:
    calls = []

    def host(a: np.ndarray, b: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        calls.append(a.shape)
        return {"s": a + b["k"]}

    def f(x: td.Tensor) -> td.Tensor:
        return td.host(host, x, {"k": x * 2}, result_shape={"s": x})["s"]

    assert f(t64([1.0])).tolist() == [3.0]
    assert td.compile(f)(t64([1.0, 2.0])).tolist() == [3.0, 6.0]
    assert td.vmap(td.vmap(f))(t64([[[1.0], [2.0]], [[3.0], [4.0]]])).tolist() == [[[3.0], [6.0]], [[9.0], [12.0]]]
    assert calls == [(1,), (2,), (1,), (1,), (1,), (1,)]
    with pytest.raises(td.errors.DerivativeError, match=r"no derivative.*derivative="):
        td.grad(lambda x: f(x).sum())(t64([1.0]))
    with pytest.raises(td.errors.ShapeError, match="promised"):
        td.host(lambda a: a[:1], t64([1.0, 2.0]), result_shape=t64([1.0, 2.0]))
    assert td.host(lambda a: None, t64([1.0]), result_shape=()) == ()


def test_a_host_function_runs_though_nobody_uses_its_result() -> None:
    seen = []

    def f(x: td.Tensor) -> td.Tensor:
        td.host(lambda a: seen.append(float(a)) or a, x, result_shape=x)
        return x * 2

    td.compile(f)(t64(3.0))
    assert seen == [3.0]


def scanned(x: td.Tensor) -> td.Tensor:
    return td.scan(lambda h, _: (td.sin(h * x), None), x, length=3)[0]


def looped(x: td.Tensor) -> td.Tensor:
    return td.while_loop(lambda h: (h * h).sum() < 10.0, lambda h: h * 1.5 + x, x, max_steps=6)


RULES: dict[str, Any] = {
    "jvp": lambda body, p, t: td.jvp(body, [p], [t])[1],
    "vmap of jvp": lambda body, p, t: td.vmap(lambda v: td.jvp(body, [p], [v])[1])(td.stack([t, 2 * t])).mean(axis=0),
    "compiled jvp": lambda body, p, t: td.compile(lambda p, t: td.jvp(body, [p], [t])[1])(p, t),
    "jvp in a scan": lambda body, p, t: td.scan(lambda v, _: (v, td.jvp(body, [p], [v])[1]), t, length=1)[1][0],
}
USES: dict[str, Any] = {
    "grad": lambda f: td.grad(lambda x: f(x).sum()),
    "hessian": lambda f: td.hessian(lambda x: (f(x) ** 2).sum()),
    "vmap of grad": lambda f: lambda x: td.vmap(td.grad(lambda x: f(x).sum()))(td.stack([x, -x])),
    "grad of vmap": lambda f: lambda x: td.grad(lambda xs: td.vmap(f)(xs).sum())(td.stack([x, -x])),
    "compiled grad of vmap": lambda f: td.compile(USES["grad of vmap"](f)),
}


@pytest.mark.parametrize("body", [scanned, looped])
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", RULES)
def test_rules_that_use_forward_mode_through_loops(body: Any, use: str, name: str) -> None:
    scale = 1.5 if name == "vmap of jvp" else 1.0  # the mean of t and 2 t

    @td.custom_jvp
    def f(x: td.Tensor) -> td.Tensor:
        return body(x)

    f.def_jvp(lambda p, t: (f(*p), RULES[name](body, p[0], t[0]) / scale))
    x = t64([0.3, 0.7])
    np.testing.assert_allclose(USES[use](f)(x).numpy(), USES[use](body)(x).numpy(), rtol=1e-12)


TABLE = np.array([1.0, 10.0])
PLACES: dict[str, Any] = {
    "scan": lambda f, x: td.scan(lambda h, _: (f(h), None), x, length=2)[0],
    "cond": lambda f, x: td.cond(x.sum() > 0, lambda: f(f(x)), lambda: x),
    "checkpoint": lambda f, x: td.checkpoint(lambda x: f(f(x)))(x),
    "compile": lambda f, x: td.compile(lambda x: f(f(x)))(x),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["jvp", "vjp"])
def test_rules_with_constants_of_their_own(place: str, kind: str) -> None:
    if kind == "jvp":
        f: Any = td.custom_jvp(lambda x: x * 1.0)
        f.def_jvp(lambda p, t: (f(*p), t[0] * td.asarray(TABLE)))
    else:
        f = td.custom_vjp(lambda x: x * 1.0)
        f.def_vjp(lambda x: (x * 1.0, None), lambda _, ct: (ct * td.asarray(TABLE),))
    gradient = td.grad(lambda x: PLACES[place](f, x).sum())
    assert gradient(t64([0.5, 0.5])).tolist() == [1.0, 100.0]
    assert td.vmap(gradient)(t64([[0.5, 0.5], [1.0, 1.0]])).tolist() == [[1.0, 100.0]] * 2


def test_a_rule_in_a_loop_that_uses_what_is_differentiated_around_it_says_so() -> None:
    def outer(w: td.Tensor) -> td.Tensor:
        f = td.custom_jvp(lambda x: x * 1.0)
        f.def_jvp(lambda p, t: (f(*p), t[0] * w))
        return td.grad(lambda x: td.scan(lambda h, _: (f(h), None), x, length=2)[0].sum())(w).sum()

    with pytest.raises(td.errors.DerivativeError, match="Pass it to the function as an argument"):
        td.grad(outer)(t64([1.0, 2.0]))


def test_the_jacobian_of_a_custom_vjp_is_made_in_reverse() -> None:
    f = td.custom_vjp(td.sin)
    f.def_vjp(lambda x: (td.sin(x), x), lambda x, ct: (ct * td.cos(x),))
    x = np.array([0.3, 0.7])
    looped = lambda x: td.scan(lambda h, _: (f(h), None), x, length=1)[0]  # noqa: E731
    for g in (f, looped):
        np.testing.assert_allclose(td.jacobian(g)(t64(x)).numpy(), np.diag(np.cos(x)), rtol=1e-12)
