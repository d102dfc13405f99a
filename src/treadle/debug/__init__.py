"""Seeing inside of code that runs as a graph: printing, checks, probes, and what went wrong where."""

from __future__ import annotations

from treadle.core.eager import eager
from treadle.debug.compare import compare
from treadle.debug.describe import summary
from treadle.debug.effects import check, on_gradient, print, probe
from treadle.debug.messages import reset_counts

__all__ = ["check", "compare", "eager", "on_gradient", "print", "probe", "reset_counts", "summary"]
