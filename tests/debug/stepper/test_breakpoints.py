"""Breakpoints and conditions: how they are written, where they stop, what is said of those that cannot hold."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import treadle as td
from tests.debug.stepper.graphs import CASES, XS, W, rnn
from tests.debug.stepper.test_engine import engine_of
from treadle.core.errors import ArgumentError
from treadle.debug.stepper.breakpoints import parse_breakpoint
from treadle.debug.stepper.conditions import parse_condition
from treadle.debug.stepper.engine import Engine

LINE = CASES["chain"][0].__code__.co_firstlineno  # of `def chain`; its product is two lines below


def hits(engine: Engine, point: str) -> list[tuple[str, str]]:
    """(primitive of the next node, why it stopped) at each hit."""
    engine.add_breakpoint(point)
    found = []
    while (stop := engine.run()).reason == "breakpoint":
        assert engine.node is not None or stop.text.count(":") > 0
        found.append(("return" if engine.node is None else engine.node.primitive.name, stop.text))
    return found


@pytest.mark.parametrize(
    ("name", "point", "expected"),
    [
        ("chain", "op tanh", ["tanh"]),
        ("chain", "tanh", ["tanh"]),
        ("chain", f"graphs.py:{LINE + 3}", ["sub"]),  # once, though several nodes come from it
        ("grad", "scope den* backward", ["masked_mul"]),
        ("grad", "dense backward", ["masked_mul"]),
        ("grad", f"graphs.py:{LINE + 2} backward", ["masked_mul"]),
        ("scan", "iteration 2", ["contract"]),
        ("scan", "op tanh", ["tanh"] * 5),
        ("chain", "%1", ["tanh"]),
        ("scan", "uses w", ["scan"]),  # its first use only
    ],
)
def test_places(name: str, point: str, expected: list[str]) -> None:
    engine, _ = engine_of(name)
    assert [primitive for primitive, _ in hits(engine, point)] == expected


def test_a_value_of_an_inner_graph() -> None:
    engine, _ = engine_of("scan")
    engine.add_breakpoint("iteration 1")
    engine.run()
    point = engine.add_breakpoint("%1")
    assert str(point) == f"%1 of {engine.frames[1].graph.name}"
    assert len(hits(engine, f"%1 of {engine.frames[1].graph.name}")) == 4


def test_a_line_by_its_number_is_in_the_file_shown() -> None:
    engine, _ = engine_of("chain")
    point = engine.add_breakpoint(str(LINE + 3), file="graphs.py")
    assert str(point) == f"graphs.py:{LINE + 3}"
    with pytest.raises(ArgumentError, match=r"line 3: of which file\? Write model.py:3"):
        engine.add_breakpoint("3")


def test_a_condition_stops_behind_the_node_that_made_the_value() -> None:
    def f(x: Any) -> Any:
        y = td.log(x)
        return y * 0.0 + 1.0

    x = np.array([1.0, -1.0, 0.0], np.float32)
    found = hits(Engine(td.graph(f)(x), [x]), "if has_nan")
    assert found[0][0] == "mul"
    assert found[0][1].startswith("breakpoint 1 (if has_nan): %0 = log (test_breakpoints.py:")
    assert found[0][1].endswith("): 1 of 3 elements is NaN")
    assert found[1][1].endswith("2 of 3 elements are NaN")
    assert [f[0] for f in hits(Engine(td.graph(f)(x), [x]), "op log if has_inf and shape == [3]")] == ["mul"]


def test_conditions_hold_in_a_turn_of_a_loop() -> None:
    engine, _ = engine_of("scan")
    for _, why in hits(engine, "iteration 3 if size == 3"):
        assert "size is 3" in why
    assert len(engine.stops) > 2


def test_once_and_numbers() -> None:
    engine, _ = engine_of("scan")
    engine.add_breakpoint("op tanh", once=True)
    second = engine.add_breakpoint("op add")
    assert second.number == 2
    assert engine.run().text == "breakpoint 2 (op add)"
    assert engine.run().text == "breakpoint 1 (op tanh)"
    assert [p.number for p in engine.breakpoints] == [2]


@pytest.mark.parametrize(
    "text",
    ["if has_nan", "op tanh backward", "scope dense if abs > 1e3 and max < 2", "iteration 3", "uses w", "%1 of chain"],
)
def test_what_is_written_reads_back(text: str) -> None:
    def both(w: Any, x: Any) -> Any:
        with td.scope("dense"):
            return td.tanh(rnn(w, x))

    graph = td.graph(both)(W, XS) if "iteration" in text else td.graph(CASES["chain"][0])(W, XS)
    point = parse_breakpoint(text, graph)
    assert str(point) == text
    assert str(parse_breakpoint(str(point), graph)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a breakpoint needs a place or a condition"),
        ("a b c", "'a b c' is no place. There are: model.py:12"),
        ("graphs.py:1", "no node of this graph comes from graphs.py:1; lines with nodes: "),
        ("other.py:1", "no node of this graph comes from other.py:1; files with nodes: graphs.py"),
        ("scope dens", "there is no scope 'dens' in this graph. Did you mean dense?"),
        ("op tan", "there is no operation 'tan' in this graph. Did you mean tanh?"),
        ("uses b", "there is no input that a node reads 'b' in this graph. There are: w, x"),
        ("iteration 1", "there is no loop in this graph"),
        ("%44", "the graph chain has no value %44"),
        ("op tanh if big", "'big' is no condition. There are has_inf, has_nan, nonfinite"),
        ("if abs > x", "'abs > x': abs is compared to a number, not to 'x'"),
        ("if shape == [a]", "'shape == [a]': a shape is written [2,3]"),
        ("if shape < [2]", "shapes are compared with == and !=, not with <"),
    ],
)
def test_mistakes_say_what_there_is(text: str, words: str) -> None:
    engine, _ = engine_of("chain")
    with pytest.raises(ArgumentError) as caught:
        engine.add_breakpoint(text)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("text", "array", "holds"),
    [
        ("has_nan", [1, np.nan], "1 of 2 elements is NaN"),
        ("has_nan", [1, 2], None),
        ("has_inf", [np.inf, -np.inf], "2 of 2 elements are infinite"),
        ("nonfinite", [np.inf, np.nan, 0], "2 of 3 elements are not finite"),
        ("abs > 3", [-4, 3], "1 of 2 elements has abs > 3"),
        ("value < -3", [-4, 3], "1 of 2 elements has value < -3"),
        ("max >= 3", [-4, 3], "max is 3"),
        ("min != -4", [-4, 3], None),
        ("mean == 2", [1, 3], "mean is 2"),
        ("std <= 1", [1, 3], "std is 1"),
        ("ndim == 1 and size == 2", [1, 3], "ndim is 1, size is 2"),
        ("shape != [3]", [1, 3], "the shape is [2]"),
        ("max > 0", [], None),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16])
def test_conditions(text: str, array: list[float], holds: str | None, dtype: Any) -> None:
    assert parse_condition(text).holds(np.array(array, dtype)) == holds


def test_conditions_of_integers_and_bools() -> None:
    assert parse_condition("has_nan").holds(np.arange(3)) is None
    assert parse_condition("abs > 1").holds(np.arange(3)) == "1 of 3 elements has abs > 1"
    assert parse_condition("abs > 0").holds(np.array([True])) is None
