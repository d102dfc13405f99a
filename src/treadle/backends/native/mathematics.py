"""Definitions of the mathematical functions that kernels call."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.backends.native.assembly import Value, suffix, suffix_of_math
from treadle.backends.native.target import Target

_TEMP = {"exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "asin", "acos", "atan", "atan2", "power"}
NAMES = frozenset(_TEMP)


def definitions(needed: Sequence[tuple[str, str, int]], target: Target) -> str:
    """LLVM's text of functions, each (name, element type, lanes)."""
    out, decl = [], {}
    for name, kind, lanes in needed:
        n = 2 if name in ("atan2", "power") else 1
        t = Value("", kind, lanes).type
        intr = f"llvm.{'pow' if name == 'power' else name}.{suffix(kind, lanes)}"
        decl[f"declare {t} @{intr}({', '.join([t] * n)})"] = 1
        ps = ", ".join(f"{t} %a{i}" for i in range(n))
        out.append(
            f'define internal {t} @"td.{name}.{suffix_of_math(kind, lanes)}"({ps}) alwaysinline {{\n'
            f"  %r = call {t} @{intr}({ps})\n  ret {t} %r\n}}"
        )
    return "\n".join([*decl, *out])
