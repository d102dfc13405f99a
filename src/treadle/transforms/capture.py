"""Tracing a user's call with respect to some of its arguments: what every derivative starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.errors import ArgumentError, DerivativeError
from treadle.core.registry import array_namespace
from treadle.core.stateful import Stateful, Variables
from treadle.core.tensor import Tensor
from treadle.core.tracing import Traced, trace
from treadle.transforms.arguments import Call, Result, function_name, with_rebuild


@dataclass
class Wanted:
    """The tensors that a derivative is taken with respect to, and how they go back into the arguments."""

    trees: list[Any]  # per argument: a Stateful, or a tree of tensors
    tensors: list[Tensor]
    names: list[str]

    @staticmethod
    def of(args: Sequence[Any], argnums: Sequence[int], creator: str) -> Wanted:
        found: list[Any] = []
        tensors: list[Tensor] = []
        names: list[str] = []
        for n in argnums:
            if not -len(args) <= n < len(args):
                raise ArgumentError(
                    f"{creator}: there is no positional argument {n}; the call has {len(args)}. "
                    "Pass what is differentiated by position, or change argnums"
                )
            tree = _to_tensors(args[n])
            found.append(tree)
            for path, x in trees.leaves_with_paths(parameters_of(tree)):
                where = f"argument {n}" + (f", {path}" if path else "")
                if not isinstance(x, Tensor):
                    raise DerivativeError(
                        f"{creator}: {where} is {x!r}, which has no derivative; pass floating-point tensors, "
                        "or choose other arguments with argnums="
                    )
                if not x.dtype.is_floating:
                    raise DerivativeError(
                        f"{creator}: {where} is {x.spec}: integers and bools have no derivative.\n  "
                        "Convert it with .astype(td.float32), or choose other arguments with argnums="
                    )
                tensors.append(x)
                names.append(where)
        return Wanted(found, tensors, names)

    def put(self, new: Sequence[Any]) -> list[Any]:
        """The same trees with other leaves; a Stateful becomes the dict of its parameters."""
        rest = iter(new)
        out = []
        for tree in self.trees:
            view = parameters_of(tree)
            leaves, structure = trees.flatten(view)
            out.append(trees.unflatten(structure, [next(rest) for _ in leaves]))
        return out


def parameters_of(tree: Any) -> Any:
    """The tree with each Stateful replaced by the dict of its parameters."""
    leaves, structure = trees.flatten(tree, lambda x: isinstance(x, Stateful))
    if not any(isinstance(x, Stateful) for x in leaves):
        return tree
    # Not x.parameters(): a module that is not built yet has none here, and says so there.
    views = [_parameters(x) if isinstance(x, Stateful) else x for x in leaves]
    return trees.unflatten(structure, views)


def _parameters(x: Stateful) -> dict[str, Tensor]:
    return {path: v for path, v in Variables([x]).named().items() if v.kind == "parameter"}


def _to_tensors(tree: Any) -> Any:
    ns = array_namespace()
    leaves, structure = trees.flatten(tree, lambda x: isinstance(x, Stateful))
    made = [ns.asarray(x) if not isinstance(x, Tensor | Stateful | str) and _is_number(x) else x for x in leaves]
    return trees.unflatten(structure, made)


def _is_number(x: Any) -> bool:
    return isinstance(x, float | np.ndarray | np.generic)


@dataclass
class TracedCall:
    """A traced call: its graph returns the value's tensors, the aux's, and the assigned variables, in that order."""

    traced: Traced
    wanted: Wanted
    result: Result
    aux: Result | None
    call: Call
    assigned: list[int]

    def value(self, outs: Sequence[Tensor]) -> Any:
        """The function's value, made of these outputs."""
        return self.result.rebuild(outs[: len(self.result.positions)])

    def aux_value(self, outs: Sequence[Tensor]) -> Any:
        assert self.aux is not None
        start = len(self.result.positions)
        return self.aux.rebuild(outs[start : start + len(self.aux.positions)])

    def assign(self, outs: Sequence[Tensor]) -> None:
        """Assign to the modules what the function assigned, made of these outputs."""
        now = self.call.variables.read()
        updates = outs[len(outs) - len(self.assigned) :]
        for i, x in zip(self.assigned, updates, strict=True):
            now[i] = x
        self.call.variables.write(now)


def trace_call(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    argnums: Sequence[int],
    *,
    creator: str,
    has_aux: bool = False,
) -> TracedCall:
    """Trace a call, with numbers, as a graph of the tensors in some of its positional arguments.

    Raises:
        DerivativeError: an argument has no derivative.
    """

    def attempt(_: Call) -> TracedCall:
        return _trace_once(function, args, kwargs, argnums, creator, has_aux)

    return with_rebuild(attempt, function, args, kwargs)  # type: ignore[no-any-return]


def _trace_once(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    argnums: Sequence[int],
    creator: str,
    has_aux: bool,
) -> TracedCall:
    wanted = Wanted.of(args, argnums, creator)
    arguments = list(args)
    for n, tree in zip(argnums, wanted.trees, strict=True):
        arguments[n] = tree
    call = Call(function, tuple(arguments), kwargs)
    places = _places(call, arguments, argnums)
    variables = call.variables.read()
    kept: dict[str, Any] = {}

    def flat(*symbols: Tensor) -> list[Tensor]:
        leaves, inner = list(call.leaves), list(variables)
        for symbol, (is_leaf, index) in zip(symbols, places, strict=True):
            (leaves if is_leaf else inner)[index] = symbol
        outcome = call.run(leaves, inner)
        value = outcome.value
        if has_aux:
            if not isinstance(value, tuple) or len(value) != 2:
                raise ArgumentError(f"{creator} with has_aux=True: the function must return (value, aux)")
            value, aux = value
            kept["aux"] = Result.of(aux)
        kept["result"] = result = Result.of(value)
        kept["assigned"] = list(outcome.assigned)
        more = kept["aux"].tensors if has_aux else []
        return [*result.tensors, *more, *outcome.assigned.values()]

    names = [n.replace("argument ", "arg").replace(", ", ".") for n in wanted.names]
    traced = trace(flat, wanted.tensors, kind="values", creator=creator, name=function_name(function), names=names)
    return TracedCall(traced, wanted, kept["result"], kept.get("aux"), call, kept["assigned"])


def _places(call: Call, args: Sequence[Any], argnums: Sequence[int]) -> list[tuple[bool, int]]:
    """Where each wanted tensor sits in the call: (among its leaves?, index)."""
    counts = [child.count for child in call.structure.children[0].children]
    leaf_index = {position: i for i, position in enumerate(call.positions)}
    variables = {id(x): i for i, x in enumerate(call.variables.read())}
    out: list[tuple[bool, int]] = []
    for n in argnums:
        start = sum(counts[: n % len(args)])
        for position in range(start, start + counts[n]):
            x = call.all_leaves[position]
            if isinstance(x, Stateful):
                out += [(False, variables[id(p)]) for p in _parameters(x).values()]
            else:
                out.append((True, leaf_index[position]))
    return out
