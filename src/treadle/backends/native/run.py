"""Running plans: tables, memory, and one call."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from treadle.backends.native import engine
from treadle.backends.native.memory import check_memory
from treadle.backends.native.plan import Branch, Host, Item, Launch, Location, Plan, Repeat, Turn, While
from treadle.backends.native.runtime import (
    BRANCH,
    HOST,
    KERNEL,
    LOOP,
    STEP_WORDS,
    WHILE,
    host_callback,
    pool,
    runtime,
)
from treadle.core.errors import CompileError, TreadleError
from treadle.core.running import fresh_turns, turns
from treadle.core.source import place_text

Array = np.ndarray[Any, Any]
HEADER = 8  # words of a context: see runtime.ll
RECYCLED = 4096  # bytes of an output from which on its memory is used again
LINE = 64  # bytes of a line of the cache
SPARE = 3  # outputs whose memory is kept


class Executable:
    """A plan with its code. Safe to call from several threads: each call has a context of its own."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        check_memory(plan)
        launches = {i.name: i.write for i in plan.walk() if isinstance(i, Launch) and i.write is not None}
        try:
            self._code = engine.load(launches)
        except CompileError as e:
            raise _of_a_kernel(plan, e) from e
        self._layout = _Layout(plan, {name: address for name, (address, _) in self._code.items()})
        self._free: list[_Context] = []
        self._outputs = [_maker(tuple(map(int, s.shape)), s.dtype.numpy) for s in plan.output_specs]

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        context = self._context()
        outputs = self._run(context, inputs)
        self._free.append(context)
        return outputs

    def _context(self) -> _Context:
        try:
            return self._free.pop()
        except IndexError:
            return _Context(self._layout)

    def timed(self, inputs: Sequence[Array]) -> Array:
        """Run, and return how many nanoseconds each step took. [steps]

        On memory that earlier calls have used: the first touch of new memory would count as the work of some kernel.
        """
        context = self._context()
        times = np.zeros(self._layout.count, np.int64)
        context.table[2] = times.ctypes.data
        try:
            self._run(context, inputs)
        finally:
            context.table[2] = 0
        self._free.append(context)
        return times

    def at_sizes(self, inputs: Sequence[Array]) -> Executable:
        """What runs for these inputs."""
        return self

    def _run(self, context: _Context, inputs: Sequence[Array]) -> list[Array]:
        arrays = [*inputs, *[make() for make in self._outputs]]
        code = context.run(arrays)
        while code < 0:
            arrays[-code - 1] = np.require(arrays[-code - 1], requirements=("C", "A"))
            code = context.run(arrays)
        if code:
            raise context.take_error()
        return arrays[len(inputs) :]


def _of_a_kernel(plan: Plan, error: CompileError) -> CompileError:
    """The error, told with what the kernel computes and for which line."""
    for item in plan.walk():
        if isinstance(item, Launch) and item.work is not None and item.name in error.message:
            node = item.work.nodes[-1] if item.work.nodes else None
            place = place_text(node.source, node.scope) if node is not None else ""
            named = CompileError(f"{error.message}\n  The kernel computes: {' '.join(item.work.labels)}")
            named.at(place)
            return named
    return error


def _maker(shape: tuple[int, ...], dtype: Any) -> Callable[[], Array]:
    """What gives memory for an output: that of an earlier one which nobody holds any more, else new."""
    if prod(shape) * dtype.itemsize < RECYCLED:
        empty = np.empty
        return lambda: empty(shape, dtype)
    spare: list[Array] = []

    def make() -> Array:
        for k in range(len(spare)):
            if _holders(spare, k) == UNHELD:
                return spare[k]
        made = _aligned(shape, dtype)
        if len(spare) < SPARE:
            spare.append(made)
        return made

    return make


def _holders(spare: list[Array], k: int) -> tuple[int, int]:
    """How many refer to an array, and to the memory behind it, which is what views of the array refer to."""
    array = spare[k]
    return sys.getrefcount(array), sys.getrefcount(array.base)


