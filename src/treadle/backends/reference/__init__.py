"""The reference backend: NumPy, node by node. Eager mode, the debugger's engine, and the oracle of every test."""

from treadle.backends.reference.run import bind_sizes, prepare, run_graph, run_primitive

__all__ = ["bind_sizes", "prepare", "run_graph", "run_primitive"]
