"""Mathematical functions as LLVM: straight-line polynomials that work on any number of lanes, on any target."""

from treadle.backends.native.mathematics.definitions import NAMES, definitions

__all__ = ["NAMES", "definitions"]
