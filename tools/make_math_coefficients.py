"""Writes src/treadle/backends/native/mathematics/coefficients.py: polynomials that no formula gives.

    python tools/make_math_coefficients.py

Each is the interpolation of a function at Chebyshev points, in arithmetic far beyond float64 (mpmath), as powers of t.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpmath import chop, cos, erfc, exp, lu_solve, matrix, mp, mpf, pi, sqrt, tanh

TARGET = Path(__file__).parents[1] / "src/treadle/backends/native/mathematics/coefficients.py"
HEAD = '"""Made by tools/make_math_coefficients.py."""\n\n# fmt: off\n'


def interpolation(function: Callable[[Any], Any], low: Any, high: Any, degree: int) -> list[float]:
    """Coefficients of the polynomial that meets `function` at the Chebyshev points of [low, high]."""
    points = [(low + high) / 2 + (high - low) / 2 * cos(pi * (2 * k + 1) / (2 * degree + 2)) for k in range(degree + 1)]
    powers = matrix(degree + 1, degree + 1)
    values = matrix(degree + 1, 1)
    for i, t in enumerate(points):
        values[i] = function(t)
        for j in range(degree + 1):
            powers[i, j] = t**j
    return [float(chop(c)) for c in lu_solve(powers, values)]


def erfcx(centre: Any) -> Callable[[Any], Any]:
    """exp(x²) erfc(x) as a function of t = (x - centre) / (x + centre)."""

    def function(t: Any) -> Any:
        x = centre * (1 + t) / (1 - t)
        return exp(x * x) * erfc(x)

    return function


def tanh_tail(z: Any) -> Any:
    """(tanh(x) / x - 1) / x² as a function of z = x²."""
    return (tanh(sqrt(z)) / sqrt(z) - 1) / z


def main() -> None:
    mp.dps = 60
    lines = [HEAD]
    for name, centre, high, degree in (("float", 2, 4, 11), ("double", 2, 6, 22)):
        c = mpf(centre)
        made = interpolation(erfcx(c), (1 - c) / (1 + c), (high - c) / (high + c), degree)
        lines.append(f"# exp(x²) erfc(x) for 1 ≤ x ≤ {high} in t = (x - {centre}) / (x + {centre})\n")
        lines.append(f"ERFCX_{name.upper()} = (\n" + "".join(f"    {c!r},\n" for c in made) + ")\n")
    for name, degree in (("float", 5), ("double", 12)):
        made = interpolation(tanh_tail, mpf(0), mpf("0.36"), degree)
        lines.append("# (tanh(x) / x - 1) / x² for |x| ≤ 0.6 in x²\n")
        lines.append(f"TANH_{name.upper()} = (\n" + "".join(f"    {c!r},\n" for c in made) + ")\n")
    TARGET.write_text("".join(lines))


main()
