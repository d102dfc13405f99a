"""Calling a user's function with other leaves: trees of arguments in, tensors out, assigned variables found.

All transforms go through `Call`: it finds the tensors in the arguments (a Stateful counts with all its variables), puts
others in their places, runs the function, and collects what it returned and what it assigned to the Statefuls.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.assignments import log_created, snapshot
from treadle.core.errors import ArgumentError
from treadle.core.registry import ambient, array_namespace
from treadle.core.stateful import Stateful, Variables
from treadle.core.tensor import Tensor
from treadle.core.texts import prepared


def function_name(function: Any) -> str:
    """What messages and graphs call a function.

    Raises:
        ArgumentError: it is none, as in `td.grad(loss(x))` for `td.grad(loss)(x)`.
    """
    if not callable(function):
        what = f"the tensor {function.spec}" if isinstance(function, Tensor) else repr(function)
        raise ArgumentError(
            f"a function is needed, and this is {what}: transforms take the function itself and return a new one. "
            "Write td.grad(loss)(x), not td.grad(loss(x))"
        )
    name = getattr(function, "__name__", None) or type(function).__name__
    return "lambda" if name == "<lambda>" else str(name)


def argument_numbers(argnums: int | Sequence[int], creator: str) -> tuple[int, ...]:
    """Positions of arguments, always as a tuple.

    Raises:
        ArgumentError: they are no ints.
    """
    nums = (argnums,) if isinstance(argnums, int | str) else tuple(argnums)
    if not all(isinstance(n, int) for n in nums):
        raise ArgumentError(
            f"{creator}: argnums={argnums!r} must be the position of an argument, as 0, or a tuple of positions. "
            "Arguments that are differentiated are passed by position"
        )
    return nums


def owner_of(function: Callable[..., Any]) -> Stateful | None:
    """The Stateful that a callable belongs to: a module, or a module's method."""
    owner = function if isinstance(function, Stateful) else getattr(function, "__self__", None)
    return owner if isinstance(owner, Stateful) else None


def is_array(x: Any) -> bool:
    """Whether it becomes a tensor of the graph. NumPy's float64, int64 and bool scalars count as Python numbers."""
    if isinstance(x, np.generic):
        return not isinstance(x, float | np.int64 | np.bool_)
    return isinstance(x, Tensor | np.ndarray)


