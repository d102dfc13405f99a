"""What a room must be able to reach without importing it: the backend, the array namespace, the graph transforms.

Core and ops name no backend. The packages that provide these are imported on first use, by dotted name, and hand
themselves in by being modules with the functions below.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Hashable, Sequence
from types import ModuleType
from typing import Any, Protocol, cast

from treadle.core.errors import ArgumentError
from treadle.core.graph import Graph
from treadle.core.primitive import Primitive

BACKENDS = {
    "reference": "treadle.backends.reference",
    "native": "treadle.backends.native",
    "xla": "treadle.backends.xla",
}


class Backend(Protocol):
    """How a graph runs. Values are opaque to core but for shape and dtype; `reference` uses NumPy arrays."""

    def run_primitive(self, primitive: Primitive, inputs: Sequence[Any], params: dict[str, Any]) -> tuple[Any, ...]:
        """Run one primitive on values."""

    def run_graph(self, graph: Graph, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """Run a graph without captures on values; its sizes are bound from the inputs' shapes."""

    def prepare(self, graph: Graph) -> Any:
        """An executable for a graph: a callable from a sequence of values to a tuple of values."""


# What a function may ask for beside its arguments (whether layers train): compiled functions are traced once for each
# answer. No answer yet and a false one are the same: opening a room late must not trace everything again.
ambient: list[Callable[[], Hashable]] = []

_loaded: dict[str, ModuleType] = {}
_current = "native"


def backend(name: str | None = None) -> Backend:
    """The backend of that name, or the current one.

    Raises:
        ArgumentError: there is none of that name, or it is not part of this installation.
    """
    chosen = name or _current
    module = _loaded.get(chosen)
    if module is None:
        if chosen not in BACKENDS:
            raise ArgumentError(f"there is no backend {chosen!r}; known are {', '.join(BACKENDS)}")
        try:
            module = importlib.import_module(BACKENDS[chosen])
        except ModuleNotFoundError as e:
            raise ArgumentError(f"the backend {chosen!r} is not available: {e}") from e
        _loaded[chosen] = module
    return cast(Backend, module)


def _module(name: str) -> ModuleType:
    module = _loaded.get(name)
    if module is None:
        module = _loaded[name] = importlib.import_module(name)
    return module


def array_namespace() -> Any:
    """The functions behind a Tensor's operators."""
    return _module("treadle.array")


def package() -> ModuleType:
    """treadle itself: what the array API calls a tensor's namespace."""
    return _module("treadle")


def graph_transforms() -> Any:
    """jvp, transpose, batching and splitting of graphs, for the rules of primitives that hold graphs."""
    return _module("treadle.transforms.graphs")


def resampling() -> Any:
    """The machine code that brings pictures to another size, for `data`."""
    return _module("treadle.backends.native.resampling")


def board_log(board: Any) -> Any:
    """The callback that logs a run for TensorBoard, for `train`, on which `board` stands."""
    return _module("treadle.board.log").as_log(board)
