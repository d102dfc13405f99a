"""One battery for every primitive, driven by its samples: what a primitive claims about itself must be consistent.

Shape rule, reference, derivative, transpose, batching and Dims are checked against each other, at every dtype that the
primitive takes. A primitive that lacks a rule or samples fails `test_is_complete`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.ops._battery import (
    ATOL,
    BACKENDS,
    CASES,
    COUNTS_AXES,
    ERRORS,
    FIXED_DTYPE,
    NO_CASES,
    NOT_DIFFERENTIABLE,
    REFUSE_NOTHING,
    RTOL,
    VARIADIC,
    Array,
    At,
    as_tuple,
    batched_outputs,
    batched_subsets,
    covered,
    differentiable,
    direction,
    examples,
    missing_rules,
    moved,
    number_of,
    richardson,
    run,
    samples_of,
    specs,
    takes,
    tensor,
    tensors,
    with_dims,
)
from treadle.core.dtypes import DType, as_dtype, bfloat16, float16, float32, float64
from treadle.core.errors import DimError, ShapeError
from treadle.core.primitive import PRIMITIVES, Primitive, Unknown, Zero
from treadle.core.spec import Spec
from treadle.testing.samples import Case

DTYPES = (float64, float32, float16, bfloat16)
DIFFERENTIABLE = differentiable()


# ------------------------------------------------------------------------------------------------------- completeness


@pytest.mark.parametrize("primitive", covered(), ids=lambda p: p.name)
def test_is_complete(primitive: Primitive) -> None:
    assert missing_rules(primitive) == []


def test_a_primitive_without_rules_or_samples_is_found() -> None:
    bare = Primitive("battery_bare")
    try:
        assert missing_rules(bare) == ["shape", "reference", "samples", "a sample case", "derivative"]
        assert bare in covered()

        @bare.samples
        def _(s: Any) -> Iterator[Case]:
            yield s.case(s.normal(3))

        assert missing_rules(bare) == ["shape", "reference", "batch", "a sample of wrong inputs", "derivative"]
    finally:
        del PRIMITIVES["battery_bare"]


@pytest.mark.parametrize("name", sorted(NOT_DIFFERENTIABLE))
def test_the_table_of_exceptions_is_true(name: str) -> None:
    primitive = PRIMITIVES[name]
    assert not {"jvp", "push"} & set(primitive.rules)
    assert not primitive.is_linear


@pytest.mark.parametrize("name", [*FIXED_DTYPE, *VARIADIC, *COUNTS_AXES, *REFUSE_NOTHING, *NO_CASES])
def test_the_tables_name_primitives(name: str) -> None:
    assert name in PRIMITIVES


@pytest.mark.parametrize("primitive", covered(), ids=lambda p: p.name)
def test_samples_are_the_same_every_time(primitive: Primitive) -> None:
    for a, b in zip(samples_of(primitive), samples_of(primitive), strict=True):
        for x, y in zip(a.inputs, b.inputs, strict=True):
            np.testing.assert_array_equal(x, y)


# ------------------------------------------------------------------------------------------------------------- values


def _at_dtypes(at: At) -> list[DType]:
    """The dtypes that a case can run at: one, if no input is cast."""
    if not at.floating or at.primitive.name in FIXED_DTYPE:
        return [float64]
    return [d for d in DTYPES if takes(at.primitive, at.case.at(d).inputs, at.case.params)]


@pytest.mark.parametrize("at", CASES, ids=str)
def test_reference_has_the_spec_of_the_shape_rule(at: At) -> None:
    for dtype in _at_dtypes(at):
        case = at.case.at(dtype)
        outs = run(at.primitive, case.inputs, case.params)
        inferred = at.primitive.infer(*specs(case.inputs), **case.params)
        assert [(o.shape, as_dtype(o.dtype)) for o in outs] == [(s.shape, s.dtype) for s in inferred]


def test_floating_cases_run_at_float32_and_float64() -> None:
    refused = [
        str(at)
        for at in CASES
        if at.floating and at.primitive.name not in FIXED_DTYPE and not {float32, float64} <= set(_at_dtypes(at))
    ]
    assert refused == []


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("at", [at for at in CASES if at.floating], ids=str)
def test_values_agree_with_float64(at: At, backend: str) -> None:
    """At every dtype, against the float64 reference of the same (rounded) inputs, infinities and NaN included."""
    for dtype in _at_dtypes(at):
        case = at.case.at(dtype)
        wide = [x.astype(np.float64) if i in at.floating else x for i, x in enumerate(case.inputs)]
        outs = run(at.primitive, case.inputs, case.params, backend)
        for out, expected in zip(outs, run(at.primitive, wide, case.params), strict=True):
            if as_dtype(out.dtype).is_floating:
                with np.errstate(over="ignore"):
                    rounded = expected.astype(out.dtype).astype(np.float64)
                rtol = max(at.case.rtol or 0, RTOL[dtype])
                np.testing.assert_allclose(out.astype(np.float64), rounded, rtol=rtol, atol=ATOL[dtype])
            else:
                np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("at", CASES, ids=str)
def test_inputs_are_not_written_to(at: At) -> None:
    before = [x.copy() for x in at.case.inputs]
    frozen = [x.copy() for x in at.case.inputs]
    for x in frozen:
        x.flags.writeable = False
    with np.errstate(all="ignore"):
        at.primitive.rule("reference")(*frozen, **at.case.params)
    for x, b in zip(frozen, before, strict=True):
        np.testing.assert_array_equal(x, b)


@pytest.mark.parametrize("at", ERRORS, ids=str)
def test_wrong_inputs_raise_with_words(at: At) -> None:
    with pytest.raises(at.case.error) as caught:
        at.primitive(*tensors(at.case.inputs), **at.case.params)
    for word in at.case.words:
        assert word in str(caught.value)


# -------------------------------------------------------------------------------------------------------- derivatives


def _push(at: At, case: Case, tangents: Sequence[Any]) -> list[Any]:
    from treadle.transforms.derivative import push_node

    outs, made = push_node(at.primitive, case.params, tensors(case.inputs), tangents)
    for t, o in zip(made, outs, strict=True):
        assert t.spec == o.spec
    return [t for t, o in zip(made, outs, strict=True) if o.dtype.is_floating]


def _directions(at: At) -> list[Array | None]:
    rng = at.rng
    return [direction(rng, x) if i in at.floating else None for i, x in enumerate(at.case.inputs)]


def _tangents(case: Case, directions: Sequence[Array | None]) -> list[Any]:
    return [
        Zero(tensor(x).spec) if v is None else tensor(v.astype(x.dtype))
        for x, v in zip(case.inputs, directions, strict=True)
    ]


def _floating(outs: Sequence[Array]) -> tuple[Array, ...]:
    return tuple(o for o in outs if as_dtype(o.dtype).is_floating)


@pytest.mark.parametrize("at", DIFFERENTIABLE, ids=str)
def test_jvp_against_finite_differences(at: At) -> None:
    directions = _directions(at)
    expected = richardson(lambda h: _floating(run(at.primitive, moved(at, directions, h), at.case.params)))
    made = _push(at, at.case, _tangents(at.case, directions))
    for t, e in zip(made, expected, strict=True):
        np.testing.assert_allclose(number_of(t), e, rtol=at.case.rtol or 1e-7, atol=1e-9)


@pytest.mark.parametrize("at", [at for at in DIFFERENTIABLE if len(at.floating) > 1], ids=str)
def test_jvp_of_one_input_at_a_time_adds_up(at: At) -> None:
    """Symbolic zeros for the other tangents change nothing."""
    directions = _directions(at)
    whole = _push(at, at.case, _tangents(at.case, directions))
    parts = []
    for i in at.floating:
        alone = [v if j == i else None for j, v in enumerate(directions)]
        parts.append([number_of(t) for t in _push(at, at.case, _tangents(at.case, alone))])
    for k, t in enumerate(whole):
        np.testing.assert_allclose(sum(p[k] for p in parts), number_of(t), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("at", DIFFERENTIABLE, ids=str)
def test_jvp_keeps_the_dtype(at: At) -> None:
    """Derivatives at lower precision have that precision's dtype, and its accuracy."""
    directions = _directions(at)
    exact = _push(at, at.case, _tangents(at.case, directions))
    for dtype in _at_dtypes(at)[1:]:
        case = at.case.at(dtype)
        for t, e in zip(_push(at, case, _tangents(case, directions)), exact, strict=True):
            if dtype is float32:  # half precision also rounds the inputs: no bound holds for every primitive
                np.testing.assert_allclose(number_of(t), number_of(e), rtol=2e-4, atol=2e-5)