def _aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """New memory that begins on the border of a cache line: vectors that cross one take two accesses."""
    memory = np.empty(prod(shape) * dtype.itemsize + LINE, np.uint8)
    begin = -memory.ctypes.data % LINE
    return memory[begin : begin + prod(shape) * dtype.itemsize].view(dtype).reshape(shape)


UNHELD = _holders([_aligned((1,), np.dtype(np.uint8))], 0)  # seen from here, when nobody else refers to it


class _Layout:
    """The tables of a plan as one list of words, and which of them are addresses that each context fills in."""

    def __init__(self, plan: Plan, addresses: dict[str, int]) -> None:
        self.plan = plan
        self.addresses = {**addresses, "td_copy": runtime().copy}
        self.words: list[int] = [0] * HEADER
        self.own: list[int] = []  # words that hold a place in the table itself, in bytes
        self.arena: list[int] = []  # words that hold a place in the arena
        self.patches: list[tuple[int, int, int]] = []  # (word, array, bytes beyond its beginning)
        self.hosts: list[tuple[Host | Turn, list[int]]] = []
        self.labels: list[Item] = []
        steps: list[tuple[Item, dict[str, Any]]] = []
        self._flatten(plan.items, steps)
        self.count = len(steps)
        self.begin = len(self.words)
        self.words += [0] * (STEP_WORDS * len(steps))
        self.cells: dict[int, list[tuple[int, int, int]]] = {}
        for k, (item, extra) in enumerate(steps):
            self.labels.append(item)
            self._step(k, item, extra)
        for k, (item, _) in reversed([*enumerate(steps)]):  # inner loops first: they add to the cells of outer ones
            if isinstance(item, Repeat):
                self._cells(k, item)
        at = len(self.words)
        for word, number, beyond in self.patches:
            self.own.append(len(self.words))
            self.words += [8 * word, number, beyond]
        self.patch = at

    def _flatten(self, items: Sequence[Item], steps: list[tuple[Item, dict[str, Any]]]) -> None:
        for item in items:
            extra: dict[str, Any] = {}
            steps.append((item, extra))
            if isinstance(item, Repeat):
                self._flatten(item.items, steps)
            elif isinstance(item, While):
                self._flatten(item.test, steps)
                extra["test"] = len(steps)
                self._flatten(item.items, steps)
            elif isinstance(item, Branch):
                extra["ranges"] = []
                for branch in item.branches:
                    start = len(steps)
                    self._flatten(branch, steps)
                    extra["ranges"].append((start, len(steps)))
            extra["end"] = len(steps)

    def _word(self, step: int, field: int) -> int:
        return self.begin + STEP_WORDS * step + field

    def _step(self, k: int, item: Item, extra: dict[str, Any]) -> None:
        w, words = self._word(k, 0), self.words
        words[w + 5] = extra["end"]
        if isinstance(item, Launch):
            words[w : w + 5] = [KERNEL, self.addresses[item.name], 0, item.blocks, item.grain]
            self._refer(w + 2, self._slots(item.places))
        elif isinstance(item, Host):
            words[w], words[w + 7] = HOST, len(self.hosts)
            begin = self._slots((*item.inputs, *item.outputs))
            self.hosts.append((item, list(range(begin, begin + len(item.inputs) + len(item.outputs)))))
        elif isinstance(item, Turn):
            words[w], words[w + 7] = HOST, len(self.hosts)
            self.hosts.append((item, []))
        elif isinstance(item, Repeat):
            words[w], words[w + 7] = LOOP, item.count
        elif isinstance(item, While):
            words[w], words[w + 3], words[w + 7] = WHILE, extra["test"] - k - 1, item.most
            self._refer(w + 2, self._slots((item.flag,)))
        else:
            words[w], words[w + 7] = BRANCH, len(item.branches)
            self._refer(w + 2, self._slots((item.index,)))
            self._refer(w + 6, len(words))
            for begin, end in extra["ranges"]:
                words += [begin, end]

    def _refer(self, word: int, to: int) -> None:
        """A word that is the address of another word."""
        self.words[word] = 8 * to
        self.own.append(word)

    def _slots(self, places: Sequence[Location]) -> int:
        begin = len(self.words)
        for location in places:
            word = len(self.words)
            self.words.append(0)
            self._fill(word, location)
        return begin

    def _fill(self, word: int, location: Location) -> None:
        """A word that holds a location's address. A moving one is set by the loops that move it, innermost last."""
        if location.moves:
            *outer, last = location.moves
            cell = (word, location, tuple(outer), last)
            self.cells.setdefault(last.loop, []).append(cell)  # type: ignore[arg-type]
            return
        if location.space == "size":
            self.words[word] = list(self.plan.sizes.values())[location.number]
        elif location.space == "array":
            self.patches.append((word, location.number, location.offset))
        elif location.space == "constant":
            self.words[word] = self.plan.constants[location.number].ctypes.data + location.offset
        else:
            self.words[word] = self.plan.pieces[location.number].offset + location.offset
            self.arena.append(word)

    def _cells(self, k: int, item: Repeat) -> None:
        """What moves in a loop: (address, first value, by), and inner loops' first values may move in outer ones."""
        cells = self.cells.pop(item.number, [])
        w = self._word(k, 0)
        self._refer(w + 6, len(self.words))
        self.words[w + 3] = len(cells)
        later = []
        for word, location, outer, last in cells:  # type: ignore[misc]
            at = len(self.words)
            self.words += [8 * word, 0, last.by]
            self.own.append(at)
            later.append((at + 1, Location(location.space, location.number, location.offset + last.first, outer)))
        for at, location in later:
            self._fill(at, location)


