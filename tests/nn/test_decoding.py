"""Decoding against exhaustive search and by-hand loops; CTC against PyTorch and all ways written out."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import treadle as td
from treadle import nn
from treadle.core.errors import ArgumentError, DTypeError, ShapeError

decoding = nn.decoding
RNG = np.random.default_rng(0)


class Walk:
    """A model with a state: the next token's scores depend on the last two tokens."""

    def __init__(self, vocabulary: int, seed: int = 0) -> None:
        self.scores = np.random.default_rng(seed).standard_normal((vocabulary, vocabulary, vocabulary)) * 1.5

    def step(self, state: td.Tensor, token: td.Tensor) -> Any:
        table = td.asarray(self.scores)
        return token, table[state, token]

    def log_p(self, before: int, token: int) -> np.ndarray:
        row = self.scores[before, token]
        return row - np.log(np.exp(row).sum())


def test_greedy_takes_the_likeliest_until_the_end() -> None:
    walk, start = Walk(4), np.array([0, 1, 2, 3])
    found = td.compile(lambda s: decoding.greedy(walk.step, s, s, max_steps=9, end=0))(
        td.asarray(start, dtype=td.int32)
    )
    for k, first in enumerate(start):
        before = token = int(first)
        tokens, total = [], 0.0
        while len(tokens) < 9:
            row = walk.log_p(before, token)
            before, token = token, int(row.argmax())
            total += row[token]
            tokens.append(token)
            if token == 0:
                break
        assert found.tokens[k].tolist() == tokens + [0] * (9 - len(tokens))
        assert found.lengths[k].item() == len(tokens) - (tokens[-1] == 0)
        np.testing.assert_allclose(found.log_probability[k].item(), total, rtol=1e-9)


def test_a_loop_ends_when_all_sequences_have() -> None:
    seen = []

    def step(state: td.Tensor, token: td.Tensor) -> Any:
        state = td.host(lambda s: seen.append(1) or s + 1, state, result_shape=state)
        return state, td.where(state[:, None] > 2, td.asarray([9.0, 0.0]), td.asarray([0.0, 9.0]))

    found = decoding.greedy(step, td.zeros((2,)), td.asarray([1, 1]), max_steps=50, end=0)
    assert found.lengths.tolist() == [2, 2]
    assert len(seen) == 3


def test_samples_have_the_model_s_frequencies_and_depend_on_the_key_alone() -> None:
    logits = td.log(td.asarray([0.5, 0.3, 0.15, 0.05]))

    def draw(seed: int, **options: Any) -> np.ndarray:
        run = td.compile(
            lambda key: decoding.sample(
                lambda s, token: (s, td.broadcast_to(logits, (50, 4))), (), td.zeros((50,), dtype=td.int32), key=key,
                max_steps=80, **options,
            )
        )  # fmt: skip
        return run(td.random.key(seed)).tokens.numpy()

    tokens = draw(0)
    np.testing.assert_allclose(np.bincount(tokens.ravel(), minlength=4) / 4000, [0.5, 0.3, 0.15, 0.05], atol=0.03)
    np.testing.assert_array_equal(tokens, draw(0))
    assert (tokens != draw(1)).any()
    for options in ({"top_k": 2}, {"top_p": 0.7}):
        share = np.bincount(draw(0, **options).ravel(), minlength=4) / 4000
        np.testing.assert_allclose(share, [0.625, 0.375, 0, 0], atol=0.03)
    squared = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    share = np.bincount(draw(0, temperature=0.5).ravel(), minlength=4) / 4000
    np.testing.assert_allclose(share, squared / squared.sum(), atol=0.03)


def test_filters() -> None:
    x = td.asarray(RNG.standard_normal((3, 7)))
    p = td.softmax(x, axis=-1).numpy()
    kept = np.isfinite(decoding.filter_logits(x, top_p=0.6).numpy())
    for row, mine in zip(p, kept, strict=True):
        order = np.argsort(-row)
        count = int(np.searchsorted(np.cumsum(row[order]), 0.6) + 1)
        assert set(np.flatnonzero(mine)) == set(order[:count])
    assert (np.isfinite(decoding.filter_logits(x, top_k=3).numpy()).sum(1) == 3).all()
    np.testing.assert_array_equal(decoding.filter_logits(x, top_k=9, top_p=1.0).numpy(), x.numpy())


