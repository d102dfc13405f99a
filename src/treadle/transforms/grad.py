"""Reverse mode: `grad`, `value_and_grad`, `vjp`. Each is linearize, then transpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from treadle.core.errors import ArgumentError, DerivativeError
from treadle.core.primitive import Zero
from treadle.core.registry import array_namespace
from treadle.core.tensor import Tensor
from treadle.transforms.arguments import Result, argument_numbers, function_name
from treadle.transforms.capture import TracedCall, trace_call
from treadle.transforms.derivative import Tangent, instantiate
from treadle.transforms.linearize import LinearMap, linearize


@dataclass
class Linearized:
    """A function near a point: what it returned, and the linear map of the wanted tensors."""

    call: TracedCall
    outs: list[Tensor]
    map: LinearMap

    @property
    def value(self) -> Any:
        return self.call.value(self.outs)


def linearize_call(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    argnums: Sequence[int],
    *,
    creator: str,
    has_aux: bool = False,
) -> Linearized:
    """Trace a call with numbers, linearize it in some of its positional arguments, and assign what it assigned."""
    call = trace_call(function, args, kwargs, argnums, creator=creator, has_aux=has_aux)
    t, tensors = call.traced, call.wanted.tensors
    outs, linear = linearize(t.graph, tensors, t.captured, [True] * len(tensors), t.values)
    t.values.clear()  # the linear map keeps the residuals that it needs; pull and push may live long
    call.assign(outs)
    return Linearized(call, outs, linear)


def value_and_grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the value of `function` and its gradient.

    The gradient has the structure of the argument; a module's is a dict of its parameters by path. Outside of
    `td.compile` the function runs with numbers: `if loss > 3:`, `print` and debuggers work inside.

    Args:
        function: returns a floating-point scalar, or (scalar, aux) with `has_aux`.
        argnums: the positional argument, or several, that the derivative is taken with respect to.
        has_aux: the function also returns something that is passed on without derivative.

    Returns: a function that returns (value, gradient), or ((value, aux), gradient).

    Raises:
        DerivativeError: the value is no scalar, or an argument is no floating-point tensor.

    >>> import treadle as td
    >>> value, slope = td.value_and_grad(lambda x: (x**3).sum())(td.asarray([1., 2.]))
    >>> value.item(), slope.tolist()
    (9.0, [3.0, 12.0])
    """
    creator = f"td.grad({function_name(function)})"
    nums = argument_numbers(argnums, creator)

    @wraps(function, updated=())
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        near = linearize_call(function, args, kwargs, nums, creator=creator, has_aux=has_aux)
        loss = _scalar(near, creator)
        seed = array_namespace().ones((), dtype=loss.dtype)
        rest: list[Tangent] = [Zero(s) for s in near.map.output_specs[1:]]
        gradients = [instantiate(t) for t in near.map.transpose([seed, *rest])]
        trees_of = near.call.wanted.put(gradients)
        out = trees_of[0] if isinstance(argnums, int) else tuple(trees_of)
        return ((near.value, near.call.aux_value(near.outs)), out) if has_aux else (near.value, out)

    return wrapped


def _scalar(near: Linearized, creator: str) -> Tensor:
    leaves, tensors = near.call.result.leaves, near.call.result.tensors
    if len(leaves) == 1 and not tensors:
        raise DerivativeError(
            f"{creator}: the function must return one scalar tensor, and returned {leaves[0]!r}, which no longer knows "
            "what it was computed from. Leave out .item(), float(…) and the like"
        )
    if len(leaves) != 1 or len(tensors) != 1:
        raise DerivativeError(
            f"{creator}: the function must return one scalar, and returned {len(leaves)} things. "
            "Return (loss, aux) with has_aux=True for more"
        )
    spec = near.outs[0].spec
    if spec.shape != () or not spec.dtype.is_floating:
        raise DerivativeError(
            f"{creator}: the function must return one floating-point scalar, and returned {spec}. "
            "Reduce it with .sum() or .mean(), or use td.jacobian or td.vjp"
        )
    return near.outs[0]


def grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of `function`; see `value_and_grad`.

    Returns: a function that returns the gradient, or (gradient, aux) with `has_aux`.

    Raises:
        DerivativeError: the value is no scalar, or an argument is no floating-point tensor.

    >>> import treadle as td
    >>> td.grad(td.tanh)(td.asarray(0.0)).item()
    1.0
    >>> td.grad(td.grad(lambda x: x**3))(td.asarray(2.0)).item()
    12.0
    """
    both = value_and_grad(function, argnums, has_aux=has_aux)

    @wraps(function, updated=())
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def vjp(function: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The value of `function(*args)`, and the function that maps a cotangent of it to cotangents of the arguments.

    Returns: (value, pull); `pull(cotangent)` takes a tree like the value and returns a tuple, one entry an argument.

    Raises:
        DerivativeError: an argument is no floating-point tensor.

    >>> import treadle as td
    >>> y, pull = td.vjp(td.sin, td.asarray([0.0]))
    >>> pull(td.asarray([2.0]))[0].tolist()
    [2.0]
    """
    creator = f"td.vjp({function_name(function)})"
    near = linearize_call(function, args, {}, range(len(args)), creator=creator)
    specs = near.map.output_specs[: len(near.call.result.positions)]

    def pull(cotangent: Any) -> Any:
        given = Result.of(cotangent)
        if given.structure != near.call.result.structure:
            raise ArgumentError(
                f"{creator}: the cotangent must have the structure of the value, {near.call.result.structure.paths()}"
            )
        cts: list[Tangent] = []
        for c, s in zip(given.tensors, specs, strict=True):
            if c.spec != s:
                raise DerivativeError(f"{creator}: the value is {s}, so its cotangent must be, and is {c.spec}")
            cts.append(c)
        cts += [Zero(s) for s in near.map.output_specs[len(cts) :]]
        return tuple(near.call.wanted.put([instantiate(t) for t in near.map.transpose(cts)]))

    return near.value, pull
