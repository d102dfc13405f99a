"""Each step against what it should give, written in plain Python; the general properties over all steps."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle as td
from tests.data.chains import SOURCES, STEPS, N, copies, double, flat, later, numbers, odd, plain, stream, values
from treadle.core.errors import ArgumentError, DataError, OutOfRangeError, ShapeError
from treadle.data import Dataset, IndexedDataset
from treadle.data._sources import Columns

ALL = [(s, c) for s in SOURCES for c in STEPS]


def make(source: str, step: str) -> Dataset:
    made: Dataset = STEPS[step](SOURCES[source]())
    return made


# What holds of every step.


@pytest.mark.parametrize(("source", "step"), ALL)
def test_two_datasets_of_the_same_steps_give_the_same_in_every_epoch(source: str, step: str) -> None:
    a, b = make(source, step), make(source, step)
    for _ in range(3):
        assert values(a) == values(b)


@pytest.mark.parametrize(("source", "step"), ALL)
def test_going_on_from_any_position_gives_the_very_next_element(source: str, step: str) -> None:
    for epoch in range(2):
        ds = make(source, step)
        for _ in range(epoch):
            list(ds)
        before, states, whole = ds.state(), [], []
        for x in ds:
            whole.append(plain(x))
            states.append(ds.state())
        after = ds.state()
        for at, state in enumerate([before, *states]):
            fresh = make(source, step)
            fresh.restore(json.loads(json.dumps(state)))
            assert values(fresh) == whole[at:], at
        fresh.restore(after)
        assert values(fresh) == values(ds)


@pytest.mark.parametrize("step", STEPS)
def test_elements_by_index_are_those_of_the_first_epoch(step: str) -> None:
    ds = make("indexed", step)
    if isinstance(ds, IndexedDataset):
        assert [plain(ds[i]) for i in range(len(ds))] == values(ds)
        assert [plain(ds[i]) for i in range(-len(ds), 0)] == values(make("indexed", step))
        with pytest.raises(OutOfRangeError, match=f"element {len(ds)} of a dataset that has {len(ds)}"):
            ds[len(ds)]


@pytest.mark.parametrize("step", [s for s in STEPS if s not in ("padded", "buckets")])
def test_columns_are_the_elements(step: str) -> None:
    ds = make("indexed", step)
    if isinstance(ds, IndexedDataset):
        columns, elements = ds.columns(), values(ds)
        for i, x in enumerate(elements):
            assert plain(td.tree.map(lambda c, i=i: c[i], columns)) == x


@pytest.mark.parametrize(("source", "step"), ALL)
def test_the_spec_fits_every_element(source: str, step: str) -> None:
    ds = make(source, step)
    spec = ds.spec
    for x in ds:
        for s, leaf in zip(td.tree.leaves(spec), td.tree.leaves(x), strict=True):
            array = np.asarray(leaf)
            assert len(s.shape) == array.ndim
            assert all(not isinstance(n, int) or n == m for n, m in zip(s.shape, array.shape, strict=True))
            assert s.dtype == array.dtype


@pytest.mark.parametrize(("source", "step"), ALL)
def test_it_prints_its_steps(source: str, step: str) -> None:
    text = repr(make(source, step))
    assert text.splitlines()[1].strip().startswith("from_")
    assert "each: " in text.splitlines()[-1]


# What each step gives.


@pytest.mark.parametrize("source", [numbers, stream])
def test_steps_in_plain_python(source: Any) -> None:
    n = list(range(N))
    assert flat(source().map(double)) == [2 * i for i in n]
    assert flat(source().filter(odd)) == [i for i in n if i % 2]
    assert flat(source().flat_map(copies)) == [i for i in n for _ in range(i % 4)]
    assert values(source().batch(10)) == [n[i : i + 10] for i in range(0, N, 10)]
    assert values(source().batch(10, drop_last=True)) == [n[i : i + 10] for i in range(0, 30, 10)]
    assert values(source().window(5, stride=7)) == [n[i : i + 5] for i in range(0, N - 4, 7)]
    assert flat(source().take(5)) + flat(source().skip(5)) == n
    assert flat(source().shard(1, 4)) == n[1::4]
    assert flat(source().repeat(2)) == n + n
    assert flat(source().concatenate(source())) == n + n
    assert values(source().zip(source().skip(30))) == [(i, i + 30) for i in range(7)]
    assert flat(source().interleave(source().take(2), source().skip(33))) == [0, 0, 33, 1, 1, 34, 2, 35, 3, 36, *n[4:]]
    assert flat(itertools.islice(source().repeat(), 3 * N + 2)) == n * 3 + [0, 1]


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 9), st.integers(0, 3))
def test_each_element_once_an_epoch(n: int, size: int, world: int, seed: int) -> None:
    for source in (numbers, stream):
        ds = source(n).shuffle(seed, buffer=size)
        assert sorted(flat(ds.batch(size))) == list(range(n))
        assert sorted(flat(ds)) == list(range(n))
        parts = [flat(source(n).shuffle(seed, buffer=size).shard(r, world)) for r in range(world)]
        assert sorted(itertools.chain(*parts)) == list(range(n))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.integers(0, 30), st.integers(1, 9), st.integers(0, 12))
def test_slices_of_a_stream_end_with_it(n: int, world: int, skipped: int) -> None:
    for rank in range(world):
        assert flat(stream(n).shard(rank, world)) == list(range(rank, n, world))
        assert (
            flat(stream(n).map(double).skip(skipped).shard(rank, world))
            == [2 * i for i in range(n)][skipped:][rank::world]
        )


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5))
def test_interleave_is_turn_by_turn(lengths: list[int]) -> None:
    for source in (td.data.from_arrays, lambda x: td.data.from_generator(lambda: x)):
        parts = [[100 * k + i for i in range(n)] for k, n in enumerate(lengths)]
        want = [x for row in itertools.zip_longest(*parts) for x in row if x is not None]
        assert flat(td.data.interleave(*(source(np.array(p, int)) for p in parts))) == want


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.floats(0.01, 10)), min_size=1, max_size=4),
    st.integers(0, 9),
    st.integers(0, 2),
)
def test_mix(parts: list[tuple[int, float]], seed: int, epoch: int) -> None:
    def build(source: Any) -> Dataset:
        arrays = [1_000_000 * k + np.arange(n) for k, (n, _) in enumerate(parts)]
        mixed: Dataset = td.data.mix([source(a) for a in arrays], [w for _, w in parts], seed=seed)
        return mixed

    ds = build(td.data.from_arrays)
    ds.restore({**ds.state(), "epoch": epoch})
    got = np.array(flat(ds), int)
    assert isinstance(ds, IndexedDataset)
    assert len(got) == len(ds)
    weights = np.array([w for _, w in parts]) / sum(w for _, w in parts)
    for k, (n, _) in enumerate(parts):
        own = got[got // 1_000_000 == k] % 1_000_000
        assert own.tolist() == list(range(len(own)))  # in its own order, none left out
        assert len(own) <= n
        assert abs(len(own) - weights[k] * len(got)) <= 1024
    if epoch == 0:
        assert flat(build(lambda a: td.data.from_generator(lambda: a)))[: len(got)] == got.tolist()


def test_mix_ends_with_the_first_that_ends() -> None:
    ds = td.data.mix([numbers(10), numbers(5000)], [1, 1])
    got = flat(ds)
    assert got.count(9) == 2 or got.count(9) == 1
    assert 15 < len(got) < 60
    assert flat(td.data.mix([numbers(10).repeat(), numbers(50)], [1, 1]))[-1] <= 50


def test_epochs_differ_and_repeat_gives_them_in_a_row() -> None:
    ds = numbers().shuffle(5)
    epochs = [flat(ds) for _ in range(3)]
    assert len({tuple(e) for e in epochs}) == 3
    assert flat(numbers().shuffle(5).repeat(3)) == list(itertools.chain(*epochs))
    same = numbers().shuffle(5, each_epoch=False)
    assert flat(same) == flat(same) == epochs[0]
    assert flat(later().repeat(2)) == [*range(N), *range(100, 100 + N)]


def test_random_maps_are_functions_of_seed_epoch_and_place() -> None:
    def draw(x: Any, rng: np.random.Generator) -> float:
        return float(rng.random())

    for source in (numbers, stream):
        a, b = source().map(draw, seed=1), source().map(draw, seed=2)
        first, second = values(a), values(a)
        assert len({*first, *second, *values(b)}) == 3 * N
        assert values(source().map(draw, seed=1)) == first
    assert plain(numbers().map(draw, seed=1)[5]) == first[5]


@given(st.integers(1, 100), st.integers(1, 30), st.integers(0, 3))
def test_a_shuffle_within_runs_keeps_runs_together(n: int, within: int, seed: int) -> None:
    got = flat(numbers(n).shuffle(seed, within=within))
    assert sorted(got) == list(range(n))
    for k in range(0, n, within):
        assert len({i // within for i in got[k : k + within]}) == 1


def test_endless_repeats_do_not_share_epochs() -> None:
    ds = numbers(8).shuffle(1).repeat()
    first = [int(x) for x in itertools.islice(ds, 80)]
    second = [int(x) for x in itertools.islice(ds, 80)]
    blocks = {tuple(b) for run in (first, second) for b in np.reshape(run, (-1, 8)).tolist()}
    assert len(blocks) == 20  # of 8! orders: the same twice would be a great coincidence


def test_repeating_nothing_ends() -> None:
    assert flat(stream(0).repeat()) == flat(numbers(5).filter(lambda x: x > 9).repeat()) == []


def test_a_filter_is_found_out_once_and_no_further_than_asked() -> None:
    seen: list[int] = []

    def keep(x: Any) -> bool:
        seen.append(int(x))
        return x % 2 == 0

    ds = numbers(20).filter(keep)
    assert int(ds[2]) == 4
    assert seen == [0, 1, 2, 3, 4]
    assert flat(ds) == flat(ds) == list(range(0, 20, 2))
    assert seen == list(range(20))


def test_the_data_cannot_be_changed_by_a_map() -> None:
    x = np.zeros(4)

    def spoil(batch: Any) -> Any:
        batch += 1
        return batch

    with pytest.raises(DataError, match="read-only"):
        list(td.data.from_arrays(x).batch(2).map(spoil))
    assert not x.any()


def test_batches_are_gathered_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_by_one(*_: Any) -> Any:
        raise AssertionError("an element was made for itself")

    monkeypatch.setattr(Columns, "get", one_by_one)
    a, b = numbers(100).skip(10).split(0.5)
    ds = td.data.mix([a.shuffle().repeat(2), b.zip(b).window(3).map(double)], [1, 1])
    with pytest.raises(AssertionError):
        list(ds)  # a map is of one element each
    assert len(flat(a.shuffle().repeat(2).concatenate(b).batch(7))) == 135
    assert len(list(b.zip(b).window(3).batch(5))) == 9


# Ragged elements.


@given(st.lists(st.lists(st.integers(-9, 9), max_size=7), min_size=1, max_size=20), st.integers(1, 6))
def test_padding_keeps_every_value(lists: list[list[int]], size: int) -> None:
    arrays = [np.array(v, np.int64) for v in lists]
    indexed = td.data.from_arrays(arrays)
    streamed = td.data.from_generator(lambda: arrays)
    for ds in (indexed, streamed):
        got = []
        for batch in ds.padded_batch(size, pad=-1, multiple=4):
            assert batch.values.shape == batch.mask.shape == (len(batch.lengths), -(-max(batch.lengths) // 4) * 4)
            assert (batch.values[~batch.mask] == -1).all()
            assert batch.lengths.dtype == np.int32
            got += [row[:n].tolist() for row, n in zip(batch.values, batch.lengths, strict=True)]
        assert got == lists


def test_only_ragged_leaves_are_padded() -> None:
    ds = td.data.from_arrays(tokens=[[1, 2], [3], [4, 5, 6]], image=np.zeros((3, 2, 2)), text=["a", "b", "c"])
    batch = next(iter(ds.padded_batch(2)))
    assert batch["tokens"].values.tolist() == [[1, 2], [3, 0]]
    assert batch["image"].shape == (2, 2, 2)
    assert list(batch["text"]) == ["a", "b"]
    assert str(ds.padded_batch(2).spec["tokens"].values) == "i64[batch,time]"
    assert ds.padded_batch(2, to=8)[1]["tokens"].values.shape == (1, 8)


def test_what_cannot_be_padded_says_why() -> None:
    ragged = td.data.from_arrays(a=[[1, 2], [3]])
    with pytest.raises(DataError, match=r"a: elements 0 and 1 .* \[2\] and \[1\]\. Use padded_batch"):
        list(ragged.batch(2))
    with pytest.raises(
        DataError, match=r"step 1, padded_batch\(2, to=1\), at batch 0, element 0 to element 1.*does not fit"
    ):
        list(ragged.padded_batch(2, to=1))
    with pytest.raises(ArgumentError, match=r"ragged='b'.*'a'"):
        list(ragged.padded_batch(2, ragged=["b"]))
    images = td.data.from_arrays([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(DataError, match=r"only the first axis may differ.*\[2, 3\] and \[2, 4\]"):
        list(images.padded_batch(2))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=50), st.integers(1, 5), st.sampled_from(["drop", "pad"]))
def test_buckets_hold_every_element_under_their_bound(lengths: list[int], size: int, longer: str) -> None:
    elements = [np.full(n, i) for i, n in enumerate(lengths)]
    bounds = [3, 5, 9]
    ds = td.data.from_generator(lambda: elements).bucket_by_length(bounds, size, longer=longer)
    found = []
    for batch in ds:
        time = batch.values.shape[1]
        assert len(batch.lengths) <= size
        assert time in bounds or (longer == "pad" and time == max(batch.lengths) > 9)
        assert all(n > max([b for b in bounds if b < time], default=0) for n in batch.lengths)
        found += [int(row[0]) for row in batch.values]
    assert sorted(found) == [i for i, n in enumerate(lengths) if n <= 9 or longer == "pad"]


def test_a_sequence_beyond_the_last_bound_is_an_error() -> None:
    ds = td.data.from_arrays([[1], [1, 2, 3]]).bucket_by_length([2], 1)
    with pytest.raises(DataError, match=r"element 1: its length is 3, and the last bound 2.*longer='drop'"):
        list(ds)


# Split.


@given(st.integers(4, 200), st.floats(0.3, 0.7), st.integers(0, 5))
def test_split_at_random(n: int, fraction: float, seed: int) -> None:
    a, b = numbers(n).split(fraction, seed=seed)
    assert sorted(flat(a) + flat(b)) == list(range(n))
    assert len(a) == round(fraction * n)
    again = numbers(n).split(fraction, seed=seed)
    assert flat(again[0]) == flat(a)


@given(st.lists(st.integers(0, 3), min_size=40, max_size=200), st.integers(0, 3))
def test_split_stratified(labels: list[int], seed: int) -> None:
    ds = td.data.from_arrays(x=np.arange(len(labels)), y=np.array(labels))
    parts = ds.split(0.5, 0.3, seed=seed, stratify="y")
    assert sorted(int(e["x"]) for p in parts for e in p) == list(range(len(labels)))
    for share, part in zip([0.5, 0.3, 0.2], parts, strict=True):
        for kind in set(labels):
            assert abs(sum(e["y"] == kind for e in part) - share * labels.count(kind)) <= 1


@given(st.lists(st.integers(0, 19), min_size=60, max_size=200), st.integers(0, 3))
def test_split_by_group(groups: list[int], seed: int) -> None:
    ds = td.data.from_arrays(np.arange(len(groups)), np.array(groups))
    if len(set(groups)) < 4:
        return
    a, b = ds.split(0.6, seed=seed, group=lambda e: e[1])
    assert sorted(int(e[0]) for p in (a, b) for e in p) == list(range(len(groups)))
    assert not {int(e[1]) for e in a} & {int(e[1]) for e in b}
    largest = max(groups.count(g) for g in groups)
    assert abs(len(a) - 0.6 * len(groups)) <= largest


def test_split_by_time() -> None:
    when = np.array([5, 1, 4, 2, 3, 0])
    old, new = numbers(6).split(0.5, time=when)
    assert flat(old) == [5, 1, 3]
    assert flat(new) == [4, 2, 0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: numbers(3).split(0.1), "one is empty"),
        (lambda: numbers().split(0.8, 0.8), "add up to 1 or less"),
        (lambda: numbers().split(), "add up to 1 or less"),
        (lambda: numbers().split(0.5, stratify="y"), "stratify='y'"),
        (lambda: numbers().split(0.5, stratify=np.zeros(3)), "37 elements need one value each"),
        (lambda: numbers().split(0.5, group=np.zeros(N), time=np.zeros(N)), "one of"),
        (lambda: numbers().batch(0), r"batch\(0\): an integer of at least 1"),
        (lambda: numbers().batch(2.5), r"batch\(2.5\): an integer"),
        (lambda: numbers().take(-1), "at least 0"),
        (lambda: numbers().shard(3, 3), "one of 0 to 2"),
        (lambda: numbers().map(3), "takes a function"),
        (lambda: numbers()[::-1], "step of at least 1"),
        (lambda: numbers().bucket_by_length([4, 2], 2), "increasing order"),
        (lambda: numbers().bucket_by_length([2, 4], [1]), "1 sizes for 2 buckets"),
        (lambda: numbers().bucket_by_length([2, 4], 1, longer="cut"), "drop"),
        (lambda: numbers().padded_batch(2, to=3, multiple=2), "to= or multiple="),
        (lambda: td.data.mix([numbers(), numbers()], [1, -1]), "positive weights"),
        (lambda: td.data.mix([]), "takes datasets"),
        (lambda: td.data.zip(numbers(), [1, 2]), "takes datasets, and got list"),
        (lambda: td.data.from_arrays(), "from_arrays takes arrays"),
        (lambda: td.data.from_arrays(np.zeros(2), x=np.zeros(2)), "from_arrays takes arrays"),
        (lambda: td.data.from_generator(iter([1])), r"lambda: …"),
        (lambda: td.data.from_generator(3), "a function or an iterable"),
        (lambda: td.data.from_items(iter([1])), "a length and"),
    ],
)
def test_arguments_that_cannot_be(call: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        call()


def test_arrays_of_different_lengths() -> None:
    with pytest.raises(ShapeError, match=r"x \[3\], y \[4, 2\]"):
        td.data.from_arrays(x=np.zeros(3), y=np.zeros((4, 2)))
    with pytest.raises(ShapeError, match="one number"):
        td.data.from_arrays(3.0)


# Errors and positions.


def fails(x: Any) -> Any:
    if x == 13:
        raise ZeroDivisionError("thirteen")
    return x


@pytest.mark.parametrize("source", [numbers, stream])
def test_an_error_names_the_step_the_function_and_the_element(source: Any) -> None:
    ds = source().map(double).map(fails)
    list(ds)  # doubled, none is 13
    ds = source().map(fails).batch(4)
    with pytest.raises(
        DataError, match=r"step 1, map\(fails, test_steps.py:\d+\), at element 13: ZeroDivisionError: thi"
    ) as e:
        list(ds)
    assert isinstance(e.value.__cause__, ZeroDivisionError)
    with pytest.raises(DataError, match=r"step 1, filter\(fails"):
        list(source().filter(lambda x: True).skip(0) and source().filter(fails))


def test_an_error_names_the_element_of_the_source() -> None:
    ds = numbers().skip(10).shuffle(3).map(fails)
    with pytest.raises(DataError, match="at element 13: ZeroDivisionError"):
        list(ds)


def test_a_position_in_other_data_is_refused() -> None:
    state = numbers().shuffle(1).batch(2).state()
    with pytest.raises(DataError, match=r"step 1 was shuffle\(seed=1\), and is shuffle\(seed=2\)"):
        numbers().shuffle(2).batch(2).restore(state)
    with pytest.raises(DataError, match=r"step 2 was batch\(2\), and is nothing"):
        numbers().shuffle(1).restore(state)
    with pytest.raises(DataError, match="step 0 was"):
        numbers(9).shuffle(1).batch(2).restore(state)


def test_a_generator_that_became_shorter_cannot_be_resumed() -> None:
    length = [10]
    ds = td.data.from_generator(lambda: range(length[0]))
    it = iter(ds)
    for _ in range(5):
        next(it)
    state = ds.state()
    length[0] = 3
    ds.restore(state)
    with pytest.raises(DataError, match="ended after 3 elements"):
        list(ds)


class Tell:
    """An iterator as Grain's: it can say and take up its position."""

    def __init__(self) -> None:
        self.at = 0
        self.read: list[int] = []

    def __iter__(self) -> Tell:
        return self

    def __next__(self) -> int:
        if self.at == 10:
            raise StopIteration
        self.at += 1
        self.read.append(self.at)
        return self.at

    def get_state(self) -> dict[str, int]:
        return {"at": self.at}

    def set_state(self, state: dict[str, int]) -> None:
        self.at = state["at"]