class Call:
    """A call of a user's function, taken apart.

    Attributes:
        leaves: tensors found in the arguments, Statefuls left out.
        variables: those of the Statefuls among the arguments (and of the module that the function belongs to).
        key: everything else that decides what the function does: structure, static leaves, the Statefuls' build.
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.function = function
        everything, self.structure = trees.flatten((args, dict(kwargs)), lambda x: isinstance(x, Stateful))
        self.all_leaves = everything
        self.positions = [i for i, x in enumerate(everything) if is_array(x)]
        self.leaves: list[Tensor] = []
        for i in self.positions:
            x = everything[i]
            if not isinstance(x, Tensor):
                x = everything[i] = array_namespace().asarray(x)
            self.leaves.append(x)
        owner = owner_of(function)
        self.roots = [x for x in everything if isinstance(x, Stateful)]
        if owner is not None:
            self.roots.append(owner)
        self.variables = Variables.of(self.roots)

    @property
    def key(self) -> Hashable:
        static: tuple[Hashable, ...] = tuple(
            (i, type(x), _hashable(x))
            for i, x in enumerate(self.all_leaves)
            if not is_array(x) and not isinstance(x, Stateful)
        )
        static += tuple((k, answer) for k, ask in enumerate(ambient) if (answer := ask()))
        specs = tuple(x.spec for x in self.leaves)
        return self.structure, static, specs, self.variables.structure

    def names(self) -> list[str]:
        """Names of the leaves, then of the variables: `x`, `batch.0`, `model.layers.0.kernel`."""
        named = self.argument_names()
        found = [named[i] for i in self.positions]
        roots = [named[i] for i, x in enumerate(self.all_leaves) if isinstance(x, Stateful)]
        if len(roots) < len(self.roots):
            roots.append("self")
        if len(roots) == 1:
            return found + [f"{roots[0]}.{p}" for p in self.variables.paths]
        return found + [".".join([roots[int(p.partition(".")[0])], p.partition(".")[2]]) for p in self.variables.paths]

    def argument_names(self) -> list[str]:
        """Names of all leaves, tensors or not, as the function's signature calls them."""
        try:
            parameters = list(inspect.signature(self.function).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        return [_argument_name(p, positional) for p in self.structure.paths()]

    def run(self, leaves: Sequence[Tensor], variables: Sequence[Tensor]) -> Outcome:
        """Run the function with these tensors in the places of its own; put its own back afterwards.

        Raises:
            Rebuilt: layers were built on the way; the caller takes the call apart again, with their parameters.
        """
        outcome = self._run_once(leaves, variables)
        if outcome.built:
            raise Rebuilt
        return outcome

    def _run_once(self, leaves: Sequence[Tensor], variables: Sequence[Tensor]) -> Outcome:
        flat = list(self.all_leaves)
        for i, x in zip(self.positions, leaves, strict=True):
            flat[i] = x
        args, kwargs = trees.unflatten(self.structure, flat)
        before = self.variables.read()
        self.variables.write(variables)
        symbols = self.variables.read()
        with log_created() as created:
            try:
                value = self.function(*args, **kwargs)
                after = Variables(self.roots)
                built = after.paths != self.variables.paths
                assigned = {} if built else self._assigned(symbols)
            finally:
                self.variables.write(before)
                for container, name, first in created:
                    if name in container:
                        container[name] = snapshot(first)
        return Outcome(value, assigned, built)

    def _assigned(self, symbols: Sequence[Tensor]) -> dict[int, Tensor]:
        return {
            i: now for i, (now, then) in enumerate(zip(self.variables.read(), symbols, strict=True)) if now is not then
        }


class Rebuilt(Exception):  # noqa: N818, a signal, not an error
    """The call built layers: take it apart again, with their parameters."""


@dataclass
class Outcome:
    """What a call returned, and which variables it assigned (by position)."""

    value: Any
    assigned: dict[int, Tensor]
    built: bool = False


REFUSED: Any = object()


def run_eagerly(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    accepts: Callable[[Sequence[Tensor]], bool] | None = None,
) -> Any:
    """Call a function as it is, with arrays made tensors; what it assigned is undone if it raises.

    Args:
        accepts: of the results and variables; if it does not, what was assigned is undone, and `REFUSED` returned.
    """
    call = Call(function, prepared(function, tuple(args)), kwargs)
    new_args, new_kwargs = trees.unflatten(call.structure, call.all_leaves)
    before = call.variables.read()
    try:
        result = Result.of(function(*new_args, **new_kwargs))
    except BaseException:
        call.variables.write(before)
        raise
    if accepts is not None and not accepts([*result.tensors, *call.variables.read()]):
        call.variables.write(before)
        return REFUSED
    return result.rebuild(result.tensors)


def with_rebuild(attempt: Callable[[Call], Any], function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run `attempt` on the call, again when layers were built by it."""
    args = prepared(function, tuple(args))
    for _ in range(3):
        try:
            return attempt(Call(function, args, kwargs))
        except Rebuilt:
            continue
    raise ArgumentError(
        f"{function_name(function)} adds variables to its modules at each call; create them in __init__ or build"
    )


@dataclass
class Result:
    """A tree of tensors and other things, with the tensors taken out."""

    structure: trees.Structure
    leaves: list[Any]
    positions: list[int] = field(default_factory=list)

    @staticmethod
    def of(value: Any) -> Result:
        leaves, structure = trees.flatten(value, lambda x: isinstance(x, Stateful))
        for i, x in enumerate(leaves):
            if isinstance(x, np.ndarray | np.generic):
                leaves[i] = array_namespace().asarray(x)
        return Result(structure, leaves, [i for i, x in enumerate(leaves) if isinstance(x, Tensor)])

    @property
    def tensors(self) -> list[Tensor]:
        return [self.leaves[i] for i in self.positions]

    def rebuild(self, tensors: Sequence[Any]) -> Any:
        leaves = list(self.leaves)
        for i, x in zip(self.positions, tensors, strict=True):
            leaves[i] = x
        return trees.unflatten(self.structure, leaves)


def _argument_name(path: str, positional: Sequence[str]) -> str:
    kind, _, rest = path.partition(".")
    head, dot, tail = rest.partition(".")
    if kind == "0":
        i = int(head)
        head = positional[i] if i < len(positional) else f"arg{i}"
    return head + dot + tail


def _hashable(x: Any) -> Hashable:
    if isinstance(x, float):
        return repr(x)  # tells -0.0 from 0.0, and NaN equals itself
    try:
        hash(x)
    except TypeError:
        return ("id", id(x))
    return x  # type: ignore[no-any-return]
