"""Whole derivative matrices: `jacobian`, `hessian`, and the Hessian-vector product `hvp`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from treadle.core.dims import Size
from treadle.core.errors import ArgumentError, DerivativeError, DimError
from treadle.core.primitive import Zero
from treadle.core.registry import array_namespace
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.core.tracing import trace
from treadle.ops.control.custom import linear_call
from treadle.transforms.arguments import argument_numbers, function_name
from treadle.transforms.batching import batch_graph, stretch
from treadle.transforms.derivative import instantiate
from treadle.transforms.forward import check_sequences, jvp
from treadle.transforms.grad import Linearized, grad, linearize_call


def jacobian(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, *, mode: str | None = None, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns all partial derivatives of `function`.

    For a value of shape `[a...]` and an argument of shape `[b...]` the result has shape `[a..., b...]`. The function
    runs once; the linear map it leaves is applied to all unit vectors at once.

    Args:
        argnums: the positional argument, or several.
        mode: "forward", "reverse", or None: the cheaper one, by the sizes of argument and value.
        has_aux: the function returns (value, aux), and the jacobian (jacobian, aux).

    Returns: a function returning a tree like the value, whose leaves are trees like the argument (a tuple of those for
        several argnums).

    Raises:
        DerivativeError: an argument is no floating-point tensor.
        ArgumentError: there is no such mode.

    >>> import treadle as td
    >>> td.jacobian(lambda x: x**2)(td.asarray([1., 2.])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    creator = f"td.jacobian({function_name(function)})"
    nums = argument_numbers(argnums, creator)
    if mode not in (None, "forward", "reverse"):
        raise ArgumentError(f"{creator}: mode must be 'forward', 'reverse' or None, and is {mode!r}")

    @wraps(function, updated=())
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        near = linearize_call(function, args, kwargs, nums, creator=creator, has_aux=has_aux)
        n = len(near.call.result.positions)
        rows = _forward(near, n) if _is_forward(near, n, mode) else _reverse(near, n)
        leaves = []
        for row in rows:
            made = near.call.wanted.put(row)
            leaves.append(made[0] if isinstance(argnums, int) else tuple(made))
        out = near.call.result.rebuild(leaves)
        return (out, near.call.aux_value(near.outs)) if has_aux else out

    return wrapped


def _is_forward(near: Linearized, n: int, mode: str | None) -> bool:
    if mode is not None:
        return mode == "forward"
    if any(node.primitive is linear_call for node in near.map.graph.walk()):  # custom_vjp has no forward mode
        return False
    inputs: Size = sum((x.size for x in near.call.wanted.tensors), 0)
    outputs: Size = sum((s.size for s in near.map.output_specs[:n]), 0)
    try:
        return bool(inputs <= outputs)
    except DimError:  # it depends on a size that is not known yet; either is right
        return False


def _basis(spec: Spec) -> Tensor:
    """All unit vectors of a shape, along axis 0."""
    ns = array_namespace()
    count = spec.size
    return ns.reshape(ns.eye(count, dtype=spec.dtype), (count, *spec.shape))  # type: ignore[no-any-return]


def _forward(near: Linearized, n: int) -> list[list[Tensor]]:
    """For each output, its derivatives in each wanted tensor: the map applied to the unit vectors of each input."""
    ns = array_namespace()
    specs = [x.spec for x in near.call.wanted.tensors]
    rows: list[list[Tensor]] = [[] for _ in range(n)]
    for i, spec in enumerate(specs):
        size = spec.size
        inputs = [_basis(s) if j == i else instantiate(Zero(s)) for j, s in enumerate(specs)]
        flags = [j == i for j in range(len(specs))]
        outs, batched = batch_graph(near.map.graph, inputs, flags, size, near.map.residuals)
        for k in range(n):
            place, out_spec = near.map.outputs[k], near.map.output_specs[k]
            shape = (*out_spec.shape, *spec.shape)
            if place is None:
                rows[k].append(instantiate(Zero(Spec(shape, out_spec.dtype))))
                continue
            columns = outs[place] if batched[place] else stretch(outs[place], size)
            rows[k].append(ns.reshape(ns.moveaxis(columns, 0, -1), shape))
    return rows


def _reverse(near: Linearized, n: int) -> list[list[Tensor]]:
    """The transposed map applied to the unit vectors of each output."""
    ns = array_namespace()
    specs = [x.spec for x in near.call.wanted.tensors]
    rows = []
    for k in range(n):
        place, out_spec = near.map.outputs[k], near.map.output_specs[k]
        if place is None:
            rows.append([instantiate(Zero(Spec((*out_spec.shape, *s.shape), s.dtype))) for s in specs])
            continue

        def pull(ct: Tensor, k: int = k) -> list[Tensor]:
            cts = [ct if j == k else Zero(s) for j, s in enumerate(near.map.output_specs)]
            return [instantiate(t) for t in near.map.transpose(cts)]

        traced = trace(pull, [out_spec], kind="stage", creator="td.jacobian", name="pull")
        size = out_spec.size
        outs, batched = batch_graph(traced.graph, [_basis(out_spec)], [True], size, traced.captured)
        full = [x if b else stretch(x, size) for x, b in zip(outs, batched, strict=True)]
        rows.append([ns.reshape(x, (*out_spec.shape, *s.shape)) for x, s in zip(full, specs, strict=True)])
    return rows


def hessian(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """A function that returns all second derivatives of a scalar function: forward over reverse.

    For an argument of shape `[a...]` the result has shape `[a..., a...]`; for a tree, a tree of trees.

    Raises:
        DerivativeError: the value is no scalar, or an argument is no floating-point tensor.

    >>> import treadle as td
    >>> td.hessian(lambda x: (x**3).sum())(td.asarray([1., 2.])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """
    out = jacobian(grad(function, argnums), argnums, mode="forward")
    return wraps(function, updated=())(out)


def hvp(function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The Hessian of a scalar function at `primals`, times `tangents`, without forming it (Pearlmutter 1994).

    Args:
        primals, tangents: one entry an argument, of equal structure, shapes and dtypes.

    Returns: a tree like the first argument (a tuple of those for several).

    Raises:
        DerivativeError: the value is no scalar, or a tangent does not fit.
        ArgumentError: primals or tangents is no list or tuple.

    >>> import treadle as td
    >>> td.hvp(lambda x: (x**3).sum(), [td.asarray([1., 2.])], [td.asarray([1., 1.])]).tolist()
    [6.0, 12.0]
    """
    check_sequences("td.hvp", primals, tangents)
    if not primals:
        raise DerivativeError("td.hvp: give at least one argument")
    nums: int | tuple[int, ...] = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(grad(function, nums), primals, tangents)[1]
