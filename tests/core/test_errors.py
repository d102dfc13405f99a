"""Errors name the user's line, and the tree of them at the top of the module is true."""

from __future__ import annotations

import inspect
import re

import pytest

import treadle as td
from treadle.core import errors


def here() -> int:
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_an_error_names_the_line_that_was_running() -> None:
    x, y = td.asarray([1, 2]), td.asarray([0.5, 1.0])
    with pytest.raises(errors.DTypeError) as caught:
        x * y
    assert str(caught.value).startswith(f"in test_errors.py:{here() - 1}: multiply: int32 and float32")
    assert not caught.value.message.startswith("in ")


def test_whoever_knows_better_names_another_place_once() -> None:
    error = errors.ShapeError("too large")
    assert str(error) == f"in test_errors.py:{here() - 1}: too large"
    assert str(error.at("encoder, model.py:12").at("train.py:3")) == "in encoder, model.py:12: too large"


def test_a_compiled_function_names_the_line_of_the_operation() -> None:
    def look_up(table: td.Tensor, i: td.Tensor) -> td.Tensor:
        return td.take(table, i)

    line = look_up.__code__.co_firstlineno + 1
    with pytest.raises(errors.OutOfRangeError, match=rf"^in test_errors.py:{line}: "):
        td.compile(look_up)(td.ones(3), td.asarray([7]))


def test_the_tree_at_the_top_lists_every_class_with_its_builtin() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+)(?: \((\w+)\))?", errors.__doc__ or ""))
    classes = {n: c for n, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, errors.TreadleError)}
    assert set(drawn) == set(classes) - {"TreadleError"}
    for name, builtin in drawn.items():
        assert not builtin or builtin in {base.__name__ for base in classes[name].__bases__}
