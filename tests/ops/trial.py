"""A primitive's trial inputs as the tests of one family take them. What holds for all is in test_battery.py."""

from __future__ import annotations

import numpy as np

from treadle.core.tensor import concrete
from treadle.testing.samples import Case, Samples


def cases(*primitives):
    """(primitive, case) for every sample."""
    return [(p, c) for p in primitives for c in p.rule("samples")(Samples()) if isinstance(c, Case)]


def tensors(arrays):
    return [concrete(np.array(a)) for a in arrays]


def outputs(primitive, out):
    """Outputs as a list of arrays."""
    return [o.numpy() for o in (out if primitive.multiple else (out,))]
