"""A primitive's trial inputs as tests take them, and checks that hold for every primitive."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from treadle.core.tensor import concrete
from treadle.testing.samples import Case, ErrorCase, Samples


def cases(*primitives):
    """(primitive, case) for every sample."""
    return [(p, c) for p in primitives for c in p.rule("samples")(Samples()) if isinstance(c, Case)]


def errors(*primitives):
    """(primitive, error case) for every sample that must be refused."""
    return [(p, c) for p in primitives for c in p.rule("samples")(Samples()) if isinstance(c, ErrorCase)]


def tensors(arrays):
    return [concrete(np.array(a)) for a in arrays]


def outputs(primitive, out):
    """Outputs as a list of arrays."""
    return [o.numpy() for o in (out if primitive.multiple else (out,))]


def assert_refused(primitive, case):
    with pytest.raises(case.error) as e:
        primitive(*tensors(case.inputs), **case.params)
    for word in case.words:
        assert word in str(e.value)


def _flipped(a):
    return np.flip(a, 0) if a.ndim else a


def assert_batches_equal_a_loop(primitive, case, other=_flipped):
    """The batch rule, for every choice of batched inputs. `other` makes the second of three inputs from the first."""
    for batched in itertools.product([False, True], repeat=len(case.inputs)):
        if not any(batched):
            continue
        stacked = [np.stack([a, other(a), a]) if b else a for a, b in zip(case.inputs, batched, strict=True)]
        got = outputs(primitive, primitive.rule("batch")(batched, *tensors(stacked), size=3, **case.params))
        for i in range(3):
            one = tensors([a[i] if b else a for a, b in zip(stacked, batched, strict=True)])
            for whole, part in zip(got, outputs(primitive, primitive(*one, **case.params)), strict=True):
                np.testing.assert_array_equal(whole[i], part)
