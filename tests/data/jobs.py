"""Functions for worker processes, which import this module; and a program with workers that is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import treadle as td


def square(x: Any) -> Any:
    return x * x


def same(x: Any) -> Any:
    return x


def root(x: Any) -> Any:
    return round(x**0.5)


def always(x: Any) -> bool:
    return True


def alone(x: Any) -> list[Any]:
    return [x]


def row(x: Any) -> Any:
    """A sequence of 1 to 7 times the number."""
    return np.full(int(x) % 7 + 1, x)


def jitter(pair: Any, rng: np.random.Generator) -> Any:
    x, y = pair
    return x + rng.normal(0, 0.1, x.shape).astype(np.float32), y


def quiet(x: Any) -> Any:
    """What `noisy` was made of."""
    return x // 1000


def noisy(x: Any, rng: np.random.Generator) -> Any:
    return x * 1000 + rng.integers(1000)


def slow_at_first(x: Any) -> Any:
    """Later elements are ready before earlier ones."""
    if x % 8 == 0:
        time.sleep(0.01)
    return x


def bad(x: Any) -> Any:
    if x == 13:
        raise ZeroDivisionError("thirteen")
    return x


def killed(x: Any) -> Any:
    if x == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def exits(x: Any) -> Any:
    if x == 13:
        sys.exit(7)
    return x


class KilledOnce:
    """Dies at element 13 unless it has before."""

    def __init__(self, note: Path) -> None:
        self.note = note

    def __call__(self, x: Any) -> Any:
        if x == 13 and not self.note.exists():
            self.note.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return x


def function(x: Any) -> Any:
    """Its result cannot be pickled."""
    return lambda: x


def large(x: Any) -> Any:
    """Several megabytes there and back."""
    return {"a": np.full((500_000,), x, np.float64), "b": "text" * 10, "c": np.asfortranarray(np.full((30, 40), x))}


def large_and_slow(x: Any) -> Any:
    time.sleep(0.01)
    return large(x)


def numbers(line: str) -> list[int]:
    return [int(line)]


def grow(x: Any) -> Any:
    return np.full((300_000,), x, np.float64)


def process_of(x: Any) -> int:
    return os.getpid()


def pair(x: Any) -> Any:
    return np.full(2, x, np.float32), np.zeros(1, np.float32)


def fit_and_interrupt(ds: Any) -> None:
    """Train on what two processes make, and interrupt the program after some steps."""

    def stop(context: Any) -> None:
        if context.step == 20:
            print(*(p.pid for p in multiprocessing.active_children() if p.name == "treadle-data"), flush=True)
            os.kill(os.getpid(), signal.SIGINT)

    model = td.nn.Dense(1)
    callback = td.train.LambdaCallback(on_batch_end=stop)
    td.fit(model, ds.map(pair).batch(4), loss="mse", optimizer=td.optim.SGD(0.0), callbacks=[callback], verbose=False)
    raise KeyboardInterrupt  # fit ends in order, and what runs it should end, too


def program(what: str) -> None:
    """Read with two processes, tell their numbers, then wait to be killed, or interrupt itself."""
    ds = td.data.from_arrays(np.arange(10_000)).map(process_of).parallel(2, kind="process")
    if what == "interrupt fit":
        fit_and_interrupt(ds)
    it = iter(ds)
    seen: set[int] = set()
    while len(seen) < 2:
        seen.add(int(next(it)))
        time.sleep(0.001)
    print(*seen, flush=True)
    if what == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60 if what == "wait" else 0)
    for _ in it:
        pass


if __name__ == "__main__":
    program(sys.argv[1])
