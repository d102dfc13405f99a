"""Counting how often td.compile traces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def assert_compiles(times: int) -> Iterator[None]:
    """Check that `td.compile` traces exactly so often inside.

    Raises:
        AssertionError: it traced more or less often.

    >>> import treadle as td
    >>> f = td.compile(lambda x: x + 1)
    >>> with td.testing.assert_compiles(1):
    ...     _ = f(td.zeros(3)), f(td.ones(3))
    """
    from treadle.transforms import compile_count

    before = compile_count()
    yield
    made = compile_count() - before
    if made != times:
        raise AssertionError(f"td.compile traced {made} times, and {times} were expected")
