"""Neural networks: modules, layers, losses."""

from __future__ import annotations

from treadle.nn import losses

__all__ = ["losses"]
