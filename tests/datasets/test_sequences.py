"""The sequences that come with treadle: sizes, values, and that what is trained on and tested on differ."""

from __future__ import annotations

import numpy as np

import treadle as td


def test_pronunciations() -> None:
    data = td.datasets.pronunciations()
    assert (len(data.train), len(data.test)) == (9000, 1000)
    pairs = data.train + data.test
    assert len(set(pairs)) == len(pairs)
    assert all(word.isalpha() and 3 <= len(word) <= 10 and phonemes for word, phonemes in pairs)
    assert len({p for _, phonemes in pairs for p in phonemes}) == 39  # ARPAbet without stress
    assert "BSD" in data.source


def test_languages() -> None:
    data = td.datasets.languages()
    assert (len(data.train), len(data.test), len(data.classes)) == (6000, 1208, 13)
    texts = [text for text, _ in data.train + data.test]
    assert len(set(texts)) == len(texts)
    assert all(8 <= len(text) <= 120 for text in texts)
    counts = np.bincount([y for _, y in data.train])
    assert counts.min() > 380
    assert "BSD" in data.source


def test_bikeshare() -> None:
    data = td.datasets.bikeshare()
    assert {len(column) for column in data[:5]} == {8760}
    assert data.recorded.sum() == 8645
    assert not data.bikers[~data.recorded].any()
    by_hour = data.bikers.reshape(365, 24).mean(0)
    assert by_hour[4] < 10 < 300 < by_hour[17]  # people sleep at four and go home at five
    for column in (data.temperature, data.humidity):
        assert 0 <= column.min() < column.max() <= 1
    assert abs(data.workingday.mean() - 250 / 365) < 0.02
