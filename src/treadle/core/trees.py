"""Trees: nested dicts, lists and tuples with tensors as leaves, and objects registered as such.

A tree is taken apart into its leaves and its structure and put together again. None has no leaves. Paths name leaves as
in `layers.0.kernel`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from treadle.core.errors import ArgumentError

Keyed = list[tuple[str, Any]]
_Flatten = Callable[[Any], tuple[Keyed, Hashable]]
_Unflatten = Callable[[Hashable, list[Any]], Any]

_registered: dict[type, tuple[_Flatten, _Unflatten]] = {}


def register(cls: type, flatten: _Flatten, unflatten: _Unflatten) -> None:
    """Make instances of `cls` (and of its subclasses) nodes of trees.

    Args:
        flatten: object → ([(key, child), …], what else is needed to rebuild it; hashable).
        unflatten: (what else, children) → object.
    """
    _registered[cls] = flatten, unflatten


@dataclass(frozen=True, slots=True)
class Structure:
    """What is left of a tree when its leaves are taken out. Hashable; equal for trees of the same build."""

    kind: type | None  # None is a leaf
    extra: Hashable = None
    keys: tuple[str, ...] = ()
    children: tuple[Structure, ...] = ()

    @property
    def count(self) -> int:
        """Number of leaves."""
        return 1 if self.kind is None else sum(c.count for c in self.children)

    def paths(self, prefix: str = "") -> list[str]:
        """The leaves' names, in order: `0`, `layers.0.kernel`; the empty string for a lone leaf."""
        if self.kind is None:
            return [prefix]
        out: list[str] = []
        for key, child in zip(self.keys, self.children, strict=True):
            out += child.paths(f"{prefix}.{key}" if prefix else key)
        return out


LEAF = Structure(None)


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Structure]:
    """Leaves in order (dicts by insertion), and the structure.

    >>> flatten({"a": 1, "b": [2, None]})[0]
    [1, 2]
    """
    leaves: list[Any] = []
    return leaves, _take(tree, leaves, is_leaf)


def _take(tree: Any, leaves: list[Any], is_leaf: Callable[[Any], bool] | None) -> Structure:
    found = None if is_leaf is not None and is_leaf(tree) else _children(tree)
    if found is None:
        leaves.append(tree)
        return LEAF
    keyed, extra, kind = found
    children = tuple(_take(child, leaves, is_leaf) for _, child in keyed)
    return Structure(kind, extra, tuple(k for k, _ in keyed), children)


def _children(tree: Any) -> tuple[Keyed, Hashable, type] | None:
    kind = type(tree)
    if kind is tuple or kind is list:
        return [(str(i), v) for i, v in enumerate(tree)], None, kind
    if kind is dict:
        return [(str(k), v) for k, v in tree.items()], tuple(tree), kind
    if tree is None:
        return [], None, type(None)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return list(zip(tree._fields, tree, strict=True)), None, kind
    for base in kind.__mro__:
        if base in _registered:
            keyed, extra = _registered[base][0](tree)
            return keyed, extra, kind
    return None


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """Put a tree together again.

    Raises:
        ArgumentError: another number of leaves than the structure has.
    """
    if len(leaves) != structure.count:
        raise ArgumentError(f"this tree has {structure.count} leaves, but {len(leaves)} were given")
    return _put(structure, iter(leaves))


def _put(structure: Structure, leaves: Any) -> Any:
    kind = structure.kind
    if kind is None:
        return next(leaves)
    children = [_put(c, leaves) for c in structure.children]
    if kind is tuple or kind is list:
        return kind(children)
    if kind is dict:
        return dict(zip(structure.extra, children, strict=True))  # type: ignore[call-overload]
    if kind is type(None):
        return None
    for base in kind.__mro__:
        if base in _registered:
            return _registered[base][1](structure.extra, children)
    return kind(*children)  # a namedtuple


def map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """A tree of the same structure with `function(leaf, other leaf, …)` as leaves.

    Raises:
        ArgumentError: the trees differ in structure.

    >>> map(lambda a, b: a + b, {"x": 1, "y": (2,)}, {"x": 10, "y": (20,)})
    {'x': 11, 'y': (22,)}
    """
    leaves, structure = flatten(tree)
    columns = [leaves]
    for other in others:
        more, shape = flatten(other)
        if shape != structure:
            raise ArgumentError(f"the trees differ in structure: {structure.paths()} and {shape.paths()}")
        columns.append(more)
    return unflatten(structure, [function(*row) for row in zip(*columns, strict=True)])


def leaves(tree: Any) -> list[Any]:
    """The leaves in order."""
    return flatten(tree)[0]


def leaves_with_paths(tree: Any) -> list[tuple[str, Any]]:
    """(path, leaf) in order.

    >>> leaves_with_paths({"a": 1, "b": [2, 3]})
    [('a', 1), ('b.0', 2), ('b.1', 3)]
    """
    found, structure = flatten(tree)
    return list(zip(structure.paths(), found, strict=True))
