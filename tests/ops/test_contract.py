"""`contract` against `numpy.einsum` over drawn pairings of axes. The battery does the rest."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ops._battery import run, tensor
from treadle.core.dims import Dim
from treadle.core.dtypes import float32
from treadle.core.errors import DimError, ShapeError
from treadle.core.primitive import Unknown
from treadle.core.spec import Spec
from treadle.ops.contract import contract

MATMUL: dict[str, Any] = {"batch": ((), ()), "axes": ((1,), (0,))}


@st.composite
def products(draw: Any) -> Any:
    """Two arrays, the parameters, and the same product for einsum."""
    kinds = draw(st.lists(st.sampled_from(["batch", "summed", "x", "y"]), max_size=5))
    letters = "abcde"[: len(kinds)]
    sizes = {c: draw(st.integers(0, 3)) for c in letters}
    by_kind = {
        k: [c for c, kind in zip(letters, kinds, strict=True) if kind == k] for k in ("batch", "summed", "x", "y")
    }
    x = draw(st.permutations(by_kind["batch"] + by_kind["summed"] + by_kind["x"]))
    y = draw(st.permutations(by_kind["batch"] + by_kind["summed"] + by_kind["y"]))

    def pairs(kind: str) -> Any:
        order = draw(st.permutations(by_kind[kind]))
        return order, (tuple(map(x.index, order)), tuple(map(y.index, order)))

    (lead, batch), (_, axes) = pairs("batch"), pairs("summed")
    result = [*lead, *(c for c in x if c in by_kind["x"]), *(c for c in y if c in by_kind["y"])]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    arrays = [rng.normal(size=[sizes[c] for c in side]) for side in (x, y)]
    return arrays, {"batch": batch, "axes": axes}, f"{''.join(x)},{''.join(y)}->{''.join(result)}"


@given(products())
def test_contract_is_einsum(case: Any) -> None:
    arrays, params, subscripts = case
    (out,) = run(contract, arrays, params)
    np.testing.assert_allclose(out, np.einsum(subscripts, *arrays), atol=1e-13)


@given(products())
def test_transposes_by_dot_product(case: Any) -> None:
    arrays, params, _ = case
    (out,) = run(contract, arrays, params)
    ct = np.random.default_rng(1).normal(size=out.shape)
    for i in range(2):
        inputs: list[Any] = [tensor(a) for a in arrays]
        inputs[i] = Unknown(inputs[i].spec)
        made = contract.rule("transpose")(tensor(ct), *inputs, **params)
        assert made[1 - i] is None
        assert made[i].spec == inputs[i].spec
        np.testing.assert_allclose(np.vdot(made[i].numpy(), arrays[i]), np.vdot(ct, out), atol=1e-11)


@given(products(), st.sampled_from([(True, False), (False, True), (True, True)]))
def test_the_batch_rule_is_a_loop(case: Any, batched: tuple[bool, bool]) -> None:
    arrays, params, _ = case
    stacked = [np.stack([a, -a, 2 * a]) if b else a for a, b in zip(arrays, batched, strict=True)]
    made = contract.rule("batch")(batched, *map(tensor, stacked), size=3, **params).numpy()
    for k in range(3):
        (one,) = run(contract, [a[k] if b else a for a, b in zip(stacked, batched, strict=True)], params)
        np.testing.assert_allclose(made[k], one, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_adds_up_in_float32(dtype: Any) -> None:
    """In its own precision the sum would stall at 2048 or 256."""
    (out,) = run(contract, [np.ones((1, 5000), dtype), np.ones((5000, 1), dtype)], MATMUL)
    assert out.dtype == dtype
    assert out == np.array(5000, dtype)


def test_integers_wrap_in_their_own_dtype() -> None:
    (out,) = run(contract, [np.full((1, 2), 100, np.int8), np.full((2, 1), 2, np.int8)], MATMUL)
    assert (out.dtype, out.item()) == (np.int8, 400 - 512)


def test_sizes_that_are_not_known() -> None:
    n, m = Dim("n"), Dim("m")
    x = Spec((n, 784), float32)
    assert contract.infer(x, Spec((784, 10), float32), **MATMUL) == (Spec((n, 10), float32),)
    with pytest.raises(ShapeError, match=r"f32\[n,784\] and f32\[10,3\] have no product.*784.*10"):
        contract.infer(x, Spec((10, 3), float32), **MATMUL)
    with pytest.raises(DimError, match=r"a product of f32\[3,n\] and f32\[m,3\].*m, n"):
        contract.infer(Spec((3, n), float32), Spec((m, 3), float32), **MATMUL)
