"""The least time that a workload's products can take: their operations, as treadle's own plan counts them.

    python benchmarks/floor.py WORKLOAD ...

With the peers' folder on the path. Prints one line of JSON: workload → operations of its products in one step.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import data  # the peers' own: inputs and first weights
import workloads

import treadle as td


def operations(name: str) -> int:
    """Multiplications and additions of all matrix products and convolutions in one step."""
    total = 0

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        compiled = td.compile(function)

        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal total
            kernels = compiled.explain(*args, **kwargs).kernels
            total = sum(k.operations * k.rounds for k in kernels if k.name.startswith("product"))
            return compiled(*args, **kwargs)

        return call

    inputs, parameters = ({k: td.asarray(v) for k, v in part.items()} for part in data.make(name))
    workloads.make(name, inputs, parameters, counting)()
    return total


if __name__ == "__main__":
    print(json.dumps({name: operations(name) for name in sys.argv[1:]}))
