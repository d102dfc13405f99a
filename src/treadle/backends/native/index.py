"""Index arithmetic: where an element lies, as a formula of loop counters.

An `Affine` is `constant + sum(coefficient * atom)`. Atoms are loop variables; quotients and remainders that a reshape
left over; and integers that are computed while running (a gather's index). Formulas are kept in one normal form, so
equal formulas are equal objects, and quotients and remainders meet again: `c * (x // c) + x % c` is `x`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, Union

from treadle.backends.native.extents import is_extent, order

_numbers = itertools.count()


class LoopVar:
    """A loop's counter: 0 … extent - 1. Compared by identity."""

    __slots__ = ("extent", "number")

    def __init__(self, extent: int) -> None:
        self.extent = extent
        self.number = next(_numbers)

    @property
    def is_single(self) -> bool:
        """Whether it is known that there is one round."""
        return not is_extent(self.extent) and self.extent == 1

    @property
    def bounds(self) -> tuple[int, int]:
        return 0, max(self.extent - 1, 0)

    @property
    def order(self) -> tuple[Any, ...]:
        return (0, self.number)

    @property
    def variables(self) -> frozenset[LoopVar]:
        return frozenset((self,))

    def __repr__(self) -> str:
        return f"i{self.number}"


@dataclass(frozen=True)
class Quotient:
    """value // divisor, with value ≥ 0."""

    value: Affine
    divisor: int

    @cached_property
    def bounds(self) -> tuple[int, int]:
        low, high = self.value.bounds
        return low // self.divisor, high // self.divisor

    @property
    def order(self) -> tuple[Any, ...]:
        return (1, order(self.divisor), *self.value.order)

    @property
    def variables(self) -> frozenset[LoopVar]:
        return self.value.variables

    def __repr__(self) -> str:
        return f"({self.value})//{self.divisor}"


@dataclass(frozen=True)
class Remainder:
    """value % divisor, with value ≥ 0."""

    value: Affine
    divisor: int

    @property
    def bounds(self) -> tuple[int, int]:
        return 0, self.divisor - 1

    @property
    def order(self) -> tuple[Any, ...]:
        return (2, order(self.divisor), *self.value.order)

    @property
    def variables(self) -> frozenset[LoopVar]:
        return self.value.variables

    def __repr__(self) -> str:
        return f"({self.value})%{self.divisor}"


@dataclass(frozen=True)
class Computed:
    """An integer that an expression computes while running, between the bounds."""

    expression: Any  # expressions.Expr; they know indices, not the other way round
    bounds: tuple[int, int]

    @property
    def order(self) -> tuple[Any, ...]:
        return (3, self.expression.number)

    @property
    def variables(self) -> frozenset[LoopVar]:
        found: frozenset[LoopVar] = self.expression.variables
        return found

    def __repr__(self) -> str:
        return f"[{self.expression}]"


Atom: TypeAlias = Union[LoopVar, Quotient, Remainder, Computed]


