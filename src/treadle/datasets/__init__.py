"""Small real data sets for examples and tests: nothing is fetched at run time."""

from treadle.datasets._digits import digits
from treadle.datasets._mnist import mnist10k
from treadle.datasets._sequences import BikeShare, Languages, Pronunciations, bikeshare, languages, pronunciations
from treadle.datasets._split import Dataset

__all__ = [
    "BikeShare",
    "Dataset",
    "Languages",
    "Pronunciations",
    "bikeshare",
    "digits",
    "languages",
    "mnist10k",
    "pronunciations",
]
