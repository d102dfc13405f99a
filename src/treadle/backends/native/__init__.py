"""The native backend: graphs as machine code for this processor."""

from treadle.backends.native.prepare import prepare, run_graph, run_primitive
from treadle.backends.native.runtime import get_threads, set_threads

__all__ = ["get_threads", "prepare", "run_graph", "run_primitive", "set_threads"]
