"""Where nodes come from: lines of the user's code and scopes, through transforms and errors."""

from __future__ import annotations

import inspect

import pytest

import treadle as td


def line() -> int:
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_nodes_carry_the_callers_line_also_after_derivatives() -> None:
    lines = []

    def f(x: td.Tensor) -> td.Tensor:
        lines.append(line() + 1)
        y = td.tanh(x)
        return y.sum()

    g = td.graph(td.grad(f))(td.ones(3))
    assert {n.source.line for n in g.nodes} == {lines[0], lines[0] + 1}
    assert all(n.source.file.endswith("test_source.py") for n in g.nodes)


def test_scopes_nest_and_survive_derivatives() -> None:
    def f(x: td.Tensor) -> td.Tensor:
        with td.scope("net"), td.scope("layers.0"):
            y = td.exp(x)
        return y.sum()

    g = td.graph(td.grad(f))(td.ones(3))
    assert {n.scope for n in g.nodes} == {"net/layers.0", ""}


def test_errors_name_scope_and_line() -> None:
    def f(x: td.Tensor) -> td.Tensor:
        with td.scope("head"):
            return x @ x

    at = rf"head, test_source\.py:{inspect.getsourcelines(f)[1] + 2}: "
    for run in (f, td.compile(f), td.grad(f)):
        with pytest.raises(td.errors.ShapeError, match=at):
            run(td.ones((2, 3)))


def test_an_exception_closes_its_scopes() -> None:
    def fail() -> None:
        with td.scope("broken"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert td.graph(lambda x: x + 1)(td.ones(1)).nodes[0].scope == ""
