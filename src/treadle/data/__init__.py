"""Data pipelines: from files and arrays to batches, lazily, in a seeded order, resumable at any element."""

from __future__ import annotations

from treadle.data._padding import Padded
from treadle.data.dataset import Dataset, IndexedDataset, concatenate, interleave, mix
from treadle.data.dataset import zip_datasets as zip
from treadle.data.sources import from_arrays, from_generator, from_items

__all__ = [
    "Dataset",
    "IndexedDataset",
    "Padded",
    "concatenate",
    "from_arrays",
    "from_generator",
    "from_items",
    "interleave",
    "mix",
    "zip",
]
