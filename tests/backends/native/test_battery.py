"""Every primitive, compiled, gives what its reference gives: all samples, in every dtype that it takes.

All cases of a primitive are nodes of one graph, so that each compiles once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.ops import _battery as battery
from treadle.backends.native.engine import compile_text, module_text
from treadle.backends.native.plan import Launch
from treadle.backends.native.prepare import compile_graph, left_to_reference
from treadle.backends.native.target import Target
from treadle.core.dtypes import as_dtype, bfloat16, float16, float32, float64
from treadle.core.errors import TreadleError
from treadle.core.graph import Graph, Node, Var
from treadle.core.spec import Spec

DTYPES = (float64, float32, float16, bfloat16)
ROOT = Path(__file__).resolve().parents[3]

# Python functions, and what only a transform makes.
LEFT_OUT = ("check", "host", "linear_call", "print", "probe")

# Sums of numbers that cancel depend on the order of summation, which is the backend's own.
CANCELLING = {("sum", "special")}


def cases_of(name: str) -> list[battery.At]:
    return [at for at in battery.CASES if at.primitive.name == name]


def takes(at: battery.At, dtype) -> bool:
    """Whether a case is tested in a dtype; one without floating inputs is tested once."""
    if not at.floating or at.primitive.name in battery.FIXED_DTYPE:
        return dtype is float64
    return dtype is float64 or battery.takes(at.primitive, at.case.at(dtype).inputs, at.case.params)


def every() -> list:
    """(name, dtype) of all primitives."""
    found = {(at.primitive.name, d): None for at in battery.CASES for d in DTYPES if takes(at, d)}
    return [pytest.param(n, d, id=f"{n}-{d.name}") for n, d in sorted(found, key=str) if n not in LEFT_OUT]


def collected(name: str, dtype) -> tuple[Graph, list, list, list]:
    """A graph with a node for each case, its inputs, the reference's outputs, and the case of each output."""
    variables, nodes, outputs, inputs, expected, owners = [], [], [], [], [], []
    for at in cases_of(name):
        if not takes(at, dtype):
            continue
        p, case = at.primitive, at.case.at(dtype)
        try:
            reference = battery.run(p, case.inputs, case.params)
        except TreadleError:
            continue
        arrays = [np.array(x, order="C") for x in case.inputs]
        given = [Var(Spec(x.shape, as_dtype(x.dtype))) for x in arrays]
        made = [Var(s) for s in p.infer(*[v.spec for v in given], **case.params)]
        nodes.append(Node(p, given, case.params, made))
        variables += given
        inputs += arrays
        outputs += made
        expected += list(reference)
        owners += [at] * len(made)
    return Graph("cases", variables, nodes, outputs), inputs, expected, owners


def compare(got: np.ndarray, wanted: np.ndarray, at: battery.At) -> None:
    assert got.dtype == wanted.dtype, str(at)
    assert got.shape == wanted.shape, str(at)
    dtype = as_dtype(got.dtype)
    if not dtype.is_floating:
        np.testing.assert_array_equal(got, wanted, err_msg=str(at))
        return
    if (at.primitive.name, "special") in CANCELLING and "special" in str(at):
        return
    rtol = max(at.case.rtol or 0, battery.RTOL[dtype])
    np.testing.assert_allclose(
        got.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=battery.ATOL[dtype], err_msg=str(at)
    )


@pytest.mark.parametrize(("name", "dtype"), every())
def test_compiled_primitives_agree_with_their_references(name, dtype):
    graph, inputs, expected, owners = collected(name, dtype)
    assert graph.nodes
    got = compile_graph(graph)(inputs)
    for value, wanted, at in zip(got, expected, owners, strict=True):
        compare(value, wanted, at)


def test_few_primitives_are_left_to_python():
    assert set(left_to_reference()) == {
        *("digamma", "polygamma", "nextafter"),  # no layer or loss needs them in its forward pass
        "host",  # that is what it is for
        "print",
    }


def test_kernels_that_differ_only_in_a_dtype_are_different_kernels():
    import treadle as td

    x = td.asarray(np.linspace(-3, 300, 9), dtype=td.float32)
    for dtype in (td.int8, td.int32, td.uint8, td.int64, td.int16):
        got = td.compile(lambda x, dtype=dtype: x.astype(dtype))(x).numpy()
        np.testing.assert_array_equal(got, x.astype(dtype).numpy())
        inside = td.compile(lambda x, dtype=dtype: x.astype(dtype).astype(td.float32))(x).numpy()
        np.testing.assert_array_equal(inside, x.astype(dtype).astype(td.float32).numpy())


# other processors


TARGETS = {
    "x86-64-v2": Target("x86_64-unknown-linux-gnu", "x86-64-v2", "", 16, 16, False),
    "AVX2": Target("x86_64-unknown-linux-gnu", "x86-64-v3", "", 32, 16, True),
    "aarch64": Target("aarch64-unknown-linux-gnu", "generic", "", 16, 32, True),
}
FEW = ("add", "exp", "tanh", "erf", "log1p", "sum", "max", "argmax", "contract", "conv", "gather", "scatter", "cumsum")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", FEW)
def test_kernels_are_emitted_for_other_processors(name, target, monkeypatch):
    import llvmlite.binding as llvm

    from treadle.backends.native import contraction, steps

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    chosen = TARGETS[target]
    for module in (contraction, steps):
        monkeypatch.setattr(module, "host", lambda: chosen)
    from treadle.backends.native.expand import expand
    from treadle.backends.native.plan import plan

    graph, *_ = collected(name, float32)
    writers = {i.name: i.write for i in plan(expand(graph)).walk() if isinstance(i, Launch) and i.write is not None}
    code = compile_text(module_text([write() for write in writers.values()], chosen), chosen)
    assert code[:4] == b"\x7fELF"
    machine = int.from_bytes(code[18:20], "little")
    assert machine == (183 if target == "aarch64" else 62)


def test_the_baseline_target_computes_the_same():
    """A process of its own, since a process has one target. A few primitives of each kind."""
    program = (
        "import numpy as np\n"
        "from tests.backends.native import test_battery as t\n"
        "from treadle.backends.native.target import host\n"
        "assert host().vector <= 32\n"
        "for name in t.FEW:\n"
        "    for dtype in (t.float64, t.float32):\n"
        "        graph, inputs, expected, owners = t.collected(name, dtype)\n"
        "        for got, wanted, at in zip(t.compile_graph(graph)(inputs), expected, owners, strict=True):\n"
        "            t.compare(got, wanted, at)\n"
        "print('all agree')\n"
    )
    environment = {**os.environ, "TREADLE_TARGET": "baseline", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "all agree" in done.stdout
