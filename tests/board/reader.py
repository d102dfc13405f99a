"""TensorBoard's own loader, as oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray


def load(folder: Path) -> EventAccumulator:
    loaded = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    loaded.Reload()
    return loaded


def tensors(folder: Path, tag: str) -> list[tuple[int, Any]]:
    """(step, value) as TensorBoard would show them."""
    return [(e.step, make_ndarray(e.tensor_proto)) for e in load(folder).Tensors(tag)]


def plugin(folder: Path, tag: str) -> str:
    return load(folder).SummaryMetadata(tag).plugin_data.plugin_name


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(step, float(np.ravel(value)[0])) for step, value in tensors(folder, tag)]
