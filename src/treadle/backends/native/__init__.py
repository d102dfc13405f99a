"""The native backend: graphs as machine code for this processor."""

from treadle.backends.native.prepare import code, explain, left_to_reference, prepare, profile, run_graph, run_primitive
from treadle.backends.native.runtime import get_threads, set_threads

__all__ = [
    "code",
    "explain",
    "get_threads",
    "left_to_reference",
    "prepare",
    "profile",
    "run_graph",
    "run_primitive",
    "set_threads",
]
