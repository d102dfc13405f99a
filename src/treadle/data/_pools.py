"""Threads and processes that run tasks: `submit` a task, `wait` for whichever is done."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
import warnings
import weakref
from abc import ABC, abstractmethod
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import Any

from treadle.core.errors import ArgumentError, DataError
from treadle.data._work import Outcome, Work
from treadle.data._worker_main import main, pack_work, receive

Task = tuple[Any, ...]


class Pool(ABC):
    """Workers for one step. One reader uses it at a time; what earlier readers left behind is recognised by number."""

    @abstractmethod
    def submit(self, number: int, task: Task) -> None:
        """Begin a task as soon as a worker is free."""

    @abstractmethod
    def wait(self) -> tuple[int, Outcome]:
        """The number and outcome of a task that is done; waits for one.

        Raises:
            DataError: a worker died.
        """

    @abstractmethod
    def close(self) -> None:
        """End the workers."""


class InlinePool(Pool):
    """No workers: a task runs in the thread that waits for it. Breakpoints stop there."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.tasks: deque[tuple[int, Task]] = deque()

    def submit(self, number: int, task: Task) -> None:
        self.tasks.append((number, task))

    def wait(self) -> tuple[int, Outcome]:
        number, task = self.tasks.popleft()
        return number, self.work.run(task)

    def close(self) -> None:
        self.tasks.clear()


class ThreadPool(Pool):
    """Daemon threads: they do not keep a program from ending."""

    def __init__(self, work: Work, workers: int) -> None:
        self.tasks: queue.SimpleQueue[tuple[int, Task] | None] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
        self.workers = workers
        for k in range(workers):
            threading.Thread(target=_serve, args=(work, self.tasks, self.done), name=f"data-{k}", daemon=True).start()
        self._end = weakref.finalize(self, _stop_threads, self.tasks, workers)

    def submit(self, number: int, task: Task) -> None:
        self.tasks.put((number, task))

    def wait(self) -> tuple[int, Outcome]:
        return self.done.get()

    def close(self) -> None:
        self._end()


def _serve(work: Work, tasks: Any, done: Any) -> None:
    while (got := tasks.get()) is not None:
        done.put((got[0], work.run(got[1])))


def _stop_threads(tasks: Any, workers: int) -> None:
    for _ in range(workers):
        tasks.put(None)


class ProcessPool(Pool):
    """Processes from a fork server, or spawned where there is none: never a fork of this process and its threads."""

    def __init__(self, work: Work, workers: int, restarts: int, depth: int) -> None:
        self.work, self.restarts, self.depth = work, restarts, depth
        methods = multiprocessing.get_all_start_methods()
        self.context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        try:
            self.packed = pack_work(work)
        except Exception as e:
            raise ArgumentError(
                f'parallel(kind="process"): a step cannot be sent to another process ({e}). Its functions must be '
                'defined by def at the top of a module, not be lambdas or inner functions; or use kind="thread"'
            ) from e
        self.waiting: list[tuple[int, Task]] = []
        self.members: list[_Member] = []
        self._end = weakref.finalize(self, _stop_processes, self.members)
        try:
            for _ in range(workers):
                self.members.append(_Member(self.context, self.packed))
        except BaseException:
            self.close()
            raise

    def submit(self, number: int, task: Task) -> None:
        self.waiting.append((number, task))
        self._hand_out()

    def _hand_out(self) -> None:
        """Give waiting tasks to the workers with the fewest, up to `depth` each."""
        while self.waiting:
            member = min(self.members, key=lambda m: len(m.tasks))
            if len(member.tasks) >= self.depth:
                return
            number, task = self.waiting.pop(0)
            member.tasks[number] = task
            try:
                member.connection.send((number, task))
            except OSError:
                self._died(member)

    def wait(self) -> tuple[int, Outcome]:
        while True:
            ready = wait([m.connection for m in self.members] + [m.process.sentinel for m in self.members])
            # A worker that wrote its last result and ended is read first.
            for member in sorted(self.members, key=lambda m: m.connection not in ready):
                if member.connection in ready or (member.process.sentinel in ready and member.connection.poll()):
                    try:
                        number, outcome = receive(member.connection)
                    except (EOFError, OSError):
                        self._died(member)
                        break
                    if number < 0:
                        raise self._not_begun(outcome.error)
                    member.tasks.pop(number, None)
                    member.answered = True
                    self._hand_out()
                    return number, outcome
                if member.process.sentinel in ready:
                    self._died(member)
                    break

    def _died(self, member: _Member) -> None:
        """Replace a dead worker, if that is allowed, or raise."""
        member.process.join()
        code = member.process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        doing = " and ".join(self.work.describe(t) for t in member.tasks.values()) or "nothing"
        words = f"worker process {member.process.pid} {how} while it made {doing}"
        if self.restarts < 1:
            self.close()
            if not member.answered and code >= 0:
                words += (
                    ". It had not begun: a program that uses processes keeps what it runs under "
                    'if __name__ == "__main__":, since each process imports it'
                )
            raise DataError(words)
        self.restarts -= 1
        warnings.warn(f"{words}; another one goes on ({self.restarts} restarts left)", RuntimeWarning, stacklevel=2)
        self.members.remove(member)
        member.connection.close()
        self.waiting[:0] = member.tasks.items()
        self.members.append(_Member(self.context, self.packed))
        self._hand_out()

    def _not_begun(self, why: BaseException | None) -> DataError:
        self.close()
        error = DataError(
            f"a worker process could not get its work: {why}. Its functions must be defined by def in a "
            'module that can be imported, not in an interactive session; or use kind="thread"'
        )
        for note in getattr(why, "__notes__", ()):
            error.add_note(note)
        return error

    def close(self) -> None:
        self._end()


class _Member:
    """A process, this end of its pipe, and the tasks that it has."""

    def __init__(self, context: Any, packed: bytes) -> None:
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self.tasks: dict[int, Task] = {}
        self.answered = False
        self.process = context.Process(target=main, args=(theirs, packed), daemon=True, name="treadle-data")
        self.process.start()
        theirs.close()  # or its end would not be noticed


def _stop_processes(members: list[_Member]) -> None:
    """Closing a pipe ends a worker that waits; one that computes is terminated."""
    for member in members:
        member.connection.close()
        member.process.terminate()
    for member in members:
        member.process.join(2)
        if member.process.is_alive():
            member.process.kill()
            member.process.join()
    members.clear()