def _additive(at: At) -> Sequence[int]:
    return range(len(at.case.inputs)) if at.primitive.name in VARIADIC else at.primitive.additive


def _linear_subsets(at: At) -> list[tuple[int, ...]]:
    """The inputs that a transpose rule may be asked for together."""
    additive = _additive(at)
    jointly = [c for k in range(1, len(additive) + 1) for c in combinations(additive, k)]
    return jointly + [(i,) for i in at.primitive.multilinear]


def _linear_cases() -> list[Any]:
    return [
        pytest.param(at, subset, id=f"{at}-wrt{','.join(map(str, subset))}")
        for at in DIFFERENTIABLE
        if "transpose" in at.primitive.rules
        for subset in _linear_subsets(at)
        if set(subset) <= set(at.floating)
    ]


@pytest.mark.parametrize(("at", "subset"), _linear_cases())
def test_transpose_by_dot_product(at: At, subset: tuple[int, ...]) -> None:
    """⟨ct, A u⟩ = ⟨Aᵀ ct, u⟩ for the linear map A of the inputs in `subset`."""
    from treadle.transforms.derivative import pull_back

    rng, primitive, params = at.rng, at.primitive, at.case.params
    u = {i: direction(rng, at.case.inputs[i]) for i in subset}
    # The other additive inputs are known, and the map's constant part must not count.
    at_zero = [x * 0 if i in _additive(at) else x for i, x in enumerate(at.case.inputs)]
    outs = run(primitive, [u.get(i, x) for i, x in enumerate(at_zero)], params)
    cts = [direction(rng, o) for o in outs]
    inputs = [Unknown(x.spec) if i in subset else x for i, x in enumerate(tensors(at.case.inputs))]
    made = pull_back(primitive, params, inputs, tensors(cts))
    for i, c in enumerate(made):
        assert (c is not None) == (i in subset)
        assert c is None or c.spec == inputs[i].spec
    left = sum(np.vdot(c, o) for c, o in zip(cts, outs, strict=True))
    right = sum(np.vdot(number_of(made[i]), u[i]) for i in subset)
    np.testing.assert_allclose(right, left, rtol=1e-10, atol=1e-12)


