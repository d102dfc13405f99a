"""Variables of modules that a body assigns: dropout's stream and running statistics, inside of loops and branches.

A body is traced once. When it turns out to have assigned variables, it is traced again with them as part of what it
carries (a loop) or returns (a branch), and their last values are assigned afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from treadle.core.assignments import Place, assignments_taken, assignments_within, put
from treadle.core.tensor import Tensor

T = TypeVar("T")


def watched(trace: Callable[[Watch], T]) -> tuple[Watch, T]:
    """Trace bodies under a watch; once more where the first time made variables."""
    watch = Watch()
    traced = trace(watch)
    if watch.made:
        watch = Watch()
        traced = trace(watch)
    return watch, traced


class Watch:
    """Runs functions, and takes what they assign: afterwards the variables are as they were.

    Attributes:
        places: where variables were assigned, in order; each once.
        before: what was there.
        made: variables were made and assigned in one go. A layer that is built in a loop shows on a second run that it
            assigns; a module that lives in the body alone is made again each time, and needs no carrying.
    """

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.before: list[Tensor] = []
        self.made = False

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the function."""
        with assignments_taken() as taken:
            out = function(*args)
        self.made = self.made or taken.made
        for place, old in taken.places:
            if not any(c is place[0] and k == place[1] for c, k in self.places):
                self.places.append(place)
                self.before.append(old)
        return out

    def carrying(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with the variables' values as a first argument, returned as a first result."""

        def carried(variables: Sequence[Tensor], *args: Any) -> tuple[list[Tensor], Any]:
            with assignments_within(self.places):
                put(self.places, variables)
                try:
                    out = function(*args)
                    return [container[key] for container, key in self.places], out
                finally:
                    put(self.places, self.before)

        return carried

    def assign(self, values: Sequence[Tensor]) -> None:
        """Leave these values in the variables."""
        put(self.places, values, noted=True)
