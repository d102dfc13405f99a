"""The eager switch: debuggers stop in every kind of user's function, and the numbers are those of the compiled run."""

from __future__ import annotations

import bdb
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import treadle as td
from tests.debug import program

FILE = Path(program.__file__)
STOPS = {
    line.split("# stop: ")[1]: number
    for number, line in enumerate(FILE.read_text("utf-8").splitlines(), 1)
    if "# stop: " in line
}


class Stops(bdb.Bdb):
    """A debugger that notes where it stopped, and what the first tensor in the frame holds."""

    def __init__(self):
        super().__init__()
        self.seen: dict[int, object] = {}

    def user_line(self, frame):
        if self.break_here(frame):
            tensors = [v for v in frame.f_locals.values() if isinstance(v, td.Tensor)]
            assert all(x.is_concrete for x in tensors)
            assert threading.current_thread() is threading.main_thread()
            self.seen.setdefault(frame.f_lineno, [x.tolist() for x in tensors])
        self.set_continue()


def test_a_debugger_stops_everywhere():
    debugger = Stops()
    path = debugger.canonic(str(FILE))
    for line in STOPS.values():
        assert debugger.set_break(path, line) is None
    with td.debug.eager():
        debugger.runcall(program.main)
    assert {name for name, line in STOPS.items() if line in debugger.seen} == set(STOPS)
    assert all(debugger.seen[STOPS[name]] for name in ("scan", "cond", "loss", "metric", "vmap"))


def test_without_the_switch_it_does_not():
    """The test above can fail: compiled, the loss is traced without numbers."""
    debugger = Stops()
    debugger.set_break(debugger.canonic(str(FILE)), STOPS["loss"])
    with pytest.raises(AssertionError):
        debugger.runcall(program.main)


def test_the_numbers_are_those_of_the_compiled_run():
    compiled, history = program.main()
    with td.debug.eager():
        eager, eager_history = program.main()
    np.testing.assert_allclose(history.steps, eager_history.steps, rtol=1e-5)
    for (path, a), b in zip(compiled.variables().items(), eager.variables().values(), strict=True):
        np.testing.assert_allclose(
            a.numpy(), b.numpy(), rtol=2e-4, atol=1e-5, err_msg=path
        )  # Adam divides by small sums


def test_pdb_of_a_whole_program():
    """`TREADLE_DEBUG=eager python -m pdb program.py`, with a breakpoint in each kind of function."""
    commands = [*(f"tbreak {FILE}:{line}" for line in STOPS.values()), *(["continue"] * (len(STOPS) + 1)), "quit"]
    root = FILE.parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "pdb", str(FILE)],
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        env={**os.environ, "TREADLE_DEBUG": "eager", "PYTHONPATH": str(root)},
        cwd=root,
        timeout=300,
        check=False,
    )
    stopped = {name for name, line in STOPS.items() if f"program.py({line})" in done.stdout}
    assert stopped == set(STOPS), done.stdout + done.stderr


def test_what_a_failed_step_assigned_is_undone():
    model = td.nn.BatchNorm()
    x = td.random.normal(td.random.key(0), (8, 3))
    model(x)

    @td.compile
    def step(model, x):
        model(x, training=True)
        raise KeyError("stop")

    before = model.variables()
    with td.debug.eager(), pytest.raises(KeyError):
        step(model, x)
    assert all(model.variables()[k] is v for k, v in before.items())


FUNCTIONS = {
    "scan": lambda x: td.scan(lambda c, v: (c * td.sin(v), {"y": c + v}), td.asarray(1.0), x),
    "reverse": lambda x: td.scan(lambda c, v: (c * td.sin(v), c), td.asarray(1.0), x, reverse=True),
    "length": lambda x: td.scan(lambda c, _: (c * 2, None), x, length=3),
    "empty": lambda x: td.scan(lambda c, v: (c, v), x, td.zeros((0, 2))),
    "while": lambda x: td.while_loop(
        lambda a, n: n < 4, lambda a, n: (a * td.cos(a), n + 1), x, td.asarray(0), max_steps=9
    ),
    "bounded": lambda x: td.while_loop(lambda a: a.sum() > -9, lambda a: a - 1.0, x, max_steps=3),
    "cond": lambda x: td.cond(x.sum() > 0, td.sin, td.cos, x),
    "switch": lambda x: td.switch(td.asarray(7), [td.sin, td.cos, td.tanh], x),
    "vmap": lambda x: td.vmap(lambda v, w: (v * w, w.sum()), in_axes=(0, None), out_axes=0)(x, x),
    "axes": lambda x: td.vmap(lambda v: td.stack([v, v * 2]), out_axes=1)(x),
    "checkpoint": lambda x: td.checkpoint(td.sin)(x),
    "array": lambda x: x + np.float32(1.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_agree(name):
    f, x = FUNCTIONS[name], td.asarray([0.3, -0.7, 1.1])

    def total(x):
        return sum(td.sum(v.astype(td.float32)) for v in td.tree.leaves(f(x)))

    compiled = td.compile(f)(x), td.compile(td.grad(total))(x)
    with td.debug.eager():
        eager = td.compile(f)(x), td.compile(td.grad(total))(x)
    assert td.tree.flatten(compiled)[1] == td.tree.flatten(eager)[1]
    for a, b in zip(td.tree.leaves(compiled), td.tree.leaves(eager), strict=True):
        assert a.spec == b.spec
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


def test_streams_and_statistics_in_loops():
    def run(model, x):
        return td.scan(lambda c, v: (c + model(v, training=True), None), td.zeros((8, 3)), x)[0]

    def fresh():
        td.random.set_seed(3)
        model = td.nn.Sequential([td.nn.BatchNorm(), td.nn.Dropout(0.5)])
        model(td.zeros((8, 3)))
        return model

    x = td.random.normal(td.random.key(0), (4, 8, 3))
    a, b = fresh(), fresh()
    compiled = td.compile(run)(a, x)
    with td.debug.eager():
        eager = td.compile(run)(b, x)
    np.testing.assert_allclose(compiled.numpy(), eager.numpy(), rtol=1e-4, atol=1e-5)
    for (path, v), w in zip(a.variables().items(), b.variables().values(), strict=True):
        np.testing.assert_allclose(v.numpy(), w.numpy(), rtol=1e-5, atol=1e-6, err_msg=path)


def test_checks_of_loops_remain():
    with td.debug.eager():
        with pytest.raises(td.errors.ShapeError, match="the carry with the shape and dtype it came with"):
            td.scan(lambda c, v: (td.stack([c, c]), None), td.asarray(1.0), td.ones(2))
        with pytest.raises(td.errors.ShapeError, match="the body must return the state as it came"):
            td.while_loop(lambda x: x.sum() < 3, lambda x: td.stack([x, x]), td.asarray(1.0))
        with pytest.raises(td.errors.ShapeError, match="the condition must return one bool"):
            td.while_loop(lambda x: x, lambda x: x, td.asarray(1.0))
        with pytest.raises(td.errors.CheckError, match="step 1: v 2"):
            td.scan(lambda c, v: (td.check(v < 2, "v {}", v), (c, None))[1], td.asarray(1.0), td.asarray([1.0, 2.0]))


def test_an_unknown_word_in_the_environment():
    done = subprocess.run(
        [sys.executable, "-c", "import treadle"],
        capture_output=True,
        text=True,
        env={**os.environ, "TREADLE_DEBUG": "eagre"},
        check=False,
    )
    assert "TREADLE_DEBUG='eagre' means nothing; TREADLE_DEBUG=eager is known" in done.stderr
