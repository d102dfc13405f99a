"""Objects that own tensors: paths, assignment, tied places, copies, and what counts as the same build."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle.core import trees
from treadle.core.owned import Parameter, State
from treadle.core.stateful import Stateful, Variables


class Block(Stateful):
    def __init__(self, width: int = 2) -> None:
        self.kernel = Parameter(td.ones((width, width)))
        self.mean = State(td.zeros(width))
        self.freqs = td.arange(3.0)
        self.rate = 0.5


class Net(Stateful):
    def __init__(self) -> None:
        self.blocks = [Block(), Block(3)]
        self.heads: dict[str, Any] = {"a": Block(), "b": None}
        self.again = self.blocks[0]


def test_paths_kinds_and_sharing() -> None:
    net = Net()
    assert list(net.variables()) == [
        f"{b}.{v}" for b in ("blocks.0", "blocks.1", "heads.a") for v in ("kernel", "mean", "freqs")
    ]
    assert list(net.parameters()) == ["blocks.0.kernel", "blocks.1.kernel", "heads.a.kernel"]
    assert list(net.states()) == ["blocks.0.mean", "blocks.1.mean", "heads.a.mean"]


def test_assigning_keeps_the_kind_and_refuses_another_shape() -> None:
    b = Block()
    b.kernel = b.kernel * 2
    assert isinstance(b.kernel, Parameter)
    b.mean = np.asarray([1, 2])
    assert b.mean.dtype == td.float32
    with pytest.raises(
        td.errors.ShapeError, match=r"Block.kernel is f32\[2,2\], and f32\[3,3\] was assigned.*new Param"
    ):
        b.kernel = td.ones((3, 3))
    b.kernel = Parameter(td.ones((3, 3)))
    assert b.kernel.shape == (3, 3)
    b.mean = None
    assert list(b.states()) == []


def test_assign_by_path_is_all_or_nothing() -> None:
    net = Net()
    with pytest.raises(td.errors.ShapeError, match=r"blocks.1.kernel is f32\[3,3\]"):
        net.assign({"blocks.0.kernel": td.zeros((2, 2)), "blocks.1.kernel": td.zeros((2, 2))})
    assert net.blocks[0].kernel.sum().item() == 4.0
    with pytest.raises(td.errors.ArgumentError, match=r"no variable 'kernel'; it has blocks.0.kernel"):
        net.assign({"kernel": td.zeros(2)})
    net.assign({"blocks.0.kernel": np.zeros((2, 2))})
    assert net.again.kernel.sum().item() == 0.0


def test_a_stateful_is_a_tree_and_maps_to_a_copy() -> None:
    net = Net()
    doubled = trees.map(lambda x: x * 2, net)
    assert doubled.blocks[0].kernel.sum().item() == 8.0
    assert net.blocks[0].kernel.sum().item() == 4.0
    assert doubled.again is doubled.blocks[0]
    assert isinstance(doubled.blocks[0].mean, State)
    assert [p for p, _ in trees.leaves_with_paths({"m": Block()})] == ["m.kernel", "m.mean", "m.freqs"]


def test_structure_tells_builds_apart() -> None:
    def structure(x: Stateful) -> Any:
        return Variables([x]).structure

    a, b = Net(), Net()
    assert structure(a) == structure(b)
    b.blocks[0].rate = 0.25
    assert structure(a) != structure(b)
    c = Net()
    c.again = Block()  # no longer shared
    assert structure(a) != structure(c)
    d = Net()
    d.blocks[0].mean = State(td.zeros(2, dtype=td.float64))
    assert structure(a) != structure(d)


def test_tensors_in_tuples_are_refused() -> None:
    b = Block()
    b.pair = (td.ones(2), td.ones(2))
    with pytest.raises(td.errors.ArgumentError, match=r"pair.0 is inside of a tuple"):
        b.variables()


def test_copies_and_pickles() -> None:
    net = copy.deepcopy(Net())
    assert net.again is net.blocks[0]
    other = pickle.loads(pickle.dumps(Block()))
    assert isinstance(other.kernel, Parameter)
    assert other.kernel.tolist() == Block().kernel.tolist()


CHANGES: dict[str, Any] = {
    "a number": lambda net: setattr(net.blocks[0], "rate", 0.25),
    "another parameter's shape": lambda net: setattr(net.blocks[0], "kernel", Parameter(td.ones((3, 3)))),
    "a state instead of a parameter": lambda net: net.blocks[0].__dict__.update(kernel=State(td.ones((2, 2)))),
    "a longer list": lambda net: net.blocks.append(Block()),
    "a shorter list": lambda net: net.blocks.pop(),
    "an item of a list": lambda net: net.blocks.__setitem__(1, Block()),
    "a new attribute": lambda net: setattr(net, "extra", 1),
    "a new key": lambda net: net.heads.update(c=1),
    "a key that is gone": lambda net: net.heads.pop("b"),
    "a new tensor": lambda net: setattr(net, "extra", td.ones(1)),
    "a tensor that is gone": lambda net: delattr(net.blocks[0], "mean"),
    "a new tie": lambda net: net.blocks[0].__dict__.update(kernel=net.heads["a"].kernel),
    "a module instead of another": lambda net: setattr(net, "again", net.blocks[1]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_found_before_is_used_until_something_changes(name: str) -> None:
    net = Net()
    found = Variables.of([net])
    assert Variables.of([net]) is found
    net.blocks[0].kernel = td.zeros((2, 2))
    net.blocks[0].mean = net.blocks[0].mean + 1
    assert Variables.of([net]) is found  # only numbers have changed
    CHANGES[name](net)
    again = Variables.of([net])
    assert again is not found
    assert again.structure == Variables([net]).structure
    assert again.paths == Variables([net]).paths


def test_ties_that_are_cut_are_noticed() -> None:
    net = Net()
    net.blocks[0].__dict__["kernel"] = net.heads["a"].kernel
    found = Variables.of([net])
    found.write(found.read())
    assert Variables.of([net]) is found
    net.heads["a"].kernel = td.zeros((2, 2))
    assert len(Variables.of([net]).slots) == len(found.slots) + 1


def test_models_with_and_without_their_optimiser_take_turns() -> None:
    a, b = Net(), Block()
    both, alone = Variables.of([a, b]), Variables.of([a])
    assert Variables.of([a, b]) is both
    assert Variables.of([a]) is alone
    assert "_surveys" not in vars(copy.deepcopy(a))
