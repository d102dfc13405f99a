"""For tests: trial inputs of primitives, comparisons, and `assert_compiles`."""

from treadle.testing.compiles import assert_compiles
from treadle.testing.samples import Case, ErrorCase, Samples

__all__ = ["Case", "ErrorCase", "Samples", "assert_compiles"]
