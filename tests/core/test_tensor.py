"""What NumPy does with a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import treadle as td

x = td.asarray([[1.0, 2.0], [3.0, 5.0]])


@pytest.mark.parametrize("function", [np.sum, np.mean, np.max, np.min, np.all, np.any])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_numpys_reductions_of_a_tensor_are_ours(function: Any, axis: int | None) -> None:
    made = function(x, axis=axis)
    assert isinstance(made, td.Tensor)
    np.testing.assert_array_equal(made, function(x.numpy(), axis=axis))


def test_they_keep_derivatives() -> None:
    assert td.grad(lambda x: np.mean(x))(x).tolist() == [[0.25, 0.25], [0.25, 0.25]]


def test_a_place_for_the_result_is_refused() -> None:
    with pytest.raises(TypeError, match="out"):
        np.sum(x, axis=0, out=np.zeros(2, np.float32))