@pytest.mark.parametrize("penalty", [0.0, 0.8, 3.0])
def test_a_wide_beam_finds_the_best_of_all(penalty: float) -> None:
    walk, steps = Walk(3, seed=4), 4
    search = td.compile(
        lambda s: decoding.beam_search(walk.step, s, s, beams=81, max_steps=steps, end=0, length_penalty=penalty)
    )
    start = [1, 2]
    found = search(td.asarray(start, dtype=td.int32))
    for k, first in enumerate(start):
        scored = []
        for n in range(steps + 1):
            for body in itertools.product([1, 2], repeat=n):
                tokens = [*body, 0] if n < steps else list(body)
                before, token, total = first, first, 0.0
                for new in tokens:
                    total += walk.log_p(before, token)[new]
                    before, token = token, new
                scored.append((total / ((5 + len(tokens)) / 6) ** penalty, list(body)))
        scored.sort(key=lambda s: -s[0])
        for beam, (score, body) in enumerate(scored):
            np.testing.assert_allclose(found.scores[k, beam].item(), score, rtol=1e-9)
            assert found.tokens[k, beam, : found.lengths[k, beam].item()].tolist() == body
        assert np.isneginf(found.scores[k, len(scored) :].numpy()).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_of_one_is_greedy_unless_an_earlier_end_is_likelier(seed: int) -> None:
    walk = Walk(5, seed=1)

    def step(state: Any, token: td.Tensor, bias: td.Tensor) -> Any:
        before, position = state
        before, logits = walk.step(before, token)
        return (before, position + 1), logits + bias - 0.1 * position * td.asarray([1.0, 0, 0, 0, 0], dtype=td.float64)

    start = td.asarray([1, 2, 3], dtype=td.int32)
    bias = td.asarray(np.random.default_rng(seed).standard_normal((3, 5)))
    state = (start, td.asarray(0, dtype=td.float64))
    one = decoding.beam_search(step, state, start, beams=1, max_steps=7, end=0, constants={"bias": bias})
    other = decoding.greedy(step, state, start, max_steps=7, end=0, constants={"bias": bias})
    same = one.lengths[:, 0].numpy() == other.lengths.numpy()
    np.testing.assert_array_equal(one.tokens[:, 0].numpy()[same], other.tokens.numpy()[same])
    np.testing.assert_allclose(one.scores[:, 0].numpy()[same], other.log_probability.numpy()[same], rtol=1e-9)
    assert (one.lengths[:, 0].numpy()[~same] < other.lengths.numpy()[~same]).all()
    assert (one.scores[:, 0].numpy()[~same] > other.log_probability.numpy()[~same]).all()
    assert same.any()
    four = decoding.beam_search(step, state, start, beams=4, max_steps=7, end=0, constants={"bias": bias})
    assert (four.scores[:, 0].numpy() >= one.scores[:, 0].numpy() - 1e-12).all()


# CTC


def read(way: Any, blank: int) -> list[int]:
    merged = [c for c, _ in itertools.groupby(way)]
    return [c for c in merged if c != blank]


def brute_force(log_p: np.ndarray, blank: int) -> dict[tuple[int, ...], float]:
    """Log probability of every sequence of labels, from all ways."""
    totals: dict[tuple[int, ...], float] = {}
    for way in itertools.product(range(log_p.shape[1]), repeat=len(log_p)):
        labels = tuple(read(way, blank))
        totals[labels] = np.logaddexp(totals.get(labels, -np.inf), sum(log_p[t, c] for t, c in enumerate(way)))
    return totals


@pytest.mark.parametrize("blank", [0, 2])
def test_ctc_is_the_sum_over_all_ways(blank: int) -> None:
    logits = RNG.standard_normal((1, 4, 3))
    log_p = td.log_softmax(td.asarray(logits), axis=-1).numpy()[0]
    totals = brute_force(log_p, blank)
    for labels, total in totals.items():
        target = np.array([labels], np.int8).reshape(1, -1)
        np.testing.assert_allclose(td.losses.ctc(logits, target, blank=blank).item(), -total, rtol=1e-9)
    ranked = sorted(totals.items(), key=lambda item: -item[1])
    found = decoding.ctc_beam_search(logits, beams=1000, blank=blank)[0]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in ranked], rtol=1e-9)
    assert [tuple(labels) for labels, _ in found] == [labels for labels, _ in ranked]
    best = decoding.ctc_greedy(logits, blank=blank)
    assert nn.unpad_sequences(best)[0].tolist() == read(log_p.argmax(1), blank)


