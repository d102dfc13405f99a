"""treadle: neural networks in NumPy style, recorded as one small graph.

Derivatives, compiled speed, a step debugger and export are uses of that graph. `import treadle as td`.
"""

from __future__ import annotations

import importlib as _importlib
import typing as _typing

from treadle import array, random, testing, transforms
from treadle._version import __version__
from treadle.array import *  # noqa: F403, the array namespace is this package
from treadle.core import errors
from treadle.core import trees as tree
from treadle.core.dims import Dim
from treadle.core.dtypes import DType
from treadle.core.graph import Graph
from treadle.core.source import scope
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.debug import check, compare, on_gradient, print, probe, summary
from treadle.ops.control import cond, scan, switch, while_loop
from treadle.ops.host import host
from treadle.transforms import *  # noqa: F403

if _typing.TYPE_CHECKING:
    from treadle import board, data, datasets, nn, optim, train
    from treadle.backends.native.runtime import get_threads, set_threads
    from treadle.debug._namespace import DebugModule as _DebugModule
    from treadle.nn import losses
    from treadle.train import evaluate, load, predict, save
    from treadle.train.fitting import fit
    from treadle.train.health import doctor

    debug: _DebugModule  # a module that can be called
else:
    from treadle import debug

# Rooms that take longer to import open on first use; the functions are train's most used ones.
_ROOMS = ("board", "data", "datasets", "nn", "optim", "train")
_LAZY = {
    "doctor": "treadle.train",
    "evaluate": "treadle.train",
    "fit": "treadle.train",
    "get_threads": "treadle.backends.native.runtime",
    "load": "treadle.train",
    "losses": "treadle.nn",
    "predict": "treadle.train",
    "save": "treadle.train",
    "set_threads": "treadle.backends.native.runtime",
}


def __getattr__(name: str) -> _typing.Any:
    if name in _ROOMS:
        value: _typing.Any = _importlib.import_module(f"treadle.{name}")
    elif name in _LAZY:
        value = getattr(_importlib.import_module(_LAZY[name]), name)
    else:
        raise AttributeError(f"treadle has no {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS, *_LAZY})


__all__ = [
    "DType",
    "Dim",
    "Graph",
    "Spec",
    "Tensor",
    "__version__",
    "board",
    "check",
    "compare",
    "cond",
    "data",
    "datasets",
    "debug",
    "doctor",
    "errors",
    "evaluate",
    "fit",
    "get_threads",
    "host",
    "load",
    "losses",
    "nn",
    "on_gradient",
    "optim",
    "predict",
    "print",
    "probe",
    "random",
    "save",
    "scan",
    "scope",
    "set_threads",
    "summary",
    "switch",
    "testing",
    "train",
    "tree",
    "while_loop",
]
__all__ += array.__all__
__all__ += transforms.__all__
__all__.sort()
