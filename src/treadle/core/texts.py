"""Texts are no tensors: what a model does with them runs in Python, in front of its graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.padded import Padded
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor


def is_texts(x: Any) -> bool:
    """Whether it is a text, or a list or NumPy array of texts, nested or not."""
    if isinstance(x, np.ndarray) and x.dtype != object:
        return x.dtype.kind in "US"
    if isinstance(x, list | np.ndarray):
        return len(x) > 0 and is_texts(x.flat[0] if isinstance(x, np.ndarray) else x[0])
    return isinstance(x, str | bytes)


def holds_texts(tree: Any) -> bool:
    """Whether a leaf of a tree is texts."""
    if isinstance(tree, Tensor):
        return False
    return any(map(is_texts, trees.flatten(tree, is_texts)[0]))


def prepared(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs of a call of a module, after its `prepare` if they hold texts; as they are for other callables."""
    prepare = getattr(module, "prepare", None) if isinstance(module, Stateful) else None
    if prepare is None or not any(map(holds_texts, inputs)):
        return inputs
    out = prepare(*inputs)
    return out if isinstance(out, tuple) and not isinstance(out, Padded) else (out,)
