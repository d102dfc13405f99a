"""treadle: neural networks in NumPy style, recorded as one small graph.

Derivatives, compiled speed, a step debugger and export are uses of that graph. `import treadle as td`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from treadle import random, testing
from treadle.core import errors
from treadle._version import __version__
from treadle.array import *  # noqa: F403, the array namespace is this package
from treadle.array import __all__ as _array_names
from treadle.core import trees as tree
from treadle.core.dims import Dim
from treadle.core.dtypes import (
    DType,
    bfloat16,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from treadle.core.dtypes import bool_ as bool  # noqa: A004, the array API's name
from treadle.core.graph import Graph
from treadle.core.source import scope
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops.control import cond, scan, switch, while_loop
from treadle.ops.host import host_call
from treadle.transforms import *  # noqa: F403
from treadle.transforms import __all__ as _transform_names

if TYPE_CHECKING:
    from treadle import datasets, nn, optim, train
    from treadle.nn import losses
    from treadle.train import evaluate, fit, load, predict, save

# Rooms that take longer to import open on first use; the functions are train's most used ones.
_ROOMS = ("datasets", "nn", "optim", "train")
_LAZY = {
    "evaluate": "treadle.train",
    "fit": "treadle.train",
    "load": "treadle.train",
    "losses": "treadle.nn",
    "predict": "treadle.train",
    "save": "treadle.train",
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        value: Any = importlib.import_module(f"treadle.{name}")
    elif name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
    else:
        raise AttributeError(f"treadle has no {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS, *_LAZY})


__all__ = sorted(  # noqa: PLE0605
    [
        "DType",
        "Dim",
        "Graph",
        "Spec",
        "Tensor",
        "__version__",
        "bfloat16",
        "bool",
        "cond",
        "errors",
        "float16",
        "float32",
        "float64",
        "host_call",
        "int16",
        "int32",
        "int64",
        "int8",
        "random",
        "scan",
        "scope",
        "switch",
        "testing",
        "tree",
        "uint16",
        "uint32",
        "uint64",
        "uint8",
        "while_loop",
        *_array_names,
        *_transform_names,
        *_ROOMS,
        *_LAZY,
    ]
)
