"""Einstein's summation: products of tensors whose axes are named by letters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from treadle.array.convert import ArrayLike, apply, operands
from treadle.array.linalg import contract, diagonal
from treadle.array.manipulation import permute, reshape
from treadle.core.dims import Dim, Size, same_size, substitute
from treadle.core.errors import ArgumentError, DimError, DTypeError, ShapeError
from treadle.core.spec import broadcast_shapes, show_shape
from treadle.core.tensor import Tensor
from treadle.ops import elementwise as ew
from treadle.ops import reduce as reduce_ops

Labels = tuple[str, ...]  # one letter each, or "...0", "...1" for the axes that an ellipsis stands for, from the last


@dataclass
class Term:
    """A tensor and the labels of its axes."""

    x: Tensor
    labels: Labels


def einsum(subscripts: str, /, *arrays: ArrayLike) -> Tensor:
    """Sum of products over named axes: `"bij,bjk->bik"` multiplies matrices.

    Each operand's letters name its axes; axes of the same letter have the same size and go together. Letters behind
    `->` are the result's axes, all others are summed. Without `->` the result has the letters that occur once, sorted.
    A letter twice in one operand is its diagonal. `...` stands for any axes, which broadcast. Three and more operands
    are multiplied in pairs, each time the pair with the fewest products.

    Raises:
        ArgumentError: subscripts that are malformed or name another number of operands.
        ShapeError: subscripts that do not fit an operand's axes, or sizes of one letter that differ.
        DTypeError: dtypes that do not mix, or bool.

    >>> x = td.asarray([[1, 2], [3, 4]])
    >>> td.einsum("ij,kj->ik", x, x).tolist(), td.einsum("ii", x).item(), td.einsum("ij->j", x).tolist()
    ([[5, 11], [11, 25]], 5, [4, 6])
    """
    given, out = _parse(subscripts, len(arrays))
    xs = operands("einsum", *arrays)
    if xs[0].dtype.is_bool:
        raise DTypeError("einsum: the operands are bool, and products are summed: x.astype(td.int32)")
    terms = [_term(subscripts, i, labels, x) for i, (labels, x) in enumerate(zip(given, xs, strict=True))]
    result = _result_labels(subscripts, given, out, terms)
    _check_sizes(subscripts, terms)
    terms = [_reduced(t, result, terms[:i] + terms[i + 1 :]) for i, t in enumerate(terms)]
    while len(terms) > 1:
        i, j = _cheapest_pair(terms, result)
        rest = [t for k, t in enumerate(terms) if k not in (i, j)]
        terms = [*rest, _product(terms[i], terms[j], result, rest)]
    return permute(terms[0].x, [terms[0].labels.index(c) for c in result])


# parsing


def _parse(subscripts: str, count: int) -> tuple[list[str], str | None]:
    """Operands' subscripts and the result's (None: implicit), without spaces, "..." as "."."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    for part in (*parts, right):
        if not all(c.isalpha() and c.isascii() for c in part.replace("...", "", 1)):
            raise ArgumentError(
                f"einsum: {subscripts!r} is not understood at {part!r}: letters name axes, at most one ... stands for "
                'others, commas separate operands, and one "->" leads to the result, as in "...ij,jk->...ik"'
            )
    if len(parts) != count:
        raise ArgumentError(f"einsum: {subscripts!r} names {len(parts)} operands, and {count} were given")
    return [p.replace("...", ".") for p in parts], right.replace("...", ".") if arrow else None


def _expand(labels: str, extra: int) -> Labels:
    """The ellipsis as labels counted from the last axis that it stands for, so that operands line up at the right."""
    before, dot, after = labels.partition(".")
    return (*before, *(f"...{k}" for k in range(extra - 1, -1, -1) if dot), *after)


def _term(subscripts: str, i: int, labels: str, x: Tensor) -> Term:
    named = len(labels.replace(".", ""))
    shown = labels.replace(".", "...")
    if named > x.ndim or ("." not in labels and named != x.ndim):
        raise ShapeError(
            f"einsum {subscripts!r}: operand {i} is {show_shape(x.shape)} with {x.ndim} axes, "
            f"and {shown!r} names {named}"
        )
    return Term(x, _expand(labels, x.ndim - named))


