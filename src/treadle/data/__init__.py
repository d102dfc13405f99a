"""Data pipelines: from files and arrays to batches, lazily, in a seeded order, resumable at any element."""

from __future__ import annotations

from treadle.data._padding import Padded
from treadle.data.dataset import Dataset, IndexedDataset, concatenate, interleave, mix
from treadle.data.dataset import zip_datasets as zip
from treadle.data.media import from_audio, from_images
from treadle.data.records import from_jsonl, from_text, from_tfrecord, from_webdataset
from treadle.data.sources import from_arrays, from_generator, from_items
from treadle.data.stored import from_hdf5, from_numpy_files
from treadle.data.tables import from_csv, from_dataframe, from_parquet, from_sql
from treadle.data.writers import write_parquet, write_tar, write_tfrecord

__all__ = [
    "Dataset",
    "IndexedDataset",
    "Padded",
    "concatenate",
    "from_arrays",
    "from_audio",
    "from_csv",
    "from_dataframe",
    "from_generator",
    "from_hdf5",
    "from_images",
    "from_items",
    "from_jsonl",
    "from_numpy_files",
    "from_parquet",
    "from_sql",
    "from_text",
    "from_tfrecord",
    "from_webdataset",
    "interleave",
    "mix",
    "write_parquet",
    "write_tar",
    "write_tfrecord",
    "zip",
]
