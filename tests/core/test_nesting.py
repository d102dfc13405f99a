"""Which trace takes a node when traces nest: one test for each cell of the table in core/tracing.py."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td

x0 = td.asarray([1.0, 2.0])


def names(graph: td.Graph) -> list[str]:
    return [n.primitive.name for n in graph.walk()]


def test_outside_of_traces_things_run_at_once() -> None:
    y = td.tanh(x0)
    assert y.is_concrete
    assert not y.is_symbolic


def test_stage_records_everything_and_has_no_numbers() -> None:
    seen = []

    def f(x: td.Tensor) -> td.Tensor:
        seen.append((td.zeros(3).is_concrete, x.is_concrete, x.is_symbolic))
        return x + 1

    td.compile(f)(x0)
    assert seen == [(False, False, True)]


def test_values_records_what_depends_on_its_inputs_and_has_numbers() -> None:
    seen = []

    def f(x: td.Tensor) -> td.Tensor:
        c = td.ones(2) * 3
        seen.append((c.is_symbolic, x.is_symbolic, x.is_concrete, float(x.sum())))
        return (x * c).sum()

    td.grad(f)(x0)
    assert seen == [(False, True, True, 3.0)]


def test_values_in_values_both_have_numbers() -> None:
    seen = []

    def inner(y: td.Tensor, x: td.Tensor) -> td.Tensor:
        seen.append((float(y.sum()), float(x.sum())))
        return (y * x).sum()

    def outer(x: td.Tensor) -> td.Tensor:
        return (td.grad(inner)(x * 2, x) * x).sum()

    assert td.grad(outer)(x0).tolist() == [2.0, 4.0]  # d/dx sum(x * x)
    assert seen == [(6.0, 3.0)]


def test_values_in_stage_has_no_numbers() -> None:
    def f(x: td.Tensor) -> td.Tensor:
        return td.grad(lambda y: y.sum() if y.sum() > 0 else -y.sum())(x)

    with pytest.raises(td.errors.TraceError, match=r"td.cond"):
        td.compile(f)(x0)
    assert td.compile(td.grad(lambda y: (y**2).sum()))(x0).tolist() == [2.0, 4.0]


def test_stage_in_values_captures_the_outer_symbol() -> None:
    def f(x: td.Tensor) -> td.Tensor:
        return td.vmap(lambda i: x[0] * i)(td.arange(1.0, 4.0)).sum()

    assert td.grad(f)(x0).tolist() == [6.0, 0.0]


def test_stage_in_stage_captures_too() -> None:
    def f(x: td.Tensor) -> td.Tensor:
        carry, _ = td.scan(lambda c, _: (c * x[1], None), x[0], length=3)
        return carry

    g = td.graph(f)(x0)
    assert names(g).count("scan") == 1
    assert td.compile(f)(x0).item() == 8.0


def test_compiled_in_values_stays_one_call() -> None:
    inner = td.compile(lambda x: td.tanh(x) * 2)
    seen = []

    def f(x: td.Tensor) -> td.Tensor:
        y = inner(x)
        seen.append(y.is_concrete)
        return y.sum()

    expected = 2 * (1 - np.tanh([1.0, 2.0]) ** 2)
    np.testing.assert_allclose(td.grad(f)(x0).numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(td.grad(f)(x0).numpy(), expected, rtol=1e-6)
    assert inner.traces == 1
    assert seen == [True, True]


def test_compiled_in_stage_is_inlined() -> None:
    inner = td.compile(lambda x: td.tanh(x))
    assert names(td.graph(lambda x: inner(x) + 1)(x0)) == ["tanh", "add"]


def test_residuals_land_outside_of_the_linear_trace() -> None:
    """The derivative of tanh inside compile: the cosine-like factor is a primal node, the rest is linear."""
    g = td.graph(td.grad(lambda x: td.sin(x).sum()))(x0)
    assert "cos" in names(g)
    assert g.prune() == g


def test_a_leaked_tensor_says_where_it_was_made() -> None:
    kept = []

    def f(x: td.Tensor) -> td.Tensor:
        kept.append(td.tanh(x))
        return x

    td.compile(f)(x0)
    with pytest.raises(td.errors.LeakError, match=r"test_nesting\.py:\d+ \(`tanh`\)"):
        kept[0].numpy()
    with pytest.raises(td.errors.LeakError, match=r"leaked out of td.compile\(f\)"):
        _ = kept[0] + 1


def test_a_tensor_kept_from_a_dynamic_trace_is_its_numbers() -> None:
    kept = []

    def f(x: td.Tensor) -> td.Tensor:
        kept.append(x * 2)
        return x.sum()

    td.grad(f)(x0)
    assert (kept[0] + 1).tolist() == [3.0, 5.0]


def test_two_tensors_of_one_object_keep_their_tangents_apart() -> None:
    value, tangent = td.jvp(lambda a, b: a * b, [x0, x0], [td.asarray([1.0, 0.0]), td.asarray([0.0, 1.0])])
    assert value.tolist() == [1.0, 4.0]
    assert tangent.tolist() == [1.0, 2.0]