def _result_labels(subscripts: str, given: Sequence[str], out: str | None, terms: Sequence[Term]) -> Labels:
    extra = max((sum(c.startswith(".") for c in t.labels) for t in terms), default=0)
    if out is None:
        letters = "".join(given).replace(".", "")
        out = ("." if extra else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    known = {c for t in terms for c in t.labels}
    result = _expand(out, extra)
    for c in result:
        if c not in known:
            raise ArgumentError(f"einsum {subscripts!r}: the result names {c!r}, which no operand has")
    if len(set(result)) != len(result):
        raise ArgumentError(
            f"einsum {subscripts!r}: the result names an axis twice; td.eye(n) * x makes a diagonal matrix"
        )
    if extra and "." not in out:
        raise ArgumentError(f'einsum {subscripts!r}: the operands have "...", so the result must say where it goes')
    return result


# sizes


def _check_sizes(subscripts: str, terms: Sequence[Term]) -> None:
    sizes: dict[str, Size] = {}
    for t in terms:
        for c, n in zip(t.labels, t.x.shape, strict=True):
            if c.startswith("."):
                continue
            try:
                fits = same_size(sizes.setdefault(c, n), n)
            except DimError as e:
                raise DimError(f"einsum {subscripts!r}: axis {c!r}: {e.message}") from None
            if not fits:
                shapes = ", ".join(show_shape(t.x.shape) for t in terms)
                raise ShapeError(
                    f"einsum {subscripts!r} of {shapes}: axis {c!r} has size {sizes[c]} in one place and {n} in another"
                )
    _broadcast_ellipses(subscripts, terms)


def _broadcast_ellipses(subscripts: str, terms: Sequence[Term]) -> None:
    """Axes of an ellipsis that have size 1 where another operand's has more are dropped: multiplying stretches."""
    shapes = [tuple(n for c, n in zip(t.labels, t.x.shape, strict=True) if c.startswith(".")) for t in terms]
    try:
        full = broadcast_shapes(*shapes)
    except ShapeError as e:
        raise type(e)(f"einsum {subscripts!r}: the axes of ...: {e.message}") from None
    for t in terms:
        keep = [
            not (c.startswith(".") and isinstance(n, int) and n == 1 and full[-1 - int(c[3:])] != 1)
            for c, n in zip(t.labels, t.x.shape, strict=True)
        ]
        if not all(keep):
            t.x = reshape(t.x, tuple(n for n, k in zip(t.x.shape, keep, strict=True) if k))
            t.labels = tuple(c for c, k in zip(t.labels, keep, strict=True) if k)


# products


def _reduced(term: Term, result: Labels, others: Sequence[Term]) -> Term:
    """With the diagonals taken, and summed over the labels that nobody else has."""
    x, labels = term.x, list(term.labels)
    for c in dict.fromkeys(labels):
        while labels.count(c) > 1:
            first = labels.index(c)
            second = labels.index(c, first + 1)
            x = diagonal(x, first, second)
            del labels[second]
    needed = _needed(result, others)
    gone = tuple(a for a, c in enumerate(labels) if c not in needed)
    if gone:
        x = apply(reduce_ops.sum, x, axes=gone)
    return Term(x, tuple(c for c in labels if c in needed))


def _needed(result: Labels, others: Sequence[Term]) -> set[str]:
    return set(result).union(*(t.labels for t in others))


def _product(a: Term, b: Term, result: Labels, rest: Sequence[Term]) -> Term:
    """Two terms as one: labels of both that nobody else needs are summed, other labels of both go in step."""
    needed = _needed(result, rest)
    both = [c for c in a.labels if c in b.labels]
    step = [c for c in both if c in needed]
    summed = [c for c in both if c not in needed]
    labels = (*step, *(c for c in a.labels if c not in both), *(c for c in b.labels if c not in both))
    if not summed:  # no sum, so no contraction: an elementwise product that stretches
        return Term(apply(ew.mul, _line_up(a, labels), _line_up(b, labels)), labels)
    at = [tuple(t.labels.index(c) for c in step) for t in (a, b)]
    over = [tuple(t.labels.index(c) for c in summed) for t in (a, b)]
    return Term(contract(a.x, b.x, batch=(at[0], at[1]), axes=(over[0], over[1])), labels)


def _line_up(term: Term, labels: Labels) -> Tensor:
    """Its axes in the order of `labels`, with size 1 where it has none."""
    x = permute(term.x, [term.labels.index(c) for c in labels if c in term.labels])
    sizes = iter(x.shape)
    return reshape(x, tuple(next(sizes) if c in term.labels else 1 for c in labels))


def _cheapest_pair(terms: Sequence[Term], result: Labels) -> tuple[int, int]:
    """The pair with the fewest products; of equals, the one with the smallest result, then the leftmost."""
    sizes = {c: _guess(n) for t in terms for c, n in zip(t.labels, t.x.shape, strict=True)}

    def cost(pair: tuple[int, int]) -> tuple[int, int, tuple[int, int]]:
        i, j = pair
        union = set(terms[i].labels) | set(terms[j].labels)
        kept = union & _needed(result, [t for k, t in enumerate(terms) if k not in pair])
        return math.prod(sizes[c] for c in union), math.prod(sizes[c] for c in kept), pair

    return min(((i, j) for j in range(len(terms)) for i in range(j)), key=cost)


def _guess(n: Size) -> int:
    """A size for comparing costs: 64 for each name in a Dim."""
    if not isinstance(n, Dim):
        return n
    out = substitute(n, dict.fromkeys(n.names, 64))
    assert isinstance(out, int)
    return out
