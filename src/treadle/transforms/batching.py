"""`vmap`: a function of one example becomes a function of a batch. The nodes run again through their batch rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from treadle.core import trees
from treadle.core.dims import Size, same_size
from treadle.core.eager import runs_at_once
from treadle.core.errors import ArgumentError, RuleError, ShapeError
from treadle.core.graph import Graph, Node, Var
from treadle.core.primitive import Batched
from treadle.core.registry import array_namespace
from treadle.core.source import placed
from treadle.core.spec import Spec, normalize_axis
from treadle.core.tensor import Tensor
from treadle.core.tracing import bind_known, is_transposable, literal_tensor, trace
from treadle.ops import shape as shape_ops
from treadle.transforms.arguments import Call, Result, function_name, with_rebuild


def batch_node(
    node: Node, inputs: Sequence[Tensor], batched: Sequence[bool], size: Size
) -> tuple[list[Tensor], list[bool]]:
    """One node on a batch: outputs, and which of them are batched (on axis 0)."""
    if not any(batched):
        alike = bind_known(node.primitive, inputs, node.params, None)
        return list(alike), [False] * len(alike)
    rule = node.primitive.rules.get("batch")
    if rule is None:
        raise RuleError(f"the operation `{node.primitive.name}` cannot be batched by td.vmap")
    made = rule(tuple(batched), *inputs, size=size, **node.params)
    if isinstance(made, Batched):
        return list(made.outputs), list(made.flags)
    outs = list(made) if node.primitive.multiple else [made]
    return outs, [True] * len(outs)


def batch_graph(
    graph: Graph,
    inputs: Sequence[Tensor],
    batched: Sequence[bool],
    size: Size,
    captured: Sequence[Tensor] = (),
    captured_batched: Sequence[bool] | None = None,
) -> tuple[list[Tensor], list[bool]]:
    """A graph on a batch: batched inputs have it on axis 0, and so have the outputs that are flagged."""
    flags = [*batched, *(captured_batched or [False] * len(captured))]
    variables = (*graph.inputs, *graph.captures)
    env: dict[Var, tuple[Tensor, bool]] = {
        v: (x, f) for v, x, f in zip(variables, (*inputs, *captured), flags, strict=True)
    }

    def at(atom: Any) -> tuple[Tensor, bool]:
        return env[atom] if isinstance(atom, Var) else (literal_tensor(atom), False)

    for node in graph.nodes:
        ins = [at(a) for a in node.inputs]
        with placed(node.source, node.scope, node.origin):
            outs, made = batch_node(node, [x for x, _ in ins], [f for _, f in ins], size)
        env.update(zip(node.outputs, zip(outs, made, strict=True), strict=True))
    results = [at(a) for a in graph.outputs]
    return [x for x, _ in results], [f for _, f in results]


def stretch(x: Tensor, size: Size) -> Tensor:
    """The same for every example, with the batch on axis 0."""
    return shape_ops.broadcast(x, shape=(size, *x.shape))  # type: ignore[no-any-return]


def move_axis(x: Tensor, source: int, target: int) -> Tensor:
    """One axis moved, the others kept in order."""
    if source == target:
        return x
    order = [a for a in range(x.ndim) if a != source]
    order.insert(target, source)
    return shape_ops.transpose(x, axes=tuple(order))  # type: ignore[no-any-return]


def vmap(function: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """A function that maps `function` over an axis of its arguments, all examples at once.

    Modules among the arguments are shared by all examples. Nests, and goes with every other transform.

    Args:
        in_axes: the axis to map over: an int for all arguments, or a tuple with one entry an argument: an int, None
            (the same for all examples), or a tree like that argument. Keyword arguments are not mapped.
        out_axes: where the results' batch axis goes: an int, or a tree like the result (None: it must not depend on
            the example).

    Raises:
        ShapeError: sizes of the mapped axes differ, or an argument has no such axis.
        ArgumentError: nothing is mapped; in_axes does not fit the arguments.

    >>> import treadle as td
    >>> td.vmap(td.vecdot)(td.asarray([[1., 2.], [3., 4.]]), td.asarray([[1., 0.], [0., 1.]])).tolist()
    [1.0, 4.0]
    """
    creator = f"td.vmap({function_name(function)})"

    @wraps(function, updated=())
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        def attempt(call: Call) -> Any:
            if runs_at_once(call.leaves):
                return _one_by_one(function, call, args, in_axes, out_axes, creator)
            return _vmap_once(function, call, args, in_axes, out_axes, creator)

        return with_rebuild(attempt, function, args, kwargs)

    return wrapped


def _vmap_once(
    function: Callable[..., Any], call: Call, args: tuple[Any, ...], in_axes: Any, out_axes: Any, creator: str
) -> Any:
    axes = _axes_of(call, args, in_axes, creator)
    size = _batch_size(call, axes, creator)
    variables = call.variables.read()
    examples = [
        x.spec if a is None else Spec(x.shape[:a] + x.shape[a + 1 :], x.dtype)
        for x, a in zip(call.leaves, axes, strict=True)
    ]
    kept: dict[str, Any] = {}

    def flat(*symbols: Tensor) -> list[Tensor]:
        outcome = call.run(symbols[: len(examples)], symbols[len(examples) :])
        kept["result"] = result = Result.of(outcome.value)
        kept["assigned"] = list(outcome.assigned)
        return [*result.tensors, *outcome.assigned.values()]

    specs = [*examples, *(v.spec for v in variables)]
    traced = trace(
        flat,
        specs,
        kind="stage",
        creator=creator,
        name=function_name(function),
        names=call.names(),
        transposable=any(map(is_transposable, call.leaves)),
    )
    moved = [x if a is None else move_axis(x, a, 0) for x, a in zip(call.leaves, axes, strict=True)]
    flags = [a is not None for a in axes] + [False] * len(variables)
    outs, batched = batch_graph(traced.graph, [*moved, *variables], flags, size, traced.captured)
    result: Result = kept["result"]
    n = len(result.positions)
    _assign(call, kept["assigned"], outs[n:], batched[n:], creator)
    targets = _spread(out_axes, result.structure, result.positions, f"{creator}: out_axes")
    return result.rebuild(
        [_place(x, f, t, size, creator) for x, f, t in zip(outs[:n], batched[:n], targets, strict=True)]
    )


def _one_by_one(
    function: Callable[..., Any], call: Call, args: tuple[Any, ...], in_axes: Any, out_axes: Any, creator: str
) -> Any:
    """The examples one after the other, as Python runs them."""
    axes = _axes_of(call, args, in_axes, creator)
    size = _batch_size(call, axes, creator)
    if size == 0:
        return _vmap_once(function, call, args, in_axes, out_axes, creator)
    made: list[Result] = []
    for k in range(int(size)):
        leaves = list(call.all_leaves)
        for position, x, a in zip(call.positions, call.leaves, axes, strict=True):
            leaves[position] = x if a is None else move_axis(x, a, 0)[k]
        new_args, new_kwargs = trees.unflatten(call.structure, leaves)
        made.append(Result.of(function(*new_args, **new_kwargs)))
    first = made[0]
    targets = _spread(out_axes, first.structure, first.positions, f"{creator}: out_axes")
    ns = array_namespace()
    return first.rebuild(
        [
            group[0] if t is None else move_axis(ns.stack(group), 0, normalize_axis(t, group[0].ndim + 1, creator))
            for group, t in zip(zip(*(m.tensors for m in made), strict=True), targets, strict=True)
        ]
    )


def _axes_of(call: Call, args: tuple[Any, ...], in_axes: Any, creator: str) -> list[int | None]:
    """The mapped axis of each leaf, counted from the front."""
    if isinstance(in_axes, list | tuple):
        if len(in_axes) != len(args):
            raise ArgumentError(f"{creator}: in_axes has {len(in_axes)} entries for {len(args)} positional arguments")
        prefix: Any = tuple(in_axes)
    else:
        prefix = (in_axes,) * len(args)
    spread = _spread_tree(prefix, call.structure.children[0], f"{creator}: in_axes")
    spread += [None] * (len(call.all_leaves) - len(spread))
    out: list[int | None] = []
    for i, x in zip(call.positions, call.leaves, strict=True):
        axis = spread[i]
        out.append(None if axis is None else normalize_axis(axis, x.ndim, f"{creator}: the mapped axis"))
    return out


def _batch_size(call: Call, axes: Sequence[int | None], creator: str) -> Size:
    found: list[tuple[str, Size]] = [
        (n, x.shape[a]) for n, x, a in zip(call.names(), call.leaves, axes, strict=False) if a is not None
    ]
    if not found:
        raise ArgumentError(f"{creator}: no argument is mapped; give at least one tensor an axis in in_axes")
    for name, n in found[1:]:
        if not same_size(n, found[0][1]):
            raise ShapeError(
                f"{creator}: the mapped axes differ in size: {found[0][0]} has {found[0][1]}, {name} has {n}"
            )
    return found[0][1]


def _spread_tree(prefix: Any, structure: trees.Structure, what: str) -> list[int | None]:
    """A tree prefix of axes, one entry for each leaf."""
    if prefix is None or isinstance(prefix, int):
        return [prefix] * structure.count
    if isinstance(prefix, dict):
        keys: Any = structure.extra if structure.kind is dict else ()
        entries = [prefix[k] for k in keys] if set(keys) == set(prefix) else None
    else:
        entries = list(prefix)
    if entries is None or structure.kind is None or len(entries) != len(structure.children):
        raise ArgumentError(f"{what}={prefix!r} does not fit a tree with the leaves {structure.paths()}")
    out: list[int | None] = []
    for entry, child in zip(entries, structure.children, strict=True):
        out += _spread_tree(entry, child, what)
    return out


def _spread(prefix: Any, structure: trees.Structure, positions: Sequence[int], what: str) -> list[int | None]:
    spread = _spread_tree(prefix, structure, what)
    return [spread[i] for i in positions]


def _place(x: Tensor, batched: bool, axis: int | None, size: Size, creator: str) -> Tensor:
    if axis is None:
        if batched:
            raise ArgumentError(f"{creator}: out_axes is None for a result that differs between examples")
        return x
    x = x if batched else stretch(x, size)
    return move_axis(x, 0, normalize_axis(axis, x.ndim, f"{creator}: out_axes"))


def _assign(
    call: Call, positions: Sequence[int], tensors: Sequence[Tensor], batched: Sequence[bool], creator: str
) -> None:
    now = call.variables.read()
    for i, x, differs in zip(positions, tensors, batched, strict=True):
        if differs:
            raise ArgumentError(
                f"{creator}: the function assigns {call.variables.paths[i]}, differently for each example. "
                "A module has room for one; return the value instead, or run the module on the whole batch"
            )
        now[i] = x
    call.variables.write(now)
