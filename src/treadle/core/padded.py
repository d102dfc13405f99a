"""`Padded`: sequences of different lengths as one array."""

from __future__ import annotations

from typing import Any, NamedTuple


class Padded(NamedTuple):
    """Sequences of different lengths as one array. A tree, and a tuple: `model(*padded)`.

    Attributes:
        values: `[batch, time, …]`, the padding behind each sequence's end.
        lengths: int32 `[batch]`.
        mask: bool `[batch, time]`, True for what is real.
    """

    values: Any
    lengths: Any
    mask: Any