def test_positions_of_foreign_iterators_are_used() -> None:
    made: list[Tell] = []

    def make_one() -> Tell:
        made.append(Tell())
        return made[-1]

    ds = td.data.from_generator(make_one)
    it = iter(ds)
    assert [next(it) for _ in range(4)] == [1, 2, 3, 4]
    state = ds.state()
    ds.restore(state)
    assert flat(ds) == [5, 6, 7, 8, 9, 10]
    assert made[-1].read == [5, 6, 7, 8, 9, 10]  # what had been read was not read again


def test_items_of_others() -> None:
    ds = td.data.from_items([{"a": 1, "b": [1, 2]}, {"a": 2, "b": [3, 4]}])
    batch = next(iter(ds.batch(2)))
    assert batch["a"].tolist() == [1, 2]
    assert batch["b"].tolist() == [[1, 2], [3, 4]]
    mixed = td.data.from_items([{"a": 1}, {"b": 1}]).batch(2)
    with pytest.raises(DataError, match=r"differ in structure: \[a\] and \[b\]"):
        list(mixed)


def test_the_order_of_a_dicts_keys_does_not_matter() -> None:
    rows = [{"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 30, "c": 20}, "a": 10}]
    for ds in (td.data.from_items(rows), td.data.from_generator(lambda: rows)):
        assert values(ds.batch(2)) == [{"a": [1, 10], "b": {"c": [2, 20], "d": [3, 30]}}]
        assert list(ds.spec) == ["a", "b"]
        assert values(ds.cache().batch(2)) == values(ds.batch(2))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 9), max_size=40), st.integers(1, 5), st.sampled_from(["error", "drop", "pad"]),
    st.booleans(), st.integers(0, 2),
)  # fmt: skip
def test_buckets_of_what_is_in_memory_are_those_of_a_stream(
    lengths: list[int], size: int, longer: str, drop_last: bool, epoch: int
) -> None:
    rows = [np.full(n, i) for i, n in enumerate(lengths)]
    bounds = [3, 6] if longer != "error" else [3, 6, 9]
    indexed = td.data.from_arrays(rows, np.arange(len(rows))).shuffle(3).shuffle(4)
    streamed = td.data.from_generator(lambda epoch: (indexed._node.get(i, epoch) for i in range(len(rows))))

    def buckets(ds: Dataset) -> Any:
        made = ds.bucket_by_length(bounds, size, length=0, ragged=[0], longer=longer, drop_last=drop_last)
        made.restore({**made.state(), "epoch": epoch})
        return made

    if not rows:
        return
    got, want = buckets(indexed), buckets(streamed)
    assert isinstance(got, IndexedDataset)
    assert values(got) == values(want)
    assert len(got) == len(values(want))
    assert plain(got.spec) == plain(want.spec)
    by_function = indexed.bucket_by_length(
        bounds, size, length=lambda e: len(e[0]), ragged=[0], longer=longer, drop_last=drop_last
    )
    assert values(by_function) == values(buckets(indexed).take(len(got))) if epoch == 0 else True


