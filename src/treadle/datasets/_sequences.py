"""Small real sequences that come with treadle: words and how they are spoken, sentences of 13 languages, bikes."""

from __future__ import annotations

import csv
import gzip
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from treadle.core.errors import DataError

Array = np.ndarray[Any, Any]


class Pronunciations(NamedTuple):
    """Word pairs: how they are written, and how they are spoken.

    Attributes:
        train, test: `(letters, phonemes)`: a word as text, its sounds as a tuple of ARPAbet symbols.
        source: where they come from, and their licence.
    """

    train: list[tuple[str, tuple[str, ...]]]
    test: list[tuple[str, tuple[str, ...]]]
    source: str


class Languages(NamedTuple):
    """Sentences and their languages.

    Attributes:
        train, test: `(text, class)`, the class being a position in `classes`.
        classes: ISO 639-1 codes.
        source: where they come from, and their licence.
    """

    train: list[tuple[str, int]]
    test: list[tuple[str, int]]
    classes: tuple[str, ...]
    source: str


class BikeShare(NamedTuple):
    """A year, hour by hour.

    Attributes:
        bikers: float32 `[8760]`, how many bikes were rented in the hour; where nothing is recorded (115 hours), 0.
        recorded: bool `[8760]`.
        temperature, humidity: float32 `[8760]`, scaled to 0..1; where nothing is recorded, the last known.
        workingday: bool `[8760]`.
        source: where they come from, and their licence.
    """

    bikers: Array
    recorded: Array
    temperature: Array
    humidity: Array
    workingday: Array
    source: str


def pronunciations() -> Pronunciations:
    """10,000 English words of 3 to 10 letters with their pronunciation, from the CMU Pronouncing Dictionary (BSD-2).

    Chosen and ordered at random once and for all; 9,000 to train on, 1,000 to test on. Marks of stress are left out.

    >>> data = td.datasets.pronunciations()
    >>> data.train[1], len(data.train), len(data.test)
    (('artful', ('AA', 'R', 'T', 'F', 'AH', 'L')), 9000, 1000)
    """
    pairs = [(w, tuple(p.split(" "))) for w, p in (line.split("\t") for line in _lines("pronunciations.txt.gz"))]
    source = "CMU Pronouncing Dictionary (BSD-2-Clause), 10,000 entries without stress marks"
    return Pronunciations(pairs[:9000], pairs[9000:], source)


def languages() -> Languages:
    """7,208 short texts in 13 European and Asian languages written in Latin letters: Django's translated messages
    (BSD-3).

    Placeholders are cut out; a text that occurs in two languages is left out. The order is random once and for all:
    6,000 to train on, 1,208 to test on. Both parts are messages of the same program.

    >>> data = td.datasets.languages()
    >>> data.train[1], data.classes[data.train[1][1]]
    (('Si prega di correggere i dati duplicati qui sotto.', 7), 'it')
    """
    rows = [line.split("\t") for line in _lines("languages.txt.gz")]
    classes = tuple(sorted({code for code, _ in rows}))
    pairs = [(text, classes.index(code)) for code, text in rows]
    return Languages(pairs[:6000], pairs[6000:], classes, "messages of Django 5.2's translations (BSD-3-Clause)")


def bikeshare() -> BikeShare:
    """Bikes rented in Washington, D.C., in each hour of 2011: the UCI collection "Bike Sharing" (CC BY 4.0).

    Fanaee-T and Gama, Event labeling combining ensemble detectors and background knowledge (2014), in the form in
    which the package ISLP carries it.

    >>> data = td.datasets.bikeshare()
    >>> data.bikers.shape, data.bikers[:3].tolist(), int(data.recorded.sum())
    ((8760,), [16.0, 40.0, 32.0], 8645)
    """
    hours = 365 * 24
    columns = {name: np.full(hours, np.nan, np.float32) for name in ("bikers", "temperature", "humidity", "workingday")}
    for row in csv.DictReader(_lines("bikeshare.csv.gz")):
        at = (int(row["day"]) - 1) * 24 + int(row["hour"])
        for name, column in columns.items():
            column[at] = float(row[name])
    recorded = ~np.isnan(columns["bikers"])
    last = np.maximum.accumulate(np.where(recorded, np.arange(hours), 0))
    return BikeShare(
        np.where(recorded, columns["bikers"], 0).astype(np.float32),
        recorded,
        columns["temperature"][last],
        columns["humidity"][last],
        columns["workingday"][last] > 0,
        "UCI Bike Sharing (CC BY 4.0), 2011, from the package ISLP",
    )


def _lines(name: str) -> list[str]:
    with (
        resources.files("treadle.datasets").joinpath(name).open("rb") as file,
        gzip.open(file, "rt", encoding="utf-8") as text,
    ):
        lines = text.read(2_000_000).splitlines()  # the files have a quarter of a million characters
    if not lines:
        raise DataError(f"{name} is empty; install treadle again")
    return lines
