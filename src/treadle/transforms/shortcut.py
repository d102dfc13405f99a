"""Calls that were seen before, recognised fast.

Taking a call apart in general (`arguments.Call`) costs some 20 µs, more than a small network computes. So the first
call of a traced version writes a Python function that knows just this build of arguments: it looks whether types, keys,
shapes and static values are the same, collects the arrays, runs the executable, and puts the results together. For
`f({"w": w}, 3)` that returns a tensor it is

    def shortcut(args, kwargs):
        if len(args) != 2 or kwargs or staging() or asks(): return MISS
        a0, a1 = args
        if type(a0) is not dict or tuple(a0) != K0: return MISS
        a2, = a0.values()
        if type(a2) is not T2 or ((s := a2._spec) is not S2 and s != S2) or a2._trace is not None: return MISS
        if type(a1) is not T1 or a1 != V1: return MISS
        r0, = run([a2._value, *captured])
        t0 = new(Tensor); t0._spec = O0; t0._value = r0; t0._trace = None; t0._atom = None
        return t0

Anything else is a miss, and takes the general way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.owned import Parameter, State
from treadle.core.registry import ambient
from treadle.core.spec import Spec
from treadle.core.stateful import Stateful, Variables
from treadle.core.tensor import Tensor
from treadle.core.tracing import is_staging
from treadle.transforms.arguments import Result

MISS = object()
MOST = 400  # leaves of arguments; beyond that, running takes longer than recognising
Shortcut = Callable[[tuple[Any, ...], dict[str, Any]], Any]


def shortcut(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    owner: Stateful | None,
    result: Result,
    output_specs: Sequence[Spec],
    assigned: Sequence[int],
    captured: Sequence[Tensor],
    executable: Callable[[Sequence[Any]], Sequence[Any]],
) -> Shortcut | None:
    """A function from (args, kwargs) to the call's result, or to MISS; None for a build of arguments it cannot know.

    Args:
        args, kwargs: of a call that the traced version serves.
        owner: the module whose method is called.
        result, output_specs, assigned: what the graph's outputs are; those past the result are assigned variables.
        captured: tensors that the graph takes after the arguments' and the variables.
    """
    if any(x._trace is not None or x._value is None for x in captured) or any(ask() for ask in ambient):
        return None
    return _Writer().write(args, kwargs, owner, result, output_specs, assigned, captured, executable)


class _Unknown(Exception):  # noqa: N818, a signal, not an error
    """An argument of a kind that only the general way knows."""


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.arrays: list[str] = []
        self.roots: list[str] = []
        self.statefuls: list[Stateful] = []
        self.specs: dict[Spec, Spec] = {}  # one object for equal ones, so that comparing them is comparing identities
        self.names: dict[str, Any] = {
            "MISS": MISS,
            "Tensor": Tensor,
            "Variables": Variables,
            "ndarray": np.ndarray,
            "ambient": ambient,
            "new": object.__new__,
            "staging": is_staging,
        }

    def write(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        owner: Stateful | None,
        result: Result,
        output_specs: Sequence[Spec],
        assigned: Sequence[int],
        captured: Sequence[Tensor],
        executable: Callable[[Sequence[Any]], Sequence[Any]],
    ) -> Shortcut | None:
        self.lines += ["if staging(): return MISS", "for ask in ambient:", "    if ask(): return MISS"]
        try:
            self._children("args", args, f"len(args) != {len(args)}")
            self._children(
                "kwargs", kwargs, f"tuple(kwargs) != {self._name(tuple(kwargs), 'K')}" if kwargs else "kwargs"
            )
        except _Unknown:
            return None
        if owner is not None:
            self.roots.append(self._name(owner, "R"))
            self.statefuls.append(owner)
        values = ", ".join(self.arrays)
        if self.roots:
            self.names["structure"] = Variables.of(self.statefuls).structure
            self.lines += [
                f"variables = Variables.of([{', '.join(self.roots)}])",
                "if variables.structure != structure: return MISS",
                "owned = variables.read()",
                "for x in owned:",
                "    if x._trace is not None or x._value is None: return MISS",
            ]
            values += f"{', ' if values else ''}*[x._value for x in owned]"
        if captured:
            self.names["captured"] = [x._value for x in captured]
            values += f"{', ' if values else ''}*captured"
        self.names["run"] = executable
        outs = [f"r{k}" for k in range(len(output_specs))]
        self.lines.append(f"{''.join(o + ', ' for o in outs)}= run([{values}])" if outs else f"run([{values}])")
        for k, spec in enumerate(output_specs):
            self.lines.append(
                f"t{k} = new(Tensor); t{k}._spec = {self._spec(spec)}; t{k}._value = r{k}; "
                f"t{k}._trace = None; t{k}._atom = None"
            )
        n = len(result.positions)
        if assigned:
            self.lines += [f"owned[{i}] = t{k}" for k, i in enumerate(assigned, n)]
            self.lines.append("variables.write(owned)")
        self.lines.append(f"return {self._result(result)}")
        source = "def shortcut(args, kwargs):\n" + "".join(f"    {line}\n" for line in self.lines)
        exec(compile(source, "<treadle: a call seen before>", "exec"), self.names)  # noqa: S102, written above
        made: Shortcut = self.names["shortcut"]
        return made

    def _name(self, value: Any, letter: str) -> str:
        name = f"{letter}{len(self.names)}"
        self.names[name] = value
        return name

    def _spec(self, spec: Spec) -> str:
        return self._name(self.specs.setdefault(spec, spec), "S")

    def _children(self, name: str, value: Any, differs: str) -> None:
        """Lines that take a container apart, after looking whether it is the same otherwise."""
        items = list(value.values()) if isinstance(value, dict) else list(value)
        self.lines.append(f"if {differs}: return MISS")
        if not items:
            return
        inner = [f"{name}_{k}" for k in range(len(items))]
        self.lines.append(f"{''.join(i + ', ' for i in inner)}= {name}{'.values()' if isinstance(value, dict) else ''}")
        for child, item in zip(inner, items, strict=True):
            self._value(child, item)

    def _value(self, name: str, value: Any) -> None:
        kind = type(value)
        if len(self.arrays) > MOST:
            raise _Unknown
        if kind in (Tensor, Parameter, State):
            if value._trace is not None:
                raise _Unknown
            wanted = self._spec(value._spec)
            self.lines.append(
                f"if type({name}) is not {self._name(kind, 'T')} or ((s := {name}._spec) is not {wanted} and "
                f"s != {wanted}) or {name}._trace is not None or (v{len(self.arrays)} := {name}._value) is None: "
                "return MISS"
            )
            self.arrays.append(f"v{len(self.arrays)}")
        elif kind is np.ndarray and value.dtype.isnative and value.dtype.kind in "biuf":
            self.lines.append(
                f"if type({name}) is not ndarray or {name}.dtype != {self._name(value.dtype, 'D')} or "
                f"{name}.shape != {self._name(value.shape, 'S')}: return MISS"
            )
            self.arrays.append(f"{name}.copy()")  # a result may be a view of it, and its owner may write to it
        elif isinstance(value, Stateful):
            self.lines.append(f"if type({name}) is not {self._name(kind, 'T')}: return MISS")
            self.roots.append(name)
            self.statefuls.append(value)
        elif kind in (tuple, list):
            self._children(name, value, f"type({name}) is not {kind.__name__} or len({name}) != {len(value)}")
        elif kind is dict:
            keys = self._name(tuple(value), "K")
            self._children(name, value, f"type({name}) is not dict or tuple({name}) != {keys}")
        elif value is None or kind is bool:
            self.lines.append(f"if {name} is not {value}: return MISS")
        elif kind in (int, str):
            known = self._name(value, "V")
            self.lines.append(f"if type({name}) is not {kind.__name__} or {name} != {known}: return MISS")
        else:
            raise _Unknown

    def _result(self, result: Result) -> str:
        """An expression for the result; trees of other kinds are put together in the general way."""
        numbers = {i: f"t{k}" for k, i in enumerate(result.positions)}
        leaves = iter([numbers.get(i) or self._name(x, "L") for i, x in enumerate(result.leaves)])
        try:
            return self._tree(result.structure, leaves)
        except _Unknown:
            tensors = ", ".join(numbers.values())
            return f"{self._name(result.rebuild, 'F')}([{tensors}])"

    def _tree(self, structure: trees.Structure, leaves: Any) -> str:
        kind = structure.kind
        if kind is None:
            leaf: str = next(leaves)
            return leaf
        parts = [self._tree(c, leaves) for c in structure.children]
        if kind is tuple:
            return f"({''.join(p + ', ' for p in parts)})"
        if kind is list:
            return f"[{', '.join(parts)}]"
        if kind is dict:
            keys: Any = structure.extra
            return "{" + ", ".join(f"{self._name(k, 'K')}: {p}" for k, p in zip(keys, parts, strict=True)) + "}"
        if kind is type(None):
            return "None"
        raise _Unknown
