"""Writes docs/how-it-works/accuracy.md: how far compiled mathematical functions are from the truth.

    python tools/make_math_table.py [points]

The truth is mpmath's, at 60 digits; the distance is counted in units in the last place of the true result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

import treadle as td
from treadle.ops import elementwise

TARGET = Path(__file__).resolve().parent.parent / "docs" / "how-it-works" / "accuracy.md"
Array = np.ndarray[Any, Any]

TRUTH: dict[str, Callable[[Any], Any]] = {
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "sqrt": mpmath.sqrt,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "asin": mpmath.asin,
    "acos": mpmath.acos,
    "atan": mpmath.atan,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "asinh": mpmath.asinh,
    "acosh": mpmath.acosh,
    "atanh": mpmath.atanh,
    "erf": mpmath.erf,
    "erfinv": mpmath.erfinv,
}
DOMAIN = {
    "log": (0.0, np.inf),
    "sqrt": (0.0, np.inf),
    "log1p": (-1.0, np.inf),
    "acosh": (1.0, np.inf),
    **dict.fromkeys(("asin", "acos", "atanh", "erfinv"), (-1.0, 1.0)),
}


def points(name: str, dtype: Any, count: int) -> Array:
    """Arguments over a function's whole range: of every size, dense where results are neither 0 nor 1 nor infinite."""
    rng = np.random.default_rng(7)
    largest = 37 if dtype == np.float32 else 300
    size = 10.0 ** rng.uniform(-largest, largest, count) * rng.choice([-1, 1], count)
    parts = [size, rng.uniform(-1, 1, count), rng.uniform(-10, 10, count), rng.uniform(-90, 90, count // 2)]
    parts += [1 + rng.normal(0, 1e-2, count // 4), 1 - 10.0 ** rng.uniform(-7, -1, count // 4)]
    parts += [rng.uniform(-740, 710, count // 4), np.arange(-20, 20) * (np.pi / 2)]
    with np.errstate(all="ignore"):
        x = np.unique(np.concatenate(parts).astype(dtype))
    low, high = DOMAIN.get(name, (-np.inf, np.inf))
    return x[(x > low) & (x < high) & np.isfinite(x)]


def distance(got: float, true: Any, dtype: Any) -> float:
    """Units in the last place between a result and the truth."""
    info = np.finfo(dtype)
    if abs(true) > float(info.max):
        return 0.0 if np.isinf(got) else float("inf")
    if not np.isfinite(got):
        return float("inf")
    exponent = max(int(mpmath.floor(mpmath.log(abs(true), 2))), info.minexp) if true else info.minexp
    unit = mpmath.mpf(2) ** (exponent - info.nmant)
    return float(abs(mpmath.mpf(float(got)) - true) / unit)


def worst(name: str, dtype: Any, count: int) -> tuple[float, float]:
    """(largest distance, where) of a compiled function."""
    x = points(name, dtype, count)
    got = td.compile(lambda t: getattr(elementwise, name)(t))(td.asarray(x)).numpy()
    found = (0.0, 0.0)
    with mpmath.workdps(60):
        for a, y in zip(x, got, strict=True):
            d = distance(y, TRUTH[name](mpmath.mpf(float(a))), dtype)
            if d > found[0]:
                found = d, float(a)
    return found


HEAD = """# How exact compiled functions are

Made by `python tools/make_math_table.py`: the largest distance from the truth (mpmath, 60 digits) that was found among
about {count} arguments over each function's whole range, in units in the last place of the result, and where. A
correctly rounded result is at most 0.5 away; treadle's tests hold 2. At ±0, ±infinity, NaN and subnormal numbers the
tests compare with NumPy.

| function | float32 | at | float64 | at |
|---|---|---|---|---|
"""


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rows = []
    for name in TRUTH:
        (single, at_single), (double, at_double) = (worst(name, d, count) for d in (np.float32, np.float64))
        rows.append(f"| `{name}` | {single:.2f} | {at_single:.9g} | {double:.2f} | {at_double:.17g} |")
    TARGET.write_text(HEAD.format(count=4 * count) + "\n".join(rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()
