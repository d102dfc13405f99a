"""What one element of a node's output is, as an expression of elements of its inputs.

A rule gets the lowering, the node and the index of the wanted element; it asks for elements of the inputs with
`at(atom, index)`. Views move indices and compute nothing. A primitive without a rule here is a kernel of its own
(contractions, loops) or runs on the reference backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from treadle.backends.native import index as ix
from treadle.backends.native.expressions import (
    Buffer,
    Condition,
    Conditions,
    Expr,
    Index,
    Load,
    Reduce,
    Table,
    Test,
    computed,
)
from treadle.backends.native.extents import is_extent
from treadle.backends.native.index import Affine, Computed, LoopVar
from treadle.core.dtypes import bool_, int32, int64, uint32, uint64
from treadle.core.graph import Atom, Literal, Node, Var

Place: TypeAlias = tuple[Affine, ...]
Rule: TypeAlias = Callable[["Lowering", Node, Place], Expr]

RULES: dict[str, Rule] = {}


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        for name in names:
            RULES[name] = rule
        return rule

    return register


class Lowering:
    """Builds the expressions of one kernel.

    Args:
        buffers: values that lie in memory; all others are computed where they are needed.
        makers: the node that makes each value.
    """

    def __init__(self, buffers: Mapping[Var, Buffer], makers: Mapping[Var, Node], inline: Any = None) -> None:
        self.table = Table()
        self.buffers = buffers
        self.makers = makers
        self.inline: Any = inline or (lambda var: False)  # values to compute although they have a buffer
        self.guards: Conditions = ()
        self.results: dict[tuple[Any, ...], Expr] = {}
        self.reads: dict[Var, None] = {}
        self.columns: tuple[LoopVar, ...] = ()  # of the kernel's rows: what its row reductions run over
        self.row_reductions: set[Var] = set()

    def at(self, atom: Atom, place: Place) -> Expr:
        """An element of a value."""
        if isinstance(atom, Literal):
            return self.table.const(atom.value.astype(computed(atom.spec.dtype).numpy), computed(atom.spec.dtype))
        key = (atom, place, self.guards)
        known = self.results.get(key)
        if known is None:
            known = self.results[key] = self._make(atom, place)
        return known

    def _make(self, var: Var, place: Place) -> Expr:
        buffer = self.buffers.get(var)
        if buffer is not None and not self.inline(var):
            self.reads[var] = None
            return self.load(buffer, ix.flatten(place, buffer.shape))
        node = self.makers[var]
        if node.primitive.name == "reshape":  # straight to a buffer there is no need to unflatten
            (x,) = node.inputs
            if isinstance(x, Var) and x in self.buffers and not self.inline(x):
                self.reads[x] = None
                return self.load(self.buffers[x], ix.flatten(place, var.spec.shape))  # type: ignore[arg-type]
        return RULES[node.primitive.name](self, node, place)

    def load(self, buffer: Buffer, offset: Affine) -> Expr:
        return self.table.add(Load(buffer, offset, tuple(c for c in self.guards if not c.always)))

    def guarded(self, conditions: Conditions, inside: Callable[[], Expr], outside: Callable[[], Expr]) -> Expr:
        """`inside()` where all conditions hold, else `outside()`; the former reads nothing where they fail."""
        needed = tuple(c for c in conditions if not c.always)
        if not needed:
            return inside()
        if any(c.never for c in needed):
            return outside()
        before = self.guards
        self.guards = (*before, *(c for c in needed if c not in before))
        try:
            value = inside()
        finally:
            self.guards = before
        return self.table.select(self.table.add(Test(needed)), value, outside())

    @property
    def column(self) -> Affine:
        """Where in its row an element stands."""
        return ix.flatten(tuple(map(ix.of, self.columns)), tuple(v.extent for v in self.columns))

    def position(self, value: Expr, size: int) -> Affine:
        """A computed integer as an index, held within 0 … size - 1."""
        inside = self.table.op("index_within", value, dtype=int64, size=size)
        return Affine(0, ((Computed(inside, (0, max(size - 1, 0))), 1),))


def shape_of(atom: Atom) -> tuple[int, ...]:
    return atom.spec.shape  # type: ignore[return-value]  # sizes are bound before anything is lowered


def stretched(place: Place, shape: tuple[int, ...]) -> Place:
    """The index into an operand that is stretched, NumPy's way, to the shape that `place` indexes."""
    return tuple(ix.ZERO if n == 1 else i for i, n in zip(place[len(place) - len(shape) :], shape, strict=True))


# elementwise

UNCHANGED = ("on_gradient", "stop_gradient")