@dataclass(frozen=True)
class Affine:
    """constant + sum(coefficient * atom), atoms in one order, no coefficient zero."""

    constant: int = 0
    terms: tuple[tuple[Atom, int], ...] = ()

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest value."""
        low = high = self.constant
        for atom, c in self.terms:
            a, b = atom.bounds
            low += c * (a if c > 0 else b)
            high += c * (b if c > 0 else a)
        return low, high

    @cached_property
    def order(self) -> tuple[Any, ...]:
        return (order(self.constant), tuple((atom.order, order(c)) for atom, c in self.terms))

    @cached_property
    def variables(self) -> frozenset[LoopVar]:
        return frozenset().union(*(atom.variables for atom, _ in self.terms))

    @property
    def is_constant(self) -> bool:
        return not self.terms

    def coefficient(self, var: LoopVar) -> int | None:
        """How far the value moves when the counter moves by one; None where that is not the same everywhere."""
        found = 0
        for atom, c in self.terms:
            if atom is var:
                found = c
            elif var in atom.variables:
                return None
        return found

    def __add__(self, other: Affine | int) -> Affine:
        if isinstance(other, int):
            return Affine(self.constant + other, self.terms)
        if not other.terms:
            return Affine(self.constant + other.constant, self.terms)
        if not self.terms:
            return Affine(self.constant + other.constant, other.terms)
        return combine(self.constant + other.constant, (*self.terms, *other.terms))

    def __mul__(self, factor: int) -> Affine:
        if factor == 0:
            return Affine()
        return Affine(self.constant * factor, tuple((atom, c * factor) for atom, c in self.terms))

    def __floordiv__(self, divisor: int) -> Affine:
        whole, rest = self._split(divisor)
        if rest.is_constant and 0 <= rest.constant < divisor:
            return whole
        low, high = rest.bounds
        if low >= 0 and high < divisor:
            return whole
        return whole + combine(0, ((Quotient(rest, divisor), 1),))

    def __mod__(self, divisor: int) -> Affine:
        _, rest = self._split(divisor)
        low, high = rest.bounds
        if low >= 0 and high < divisor:
            return rest
        return combine(0, ((Remainder(rest, divisor), 1),))

    def _split(self, divisor: int) -> tuple[Affine, Affine]:
        """(q, r) with self = q * divisor + r: what is divisible term by term goes to q, as long as r stays ≥ 0."""
        constant, low = divmod(self.constant, divisor)
        whole = tuple((atom, c // divisor) for atom, c in self.terms if c % divisor == 0)
        rest = Affine(low, tuple((atom, c) for atom, c in self.terms if c % divisor))
        if rest.bounds[0] < 0:
            return Affine(), self
        return Affine(constant, whole), rest

    def substitute(self, values: Mapping[LoopVar, Affine]) -> Affine:
        """The same formula with counters replaced. Computed atoms keep theirs: substitute in them first."""
        if self.variables.isdisjoint(values):
            return self
        total = Affine(self.constant)
        for atom, c in self.terms:
            if isinstance(atom, LoopVar):
                part = values.get(atom, Affine(0, ((atom, 1),)))
            elif isinstance(atom, Quotient):
                part = atom.value.substitute(values) // atom.divisor
            elif isinstance(atom, Remainder):
                part = atom.value.substitute(values) % atom.divisor
            else:
                part = Affine(0, ((atom, 1),))
            total = total + part * c
        return total

    def walk(self) -> Iterator[Atom]:
        for atom, _ in self.terms:
            yield atom
            if isinstance(atom, (Quotient, Remainder)):
                yield from atom.value.walk()

    def __str__(self) -> str:
        parts = [f"{c}*{a}" if c != 1 else str(a) for a, c in self.terms]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return " + ".join(parts)

    __repr__ = __str__


ZERO = Affine()


def constant(value: int) -> Affine:
    return Affine(value)


def of(atom: Atom) -> Affine:
    """The formula that is one atom; a loop of one round is 0."""
    if isinstance(atom, LoopVar) and atom.is_single:
        return ZERO
    return Affine(0, ((atom, 1),))


def combine(constant_part: int, terms: Iterable[tuple[Atom, int]]) -> Affine:
    """The normal form of a sum of terms."""
    total: dict[Atom, int] = {}
    for atom, c in terms:
        total[atom] = total.get(atom, 0) + c
    total = {atom: c for atom, c in total.items() if c}
    rejoined = _rejoin(total)
    if rejoined is not None:
        atoms, extra = rejoined
        return Affine(constant_part, _ordered(atoms)) + extra
    return Affine(constant_part, _ordered(total))


def _ordered(terms: Mapping[Atom, int]) -> tuple[tuple[Atom, int], ...]:
    return tuple(sorted(terms.items(), key=lambda item: item[0].order))


def _rejoin(terms: dict[Atom, int]) -> tuple[dict[Atom, int], Affine] | None:
    """k*d*(x // d) + k*(x % d) is k*x: the terms without the two, and k*x."""
    for atom, c in terms.items():
        if isinstance(atom, Remainder):
            partner = Quotient(atom.value, atom.divisor)
            if terms.get(partner) == c * atom.divisor:
                left = {a: k for a, k in terms.items() if a != atom and a != partner}
                return left, atom.value * c
    return None


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How far apart, in elements, neighbours along each axis lie."""
    strides = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def flatten(index: tuple[Affine, ...], shape: tuple[int, ...]) -> Affine:
    """The place of an element in row-major order."""
    total = ZERO
    for i, step in zip(index, row_major(shape), strict=True):
        total = total + i * step
    return total


def unflatten(place: Affine, shape: tuple[int, ...]) -> tuple[Affine, ...]:
    """The index of the element at a place in row-major order."""
    out: list[Affine] = []
    for axis in range(len(shape) - 1, -1, -1):
        if shape[axis] <= 1:  # of an empty axis there is no element, and no formula is used
            out.append(ZERO)
        elif axis == 0 or all(n == 1 for n in shape[:axis]):
            out.append(place)
            out += [ZERO] * axis
            return tuple(reversed(out))
        else:
            out.append(place % shape[axis])
            place = place // shape[axis]
    return tuple(reversed(out))
