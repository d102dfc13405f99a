"""The functions that kernels call, each defined once in a module, for the lanes that it is needed for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from treadle.backends.native.assembly import Function, suffix_of_math
from treadle.backends.native.mathematics import error_function, exponential, logarithm, trigonometric
from treadle.backends.native.mathematics.arithmetic import Numbers
from treadle.backends.native.mathematics.library import FUNCTIONS, large_angles, library
from treadle.backends.native.target import Target

_OWN: dict[str, Callable[..., Any]] = {
    "exp": exponential.exp,
    "expm1": exponential.expm1,
    "sigmoid": exponential.sigmoid,
    "tanh": exponential.tanh,
    "sinh": exponential.sinh,
    "cosh": exponential.cosh,
    "log": logarithm.log,
    "log1p": logarithm.log1p,
    "logaddexp": logarithm.logaddexp,
    "erf": error_function.erf,
    "erfinv": error_function.erfinv,
    "sin": trigonometric.sin,
    "cos": trigonometric.cos,
}
_BINARY = ("atan2", "power", "logaddexp")

NAMES = frozenset([*_OWN, *FUNCTIONS])


def definitions(needed: Sequence[tuple[str, str, int]], target: Target) -> tuple[list[str], dict[str, None]]:
    """LLVM's text of functions, each (name, element type, lanes), and what they call in turn."""
    texts = []
    declared: dict[str, None] = {}
    for name, kind, lanes in needed:
        made = define(name, kind, lanes, target)
        texts.append(made.text())
        declared |= made.declared
    return texts, declared


def define(name: str, kind: str, lanes: int, target: Target) -> Function:
    """One function on scalars (lanes 0) or vectors."""
    of = f"<{lanes} x {kind}>" if lanes else kind
    count = 2 if name in _BINARY else 1
    f = Function(
        f'"td.{name}.{suffix_of_math(kind, lanes)}"',
        [(of, f"x{k}") for k in range(count)],
        attributes="alwaysinline nounwind",
        result=of,
        linkage="internal ",
    )
    args = [type(v)(v.text, kind, lanes) for v in f.parameters]
    n = Numbers(f, kind, lanes, target.fma, target.is_x86 and target.vector == 64)
    made = _OWN[name](n, *args) if name in _OWN else library(n, name, *args)
    if name in ("sin", "cos"):
        made = large_angles(n, name, args[0], made, trigonometric.LIMIT)
    f.do(f"ret {made}")
    return f
