"""Whether a plan fits the memory, asked before anything is allocated: the system would grant it, and kill later."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path

from treadle.backends.native.extents import at_sizes, spec_at
from treadle.backends.native.plan import Plan
from treadle.core.source import place_text

SHOWN = 3  # of the largest values


def check_memory(plan: Plan) -> None:
    """Nothing, for a plan that can run.

    Raises:
        MemoryError: its working memory and outputs are larger than all the memory that the process may have; the
            message names the largest values.
    """
    outputs = sum(_bytes(s.shape, s.dtype.numpy.itemsize) for s in plan.output_specs)
    needed, limit = plan.arena + outputs, memory_limit()
    if limit is None or needed <= limit:
        return
    stored = [(b, v, f.makers) for f in plan.fusions for v, b in f.kept.items() if v in f.stored]
    kept = [(at_sizes(b.bytes, plan.sizes), v, makers[v]) for b, v, makers in stored if v in makers]
    kept.sort(key=lambda item: -item[0])
    lines = [
        f"  {size / 1e9:.1f} GB for {node.primitive.name} {spec_at(v.spec, plan.sizes)} "
        f"({place_text(node.source, node.scope)})"
        for size, v, node in kept[:SHOWN]
    ]
    raise MemoryError(
        f"{plan.graph.name} needs {needed / 1e9:.1f} GB for its values and outputs, and there are {limit / 1e9:.1f} GB "
        "in all. The largest:\n" + "\n".join(lines)
    )


def _bytes(shape: tuple[object, ...], itemsize: int) -> int:
    total = itemsize
    for n in shape:
        total *= int(n)  # type: ignore[call-overload]
    return total


@functools.cache
def memory_limit() -> int | None:
    """Bytes that the process may use: the machine's, or its container's; None where the system does not say."""
    limits = []
    with contextlib.suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(int(text))
    return min(limits, default=None)
