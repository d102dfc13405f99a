"""Threads: the same bits for any number of them, several callers at once, forks, sleep, and the end of the process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import treadle as td
from treadle.core.errors import ArgumentError
from treadle.ops import conv

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def threads():
    before = td.get_threads()
    yield
    td.set_threads(before)


def network(p, x, k):
    """Products, a convolution, reductions along either axis, a scan: all that is cut into pieces."""
    h = td.tanh(x @ p["w"] + p["b"])
    picture = conv.conv(
        k["x"],
        k["k"],
        strides=(1, 1),
        padding=((1, 1), (1, 1)),
        x_dilation=(1, 1),
        kernel_dilation=(1, 1),
        groups=1,
    )
    c, _ = td.scan(lambda c, a: (td.tanh(c @ p["u"] + a), None), h[:32], td.reshape(h, (-1, 32, h.shape[1])))
    return td.sum(td.log(td.sum(td.exp(h), axis=1))) + td.sum(td.sum(c, axis=0) ** 2) + td.sum(td.relu(picture))


def inputs():
    a = lambda *shape: td.asarray(RNG.standard_normal(shape), dtype=td.float32)  # noqa: E731
    p = {"w": a(200, 160), "b": a(160), "u": a(160, 160) * 0.05}
    return p, a(512, 200), {"x": a(4, 20, 20, 3), "k": a(3, 3, 3, 8)}


def test_the_bits_do_not_depend_on_the_number_of_threads():
    p, x, k = inputs()
    step = td.compile(td.value_and_grad(network))
    found = []
    for count in (1, 2, 3, 8):
        td.set_threads(count)
        assert td.get_threads() == count
        value, grads = step(p, x, k)
        found.append([value.numpy().tobytes(), *(g.numpy().tobytes() for g in grads.values())])
    assert all(f == found[0] for f in found)


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "2"])
def test_impossible_numbers_of_threads(count):
    with pytest.raises(ArgumentError, match="number of threads"):
        td.set_threads(count)


def test_several_python_threads_at_once():
    td.set_threads(2)
    p, x, k = inputs()
    same = td.compile(network)
    expected = same(p, x, k).item()
    wrong: list[object] = []

    def work(number: int) -> None:
        own = td.compile(lambda y: td.sum(td.exp(y * 1e-3)) + number)
        want = None
        for _ in range(20):
            got = same(p, x, k).item()
            mine = own(x).item()
            want = mine if want is None else want
            if got != expected or mine != want:
                wrong.append((number, got, mine))

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join(timeout=120)
        assert not w.is_alive()
    assert not wrong


def run(program: str, timeout: float = 120) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "TREADLE_THREADS": "3"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_environment_chooses_the_number():
    assert run("import treadle as td; print(td.get_threads())").strip() == "3"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_fork_computes_with_threads_of_its_own():
    out = run(
        """
        import os, treadle as td
        f = td.compile(lambda x: td.sum(x @ x))
        x = td.ones((300, 300))
        want = f(x).item()
        child = os.fork()
        if child == 0:
            ok = all(f(x).item() == want for _ in range(20)) and td.compile(lambda x: x + 1)(x)[0, 0].item() == 2
            os._exit(0 if ok else 3)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), f(x).item() == want)
        """
    )
    assert out.split() == ["0", "True"]


def test_multiprocessing_with_fork():
    out = run(
        """
        import multiprocessing as mp, treadle as td
        f = td.compile(lambda x: td.sum(x @ x))
        x = td.ones((200, 200))
        want = f(x).item()
        def work(_): return f(x).item()
        if __name__ == "__main__":
            with mp.get_context("fork").Pool(2) as pool:
                print(pool.map(work, range(6), chunksize=1) == [want] * 6)
        """
    )
    assert out.strip() == "True"


def test_idle_threads_use_no_processor():
    td.set_threads(4)
    f = td.compile(lambda x: td.sum(x @ x))
    x = td.ones((400, 400))
    for _ in range(5):
        f(x)
    time.sleep(0.05)  # a waiting thread spins for about a tenth of a millisecond
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1


def test_the_process_ends_while_threads_wait_or_daemons_compute():
    out = run(
        """
        import threading, treadle as td
        f = td.compile(lambda x: td.sum(x @ x))
        x = td.ones((600, 600))
        f(x)
        def forever():
            while True:
                f(x)
        threading.Thread(target=forever, daemon=True).start()
        f(x)
        print("done")
        """,
        timeout=60,
    )
    assert out.strip() == "done"


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_stops_a_loop_of_calls():
    program = """
        import signal, os, threading, time, treadle as td
        f = td.compile(lambda x: td.sum(x @ x))
        x = td.ones((300, 300))
        f(x)
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            while True:
                f(x)
        except KeyboardInterrupt:
            print("stopped", f(x).item() > 0)
        """
    assert run(program, timeout=60).split() == ["stopped", "True"]


def test_a_short_row_of_much_work_is_shared():
    """Strips are shorter where a row is short; what they compute is the same for any number of threads."""
    arrays = [td.asarray(RNG.standard_normal(size), dtype=td.float32) for size in (8192, 8192, 8192)]
    f = td.compile(lambda x, y, z: td.tanh(x) * td.exp(y) + td.sigmoid(z))
    (kernel,) = f.explain(*arrays).kernels
    assert kernel.tasks > 1
    found = []
    for count in (1, 2, 5):
        td.set_threads(count)
        found.append(f(*arrays).numpy().tobytes())
    assert len(set(found)) == 1
    (small,) = td.compile(lambda x, y: x + y).explain(*arrays[:2]).kernels
    assert small.tasks == 1
