"""A step that also says whether all that it leaves is finite: what `fit(nan_check=True)` runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from treadle import array as xp
from treadle.core import trees
from treadle.core.stateful import Variables
from treadle.core.tensor import Tensor

NO_RESULTS = ("prediction", "target", "weights")  # handed to metrics: a masked logit may well be -inf


def checked(step: Callable[..., Any]) -> Callable[..., Any]:
    """(model, optimizer, …) → what `step` returns, and whether it and all that was assigned is finite.

    Looked at are the results but for those of `NO_RESULTS`, and each parameter, moment and state that has another
    value than before.
    """

    @wraps(step)
    def checked_step(model: Any, optimizer: Any, *batch: Any) -> tuple[Any, Tensor]:
        before = Variables([model, optimizer]).read()
        known = set(map(id, before))
        out = step(model, optimizer, *batch)
        left = [x for x in Variables([model, optimizer]).read() if id(x) not in known]
        results = {k: v for k, v in out.items() if k not in NO_RESULTS} if isinstance(out, dict) else out
        good = xp.asarray(True)
        for x in (*trees.leaves(results), *left):
            if isinstance(x, Tensor | np.ndarray | float) and (value := xp.asarray(x)).dtype.is_floating:
                good = xp.logical_and(good, xp.all(xp.isfinite(value)))
        return out, good

    return checked_step
