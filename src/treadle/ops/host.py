"""`host`: any Python function in the middle of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.dims import Dim
from treadle.core.errors import DerivativeError, ShapeError
from treadle.core.primitive import Opaque, Primitive, Zero
from treadle.core.registry import array_namespace
from treadle.core.running import keep_result, next_result
from treadle.core.spec import Spec, show_shape
from treadle.ops.control.custom import linear_call
from treadle.ops.layout import instantiate

_primitive = Primitive("host", multiple=True, effects=True)
_Outputs = tuple[tuple[Any, Any], ...]


@_primitive.shape
def _(*inputs: Spec, function: Opaque, derivative: Opaque | None, outputs: _Outputs, batch: int) -> tuple[Spec, ...]:
    return tuple(Spec(shape, dtype) for shape, dtype in outputs)


@_primitive.reference
def _(*inputs: Any, function: Opaque, derivative: Opaque | None, outputs: _Outputs, batch: int) -> tuple[Any, ...]:
    made = next_result()
    if made is None:
        made = _call(inputs, function, outputs, batch)
    keep_result(made)  # of a repeated run too: what repeats may itself be repeated
    return made  # type: ignore[no-any-return]


def _call(inputs: Sequence[Any], function: Opaque, outputs: _Outputs, batch: int) -> tuple[Any, ...]:
    if batch < 0:
        return _checked(function, inputs, outputs)
    size = outputs[0][0][0] if outputs else len(inputs[0])
    inner = tuple((shape[1:], dtype) for shape, dtype in outputs)
    rows = [_call([x[i] for x in inputs], function, inner, batch - 1) for i in range(int(size))]
    made = [np.empty(shape, dtype.numpy) for shape, dtype in outputs]
    for i, row in enumerate(rows):
        for target, value in zip(made, row, strict=True):
            target[i] = value
    return tuple(made)


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
def _(
    primals: Any,
    tangents: Any,
    out: Any,
    *,
    function: Opaque,
    derivative: Opaque | None,
    outputs: _Outputs,
    batch: int,
) -> list[Any]:
    """What the derivative makes of cotangents is the transpose of a linear map that is not written down."""
    if derivative is None:
        raise DerivativeError(
            f"the host function {function.name} has no derivative: treadle cannot look into it. Give td.host its "
            "derivative=, or put td.stop_gradient around the arguments"
        )
    floating = [x.dtype.is_floating for x in primals]
    wanted = tuple(not isinstance(t, Zero) for t in tangents)
    specs = tuple((x.shape, x.dtype) for x, f in zip(primals, floating, strict=True) if f)

    def backward(*xs: Any) -> list[Any]:
        made = iter(_primitive(*xs, function=derivative, derivative=None, outputs=specs, batch=batch))
        return [next(made) if f else None for f in floating]

    moved = [instantiate(t) for t in tangents if not isinstance(t, Zero)]
    made = linear_call(
        *primals,
        *moved,
        backward=Opaque(backward, derivative.name),
        residuals=len(primals),
        wanted=wanted,
        outputs=tuple((o.shape, o.dtype) for o in out),
    )
    return [t if o.dtype.is_floating else Zero(o.spec) for t, o in zip(made, out, strict=True)]


@_primitive.batch
def _(batched: Any, *inputs: Any, size: Any, outputs: _Outputs, batch: int, **params: Any) -> Any:
    """Once for each example, in order. `batch` counts the mapped axes, less one."""
    from treadle.ops import shape as shape_ops

    full = [x if b else shape_ops.broadcast(x, shape=(size, *x.shape)) for x, b in zip(inputs, batched, strict=True)]
    new = tuple(((size, *shape), dtype) for shape, dtype in outputs)
    return _primitive(*full, outputs=new, batch=batch + 1, **params)


@_primitive.samples
def _(s: Any) -> Iterator[Any]:
    from treadle.core.dtypes import float64

    function = Opaque(lambda x: (np.flip(x),), "flip")
    params = {"function": function, "derivative": None, "batch": -1}
    yield s.case(s.normal(3), outputs=(((3,), float64),), differentiable=False, **params)
    yield s.error(np.zeros(3), ShapeError, "flip", "[2]", "[3]", outputs=(((2,), float64),), **params)


def host(
    function: Callable[..., Any], *args: Any, result_shape: Any, derivative: Callable[..., Any] | None = None
) -> Any:
    """Call a Python function with NumPy arrays, from inside compiled code too.

    It runs once at each run of the graph, in the place where it stands, and counts as an effect: it is neither dropped
    nor repeated: not by derivatives either, which go over a loop again with what it returned. `td.checkpoint` alone
    computes again, and so calls again. Under `td.vmap` it runs once for each example.

    Args:
        function: takes trees of NumPy arrays like `args`, returns a tree like `result_shape`.
        args: trees of tensors.
        result_shape: what the function returns: a tree of `td.Spec` (or of tensors with those shapes and dtypes); None
            for nothing.
        derivative: for reverse mode: takes the arrays of `args` and then the cotangent of the result, a tree like it;
            returns a tuple with the cotangent of each argument (None: it has none).

    Raises:
        ShapeError: the function returns other shapes or dtypes than promised (when it runs).
        DerivativeError: a derivative through it is asked for, and none is given.

    >>> import treadle as td
    >>> f = td.compile(lambda x: td.host(np.sort, x, result_shape=x) + 1)
    >>> f(td.asarray([3., 1., 2.])).tolist()
    [2.0, 3.0, 4.0]
    >>> cube = lambda x: td.host(lambda x: x**3, x, result_shape=x, derivative=lambda x, ct: (3 * x**2 * ct,))
    >>> td.grad(cube)(td.asarray(2.0)).item()
    12.0
    """
    ns = array_namespace()
    leaves, structure = trees.flatten(args)
    promised, shape = trees.flatten(result_shape)
    outputs = tuple((p.shape, p.dtype) for p in promised)
    for n, _ in outputs:
        if any(isinstance(k, Dim) for k in n) and not leaves:
            raise ShapeError("td.host: a result with unknown sizes needs an argument that has them")

    def flat(*arrays: Any) -> Any:
        made = function(*trees.unflatten(structure, list(arrays)))
        values, found = trees.flatten(made)
        if found != shape and (values or promised):
            raise ShapeError(f"host function: promised {shape.paths()}, returned {found.paths()}")
        return values

    inputs = [ns.asarray(x) for x in leaves]
    name = getattr(function, "__name__", None)
    back = None
    if derivative is not None:
        back = Opaque(_flat_derivative(derivative, structure, shape, inputs), f"derivative_of_{name or 'function'}")
    outs = _primitive(*inputs, function=Opaque(flat, name), derivative=back, outputs=outputs, batch=-1)
    return trees.unflatten(shape, list(outs))


def _flat_derivative(
    derivative: Callable[..., Any], structure: trees.Structure, shape: trees.Structure, inputs: Sequence[Any]
) -> Callable[..., Any]:
    """(arrays of the arguments, of the cotangents) → cotangents of the floating arguments."""
    floating = [x.dtype.is_floating for x in inputs]

    def flat(*arrays: Any) -> list[Any]:
        n = len(inputs)
        given = trees.unflatten(structure, list(arrays[:n]))
        cts = derivative(*given, trees.unflatten(shape, list(arrays[n:])))
        if not isinstance(cts, tuple) or len(cts) != len(given):
            raise ShapeError(
                f"the derivative of a host function must return a tuple with one cotangent an argument, {len(given)} "
                f"of them, and returned {type(cts).__name__ if not isinstance(cts, tuple) else len(cts)}"
            )
        out: list[Any] = []
        for ct, child in zip(cts, structure.children, strict=True):
            out += [None] * child.count if ct is None else trees.leaves(ct)
        full = [np.zeros_like(x) if ct is None else ct for ct, x in zip(out, arrays, strict=False)]
        return [ct for ct, f in zip(full, floating, strict=True) if f]

    return flat
