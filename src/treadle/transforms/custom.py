"""Derivatives that the user writes: `custom_jvp`, `custom_vjp`; and `checkpoint`, `stop_gradient`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper, wraps
from typing import Any

from treadle.core import trees
from treadle.core.eager import is_eager
from treadle.core.errors import ArgumentError, DerivativeError
from treadle.core.primitive import Opaque
from treadle.core.registry import array_namespace
from treadle.core.tensor import Tensor
from treadle.core.tracing import bind_known, trace
from treadle.ops import elementwise as ew
from treadle.ops.control import custom as primitives
from treadle.ops.control.call import call as call_primitive
from treadle.transforms.arguments import Call, Result, function_name, run_eagerly, with_rebuild


class custom_jvp:  # noqa: N801, used as a decorator
    """A function whose derivative is written by hand, in forward mode; reverse mode is its transpose.

        @td.custom_jvp
        def f(x): ...

        @f.def_jvp
        def _(primals, tangents): return f(*primals), <tangent of the value>

    The tangent must be a linear function of `tangents`, made of treadle's operations.

    >>> import treadle as td
    >>> @td.custom_jvp
    ... def smooth_abs(x):
    ...     return td.abs(x)
    >>> @smooth_abs.def_jvp
    ... def _(primals, tangents):
    ...     (x,), (dx,) = primals, tangents
    ...     return smooth_abs(x), td.tanh(x) * dx
    >>> round(td.grad(smooth_abs)(td.asarray(0.5)).item(), 4)
    0.4621
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.rule: Callable[..., Any] | None = None
        update_wrapper(self, function, updated=())

    def def_jvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule: (primals, tangents) → (value, tangent of the value)."""
        self.rule = rule
        return rule

    def __call__(self, *args: Any) -> Any:
        if self.rule is None:
            raise ArgumentError(f"{function_name(self.function)}: write its derivative with @….def_jvp before using it")
        rule, name = self.rule, function_name(self.function)
        call = _FlatCall(self.function, args, f"td.custom_jvp({name})")

        def flat_rule(*xs: Tensor) -> list[Tensor]:
            n = len(call.inputs)
            primals, tangents = call.rebuild(xs[:n]), call.rebuild(xs[n:])
            made = rule(primals, tangents)
            if not isinstance(made, tuple) or len(made) != 2:
                raise ArgumentError(f"{name}: the def_jvp rule must return (value, tangent)")
            out = _flat_like(made[1], call.result, f"{name}: the tangent returned by its def_jvp rule")
            for t, s in zip(out, call.specs, strict=True):
                if s.dtype.is_floating and t.spec != s:
                    raise DerivativeError(f"{name}: the value is {s}, so its tangent must be, and is {t.spec}")
            return out

        return call.bind(primitives.custom_jvp, {"rule": Opaque(flat_rule, name)})


class custom_vjp:  # noqa: N801, used as a decorator
    """A function whose reverse-mode derivative is written by hand; `custom_jvp` gives forward mode too.

        @td.custom_vjp
        def f(x, y): ...

        f.def_vjp(forward, backward)

    `forward(*args)` returns (value, residuals); `backward(residuals, cotangent)` returns one cotangent an argument.

    >>> import treadle as td
    >>> @td.custom_vjp
    ... def clip_gradient(x):
    ...     return x
    >>> clip_gradient.def_vjp(lambda x: (x, None), lambda _, ct: (td.clip(ct, -1.0, 1.0),))
    >>> td.grad(lambda x: 5.0 * clip_gradient(x))(td.asarray(2.0)).item()
    1.0
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.rules: tuple[Callable[..., Any], Callable[..., Any]] | None = None
        self.forward_mode = False
        update_wrapper(self, function, updated=())

    def def_vjp(self, forward: Callable[..., Any], backward: Callable[..., Any], *, forward_mode: bool = False) -> None:
        """Set the rules: args → (value, residuals), and (residuals, cotangent) → a tuple of cotangents.

        Args:
            forward_mode: whether forward mode may differentiate the function as it is written, where the rules are
                there for speed or memory and not for another derivative; else it is an error.
        """
        self.rules, self.forward_mode = (forward, backward), forward_mode

    def __call__(self, *args: Any) -> Any:
        name = function_name(self.function)
        if self.rules is None:
            raise ArgumentError(f"{name}: write its derivative with def_vjp before using it")
        forward, backward = self.rules
        call = _FlatCall(self.function, args, f"td.custom_vjp({name})")
        structures: list[Result] = []

        def flat_forward(*xs: Tensor) -> list[Tensor]:
            made = forward(*call.rebuild(xs))
            if not isinstance(made, tuple) or len(made) != 2:
                raise ArgumentError(f"{name}: the forward rule of its custom_vjp must return (value, residuals)")
            value = _flat_like(made[0], call.result, f"{name}: the value returned by its forward rule")
            residuals = Result.of(made[1])
            structures[:] = [residuals]
            return [*value, *residuals.tensors]

        def flat_backward(*xs: Tensor) -> list[Tensor]:
            residuals = structures[0]
            n = len(residuals.positions)
            cts = backward(residuals.rebuild(xs[:n]), call.result.rebuild(xs[n:]))
            if not isinstance(cts, tuple) or len(cts) != len(args):
                raise ArgumentError(
                    f"{name}: the backward rule must return a tuple with one cotangent an argument, {len(args)} of them"
                )
            return call.flatten_cotangents(cts)

        params = {
            "forward": Opaque(flat_forward, name),
            "backward": Opaque(flat_backward, name),
            "own_jvp": self.forward_mode,
        }
        return call.bind(primitives.custom_vjp, params)


