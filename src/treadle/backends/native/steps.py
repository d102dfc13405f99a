"""Work: one or more kernels, with everything a plan needs to know of them."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from treadle.backends.native.assembly import Function
from treadle.backends.native.contraction import Schedule, plain_loops, schedule
from treadle.backends.native.emitting import write_kernel
from treadle.backends.native.expressions import Buffer
from treadle.backends.native.extents import SizeNeededError, is_extent
from treadle.backends.native.fuse import Fusion, Step, is_product
from treadle.backends.native.kernels import CHUNK, WORTH_SHARING, LoopKernel, grain
from treadle.backends.native.lowering import RULES
from treadle.backends.native.mathematics import NAMES
from treadle.backends.native.micro import write_product
from treadle.backends.native.ordering import ORDERINGS, RowSort, order_kernels, write_row_sort
from treadle.backends.native.products import describe
from treadle.backends.native.scalar import WRITERS
from treadle.backends.native.schedule import loop_kernel
from treadle.backends.native.sequential import sequential_kernels
from treadle.backends.native.target import host
from treadle.backends.native.transposing import as_transposition, write_transposition
from treadle.core.graph import Node


@dataclass(frozen=True)
class Work:
    """A kernel with its buffers. `text` says all of what it does: equal texts are one function."""

    text: str
    write: Callable[[], Function]
    buffers: tuple[Buffer, ...]
    blocks: int
    labels: tuple[str, ...]
    operations: int
    nodes: tuple[Node, ...] = ()  # what it computes
    share: Callable[[int, int], int] = grain  # from operations and blocks to how many a thread takes at a time

    @property
    def grain(self) -> int:
        return self.share(self.operations, self.blocks)

    @property
    def bytes(self) -> int:
        """Of all it reads and writes, each once."""
        return sum(b.bytes for b in self.buffers)

    @property
    def name(self) -> str:
        return "td_" + hashlib.sha256(self.text.encode()).hexdigest()[:24]


@functools.cache
def supported() -> frozenset[str]:
    """Primitives that loop kernels can compute."""
    from treadle.backends.native.lowering import COMPARISONS, ELEMENTWISE

    mathematical = {"exp", "power"} | {n for n in ELEMENTWISE if n not in EXACT}
    return frozenset(
        n
        for n in RULES
        if (n not in mathematical or n in NAMES) and (n not in (*ELEMENTWISE, *COMPARISONS) or n in WRITERS)
    )


EXACT = frozenset(
    [
        "neg",
        "abs",
        "sign",
        "floor",
        "ceil",
        "round",
        "trunc",
        "sqrt",
        "rsqrt",
        "not_",
        "add",
        "sub",
        "mul",
        "div",
        "floor_divide",
        "remainder",
        "maximum",
        "minimum",
        "copysign",
        "and_",
        "or_",
        "xor",
        "shift_left",
        "shift_right",
        "masked_mul",
        "masked_div",
        "clamp",
        "integer_power",
    ]
)
"""Elementwise primitives that need no approximation."""


def group_work(fusion: Fusion, step: Step) -> Sequence[Work]:
    """The loop kernel of a group."""
    nodes = tuple(dict.fromkeys(fusion.makers[v] for v in step.members))
    return [loop_work(loop_kernel(fusion, step), nodes)]


def loop_work(kernel: LoopKernel, nodes: tuple[Node, ...] = ()) -> Work:
    turned = as_transposition(kernel, host().vector)
    text = canonical(str(turned or kernel))
    name = "td_" + hashlib.sha256(text.encode()).hexdigest()[:24]
    if turned is not None:
        write = functools.partial(write_transposition, turned, name)
        buffers, work = (turned.source, turned.target), turned.operations
        return Work(text, write, buffers, turned.blocks, kernel.labels, work, nodes, share_copies)
    return Work(
        text,
        lambda: write_kernel(kernel, name, host().vector),
        kernel.buffers,
        kernel.blocks,
        kernel.labels,
        kernel.operations,
        nodes,
    )


def share_copies(operations: int, blocks: int) -> int:
    """Of copies in tiles: an operation is a whole element, so there are fewer in a piece of work."""
    return grain(operations, blocks, CHUNK // 2, WORTH_SHARING // 2)


def one_at_a_time(operations: int, blocks: int) -> int:
    return 1


def canonical(text: str) -> str:
    """A kernel's text with counters and buffers numbered as they appear."""
    names: dict[str, str] = {}

    def rename(match: re.Match[str]) -> str:
        word = match.group()
        return names.setdefault(word, f"{word[0]}{len(names)}")

    return re.sub(r"(?<![:\w])i\d+\b|@\d+", rename, text)  # not the i32 of a dtype, which follows a colon


def node_work(fusion: Fusion, step: Step, fixed: frozenset[Buffer]) -> Sequence[Work] | None:
    """The kernels of a node that is a step of its own; None where only its reference can compute it.

    Args:
        fixed: what stays the same in the loop around it.
    """
    node = step.node
    assert node is not None
    if node.primitive.name in ORDERINGS:
        if any(is_extent(n) for a in (*node.inputs, *node.outputs) for n in a.spec.shape):
            raise SizeNeededError(f"how {node.primitive.name} goes about its rows")
        return [
            sort_work(k, node) if isinstance(k, RowSort) else loop_work(k, (node,)) for k in order_kernels(fusion, node)
        ]
    if not is_product(node):
        kernels = sequential_kernels(fusion, node)
        return None if kernels is None else [loop_work(k, (node,)) for k in kernels]
    (out,) = step.members
    prepared = describe(fusion, node, out)
    found = schedule(prepared.product, host(), fixed)
    if found is None:
        return [loop_work(k, (node,)) for k in (*prepared.copies, plain_loops(prepared.product))]
    return [
        *(loop_work(k, (node,)) for k in (*prepared.copies, *found.packs)),
        product_work(found.schedule, node),
        *(loop_work(k, (node,)) for k in found.after),
    ]


def product_work(s: Schedule, node: Node) -> Work:
    """The kernel of a product."""
    text = canonical(str(s))
    name = "td_" + hashlib.sha256(text.encode()).hexdigest()[:24]
    p = s.product
    return Work(
        text,
        lambda: write_product(s, name, host()),
        (p.x, p.y, p.out),
        s.blocks,
        ("product",),
        p.operations,
        (node,),
        one_at_a_time,
    )


def sort_work(s: RowSort, node: Node) -> Work:
    """The kernel that sorts rows."""
    text = canonical(str(s))
    name = "td_" + hashlib.sha256(text.encode()).hexdigest()[:24]
    buffers = (s.keys, s.scratch, s.order)
    return Work(
        text, lambda: write_row_sort(s, name), buffers, s.tasks, ("sort",), s.operations, (node,), one_at_a_time
    )
