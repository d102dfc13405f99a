"""`Dim`: a size that is not known yet, and arithmetic on it.

A Dim is an integer polynomial in named sizes ("batch") and in quotients and remainders of polynomials, kept in a normal
form, so that equal expressions are equal objects. A named size stands for any integer >= 1.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any, TypeAlias, Union

from treadle.core.errors import DimError, GraphError

Size: TypeAlias = Union[int, "Dim"]
Shape: TypeAlias = tuple[Size, ...]
# An atom is a name, or ("//" | "%", numerator, denominator); a monomial is a sorted tuple of atoms, with repetition.
_Atom: TypeAlias = Union[str, tuple[str, Size, Size]]
_Monomial: TypeAlias = tuple[_Atom, ...]
_Terms: TypeAlias = dict[_Monomial, int]
ANY_SIZES: Mapping[str, tuple[float, float]] = {}


class Dim:
    """A size that is not known yet. Supports + - * // % and comparison where it can be decided.

    `==` never raises (so that shapes can be compared and hashed): it is True where both are the same polynomial.
    `<`, `<=`, `>`, `>=` raise `DimError` when the answer depends on the size.

    >>> n = Dim("batch")
    >>> (2 * n + 4) // 2, n - n, n >= 1
    (batch+2, 0, True)
    """

    __slots__ = ("_hash", "_terms")

    def __init__(self, name: str) -> None:
        if not name.isidentifier():
            raise DimError(f"a Dim is named like a variable; {name!r} is not")
        self._set({(name,): 1})

    def _set(self, terms: _Terms) -> None:
        self._terms: tuple[tuple[_Monomial, int], ...] = tuple(sorted(terms.items(), key=_order))
        self._hash = hash(self._terms)

    @property
    def names(self) -> frozenset[str]:
        """The named sizes that it depends on."""
        found: set[str] = set()
        for monomial, _ in self._terms:
            for atom in monomial:
                if isinstance(atom, str):
                    found.add(atom)
                else:
                    for part in atom[1:]:
                        found |= part.names if isinstance(part, Dim) else set()
        return frozenset(found)

    def substitute(self, sizes: Mapping[str, Size]) -> Size:
        """The size when the named sizes have these values; names that are missing stay."""
        total: Size = 0
        for monomial, coefficient in self._terms:
            product: Size = coefficient
            for atom in monomial:
                if isinstance(atom, str):
                    product = product * (sizes[atom] if atom in sizes else Dim(atom))
                else:
                    top, bottom = substitute(atom[1], sizes), substitute(atom[2], sizes)
                    product = product * (top // bottom if atom[0] == "//" else top % bottom)
            total = total + product
        return total

    @property
    def terms(self) -> tuple[tuple[tuple[str | tuple[str, Size, Size], ...], int], ...]:
        """The polynomial as (factors, coefficient): a factor is a name, or ("//" or "%", numerator, denominator)."""
        return self._terms

    # arithmetic

    def __add__(self, other: Any) -> Any:
        if not _is_size(other):
            return NotImplemented
        terms = dict(self._terms)
        for monomial, coefficient in _terms(other).items():
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return _make(terms)

    __radd__ = __add__

    def __neg__(self) -> Size:
        return _make({m: -c for m, c in self._terms})

    def __sub__(self, other: Any) -> Any:
        if not _is_size(other):
            return NotImplemented
        return self + (-other)

    def __rsub__(self, other: Any) -> Any:
        if not _is_size(other):
            return NotImplemented
        return (-self) + other

    def __mul__(self, other: Any) -> Any:
        if not _is_size(other):
            return NotImplemented
        terms: _Terms = {}
        for m1, c1 in self._terms:
            for m2, c2 in _terms(other).items():
                monomial = tuple(sorted(m1 + m2, key=str))
                terms[monomial] = terms.get(monomial, 0) + c1 * c2
        return _make(terms)

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        if not _is_size(other):
            return NotImplemented
        return _divide(self, other)[0]

    def __rfloordiv__(self, other: Any) -> Any:
        if not _is_size(other):
            return NotImplemented
        return _divide(other, self)[0]

    def __mod__(self, other: Any) -> Any:
        if not _is_size(other):
            return NotImplemented
        return _divide(self, other)[1]

    def __rmod__(self, other: Any) -> Any:
        if not _is_size(other):
            return NotImplemented
        return _divide(other, self)[1]

    def __divmod__(self, other: Size) -> tuple[Size, Size]:
        return _divide(self, other)

    # comparison

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self._terms == other._terms

    def __hash__(self) -> int:
        return self._hash

    def __lt__(self, other: Any) -> Any:
        if not _is_size(other):
            return NotImplemented
        return not self >= other

    def __gt__(self, other: Any) -> Any:
        if not _is_size(other):
            return NotImplemented
        return not self <= other

    def __le__(self, other: Any) -> Any:
        if not _is_size(other):
            return NotImplemented
        return _nonnegative(other - self, f"{self} <= {other}")

    def __ge__(self, other: Any) -> Any:
        if not _is_size(other):
            return NotImplemented
        return _nonnegative(self - other, f"{self} >= {other}")

    def __bool__(self) -> bool:
        if _bounds(self)[0] > 0:
            return True
        raise DimError(f"whether {self} is zero depends on the size of {', '.join(sorted(self.names))}")

    def __int__(self) -> int:
        raise DimError(f"{self} has no fixed size here; write an expression of it, or compile without dynamic=")

    __index__ = __int__

    def __repr__(self) -> str:
        out = ""
        for monomial, coefficient in self._terms:
            factors = [_atom_text(a) for a in monomial]
            if abs(coefficient) != 1 or not factors:
                factors.insert(0, str(abs(coefficient)))
            sign = "-" if coefficient < 0 else "+" if out else ""
            out += sign + "*".join(factors)
        return out


def _is_size(x: Any) -> bool:
    """Whether arithmetic is ours; what a tensor does with a Dim is the tensor's."""
    return isinstance(x, int | Dim | Integral)


