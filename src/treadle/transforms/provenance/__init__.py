"""Where a NaN or an infinity comes from: the first node that made it, and how its inputs came to be."""

from __future__ import annotations

from treadle.transforms.provenance.guard import FiniteGuard, are_finite, error_of, with_finite_flag

__all__ = ["FiniteGuard", "are_finite", "error_of", "with_finite_flag"]
