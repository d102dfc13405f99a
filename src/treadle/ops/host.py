"""`host_call`: any Python function in the middle of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.dims import Dim
from treadle.core.errors import DerivativeError, ShapeError
from treadle.core.primitive import Opaque, Primitive
from treadle.core.registry import array_namespace
from treadle.core.spec import Spec, show_shape

_primitive = Primitive("host_call", multiple=True, effects=True)
_Outputs = tuple[tuple[Any, Any], ...]


@_primitive.shape
def _(*inputs: Spec, function: Opaque, outputs: _Outputs, batch: int) -> tuple[Spec, ...]:
    return tuple(Spec(shape, dtype) for shape, dtype in outputs)


@_primitive.reference
def _(*inputs: Any, function: Opaque, outputs: _Outputs, batch: int) -> tuple[Any, ...]:
    if batch < 0:
        return _checked(function, inputs, outputs)
    size = outputs[0][0][0] if outputs else len(inputs[0])
    inner = tuple((shape[1:], dtype) for shape, dtype in outputs)
    rows = [_reference_row(function, [x[i] for x in inputs], inner, batch) for i in range(int(size))]
    made = [np.empty(shape, dtype.numpy) for shape, dtype in outputs]
    for i, row in enumerate(rows):
        for target, value in zip(made, row, strict=True):
            target[i] = value
    return tuple(made)


def _reference_row(function: Opaque, inputs: Any, outputs: _Outputs, batch: int) -> tuple[Any, ...]:
    rule: tuple[Any, ...] = _primitive.rule("reference")(*inputs, function=function, outputs=outputs, batch=batch - 1)
    return rule


def _checked(function: Opaque, inputs: Any, outputs: _Outputs) -> tuple[Any, ...]:
    made = function.value(*inputs)
    if len(made) != len(outputs):
        raise ShapeError(f"host function {function.name}: {len(outputs)} results were promised, {len(made)} came")
    for value, (shape, dtype) in zip(made, outputs, strict=True):
        if np.shape(value) != tuple(shape):
            raise ShapeError(
                f"host function {function.name}: a result of shape {show_shape(shape)} was promised, "
                f"{show_shape(np.shape(value))} came"
            )
        if not np.can_cast(np.asarray(value).dtype, dtype.numpy, "same_kind"):
            raise ShapeError(
                f"host function {function.name}: a result of dtype {dtype} was promised, {np.asarray(value).dtype} came"
            )
    return tuple(np.array(v, d.numpy) for v, (_, d) in zip(made, outputs, strict=True))


@_primitive.jvp
def _(primals: Any, tangents: Any, out: Any, *, function: Opaque, **_: Any) -> Any:
    raise DerivativeError(
        f"the host function {function.name} has no derivative: treadle cannot look into it. "
        "Wrap the call in a td.custom_jvp function, or put td.stop_gradient around its arguments"
    )


@_primitive.batch
def _(batched: Any, *inputs: Any, size: Any, function: Opaque, outputs: _Outputs, batch: int) -> Any:
    """Once for each example, in order. `batch` counts the mapped axes, less one."""
    from treadle.ops import shape as shape_ops

    full = [x if b else shape_ops.broadcast(x, shape=(size, *x.shape)) for x, b in zip(inputs, batched, strict=True)]
    new = tuple(((size, *shape), dtype) for shape, dtype in outputs)
    return _primitive(*full, function=function, outputs=new, batch=batch + 1)


@_primitive.samples
def _(s: Any) -> Iterator[Any]:
    from treadle.core.dtypes import float64

    function = Opaque(lambda x: (np.flip(x),), "flip")
    outputs = (((3,), float64),)
    yield s.case(s.normal(3), function=function, outputs=outputs, batch=-1, differentiable=False)
    wrong = (((2,), float64),)
    yield s.error(np.zeros(3), ShapeError, "flip", "[2]", "[3]", function=function, outputs=wrong, batch=-1)


def host_call(function: Callable[..., Any], *args: Any, result: Any) -> Any:
    """Call a Python function with NumPy arrays, from inside compiled code too.

    It runs once at each run of the graph, in the place where it stands, and counts as an effect: it is neither dropped
    nor repeated. Under `td.vmap` it runs once for each example.

    Args:
        function: takes trees of NumPy arrays like `args`, returns a tree like `result`.
        args: trees of tensors.
        result: what the function returns: a tree of `td.Spec` (or of tensors with those shapes and dtypes).

    Raises:
        ShapeError: the function returns other shapes or dtypes than promised (when it runs).
        DerivativeError: a derivative through it is asked for.

    >>> import treadle as td
    >>> f = td.compile(lambda x: td.host_call(np.sort, x, result=x) + 1)
    >>> f(td.asarray([3., 1., 2.])).tolist()
    [2.0, 3.0, 4.0]
    """
    ns = array_namespace()
    leaves, structure = trees.flatten(args)
    promised, shape = trees.flatten(result)
    outputs = tuple((p.shape, p.dtype) for p in promised)
    for n, _ in outputs:
        if any(isinstance(k, Dim) for k in n) and not leaves:
            raise ShapeError("host_call: a result with unknown sizes needs an argument that has them")

    def flat(*arrays: Any) -> Any:
        made = function(*trees.unflatten(structure, list(arrays)))
        values, found = trees.flatten(made)
        if found != shape and (values or promised):
            raise ShapeError(f"host function: promised {shape.paths()}, returned {found.paths()}")
        return values

    opaque = Opaque(flat, getattr(function, "__name__", None))
    outs = _primitive(*(ns.asarray(x) for x in leaves), function=opaque, outputs=outputs, batch=-1)
    return trees.unflatten(shape, list(outs))