def ctc_case() -> tuple[np.ndarray, np.ndarray, list[int], list[int]]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((5, 12, 6)), rng.integers(1, 6, (5, 4)), [12, 9, 7, 1, 5], [4, 3, 0, 1, 2]


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_ctc_agrees_with_pytorch(reduction: str) -> None:
    torch = pytest.importorskip("torch")
    x, labels, n, m = ctc_case()
    theirs = torch.tensor(x, requires_grad=True)
    losses = torch.nn.functional.ctc_loss(
        theirs.log_softmax(-1).transpose(0, 1), torch.tensor(labels), torch.tensor(n), torch.tensor(m), reduction="none"
    )
    (losses.mean() if reduction == "mean" else losses.sum()).backward()
    expected = {"none": losses, "sum": losses.sum(), "mean": losses.mean()}[reduction].detach().numpy()

    def loss(x: td.Tensor) -> td.Tensor:
        return td.losses.ctc(x, labels, lengths=n, target_lengths=m, reduction=reduction)

    np.testing.assert_allclose(td.compile(loss)(td.asarray(x)).numpy(), expected, rtol=1e-9)
    g = td.compile(td.grad(lambda x: td.sum(loss(x))))(td.asarray(x))
    np.testing.assert_allclose(g.numpy(), theirs.grad.numpy(), rtol=1e-7, atol=1e-10)


def test_ctc_of_padded_sequences_is_that_of_each_alone_and_ignores_the_padding() -> None:
    x, labels, n, m = ctc_case()
    dirty, wrong = x.copy(), labels.copy()
    for k in range(5):
        dirty[k, n[k] :] = np.nan
        wrong[k, m[k] :] = 99
    mask = np.arange(12) < np.array(n)[:, None]
    together = td.losses.ctc(td.data.Padded(dirty, n, mask), wrong, target_lengths=m, reduction="none").numpy()
    alone = [td.losses.ctc(x[k : k + 1, : n[k]], labels[k : k + 1, : m[k]]).item() for k in range(5)]
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    g = td.grad(lambda x: td.losses.ctc(x, labels, lengths=n, target_lengths=m))(td.asarray(dirty)).numpy()
    assert np.isfinite(g).all()
    assert not g[~mask].any()
    greedy = decoding.ctc_greedy(x, lengths=n)
    for k, found in enumerate(nn.unpad_sequences(greedy)):
        assert found.tolist() == read(x[k, : n[k]].argmax(-1), 0)


def test_labels_that_do_not_fit_have_an_infinite_loss_and_no_gradient() -> None:
    x = td.asarray(RNG.standard_normal((2, 3, 4)))
    target, lengths = td.asarray([[1, 1], [2, 3]]), td.asarray([2, 3])  # 1 1 needs a blank between: three steps
    losses = td.losses.ctc(x, target, lengths=lengths, reduction="none")
    assert np.isposinf(losses[0].item())
    assert np.isfinite(losses[1].item())
    g = td.grad(lambda x: td.losses.ctc(x, target, lengths=lengths, mask=td.asarray([False, True])))(x).numpy()
    assert not g[0].any()
    assert g[1].any()
    assert np.isfinite(td.grad(lambda x: td.losses.ctc(x, target, lengths=lengths))(x).numpy()).all()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: decoding.greedy(Walk(3).step, (), td.asarray([[1]]), max_steps=3), ShapeError, r"integers \[batch\]"),
        (
            lambda: decoding.greedy(lambda s, t: (s, t), (), td.asarray([1]), max_steps=3),
            ShapeError,
            r"\[1, vocabulary\]",
        ),
        (lambda: decoding.greedy(Walk(3).step, (), td.asarray([1]), max_steps=0), ArgumentError, "at least 1"),
        (lambda: decoding.filter_logits([1.0], temperature=0.0), ArgumentError, "temperature must be > 0"),
        (lambda: decoding.filter_logits([1.0], top_k=0), ArgumentError, "top_k is the number"),
        (lambda: decoding.filter_logits([1.0], top_p=0.0), ArgumentError, "top_p is a probability"),
        (
            lambda: decoding.beam_search(Walk(3).step, (), td.asarray([1]), beams=0, max_steps=3, end=0),
            ArgumentError,
            "width of the search",
        ),
        (lambda: td.losses.ctc(td.ones((2, 3, 4)), td.asarray([1, 2])), ShapeError, r"labels \[batch, labels\]"),
        (lambda: td.losses.ctc(td.ones((2, 3, 4)), td.ones((2, 1))), DTypeError, "labels are integers"),
        (lambda: td.losses.ctc(td.ones((1, 3, 4)), td.asarray([[1]]), blank=4), ArgumentError, "none of the 4 classes"),
        (
            lambda: td.losses.ctc(td.ones((1, 3, 4)), td.asarray([[1]]), lengths=[1, 2]),
            ShapeError,
            r"lengths must be \[1\]",
        ),
        (lambda: decoding.ctc_greedy(td.ones((3, 4))), ShapeError, "CTC decoding takes"),
        (lambda: decoding.ctc_beam_search(td.ones((1, 3, 4)), beams=0), ArgumentError, "prefixes to keep"),
    ],
)
def test_mistakes_are_explained(make: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        make()