def _order(term: tuple[_Monomial, int]) -> tuple[int, str]:
    return -len(term[0]), str(term[0])  # the constant last: batch+1, not 1+batch


def _atom_text(atom: _Atom) -> str:
    if isinstance(atom, str):
        return atom
    top, bottom = (f"({p})" if isinstance(p, Dim) and not str(p).isidentifier() else str(p) for p in atom[1:])
    return f"({top}{atom[0]}{bottom})"


def _terms(size: Size) -> _Terms:
    if isinstance(size, Dim):
        return dict(size._terms)
    return {(): int(size)}


def _make(terms: _Terms) -> Size:
    terms = {m: c for m, c in terms.items() if c}
    if not terms:
        return 0
    if set(terms) == {()}:
        return terms[()]
    dim = Dim.__new__(Dim)
    dim._set(terms)
    return dim


def _divide(top: Size, bottom: Size) -> tuple[Size, Size]:
    """Quotient and remainder, rounding down; what divides exactly leaves the quotient, the rest becomes an atom."""
    if isinstance(bottom, int):
        if bottom == 0:
            raise ZeroDivisionError(f"{top} divided by zero")
        if bottom < 0:
            raise DimError(f"{top} // {bottom}: a size is not divided by a negative number")
        exact: _Terms = {}
        rest: _Terms = {}
        for monomial, coefficient in _terms(top).items():
            quotient, remainder = divmod(coefficient, bottom)
            exact[monomial] = quotient
            rest[monomial] = remainder
        quotient_size, rest_size = _make(exact), _make(rest)
    else:
        quotient_size, rest_size = _divide_by_dim(top, bottom)
    if isinstance(rest_size, int) and isinstance(bottom, int):
        return quotient_size + rest_size // bottom, rest_size % bottom
    if isinstance(rest_size, int) and rest_size == 0:
        return quotient_size, 0
    if _bounds(rest_size)[0] >= 0 and _bounds(rest_size - bottom)[1] < 0:
        return quotient_size, rest_size
    return (
        quotient_size + _make({(("//", rest_size, bottom),): 1}),
        _make({(("%", rest_size, bottom),): 1}),
    )


