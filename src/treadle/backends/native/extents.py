"""Sizes that are known only when a plan runs.

A graph with Dims is planned with an `Extent` in place of each size: a formula of the named sizes, which ends up in the
kernels, and the value that it has for typical sizes. Whatever the compiler asks of an extent (is it 1, is it at least
16, does it equal that one) is answered by that value, and remembered: a plan may be used for all sizes for which every
answer would have been the same. Sizes are sorted into a few classes by magnitude, and weighing (`rough`) knows only the
class, so that most answers hold for all of it.

An Extent says that it is an `int`, and everything that does arithmetic in Python takes it for one. What needs its
number itself (a `range`, an array's shape) asks for it through `__index__`, and gets `SizeNeededError` instead: nothing
can lose the formula unnoticed. Such a graph is compiled for each combination of sizes.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from numbers import Integral
from typing import Any, cast

from treadle.core.dims import ANY_SIZES, Dim, Size, is_never_negative, substitute
from treadle.core.errors import DimError
from treadle.core.spec import Spec

STEPS = (1, 2, 16, 256, 4096, 65536, 1 << 62)  # where classes of sizes begin
TYPICAL = (1, 7, 101, 1013, 16411, 1 << 20)  # of each class: few numbers divide them, or are divided by them


class SizeNeededError(Exception):
    """Something cannot be planned or written without knowing a size."""


class Facts:
    """What a plan takes for granted of its sizes.

    Attributes:
        is_closed: whether planning is over.
        names: of the sizes.
        values: those that the planning goes by, under the names that kernels know: s0, s1, …
        within: the smallest and the largest that each may be.
        answers: what was asked besides, and is neither true nor false of all sizes in these ranges.
    """

    def __init__(self, values: Mapping[str, int]) -> None:
        self.names = tuple(sorted(values))
        self.values = self.named(values)
        self.within = {name: _class_of(value) for name, value in self.values.items()}
        self.answers: dict[tuple[Dim, str], bool] = {}
        self.is_closed = False

    def close(self) -> None:
        """From now on only what holds for all sizes may be asked: code is the same for all that share a text."""
        self.is_closed = True

    def ask(self, formula: Size, relation: str) -> bool:
        """Whether a size is "negative" or "zero"."""
        if not isinstance(formula, Dim):
            return _holds(formula, relation)
        within = ANY_SIZES if self.is_closed else self.within
        if is_never_negative(-formula - 1, within):
            return relation == "negative"
        if is_never_negative(formula if relation == "negative" else formula - 1, within):
            return False
        key = (formula, relation)
        if self.is_closed:
            raise SizeNeededError(f"whether {formula} is {relation}")
        known = self.answers.get(key)
        if known is None:
            known = self.answers[key] = _holds(formula.substitute(self.values), relation)
        return known

    def named(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Sizes under the names that kernels know."""
        return {f"s{k}": sizes[name] for k, name in enumerate(self.names)}

    def extents(self) -> dict[str, int]:
        """For each named size its extent."""
        return {name: _made(Dim(s), self.values[s], self) for name, s in zip(self.names, self.values, strict=True)}

    def hold(self, sizes: Mapping[str, int]) -> bool:
        """Whether a plan with these facts is one for these sizes."""
        sizes = self.named(sizes)
        return all(self.within[name] == _class_of(n) for name, n in sizes.items()) and all(
            _holds(formula.substitute(sizes), relation) == answer
            for (formula, relation), answer in self.answers.items()
        )

    def __str__(self) -> str:
        lines = [f"{low} <= {name} <= {high}" for name, (low, high) in self.within.items()]
        lines += [f"{f} is {'' if answer else 'not '}{relation}" for (f, relation), answer in self.answers.items()]
        return "\n".join(lines)


def _holds(value: Size, relation: str) -> bool:
    return bool(value < 0 if relation == "negative" else value == 0)


def _class_of(size: int) -> tuple[int, int]:
    """The smallest and the largest size of the same class."""
    k = bisect.bisect_right(STEPS, size)
    return STEPS[k - 1], STEPS[k] - 1


