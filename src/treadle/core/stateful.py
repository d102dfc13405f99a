"""Objects that own tensors: what modules, optimisers and random streams have in common.

A `Stateful` keeps `Parameter`s (trained), `State`s (changed by running: statistics, moments, counters) and other
Statefuls in ordinary attributes, lists and dicts. `Variables` finds them all, reads and writes them by position. A
transform that gets a Stateful as an argument puts symbols into those places, runs the function, and takes out what was
assigned: that is how `self.mean = …` works inside compiled code.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from treadle.core import trees
from treadle.core.assignments import Place, note, note_created
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.owned import Parameter, State, wrap_like
from treadle.core.registry import array_namespace
from treadle.core.source import Source, caller, is_ours
from treadle.core.tensor import Tensor


class Stateful:
    """Base of objects that own tensors in their attributes. A tree: its leaves are its variables."""

    # _surveys: what Variables.of found last; _lines: where the user's code made it ("") and its variables (their names)
    __slots__ = ("__dict__", "__weakref__", "_lines", "_surveys")

    _lines: dict[str, Source]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = object.__new__(cls)
        object.__setattr__(made, "_lines", {"": caller()})
        return made

    def made_at(self, name: str = "") -> Source:
        """The user's line that gave it a variable of this name; where a layer of treadle's did, that made the layer."""
        return self._lines.get(name) or self._lines[""]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setattr__(self, name: str, value: Any) -> None:
        old = self.__dict__.get(name)
        if isinstance(old, Parameter | State) and not isinstance(value, Parameter | State):
            value = self._as_variable(name, old, value)
            note(self.__dict__, name)
        elif not isinstance(old, Parameter | State):
            note_created(self.__dict__, name, value)
        if old is None and isinstance(value, Parameter | State):
            note(self.__dict__, name, value)
            if not is_ours(sys._getframe(1)):
                self._lines[name] = caller()
        self.__dict__[name] = value

    def _as_variable(self, name: str, old: Parameter | State, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, Tensor):
            value = array_namespace().asarray(value, dtype=old.dtype)
        if value.shape != old.shape or value.dtype is not old.dtype:
            raise ShapeError(
                f"{type(self).__name__}.{name} is {old.spec}, and {value.spec} was assigned to it. "
                f"Assign the same shape and dtype, or replace it by a new {type(old).__name__}(…)"
            )
        return type(old)(value)

    def variables(self) -> dict[str, Tensor]:
        """All tensors that it owns, by path: `{"layers.0.kernel": …}`. Each once, however often it is referred to."""
        return Variables([self]).named()

    def parameters(self) -> dict[str, Tensor]:
        """What training changes, by path."""
        return {k: v for k, v in self.variables().items() if v.kind == "parameter"}

    def states(self) -> dict[str, Tensor]:
        """What running changes, by path."""
        return {k: v for k, v in self.variables().items() if v.kind == "state"}

    def assign(self, values: Mapping[str, Any]) -> None:
        """Put tensors into the places named by their paths.

        Raises:
            ArgumentError: there is no such place.
            ShapeError: the shape or dtype differs from what is there.
        """
        variables = Variables([self])
        places = dict(zip(variables.paths, variables.slots, strict=True))
        checked = []
        for path, value in values.items():
            if path not in places:
                raise ArgumentError(f"{type(self).__name__} has no variable {path!r}; it has {', '.join(places)}")
            container, key = places[path][0]
            old = container[key]
            x = value if isinstance(value, Tensor) else array_namespace().asarray(value, dtype=old.dtype)
            if x.shape != old.shape or x.dtype is not old.dtype:
                raise ShapeError(f"{path} is {old.spec}, and {x.spec} was assigned to it")
            checked.append((places[path], wrap_like(old, x)))
        for slots, x in checked:
            for container, key in slots:
                note(container, key)
                container[key] = x


class Key:
    """A hashable value whose hash is computed once; compared by identity first."""

    __slots__ = ("_hash", "_value")

    def __init__(self, value: Hashable) -> None:
        self._value = value
        self._hash = hash(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Key) and self._value == other._value)


class Variables:
    """All tensors owned by some objects: their paths, and the places where they are.

    Attributes:
        structure: equal for objects of the same build; hashable.
    """

    __slots__ = ("_fixed", "_tensors", "paths", "roots", "slots", "structure")

    def __init__(self, roots: Sequence[Any]) -> None:
        self.roots = list(roots)
        # What `is_current` looks at: the items of each container that are no tensors, and each tensor's class and spec.
        self._fixed: list[tuple[Any, int, list[Any], list[Any]]] = []
        self._tensors: list[tuple[Any, Any, Any, Any]] = []
        self.paths: list[str] = []
        self.slots: list[list[Place]] = []
        by_tensor: dict[int, int] = {}
        seen: dict[int, str] = {}
        key: list[Hashable] = []
        single = len(self.roots) == 1
        for i, root in enumerate(self.roots):
            self._walk(root, "" if single else str(i), None, by_tensor, seen, key)
        self.structure = Key(tuple(key))

    @staticmethod
    def of(roots: Sequence[Any]) -> Variables:
        """The variables of these objects: those found last, where nothing but the numbers has changed since."""
        if not roots:
            return Variables(())
        first = roots[0]
        surveys: list[Variables] = getattr(first, "_surveys", [])
        for known in surveys:
            same = len(known.roots) == len(roots) and all(map(operator.is_, known.roots, roots))
            if same and known.is_current():
                return known
        made = Variables(roots)
        # Two: a model is called alone (evaluation) and with its optimiser (training), in turn.
        object.__setattr__(first, "_surveys", [made, *surveys[:1]])
        return made

    def is_current(self) -> bool:
        """Whether all is where it was found, up to the numbers in the tensors."""
        for container, count, keys, values in self._fixed:
            if len(container) != count:
                return False
            try:
                if not all(map(operator.is_, map(container.__getitem__, keys), values)):
                    return False
            except (KeyError, IndexError):
                return False
        distinct: set[int] = set()
        for container, key, cls, spec in self._tensors:
            x: Any = container.get(key) if type(container) is dict else container[key]
            if type(x) is not cls or (x._spec is not spec and x._spec != spec):
                return False
            distinct.add(id(x))
        return len(distinct) == len(self.slots) and self._ties_hold()

    def _ties_hold(self) -> bool:
        tied = ([container[key] for container, key in slots] for slots in self.slots if len(slots) > 1)
        return all(x is group[0] for group in tied for x in group)

    def _walk(
        self,
        value: Any,
        path: str,
        slot: Place | None,
        by_tensor: dict[int, int],
        seen: dict[int, str],
        key: list[Hashable],
    ) -> None:
        if isinstance(value, Tensor):
            self._tensor(value, path, slot, by_tensor, key)
            return
        items: Any
        if isinstance(value, Stateful):
            container, items = value.__dict__, value.__dict__.items()
        elif type(value) is list:
            container, items = value, enumerate(value)  # type: ignore[assignment]
        elif type(value) is dict:
            container, items = value, value.items()
        elif type(value) is tuple:
            container, items = None, enumerate(value)
        else:
            key.append((path, type(value), _static(value)))
            return
        if id(value) in seen and container is not None:
            key.append((path, "again", seen[id(value)]))
            return
        seen[id(value)] = path
        key.append((path, type(value), len(items) if hasattr(items, "__len__") else len(value)))
        children = list(items)
        if container is not None:
            fixed = [(k, v) for k, v in children if not isinstance(v, Tensor)]
            self._fixed.append((container, len(children), [k for k, _ in fixed], [v for _, v in fixed]))
            self._tensors += [(container, k, type(v), v._spec) for k, v in children if isinstance(v, Tensor)]
        for name, child in children:
            inner = f"{path}.{name}" if path else str(name)
            self._walk(child, inner, None if container is None else (container, name), by_tensor, seen, key)

    def _tensor(self, x: Tensor, path: str, slot: Place | None, by_tensor: dict[int, int], key: list[Hashable]) -> None:
        if slot is None:
            raise ArgumentError(
                f"the tensor at {path} is inside of a tuple; keep tensors in attributes, lists or dicts"
            )
        index = by_tensor.get(id(x))
        if index is None:
            by_tensor[id(x)] = len(self.slots)
            self.paths.append(path)
            self.slots.append([slot])
            key.append((path, type(x), x.shape, x.dtype))
        else:
            self.slots[index].append(slot)
            key.append((path, "same", index))

    def read(self) -> list[Tensor]:
        """The tensors, in order."""
        return [container[key] for (container, key), *_ in self.slots]

    def write(self, tensors: Sequence[Tensor]) -> None:
        """Put tensors into the places, in order, keeping Parameters Parameters."""
        for slots, x in zip(self.slots, tensors, strict=True):
            (first, first_key), *_ = slots
            new = wrap_like(first[first_key], x)
            for container, key in slots:  # tied places stay one object
                note(container, key)
                container[key] = new

    def named(self) -> dict[str, Tensor]:
        return dict(zip(self.paths, self.read(), strict=True))


def _static(value: Any) -> Hashable:
    """What of an attribute that is no tensor decides how the object computes."""
    if isinstance(value, np.ndarray) or not isinstance(value, Hashable):
        return ("id", id(value))
    try:
        hash(value)
    except TypeError:
        return ("id", id(value))
    return value


def copy_of(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """The same structure with the same tensors in containers of its own."""
    memo = {} if memo is None else memo
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, Stateful):
        new = memo[id(value)] = type(value).__new__(type(value))
        new.__dict__.update({k: copy_of(v, memo) for k, v in value.__dict__.items()})
        return new
    if type(value) is list:
        out: list[Any] = []
        memo[id(value)] = out
        out += [copy_of(v, memo) for v in value]
        return out
    if type(value) is dict:
        return {k: copy_of(v, memo) for k, v in value.items()}
    if type(value) is tuple:
        return tuple(copy_of(v, memo) for v in value)
    return value


class _Build:
    """A Stateful's build as a tree's `extra`: equal for objects of the same structure."""

    __slots__ = ("structure", "template")

    def __init__(self, template: Stateful, structure: Hashable) -> None:
        self.template = template
        self.structure = structure

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Build) and self.structure == other.structure

    def __hash__(self) -> int:
        return hash(self.structure)


def _flatten(obj: Stateful) -> tuple[trees.Keyed, Hashable]:
    variables = Variables([obj])
    return list(zip(variables.paths, variables.read(), strict=True)), _Build(obj, variables.structure)


def _unflatten(build: Any, children: list[Any]) -> Any:
    new = copy_of(build.template)
    Variables([new]).write(children)
    return new


trees.register(Stateful, _flatten, _unflatten)
