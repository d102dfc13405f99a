"""Contractions and convolutions in one form: sums of products over axes with strides.

    out[g, m, n] = sum over k of x[g, m, k] * y[g, n, k]

g, m, n and k each stand for several axes, and every address is a constant plus axes times strides. A convolution is of
this form once its input is padded: its window's axes are summed, and move through x like the output's. So are its two
derivatives, read through the views that make them convolutions; nothing is transposed in memory for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from treadle.backends.native import index as ix
from treadle.backends.native.expressions import Buffer, Expr, Load
from treadle.backends.native.extents import SizeNeededError, is_extent, rough
from treadle.backends.native.fuse import NUMBERS, Fusion
from treadle.backends.native.index import Affine, LoopVar, Quotient, Remainder
from treadle.backends.native.kernels import LoopKernel, Write
from treadle.backends.native.lowering import Lowering, shape_of
from treadle.backends.native.schedule import _cut, _divided
from treadle.core.graph import Atom, Node, Var


@dataclass(frozen=True)
class Axis:
    """A loop of a product: how often, and how far each round moves in x, y and the output (elements)."""

    extent: int
    x: int = 0
    y: int = 0
    out: int = 0

    def __str__(self) -> str:
        return f"{self.extent}({self.x},{self.y},{self.out})"


@dataclass(frozen=True)
class Product:
    """A sum of products of two buffers. `begins` are the constants of the three addresses."""

    x: Buffer
    y: Buffer
    out: Buffer
    begins: tuple[int, int, int]
    batch: tuple[Axis, ...]
    rows: tuple[Axis, ...]  # of x and the output
    columns: tuple[Axis, ...]  # of y and the output
    sums: tuple[Axis, ...]  # of x and y

    @property
    def swapped(self) -> Product:
        """The same with x and y exchanged."""

        def swap(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
            return tuple(Axis(a.extent, a.y, a.x, a.out) for a in axes)

        x, y, out = self.begins
        return Product(
            self.y,
            self.x,
            self.out,
            (y, x, out),
            swap(self.batch),
            swap(self.columns),
            swap(self.rows),
            swap(self.sums),
        )

    @property
    def operations(self) -> int:
        return 2 * prod(a.extent for a in (*self.batch, *self.rows, *self.columns, *self.sums))

    def __str__(self) -> str:
        parts = [f"{name}[{' '.join(map(str, axes))}]" for name, axes in self.roles.items()]
        return f"{self.out} = {self.x} * {self.y} {' '.join(parts)} from {self.begins}"

    @property
    def roles(self) -> dict[str, tuple[Axis, ...]]:
        return {"batch": self.batch, "rows": self.rows, "columns": self.columns, "sums": self.sums}


@dataclass(frozen=True)
class Prepared:
    """A product, and the copies that its operands need before it."""

    product: Product
    copies: tuple[LoopKernel, ...]


def describe(fusion: Fusion, node: Node, out: Var) -> Prepared:
    """A contraction or convolution in the common form; an operand that strides cannot describe is copied first."""
    sizes = _sizes(node)
    for _ in range(6):
        loops = {name: tuple(tuple(map(LoopVar, part)) for part in parts) for name, parts in sizes.items()}
        form = _Form(fusion, node, loops)
        x, y = form.operand(0), form.operand(1)
        cuts = _cuts(loops, [e.offset for e in (x, y) if isinstance(e, Load)])
        if not cuts:
            break
        sizes = {
            name: tuple(_cut(part, cuts.get((name, k), [])) for k, part in enumerate(parts))
            for name, parts in sizes.items()
        }
    copies = []
    loads = []
    for k, e in enumerate((x, y)):
        if isinstance(e, Load) and not e.conditions and _is_plain(e.offset):
            loads.append(e)
        else:
            made, load = form.copied(k, e)
            copies.append(made)
            loads.append(load)
    target, offset = form.target(out)
    if not _is_plain(offset):
        if any(map(is_extent, shape_of(out))):
            raise SizeNeededError(f"where the output of {node.primitive.name} lies")
        raise AssertionError(f"the output of {node} is no plain view")
    return Prepared(_product(form, loads[0], loads[1], target, offset), tuple(copies))


def _sizes(node: Node) -> dict[str, tuple[tuple[int, ...], ...]]:
    """The loops of a node: for each role, axes, each of which may be cut into several loops."""
    x, y = (shape_of(a) for a in node.inputs)
    p = node.params
    if node.primitive.name == "contract":
        taken = [set(p["batch"][k]) | set(p["axes"][k]) for k in range(2)]
        return {
            "batch": tuple((x[a],) for a in p["batch"][0]),
            "rows": tuple((n,) for a, n in enumerate(x) if a not in taken[0]),
            "columns": tuple((n,) for a, n in enumerate(y) if a not in taken[1]),
            "sums": tuple((x[a],) for a in p["axes"][0]),
        }
    out = shape_of(node.outputs[0])
    groups = p["groups"]
    return {
        "batch": ((groups,),),
        "rows": tuple((n,) for n in out[:-1]),
        "columns": ((out[-1] // groups,),),
        "sums": tuple((n,) for n in y[:-1]),
    }


class _Form:
    """A node's operands and output as expressions of its loops."""

    def __init__(self, fusion: Fusion, node: Node, loops: dict[str, tuple[tuple[LoopVar, ...], ...]]) -> None:
        self.fusion, self.node, self.loops = fusion, node, loops
        self.low = Lowering(fusion.kept, fusion.makers)
        self.value = {
            name: tuple(ix.flatten(tuple(map(ix.of, part)), tuple(v.extent for v in part)) for part in parts)
            for name, parts in loops.items()
        }

    @property
    def variables(self) -> Iterator[tuple[str, LoopVar]]:
        for name, parts in self.loops.items():
            for part in parts:
                for v in part:
                    yield name, v

    def _place(self, k: int) -> tuple[Affine, ...]:
        p, value = self.node.params, self.value
        if self.node.primitive.name == "contract":
            known = dict(zip(p["batch"][k], value["batch"], strict=True)) | dict(
                zip(p["axes"][k], value["sums"], strict=True)
            )
            rest = iter(value["columns" if k else "rows"])
            return tuple(known[a] if a in known else next(rest) for a in range(self.node.inputs[k].spec.ndim))
        group = value["batch"][0]
        if k == 1:
            return (*value["sums"], group * (shape_of(self.node.inputs[1])[-1] // p["groups"]) + value["columns"][0])
        taps = value["sums"][:-1]
        per_group = shape_of(self.node.inputs[1])[-2]
        spatial = [
            o * s + t * d
            for o, t, s, d in zip(value["rows"][1:], taps, p["strides"], p["kernel_dilation"], strict=True)
        ]
        return (value["rows"][0], *spatial, group * per_group + value["sums"][-1])

    def operand(self, k: int) -> Expr:
        """The element of an operand; of a padded input, at the place that it has once it is padded."""
        place = self._place(k)
        if k == 0 and self.node.primitive.name == "conv":
            if self._is_padded():
                return self.low.table.const(0, self.node.inputs[0].spec.dtype)  # `copied` makes it
            place = (
                place[0],
                *(i + -lo for i, (lo, _) in zip(place[1:-1], self.node.params["padding"], strict=True)),
                place[-1],
            )
        return self.low.at(self.node.inputs[k], place)

    def _is_padded(self) -> bool:
        p = self.node.params
        return any(lo > 0 or hi > 0 for lo, hi in p["padding"]) or any(d > 1 for d in p["x_dilation"])

    def copied(self, k: int, element: Expr) -> tuple[LoopKernel, Load]:
        """A copy of an operand, padded if it is a convolution's, in the order in which the original lies."""
        atom = self.node.inputs[k]
        if k == 0 and self.node.primitive.name == "conv":
            shape, place = self._padded_shape(), self._place(0)
        else:
            shape, place = shape_of(atom), self._place(k)
        padded = k == 0 and self.node.primitive.name == "conv"

        def at(loops: tuple[LoopVar, ...]) -> Expr:
            here = tuple(map(ix.of, loops))
            return self._padded(atom, here) if padded else self.low.at(atom, here)

        loops = tuple(map(LoopVar, shape))
        order = _memory_order(at(loops), loops)
        made = {a: LoopVar(shape[a]) for a in order}  # counted in this order, so that equal copies have equal texts
        loops = tuple(made[a] for a in range(len(shape)))
        value = at(loops)
        buffer = Buffer(next(NUMBERS), atom.spec.dtype, tuple(shape[a] for a in order))
        strides = dict(zip(order, ix.row_major(buffer.shape), strict=True))
        offset = _sum(ix.of(loops[a]) * strides[a] for a in range(len(shape)))
        sorted_loops = tuple(loops[a] for a in order if not loops[a].is_single)
        write = Write(buffer, offset, value)
        kernel = LoopKernel(sorted_loops[:-1], sorted_loops[-1:], (write,), ("copy",))
        return kernel, Load(buffer, _sum(i * strides[a] for a, i in enumerate(place)), ())

    def _padded_shape(self) -> tuple[int, ...]:
        p = self.node.params
        n, *spatial, channels = shape_of(self.node.inputs[0])
        grown = [
            (m - 1) * gap + 1 + lo + hi for m, gap, (lo, hi) in zip(spatial, p["x_dilation"], p["padding"], strict=True)
        ]
        return (n, *grown, channels)

    def _padded(self, atom: Atom, place: tuple[Affine, ...]) -> Expr:
        from treadle.backends.native.expressions import Condition

        p = self.node.params
        conditions, inner = [], []
        for i, m, gap, (lo, _) in zip(place[1:-1], shape_of(atom)[1:-1], p["x_dilation"], p["padding"], strict=True):
            moved = i + -lo
            conditions.append(Condition(moved, 0, (m - 1) * gap))
            if gap > 1:
                lift = -(-max(0, -moved.bounds[0]) // gap)
                lifted = moved + lift * gap
                conditions.append(Condition(lifted % gap, 0, 0))
                moved = lifted // gap + -lift
            inner.append(moved)
        zero = self.low.table.const(0, atom.spec.dtype)
        return self.low.guarded(
            tuple(conditions), lambda: self.low.at(atom, (place[0], *inner, place[-1])), lambda: zero
        )

    def target(self, out: Var) -> tuple[Buffer, Affine]:
        """Where an element of the output goes: the output itself may be a view of the node's."""
        value = self.value
        place: tuple[Affine, ...]
        if self.node.primitive.name == "contract":
            place = (*value["batch"], *value["rows"], *value["columns"])
        else:
            groups = self.node.params["groups"]
            channel = value["batch"][0] * (shape_of(self.node.outputs[0])[-1] // groups) + value["columns"][0]
            place = (*value["rows"], channel)
        shape = shape_of(self.node.outputs[0])
        for view in output_views(self.fusion, self.node, out):
            if view.primitive.name == "transpose":
                place = tuple(place[a] for a in view.params["axes"])
                shape = tuple(shape[a] for a in view.params["axes"])
            else:
                flat = ix.flatten(place, shape)
                shape = shape_of(view.outputs[0])
                place = ix.unflatten(flat, shape)
        buffer = self.fusion.kept[out]
        return buffer, ix.flatten(place, buffer.shape)


def output_views(fusion: Fusion, node: Node, out: Var) -> list[Node]:
    """The views between a node's output and the value that is kept of it."""
    chain: list[Node] = []
    while out is not node.outputs[0]:
        view = fusion.makers[out]
        chain.append(view)
        (inner,) = view.inputs
        assert isinstance(inner, Var)
        out = inner
    return chain[::-1]


def _sum(parts: Iterator[Affine] | Sequence[Affine]) -> Affine:
    total = ix.ZERO
    for part in parts:
        total = total + part
    return total


def _is_plain(offset: Affine) -> bool:
    return all(isinstance(atom, LoopVar) for atom, _ in offset.terms)


def _memory_order(value: Expr, loops: tuple[LoopVar, ...]) -> tuple[int, ...]:
    """The axes as the original lies in memory, farthest apart first."""
    from treadle.backends.native.expressions import walk

    loads = [e for e in walk([value]) if isinstance(e, Load)]
    if not loads:
        return tuple(range(len(loops)))
    far = {a: _reach(loads[0].offset, v) for a, v in enumerate(loops)}
    return tuple(sorted(range(len(loops)), key=lambda a: (-rough(far[a]), a)))


def _reach(offset: Affine, var: LoopVar) -> int:
    return max((rough(abs(c)) for atom, c in offset.terms if var in atom.variables), default=0)


def _cuts(
    loops: dict[str, tuple[tuple[LoopVar, ...], ...]], offsets: Sequence[Affine]
) -> dict[tuple[str, int], list[tuple[int, int]]]:
    """Where loops must be cut for the offsets to need no division."""
    found: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for offset in offsets:
        for atom in offset.walk():
            if isinstance(atom, (Quotient, Remainder)):
                for var, divisor in _divided(atom):
                    for name, parts in loops.items():
                        for k, part in enumerate(parts):
                            if var in part and var.extent % divisor == 0 and 1 < divisor < var.extent:
                                found.setdefault((name, k), []).append((part.index(var), divisor))
    return found


def _product(form: _Form, x: Load, y: Load, target: Buffer, offset: Affine) -> Product:
    roles: dict[str, list[Axis]] = {"batch": [], "rows": [], "columns": [], "sums": []}
    for name, var in form.variables:
        if not var.is_single:
            strides = [o.coefficient(var) or 0 for o in (x.offset, y.offset, offset)]
            roles[name].append(Axis(var.extent, *strides))
    begins = (x.offset.constant, y.offset.constant, offset.constant)
    made = {name: tuple(merged(axes)) for name, axes in roles.items()}
    return Product(x.buffer, y.buffer, target, begins, made["batch"], made["rows"], made["columns"], made["sums"])


def merged(axes: Sequence[Axis]) -> list[Axis]:
    """Axes that can be gone through as one loop made one; the farthest apart first."""
    return joined(sorted(axes, key=lambda a: (-rough(abs(a.out)), -rough(abs(a.x)), -rough(abs(a.y)))))


def joined(axes: Sequence[Axis]) -> list[Axis]:
    """The same loops in the same order, neighbours that are one loop made one."""
    out: list[Axis] = []
    for inner in axes:
        if out:
            outer = out[-1]
            if all(o == i * inner.extent for o, i in ((outer.x, inner.x), (outer.y, inner.y), (outer.out, inner.out))):
                out[-1] = replace(inner, extent=outer.extent * inner.extent)
                continue
        out.append(inner)
    return out