def typical(size: int) -> int:
    """The size that stands for the whole class of a size >= 1."""
    return TYPICAL[bisect.bisect_right(STEPS, size) - 1]


class Extent:
    """A size as a formula, with its value for the sizes that the planning goes by."""

    __slots__ = ("facts", "formula", "value")

    def __init__(self, formula: Dim, value: int, facts: Facts) -> None:
        self.formula, self.value, self.facts = formula, value, facts

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return int

    def _number(self) -> Any:
        raise SizeNeededError(f"the number that {self.formula} is")

    __index__ = __int__ = __trunc__ = __float__ = _number

    # arithmetic

    def __add__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a + b)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a * b)

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a - b)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b - a)

    def __floordiv__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a // b)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b // a)

    def __mod__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a % b)

    def __rmod__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b % a)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __neg__(self) -> int:
        return _made(-self.formula, -self.value, self.facts)

    def __abs__(self) -> int:
        return -self if self < 0 else cast(int, self)

    def __truediv__(self, other: Any) -> float:
        """A weight, not a size."""
        return rough(self) / rough(other)

    def __rtruediv__(self, other: Any) -> float:
        return rough(other) / rough(self)

    def _with(self, other: Any, op: Any) -> Any:
        if type(other) is float:
            return op(self.value, other)  # a weight, not a size
        if not isinstance(other, Integral):
            return NotImplemented
        value = op(self.value, rough(other))
        try:
            formula = op(self.formula, formula_of(other))
        except DimError:  # no size is divided by a negative number
            return self._number()
        return _made(formula, value, self.facts)

    # questions

    def __bool__(self) -> bool:
        return not self.facts.ask(self.formula, "zero")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Integral):
            return False
        if self.facts.is_closed:
            return _difference(self, other) == 0  # for all sizes; kernels are written as if others differed
        return self.facts.ask(_difference(self, other), "zero")

    def __hash__(self) -> int:
        return hash(self.value)

    def __lt__(self, other: Any) -> bool:
        return self._below(other)

    def __ge__(self, other: Any) -> bool:
        return not self._below(other)

    def __gt__(self, other: Any) -> bool:
        return self.facts.ask(_difference(other, self), "negative")

    def __le__(self, other: Any) -> bool:
        return not self > other

    def _below(self, other: Any) -> bool:
        if type(other) is float:
            return self.value < other
        return self.facts.ask(_difference(self, other), "negative")

    def __str__(self) -> str:
        return str(self.formula)

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(str(self.formula), spec)


def _made(formula: Size, value: int, facts: Facts) -> int:
    if not isinstance(formula, Dim):
        return int(formula)
    return cast(int, Extent(formula, value, facts))


def _difference(a: Any, b: Any) -> Size:
    made: Size = formula_of(a) - formula_of(b)
    return made


def is_extent(n: object) -> bool:
    """Whether a size is known only when the plan runs."""
    return type(n) is Extent


def formula_of(n: Any) -> Any:
    """A size as a polynomial of the names that kernels know."""
    return n.formula if type(n) is Extent else int(n)


def are_same(a: Any, b: Any) -> bool:
    """Whether two sizes are equal for all sizes that they depend on."""
    return _difference(a, b) == 0


def ceiling(n: int, k: int) -> int:
    """n / k, rounded up: of an extent in a form that shows that the result is at least 1."""
    return (n + k - 1) // k if is_extent(n) or is_extent(k) else -(-n // k)


def order(n: Any) -> tuple[int, int, str]:
    """What sizes are sorted by where any order will do that is always the same."""
    return (1, 0, str(n)) if type(n) is Extent else (0, n, "")


def rough(n: Any) -> Any:
    """A size to weigh by, from which no size, place or branch that matters for correctness may be made."""
    return n.value if type(n) is Extent else n


def at_sizes(n: Any, sizes: Mapping[str, int]) -> Any:
    """The number that a size is for named sizes s0, s1, …"""
    return int(substitute(formula_of(n), sizes)) if type(n) is Extent else n


def spec_at(spec: Spec, sizes: Mapping[str, int]) -> Spec:
    """A spec with numbers for extents."""
    return Spec(tuple(at_sizes(n, sizes) for n in spec.shape), spec.dtype)
