"""The native side of running: threads, and the table of steps that `runtime.ll` walks."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np

from treadle.backends.native.engine import Library, object_of
from treadle.backends.native.target import host
from treadle.core.errors import ArgumentError

POOL_BYTES = 512
STEP_WORDS = 8
KERNEL, HOST, LOOP, WHILE, BRANCH = range(5)
SPINS = 3000  # of a waiting thread before it sleeps: about a tenth of a millisecond

Callback = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)


class Runtime:
    """The functions of `runtime.ll`, loaded."""

    def __init__(self) -> None:
        data, flags = array_layout()
        size, items = list_layout()
        text = resources.files("treadle.backends.native").joinpath("runtime.ll").read_text("utf-8")
        x86 = host().is_x86
        values = {
            "spins": SPINS,
            "pause": "@llvm.x86.sse2.pause()" if x86 else "@llvm.aarch64.hint(i32 1)",
            "declared": "@llvm.x86.sse2.pause()" if x86 else "@llvm.aarch64.hint(i32)",
            "data": data,
            "flags": flags,
            "size": size,
            "items": items,
        }
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        self._library = Library(object_of(text, host()), ["td_run", "td_worker", "td_copy"])
        self._library.keep_forever()
        address = self._library.addresses
        self.run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_size_t, ctypes.c_size_t)(address["td_run"])
        self.worker = address["td_worker"]
        self.copy = address["td_copy"]


@functools.cache
def runtime() -> Runtime:
    return Runtime()


def array_layout() -> tuple[int, int]:
    """Where, in a NumPy array's object, the address of its data and its flags stand.

    These are fields of NumPy's public C struct, behind the head of a Python object; measured rather than assumed.
    """
    head = object.__basicsize__
    probe = np.arange(6, dtype=np.float32).reshape(2, 3)
    for array in (probe, probe.T):
        data = ctypes.c_void_p.from_address(id(array) + head).value
        flags = ctypes.c_int.from_address(id(array) + head + 48).value
        if data != array.ctypes.data or flags & 1 != int(array.flags.c_contiguous) or not flags & 256:
            raise RuntimeError("NumPy's arrays are laid out in a way that treadle does not know")
    return head, head + 48


def list_layout() -> tuple[int, int]:
    """Where, in a list's object, the number of its items and their address stand; measured like an array's."""
    head = object.__basicsize__
    probe: list[object] = [object(), object(), object()]
    size = ctypes.c_ssize_t.from_address(id(probe) + head).value
    items = ctypes.c_void_p.from_address(id(probe) + head + 8).value
    if size != 3 or items is None or ctypes.c_void_p.from_address(items + 8).value != id(probe[1]):
        raise RuntimeError("Python's lists are laid out in a way that treadle does not know")
    return head, head + 8


# threads

_state = threading.Lock()
_wanted: int | None = None
_pools: dict[int, _Pool] = {}  # by the number of threads
_current: int | None = None  # the address of the pool in use; None: ask


def threads() -> int:
    """How many threads compute: those that the process may use, `TREADLE_THREADS`, or what `set_threads` said."""
    if _wanted is not None:
        return _wanted
    given = os.environ.get("TREADLE_THREADS")
    if given:
        if not given.isdigit() or int(given) < 1:
            raise ArgumentError(f"TREADLE_THREADS must be a number from 1 up, not {given!r}")
        return int(given)
    return available()


def available() -> int:
    """The processors that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def set_threads(count: int) -> None:
    """How many threads compiled functions compute with, from now on. Results do not depend on it, to the last bit.

    Args:
        count: at least 1. Before the first call it is the number of processors that the process may use, or the
            environment's `TREADLE_THREADS`.

    Raises:
        ArgumentError: `count` is no such number.

    >>> import treadle as td
    >>> td.set_threads(2)
    >>> td.get_threads()
    2
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ArgumentError(f"the number of threads is an int from 1 up, not {count!r}")
    global _wanted, _current
    _wanted, _current = count, None


def get_threads() -> int:
    """How many threads compiled functions compute with.

    >>> import treadle as td
    >>> td.get_threads() >= 1
    True
    """
    return threads()


def pool() -> int:
    """Address of the pool of this process with as many threads as are wanted; 0 if that is one."""
    return _choose_pool() if _current is None else _current


def _choose_pool() -> int:
    global _current
    with _state:
        count = threads()
        if count > 1 and count not in _pools:
            _pools[count] = _start(count - 1)
        _current = _pools[count].address if count > 1 else 0
        return _current


def _forget_pools() -> None:
    """In the child of a fork: the threads stayed with the parent."""
    global _current, _state
    _state = threading.Lock()
    _abandoned.extend(_pools.values())
    _pools.clear()
    _current = None


_abandoned: list[_Pool] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)


class _Pool:
    """Memory of a pool, never freed: its threads live as long as the process."""

    def __init__(self) -> None:
        self.memory = np.zeros(POOL_BYTES + 64, np.uint8)
        self.address = -(-self.memory.ctypes.data // 64) * 64


def _start(workers: int) -> _Pool:
    made = _Pool()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.pthread_mutex_init(ctypes.c_void_p(made.address + 128), None)
    libc.pthread_cond_init(ctypes.c_void_p(made.address + 256), None)
    for _ in range(workers):
        thread = ctypes.c_void_p()
        code = libc.pthread_create(
            ctypes.byref(thread), None, ctypes.c_void_p(runtime().worker), ctypes.c_void_p(made.address)
        )
        if code:
            break  # fewer threads compute the same
        libc.pthread_detach(thread)
    return made


def host_callback(function: Callable[[int], int]) -> Any:
    """A Python function that the table of steps can call."""
    return Callback(function)
