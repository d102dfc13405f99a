"""`LoopKernel`: a loop nest with a scalar body; what several fused nodes become."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

from treadle.backends.native.expressions import Buffer, Expr, Load, Reduce, computed_in, walk
from treadle.backends.native.extents import ceiling, is_extent, rough
from treadle.backends.native.index import Affine, LoopVar

STRIP = 8192  # elements of one strip at most, where a long row is shared between threads
SHORTEST_STRIP = 1024
FEW_STRIPS = 8  # fewer than these are made shorter, so that there is one for every thread
WORTH_SHARING = 60_000  # elementary operations below which a second thread costs more than it brings
LONGEST_SAVED = 4096  # elements of a row that are kept between passes over it
CHUNK = 100_000  # elementary operations that a thread takes at a time: fewer, and rows of two threads lie side by side
STRIP_WORK = 30_000  # elementary operations that a strip has at least


@dataclass(frozen=True)
class Write:
    """One store: `value` goes to `buffer[offset]`."""

    buffer: Buffer
    offset: Affine
    value: Expr

    def __str__(self) -> str:
        return f"{self.buffer}[{self.offset}] = {self.value!r}"


@dataclass(frozen=True, eq=False)
class LoopKernel:
    """For every row: its reductions, its scalars, and then all of its columns.

    `rows` are loops whose rounds are independent; the last one of `columns` goes through the lanes of vectors.
    Expressions are computed at the outermost loop that they depend on.
    """

    rows: tuple[LoopVar, ...]
    columns: tuple[LoopVar, ...]
    writes: tuple[Write, ...]
    labels: tuple[str, ...] = ()  # the nodes it was made of, for people
    serial: tuple[LoopVar, ...] = ()  # between the two: loops whose rounds must keep their order

    @cached_property
    def expressions(self) -> list[Expr]:
        places = computed_in(tuple(w.offset for w in self.writes))
        return walk([*(w.value for w in self.writes), *places])

    @cached_property
    def buffers(self) -> tuple[Buffer, ...]:
        """What it reads and writes, in the order of its arguments."""
        found = {e.buffer: None for e in self.expressions if isinstance(e, Load)}
        found |= {w.buffer: None for w in self.writes}
        return tuple(found)

    @cached_property
    def strip(self) -> int:
        """Elements of a strip: fewer in a short row, as long as each strip is worth a thread's while."""
        extent = rough(self.columns[0].extent)
        each = rough(self.operations) // max(1, prod(rough(v.extent) for v in self.rows) * extent)
        length = STRIP
        while length > SHORTEST_STRIP and FEW_STRIPS * length > extent and length // 2 * each >= STRIP_WORK:
            length //= 2
        return length

    @cached_property
    def is_stripped(self) -> bool:
        """Whether the columns of a row are cut into strips, for threads to share."""
        if self.serial or len(self.columns) != 1 or rough(self.columns[0].extent) < 2 * self.strip:
            return False
        shared = any(isinstance(e, Reduce) and self.columns[0] not in e.variables for e in self.expressions)
        return not shared and all(self.columns[0] in w.offset.variables for w in self.writes)

    @cached_property
    def strips(self) -> int:
        """How many strips a row has."""
        return ceiling(self.columns[0].extent, self.strip) if self.is_stripped else 1

    @cached_property
    def blocks(self) -> int:
        """How many independent pieces it has: rows, times strips."""
        return prod(v.extent for v in self.rows) * self.strips

    @cached_property
    def operations(self) -> int:
        """About how many elementary operations it does in all: each expression once for all it depends on."""
        return sum(
            (8 if getattr(e, "name", "") in EXPENSIVE else 1) * prod(v.extent for v in e.variables)
            for e in self.expressions
        )

    @cached_property
    def saved(self) -> frozenset[Expr]:
        """What several passes over a row compute, and is worth keeping from the first one to the others."""
        if len(self.columns) != 1 or self.serial or self.is_stripped:
            return frozenset()
        loops = self.columns
        passes = [[e.body] for e in self.expressions if isinstance(e, Reduce) and e.loops == loops]
        passes.append([w.value for w in self.writes if w.offset.variables & set(loops)])
        seen: set[Expr] = set()
        twice: set[Expr] = set()
        for roots in passes:
            found = _costly(roots, loops[0])
            twice |= found & seen
            seen |= found
        return frozenset(twice) if twice and self.columns[0].extent <= LONGEST_SAVED else frozenset()

    def __str__(self) -> str:
        lines = [f"for {v} < {v.extent}" for v in self.rows]
        lines += [f" in order for {v} < {v.extent}" for v in self.serial]
        lines += [f"  for {v} < {v.extent}" for v in self.columns]
        lines += [f"    {e!r} = {e.describe()}" for e in self.expressions]  # type: ignore[attr-defined]
        lines += [f"    {w}" for w in self.writes]
        if self.columns and is_extent(self.columns[-1].extent):  # what a size that is not known does not say itself
            lines += [f"  in strips of {self.strip}"] if self.is_stripped else []
            lines += [f"  keeping {e!r}" for e in self.saved]
        return "\n".join(lines)


def grain(operations: int, blocks: int, chunk: int = CHUNK, worth: int = WORTH_SHARING) -> int:
    """How many blocks a thread takes at a time; all of them where sharing does not pay."""
    if operations < worth or blocks == 1:
        return blocks
    return max(1, chunk * blocks // operations)


def _costly(roots: list[Expr], column: LoopVar) -> set[Expr]:
    """The outermost expensive expressions of a pass over a column, those inside of its reductions left out."""
    found: set[Expr] = set()
    done: set[Expr] = set()
    stack = list(roots)
    while stack:
        e = stack.pop()
        if e in done or isinstance(e, Reduce) or column not in e.variables:
            continue
        done.add(e)
        if getattr(e, "name", "") in EXPENSIVE:
            found.add(e)
        else:
            stack += e.children()
    return found


EXPENSIVE = frozenset(
    [
        "exp",
        "expm1",
        "log",
        "log1p",
        "tanh",
        "sigmoid",
        "erf",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "atan2",
        "sinh",
        "cosh",
        "asinh",
        "acosh",
        "atanh",
        "power",
        "erfinv",
        "lgamma",
        "digamma",
        "logaddexp",
        "threefry32",
        "threefry64",
        "remainder",
        "floor_divide",
    ]
)
