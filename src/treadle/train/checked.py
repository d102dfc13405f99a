"""A step that also says whether all that it leaves is finite: what `fit(nan_check=True)` runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce, wraps
from typing import Any

import numpy as np

from treadle import array as xp
from treadle.core import trees
from treadle.core.spec import Spec
from treadle.core.stateful import Variables
from treadle.core.tensor import Tensor

NO_RESULTS = ("prediction", "target", "weights")  # handed to metrics: a masked logit may well be -inf


def checked(step: Callable[..., Any]) -> Callable[..., Any]:
    """(model, optimizer, …) → what `step` returns, and whether it and all that was assigned is finite (see below).

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
        return out, _all_finite([*trees.leaves(results), *left])

    return checked_step


def _all_finite(values: Sequence[Any]) -> Tensor:
    """Whether all floating values are finite; rarely false where some are very large.

    Those of one shape are added up before they are looked at, so that each is read once: NaN and infinities stay what
    they are in sums and in products with 0.
    """
    groups: dict[Spec, list[Tensor]] = {}
    for x in values:
        if isinstance(x, Tensor | np.ndarray | float) and (value := xp.asarray(x)).dtype.is_floating:
            groups.setdefault(value.spec, []).append(value)
    good = xp.asarray(True)
    for group in groups.values():
        good = xp.logical_and(good, xp.isfinite(xp.sum(reduce(xp.add, group) * 0)))
    return good