def test_buckets_in_memory_say_what_is_wrong() -> None:
    ds = td.data.from_arrays([[1], [1, 2, 3], [2]])
    with pytest.raises(DataError, match=r"bucket_by_length\(\[2\], 2\), at element 1: its length is 3, and the last"):
        len(ds.shuffle(1).bucket_by_length([2], 2))
    with pytest.raises(DataError, match="say whose length counts"):
        len(td.data.from_arrays([[1], [2, 3]], [0, 1]).bucket_by_length([2], 2))
    with pytest.raises(DataError, match="a number has no length"):
        len(numbers().bucket_by_length([2], 2))


@pytest.mark.parametrize("order", ["C", "F", "strided", "unaligned", "objects", "other bytes"])
def test_rows_are_gathered_from_arrays_of_any_layout(order: str) -> None:
    x = np.arange(60.0).reshape(20, 3)
    if order == "F":
        x = np.asfortranarray(x)
    elif order == "strided":
        x = np.repeat(x, 2, axis=0)[::2]
    elif order == "unaligned":
        raw = np.zeros(x.nbytes + 1, np.uint8)
        raw[1:] = np.frombuffer(x.tobytes(), np.uint8)
        x = raw[1:].view(np.float64).reshape(20, 3)
        assert not x.flags.aligned
    elif order == "other bytes":
        x = x.astype(x.dtype.newbyteorder())
    elif order == "objects":
        x = np.array([f"row {i}" for i in range(20)], object)
    got = np.concatenate(list(td.data.from_arrays(x).shuffle(0).batch(7)))
    np.testing.assert_array_equal(np.sort(got, axis=0), np.sort(x, axis=0))
    assert not np.array_equal(got, x)
