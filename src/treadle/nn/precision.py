"""`nn.autocast`: products of layers in a 16-bit dtype, while parameters, sums and losses stay float32."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from treadle import array as xp
from treadle.core import registry
from treadle.core.dtypes import DType, as_dtype, bfloat16, float16, float32
from treadle.core.errors import ArgumentError
from treadle.core.source import place_text
from treadle.core.tensor import Tensor


class _Open(threading.local):
    """The dtype of the innermost `autocast` in this thread."""

    def __init__(self) -> None:
        self.dtype: DType | None = None


_open = _Open()


def compute_dtype() -> DType | None:
    """The dtype that float32 layers multiply in, or None for their own."""
    return _open.dtype


registry.ambient.append(compute_dtype)  # a compiled function is traced once for each


def check_precision(dtype: Any) -> DType | None:
    """bfloat16 or float16, or None for float32.

    Raises:
        ArgumentError: another dtype.
    """
    wanted = as_dtype(dtype)
    if wanted not in (bfloat16, float16, float32):
        raise ArgumentError(f"layers compute in bfloat16, float16 or float32; got {wanted}")
    return None if wanted is float32 else wanted


@contextmanager
def autocast(dtype: Any = "bfloat16") -> Iterator[None]:
    """Inside, layers with float32 parameters multiply in a 16-bit dtype; in this thread.

    Dense layers and convolutions round their input and kernel to bfloat16 and give bfloat16; the parameters, and so
    their gradients and the optimiser, stay float32. Batch, layer, RMS and group normalisation compute in float32 and
    give what they got; softmax computes in float32. Everything else follows from the dtypes: `bfloat16 + float32` is
    float32. Recurrent layers stay float32. `td.fit(..., precision="mixed_bfloat16")` is this around the model's call.

    Args:
        dtype: "bfloat16"; "float16", which has three more bits, but reaches only from 6e-8 to 65504: gradients fall out
            of that unless the loss is scaled, `td.optim.LossScale`; "float32" switches it off inside.

    Raises:
        ArgumentError: another dtype.

    Source: Micikevicius et al., Mixed precision training (ICLR 2018); Kalamkar et al., A study of bfloat16 for deep
    learning training, arXiv 1905.12322.

    >>> layer = td.nn.Dense(2)
    >>> with td.nn.autocast("bfloat16"):
    ...     y = layer(td.ones((1, 3)))
    >>> y.dtype, layer.kernel.dtype, layer(td.ones((1, 3))).dtype
    (treadle.bfloat16, treadle.float32, treadle.float32)
    """
    try:
        wanted = check_precision(dtype)
    except ArgumentError as e:
        raise e.at(place_text()) from None
    before = _open.dtype
    _open.dtype = wanted
    try:
        yield
    finally:
        _open.dtype = before


def lowered(x: Tensor) -> Tensor:
    """A factor of a product: float32 as `autocast` asks for; anything else as it is."""
    dtype = _open.dtype
    return x if dtype is None or x.dtype is not float32 else x.astype(dtype)


def plus(y: Tensor, bias: Tensor) -> Tensor:
    """`y + bias`, in the dtype of a product that was lowered; the sum, and so the bias's gradient, made in float32."""
    if _open.dtype is None or y.dtype is not _open.dtype:
        return y + bias
    return (y.astype(float32) + bias).astype(y.dtype)


def result_type(x: Tensor, *parameters: Any) -> DType:
    """The dtype of a normalised x: that of x and the parameters; inside of `autocast` that of x."""
    return xp.result_type(x, *parameters) if _open.dtype is None or x.dtype is not _open.dtype else x.dtype
