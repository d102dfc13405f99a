"""A worker process: reads tasks from its pipe and writes elements, until the pipe's other end is closed."""

from __future__ import annotations

import pickle
import signal
import traceback
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from treadle.core.errors import DataError
from treadle.data._work import Outcome, Work

# What passes through the pipes is pickled by a process of this program for another of it: no file, nobody else's bytes.


def main(connection: Connection, packed: bytes) -> None:
    """The life of a worker. Ctrl-C is the parent's business: it closes the pipes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        try:
            work: Work = pickle.loads(packed)  # noqa: S301, see above
        except BaseException as e:
            send(connection, -1, Outcome([], e, 0.0))
            return
        while True:
            number, task = connection.recv()
            send(connection, number, work.run(task))
    except (EOFError, OSError):  # the parent closed the pipe, or is gone
        return


def send(connection: Connection, number: int, outcome: Outcome) -> None:
    """Write an outcome: a header, then the arrays' memory as it lies."""
    failure = None
    if outcome.error is not None:
        if isinstance(outcome.error, SystemExit):
            raise outcome.error
        failure = (*_told(outcome.error), "".join(traceback.format_exception(outcome.error)))
    buffers: list[Any] = []
    try:
        body = _pack(outcome.elements, buffers)
    except Exception as e:
        kind = type(outcome.elements[0]).__name__
        words = f"{kind} elements cannot be sent to the parent process ({e}). Give arrays, numbers and texts"
        failure = ("ArgumentError", words, traceback.format_exc())
        buffers = []
        body = _pack([], buffers)
    raws = [b.raw() for b in buffers]
    connection.send((number, failure, outcome.seconds, outcome.step, [r.nbytes for r in raws]))
    connection.send_bytes(body)
    for raw in raws:
        if raw.nbytes:
            connection.send_bytes(raw)


def receive(connection: Connection) -> tuple[int, Outcome]:
    """Read what `send` wrote: the task's number and its outcome; an error has the worker's traceback as a note.

    Raises:
        EOFError, OSError: the worker ended.
    """
    number, failure, seconds, step, sizes = connection.recv()
    body = connection.recv_bytes()
    buffers = [bytearray(n) for n in sizes]
    for buffer in buffers:
        if buffer:
            connection.recv_bytes_into(buffer)
    elements = pickle.loads(body, buffers=buffers)  # noqa: S301, see above
    return number, Outcome(elements, _error(failure), seconds, step)


def _error(failure: tuple[str, str, str] | None) -> DataError | None:
    if failure is None:
        return None
    kind, words, trace = failure
    error = DataError(words if kind == "DataError" else f"{kind}: {words}")
    error.add_note(f"In the worker:\n{trace}")
    return error


def _pack(elements: list[Any], buffers: list[Any]) -> bytes:
    return pickle.dumps(elements, protocol=5, buffer_callback=buffers.append)


def _told(error: BaseException) -> tuple[str, str]:
    """An error's class and words."""
    return type(error).__name__, getattr(error, "message", None) or str(error)


def pack_work(work: Work) -> bytes:
    """The work as bytes for a new process."""
    return bytes(ForkingPickler.dumps(work))
