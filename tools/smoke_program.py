"""What a fresh installation of the wheel must be able to do; `smoke.py` runs this where nothing else is installed."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import numpy as np

import treadle as td


def main() -> None:
    home = Path(td.__file__).resolve()
    assert Path(sys.prefix).resolve() in home.parents, f"treadle was imported from {home}, not from this environment"
    assert td.__version__ == importlib.metadata.version("treadle")
    assert (home.parent / "py.typed").is_file(), "py.typed is missing: type checkers would ignore treadle's annotations"

    # d/dx sum(x³) = 3 x², eager and compiled.
    gradient = td.grad(lambda x: td.sum(x * x * x))
    x = td.asarray([1.0, -2.0, 0.5])
    np.testing.assert_array_equal(np.asarray(gradient(x)), [3.0, 12.0, 0.75])
    np.testing.assert_array_equal(np.asarray(td.compile(gradient)(x)), [3.0, 12.0, 0.75])

    data = td.datasets.digits()
    assert data is not None
    print(f"treadle {td.__version__} works in {sys.prefix}")


if __name__ == "__main__":
    main()
