"""Sessions in files: they come back at the same place, in another process, and damaged ones are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

import treadle as td
from tests.debug.stepper.graphs import CASES
from tests.debug.stepper.test_engine import engine_of, state
from treadle.core.errors import RuleError, SaveError
from treadle.debug.stepper.engine import Engine
from treadle.debug.stepper.saving import load_session, save_session
from treadle.debug.stepper.session import Session


@pytest.mark.parametrize("name", CASES)
def test_a_session_comes_back_at_its_place(name: str, tmp_path: Path) -> None:
    engine, expected = engine_of(name)
    for _ in range(7):
        engine.into()
    path = save_session(engine, tmp_path / "bug.session")
    again = load_session(path)
    assert again.graph == engine.graph
    assert state(again) == state(engine)
    assert [n.origin for n in again.graph.walk()] == [n.origin for n in engine.graph.walk()]
    again.run()
    assert all(np.array_equal(a, b) for a, b in zip(again.results, expected, strict=True))


def test_breakpoints_and_changes_come_back(tmp_path: Path) -> None:
    engine, _ = engine_of("grad of scan")
    engine.add_breakpoint("iteration 3")
    engine.add_breakpoint("op masked_mul backward if abs > 0", once=True)
    engine.run()
    engine.over()
    engine.set("%0", 0.25)
    engine.over()
    path = save_session(engine, tmp_path / "bug.session")
    again = load_session(path)
    assert [(str(p), p.number, p.once) for p in again.breakpoints] == [
        (str(p), p.number, p.once) for p in engine.breakpoints
    ]
    assert state(again) == state(engine)
    for e in (engine, again):
        e.breakpoints.clear()
        e.run()
    assert all(np.array_equal(a, b) for a, b in zip(again.results, engine.results, strict=True))


def test_bfloat16_and_constants(tmp_path: Path) -> None:
    table = td.asarray(np.arange(4, dtype=np.float32))

    def f(xs: Any) -> Any:
        return td.scan(lambda h, x: (h + (x * table).sum(), None), td.asarray(0.0), xs)[0]

    xs = np.ones((3, 4), np.float32)
    compiled = td.compile(td.grad(f), backend="reference")
    graph = compiled.graph(xs)
    inputs = [xs, *(np.asarray(x) for x in [table] * (len(graph.inputs) - 1))]
    engine = Engine(graph, inputs)
    again = load_session(save_session(engine, tmp_path / "a"))
    again.run()
    np.testing.assert_array_equal(again.results[0], compiled(xs).numpy())

    narrow = np.ones(3, ml_dtypes.bfloat16)
    engine = Engine(td.graph(lambda x: x * 2.0)(narrow), [narrow])
    again = load_session(save_session(engine, tmp_path / "b"))
    assert next(iter(again.history.inputs.values())).dtype == ml_dtypes.bfloat16


def test_another_process_needs_neither_source_nor_functions(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text(
        "import numpy as np\n"
        "import treadle as td\n"
        "def f(x):\n"
        "    y = td.exp(x)\n"
        "    return td.host(np.sort, y, result_shape=y)\n"
        f"td.debug(f, commands=['save {tmp_path / 'bug.session'}', 'q'])(td.asarray([1.0, 0.0]))\n"
    )
    first = subprocess.run([sys.executable, str(source)], capture_output=True, text=True, check=False)
    assert "DebuggerQuit" in first.stderr
    source.unlink()
    engine = load_session(tmp_path / "bug.session")
    shown = Session(engine).greeting()
    assert "mine.py:4  y = td.exp(x)" in shown
    assert str(tmp_path) not in shown
    engine.over()
    stop = engine.run()
    assert isinstance(stop.error, RuleError)
    assert "the Python function sort cannot be called: a saved session holds no functions" in stop.text


def _rewrite(path: Path, **changed: Any) -> None:
    """The file with some of its metadata replaced, and arrays as they are; `input` replaces the first input."""
    from treadle.core.files import pack_tensors, read_tensors

    arrays, noted = read_tensors(path)
    if "input" in changed:
        arrays["input.0"] = changed.pop("input")
    noted = {k: v for k, v in (noted | changed).items() if v is not None}
    path.write_bytes(pack_tensors(arrays, noted))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"input": np.zeros((2, 2), np.float32)}, r"the input w must be f32\[3,3\], and is float32\[2, 2\]"),
        ({"input": np.zeros((3, 3), np.float64)}, "the input w must be"),
        ({"graph": "graph f(x: f32[2]) -> f32[2]\n  %0 = nothing %x : f32[2]\n  return %0"}, "no primitive `nothing`"),
        ({"graph": None}, "is a damaged session"),
        ({"kind": "else"}, "holds no session of the step debugger"),
        ({"number": 10**9}, "the graph has 5 steps, and the session stands at 1000000000"),
        ({"origins": []}, "is a damaged session"),
        ({"breakpoints": [{"text": "__import__('os')", "number": 1, "once": False}]}, "is a damaged session"),
        ({"changes": [{"number": 1, "depth": 9, "name": "%0"}]}, "there is no graph at depth 9"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(changed: dict[str, Any], words: str, tmp_path: Path) -> None:
    engine, _ = engine_of("chain")
    path = save_session(engine, tmp_path / "bug.session")
    _rewrite(path, **changed)
    with pytest.raises(SaveError, match=words):
        load_session(path)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="cannot be read"):
        load_session(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(SaveError, match="is no safetensors file"):
        load_session(tmp_path / "text")
    safetensors.numpy.save_file({"a": np.zeros(1)}, tmp_path / "other", {"treadle": json.dumps({"kind": 3})})
    with pytest.raises(SaveError, match="holds no session"):
        load_session(tmp_path / "other")