def _flat_like(tree: Any, like: Result, what: str) -> list[Tensor]:
    made = Result.of(tree)
    if made.structure != like.structure or len(made.positions) != len(like.positions):
        raise ArgumentError(f"{what} must have the structure {like.structure.paths()}, not {made.structure.paths()}")
    return made.tensors


class _FlatCall:
    """A call with tensors flattened, and its graph (traced with numbers where there are some)."""

    def __init__(self, function: Callable[..., Any], args: Sequence[Any], creator: str) -> None:
        ns = array_namespace()
        leaves, self.structure = trees.flatten(tuple(args))
        self.template = leaves
        self.positions = [i for i, x in enumerate(leaves) if not isinstance(x, str) and _is_numeric(x)]
        self.inputs = [ns.asarray(leaves[i]) for i in self.positions]
        kept: list[Result] = []

        def flat(*xs: Tensor) -> list[Tensor]:
            kept.append(Result.of(function(*self.rebuild(xs))))
            return kept[0].tensors

        self.traced = trace(flat, self.inputs, kind="values", creator=creator, name=function_name(function))
        self.result = kept[0]
        self.specs = self.traced.graph.output_specs

    def rebuild(self, xs: Sequence[Tensor]) -> Any:
        leaves = list(self.template)
        for i, x in zip(self.positions, xs, strict=True):
            leaves[i] = x
        return trees.unflatten(self.structure, leaves)

    def flatten_cotangents(self, cts: Sequence[Any]) -> list[Tensor]:
        """One tensor an input; None is zero."""
        ns = array_namespace()
        out: list[Any] = []
        for ct, child in zip(cts, self.structure.children, strict=True):
            n = child.count
            out += [None] * n if ct is None else trees.leaves(ct)
        made = []
        for i, x in zip(self.positions, self.inputs, strict=True):
            given = out[i]
            made.append(ns.zeros_like(x) if given is None else ns.asarray(given))
        return made

    def bind(self, primitive: Any, params: dict[str, Any]) -> Any:
        graph = self.traced.graph
        known = self._known()
        outs = bind_known(
            primitive,
            [*self.inputs, *self.traced.captured],
            {**params, "graph": graph.close(), "arguments": len(self.inputs)},
            None if any(v is None for v in known) else known,
        )
        return self.result.rebuild(outs)

    def _known(self) -> list[Any]:
        values = dict(self.traced.values)
        values.update((v, x._value) for v, x in zip(self.traced.graph.inputs, self.inputs, strict=True))
        captures = zip(self.traced.graph.captures, self.traced.captured, strict=True)
        values.update((v, x._value) for v, x in captures)
        return [a.value if hasattr(a, "value") else values.get(a) for a in self.traced.graph.outputs]


def _is_numeric(x: Any) -> bool:
    import numpy as np

    return isinstance(x, Tensor | np.ndarray | np.generic | float | int) and not isinstance(x, bool)


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that keeps nothing for its derivative but its arguments, and computes the rest again when needed.

    Memory for time, as in Griewank & Walther, Algorithm 799: revolve (2000), with one level: put it around a layer, or
    around the body of a `td.scan`. Values and derivatives stay the same.

    >>> import treadle as td
    >>> f = td.checkpoint(lambda x: td.sin(td.sin(x)).sum())
    >>> round(td.grad(f)(td.asarray([1.0])).item(), 4) == round(td.grad(f.__wrapped__)(td.asarray([1.0])).item(), 4)
    True
    """
    name = function_name(function)

    @wraps(function, updated=())
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if is_eager():
            return run_eagerly(function, args, kwargs)

        def attempt(call: Call) -> Any:
            variables = call.variables.read()
            kept: dict[str, Any] = {}
            n = len(call.leaves)

            def flat(*xs: Tensor) -> list[Tensor]:
                outcome = call.run(xs[:n], xs[n:])
                kept["result"] = result = Result.of(outcome.value)
                kept["assigned"] = list(outcome.assigned)
                return [*result.tensors, *outcome.assigned.values()]

            inputs = [*call.leaves, *variables]
            creator = f"td.checkpoint({name})"
            traced = trace(flat, inputs, kind="stage", creator=creator, name=name, names=call.names())
            outs = call_primitive(*inputs, *traced.captured, graph=traced.graph.close(), remat=True)
            result: Result = kept["result"]
            count = len(result.positions)
            now = call.variables.read()
            for i, x in zip(kept["assigned"], outs[count:], strict=True):
                now[i] = x
            call.variables.write(now)
            return result.rebuild(outs[:count])

        return with_rebuild(attempt, function, args, kwargs)

    return wrapped


def stop_gradient(tree: Any) -> Any:
    """The same values, as constants: no derivative flows through.

    Args:
        tree: a tree of tensors; what is no tensor stays as it is.

    >>> import treadle as td
    >>> td.grad(lambda x: x * td.stop_gradient(x))(td.asarray(3.0)).item()
    3.0
    """
    return trees.map(lambda x: ew.stop_gradient(x) if isinstance(x, Tensor) else x, tree)
