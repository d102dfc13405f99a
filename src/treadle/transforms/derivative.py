"""Tangents and cotangents of one node: the driver around the primitives' jvp and transpose rules."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias, Union

from treadle.core.errors import DerivativeError
from treadle.core.graph import has_effects
from treadle.core.primitive import Primitive, Unknown, Zero
from treadle.core.running import repeating
from treadle.core.source import phase
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.core.tracing import bind_known, is_transposable
from treadle.ops import shape as shape_ops
from treadle.ops.layout import instantiate, zeros

__all__ = ["Tangent", "add_tangents", "instantiate", "is_zero", "pull_back", "push_forward", "push_node"]

Tangent: TypeAlias = Union[Tensor, Zero]


def is_zero(t: Any) -> bool:
    return isinstance(t, Zero)


def add_tangents(a: Tangent, b: Tangent) -> Tangent:
    if isinstance(a, Zero):
        return b
    return a if isinstance(b, Zero) else a + b


def push_forward(
    primitive: Primitive,
    params: dict[str, Any],
    primals: Sequence[Tensor],
    tangents: Sequence[Tangent],
    outs: Sequence[Tensor],
) -> list[Tangent]:
    """Tangents of a node's outputs from the tangents of its inputs.

    Raises:
        DerivativeError: the primitive has none.
    """
    zero = [Zero(o.spec) for o in outs]
    if all(is_zero(t) for t in tangents) or not any(o.dtype.is_floating for o in outs):
        return list(zero)
    if "jvp" in primitive.rules:
        out = tuple(outs) if primitive.multiple else outs[0]
        made = primitive.rules["jvp"](tuple(primals), tuple(tangents), out, **params)
    elif primitive.additive:
        made = _additive(primitive, params, primals, tangents)
    elif primitive.multilinear:
        made = _multilinear(primitive, params, primals, tangents, outs)
    else:
        raise DerivativeError(f"the operation `{primitive.name}` has no derivative")
    results = list(made) if primitive.multiple else [made]
    return [_fit(t, o.spec) for t, o in zip(results, outs, strict=True)]


def push_node(
    primitive: Primitive,
    params: dict[str, Any],
    primals: Sequence[Tensor],
    tangents: Sequence[Tangent],
    *,
    rule: str = "push",
    known: Sequence[Any] | None = None,
    called: list[Any] | None = None,
) -> tuple[Sequence[Tensor], Sequence[Tangent]]:
    """A node's outputs and their tangents.

    Args:
        rule: the rule that makes both at once, where the primitive has one: "push", or "linearize".
        known: the outputs' numbers, where they have been computed already.
        called: what the host functions inside of it returned then, to be returned again.
    """
    active = any(not is_zero(t) for t in tangents)
    if any(map(is_transposable, tangents)):
        # A derivative rule of the user's asks for forward mode on tangents that reverse mode will transpose: one loop
        # for both values and tangents would not be linear.
        rule = "linearize"
    if active and rule in primitive.rules:
        # Where the numbers are known, the effects have happened: the rule runs the same again.
        with repeating(called) if known is not None and has_effects(primitive, params) else nullcontext():
            outs, made = primitive.rules[rule](primals, tangents, **params)
        return outs, made
    outs = bind_known(primitive, primals, params, known)
    if not active:
        return outs, [Zero(o.spec) for o in outs]
    with phase("derivative"):
        return outs, push_forward(primitive, params, primals, tangents, outs)


def _fit(t: Any, spec: Spec) -> Tangent:
    if is_zero(t) or not spec.dtype.is_floating:
        return Zero(spec)
    if t.shape != spec.shape:
        t = shape_ops.broadcast(t, shape=spec.shape)
    return t  # type: ignore[no-any-return]


def _additive(
    primitive: Primitive, params: dict[str, Any], primals: Sequence[Tensor], tangents: Sequence[Tangent]
) -> Any:
    inputs = list(primals)
    for i in primitive.additive:
        t = tangents[i]
        if isinstance(t, Zero):  # operands that stretch can stay a scalar
            t = zeros(t.spec.with_shape(())) if primitive.stretches else zeros(t.spec)
        inputs[i] = t
    return primitive(*inputs, **params)


def _multilinear(
    primitive: Primitive,
    params: dict[str, Any],
    primals: Sequence[Tensor],
    tangents: Sequence[Tangent],
    outs: Sequence[Tensor],
) -> Tangent:
    total: Tangent = Zero(outs[0].spec)
    for i in primitive.multilinear:
        t = tangents[i]
        if not isinstance(t, Zero):
            total = add_tangents(total, primitive(*primals[:i], t, *primals[i + 1 :], **params))
    return total


def pull_back(
    primitive: Primitive,
    params: dict[str, Any],
    inputs: Sequence[Tensor | Unknown],
    cotangents: Sequence[Tangent],
) -> list[Tangent | None]:
    """Cotangents of the inputs that are Unknown, from those of the outputs; None for the others.

    Raises:
        DerivativeError: the primitive is not linear in them.
    """
    if all(is_zero(c) for c in cotangents):
        return [Zero(x.spec) if isinstance(x, Unknown) else None for x in inputs]
    rule = primitive.rules.get("transpose")
    if rule is None:
        raise DerivativeError(
            f"`{primitive.name}` is used on a tangent, but it is not linear. Inside a derivative rule, use linear "
            "operations on tangents only"
        )
    if sum(isinstance(inputs[i], Unknown) for i in primitive.multilinear) > 1:
        raise DerivativeError(
            f"`{primitive.name}` of two values that both depend on a tangent is not linear. Inside a derivative rule, "
            "use linear operations on tangents only"
        )
    ct = tuple(cotangents) if primitive.multiple else cotangents[0]
    made = rule(ct, *inputs, **params)
    out: list[Tangent | None] = []
    for x, c in zip(inputs, made, strict=True):
        if not isinstance(x, Unknown):
            out.append(None)
        else:
            out.append(Zero(x.spec) if c is None else c)
    return out
