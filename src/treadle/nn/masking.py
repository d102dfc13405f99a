"""Which elements of padded sequences are real: from a mask or from lengths."""

from __future__ import annotations

from treadle import array as xp
from treadle.core.dims import same_size
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor


def sequence_mask(x: Tensor, mask: Tensor | None, lengths: Tensor | None, *, time_axis: int) -> Tensor | None:
    """A bool `[batch, time]` of what is real in x, or None when all is.

    Args:
        mask: bool `[batch, time]`.
        lengths: integers `[batch]`, 0 allowed: the first `lengths[n]` elements of sequence n are real.

    Raises:
        ArgumentError: both are given.
        DTypeError, ShapeError: another dtype or shape.
    """
    if mask is not None and lengths is not None:
        raise ArgumentError("give a mask or lengths, not both")
    wanted = (x.shape[0], x.shape[time_axis])
    if mask is not None:
        if not mask.dtype.is_bool:
            raise DTypeError(
                f"the mask is bool, True for what is real, and got {mask.spec}; write mask.astype(td.bool)"
            )
        _check("the mask [batch, time]", mask, wanted, x)
        return mask
    if lengths is None:
        return None
    if not lengths.dtype.is_integer:
        raise DTypeError(f"lengths are integers, and got {lengths.spec}; write lengths.astype(td.int32)")
    _check("lengths [batch]", lengths, wanted[:1], x)
    return xp.arange(wanted[1], dtype=lengths.dtype) < lengths[:, None]


def _check(what: str, given: Tensor, wanted: tuple[object, ...], x: Tensor) -> None:
    if given.ndim != len(wanted) or not all(same_size(a, b) for a, b in zip(given.shape, wanted, strict=True)):  # type: ignore[arg-type]
        raise ShapeError(
            f"{what} must be {show_shape(wanted)} for x {show_shape(x.shape)}, and is {show_shape(given.shape)}"  # type: ignore[arg-type]
        )
