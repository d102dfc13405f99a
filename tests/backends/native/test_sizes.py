"""Graphs with Dims: one plan for a class of sizes, bound to the sizes of each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle as td
from treadle import nn
from treadle.backends.native.extents import Facts, SizeNeededError, are_same, at_sizes, ceiling, is_extent
from treadle.backends.native.sizes import BySizes
from treadle.core import trees
from treadle.core.dims import Dim

SIZES = (1, 2, 5, 16, 17, 64, 100, 255, 256, 300, 1000)  # with the first and last of three classes


def executable(f: Any) -> BySizes:
    (entry,) = f._cache.values()
    assert isinstance(entry.executable, BySizes)
    return entry.executable


def random(*shape: int) -> td.Tensor:
    return td.asarray(np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32))


def agree(f: Callable[..., Any], dynamic: dict[str, Any], *args: td.Tensor | nn.Module) -> None:
    got, want = dynamic["run"](*args), td.compile(f, backend="reference")(*args)
    for a, b in zip(trees.flatten(got)[0], trees.flatten(want)[0], strict=True):
        scale = float(np.abs(np.asarray(b)).max(initial=0))
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5 + 1e-5 * scale)


W = random(64, 48)
FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[[int], list[td.Tensor]], dict[str, Any]]] = {
    "elementwise": (lambda x: td.exp(x) * 2 + 1, lambda n: [random(n, 7)], {"x": ("n", None)}),
    "softmax of rows": (lambda x: td.softmax(x), lambda n: [random(n, 40)], {"x": ("n", None)}),
    "softmax along": (lambda x: td.softmax(x), lambda n: [random(5, n)], {"x": (None, "n")}),
    "reductions": (
        lambda x: (x.sum(), x.mean(axis=0), x.max(axis=0), td.argmax(x, axis=0), x.min(axis=1)),
        lambda n: [random(n, 33)],
        {"x": ("n", None)},
    ),
    "transposed": (lambda x: x.T + 0, lambda n: [random(n, 19)], {"x": ("n", None)}),
    "flattened": (lambda x: td.reshape(x, (-1,)) * 2, lambda n: [random(n, 3, 5)], {"x": ("n", None, None)}),
    "rows": (lambda x: x @ W, lambda n: [random(n, 64)], {"x": ("n", None)}),
    "columns": (lambda x: W.T @ x, lambda n: [random(64, n)], {"x": (None, "n")}),
    "sums": (lambda x, y: x.T @ y, lambda n: [random(n, 24), random(n, 40)], {"x": ("n", None), "y": ("n", None)}),
    "batches": (
        lambda x: td.matmul(x, td.permute_dims(x, (0, 2, 1))),
        lambda n: [random(n, 7, 16)],
        {"x": ("n", None, None)},
    ),
    "attention": (
        lambda x: td.matmul(td.softmax(td.matmul(x, td.permute_dims(x, (0, 2, 1)))), x),
        lambda n: [random(2, n, 16)],
        {"x": (None, "n", None)},
    ),
    "padded": (lambda x: td.pad(x, ((1, 2), (0, 3))) + 1, lambda n: [random(n, 5)], {"x": ("n", None)}),
    "joined": (lambda x: td.concat([x, x * 2, x[:1]], axis=0), lambda n: [random(n, 6)], {"x": ("n", None)}),
    "running": (lambda x: td.cumulative_sum(x, axis=0), lambda n: [random(n, 9)], {"x": ("n", None)}),
    "chosen": (
        lambda x: td.take(x, td.asarray([0, 0]), axis=0),
        lambda n: [random(n, 6)],
        {"x": ("n", None)},
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_size_agrees_with_the_reference(name: str) -> None:
    f, make, dynamic = FUNCTIONS[name]
    run = td.compile(f, dynamic=dynamic)
    for n in SIZES:
        agree(f, {"run": run}, *make(n))
    assert executable(run).needed == ""
    assert len(executable(run).plans) <= 6  # one for size 1, and not many more than one for each class


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 600), name=st.sampled_from(sorted(FUNCTIONS)))
def test_any_size_agrees_with_the_reference(n: int, name: str) -> None:
    f, make, dynamic = FUNCTIONS[name]
    agree(f, {"run": td.compile(f, dynamic=dynamic)}, *make(n))


def grads(model: nn.Module, x: td.Tensor) -> Any:
    return td.grad(lambda m, x: (m(x) ** 2).sum())(model, x)


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], td.Tensor], tuple[str | None, ...]]] = {
    "dense": (
        lambda: nn.Sequential([nn.Dense(64, activation="tanh"), nn.Dense(10)]),
        lambda n: random(n, 30),
        ("n", None),
    ),
    "convolutional": (
        lambda: nn.Sequential(
            [
                nn.Conv2D(8, 3, padding="same", activation="tanh"),
                nn.MaxPool2D(2),
                nn.Conv2D(16, 3),
                nn.BatchNorm(),
                nn.Flatten(),
                nn.Dense(10),
            ]
        ),
        lambda n: random(n, 12, 12, 3),
        ("n", None, None, None),
    ),
    "recurrent": (lambda: nn.LSTM(12, return_sequences=True), lambda n: random(n, n + 3, 5), ("n", "t", None)),
}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_models_agree_with_those_of_known_sizes(name: str) -> None:
    make, data, dims = MODELS[name]
    model = make()
    model(data(2))
    run, known = td.compile(grads, dynamic={"x": dims}), td.compile(grads)
    for n in (17, 33, 64):
        got, want = run(model, data(n)), known(model, data(n))
        for a, b in zip(trees.flatten(got)[0], trees.flatten(want)[0], strict=True):
            scale = float(np.abs(b.numpy()).max())
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-5 + 1e-5 * scale)
    assert executable(run).needed == ""
    assert len(executable(run).plans) == 1


def test_sizes_of_one_class_share_their_code() -> None:
    run = td.compile(lambda x: td.softmax(td.tanh(x @ W)), dynamic={"x": ("n", None)})
    for n in (20, 100, 250):
        run(random(n, 64))
    made = executable(run)
    assert len(made.plans) == 1
    assert len({run.llvm(random(n, 64)) for n in (20, 100, 250)}) == 1


def test_the_result_does_not_depend_on_which_size_came_first() -> None:
    f = lambda x: (x.T @ x).sum(axis=0)  # noqa: E731
    one, other = (td.compile(f, dynamic={"x": ("n", None)}) for _ in range(2))
    one(random(300, 40))
    other(random(4000, 40))
    assert np.array_equal(one(random(1000, 40)).numpy(), other(random(1000, 40)).numpy())


def test_threads_do_not_change_a_bit() -> None:
    run, x = td.compile(lambda x: td.softmax(x @ x.T).sum(axis=0), dynamic={"x": ("n", None)}), random(300, 70)
    before, found = td.get_threads(), []
    try:
        for count in (1, 2, 3, 8):
            td.set_threads(count)
            found.append(run(x).numpy())
    finally:
        td.set_threads(before)
    assert all(np.array_equal(found[0], f) for f in found)


def test_what_needs_a_size_is_compiled_for_each() -> None:
    run = td.compile(lambda x: td.sort(x, axis=0), dynamic={"x": ("n", None)})
    for n in (3, 50, 51):
        x = random(n, 4)
        assert np.array_equal(run(x).numpy(), np.sort(x.numpy(), axis=0))
    assert "sort" in executable(run).needed


def test_no_rows_at_all() -> None:
    run = td.compile(lambda x: td.exp(x).sum(axis=0), dynamic={"x": ("n", None)})
    assert run(td.zeros((0, 3))).tolist() == [0.0, 0.0, 0.0]
    assert run(td.zeros((2, 3))).tolist() == [2.0, 2.0, 2.0]


def test_checks_and_indices_speak_of_the_sizes_of_the_call() -> None:
    run = td.compile(lambda x, i: td.take(x, i, axis=0), dynamic={"x": ("n", None)})
    x = random(20, 3)
    assert run(x, td.asarray([19])).shape == (1, 3)
    with pytest.raises(td.errors.TreadleError, match="20"):
        run(x, td.asarray([20]))


def test_old_sizes_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.backends.native.sizes.KEPT", 3)
    run = td.compile(lambda x: td.exp(x).sum(axis=0), dynamic={"x": ("n", None)})
    for n in range(20, 30):
        run(random(n, 3))
    assert len(executable(run)._made) == 3
    monkeypatch.setattr("treadle.backends.native.sizes.KEPT_BYTES", -1)
    for n in range(30, 40):
        run(random(n, 3))
    assert len(executable(run)._made) == 2


# extents


def test_an_extent_is_an_int_with_a_formula() -> None:
    n: Any = Facts({"batch": 100}).extents()["batch"]
    assert isinstance(n, int)
    assert is_extent(n)
    assert not is_extent(7)
    assert str(n * 64 + 4) == "64*s0+4"
    assert (n * 64) // n == 64
    assert type((n * 64) % 64) is int
    assert n - n == 0
    assert at_sizes(ceiling(n, 16), {"s0": 33}) == 3
    assert are_same(n * 2, n + n)
    assert not are_same(n, 100)


def test_answers_bound_a_plan() -> None:
    facts = Facts({"batch": 100})
    n = facts.extents()["batch"]
    assert n > 1  # of the whole class
    assert facts.answers == {}
    assert n != 64
    assert n >= 50
    assert facts.hold({"batch": 80})
    assert not facts.hold({"batch": 64})
    assert not facts.hold({"batch": 40})
    assert not facts.hold({"batch": 300})
    assert "s0-64 is not zero" in str(facts)


def test_a_number_is_not_to_be_had_and_nothing_new_may_be_asked_of_code() -> None:
    facts = Facts({"batch": 100})
    n = facts.extents()["batch"]
    with pytest.raises(SizeNeededError):
        range(n)
    with pytest.raises(SizeNeededError):
        np.zeros(n)
    facts.close()
    assert n >= 1
    with pytest.raises(SizeNeededError):
        assert n >= 50
    assert n != 100


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 40))
def test_formulas_give_what_python_gives(n: int, k: int, m: int) -> None:
    facts = Facts({"n": 100})
    s = facts.extents()["n"]
    for f in (
        lambda x: (x * k - m) // k,
        lambda x: (x - m) % k,
        lambda x: -(-x // k) * m - x,
        lambda x: ceiling(x + m, k),
        lambda x: (x * k) // (x + m),
    ):
        assert at_sizes(f(s), {"s0": n}) == f(n)


def test_a_formula_in_machine_code_rounds_down_as_python_does() -> None:
    from treadle.backends.native.assembly import Function, integer
    from treadle.backends.native.engine import load

    facts = Facts({"n": 100})
    s: Any = facts.extents()["n"]
    wanted = [(s - 50) // 7, (s - 50) % 7, s * s // 3 - s, (s - 50) // (s + 1), ceiling(s, 16)]
    name = "td_test_of_formulas"

    def write() -> Function:
        f = Function(name, (("ptr", "args"), ("ptr", "out"), ("i64", "unused")))
        f.sizes_from = 0
        for k, value in enumerate(wanted):
            f.store(f.number(value), f.pointer(f.parameters[1], integer(k), "i64"), 8)
        f.do("ret void")
        return f

    import ctypes

    address, held = load({name: write})[name]
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(address)
    for n in (1, 2, 49, 50, 51, 57, 1000):
        args, out = np.array([n], np.int64), np.zeros(len(wanted), np.int64)
        call(args.ctypes.data, out.ctypes.data, 0)
        assert out.tolist() == [at_sizes(value, {"s0": n}) for value in wanted]
    assert held is not None


def test_dims_keep_their_names_apart() -> None:
    assert Facts({"b": 3, "a": 9}).named({"a": 1, "b": 2}) == {"s0": 1, "s1": 2}
    assert str(Facts({"b": 3, "a": 9}).extents()["b"]) == str(Dim("s1"))
