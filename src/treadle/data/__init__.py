"""Data pipelines: from files and arrays to batches, lazily, in a seeded order, resumable at any element."""

from __future__ import annotations

import importlib as _importlib
import typing as _typing

from treadle.core.padded import Padded
from treadle.data.dataset import Dataset, IndexedDataset
from treadle.data.media import from_audio, from_images
from treadle.data.merging import concatenate, interleave, mix
from treadle.data.merging import zip_datasets as zip
from treadle.data.records import from_jsonl, from_text, from_tfrecord, from_webdataset
from treadle.data.segments import Segment, SegmentedSequences
from treadle.data.sources import from_arrays, from_generator, from_items
from treadle.data.stored import from_hdf5, from_numpy_files
from treadle.data.tables import from_csv, from_dataframe, from_parquet, from_sql
from treadle.data.writers import write_parquet, write_tar, write_tfrecord

if _typing.TYPE_CHECKING:
    from treadle.data.numeric import Discretize, OneHot, Quantiles, Standardize
    from treadle.data.pictures import Rescale, Resize
    from treadle.data.texts import Hashing, Vocabulary
    from treadle.data.tokenizing import BytePairs, TextVectorization
    from treadle.data.vectors import WordVectors, read_vectors

# Layers open on first use: worker processes read data and need none of them.
_LAYERS = {
    "BytePairs": "tokenizing",
    "Discretize": "numeric",
    "Hashing": "texts",
    "OneHot": "numeric",
    "Quantiles": "numeric",
    "Rescale": "pictures",
    "Resize": "pictures",
    "Standardize": "numeric",
    "TextVectorization": "tokenizing",
    "Vocabulary": "texts",
    "WordVectors": "vectors",
    "read_vectors": "vectors",
}


def __getattr__(name: str) -> _typing.Any:
    if name not in _LAYERS:
        raise AttributeError(f"treadle.data has no {name!r}")
    value = globals()[name] = getattr(_importlib.import_module(f"treadle.data.{_LAYERS[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAYERS})


__all__ = [
    "BytePairs",
    "Dataset",
    "Discretize",
    "Hashing",
    "IndexedDataset",
    "OneHot",
    "Padded",
    "Quantiles",
    "Rescale",
    "Resize",
    "Segment",
    "SegmentedSequences",
    "Standardize",
    "TextVectorization",
    "Vocabulary",
    "WordVectors",
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
    "read_vectors",
    "write_parquet",
    "write_tar",
    "write_tfrecord",
    "zip",
]