ELEMENTWISE = [
    "neg",
    "abs",
    "sign",
    "floor",
    "ceil",
    "round",
    "trunc",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sqrt",
    "rsqrt",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "sigmoid",
    "not_",
    "add",
    "sub",
    "mul",
    "div",
    "floor_divide",
    "remainder",
    "power",
    "atan2",
    "maximum",
    "minimum",
    "logaddexp",
    "copysign",
    "and_",
    "or_",
    "xor",
    "shift_left",
    "shift_right",
    "masked_mul",
    "masked_div",
    "clamp",
    "integer_power",
    "erfinv",
    "lgamma",
    "digamma",
]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge", "is_finite"]


@_rule(*ELEMENTWISE)
def _(low: Lowering, node: Node, place: Place) -> Expr:
    args = [low.at(x, stretched(place, shape_of(x))) for x in node.inputs]
    return low.table.op(node.primitive.name, *args, **node.params)


@_rule(*COMPARISONS)
def _(low: Lowering, node: Node, place: Place) -> Expr:
    args = [low.at(x, stretched(place, shape_of(x))) for x in node.inputs]
    return low.table.op(node.primitive.name, *args, dtype=bool_)


@_rule("select")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    mask, x, y = (low.at(a, stretched(place, shape_of(a))) for a in node.inputs)
    return low.table.select(mask, x, y)


@_rule("on_gradient", "stop_gradient")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    return low.at(node.inputs[0], place)


@_rule("cast")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    x = low.at(node.inputs[0], place)
    target = node.params["dtype"]
    if target is node.inputs[0].spec.dtype:
        return x
    out = computed(target)
    made = x if out is x.dtype else low.table.op("cast", x, dtype=out)
    return made if out is target else low.table.op("rounded", made, to=target)


@_rule("bitcast")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    x = low.at(node.inputs[0], place)
    return low.table.op("bitcast", x, dtype=node.params["dtype"])


# views


@_rule("broadcast")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    (x,) = node.inputs
    return low.at(x, stretched(place, shape_of(x)))


@_rule("reshape")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    (x,) = node.inputs
    return low.at(x, ix.unflatten(ix.flatten(place, shape_of(node.outputs[0])), shape_of(x)))


@_rule("transpose")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    moved = dict(zip(node.params["axes"], place, strict=True))
    return low.at(node.inputs[0], tuple(moved[a] for a in range(len(place))))


@_rule("reverse")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    (x,) = node.inputs
    axes = node.params["axes"]
    return low.at(
        x, tuple(i * -1 + (n - 1) if a in axes else i for a, (i, n) in enumerate(zip(place, shape_of(x), strict=True)))
    )


@_rule("slice")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    p = node.params
    return low.at(node.inputs[0], tuple(i * by + a for i, a, by in zip(place, p["start"], p["step"], strict=True)))


@_rule("unfold")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    p = node.params
    rank = len(p["window"])
    pairs = zip(place[:rank], place[rank:], p["strides"], p["dilation"], strict=True)
    return low.at(node.inputs[0], tuple(i * s + w * d for i, w, s, d in pairs))


