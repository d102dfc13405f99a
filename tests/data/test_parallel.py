"""Workers: the same elements, order and positions for any number of them; failures are told, nothing is left behind."""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle as td
from tests.data import jobs
from tests.data.chains import SOURCES, STEPS, double, noisy, numbers, plain, stream, values
from treadle.core.errors import ArgumentError, DataError
from treadle.data import Dataset

WITHOUT_MAPS = "there is none directly before"


def make(source: str, step: str) -> Dataset:
    made: Dataset = STEPS[step](SOURCES[source]())
    return made


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("step", STEPS)
def test_threads_change_nothing(source: str, step: str) -> None:
    want = make(source, step)
    epochs = [values(want), values(want)]
    for ahead in (1, 5):
        ds = make(source, step).prefetch(ahead)
        assert [values(ds), values(ds)] == epochs
    try:
        ds = make(source, step).parallel(3)
    except ArgumentError as e:
        assert WITHOUT_MAPS in e.message  # noqa: PT017, only some of the steps are refused
        return
    assert [values(ds), values(ds)] == epochs
    assert ds.spec == want.spec


def build(kind: str, workers: int, process: str = "thread") -> Dataset:
    ds: Any = numbers(200) if kind == "indexed" else stream(200)
    ds = ds.shuffle(1, buffer=20).map(noisy, seed=2).map(double)
    if workers:
        ds = ds.parallel(workers, kind=process)
    made: Dataset = ds.batch(3)
    return made


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["indexed", "stream"]), st.integers(0, 4), st.integers(0, 4), st.integers(0, 66), st.integers(0, 1)
)
def test_going_on_with_another_number_of_workers(kind: str, before: int, after: int, at: int, epoch: int) -> None:
    whole = build(kind, 0)
    for _ in range(epoch):
        values(whole)
    want = values(whole)
    ds = build(kind, before)
    ds.restore({**ds.state(), "epoch": epoch})
    it = iter(ds)
    for _ in range(at):
        next(it)
    state = json.loads(json.dumps(ds.state()))
    ds.close()
    other = build(kind, after)
    other.restore(state)
    assert values(other) == want[at:]
    other.close()


def test_workers_make_what_comes_behind_them_too() -> None:
    threads = set()

    def note(x: Any) -> Any:
        import threading

        threads.add(threading.current_thread().name)
        time.sleep(0.001)
        return x

    for ds in (
        numbers().parallel(2).map(note).batch(4),
        td.data.zip(numbers().parallel(2), numbers()).map(note),
        numbers().map(note).parallel(2).cache(),
        stream().map(note).parallel(2),
    ):
        threads.clear()
        values(ds)
        assert threads == {"data-0", "data-1"}
        assert "parallel(2, kind='thread')" in repr(ds)


def test_an_error_comes_in_its_turn_and_what_was_before_it_is_given() -> None:
    for ds in (numbers().map(jobs.bad).parallel(3), stream().map(jobs.bad).parallel(3)):
        got: list[Any] = []
        with pytest.raises(
            DataError, match=r"step 1, map\(bad, jobs.py:\d+\), at element 13: ZeroDivisionError: thirteen"
        ):
            got.extend(ds)
        assert got == list(range(13))
        assert plain(ds.state()["at"]) in (13, {"at": 13, "of": {"at": 13, "of": None}})


