"""Nested lists: what is no number is named."""

from __future__ import annotations

import re
from typing import Any

import pytest

import treadle as td


@pytest.mark.parametrize("leaf", [1 + 2j, "a", None, object])
def test_what_is_no_number_is_named(leaf: Any) -> None:
    words = re.escape(f"the list holds {leaf!r}; it takes bools")
    with pytest.raises(td.errors.DTypeError, match=words):
        td.asarray([1.0, leaf])
    with pytest.raises(td.errors.DTypeError, match=words):
        td.asarray([[1.0], [leaf]], dtype=td.float32)


def test_nan_among_integers_is_named() -> None:
    with pytest.raises(td.errors.DTypeError, match="holds NaN, which int32 has not"):
        td.asarray([1.0, float("nan")], dtype=td.int32)
