"""Graphs as text: what they look like, and that the text reads back. (tests/conftest.py checks that for all graphs.)"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle as td
from treadle.core.checking import check_graph
from treadle.core.graph import Graph, Literal, Node, Var
from treadle.core.parsing import parse_literal
from treadle.core.primitive import PRIMITIVES
from treadle.core.printing import print_literal

TEXT = """
graph loss(w: f32[3,2], x: f32[batch,3]; c0: f32[2]) -> (f32[batch,2], f32[])
  %0 = contract %x %w axes=((1,), (0,)) batch=((), ())  : f32[batch,2]  model.py:12  dense
  %1 = add %0 %c0                                       : f32[batch,2]  model.py:12  dense
  %2 = mul %1 2.0                                       : f32[batch,2]
  %3 = sum %2 axes=(0, 1)                               : f32[]  model.py:14
  return %2 %3
""".strip()


def test_text_and_back() -> None:
    g = Graph.parse(TEXT)
    assert str(g) == str(Graph.parse(str(g)))
    assert Graph.parse(str(g)) == g
    check_graph(g)
    assert g.dims == {"batch"}
    assert str(g.nodes[0].source) == "model.py:12"
    assert g.nodes[0].scope == "dense"
    assert str(g).splitlines()[0] == TEXT.splitlines()[0]


def test_inner_graphs_read_back() -> None:
    def f(x: td.Tensor) -> td.Tensor:
        def step(c: td.Tensor, a: td.Tensor) -> tuple[td.Tensor, None]:
            return td.cond(a > 0, lambda b: c + b, lambda b: c, a), None

        return td.scan(step, td.asarray(0.0), x)[0]

    g = td.graph(td.grad(f))(td.ones(4))
    again = Graph.parse(str(g))
    assert again == g
    check_graph(again)
    assert "body = graph" in str(g)
    assert "branches[1] = graph" in str(g)


def test_a_node_without_results_reads_back() -> None:
    g = td.graph(lambda x: (td.host(print, x, result_shape=None), x.sum())[1])(td.ones(3))
    assert [len(n.outputs) for n in g.nodes] == [0, 1]
    assert Graph.parse(str(g)) == g
    assert " : ()" in str(g)
    nothing = td.graph(lambda x: None)(td.ones(3))
    assert str(nothing).startswith("graph lambda(x: f32[3]) -> ()")
    assert Graph.parse(str(nothing)) == nothing


@given(st.floats(width=32), st.sampled_from(["float32", "float16", "bfloat16", "float64"]))
def test_floating_literals_keep_their_bits(value: float, dtype: str) -> None:
    with np.errstate(over="ignore"):
        literal = Literal(td.asarray(np.float64(value)).astype(dtype).numpy())
    assert parse_literal(print_literal(literal)) == literal


@given(st.integers(-(2**63), 2**63 - 1))
def test_integer_literals_keep_their_bits(value: int) -> None:
    for dtype in (np.int64, np.int32, np.uint8, np.bool_):
        literal = Literal(np.asarray(value).astype(dtype))
        assert parse_literal(print_literal(literal)) == literal


def test_nan_payloads_and_signed_zero() -> None:
    odd = np.array([0x7FC00001], np.uint32).view(np.float32)[0]
    for value in (np.float32(-0.0), np.float32(np.nan), odd, np.float64(-np.inf)):
        literal = Literal(value)
        assert parse_literal(print_literal(literal)) == literal
    assert Literal(np.float32(0.0)) != Literal(np.float32(-0.0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("graph f(x: f32[2]) -> f32[2]\n  %0 = frob %x : f32[2]\n  return %0", "line 2.*no primitive `frob`"),
        ("graph f(x: f32[2]) -> f32[2]\n  %0 = tanh %y : f32[2]\n  return %0", "%y is used before"),
        ("graph f(x: f32[2]) -> f32[2]\n  %0 = tanh %x : f32[2]", "ends inside a graph"),
        ("graph f(x) -> f32[2]\n  return %x", "expected `name: spec`"),
        ("hello", "expected `graph name"),
        ("graph f(x: f32[2]) -> f32[3]\n  return %x", r"line 2.*states \[f32\[3\]\], and \[f32\[2\]\] is returned"),
        ("graph f(x: f32[2]) -> ()\n  more\n  return", "line 2.*expected ` : spec`"),
        ("graph f(x: f32[2]) -> f32[2]\n  return %x\nmore", "nothing is expected after"),
        ("graph f(x: f32[2]) -> f32[2]\n  %0 = add %x 1x : f32[2]\n  return %0", "neither a value nor a number"),
    ],
)
def test_what_is_no_graph_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(td.errors.GraphError, match=words):
        Graph.parse(text)


def test_the_checker_refuses_illegal_graphs() -> None:
    x, y = Var(td.Spec((2,), td.float32)), Var(td.Spec((3,), td.float32))
    node = Node(PRIMITIVES["tanh"], [x], {}, [y])
    with pytest.raises(td.errors.GraphError, match="its inputs make"):
        check_graph(Graph("f", [x], [node], [y]))
    with pytest.raises(td.errors.GraphError, match="has not been made"):
        check_graph(Graph("f", [], [node], [y]))
    with pytest.raises(td.errors.GraphError, match="never makes"):
        check_graph(Graph("f", [x], [], [y]))
    with pytest.raises(td.errors.GraphError, match="input twice"):
        check_graph(Graph("f", [x, x], [], [x]))


def test_equality_sees_every_difference() -> None:
    g = Graph.parse(TEXT)
    for old, new in [
        ("mul %1 2.0", "mul %1 3.0"),
        ("add %0 %c0", "sub %0 %c0"),
        ("axes=(0, 1)", "axes=(1, 0)"),
        ("model.py:14", "model.py:15"),
        ("dense", "other"),
        ("return %2 %3", "return %1 %3"),
        ("w: f32", "v: f32"),
    ]:
        changed = TEXT.replace(old, new).replace("%w", "%v") if old == "w: f32" else TEXT.replace(old, new)
        assert Graph.parse(changed) != g, (old, new)


def test_names_are_unique_and_clean() -> None:
    v = [Var(td.Spec((), td.float32)) for _ in range(4)]
    g = Graph("f", v, [], v, input_names=["a", "a", "0", "weird name!"])
    assert g.input_names == ("a", "a_1", "_0", "weird_name_")
    assert Graph.parse(str(g)) == g