@_rule("pad")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    x, value = node.inputs
    p = node.params
    conditions, inner = [], []
    for i, n, a, gap in zip(place, shape_of(x), p["low"], p["interior"], strict=True):
        moved = i + -a
        conditions.append(Condition(moved, 0, (n - 1) * (gap + 1)))
        if gap:
            # Of a negative number no quotient is taken: a shift by whole periods changes no remainder.
            lift = -(-max(0, -moved.bounds[0]) // (gap + 1))
            lifted = moved + lift * (gap + 1)
            conditions.append(Condition(lifted % (gap + 1), 0, 0))
            inner.append(lifted // (gap + 1) + -lift)
        else:
            inner.append(moved)
    return low.guarded(tuple(conditions), lambda: low.at(x, tuple(inner)), lambda: low.at(value, ()))


@_rule("concatenate")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    axis = node.params["axis"]
    begins, begin = [], 0
    for x in node.inputs:
        begins.append(begin)
        begin += shape_of(x)[axis]

    def part(k: int) -> Expr:
        moved = place[axis] + -begins[k]
        there = (*place[:axis], moved, *place[axis + 1 :])
        if k == 0:
            inside = Condition(moved, 0, shape_of(node.inputs[0])[axis] - 1)
            return low.at(node.inputs[0], there) if len(node.inputs) == 1 else _between(low, inside, k, there)
        return _between(low, Condition(moved, 0, shape_of(node.inputs[k])[axis] - 1), k, there)

    def _between(low: Lowering, inside: Condition, k: int, there: Place) -> Expr:
        if k == len(node.inputs) - 1:
            before = low.guards
            if not inside.always:
                low.guards = (*before, inside)
            try:
                return low.at(node.inputs[k], there)
            finally:
                low.guards = before
        return low.guarded((inside,), lambda: low.at(node.inputs[k], there), lambda: part(k + 1))

    filled = [k for k, x in enumerate(node.inputs) if shape_of(x)[axis]]
    return part(filled[0] if filled else 0)


@_rule("fold")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    """The sum over the window's elements of the window that has the wanted place there, if there is one."""
    (x,) = node.inputs
    p = node.params
    rank = len(p["window"])
    positions, loops, inner, conditions = shape_of(x)[:rank], [], [], []
    where: list[Affine] = []
    for i, n, w, s, d in zip(place, positions, p["window"], p["strides"], p["dilation"], strict=True):
        if d == 1 and w <= s:  # windows do not overlap: the place says which one
            where.append(i // s)
            inner.append(i % s)
            conditions += [Condition(i % s, 0, w - 1), Condition(i // s, 0, n - 1)]
            continue
        loop = LoopVar(w)
        loops.append(loop)
        inner.append(ix.of(loop))
        moved = i + ix.of(loop) * -d
        conditions.append(Condition(moved, 0, (n - 1) * s))
        lift = -(-max(0, -moved.bounds[0]) // s)
        lifted = moved + lift * s
        if s > 1:
            conditions.append(Condition(lifted % s, 0, 0))
        where.append(lifted // s + -lift)
    dtype = computed(x.spec.dtype)
    body = low.guarded(tuple(conditions), lambda: low.at(x, (*where, *inner)), lambda: low.table.const(0, dtype))
    loops = [v for v in loops if not v.is_single]
    return low.table.add(Reduce("sum", tuple(loops), body, dtype)) if loops else body


# indices and bits


@_rule("iota")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    dtype = computed(node.params["dtype"])
    return low.table.add(Index(place[node.params["axis"]], dtype))


@_rule("size")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    size = node.params["size"]
    return low.table.add(Index(ix.constant(size), int32)) if is_extent(size) else low.table.const(size, int32)


@_rule("gather")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    x, indices = node.inputs
    b, mode = node.params["batch_dims"], node.params["mode"]
    *lead, k = shape_of(indices)
    head, tail = place[: len(lead)], place[len(lead) :]
    where: list[Affine] = []
    conditions = []
    for j in range(k):
        n = shape_of(x)[b + j]
        raw = low.at(indices, (*head, ix.constant(j)))
        where.append(low.position(raw, n))
        if mode == "fill":
            inside = low.table.op("index_inside", raw, dtype=int64, size=n)
            conditions.append(Condition(Affine(0, ((Computed(inside, (0, 1)), 1),)), 1, 1))
    dtype = computed(x.spec.dtype)
    zero = lambda: low.table.const(0, dtype)  # noqa: E731
    if 0 in shape_of(x):
        return zero()
    return low.guarded(tuple(conditions), lambda: low.at(x, (*head[:b], *where, *tail)), zero)


@_rule("dynamic_slice")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    x, *starts = node.inputs
    moved = []
    for i, start, n, m in zip(place, starts, shape_of(x), node.params["sizes"], strict=True):
        moved.append(i if n == m else i + low.position(low.at(start, ()), n - m + 1))
    return low.at(x, tuple(moved))


@_rule("dynamic_update")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    x, update, *starts = node.inputs
    moved, conditions = [], []
    for i, start, n, m in zip(place, starts, shape_of(x), shape_of(update), strict=True):
        if n == m:
            moved.append(i)
            continue
        there = i + low.position(low.at(start, ()), n - m + 1) * -1
        conditions.append(Condition(there, 0, m - 1))
        moved.append(there)
    if 0 in shape_of(update):
        return low.at(x, place)
    return low.guarded(tuple(conditions), lambda: low.at(update, tuple(moved)), lambda: low.at(x, place))


@_rule("scatter")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    """Of the scatters that have one update for each row: the update where the index says so, else what was there."""
    x, indices, updates = node.inputs
    b, op = node.params["batch_dims"], node.params["op"]
    head, k = place[:b], shape_of(indices)[-1]
    there = low.at(x, place)
    new = low.at(updates, (*head, *place[b + k :]))
    hit: Expr | None = None
    for j in range(k):
        raw = low.at(indices, (*head, ix.constant(j)))
        at_index: Any = low.position(raw, shape_of(x)[b + j]) if node.params["mode"] == "clip" else None
        wanted = (
            low.table.add(Index(at_index, int64)) if at_index is not None else low.table.op("cast", raw, dtype=int64)
        )
        same = low.table.op("eq", wanted, low.table.add(Index(place[b + j], int64)), dtype=bool_)
        hit = same if hit is None else low.table.op("and_", hit, same)
    combined = {"set": lambda: new, "add": lambda: low.table.op("add", there, new)}.get(op) or (
        lambda: low.table.op({"max": "maximum", "min": "minimum"}[op], there, new)
    )
    return combined() if hit is None else low.table.select(hit, combined(), there)


def is_row_scatter(node: Node) -> bool:
    """Whether a scatter has one update for each batch row, so that no two can meet."""
    return (
        node.primitive.name == "scatter"
        and len(shape_of(node.inputs[1])) == node.params["batch_dims"] + 1
        and node.inputs[1].spec.dtype != uint64
    )


@_rule("random_bits")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    (key,) = node.inputs
    lead = len(shape_of(key)) - 1
    words = [low.at(key, (*place[:lead], ix.constant(j))) for j in range(2)]
    number = ix.flatten(place[lead:], node.params["shape"])
    if node.params["dtype"] is uint64:
        return low.table.op("threefry64", *words, low.table.add(Index(number, int64)), dtype=uint64)
    return low.table.op("threefry32", *words, low.table.add(Index(number, int64)), dtype=uint32)


# reductions

REDUCTIONS = ("sum", "prod", "max", "min", "any", "all")


def reduction_parts(low: Lowering, node: Node, place: Place) -> tuple[tuple[LoopVar, ...], Expr]:
    """The counters of the axes that a reduction removes, and the element at the place that they complete."""
    (x,) = node.inputs
    shape = shape_of(x)
    axes = node.params["axes"] if "axes" in node.params else (node.params["axis"],)
    if node.outputs[0] in low.row_reductions:
        return low.columns, low.at(x, (*place, *ix.unflatten(low.column, shape[len(place) :])))
    loops = {a: LoopVar(shape[a]) for a in axes}
    kept = iter(place)
    full = tuple(ix.of(loops[a]) if a in loops else next(kept) for a in range(len(shape)))
    return tuple(loops.values()), low.at(x, full)


@_rule(*REDUCTIONS)
def _(low: Lowering, node: Node, place: Place) -> Expr:
    loops, body = reduction_parts(low, node, place)
    loops = tuple(v for v in loops if not v.is_single)
    return low.table.add(Reduce(node.primitive.name, loops, body, body.dtype)) if loops else body


@_rule("argmax", "argmin")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    loops, body = reduction_parts(low, node, place)
    if loops[0].is_single:
        return low.table.const(0, int32)
    return low.table.add(Reduce(node.primitive.name, loops, body, int32))


# products: small ones, and those of integers; the others have kernels of their own


@_rule("contract")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    x, y = node.inputs
    batch, axes = node.params["batch"], node.params["axes"]
    loops = [LoopVar(shape_of(x)[a]) for a in axes[0]]
    lead = place[: len(batch[0])]
    rest = iter(place[len(batch[0]) :])
    elements = []
    for k, atom in enumerate((x, y)):
        known = dict(zip(batch[k], lead, strict=True)) | dict(zip(axes[k], map(ix.of, loops), strict=True))
        elements.append(low.at(atom, tuple(known[a] if a in known else next(rest) for a in range(atom.spec.ndim))))
    return _sum_of_products(low, loops, *elements)


@_rule("conv")
def _(low: Lowering, node: Node, place: Place) -> Expr:
    x, kernel = node.inputs
    p = node.params
    rank = x.spec.ndim - 2
    *window, per_group, outputs = shape_of(kernel)
    taps = [LoopVar(n) for n in window]
    channel = LoopVar(per_group)
    conditions, where = [], []
    for a in range(rank):
        n, gap = shape_of(x)[a + 1], p["x_dilation"][a]
        moved = place[a + 1] * p["strides"][a] + ix.of(taps[a]) * p["kernel_dilation"][a] + -p["padding"][a][0]
        conditions.append(Condition(moved, 0, (n - 1) * gap))
        if gap > 1:
            lift = -(-max(0, -moved.bounds[0]) // gap)
            lifted = moved + lift * gap
            conditions.append(Condition(lifted % gap, 0, 0))
            moved = lifted // gap + -lift
        where.append(moved)
    group = place[-1] // (outputs // p["groups"])
    source = (place[0], *where, group * per_group + ix.of(channel))
    zero = low.table.const(0, computed(x.spec.dtype))
    element = low.guarded(tuple(conditions), lambda: low.at(x, source), lambda: zero)
    weight = low.at(kernel, (*map(ix.of, taps), ix.of(channel), place[-1]))
    return _sum_of_products(low, [*taps, channel], element, weight)


def _sum_of_products(low: Lowering, loops: list[LoopVar], x: Expr, y: Expr) -> Expr:
    product = low.table.op("mul", x, y)
    loops = [v for v in loops if not v.is_single]
    return low.table.add(Reduce("sum", tuple(loops), product, product.dtype)) if loops else product


VIEWS = ("broadcast", "reshape", "transpose", "reverse", "slice", "unfold", "stop_gradient", "on_gradient")
