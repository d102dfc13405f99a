"""What Python and NumPy do with a tensor: arrays, formats, lengths, comparisons."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle.core import habits

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


def test_an_array_of_another_dtype_is_a_copy() -> None:
    assert np.asarray(x).dtype == np.float32
    assert np.asarray(x, dtype=np.float32, copy=False) is x.numpy()
    assert np.asarray(x, dtype=np.float64).flags.writeable
    with pytest.raises(ValueError, match="float32 becomes an array of float64 by copying only"):
        np.asarray(x, dtype=np.float64, copy=False)


def test_formats() -> None:
    assert f"{x[0, 0]:.2f} {x[0, 0]}" == "1.00 tensor(1., f32[])"
    assert f"{x[0]:.2f}" == "tensor([1.00, 2.00], f32[2])"
    assert f"{td.asarray([7, 10]):x}" == "tensor([7, a], i32[2])"
    assert repr(td.ones(2, dtype=td.bfloat16)) == "tensor([1., 1.], bf16[2])"
    with pytest.raises(TypeError, match="inside td"):
        td.compile(lambda x: f"{x:.2f}")(x)


def test_a_scalar_is_no_sequence() -> None:
    for use in (len, list, tuple):
        with pytest.raises(TypeError, match=r"a scalar \(f32\[\]\) has no length"):
            use(x[0, 0])


@pytest.mark.parametrize("other", [None, "same", ""])
def test_strings_and_none_are_unequal_to_every_tensor(other: Any) -> None:
    assert (x == other) is False
    assert (x != other) is True
    assert other not in [x]
    with pytest.raises(TypeError, match="neither a tensor nor a number"):
        x < other  # noqa: B015


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("view", "x.reshape(shape)"),
        ("grad", "td.grad(loss)(x)"),
        ("std", "it is a function: td.std(x, …)"),
        ("add_", "tensors are immutable"),
        ("nothing_of_that_kind", "no attribute 'nothing_of_that_kind'"),
    ],
)
def test_habits_from_elsewhere_are_answered(name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(words)):
        getattr(x, name)
    assert not hasattr(td.nn.Parameter(x), name)


def test_answers_to_habits_exist() -> None:
    for name, answer in habits._HABITS.items():
        assert not hasattr(td.Tensor, name)
        for function in re.findall(r"td\.(\w+)", answer):
            assert function in td.__all__
        for attribute in re.findall(r"\bx\.(\w+)", answer):
            assert hasattr(td.Tensor, attribute)
