"""Loops and branches, nested in every way: compiled they give what the reference gives, and so do their gradients."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td

RNG = np.random.default_rng(0)


def normal(*shape):
    return td.asarray(RNG.standard_normal(shape))


X, XS, SQUARE = normal(4, 5), normal(7, 4, 5), normal(5, 5)


def flat(tree):
    return [leaf for part in tree for leaf in flat(part)] if isinstance(tree, (tuple, list)) else [tree]


def agree(f, *args):
    want, got = flat(td.compile(f, backend="reference")(*args)), flat(td.compile(f)(*args))
    assert len(want) == len(got)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape
        # sums in another order; gradients of loops add up some dozen of them
        np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=1e-10, atol=1e-12)


def while_with_counter(step, rounds, *carry):
    return td.while_loop(lambda s: s[0] < rounds, lambda s: (s[0] + 1, *step(*s[1:])), (td.asarray(0), *carry))


# Bodies that write where they still have to read, were they careless.
CARRIES = {
    "swapped": lambda x: while_with_counter(lambda a, b: (b, a), 3, x, x + 1),
    "rotated": lambda x: while_with_counter(lambda a, b, c: (b, c + a, a), 4, x, x + 1, x + 2),
    "transposed": lambda x: while_with_counter(lambda a: (a.mT + 1,), 3, x),
    "flipped": lambda x: while_with_counter(lambda a: (td.flip(a, axis=0),), 3, x),
    "rolled": lambda x: while_with_counter(lambda a: (td.roll(a, 1, axis=0) + a[0],), 3, x),
    "summed up": lambda x: while_with_counter(lambda a: (td.cumulative_sum(a, axis=0) + 1,), 4, x),
    "multiplied": lambda x: while_with_counter(lambda a: (a @ x * 0.3,), 5, x),
    "squared": lambda x: td.scan(lambda c, _: (c @ c * 0.2, c @ x), x, None, length=4),
    "updated": lambda x: td.scan(lambda c, v: (c.at[1].set(v).at[0].add(c[1]), c[1]), x, x),
    "shifted in": lambda x: td.scan(lambda c, v: (td.concat([c[1:], v[None]], axis=0), td.sum(c, axis=0)), x, x),
}


@pytest.mark.parametrize("name", CARRIES)
def test_carries(name):
    agree(CARRIES[name], SQUARE)


def rows(body):
    """A loop over the rows of each slice of a loop."""
    return lambda x, xs: td.scan(lambda c, v: (c * 0.5, body(c, v)), x, xs)


def root(s):
    return td.while_loop(lambda s: td.sum(s * s) < 10, lambda s: s * 1.5, s + 0.1)


NESTED = {
    "over a slice": rows(lambda c, v: td.scan(lambda d, w: (d + w, d * w), v[0], v)),
    "over a slice, backwards": rows(lambda c, v: td.scan(lambda d, w: (d + w, d * w), v[0], v, reverse=True)),
    "over the carry": rows(lambda c, v: td.scan(lambda d, w: (d + w, d * w), c[0], c)),
    "three deep": rows(
        lambda c, v: td.scan(lambda d, w: (d + w, td.scan(lambda e, u: (e + u, e * u), d[0], w)), v[0], v)
    ),
    "beside a while": rows(lambda c, v: (root(c), td.scan(lambda d, w: (d + w, d), v[0], v))),
    "in a branch": rows(
        lambda c, v: td.cond(v[0, 0] > 0, lambda v: td.scan(lambda d, w: (d + w, d), v[0], v)[1], lambda v: v * 2, v)
    ),
    "around a branch": rows(
        lambda c, v: td.scan(lambda d, w: (td.cond(w[0] > 0, td.sin, td.exp, d), w[0] + d), v[0], v)
    ),
    "around a while": rows(lambda c, v: td.scan(lambda d, w: (root(d) * 0.1, w * d), v[0], v)),
    "in a while": lambda x, xs: td.while_loop(
        lambda s: td.sum(td.abs(s)) < 100, lambda s: td.scan(lambda d, w: (d, d * 0.1 + w * 2), s[0], s)[1], x
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_nested(name):
    agree(NESTED[name], X, XS)


@pytest.mark.parametrize("name", [n for n in NESTED if "while" not in n])
def test_gradients_of_nested(name):
    def loss(x, xs):
        return sum(td.sum(td.sin(out)) for out in flat(NESTED[name](x, xs)))

    agree(td.grad(loss, argnums=(0, 1)), X, XS)


def test_gradient_of_a_bounded_while():
    def loss(x):
        return td.sum(td.while_loop(lambda s: td.sum(s * s) < 50, lambda s: s * 1.3 + td.sin(s), x, max_steps=12))

    agree(td.grad(loss), X)


def test_second_derivatives():
    def loss(x):
        return td.sum(td.scan(lambda c, v: (td.tanh(c * v), c), x, XS)[1] ** 2)

    agree(td.grad(lambda x: td.sum(td.grad(loss)(x) ** 2)), X)


def test_loops_of_no_rounds():
    agree(lambda x, xs: td.scan(lambda c, v: (c + v, c * v), x, xs), X, normal(0, 4, 5))
    agree(lambda x: td.while_loop(lambda s: td.sum(s * s) < 0, lambda s: s + 1, x), X)


@pytest.mark.parametrize("index", [-3, 0, 1, 2, 9])
def test_switch(index):
    branches = [lambda x: x + 1, td.sin, lambda x: x * x]
    agree(lambda k, x: td.switch(k, branches, x), td.asarray(index, dtype=td.int32), X)


def test_outputs_that_are_inputs():
    agree(lambda x, y: td.cond(td.sum(x) > 0, lambda a, b: (a, b), lambda a, b: (b, a), x, y), X, X + 1)
    agree(lambda x, xs: td.scan(lambda c, v: (c + v, (c, c, v, v)), x, xs), X, XS)


def test_python_inside_a_loop():
    def cosine(v):
        return td.host(np.cos, v, result_shape=td.Spec((4, 5), td.float64))

    agree(lambda x, xs: td.scan(lambda c, v: (c + cosine(v), c), x, xs), X, XS)


def test_a_compiled_function_called_by_python_inside_a_compiled_function():
    inner = td.compile(lambda x: td.sum(x @ x))
    a = td.ones((200, 200))

    def back(y):
        return np.asarray(inner(td.full((200, 200), float(y))).numpy())

    f = td.compile(lambda a: td.host(back, td.sum(a) * 0 + 1, result_shape=td.Spec((), td.float32)) + td.sum(a @ a))
    assert f(a).item() == 2 * 200.0**3


def test_batches_of_loops():
    agree(td.vmap(root), X)
    agree(td.vmap(lambda v: td.cond(td.sum(v) > 0, lambda v: td.cumulative_sum(v), lambda v: v, v)), X)


def test_two_updates_of_the_same_array_begin_with_copies_of_their_own():
    def f(x, rows):
        base = x * 2.0
        return base.at[rows].set(0.0), base.at[rows].add(1.0), base.at[rows].set(5.0)

    x, rows = td.asarray(np.arange(24.0).reshape(6, 4)), td.asarray(np.array([0, 3]))
    for made, expected in zip(td.compile(f)(x, rows), f(x, rows), strict=True):
        np.testing.assert_array_equal(np.asarray(made), np.asarray(expected))


def test_an_update_of_a_constant_in_a_loop_begins_anew_each_turn():
    def f(base, places):
        def body(total, i):
            changed = base.at[i].add(1.0)
            return total + changed.sum(axis=0), changed * 1.0

        return td.scan(body, td.zeros(4, dtype=td.float64), places)

    base, places = td.asarray(np.zeros((6, 4))), td.asarray(np.array([[0], [3], [0], [2]]))
    for made, expected in zip(td.compile(f)(base, places), f(base, places), strict=True):
        np.testing.assert_array_equal(np.asarray(made), np.asarray(expected))