class _Context:
    """Memory of one call at a time: the tables with their addresses, and the arena."""

    def __init__(self, layout: _Layout) -> None:
        self.layout = layout
        self.table = np.array(layout.words, np.int64)
        self.memory = np.empty(layout.plan.arena + 64, np.uint8)
        base = -(-self.memory.ctypes.data // 64) * 64
        own = self.table.ctypes.data
        self.table[layout.own] += own
        self.table[layout.arena] += base
        self.error: BaseException | None = None
        self._callback = host_callback(self._host) if layout.hosts else None
        if self._callback is not None:
            self.table[1] = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        self.table[3:7] = own + 8 * layout.patch, len(layout.patches), own + 8 * layout.begin, layout.count
        self.table[7] = len(layout.plan.graph.inputs)
        self._run: Callable[[int, int], int] = runtime().run
        self._own = own
        self._pool = 0

    def run(self, arrays: list[Array]) -> int:
        """0; or minus the number of an array that has to be copied first; or 1, and then there is an error."""
        if self._pool != (now := pool()):
            self.table[0] = self._pool = now
        if self._callback is None:
            return self._run(self._own, id(arrays))
        with fresh_turns():
            return self._run(self._own, id(arrays))

    def take_error(self) -> BaseException:
        error, self.error = self.error, None
        assert error is not None
        return error

    def _host(self, number: int) -> int:
        """Compute a node with its reference, on the memory that its slots point to."""
        item, slots = self.layout.hosts[number]
        if isinstance(item, Turn):
            item.happen(turns())
            return 0
        node = item.node
        try:
            specs = [a.spec for a in (*node.inputs, *node.outputs)]
            views = [_view(int(self.table[w]), s.shape, s.dtype.numpy) for w, s in zip(slots, specs, strict=True)]
            n = len(node.inputs)
            with np.errstate(all="ignore"):
                made = node.primitive.rule("reference")(*views[:n], **node.params)
            for view, value in zip(views[n:], made if node.primitive.multiple else (made,), strict=True):
                view[...] = value
        except TreadleError as e:
            self.error = e.at(place_text(node.source, node.scope))
            return 1
        except BaseException as e:  # a user's function may raise anything; it must not pass through native code
            self.error = e
            return 1
        return 0


def _view(address: int, shape: Any, dtype: Any) -> Array:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if not size:
        return np.empty(shape, dtype)
    memory = (ctypes.c_uint8 * size).from_address(address)
    return np.frombuffer(memory, np.uint8).view(dtype).reshape(shape)
