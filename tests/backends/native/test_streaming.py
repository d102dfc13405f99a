"""Large outputs are written past the caches."""

from __future__ import annotations

import numpy as np
import pytest

import treadle as td
from treadle.backends.native.assembly import Function, Value
from treadle.backends.native.engine import compile_text, module_text
from treadle.backends.native.plan import LARGE
from treadle.backends.native.target import Target, baseline, host

STREAMED = "past the caches"


def both(x: td.Tensor) -> tuple[td.Tensor, td.Tensor]:
    return td.exp(x), x * 2


@pytest.mark.parametrize("shape", [(3001, 1001), (4_000_037,), (1 << 20, 4)])
def test_large_outputs_are_streamed_and_right(shape: tuple[int, ...]) -> None:
    x = td.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    f = td.compile(both)
    assert any(STREAMED in k.text for k in f.explain(x).kernels)
    assert "!nontemporal" in f.llvm(x)
    for a, b in zip(f(x), (np.exp(x.numpy()), x.numpy() * 2), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-6)
        assert a.numpy().ctypes.data % 64 == 0


def test_threads_see_all_of_it() -> None:
    x = td.asarray(np.random.default_rng(1).normal(size=(2000, 2000)).astype(np.float32))
    before, found = td.get_threads(), []
    try:
        for count in (1, 2, 3, 8):
            td.set_threads(count)
            found.append([y.numpy().copy() for y in td.compile(both)(x)])
    finally:
        td.set_threads(before)
    assert all(np.array_equal(a, b) for f in found for a, b in zip(f, found[0], strict=True))


def test_what_is_small_or_read_again_stays_in_the_caches() -> None:
    x = td.zeros((1000, 1000))
    assert not any(STREAMED in k.text for k in td.compile(both).explain(x).kernels)  # 8 MB are needed
    large = td.zeros((2000, 2000))

    def read_again(x: td.Tensor) -> tuple[td.Tensor, td.Tensor]:
        y = td.exp(x)
        return y, y @ y

    report = td.compile(read_again).explain(large)
    assert not any(STREAMED in k.text for k in report.kernels if "exp" in k.name)


def test_sizes_that_are_not_known_are_not_streamed() -> None:
    f = td.compile(lambda x: td.exp(x), dynamic={"x": ("n", None)})
    large, small = td.zeros((4000, 1000)), td.zeros((300, 3))
    assert not any(STREAMED in k.text for k in f.explain(large).kernels)
    assert f(small).shape == (300, 3)


@pytest.mark.parametrize(
    "target", [host(), baseline("x86_64-unknown-linux-gnu"), baseline("aarch64-unknown-linux-gnu")]
)
def test_every_target_has_such_stores(target: Target) -> None:
    if target.triple.split("-")[0] != host().triple.split("-")[0]:
        import llvmlite.binding as llvm

        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    f = Function("td_test_streaming", (("ptr", "out"),))
    f.store(Value("zeroinitializer", "float", 16), f.parameters[0], 64, streamed=True)
    f.do("ret void")
    assert compile_text(module_text([f], target), target)


def test_the_limits_are_above_what_is_recycled_unaligned() -> None:
    from treadle.backends.native.run import RECYCLED

    assert LARGE > RECYCLED
