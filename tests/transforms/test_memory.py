"""What transforms let go of: functions, graphs and values die with the last thing that needs them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

import treadle as td
from treadle.core.errors import GraphError
from treadle.core.graph import Graph
from treadle.core.primitive import Opaque


class Witness:
    """Something that a user's function closes over, to see when it dies."""

    scale = 2.0


def _custom_jvp(x: td.Tensor, w: Witness) -> td.Tensor:
    @td.custom_jvp
    def f(x: td.Tensor) -> td.Tensor:
        return x * w.scale

    f.def_jvp(lambda primals, tangents: (f(*primals), tangents[0] * w.scale))
    return f(x).sum()


def _custom_vjp(x: td.Tensor, w: Witness) -> td.Tensor:
    @td.custom_vjp
    def f(x: td.Tensor) -> td.Tensor:
        return x * w.scale

    f.def_vjp(lambda x: (x * w.scale, None), lambda _, ct: (ct * w.scale,))
    return f(x).sum()


def _loops(x: td.Tensor, w: Witness) -> td.Tensor:
    y = td.scan(lambda h, _: (h * w.scale, None), x, length=2)[0]
    z = td.checkpoint(lambda y: y * w.scale)(y)
    return td.cond(z.sum() > 0, lambda: z * w.scale, lambda: z).sum()


@pytest.mark.parametrize("use", [_custom_jvp, _custom_vjp, _loops])
@pytest.mark.parametrize("around", [lambda f: f, td.grad, td.compile, lambda f: td.compile(td.grad(f))])
def test_what_a_function_closes_over_dies_with_it(
    use: Callable[[td.Tensor, Witness], td.Tensor], around: Callable[[Callable[[td.Tensor], td.Tensor]], object]
) -> None:
    witness = Witness()
    seen = weakref.ref(witness)

    def run(w: Witness) -> td.Tensor:
        return around(lambda x: use(x, w))(td.ones(3))  # type: ignore[operator, no-any-return]

    result = run(witness)
    del witness
    gc.collect()
    assert seen() is None
    assert result.is_concrete


def test_text_that_names_a_dead_object_says_so() -> None:
    text = str(td.graph(lambda x: td.host(lambda a: a, x, result_shape=td.Spec((), td.float32)))(td.ones(())))
    gc.collect()
    with pytest.raises(GraphError, match="is gone"):
        Graph.parse(text)


def test_opaque_objects_are_found_while_they_live() -> None:
    opaque = Opaque(len, "len")
    assert Opaque.find(opaque.number) is opaque
    assert Opaque(len, "len").number != opaque.number
