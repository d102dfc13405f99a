"""Formulas of indices give what NumPy's indexing gives, in one normal form, and their bounds hold."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.backends.native import index
from treadle.backends.native.index import Affine, LoopVar, Quotient, Remainder

SETTINGS = settings(max_examples=150, deadline=None, derandomize=True)
shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


def value(formula: Affine, at: dict[LoopVar, int]) -> int:
    """A formula's value, computed the plain way."""
    total = formula.constant
    for atom, c in formula.terms:
        if isinstance(atom, LoopVar):
            total += c * at[atom]
        elif isinstance(atom, Quotient):
            total += c * (value(atom.value, at) // atom.divisor)
        else:
            assert isinstance(atom, Remainder)
            total += c * (value(atom.value, at) % atom.divisor)
    return total


def counters(shape):
    loops = [LoopVar(n) for n in shape]
    return loops, tuple(index.of(v) for v in loops)


def everywhere(loops):
    for numbers in itertools.product(*(range(v.extent) for v in loops)):
        yield numbers, dict(zip(loops, numbers, strict=True))


@SETTINGS
@given(shapes, st.data())
def test_views_of_views_are_formulas(shape, data):
    """Reshape, transpose, slice and reverse at random: element by element what NumPy does with the places."""
    places = np.arange(int(np.prod(shape))).reshape(shape)
    steps = []  # from an index of the view to one of what it is a view of
    for _ in range(data.draw(st.integers(1, 4))):
        old = places.shape
        kind = data.draw(st.sampled_from(["reshape", "transpose", "slice", "reverse"]))
        if kind == "reshape":
            factors = [p for n in old for p in prime_factors(n)]
            new = tuple(grouped(data.draw(st.permutations(factors)), data)) or (1,)
            places = places.reshape(new)
            steps.append(lambda i, old=old, new=new: index.unflatten(index.flatten(i, new), old))
        elif kind == "transpose":
            axes = data.draw(st.permutations(range(len(old))))
            places = places.transpose(axes)
            steps.append(lambda i, axes=axes: tuple(i[axes.index(a)] for a in range(len(axes))))
        elif kind == "slice":
            starts = [data.draw(st.integers(0, n - 1)) for n in old]
            by = [data.draw(st.integers(1, 2)) for _ in old]
            places = places[tuple(slice(s, None, b) for s, b in zip(starts, by, strict=True))]
            steps.append(
                lambda i, starts=starts, by=by: tuple(x * b + s for x, s, b in zip(i, starts, by, strict=True))
            )
        else:
            places = places[(slice(None, None, -1),)]
            steps.append(lambda i, n=old[0]: (i[0] * -1 + (n - 1), *i[1:]))
    loops, at = counters(places.shape)
    for step in reversed(steps):
        at = step(at)
    place = index.flatten(at, shape)
    low, high = place.bounds
    for numbers, env in everywhere(loops):
        found = value(place, env)
        assert found == places[numbers]
        assert low <= found <= high


def prime_factors(n):
    return next(([p, *prime_factors(n // p)] for p in range(2, n + 1) if n % p == 0), [])


def grouped(factors, data):
    """Products of neighbours: a shape with as many elements."""
    out = []
    for p in factors:
        if out and data.draw(st.booleans()):
            out[-1] *= p
        else:
            out.append(p)
    return out


@SETTINGS
@given(shapes)
def test_an_index_of_a_place_is_the_index_again(shape):
    _, at = counters(shape)
    assert index.unflatten(index.flatten(at, shape), shape) == at


@SETTINGS
@given(shapes, st.lists(st.integers(-4, 9), min_size=4, max_size=4), st.integers(0, 20), st.integers(1, 9))
def test_quotients_and_remainders(shape, coefficients, extra, divisor):
    loops, at = counters(shape)
    formula = index.constant(extra)
    for i, c in zip(at, coefficients, strict=False):
        formula = formula + i * c
    formula = formula + max(0, -formula.bounds[0])  # they are defined for what is never negative
    whole, rest = formula // divisor, formula % divisor
    assert whole * divisor + rest == formula
    for _, env in everywhere(loops):
        v = value(formula, env)
        assert value(whole, env) == v // divisor
        assert value(rest, env) == v % divisor


@SETTINGS
@given(shapes, st.integers(1, 7), st.integers(1, 7))
def test_substitution_is_that_of_the_values(shape, divisor, factor):
    loops, at = counters(shape)
    formula = index.flatten(at, shape) // divisor + index.flatten(at, shape) % (divisor + 1) * factor
    other = LoopVar(3)
    new = {loops[0]: index.of(other) * 2 + 1}
    replaced = formula.substitute(new)
    for numbers, env in everywhere([other, *loops[1:]]):
        assert value(replaced, env) == value(formula, {**env, loops[0]: 2 * numbers[0] + 1})
