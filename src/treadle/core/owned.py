"""Tensors that a module owns: `Parameter`s, which training changes, and `State`s, which running changes."""

from __future__ import annotations

from typing import Any, ClassVar

from treadle.core.registry import array_namespace
from treadle.core.tensor import Tensor


class Parameter(Tensor):
    """A tensor that training changes. `self.kernel = Parameter(array)` makes it one of the module's parameters.

    >>> import treadle as td
    >>> td.nn.Parameter(td.ones(2)).kind
    'parameter'
    """

    __slots__ = ()
    kind: ClassVar[str] = "parameter"

    def __init__(self, value: Any) -> None:
        x = value if isinstance(value, Tensor) else array_namespace().asarray(value)
        super().__init__(x._spec, x._value, x._trace, x._atom)


class State(Tensor):
    """A tensor that running changes but training does not: running statistics, moments, counters."""

    __slots__ = ()
    kind: ClassVar[str] = "state"

    def __init__(self, value: Any) -> None:
        x = value if isinstance(value, Tensor) else array_namespace().asarray(value)
        super().__init__(x._spec, x._value, x._trace, x._atom)


def wrap_like(old: Any, new: Tensor) -> Tensor:
    """`new` as the kind of tensor that `old` is."""
    cls = type(old)
    if cls is type(new) or not isinstance(old, Parameter | State):
        return new
    return cls(new)  # type: ignore[no-any-return]
