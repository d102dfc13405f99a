"""compile: what is traced when, Dims, static arguments, assigned variables, messages."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle.core import registry
from treadle.core.owned import Parameter, State
from treadle.core.stateful import Stateful


class Counter(Stateful):
    def __init__(self) -> None:
        self.weight = Parameter(td.asarray([1.0, 2.0]))
        self.count = State(td.asarray(0))
        self.parts = [State(td.asarray(5.0))]
        self.label = "a"

    def __call__(self, x: td.Tensor) -> td.Tensor:
        self.count = self.count + 1
        self.parts[0] = self.parts[0] * 2
        return (x * self.weight).sum()


def test_traced_once_for_each_kind_of_argument() -> None:
    f = td.compile(lambda x, k=1: x * k)
    with td.testing.assert_compiles(1):
        f(td.ones(3))
        f(td.zeros(3))
    with td.testing.assert_compiles(3):
        f(td.ones(4))
        f(td.ones(3, dtype=td.float64))
        f(td.ones(3), k=2)
    with td.testing.assert_compiles(0):
        assert f(td.ones(3), k=2).tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(AssertionError, match="traced 0 times, and 1"), td.testing.assert_compiles(1):
        f(td.ones(3))


def test_bools_and_ints_do_not_share_a_version() -> None:
    f = td.compile(lambda x, k: x + (10 if k is True else 1))
    assert f(td.zeros(1), 1).item() == 1.0
    assert f(td.zeros(1), True).item() == 10.0


def test_static_floats_are_told_apart_by_their_bits() -> None:
    f = td.compile(lambda x, s: x * s)
    assert np.signbit(f(td.ones(()), -0.0).numpy())
    assert not np.signbit(f(td.ones(()), 0.0).numpy())
    for _ in range(3):
        f(td.ones(()), float("nan"))
    assert f.traces == 3


def test_assigned_variables_are_written_back() -> None:
    c = Counter()
    f = td.compile(lambda m, x: m(x))
    for k in range(3):
        assert f(c, td.asarray([1.0, 1.0])).item() == 3.0
        assert c.count.item() == k + 1
    assert c.parts[0].item() == 40.0
    assert f.traces == 1
    assert isinstance(c.count, State)
    assert isinstance(c.weight, Parameter)


def test_new_parameters_are_seen_without_tracing_again() -> None:
    c = Counter()
    f = td.compile(lambda m, x: m(x))
    f(c, td.ones(2))
    c.weight = td.asarray([10.0, 10.0])
    assert f(c, td.ones(2)).item() == 20.0
    assert f.traces == 1
    c.label = "b"  # decides, for all we know, how the object computes
    f(c, td.ones(2))
    assert f.traces == 2


def test_a_module_as_the_function_itself() -> None:
    c = Counter()
    f = td.compile(c)
    assert f(td.ones(2)).item() == 3.0
    assert c.count.item() == 1
    c.weight = td.asarray([0.0, 1.0])
    assert f(td.ones(2)).item() == 1.0


def test_a_module_that_is_only_closed_over_raises() -> None:
    c = Counter()
    with pytest.raises(td.errors.TraceError, match=r"parameter f32\[2\].*step\(model, x\)"):
        td.compile(lambda x: (x * c.weight).sum())(td.ones(2))


def test_an_exception_leaves_the_module_as_it_was() -> None:
    c = Counter()

    def f(m: Counter, x: td.Tensor) -> td.Tensor:
        m(x)
        raise RuntimeError("stop")

    for g in (td.compile(f), td.grad(f)):
        with pytest.raises(RuntimeError, match="stop"):
            g(c, td.ones(2))
        assert c.count.item() == 0
        assert c.weight.is_concrete
        assert not c.weight.is_symbolic


def test_grad_of_a_module_is_a_dict_of_its_parameters() -> None:
    c = Counter()
    value, grads = td.value_and_grad(lambda m, x: m(x))(c, td.asarray([3.0, 4.0]))
    assert value.item() == 11.0
    assert {k: v.tolist() for k, v in grads.items()} == {"weight": [3.0, 4.0]}
    assert c.count.item() == 1
    assert not c.count.is_symbolic
    both = td.compile(lambda m, x: td.value_and_grad(lambda n: n(x))(m))(c, td.asarray([3.0, 4.0]))
    assert both[1]["weight"].tolist() == [3.0, 4.0]
    assert c.count.item() == 2


class Lazy(Stateful):
    """Makes its variables at the first call, as unbuilt layers do."""

    def __call__(self, x: td.Tensor) -> td.Tensor:
        if not hasattr(self, "weight"):
            from treadle.core.tracing import untraced

            with untraced():
                self.weight = Parameter(td.ones(x.shape[-1]))
                self.moments = {"m": State(td.zeros(x.shape[-1]))}
        self.moments["m"] = self.moments["m"] + x
        return (x * self.weight).sum()


@pytest.mark.parametrize("wrap", ["grad", "compile", "both"])
def test_layers_built_on_the_way_are_arguments_at_once(wrap: str) -> None:
    m, x = Lazy(), td.asarray([2.0, 3.0])
    if wrap == "grad":
        grads = td.grad(lambda m, x: m(x))(m, x)
    elif wrap == "compile":
        assert td.compile(lambda m, x: m(x))(m, x).item() == 5.0
        grads = {"weight": x}
    else:
        grads = td.compile(td.grad(lambda m, x: m(x)))(m, x)
    assert grads["weight"].tolist() == [2.0, 3.0]
    assert m.weight.tolist() == [1.0, 1.0]
    assert m.moments["m"].tolist() == [2.0, 3.0]  # assigned once, though traced twice


def test_a_training_step_with_layers_that_are_not_built_yet() -> None:
    model = td.nn.Sequential([td.nn.Dense(4, activation="tanh"), td.nn.Dense(2)])
    optimizer = td.optim.SGD(0.1)
    x, y = td.ones((3, 5)), td.zeros((3, 2))

    @td.compile
    def step(model: Any, optimizer: Any, x: td.Tensor, y: td.Tensor) -> td.Tensor:
        loss, grads = td.value_and_grad(lambda m: td.losses.mse(m(x), y))(model)
        optimizer.update(model, grads)
        return loss

    first = step(model, optimizer, x, y).item()
    assert len(model.parameters()) == 4
    assert all(p.is_concrete and not p.is_symbolic for p in model.parameters().values())
    later = [step(model, optimizer, x, y).item() for _ in range(20)][-1]
    assert later < 0.1 * first
    assert step.traces == 1


def test_tied_tensors_stay_tied() -> None:
    class Tied(Stateful):
        def __init__(self) -> None:
            self.a = Parameter(td.asarray(2.0))
            self.b = self.a

    m = Tied()
    assert list(m.variables()) == ["a"]
    assert td.grad(lambda m: m.a * m.b)(m)["a"].item() == 4.0
    m.assign({"a": td.asarray(5.0)})
    assert m.b.item() == 5.0


def test_dims_one_version_for_all_sizes() -> None:
    f = td.compile(
        lambda x, y: (td.softmax(x @ y, axis=-1).mean(axis=0), x.reshape(-1), td.concat([x, x]), x[1:]),
        dynamic={"x": ("batch", None)},
    )
    y = td.ones((3, 2))
    for n in (1, 5, 2):
        x = td.ones((n, 3))
        a, b, c, d = f(x, y)
        assert (a.shape, b.shape, c.shape, d.shape) == ((2,), (3 * n,), (2 * n, 3), (n - 1, 3))
        np.testing.assert_allclose(a.numpy(), [0.5, 0.5])
    assert f.traces == 1
    assert "batch" in str(f.graph(td.ones((4, 3)), y))


def test_dims_that_meet_unequal_or_differ_raise() -> None:
    f = td.compile(lambda x, y: x + y, dynamic={"x": ("n",), "y": ("m",)})
    with pytest.raises(td.errors.DimError, match="same name in dynamic="):
        f(td.ones(3), td.ones(3))
    g = td.compile(lambda x, y: x + y, dynamic={"x": ("n",), "y": ("n",)})
    assert g(td.ones(3), td.ones(3)).shape == (3,)
    with pytest.raises(td.errors.ShapeError, match="y has size 4 on axis 0, where n = 3"):
        g(td.ones(3), td.ones(4))
    with pytest.raises(td.errors.ArgumentError, match="2 entries, but it is f32"):
        td.compile(lambda x: x, dynamic={"x": ("n", None)})(td.ones(3))
    with pytest.raises(td.errors.ArgumentError, match="names 'z'"):
        td.compile(lambda x: x, dynamic={"z": ("n",)})


def test_gradients_with_dims() -> None:
    f = td.compile(td.grad(lambda w, x: ((x @ w) ** 2).mean()), dynamic={"x": ("batch", None)})
    w = td.asarray([1.0, 2.0])
    for n in (2, 7):
        x = td.asarray(np.random.default_rng(n).standard_normal((n, 2)).astype(np.float32))
        expected = td.grad(lambda w, x: ((x @ w) ** 2).mean())(w, x)
        np.testing.assert_allclose(f(w, x).numpy(), expected.numpy(), rtol=1e-5)
    assert f.traces == 1


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
def test_jacobians_with_dims_whichever_is_larger(mode: str | None) -> None:
    f = td.compile(lambda x: td.jacobian(lambda x: td.tanh(x[0]), mode=mode)(x), dynamic={"x": ("n", None)})
    for n in (1, 4):
        x = td.asarray(np.linspace(-1.0, 1.0, 2 * n).reshape(n, 2))
        expected = np.zeros((2, n, 2))
        expected[:, 0] = np.diag(1 - np.tanh(x.numpy()[0]) ** 2)
        np.testing.assert_allclose(f(x).numpy(), expected, rtol=1e-12)
    assert f.traces == 1


def test_a_size_that_changes_again_and_again_is_reported_once() -> None:
    f = td.compile(lambda x: x + 1)

    def run_all_sizes() -> None:
        for n in range(1, 12):
            f(td.ones(n))

    words = r"'x' changed size on axis 0: 1, 2, 3, 4, 5, 6.*dynamic=\{\"x\""
    with pytest.warns(td.RetraceWarning, match=words) as seen:
        run_all_sizes()
    assert len(seen) == 1
    g = td.compile(lambda x, k: x + k)
    with pytest.warns(td.RetraceWarning, match=r"Python number k changed.*td\.asarray"):
        [g(td.ones(1), k) for k in range(10)]


def test_traced_once_for_each_true_answer_of_the_surroundings() -> None:
    f = td.compile(lambda x: x + 1)
    f(td.ones(1))
    answer = {"training": False}
    registry.ambient.append(lambda: answer["training"])
    try:
        with td.testing.assert_compiles(0):
            f(td.ones(1))
        answer["training"] = True
        with td.testing.assert_compiles(1):
            f(td.ones(1))
            f(td.ones(1))
    finally:
        registry.ambient.pop()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x if x.sum() > 0 else -x, r"truth value.*`gt`.*td\.cond.*td\.where"),
        (lambda x: x.numpy(), r"array of numbers \(for `\.numpy\(\)`\).*an input.*td\.host"),
        (lambda x: x.sum().item(), r"the number \(for `\.item\(\)`\).*`sum`.*td\.host"),
        (lambda x: x.tolist(), r"the list of numbers.*td\.host"),
        (lambda x: np.sin(x), r"the NumPy array.*td\.host"),
        (lambda x: range(td.argmax(x)), r"for an index or a size.*x\.shape"),
    ],
)
def test_a_missing_number_says_what_to_do_instead(function: Any, words: str) -> None:
    with pytest.raises(td.errors.TraceError, match=f"(?s){words}"):
        td.compile(function)(td.ones(3))


def test_a_symbol_prints_as_such() -> None:
    seen: list[str] = []
    td.compile(lambda x: seen.append(repr(x)) or x)(td.ones(3))
    assert seen == ["tensor(f32[3], an input, no numbers yet)"]


def test_eval_shape_needs_no_numbers() -> None:
    out = td.eval_shape(lambda x: {"y": x @ td.ones((3, 4))})(td.Spec((td.Dim("n"), 3), td.float32))
    assert str(out["y"]) == "f32[n,4]"


def test_graph_has_names_lines_and_scopes() -> None:
    def loss(p: dict[str, Any], x: td.Tensor) -> td.Tensor:
        with td.scope("head"):
            return (x @ p["w"]).sum()

    g = td.graph(loss)({"w": td.ones((3, 2))}, td.ones((5, 3)))
    assert g.input_names == ("p.w", "x")
    assert str(g).startswith("graph loss(p.w: f32[3,2], x: f32[5,3]) -> f32[]")
    assert g.nodes[0].scope == "head"
    assert g.nodes[0].source.file.endswith("test_compile.py")


def test_a_captured_array_is_an_input_not_a_copy() -> None:
    big = td.ones((100, 100))
    g = td.graph(lambda x: x @ big)(td.ones((2, 100)))
    assert len(g.captures) == 1
    assert str(g.captures[0].spec) == "f32[100,100]"


def test_symbols_do_not_keep_values_alive() -> None:
    x = td.ones(1000)
    r = weakref.ref(x)
    f = td.compile(lambda y: y * 2)
    f(x)
    td.grad(lambda y: (y * y).sum())(x)
    del x
    gc.collect()
    assert r() is None


def test_a_tensor_kept_from_a_derivative_keeps_no_others() -> None:
    big = td.ones(1000)
    r = weakref.ref(big)
    kept = []

    def f(x: td.Tensor, big: td.Tensor) -> td.Tensor:
        kept.append((x * big).sum())
        return kept[-1]

    td.grad(f)(td.asarray(2.0), big)
    del big
    gc.collect()
    assert kept[0].item() == 2000.0
    assert r() is None


def test_threads_trace_independently() -> None:
    f = td.compile(lambda x: td.grad(lambda y: (y**2).sum())(x))
    results: list[Any] = []

    def work(k: int) -> None:
        for n in range(1, 6):
            results.append((n, k, f(td.full(n, float(k))).tolist()))  # noqa: PERF401, other threads append too

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 20
    assert all(r == [2.0 * k] * n for n, k, r in results)


def test_unknown_backends_are_refused() -> None:
    with pytest.raises(td.errors.ArgumentError, match="no backend 'cuda'"):
        td.compile(lambda x: x, backend="cuda")(td.ones(1))
