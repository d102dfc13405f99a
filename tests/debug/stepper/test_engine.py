"""The engine: stepping is running; going back and forth changes no bit; stops, changes and values."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle as td
from tests.debug.stepper.graphs import CASES, XS, W, traced
from treadle.core.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError
from treadle.debug.stepper.engine import Engine

trace_of = functools.lru_cache(traced)
MOVES = ("into", "over", "line", "layer", "out", "run", "back", "back_into", "back_line", "back_layer", "back_out")


def engine_of(name: str, memory: int = 1 << 30) -> tuple[Engine, list[Any]]:
    graph, inputs, outs = trace_of(name)
    return Engine(graph, inputs, memory=memory), outs


def state(engine: Engine) -> list[Any]:
    """Everything that decides what happens next, bit by bit."""
    return [
        (f.graph.name, str(f.site), f.at, sorted((f.layout.names[v], x.tobytes()) for v, x in f.values.items()))
        for f in engine.frames
    ]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("memory", [0, 2000, 1 << 30])
def test_stepping_to_the_end_equals_running(name: str, memory: int) -> None:
    engine, expected = engine_of(name, memory)
    while not engine.done:
        assert engine.into().reason in ("step", "end")
    for found, wanted in zip(engine.results, expected, strict=True):
        np.testing.assert_array_equal(found, wanted, strict=True)


@pytest.mark.parametrize("move", ["over", "line", "layer", "out", "run"])
def test_every_movement_ends_at_the_same_results(move: str) -> None:
    engine, expected = engine_of("grad of scan, cond, while")
    while not engine.done:
        getattr(engine, move)()
    assert all(np.array_equal(a, b) for a, b in zip(engine.results, expected, strict=True))


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(CASES)),
    memory=st.sampled_from([0, 1000, 5000, 1 << 30]),
    moves=st.lists(st.one_of(st.sampled_from(MOVES), st.integers(0, 400)), max_size=30),
    points=st.lists(
        st.sampled_from(["op tanh", "op contract", "iteration 2", "if abs > 1.0", "if value < 0", "op mul backward"]),
        max_size=2,
    ),
)
def test_any_walk_meets_each_state_again_bit_by_bit(
    name: str, memory: int, moves: list[str | int], points: list[str]
) -> None:
    engine, expected = engine_of(name, memory)
    for point in points:
        try:
            engine.add_breakpoint(point)
        except ArgumentError:  # this graph has no such place
            continue
    seen = {0: state(engine)}
    for move in moves:
        if isinstance(move, int):
            engine.goto(min(move, engine.history.reached))
        else:
            getattr(engine, move)()
        assert seen.setdefault(engine.number, state(engine)) == state(engine)
    engine.breakpoints.clear()
    engine.run()
    assert all(np.array_equal(a, b) for a, b in zip(engine.results, expected, strict=True))


@pytest.mark.parametrize("name", ["scan, cond, while", "grad of scan"])
@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_all_values_so_far_are_there_kept_or_computed_again(name: str, memory: int) -> None:
    engine, _ = engine_of(name, memory)
    reference, _ = engine_of(name)
    engine.run()
    reference.run()
    for node in engine.graph.nodes:
        for var in node.outputs:
            key = engine.frames[0].layout.names[var]
            np.testing.assert_array_equal(engine.value(key), reference.value(key))
    for var in engine.graph.inputs:
        assert engine.value(engine.frames[0].layout.names[var]) is not None


def test_memory_is_bounded() -> None:
    def f(x: Any) -> Any:
        return td.scan(lambda h, _: (td.sin(h) + x, h.sum()), x, None, length=300)

    x = np.ones(1000, np.float32)
    graph = td.graph(f)(x)
    engine = Engine(graph, [x], memory=100_000)
    engine.run()
    assert engine.history.bytes <= 100_000
    middle = engine.number // 2
    engine.goto(middle)
    assert engine.number == middle
    assert engine.history.bytes <= 100_000


def test_over_into_out_and_where_they_stop() -> None:
    engine, _ = engine_of("scan")
    graph = engine.graph
    at = next(k for k, n in enumerate(graph.nodes) if n.primitive.name == "scan")
    while engine.frames[0].at < at:
        engine.over()
    engine.into()
    assert engine.depth == 1
    assert str(engine.frames[1].site) == "iteration 0 of 5"
    engine.over()
    assert engine.depth == 1
    while engine.node is not None:
        engine.over()
    engine.over()
    assert str(engine.frames[1].site) == "iteration 1 of 5"
    engine.out()
    assert (engine.depth, engine.frames[0].at) == (0, at + 1)
    engine.back()
    assert (engine.depth, engine.frames[0].at) == (0, at)
    engine.over()
    engine.back_into()
    assert engine.depth == 1
    assert engine.node is None
    assert str(engine.frames[1].site) == "iteration 4 of 5"
    engine.back_out()
    assert (engine.depth, engine.frames[0].at) == (0, at)


def test_the_turns_of_a_while_loop_have_conditions_and_bodies() -> None:
    engine, _ = engine_of("while")
    sites = []
    while not engine.done:
        if engine.depth == 1 and engine.frames[1].at == 0:
            sites.append(str(engine.frames[1].site))
        engine.into()
    assert sites[:3] == ["condition before iteration 0", "iteration 0", "condition before iteration 1"]


def test_line_and_layer_stop_at_the_first_node_of_another() -> None:
    engine, _ = engine_of("grad")
    first = engine.node
    assert first is not None
    engine.line()
    assert engine.node is not None
    assert engine.node.source.line != first.source.line
    line = engine.number
    engine.layer()
    assert engine.node.scope == "dense"
    assert engine.node.origin is not None
    assert engine.node.origin.backward
    engine.back_layer()
    assert engine.node.scope == ""
    assert engine.number == line
    engine.back_line()
    assert engine.number == 0


def test_a_change_holds_and_can_be_taken_back() -> None:
    engine, expected = engine_of("chain")
    engine.over()
    engine.over()
    assert engine.set("%1", 0.5) == 0
    engine.run()
    assert engine.results[1].item() == 0.5 * 15
    np.testing.assert_array_equal(engine.results[0], np.full((5, 3), 0.25, np.float32))
    engine.goto(0)
    engine.run()  # the change is made again on the way
    assert engine.results[1].item() == 0.5 * 15
    engine.goto(2)
    assert engine.history.unchange() == 1
    engine.run()
    assert all(np.array_equal(a, b) for a, b in zip(engine.results, expected, strict=True))


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_a_change_in_one_turn_of_a_loop_alters_that_turn_alone(memory: int) -> None:
    def sums(xs: Any) -> Any:
        return td.scan(lambda h, x: (h + x * 2.0, h), td.asarray(0.0), xs)

    xs = np.arange(5, dtype=np.float32)
    engine = Engine(td.graph(sums)(xs), [xs], memory=memory)
    engine.add_breakpoint("iteration 3")
    engine.run()
    engine.set(engine.frames[-1].graph.input_names[-1], 100.0)
    engine.run()
    assert engine.results[0].item() == 2 * (0 + 1 + 2 + 4) + 200.0
    engine.goto(0)
    engine.breakpoints.clear()
    engine.run()
    assert engine.results[0].item() == 2 * (0 + 1 + 2 + 4) + 200.0


def test_a_change_that_cannot_be_says_why() -> None:
    engine, _ = engine_of("chain")
    with pytest.raises(ArgumentError, match=r"%0 has not been computed yet: `contract` makes it, next"):
        engine.set("%0", 1.0)
    with pytest.raises(ArgumentError, match=r"%2 has not been computed yet: `sub` makes it, 2 nodes from here"):
        engine.value("%2")
    with pytest.raises(ArgumentError, match="there is no value %none in chain"):
        engine.value("none")
    engine.over()
    with pytest.raises(ShapeError, match=r"%0 is f32\[5,3\], and the new value has the shape \[2\]"):
        engine.set("%0", np.zeros(2))
    with pytest.raises(DTypeError, match=r"the new value is complex128"):
        engine.set("%0", 1j)
    engine.over()
    with pytest.raises(ArgumentError, match="nothing reads %0 any more"):
        engine.set("%0", 1.0)
    with pytest.raises(ArgumentError, match="there is no step 100 yet: 0 to 2 are known"):
        engine.goto(100)


def test_host_functions_run_once_however_often_one_goes_back() -> None:
    calls = []

    def noisy(x: Any) -> Any:
        calls.append(x.item())
        return x * 2

    def f(x: Any) -> Any:
        return td.host(noisy, td.sin(x), result_shape=x) + 1.0

    x = np.float32(0.5)
    engine = Engine(td.graph(f)(x), [x], memory=0)
    engine.run()
    first = engine.results[0].item()
    for number in (0, 1, 2, 0):
        engine.goto(number)
    engine.run()
    assert engine.results[0].item() == first
    assert len(calls) == 1
    engine.goto(1)
    engine.set("%0", 3.0)  # another past: it runs again
    engine.run()
    assert engine.results[0].item() == 7.0
    assert len(calls) == 2


def test_a_node_that_raises_stops_before_it_and_can_be_repaired() -> None:
    def f(x: Any, i: Any) -> Any:
        return x[i] * 2.0

    x, i = np.arange(3, dtype=np.float32), np.int32(7)
    engine = Engine(td.compile(f, backend="reference").graph(x, i), [x, i])
    stop = engine.run()
    assert stop.reason == "error"
    assert isinstance(stop.error, OutOfRangeError)
    assert engine.node is not None
    assert engine.node.primitive.name == "gather"
    read = next(a for a in engine.node.inputs if a.spec.dtype == td.int32 or a.spec.dtype == td.int64)
    engine.set(engine.frames[0].layout.names[read], 1)  # type: ignore[index]
    assert engine.run().reason == "end"
    assert engine.results[0].item() == 2.0


def test_an_interrupt_ends_a_movement_between_nodes() -> None:
    def stop(x: Any) -> Any:
        engine.interrupt.set()
        return x

    def f(x: Any) -> Any:
        return td.exp(td.host(stop, x, result_shape=x) + 1.0)

    x = np.float32(0.5)
    engine = Engine(td.graph(f)(x), [x])
    assert engine.run().reason == "interrupted"
    assert not engine.done
    assert engine.run().reason == "end"


def test_named_sizes_are_read_from_the_inputs() -> None:
    f = td.compile(lambda x: td.sin(x).sum(), dynamic={"x": ("n", None)}, backend="reference")
    x = np.ones((4, 2), np.float32)
    engine = Engine(f.graph(x), [x])
    engine.run()
    assert engine.results[0].item() == f(x).item()


def test_wrong_inputs_are_refused() -> None:
    graph, _, _ = trace_of("chain")
    with pytest.raises(ArgumentError, match="chain takes 2 inputs, and 1 are given"):
        Engine(graph, [W])
    with pytest.raises(ShapeError, match=r"the input w must be f32\[3,3\], and is float64\[3, 3\]"):
        Engine(graph, [W.astype(np.float64), XS])


def test_expressions_see_values_inputs_and_paths() -> None:
    engine, _ = engine_of("chain")
    engine.over()
    product = XS @ W
    np.testing.assert_array_equal(engine.evaluate("%0"), engine.value("%0"))
    assert engine.evaluate("%0.shape") == (5, 3)
    assert engine.evaluate("np.abs(%0).max()") == np.abs(engine.value("%0")).max()
    np.testing.assert_allclose(engine.evaluate("x @ w - %0"), product - engine.value("%0"))
    assert engine.evaluate("7 %3") == 1  # the remainder
    assert engine.evaluate("[k %2 for k in range(3)]") == [0, 1, 0]
    assert engine.evaluate("'%0 and x'") == "%0 and x"
    assert engine.evaluate("td.sum(%w)").item() == pytest.approx(W.sum(), abs=1e-5)
    with pytest.raises(ArgumentError, match=r"'1 \+': |is no expression"):
        engine.evaluate("1 +")
    with pytest.raises(ArgumentError, match="NameError"):
        engine.evaluate("nothing")
    with pytest.raises(ArgumentError, match="there is no value %77 here"):
        engine.evaluate("%77 + 1")


def test_prints_say_the_turn_and_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    def f(xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            td.print("h {}", h)
            return h + x, None

        return td.scan(step, td.asarray(0.0), xs, reverse=True)[0]

    xs = np.array([1.0, 2.0], np.float32)
    engine = Engine(td.graph(f)(xs), [xs], memory=0)
    engine.run()
    engine.goto(0)
    engine.run()
    assert capsys.readouterr().out == "[step 1] h 0\n[step 0] h 2\n"