def _divide_by_dim(top: Size, bottom: Dim) -> tuple[Size, Size]:
    """Polynomial division as far as it goes: by one monomial term by term, by a sum when the whole is a multiple."""
    if len(bottom._terms) == 1:
        (divisor, factor), *_ = bottom._terms
        exact: _Terms = {}
        rest: _Terms = {}
        for monomial, coefficient in _terms(top).items():
            left = list(monomial)
            try:
                for atom in divisor:
                    left.remove(atom)
            except ValueError:
                rest[monomial] = coefficient
                continue
            if coefficient % factor:
                rest[monomial] = coefficient
            else:
                exact[tuple(left)] = coefficient // factor
        return _make(exact), _make(rest)
    remaining, quotient = top, 0
    lead, lead_factor = bottom._terms[0]
    for _ in range(8):  # long division by the leading term; gives up on anything longer
        step: Size | None = None
        for monomial, coefficient in _terms(remaining).items():
            left = list(monomial)
            if coefficient % lead_factor == 0 and all(a in left for a in lead):
                for atom in lead:
                    left.remove(atom)
                step = _make({tuple(left): coefficient // lead_factor})
                break
        if step is None:
            break
        quotient, remaining = quotient + step, remaining - step * bottom
        if isinstance(remaining, int) and remaining == 0:
            return quotient, 0
    return 0, top


def is_never_negative(size: Size, within: Mapping[str, tuple[float, float]] = ANY_SIZES) -> bool:
    """Whether a size is seen to be 0 or more for all named sizes in these ranges, ends included.

    One that is missing is any from 1 on.
    """
    return _bounds(size, within)[0] >= 0 or _bounds(_without_quotients(size), within)[0] >= 0


def _bounds(size: Size, within: Mapping[str, tuple[float, float]] = ANY_SIZES) -> tuple[float, float]:
    """Bounds that hold for all values of the named sizes in their ranges."""
    low = high = 0.0
    for monomial, coefficient in _terms(size).items():
        a = b = 1.0
        for atom in monomial:
            x, y = _atom_bounds(atom, within)
            products = [_times(p, q) for p in (a, b) for q in (x, y)]
            a, b = min(products), max(products)
        a, b = _times(coefficient, a), _times(coefficient, b)
        low, high = low + min(a, b), high + max(a, b)
    return low, high


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def _atom_bounds(atom: _Atom, within: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    if isinstance(atom, str):
        return within.get(atom, (1.0, math.inf))
    kind, top, bottom = atom
    (low, high), (_, bottom_high) = _bounds(top, within), _bounds(bottom, within)
    if kind == "%":
        return 0.0, bottom_high - 1
    if isinstance(bottom, int):
        return (low // bottom if math.isfinite(low) else low), (high // bottom if math.isfinite(high) else high)
    return (0.0 if low >= 0 else -math.inf), high


def _without_quotients(size: Size) -> Size:
    """A lower bound of a positive multiple of `size`, by (a-k+1)/k <= a//k <= a/k: what shows that n//2 <= n."""
    for _ in range(8):  # gives up on anything longer
        for monomial, coefficient in _terms(size).items():
            rest = tuple(a for a in monomial if isinstance(a, str))  # sizes, so factors >= 1
            quotients = [a for a in monomial if not isinstance(a, str)]
            if len(quotients) == 1 and quotients[0][0] == "//" and isinstance(k := quotients[0][2], int):
                top = quotients[0][1] - (k - 1 if coefficient > 0 else 0)
                size = k * (size - _make({monomial: coefficient})) + _make({rest: coefficient}) * top
                break
        else:
            break
    return size


def _nonnegative(size: Size, question: str) -> bool:
    if is_never_negative(size):
        return True
    if is_never_negative(-size - 1):
        return False
    names = ", ".join(sorted(size.names)) if isinstance(size, Dim) else ""
    raise DimError(f"{question} depends on the size of {names}, which is not known while tracing")


def substitute(size: Size, sizes: Mapping[str, Size]) -> Size:
    """`size` with the named sizes replaced."""
    return size.substitute(sizes) if isinstance(size, Dim) else size


def same_size(a: Size, b: Size) -> bool:
    """Whether two sizes are equal for all values of the named sizes.

    Raises:
        DimError: they are equal for some values and differ for others.
    """
    difference = a - b
    if isinstance(difference, int):
        return difference == 0
    low, high = _bounds(difference)
    if low > 0 or high < 0:
        return False
    raise DimError(
        f"whether {a} equals {b} depends on the size of {', '.join(sorted(difference.names))}; "
        "give equal sizes the same name in dynamic=, or do not let them meet"
    )


def parse_size(text: str) -> Size:
    """A size from its printed form.

    >>> parse_size("2*batch+1")
    2*batch+1
    """
    try:
        return _from_ast(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError:
        raise GraphError(f"{text!r} is not a size") from None


def _from_ast(node: ast.expr) -> Size:
    match node:
        case ast.Constant(value=int() as value):
            return value
        case ast.Name(id=name):
            return Dim(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_from_ast(operand)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _from_ast(left), _from_ast(right)
            match op:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult():
                    return a * b
                case ast.FloorDiv():
                    return a // b
                case ast.Mod():
                    return a % b
    raise GraphError(f"{ast.unparse(node)!r} is not a size")
