"""What can be seen of a compiled function: its kernels, their code, and how long each takes."""

from __future__ import annotations

import json

import numpy as np
import pytest

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError


def head(x, w):
    with td.scope("head"):
        return td.softmax(td.tanh(x @ w) * 2.0)


X, W = td.ones((64, 32)), td.ones((32, 48))


def test_kernels_with_their_work():
    report = td.compile(head).explain(X, W)
    product, rest = report.kernels
    assert product.name == "product: contract f32[64,48]"
    assert product.operations == 2 * 64 * 32 * 48
    assert product.bytes == 4 * (64 * 32 + 32 * 48 + 64 * 48)
    assert rest.name == "mul max exp sum div"
    assert {k.scope for k in report.kernels} == {"head"}
    assert all(k.source.startswith("test_explain.py:") for k in report.kernels)
    assert report.operations == sum(k.operations for k in report.kernels)
    text = str(report)
    assert "head: 10 operations became 2 kernels" in text
    assert "contract f32[64,48]" in text
    assert "made by contract  (head, test_explain.py:" in text


def test_the_text_of_a_kernel_is_its_loops():
    (kernel,) = td.compile(lambda x: x * 2.0 + 1.0).explain(td.ones((2, 3))).kernels
    assert kernel.text.splitlines()[0].strip().startswith("for i0 < 6")
    assert "mul" in kernel.text
    assert "add" in kernel.text


def test_loops_count_what_is_inside_of_them():
    def f(x):
        return td.scan(lambda c, a: (td.tanh(c + a), None), x[0], x)[0]

    report = td.compile(f).explain(td.ones((50, 8)))
    (loop,) = [k for k in report.kernels if k.is_container]
    inside = [k for k in report.kernels if k.depth == 1]
    assert loop.name == "loop of 50"
    assert all(k.rounds == 50 for k in inside)
    assert inside


def test_what_is_left_to_python_is_named():
    report = td.compile(lambda x: td.nextafter(x, 2 * x)).explain(td.ones(5))
    assert "Python: nextafter" in [k.name for k in report.kernels]
    assert "1 kernels and 1 steps of Python" in str(report)


def test_code_at_each_stage():
    f = td.compile(head)
    written, optimised, assembly = f.llvm(X, W), f.llvm(X, W, optimised=True), f.assembly(X, W)
    assert written.count("define void @td_") == 2
    assert "; mul max exp sum div" in written
    assert "define void @td_" in optimised
    assert optimised != written
    assert ".globl\ttd_" in assembly
    assert "define" not in assembly.replace("undefined", "")


def test_dynamic_sizes_are_those_of_the_arguments():
    f = td.compile(lambda x: x * 2.0, dynamic={"x": ("n",)})
    assert f.explain(td.ones(10)).bytes == 80
    assert f.explain(td.ones(1000)).bytes == 8000
    assert f.traces == 1


def test_the_reference_backend_has_no_kernels():
    f = td.compile(head, backend="reference")
    for ask in (f.explain, f.llvm, f.assembly, td.profile(f)):
        with pytest.raises(ArgumentError, match="has no kernels"):
            ask(X, W)


def test_profile_times_every_kernel():
    f = td.compile(head)
    result = td.profile(f, repeat=2)(X, W)
    assert [k.name for k in result.kernels] == [k.name for k in f.explain(X, W).kernels]
    assert all(t >= 0 for t in result.times)
    assert 0 < sum(result.times) <= result.seconds
    assert set(result.by("scope")) == {"head"}
    assert set(result.by("kernel")) == {"product: contract f32[64,48]", "mul max exp sum div"}
    assert sum(result.by("line").values()) == pytest.approx(sum(result.times))
    assert "mul max exp sum div" in str(result)
    with pytest.raises(ArgumentError, match="'kernel', 'scope', 'line'"):
        result.by("colour")
    with pytest.raises(ArgumentError, match="repeat=0"):
        td.profile(f, repeat=0)


def test_profiling_assigns_nothing_and_changes_no_later_call():
    class Counter(nn.Module):
        def __init__(self) -> None:
            self.count = nn.State(td.asarray(0))

        def __call__(self, x):
            self.count = self.count + 1
            return x + 1.0

    model = Counter()
    f = td.compile(lambda m, x: m(x))
    td.profile(f)(model, td.ones(3))
    assert model.count.item() == 0
    assert f(model, td.ones(3)).tolist() == [2.0] * 3
    assert model.count.item() == 1


def test_a_trace_for_the_browser(tmp_path):
    def f(x):
        c, _ = td.scan(lambda c, a: (td.tanh(c + a), None), x[0], x)
        return c * 2.0

    result = td.profile(f)(td.ones((20, 8)))
    path = tmp_path / "trace.json"
    result.save(path)
    events = json.loads(path.read_text())["traceEvents"]
    assert len(events) == len(result.kernels)
    loop = next(e for e in events if e["cat"] == "loop")
    inside = [e for e, k in zip(events, result.kernels, strict=True) if k.depth == 1]
    assert all(loop["ts"] <= e["ts"] for e in inside)
    assert sum(e["dur"] for e in inside) <= loop["dur"] + 1e-6
    assert list(tmp_path.iterdir()) == [path]


def test_explaining_does_not_change_results():
    f = td.compile(head)
    before = f(X, W).numpy().copy()
    f.explain(X, W), td.profile(f)(X, W)
    np.testing.assert_array_equal(f(X, W).numpy(), before)


def test_a_padded_input_is_copied_once_for_a_convolution_and_its_gradient():
    layer = nn.Conv2D(8, 3, padding="same", use_bias=False, input_size=4)

    def loss(kernel, x):
        layer.kernel = kernel
        return (layer(x) ** 2).sum()

    step = td.compile(td.value_and_grad(loss))
    kernels = step.explain(layer.kernel, td.ones((2, 8, 8, 4))).kernels
    padded = [k for k in kernels if k.name == "copy" and "[2,10,10,4]" in k.text]
    assert len(padded) == 1
    assert sum(k.name.startswith("product") for k in kernels) == 2
