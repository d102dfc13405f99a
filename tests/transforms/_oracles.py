"""Oracles for derivatives: finite differences in float64, and a loop in place of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import treadle as td

Array = np.ndarray[Any, Any]


def t64(x: Any) -> td.Tensor:
    return td.asarray(np.asarray(x, np.float64))


def directional(f: Callable[[Array], Any], x: Array, v: Array) -> Array:
    """The derivative of f at x along v: central differences at h and h/2, extrapolated (Richardson)."""

    def central(h: float) -> Array:
        up, down = (np.asarray(f(x + s * h * v), np.float64) for s in (1, -1))
        return (up - down) / (2 * h)

    h = 1e-3
    return (4 * central(h / 2) - central(h)) / 3


def check_grad(f: Callable[[td.Tensor], td.Tensor], x: Any, order: int = 2, rtol: float = 1e-6) -> None:
    """Gradient of a scalar function against differences; then, recursively, of its gradient along a direction."""
    rng = np.random.default_rng(order)
    a = np.asarray(x, np.float64)
    v = rng.standard_normal(a.shape)
    along = float((td.grad(f)(t64(a)) * t64(v)).sum())
    forward = td.jvp(f, [t64(a)], [t64(v)])[1].item()
    expected = directional(lambda b: f(t64(b)).numpy(), a, v)
    np.testing.assert_allclose(along, expected, rtol=rtol, atol=1e-7)
    np.testing.assert_allclose(forward, along, rtol=1e-9, atol=1e-12)
    if order > 1:
        w = t64(rng.standard_normal(a.shape))
        check_grad(lambda y: (td.grad(f)(y) * w).sum(), a, order - 1, rtol)
