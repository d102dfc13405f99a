"""Which elements count, how much, and what becomes of them: weights, masks, reductions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from treadle import array as xp
from treadle.array.convert import as_tensor, cast
from treadle.core.dims import Shape, same_size
from treadle.core.dtypes import DType
from treadle.core.errors import ArgumentError, DTypeError, ShapeError
from treadle.core.spec import show_shape, size_of
from treadle.core.tensor import Tensor

REDUCTIONS = ("mean", "sum", "none")


def times(amount: Tensor, x: Tensor) -> Tensor:
    """`amount * x`, but 0 where there is nothing of an infinite (or undefined) x."""
    return amount * xp.where(xp.logical_and(amount == 0, xp.logical_not(xp.isfinite(x))), 0.0, x)


@dataclass(frozen=True)
class Weighting:
    """How much each element of a tensor of losses counts. Both tensors broadcast to its shape."""

    shape: Shape
    weight: Tensor | None  # None: all 1
    present: Tensor | None  # bool; None: all

    def without(self, ignored: Tensor) -> Weighting:
        """The same, less what is ignored."""
        kept = xp.logical_not(ignored)
        return Weighting(self.shape, self.weight, kept if self.present is None else xp.logical_and(self.present, kept))

    def where_present(self, x: Tensor, other: float) -> Tensor:
        """`x` where an element counts, else a number that does no harm."""
        return x if self.present is None else xp.where(self.present, x, other)

    def total_weight(self, dtype: DType) -> Tensor:
        """The number of elements, or the sum of their weights."""
        if self.weight is not None:
            return xp.sum(xp.broadcast_to(self.where_present(self.weight, 0.0), self.shape))
        if self.present is not None:
            return xp.sum(xp.broadcast_to(self.present, self.shape).astype(dtype))
        return xp.asarray(size_of(self.shape), dtype=dtype)

    def reduce(self, losses: Tensor, reduction: str) -> Tensor:
        """The weighted losses, their sum, or their mean.

        Raises:
            ArgumentError: there is no such reduction.
        """
        if reduction not in REDUCTIONS:
            raise ArgumentError(f"reduction is one of {', '.join(REDUCTIONS)}; got {reduction!r}")
        losses = self.where_present(losses, 0.0)
        if self.weight is not None:
            losses = times(self.weight, losses)
        if reduction == "none":
            return losses
        total = xp.sum(losses)
        if reduction == "sum":
            return total
        n = size_of(self.shape)
        if self.weight is None and self.present is None and isinstance(n, int):
            return total / max(n, 1)
        count = self.total_weight(losses.dtype)
        return total / xp.where(count == 0, 1.0, count)  # nothing left: 0 / 1


def weighting(losses: Shape, dtype: DType, weights: Any, mask: Any) -> Weighting:
    """Weights and mask for losses of a shape and dtype.

    Raises:
        ShapeError: one is not aligned with the losses.
        DTypeError: weights that are bool, or a mask that is not.
    """
    weight = present = None
    if weights is not None:
        w = as_tensor(weights, "weights", dtype)
        if w.dtype.is_bool:
            raise DTypeError("weights are bool: pass them as mask=, or weights.astype(td.float32)")
        weight = _aligned("weights", cast(w, dtype), losses)
    if mask is not None:
        m = as_tensor(mask, "mask")
        if not m.dtype.is_bool:
            raise DTypeError(f"the mask is {m.dtype}, and must be bool: mask.astype(td.bool), or pass it as weights=")
        present = _aligned("mask", m, losses)
    return Weighting(losses, weight, present)


def weigh(losses: Tensor, weights: Any, mask: Any, reduction: str) -> Tensor:
    """`Weighting.reduce` for losses that nothing else depends on."""
    return weighting(losses.shape, losses.dtype, weights, mask).reduce(losses, reduction)


def _aligned(what: str, x: Tensor, losses: Shape) -> Tensor:
    """With axes of size 1 behind, so that it broadcasts against the losses from the first axis on."""
    spare = len(losses) - x.ndim
    say = f"{what} {show_shape(x.shape)} and losses {show_shape(losses)}"
    if spare < 0:
        column = isinstance(x.shape[-1], int) and x.shape[-1] == 1
        fix = f"Write {what}[..., 0]" if column else f"{what} needs at most {len(losses)} axes"
        raise ShapeError(f"{say}: there are more axes of {what} than of losses. {fix}.")
    for axis, (n, m) in enumerate(zip(x.shape, losses, strict=False)):
        if not (isinstance(n, int) and n == 1) and not same_size(n, m):
            raise ShapeError(
                f"{say} differ on axis {axis}: {n} and {m}. They are aligned at the first axis: one for each sample "
                f"has the shape {show_shape(losses[:1])}, one for each loss {show_shape(losses)}."
            )
    return x.reshape((*x.shape, *(1,) * spare)) if spare else x
