"""Random chains, positions and workers: each record once an epoch, in one order, and the very next record goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import treadle as td
from tests.data import jobs
from tests.data.chains import numbers, stream, values
from treadle.data import Dataset

N = 53

# Each keeps every record, once. Of one number an element.
KEEPING: dict[str, Any] = {
    "map": lambda d: d.map(jobs.square).map(jobs.root),
    "random map": lambda d: d.map(jobs.noisy, seed=4).map(jobs.quiet),
    "shuffle": lambda d: d.shuffle(3, buffer=9),
    "shuffle within": lambda d: d.shuffle(3, buffer=9, within=8),
    "filter": lambda d: d.filter(jobs.always),
    "flat_map": lambda d: d.flat_map(jobs.alone),
    "batches taken apart": lambda d: d.batch(4).flat_map(list),
    "shards in turn": lambda d: d.shard(0, 3).interleave(d.shard(1, 3), d.shard(2, 3)),
    "both ends": lambda d: d.take(20).concatenate(d.skip(20)),
    "cache": lambda d: d.cache(),
    "prefetch": lambda d: d.prefetch(3),
}
LAST: dict[str, Any] = {
    "elements": lambda d: d,
    "batch": lambda d: d.batch(5),
    "padded_batch": lambda d: d.map(jobs.row).padded_batch(4),
    "buckets": lambda d: d.map(jobs.row).bucket_by_length([2, 4, 7], [6, 3, 2]),
}


@dataclass(frozen=True)
class Chain:
    """Where the records are from, the steps before and behind the workers, and what comes last."""

    source: str
    before: tuple[str, ...]
    behind: tuple[str, ...]
    last: str

    def build(self, workers: int = 0, kind: str = "thread") -> Dataset:
        ds: Any = {"indexed": numbers, "stream": stream}[self.source](N)
        for name in self.before:
            ds = KEEPING[name](ds)
        ds = ds.map(jobs.same)
        if workers:
            ds = ds.parallel(workers, kind=kind)
        for name in self.behind:
            ds = KEEPING[name](ds)
        made: Dataset = LAST[self.last](ds)
        return made


steps = st.lists(st.sampled_from(sorted(KEEPING)), max_size=2).map(tuple)
chains = st.builds(Chain, st.sampled_from(["indexed", "stream"]), steps, steps, st.sampled_from(sorted(LAST)))
counts = st.integers(0, 4)


def records(elements: list[Any], last: str) -> list[int]:
    if last in ("padded_batch", "buckets"):
        return [row[0] for values, _, _ in elements for row in values]
    return [int(v) for x in elements for v in np.ravel(x)]


def check_going_on(chain: Chain, before: int, after: int, kind: str, place: float, epoch: int) -> None:
    """Read in one go without workers; then with some up to a place, and from there on with others."""
    whole = chain.build()
    for _ in range(epoch):
        values(whole)
    want = values(whole)
    assert sorted(records(want, chain.last)) == list(range(N))
    at = round(place * len(want))
    ds = chain.build(before, kind)
    ds.restore({**ds.state(), "epoch": epoch})
    other = chain.build(after, kind)
    try:
        it = iter(ds)
        assert values(next(it) for _ in range(at)) == want[:at]
        other.restore(json.loads(json.dumps(ds.state())))
        assert values(other) == want[at:]
        assert values(it) == want[at:]
        assert values(other) == values(whole)  # and the next epoch
    finally:
        ds.close()
        other.close()


places = st.floats(0, 1)
plain = [Phase.explicit, Phase.reuse, Phase.generate]  # processes are dear: what fails is not made smaller


@settings(max_examples=60)
@given(chains, counts, counts, places, st.integers(0, 2))
def test_any_chain_goes_on_with_another_number_of_threads(
    chain: Chain, before: int, after: int, place: float, epoch: int
) -> None:
    check_going_on(chain, before, after, "thread", place, epoch)


@settings(max_examples=3, phases=plain)
@given(chains, st.integers(1, 2), st.integers(0, 2), places, st.integers(0, 1))
def test_and_of_processes(chain: Chain, before: int, after: int, place: float, epoch: int) -> None:
    check_going_on(chain, before, after, "process", place, epoch)


@pytest.mark.slow
@settings(max_examples=40, phases=plain)
@given(chains, counts, counts, places, st.integers(0, 2))
def test_and_of_many_processes(chain: Chain, before: int, after: int, place: float, epoch: int) -> None:
    check_going_on(chain, before, after, "process", place, epoch)


@settings(max_examples=60)
@given(chains, st.integers(1, 7), counts, st.integers(0, 1))
def test_shards_have_every_record_once(chain: Chain, world: int, workers: int, epoch: int) -> None:
    found: list[int] = []
    for rank in range(world):
        ds = chain.build(workers).shard(rank, world)
        ds.restore({**ds.state(), "epoch": epoch})
        found += records(values(ds), chain.last)
        ds.close()
    assert sorted(found) == list(range(N))


# In fit, whose checkpoints hold the position.

X = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
Y = (X @ np.array([[1.0], [2.0], [-1.0]]) + 0.5).astype(np.float32)


class StopError(Exception):
    pass


def pairs() -> Iterator[Any]:
    return iter(list(zip(X, Y, strict=True)))


def batches(source: str, workers: int, kind: str) -> Dataset:
    ds: Any = td.data.from_arrays(X, Y) if source == "indexed" else td.data.from_generator(pairs)
    ds = ds.shuffle(seed=1, buffer=20).map(jobs.jitter, seed=5)
    if workers:
        ds = ds.parallel(workers, kind=kind)
    made: Dataset = ds.batch(8)
    return made


def train(data: Dataset, **options: Any) -> Any:
    model = td.nn.Dense(1, kernel_initializer="zeros")
    try:
        td.fit(model, data, loss="mse", optimizer=td.optim.SGD(0.1), verbose=False, epochs=2, **options)
    finally:
        data.close()
    return np.asarray(model.kernel)


def check_fit(folder: Path, source: str, before: int, after: int, kind: str, at: int, every: int) -> None:
    """A run that is stopped at a step, and another with other workers that goes on from its last checkpoint."""

    def stop(context: Any) -> None:
        if context.step == at:
            raise StopError

    checkpoint = td.train.Checkpoint(folder, every_steps=every)
    with pytest.raises(StopError):
        train(
            batches(source, before, kind), checkpoint=checkpoint, callbacks=[td.train.LambdaCallback(on_batch_end=stop)]
        )
    resumed = train(batches(source, after, kind), checkpoint=checkpoint)
    assert np.array_equal(resumed, train(batches(source, 0, kind)))


fits = {
    "source": st.sampled_from(["indexed", "stream"]),
    "before": counts,
    "after": counts,
    "at": st.integers(1, 13),  # of 2 × 7 steps
    "every": st.integers(1, 4),
}


@settings(max_examples=8)
@given(**fits)
def test_fit_goes_on_with_another_number_of_threads(
    source: str, before: int, after: int, at: int, every: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_fit(tmp_path_factory.mktemp("run"), source, before, after, "thread", at, every)


@pytest.mark.slow
@settings(max_examples=15, phases=plain)
@given(**fits)
def test_fit_goes_on_with_another_number_of_processes(
    source: str, before: int, after: int, at: int, every: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_fit(tmp_path_factory.mktemp("run"), source, before, after, "process", at, every)
