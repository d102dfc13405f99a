"""Calls in the debugger: what stops, what is returned, what is assigned, how the program goes on."""

from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.debug.stepper.graphs import CASES
from treadle.core.errors import ArgumentError, OutOfRangeError, TraceError
from treadle.debug.stepper.running import LineMode
from treadle.debug.stepper.session import Session


class Net(td.nn.Module):
    def __init__(self) -> None:
        self.norm = td.nn.BatchNormalization()
        self.out = td.nn.Dense(1)

    def __call__(self, x: Any, training: bool = False) -> Any:
        return self.out(td.tanh(self.norm(x, training=training)))


def quietly(function: Any, commands: str = "", **kwargs: Any) -> tuple[Any, io.StringIO]:
    out = io.StringIO()
    return td.debug(function, commands=commands.splitlines(), output=out, **kwargs), out


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("commands", ["", "c", "n\nback\nn 3\ns 2\nback line\nout\nc", "break if abs > 1\nc\nc"])
def test_the_result_is_that_of_the_function(name: str, commands: str) -> None:
    function, args = CASES[name]
    expected = td.tree.leaves(td.compile(function, backend="reference")(*args))
    for f in (function, td.compile(function, backend="reference")):
        debugged, _ = quietly(f, commands)
        found = td.tree.leaves(debugged(*args))
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_what_the_function_assigns_is_assigned() -> None:
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    model = Net()
    model(x)
    start = {p: v.numpy() for p, v in model.variables().items()}

    def step(m: Any, v: Any) -> Any:
        return m(v, training=True)

    def after(run: Any) -> dict[str, Any]:
        for path, value in start.items():
            owner, _, name = path.rpartition(".")
            kept = getattr(model, owner)
            setattr(kept, name, type(getattr(kept, name))(td.asarray(value)))
        run(model, x)
        return {p: v.numpy() for p, v in model.variables().items()}

    plain = after(td.compile(step, backend="reference"))
    stepped = after(quietly(step, "n 3\nback\nc")[0])
    assert sum(not np.array_equal(start[p], plain[p]) for p in start) == 2  # the running mean and variance
    for path, value in plain.items():
        np.testing.assert_array_equal(stepped[path], value)


def test_modules_that_are_closed_over_are_fine() -> None:
    model = td.nn.Dense(2)
    x = np.ones((1, 3), np.float32)
    expected = model(x).numpy()
    debugged, out = quietly(lambda v: model(v), "n\nc")
    np.testing.assert_array_equal(debugged(x).numpy(), expected)
    assert "contract" in out.getvalue()


def test_compiled_methods_and_decorated_ones() -> None:
    class Counter(td.nn.Module):
        def __init__(self) -> None:
            self.weight = td.nn.Parameter(td.ones(2))

        @td.compile
        def double(self, x: Any) -> Any:
            return x * self.weight * 2.0

    debugged, out = quietly(Counter().double, "n\nc")
    assert debugged(td.ones(2)).tolist() == [2.0, 2.0]
    assert "double, call 1" in out.getvalue()


def test_each_step_of_fit_stops() -> None:
    x = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]

    def trained(fit: Any) -> Any:
        model = td.nn.Dense(1)
        model(x)
        model.kernel = td.nn.Parameter(td.zeros((1, 1)))
        fit(model, (x, 3 * x), loss="mse", optimizer=td.optim.SGD(0.1), epochs=2, batch_size=4, verbose=False)
        return model.kernel.numpy()

    def count(text: str) -> list[int]:
        return [text.count(f"train_step, call {k}: ") for k in (1, 2, 3, 4)]

    debugged, out = quietly(td.fit, "break scope mse backward\nc\nc\nc\nclear\ndetach")
    np.testing.assert_allclose(trained(debugged), trained(td.fit), rtol=1e-5)  # compiled sums add in another order
    text = out.getvalue()
    assert count(text) == [1, 1, 0, 0]
    assert text.count("*** breakpoint 1 (scope mse backward)") == 2


def test_breakpoints_stay_from_call_to_call_and_wait_where_they_have_no_place() -> None:
    f = td.compile(lambda x: td.exp(x * 2.0), name="f", backend="reference")
    g = td.compile(lambda x: td.sin(x * 2.0), name="g", backend="reference")
    out = io.StringIO()
    with td.debug.stepping(commands=["b op exp", "c", "c", "b", "b op sin", "c", "c", "c", "b", "c", "b"], output=out):
        f(td.zeros(1)), g(td.zeros(1)), f(td.zeros(1))
    text = out.getvalue()
    assert "(treadle) b\nno breakpoints\n(treadle) b op sin\nbreakpoint 2: op sin" in text
    assert text.count("*** breakpoint 1 (op exp)") == 2
    assert text.count("*** breakpoint 2 (op sin)") == 1
    assert text.count("(treadle) b\n1: op exp\n") == 1


def test_a_named_function_alone_stops() -> None:
    f = td.compile(lambda x: x * 2.0, name="f", backend="reference")
    g = td.compile(lambda x: x * 3.0, name="g", backend="reference")
    out = io.StringIO()
    with td.debug.stepping("g", commands=["c"] * 3, output=out) as debugger:
        f(td.zeros(1)), g(td.zeros(1)), f(td.zeros(1))
    assert debugger.stopped == 1
    assert "f, call" not in out.getvalue()
    f(td.zeros(1))  # outside of the with: as usual
    assert debugger.stopped == 1