@pytest.mark.parametrize("kind", ["thread", pytest.param("process", id="process")])
def test_an_error_in_a_worker_names_step_file_and_record(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{i}\n" for i in range(10)))
    (tmp_path / "b.txt").write_text("".join(f"{i}\n" for i in range(10, 20)))
    lines = td.data.from_text(str(tmp_path / "*.txt"))
    step = r"step \d, map\(bad, jobs.py:\d+\), at "
    for ds, place in (
        (lines.map(int).map(jobs.bad), r".*b\.txt, line 4: ZeroDivisionError: thirteen"),
        (lines.flat_map(jobs.numbers).map(jobs.bad), r"element 13 \(.*b\.txt, line 4\): ZeroDivisionError: thirteen"),
        (lines.map(int).repeat().shuffle(buffer=5).map(jobs.bad), r"element \d+ \(.*b\.txt, line 4\): Zero"),
        (lines.map(int).repeat().prefetch(2).map(jobs.bad), r"element 13 \(.*b\.txt, line 4\): Zero"),
        (lines.map(int).parallel(2).flat_map(jobs.alone).map(jobs.bad), r"element 13 \(.*b\.txt, line 4\): Zero"),
    ):
        with closing(ds.parallel(2, kind=kind)) as busy, pytest.raises(DataError, match=step + place):
            list(busy)


def failing_source() -> Iterator[int]:
    yield from range(5)
    raise OSError("no more")


@pytest.mark.parametrize("last", [lambda d: d.prefetch(3), lambda d: d.map(double).parallel(2)])
def test_an_error_of_the_source_comes_in_its_turn(last: Any) -> None:
    got: list[Any] = []
    with pytest.raises(DataError, match=r"from_generator.*element 5: OSError: no more"):
        got.extend(last(td.data.from_generator(failing_source)))
    assert len(got) == 5


def test_loops_that_are_left_do_not_disturb_the_next() -> None:
    ds = numbers(500).map(jobs.slow_at_first).parallel(3)
    for n in (0, 1, 7, 30):
        assert [int(x) for x in itertools.islice(ds, n)] == list(range(n))
    assert values(ds) == list(range(500))
    a, b = iter(ds), iter(ds)
    assert [int(x) for pair in zip(a, b, strict=True) for x in pair] == [i for i in range(500) for _ in range(2)]


def test_a_stream_that_waits_does_not_hold_up_the_end() -> None:
    def endless() -> Iterator[int]:
        yield 1
        time.sleep(3600)
        yield 2

    ds = td.data.from_generator(endless).prefetch(2)
    assert next(iter(ds)) == 1
    ds.close()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: numbers().parallel(0), "at least 1"),
        (lambda: numbers().parallel(2, kind="green"), '"thread" or "process"'),
        (lambda: numbers().prefetch(0), "at least 1"),
        (lambda: stream().batch(2).parallel(2), r"parallel behind batch\(2\).*prefetch"),
        (lambda: next(iter(numbers().map(lambda x: x).parallel(1, kind="process"))), "top of a module, not be lambdas"),
    ],
)
def test_arguments_that_cannot_be(call: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        call()


# Processes.


@contextlib.contextmanager
def closing(ds: Dataset) -> Iterator[Any]:
    try:
        yield ds
    finally:
        ds.close()
        assert not [p for p in multiprocessing.active_children() if p.name == "treadle-data"]


def test_processes_change_nothing() -> None:
    chain: Any = numbers(300).shuffle(2).map(jobs.slow_at_first).map(jobs.noisy, seed=1)
    for steps in (lambda d: d.batch(7), lambda d: d.cache(), lambda d: d.flat_map(lambda x: [x, x])):
        want = steps(chain)
        epochs = [values(want), values(want)]
        with closing(steps(chain.parallel(2, kind="process"))) as ds:
            assert [values(ds), values(ds)] == epochs
    streamed: Any = stream(300).map(jobs.noisy, seed=1).map(jobs.square)
    with closing(streamed.parallel(2, kind="process")) as ds:
        assert values(ds) == values(streamed)
        state_at = iter(ds)
        for _ in range(50):
            next(state_at)
        state = json.loads(json.dumps(ds.state()))
        streamed.restore(state)
        assert values(streamed) == values(state_at)


def test_processes_are_spawned_where_there_is_no_fork_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    chain: Any = numbers(50).map(jobs.noisy, seed=1)
    with closing(chain.parallel(2, kind="process").batch(7)) as ds:
        assert values(ds) == values(chain.batch(7))


def test_large_arrays_pass_both_ways_at_once() -> None:
    with closing(stream(12).map(jobs.grow).map(jobs.square).parallel(2, kind="process")) as ds:
        for i, x in enumerate(ds):
            assert x.shape == (300_000,)
            assert (x == i * i).all()
    with closing(numbers(12).map(jobs.large).parallel(2, kind="process")) as ds:
        for i, x in enumerate(ds):
            assert (x["a"] == i).all()
            assert (x["c"] == i).all()
            x["a"][:] = 0  # what comes from a process is the loop's own


def test_processes_are_started_once() -> None:
    with closing(numbers(400).map(jobs.process_of).parallel(2, kind="process")) as ds:
        first = set(values(ds))
        assert set(values(ds)) <= first | set(values(ds))
        assert os.getpid() not in first
        assert len(first | set(values(ds))) <= 2


@pytest.mark.parametrize("source", [numbers, stream])
def test_an_error_in_a_process_has_its_traceback(source: Any) -> None:
    with closing(source().map(jobs.bad).parallel(2, kind="process")) as ds:
        with pytest.raises(DataError, match=r"step 1, map\(bad, jobs.py:\d+\), at element 13: ZeroDivisionError") as e:
            list(ds)
        assert "in bad\n    raise ZeroDivisionError" in e.value.__notes__[0]


@pytest.mark.parametrize(
    ("job", "how"), [(jobs.killed, "was killed by SIGKILL"), (jobs.exits, "ended with exit code 7")]
)
@pytest.mark.parametrize("source", [numbers, stream])
def test_a_worker_that_dies_is_an_error_that_says_at_what(source: Any, job: Any, how: str) -> None:
    with closing(source().map(job).parallel(2, kind="process")) as ds:
        with pytest.raises(
            DataError, match=rf"worker process \d+ {how} while it made elements? .* of step 1, map"
        ) as e:
            list(ds)
        spans = [s.split() for s in e.value.message.partition("made ")[2].split(" and ")]
        numbers = [(int(s[1]), int(s[3]) if s[0] == "elements" else int(s[1])) for s in spans]
        assert any(a <= 13 <= b for a, b in numbers)
        assert "SIGKILL" not in how or "not begun" not in e.value.message  # it had, if in its first task


def test_a_worker_that_dies_says_from_which_file_it_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{i}\n" for i in range(40)))
    ds = td.data.from_text(tmp_path / "a.txt").map(int).map(jobs.killed).parallel(1, kind="process", ahead=1)
    with closing(ds), pytest.raises(DataError, match=r"SIGKILL while it made element.* \(.*a\.txt, line 1\d( to |\))"):
        list(ds)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no such folder")
@pytest.mark.parametrize("source", [numbers, stream])
def test_a_worker_that_is_killed_from_outside_ends_the_loop_and_leaves_nothing(source: Any) -> None:
    before = set(os.listdir("/dev/shm"))
    with closing(source(10_000).map(jobs.large_and_slow).parallel(2, kind="process")) as ds:
        it = iter(ds)
        next(it)
        victim, other = [p for p in multiprocessing.active_children() if p.name == "treadle-data"]
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        with pytest.raises(
            DataError, match=rf"worker process {victim.pid} was killed by SIGKILL while it made element"
        ):
            list(it)
        assert gone(other.pid or 0)
        assert list(itertools.islice(values(x["b"] for x in itertools.islice(ds, 3)), 3)) == ["text" * 10] * 3  # anew
    assert set(os.listdir("/dev/shm")) == before


def test_a_worker_that_dies_can_be_replaced(tmp_path: Path) -> None:
    ds = numbers(60).map(jobs.KilledOnce(tmp_path / "died")).parallel(2, kind="process", restarts=1)
    with closing(ds), pytest.warns(RuntimeWarning, match="SIGKILL.*another one goes on"):
        assert values(ds) == list(range(60))


def test_elements_that_cannot_be_sent_say_so() -> None:
    ds = numbers().map(jobs.function).parallel(1, kind="process")
    with closing(ds), pytest.raises(DataError, match="function elements cannot be sent to the parent process"):
        list(ds)


def gone(pid: int) -> bool:
    """Whether a process has ended, or ends soon."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("what", ["wait", "interrupt", "interrupt fit"])
def test_no_process_is_left_behind(what: str) -> None:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in [str(root), *sys.path] if p)}
    run = subprocess.Popen(
        [sys.executable, jobs.__file__, what], env=environment, cwd=root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with run:
        assert run.stdout is not None
        assert run.stderr is not None
        workers = [int(n) for n in run.stdout.readline().split()]
        assert len(workers) == 2
        if what == "wait":
            run.send_signal(signal.SIGKILL)
        words = run.stderr.read()
    if what != "wait":
        assert "KeyboardInterrupt" in words
        assert words.count("Traceback") == 1
        assert run.returncode == -signal.SIGINT
    assert all(map(gone, workers))
