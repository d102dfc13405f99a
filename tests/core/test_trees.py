"""Trees: taking apart, putting together, paths, registered classes."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from treadle.core import trees
from treadle.core.errors import ArgumentError


class Point(NamedTuple):
    x: object
    y: object


TREES = [
    1,
    None,
    {},
    [1, (2, {"a": 3, "b": None}), []],
    Point(1, {"k": (2,)}),
    {"b": 1, "a": [2, 3]},
]


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_taking_apart_and_together(tree: object) -> None:
    leaves, structure = trees.flatten(tree)
    again = trees.unflatten(structure, leaves)
    assert again == tree
    assert type(again) is type(tree)
    assert structure.count == len(leaves) == len(structure.paths())
    assert trees.flatten(again)[1] == structure
    hash(structure)


def test_paths_name_leaves() -> None:
    assert [p for p, _ in trees.leaves_with_paths(Point([5], {"k": 6}))] == ["x.0", "y.k"]
    assert trees.leaves_with_paths(7) == [("", 7)]


def test_map_needs_equal_structures() -> None:
    assert trees.map(lambda a, b: a * b, [1, (2,)], [3, (4,)]) == [3, (8,)]
    with pytest.raises(ArgumentError, match="differ in structure"):
        trees.map(lambda a, b: a, [1], (1,))
    with pytest.raises(ArgumentError, match="2 leaves, but 1"):
        trees.unflatten(trees.flatten([1, 2])[1], [1])


def test_dicts_keep_their_order_and_keys() -> None:
    leaves, structure = trees.flatten({2: "x", 1: "y"})
    assert leaves == ["x", "y"]
    assert trees.unflatten(structure, leaves) == {2: "x", 1: "y"}
