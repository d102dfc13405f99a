"""The reference backend: NumPy, node by node. Eager mode, the debugger's engine, and the oracle of every test."""

from treadle.backends.reference.run import prepare, run_graph, run_primitive

__all__ = ["prepare", "run_graph", "run_primitive"]
