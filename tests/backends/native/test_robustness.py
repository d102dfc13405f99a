"""What can go wrong around compiled code: cache, memory, indices, sizes, LLVM; what the user holds stays as it is."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import treadle as td
from treadle.backends.native import engine, memory
from treadle.core.errors import CompileError, OutOfRangeError, ShapeError


def fresh(k: int):
    """A function whose kernel nobody has compiled yet in this process."""
    return td.compile(lambda x: td.sin(x * (k + 0.123)) - k)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TREADLE_CACHE", str(tmp_path / "code"))
    return tmp_path / "code"


def test_a_second_process_loads_what_the_first_has_compiled(cache):
    program = textwrap.dedent(
        """
        import treadle as td
        from treadle.backends.native import engine
        made = []
        real = engine.compile_text
        engine.compile_text = lambda *a: made.append(1) or real(*a)
        print(td.compile(lambda x: td.tanh(x) * 3.5)(td.ones(7)).tolist()[0], len(made))
        """
    )
    found = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout
        for _ in range(2)
    ]
    (first, compiled), (second, again) = (line.split() for line in found)
    assert first == second
    assert int(compiled) == 2  # the runtime and the kernel
    assert int(again) == 0


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_entry_is_made_again(cache, damage):
    x = td.asarray(np.linspace(0, 1, 5, dtype=np.float32))
    want = fresh(1)(x).numpy()
    for path in cache.glob("*.o"):
        whole = bytearray(path.read_bytes())
        if damage == "truncated":
            whole = whole[: len(whole) // 2]
        elif damage == "flipped":
            whole[len(whole) // 2] ^= 1
        path.write_bytes(b"" if damage == "empty" else bytes(whole))
    engine._loaded.clear()
    np.testing.assert_array_equal(fresh(1)(x).numpy(), want)
    assert all(len(p.read_bytes()) > 100 for p in cache.glob("*.o"))


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("TREADLE_CACHE", str(blocked / "code"))
    assert fresh(2)(td.zeros(3)).tolist() == [-2.0] * 3


def test_no_folder_no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TREADLE_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fresh(3)(td.zeros(3)).tolist() == [-3.0] * 3
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_bounded_and_keeps_what_was_used_last(cache, monkeypatch):
    monkeypatch.setattr(engine, "KEPT_BYTES", 12_000)
    for k in range(10, 30):
        fresh(k)(td.zeros(k))
    files = list(cache.glob("*.o"))
    assert 0 < sum(p.stat().st_size for p in files) <= 12_000
    assert not list(cache.glob("*.part"))


def test_what_does_not_fit_the_memory_says_so_before_it_runs(monkeypatch):
    monkeypatch.setattr(memory, "memory_limit", lambda: 10_000_000)
    f = td.compile(lambda x: td.sum(td.cumulative_sum(td.broadcast_to(x, (3000, 1000)), axis=0)))
    with pytest.raises(MemoryError, match=r"needs 0\.0 GB.*there are 0\.0 GB in all") as e:
        f(td.ones(1000))
    assert "cumsum f32[3000,1000] (test_robustness.py:" in str(e.value)
    monkeypatch.setattr(memory, "memory_limit", lambda: 10_000_000_000)
    assert f(td.ones(1000)).item() > 0


def test_the_memory_limit_is_that_of_the_machine():
    limit = memory.memory_limit()
    assert limit is None or limit > 100_000_000


def test_an_error_of_llvm_names_the_kernel_and_saves_its_code(monkeypatch, cache):
    from treadle.backends.native import scalar

    def broken(f, v, dtype, out, params):
        return f.emit(v[0].kind, v[0].lanes, f"frobnicate {v[0]}")

    monkeypatch.setitem(scalar.WRITERS, "floor", broken)
    with pytest.raises(CompileError, match="LLVM does not accept what treadle wrote for td_") as e:
        td.compile(lambda x: td.floor(x * 77.0))(td.ones(11))
    text = str(e.value)
    assert "test_robustness.py:" in text
    assert "The kernel computes: floor" in text
    path = next(word for word in text.split() if word.rstrip(":").endswith(".ll")).rstrip(":")
    with open(path) as f:
        assert "frobnicate" in f.read()
    os.unlink(path)


@pytest.mark.parametrize("index", [5, -6, 2**31 - 1])
def test_indices_out_of_range_raise_what_the_reference_raises(index):
    def f(x, i):
        return td.take(x, i, axis=0) * 2.0

    x, i = td.arange(5).astype(td.float32), td.asarray([0, index], dtype=td.int32)
    messages = []
    for backend in ("reference", "native"):
        with pytest.raises(OutOfRangeError) as e:
            td.compile(f, backend=backend)(x, i)
        messages.append(str(e.value))
    assert messages[0] == messages[1]
    assert td.compile(f)(x, td.asarray([4, 0], dtype=td.int32)).tolist() == [8.0, 0.0]


def test_indices_in_loops_and_branches_are_guarded_too():
    def loop(x, i):
        return td.scan(lambda c, k: (c + x[k], None), td.asarray(0.0), i)[0]

    def branch(x, i):
        return td.cond(i[0] > 1, lambda: x[i[0]], lambda: x[0])

    x = td.arange(4).astype(td.float32)
    for f in (loop, branch):
        assert td.compile(f)(x, td.asarray([3, 1])).item() >= 3.0
        with pytest.raises(OutOfRangeError):
            td.compile(f)(x, td.asarray([7, 1]))


def test_sizes_that_turn_out_impossible():
    f = td.compile(lambda x: td.nn.MaxPooling1D(3)(x), dynamic={"x": (None, "time", None)})
    assert f(td.ones((1, 9, 1))).shape == (1, 3, 1)
    with pytest.raises(ShapeError):
        f(td.ones((1, 2, 1)))
    assert f(td.ones((1, 4, 1))).shape == (1, 1, 1)


def test_outputs_that_are_held_never_change():
    f = td.compile(lambda x: x * 2.0)
    kept, views, arrays = [], [], []
    for k in range(12):
        out = f(td.full((64, 64), float(k)))
        kept.append(out)
        views.append(out.numpy()[::2, 1:])
        arrays.append(np.from_dlpack(out))
    for k, (t, v, a) in enumerate(zip(kept, views, arrays, strict=True)):
        assert (t.numpy() == 2.0 * k).all()
        assert (v == 2.0 * k).all()
        assert (a == 2.0 * k).all()


def test_memory_of_outputs_that_are_dropped_is_used_again():
    f = td.compile(lambda x: x + 1.0)
    x = td.zeros((256, 256))
    addresses = {f(x).numpy().ctypes.data for _ in range(20)}
    assert len(addresses) <= 3


def test_outputs_are_read_only():
    out = td.compile(lambda x: x + 1.0)(td.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        out.numpy()[0] = 5.0


def test_inputs_of_any_layout():
    f = td.compile(lambda x: x * 2.0 + 1.0)
    base = np.arange(60, dtype=np.float32).reshape(5, 12)
    for a in (
        base.T,
        base[::2],
        base[:, ::-1],
        base[:, 3:],
        np.broadcast_to(base[0], (4, 12)),
        np.asfortranarray(base),
    ):
        np.testing.assert_array_equal(f(td.asarray(a)).numpy(), a * 2.0 + 1.0)


def test_empty_arrays():
    f = td.compile(lambda x: (td.exp(x), td.sum(x, axis=0), td.sum(x), x @ x.mT))
    out = f(td.zeros((0, 4)))
    assert [o.shape for o in out] == [(0, 4), (4,), (), (0, 0)]
    assert out[1].tolist() == [0.0] * 4
    out = f(td.zeros((3, 0)))
    assert out[3].tolist() == [[0.0] * 3] * 3


def test_a_wrong_index_ends_a_loop_that_would_run_for_ever():
    """Held inside its axis, the index would find a positive number again and again."""

    def in_condition(x):
        return td.while_loop(lambda i: x[i] > 0, lambda i: i + 1, td.asarray(0))

    def in_body(x):
        return td.while_loop(lambda s: s[1] > 0, lambda s: (s[0] + 1, x[s[0]]), (td.asarray(0), x[0]))

    for f in (in_condition, in_body):
        messages = []
        for backend in ("reference", "native"):
            with pytest.raises(OutOfRangeError) as e:
                td.compile(f, backend=backend)(td.ones(4))
            messages.append(str(e.value))
        assert messages[0] == messages[1]
    bounded = td.compile(lambda x: td.while_loop(lambda i: x[i] > 0, lambda i: i + 1, td.asarray(0), max_steps=4))
    assert bounded(td.ones(4)).item() == 4  # after the last step the condition is not asked


LOOKS = {
    "tensor": lambda y: y,
    "array": np.asarray,
    "slice": lambda y: np.asarray(y)[3:5],
    "transposed": lambda y: np.asarray(y).T,
    "flat": lambda y: np.asarray(y).reshape(-1)[10:],
}


@pytest.mark.parametrize("look", LOOKS)
def test_memory_that_somebody_still_looks_at_is_not_used_again(look: str) -> None:
    f = td.compile(lambda x: x * 2.0)
    seen = LOOKS[look](f(td.ones((64, 64))))
    for k in range(6):
        f(td.full((64, 64), float(k + 5)))
    assert (np.asarray(seen) == 2.0).all()


@pytest.mark.skipif(sys.platform != "linux", reason="it places memory as Linux does")
def test_code_is_linked_wherever_memory_is_free(cache):
    """The parts of an object lie together, also where the nearest free memory is more than 2 GB away."""
    program = textwrap.dedent(
        """
        import ctypes, mmap
        import numpy as np
        import treadle as td

        PAGE, NO_RESERVE = mmap.PAGESIZE, 0x4000
        libc = ctypes.CDLL(None)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

        def reserve(size):
            return libc.mmap(None, size, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE, -1, 0)

        def fill():
            while reserve(PAGE) > wall:
                pass

        x = td.ones(8)
        td.compile(lambda x: x + 1.0)(x)
        high, wall = reserve(64 * PAGE), reserve(4 << 30)
        fill()
        for pages in range(1, 8):  # a hole that takes one part of the code, and nothing else before the wall
            libc.munmap(high + 8 * (pages - 1) * PAGE, pages * PAGE)
            y = td.compile(lambda x: td.exp(x * (pages + 0.5)) + td.sin(x))(x)
            np.testing.assert_allclose(y.numpy(), np.exp(pages + 0.5) + np.sin(1.0), rtol=1e-5)
            fill()
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
