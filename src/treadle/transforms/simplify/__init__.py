"""`simplify`: the same function with fewer nodes, and the same bits.

Each pass is a function Graph → Graph with its rewrite in its docstring; each result prints. Only rewrites that keep
every bit are here: what reorders sums or trades one rounding for another belongs to a backend.
"""

from treadle.transforms.simplify.passes import PASSES, simplify

__all__ = ["PASSES", "simplify"]
