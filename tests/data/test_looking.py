"""describe, show, profile, spec and printing: what they say is what there is."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.data.chains import STEPS, numbers, stream
from treadle.core.errors import DataError


def test_describe_counts_what_there_is() -> None:
    x = np.array([[1.0, np.nan], [3.0, 5.0], [np.nan, np.nan]])
    ds = td.data.from_arrays(x=x, words=[["a"], ["b", ""], ["c", "d"]], label=[0, 1, 1], text=["", "ab", "ab"])
    got = ds.describe()
    assert (got.elements, got.complete) == (3, True)
    leaf = got.leaves["x"]
    assert (leaf.values, leaf.missing, leaf.low, leaf.mean, leaf.high) == (6, 3, 1, 3, 5)
    assert dict(got.leaves["words"].shapes) == {(1,): 1, (2,): 2}
    assert got.leaves["words"].missing == 1
    assert dict(got.leaves["label"].counts or {}) == {0: 1, 1: 2}
    assert (got.leaves["text"].missing, got.leaves["text"].mean) == (1, 2)
    text = str(got)
    assert "2 different; 1: 2, 0: 1" in text
    assert "[1] to [2]" in text
    part = stream(50).describe(limit=10)
    assert (part.elements, part.complete) == (10, False)
    assert str(part).startswith("the first 10 elements")
    assert numbers(2000).describe().leaves[""].counts is None  # too many different ones


def test_looking_does_not_move_the_position() -> None:
    ds = numbers().shuffle(1).batch(4)
    it = iter(ds)
    next(it)
    state = ds.state()
    ds.describe(), ds.show(2), ds.profile(2), ds.spec, repr(ds)
    assert ds.state() == state


def test_pictures_are_drawn_and_tables_written() -> None:
    pytest.importorskip("matplotlib")
    digits = td.datasets.digits()
    figure = td.data.from_arrays(image=digits.x_train, label=digits.y_train).show(5)
    assert len(figure.axes) == 5
    assert [a.get_title() for a in figure.axes] == [f"label: {y}" for y in digits.y_train[:5]]
    np.testing.assert_array_equal(figure.axes[3].get_images()[0].get_array(), digits.x_train[3, ..., 0])
    assert (
        str(td.data.from_arrays(digits.x_train.astype(np.float64) * 20).show(1))
        .splitlines()[1]
        .endswith("float64[8, 8, 1]")
    )
    assert repr(numbers(0).show()).strip() == ""


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("source", [numbers, stream])
def test_profile_names_every_step_and_leaves_the_chain_as_it_was(step: str, source: Any) -> None:
    ds = STEPS[step](source())
    lines = [line.strip() for line in repr(ds).splitlines()[1:-1]]
    got = ds.profile(4)
    assert 0 < got.elements <= 4
    assert set(lines) <= {shown for shown, _ in got.steps}
    assert all(seconds >= 0 for _, seconds in got.steps)
    assert got.bottleneck in {shown for shown, _ in got.steps}
    assert "bottleneck: " in str(got)
    assert not any("get" in n.__dict__ for n in [ds._node, *ds._node.parents])


def test_time_is_counted_where_it_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("treadle.data._profiling.time.perf_counter", lambda: now[0])

    def takes(seconds: float) -> Any:
        def work(x: Any) -> Any:
            now[0] += seconds
            return x

        return work

    for source in (numbers, stream):
        ds = source().map(takes(1)).map(takes(10)).batch(3).map(takes(100))
        got = ds.profile(5)
        assert [s for _, s in got.steps] == [0, 15, 150, 0, 500]
        assert got.reading == 665
        assert ds.profile(5, step=takes(200)).bottleneck == "the model"
        assert ds.profile(5, step=takes(1)).bottleneck == got.steps[-1][0]
        assert ds.profile(5, step=takes(200)).step == 800  # the first call, which may compile, does not count


def test_what_an_element_is_may_not_be_known() -> None:
    empty = numbers(5).filter(lambda x: x > 9)
    assert "each: not known (map(<lambda>, test_looking.py" in repr(empty.map(lambda x: x))
    with pytest.raises(DataError, match="has no elements, so it is not known"):
        _ = empty.map(lambda x: x).spec
    mixed = td.data.from_items([{"a": 1}, {"b": 1}])
    assert "differ in structure" in repr(mixed)
    odd = td.data.from_items([np.zeros(2), np.zeros((2, 2))])
    assert str(odd.spec) == "array of any rank[]"
    assert list(itertools.islice(stream().repeat().spec.shape, 1)) == []