def _as_function(at: At) -> Any:
    """The primitive as a function of its floating inputs, with its floating outputs as a tuple."""

    def function(*floats: Any) -> tuple[Any, ...]:
        given = iter(floats)
        inputs = [next(given) if i in at.floating else tensor(x) for i, x in enumerate(at.case.inputs)]
        outs = as_tuple(at.primitive, at.primitive(*inputs, **at.case.params))
        return tuple(o for o in outs if o.dtype.is_floating)

    return function


# A loop of unknown length has forward mode only.
REVERSIBLE = [at for at in DIFFERENTIABLE if at.case.params.get("max_steps", 0) is not None]


@pytest.mark.parametrize("at", REVERSIBLE, ids=str)
def test_reverse_mode_by_dot_product(at: At) -> None:
    """⟨ct, J v⟩ = ⟨Jᵀ ct, v⟩: the derivative rule is linear in the tangents, and made of what can be transposed."""
    rng = at.rng
    primals = [tensor(at.case.inputs[i]) for i in at.floating]
    v = [direction(rng, x.numpy()) for x in primals]
    outs, push = td.jvp(_as_function(at), primals, tensors(v))
    cts = [direction(rng, o.numpy()) for o in outs]
    _, pull = td.vjp(_as_function(at), *primals)
    made = pull(tuple(tensors(cts)))
    left = sum(np.vdot(c, t.numpy()) for c, t in zip(cts, push, strict=True))
    right = sum(np.vdot(g.numpy(), x) for g, x in zip(made, v, strict=True))
    np.testing.assert_allclose(right, left, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("at", DIFFERENTIABLE, ids=str)
def test_second_derivative_against_finite_differences(at: At) -> None:
    """Derivative rules are themselves differentiable, and rightly: along v, the derivative of the jvp along v."""
    function = _as_function(at)
    inputs = [at.case.inputs[i] for i in at.floating]
    v = [direction(at.rng, x) for x in inputs]

    def slope(*xs: Any) -> Any:
        return td.jvp(function, xs, tensors(v))[1]

    def at_step(h: float) -> tuple[Array, ...]:
        return tuple(t.numpy() for t in slope(*(tensor(x + h * d) for x, d in zip(inputs, v, strict=True))))

    _, second = td.jvp(slope, tensors(inputs), tensors(v))
    for t, e in zip(second, richardson(at_step), strict=True):
        np.testing.assert_allclose(t.numpy(), e, rtol=at.case.rtol or 1e-6, atol=1e-8)


# ------------------------------------------------------------------------------------------------------- batching, Dims


def _batch_cases() -> list[Any]:
    return [
        pytest.param(at, flags, id=f"{at}-{''.join('b' if b else '-' for b in flags)}")
        for at in CASES
        if at.case.inputs and not at.case.special
        for flags in batched_subsets(len(at.case.inputs))
    ]


@pytest.mark.parametrize(("at", "batched"), _batch_cases())
def test_batch_rule_against_a_loop(at: At, batched: tuple[bool, ...]) -> None:
    size = 3
    each = examples(at, batched, size)
    one_by_one = [run(at.primitive, inputs, at.case.params) for inputs in each]
    stacked = [
        tensor(np.stack([inputs[i] for inputs in each]) if b else at.case.inputs[i]) for i, b in enumerate(batched)
    ]
    made = at.primitive.rule("batch")(batched, *stacked, size=size, **at.case.params)
    for k, out in enumerate(batched_outputs(at.primitive, made, size)):
        expected = np.stack([o[k] for o in one_by_one])
        assert (out.shape, out.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-13)


def _inferred(
    primitive: Primitive, dynamic: Sequence[Spec], params: dict[str, Any], sizes: dict[str, int]
) -> tuple[Spec, ...] | None:
    """Output specs; None where they are undecidable, which the message must blame on a Dim by name."""
    try:
        return primitive.infer(*dynamic, **params)
    except DimError as e:
        message = str(e)
    except ShapeError as e:
        if primitive.name not in COUNTS_AXES:
            raise
        message = str(e)
    assert any(name in message for name in sizes)
    return None


@pytest.mark.parametrize("primitive", [p for p in covered() if p.name not in FIXED_DTYPE], ids=lambda p: p.name)
def test_shape_rule_with_dims(primitive: Primitive) -> None:
    """With Dims for sizes, the shape rule gives what it gives for the sizes, or says which Dim leaves it undecided."""
    tried = decided = 0
    for at in CASES:
        if at.primitive is not primitive:
            continue
        concrete = primitive.infer(*specs(at.case.inputs), **at.case.params)
        for dynamic, params, sizes in with_dims(at):
            tried += 1
            outs = _inferred(primitive, dynamic, params, sizes)
            if outs is not None:
                decided += 1
                assert tuple(o.substitute(sizes) for o in outs) == concrete, str(at)
    assert decided or not tried