def test_pass_detach_and_the_end_of_the_commands() -> None:
    f = td.compile(lambda x: x * 2.0, name="f", backend="reference")
    for commands, stops in ((["pass"], 1), (["detach"], 1), ([], 1), (["c", "c"], 3)):
        out = io.StringIO()
        with td.debug.stepping(commands=commands, output=out):
            results = [f(td.ones(1)).item() for _ in range(5)]
        assert results == [2.0] * 5
        assert out.getvalue().count("; h lists") == stops, commands


def test_quit_ends_the_program() -> None:
    debugged, _ = quietly(td.exp, "q")
    with pytest.raises(td.debug.DebuggerQuit, match="ended from the debugger"):
        debugged(td.zeros(1))


def test_a_failing_node_fails_the_call_with_its_own_error() -> None:
    debugged, out = quietly(lambda x, i: x[i], "c\np i\nc")
    with pytest.raises(OutOfRangeError):
        debugged(td.zeros(3), np.int32(7))
    assert "*** the next node raises OutOfRangeError" in out.getvalue()
    assert "(treadle) p i\n7\n" in out.getvalue()
    debugged, _ = quietly(lambda x, i: x[i], "c\nset i = 1\nback start\nset i = 1\nc")
    assert debugged(td.ones(3), np.int32(7)).item() == 1.0
    debugged, _ = quietly(lambda x, i: x[i], "")
    with pytest.raises(OutOfRangeError):
        debugged(td.ones(3), np.int32(7))


def test_functions_that_need_numbers_cannot_be_stepped() -> None:
    debugged, _ = quietly(lambda x: x * 2 if x > 0 else x)
    with pytest.raises(TraceError, match="if"):
        debugged(td.asarray(1.0))


def test_what_is_evaluated_at_the_prompt_does_not_stop_again() -> None:
    inner = td.compile(lambda x: x + 1.0, name="inner", backend="reference")
    answers = []

    def front(session: Session) -> None:
        answers.append(inner(td.asarray(1.0)).item())
        session.finish()

    from treadle.debug.stepper.running import Debugger
    from treadle.transforms.compiling import run_instead

    with run_instead(Debugger(front)):
        assert inner(td.asarray(2.0)).item() == 3.0
    assert answers == [2.0]


def test_calls_from_other_threads_stop_one_after_another() -> None:
    f = td.compile(lambda x: td.sin(x) * 2.0, name="f", backend="reference")
    f(td.zeros(3))
    open_now, most = [0], [0]

    def front(session: Session) -> None:
        open_now[0] += 1
        most[0] = max(most[0], open_now[0])
        for _ in range(3):
            session.execute("s")
        open_now[0] -= 1
        session.finish()

    from treadle.debug.stepper.running import Debugger
    from treadle.transforms.compiling import run_instead

    with run_instead(Debugger(front)) as _:
        threads = [threading.Thread(target=f, args=(td.ones(3),)) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert most[0] == 1


def test_line_mode_asks_at_the_prompt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = iter(["n", "p %0"])

    def ask(prompt: str) -> str:
        assert prompt == "(treadle) "
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", ask)
    assert td.debug(td.exp)(td.zeros(1)).tolist() == [1.0]
    assert "[1.]" in capsys.readouterr().out


def test_echo_is_for_transcripts() -> None:
    out = io.StringIO()
    front = LineMode(["c"], out, echo=False)
    from treadle.debug.stepper.engine import Engine

    x = np.zeros(1, np.float32)
    front(Session(Engine(td.graph(td.exp)(x), [x])))
    assert "(treadle)" not in out.getvalue()


def test_the_namespace_is_a_module_that_can_be_called() -> None:
    import types

    import treadle.debug

    assert treadle.debug is td.debug
    assert isinstance(td.debug, types.ModuleType)
    assert callable(td.debug)
    assert td.debug.__name__ == "treadle.debug"
    with pytest.raises(AttributeError, match=r"treadle\.debug has no 'nothing'"):
        _ = td.debug.nothing


def test_shortcuts_come_back_after_the_debugger() -> None:
    f = td.compile(lambda x: x * 2.0, name="f", backend="reference")
    f(td.ones(1))
    with td.debug.stepping(commands=["set x = 5.0", "c"], output=io.StringIO()):
        assert f(td.ones(1)).item() == 10.0
    assert f(td.ones(1)).item() == 2.0


def test_a_module_itself_can_be_stepped() -> None:
    model = td.nn.Sequential([td.nn.Dense(3, activation="tanh"), td.nn.Dense(1)])
    x = np.ones((2, 2), np.float32)
    debugged, out = quietly(model, "layer\nc")
    first = debugged(x).numpy()  # builds it
    np.testing.assert_array_equal(first, td.compile(model, backend="reference")(x).numpy())
    assert "layers.1" in out.getvalue()


def test_what_is_no_function_is_refused_at_once() -> None:
    with pytest.raises(ArgumentError, match="a function is needed, and this is 3"):
        td.debug(3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="commands= and output= are the line mode's"):
        td.debug(td.exp, commands=[], screen=True)
