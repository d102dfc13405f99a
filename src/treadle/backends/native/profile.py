"""How long each kernel of a plan takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from treadle.backends.native.explain import Kernel, kernels_of
from treadle.backends.native.run import Executable

Array = np.ndarray[Any, Any]


def measure(executable: Executable, inputs: Sequence[Array], repeat: int) -> tuple[list[Kernel], list[float], float]:
    """The kernels, the seconds that each took in the fastest of some runs, and the seconds of a whole run."""
    best: Array | None = None
    whole = np.inf
    run: Callable[..., Any] = executable.timed
    executable(inputs)  # so that memory and threads are there
    for _ in range(repeat):
        begin = time.perf_counter()
        times = run(inputs)
        whole = min(whole, time.perf_counter() - begin)
        best = times if best is None else np.minimum(best, times)
    assert best is not None
    return list(kernels_of(executable.plan)), [float(t) * 1e-9 for t in best], float(whole)
