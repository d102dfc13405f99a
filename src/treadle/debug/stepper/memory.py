"""How many bytes the arrays take that are kept: those that share memory count once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from treadle.debug.stepper.frames import Array


class Ledger:
    """Bytes of a changing collection of arrays."""

    def __init__(self) -> None:
        self.bytes = 0
        self._owners: dict[int, tuple[Array, int]] = {}  # keeps the owner, so that its id stays its own

    def add(self, arrays: Iterable[Array]) -> None:
        for x in arrays:
            owner = _owner(x)
            known = self._owners.get(id(owner))
            if known is None:
                self.bytes += owner.nbytes
            self._owners[id(owner)] = owner, 1 if known is None else known[1] + 1

    def remove(self, arrays: Iterable[Array]) -> None:
        """Arrays that were added before."""
        for x in arrays:
            owner = _owner(x)
            _, count = self._owners[id(owner)]
            if count == 1:
                del self._owners[id(owner)]
                self.bytes -= owner.nbytes
            else:
                self._owners[id(owner)] = owner, count - 1


def _owner(x: Array) -> Array:
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x
