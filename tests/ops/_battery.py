"""What the battery needs: every primitive's cases, running them, finite differences, and the tables of exceptions."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import treadle.ops  # noqa: F401  registers every primitive
from treadle.core import registry
from treadle.core.dims import Dim, Size
from treadle.core.dtypes import bfloat16, float16, float32, float64
from treadle.core.errors import DTypeError, OutOfRangeError
from treadle.core.primitive import Batched, Primitive, Zero, all_primitives
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor, concrete
from treadle.testing.samples import Case, ErrorCase, Samples

Array = np.ndarray[Any, Any]

# Backends whose results the battery compares with the float64 reference. A new backend adds its name here.
BACKENDS = ("reference",)

# No derivative, so `td.grad` through them to a floating input raises, or their result is not floating.
NOT_DIFFERENTIABLE = {
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "is_finite"), "the result is bool"),
    **dict.fromkeys(("not_", "and_", "or_", "xor", "shift_left", "shift_right"), "of integers and bools"),
    **dict.fromkeys(("all", "any"), "of bools"),
    **dict.fromkeys(("argmax", "argmin", "argsort", "searchsorted"), "the result is an index"),
    **dict.fromkeys(("iota", "size", "constant"), "no inputs"),
    "random_bits": "of integer keys",
    **dict.fromkeys(("check", "print", "probe"), "no outputs"),
}

# The graphs and functions among their parameters have one dtype and shape: their cases run at float64 alone, without
# Dims. Everything else holds for them too.
FIXED_DTYPE = ("call", "cond", "custom_jvp", "custom_vjp", "host", "linear_call", "scan", "while_loop")

# No cases of their own: what they are part of has them.
NO_CASES = {"linear_call": "made by the linearization of custom_vjp"}

# Additive in all inputs, however many: `Primitive.additive` cannot list them.
VARIADIC = ("concatenate",)

# The last axis of their indices says how many axes they index: a Dim there is wrong, not undecided.
COUNTS_AXES = ("gather", "scatter")

# Any one input will do, of any shape and dtype.
REFUSE_NOTHING = ("cast", "probe", "stop_gradient")

# Half precision rounds once at the end (references compute it in float32): one unit in the last place.
RTOL = {float64: 1e-12, float32: 2e-5, float16: 2e-3, bfloat16: 1.6e-2}
ATOL = {float64: 1e-13, float32: 2e-6, float16: 2e-4, bfloat16: 2e-3}


class At:
    """A primitive with one of its cases; what tests are parametrised by."""

    def __init__(self, primitive: Primitive, case: Any, number: int) -> None:
        self.primitive, self.case, self.number = primitive, case, number

    def __str__(self) -> str:
        return f"{self.primitive.name}-{self.number}-{self.case}"

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(str(self).encode()))

    @property
    def floating(self) -> list[int]:
        """Positions of the inputs that derivatives are taken of."""
        return [i for i, x in enumerate(self.case.inputs) if x.dtype == np.float64]


def covered() -> list[Primitive]:
    return list(all_primitives())


def samples_of(primitive: Primitive) -> list[Case | ErrorCase]:
    return list(primitive.rule("samples")(Samples())) if "samples" in primitive.rules else []


def all_samples(kind: type) -> list[At]:
    return [At(p, c, i) for p in covered() for i, c in enumerate(samples_of(p)) if isinstance(c, kind)]


CASES = all_samples(Case)
ERRORS = all_samples(ErrorCase)


def differentiable() -> list[At]:
    """Cases with a derivative of a floating output by a floating input."""
    return [
        at
        for at in CASES
        if at.case.differentiable
        and at.floating
        and at.primitive.name not in NOT_DIFFERENTIABLE
        and any(s.dtype is float64 for s in at.primitive.infer(*specs(at.case.inputs), **at.case.params))
    ]


def missing_rules(primitive: Primitive) -> list[str]:
    """What a primitive lacks to be complete."""
    missing = [kind for kind in ("shape", "reference", "samples") if kind not in primitive.rules]
    found = samples_of(primitive)
    cases = [c for c in found if isinstance(c, Case)]
    if not cases and primitive.name not in NO_CASES:
        missing.append("a sample case")
    takes_inputs = any(c.inputs for c in cases)
    if takes_inputs and "batch" not in primitive.rules:
        missing.append("batch")
    if takes_inputs and primitive.name not in REFUSE_NOTHING and not any(isinstance(c, ErrorCase) for c in found):
        missing.append("a sample of wrong inputs")
    has_rule = bool({"jvp", "push"} & set(primitive.rules))
    has_derivative = has_rule or (primitive.is_linear and "transpose" in primitive.rules)
    exempt = primitive.name in NOT_DIFFERENTIABLE or primitive.name in NO_CASES
    if not exempt and not has_derivative:
        missing.append("derivative")
    return missing


def specs(arrays: Sequence[Array]) -> list[Spec]:
    return [tensor(x).spec for x in arrays]


def tensor(array: Any) -> Tensor:
    return concrete(np.array(array))


def tensors(arrays: Sequence[Any]) -> list[Tensor]:
    return [tensor(x) for x in arrays]


def run(primitive: Primitive, arrays: Sequence[Array], params: dict[str, Any], backend: str = "reference") -> Any:
    """Outputs as a tuple of arrays."""
    return tuple(
        np.asarray(v) for v in registry.backend(backend).run_primitive(primitive, [*map(np.array, arrays)], params)
    )


def as_tuple(primitive: Primitive, out: Any) -> tuple[Any, ...]:
    return tuple(out) if primitive.multiple else (out,)


def batched_outputs(primitive: Primitive, out: Any, size: int) -> list[Array]:
    """A batch rule's outputs, all with the batch on axis 0."""
    if not isinstance(out, Batched):
        return [o.numpy() for o in as_tuple(primitive, out)]
    return [
        o.numpy() if flag else np.broadcast_to(o.numpy(), (size, *o.shape))
        for o, flag in zip(out.outputs, out.flags, strict=True)
    ]


def number_of(t: Any) -> Array:
    """A tangent or cotangent as float64 numbers."""
    if isinstance(t, Zero):
        return np.zeros(t.spec.shape)
    return np.asarray(t.numpy(), np.float64)


def takes(primitive: Primitive, arrays: Sequence[Array], params: dict[str, Any]) -> bool:
    """Whether a primitive takes these dtypes."""
    try:
        primitive.infer(*specs(arrays), **params)
    except DTypeError:
        return False
    return True


def direction(rng: np.random.Generator, like: Array) -> Array:
    return np.asarray(rng.uniform(-1, 1, like.shape))


def richardson(function: Callable[[float], tuple[Array, ...]], h: float = 1e-3) -> list[Array]:
    """Derivative at 0 by central differences at h, h/2, h/4, extrapolated twice (Richardson 1911): error O(h⁶)."""

    def central(step: float) -> list[Array]:
        pairs = zip(function(step), function(-step), strict=True)
        return [(np.asarray(a, np.float64) - np.asarray(b, np.float64)) / (2 * step) for a, b in pairs]

    rows = [central(h / 2**k) for k in range(3)]
    for k in (1, 2):
        rows = [
            [(4**k * fine - coarse) / (4**k - 1) for fine, coarse in zip(b, a, strict=True)]
            for a, b in itertools.pairwise(rows)
        ]
    return rows[0]


def moved(at: At, tangents: Sequence[Array | None], step: float) -> list[Array]:
    return [x if t is None else x + step * t for x, t in zip(at.case.inputs, tangents, strict=True)]


def batched_subsets(count: int) -> Iterator[tuple[bool, ...]]:
    """All inputs together, and each alone."""
    yield (True,) * count
    if count > 1:
        for i in range(count):
            yield tuple(j == i for j in range(count))


def examples(at: At, batched: Sequence[bool], size: int) -> list[list[Array]]:
    """`size` variants of a case's inputs in the same domain; inputs that are not batched stay the same."""

    def variant(x: Array, k: int, roll: bool) -> Array:
        if x.dtype.kind == "f":
            return x * (1 + 0.01 * k)
        if not roll:
            return x
        if x.dtype.kind in "iu" and x.ndim < 2 and np.all(x.ravel()[1:] >= x.ravel()[:-1]):
            return x + x.dtype.type(k)  # what is sorted may have to be
        return np.roll(x, k, axis=0) if x.ndim else x ^ bool(k % 2)

    def make(roll: bool) -> list[list[Array]]:
        pairs = list(zip(at.case.inputs, batched, strict=True))
        return [[variant(x, k, roll) if b else x for x, b in pairs] for k in range(size)]

    made = make(roll=True)
    try:
        for inputs in made:
            run(at.primitive, inputs, at.case.params)
    except OutOfRangeError:  # rolled indices can leave their axis
        return make(roll=False)
    return made


def with_dims(at: At) -> Iterator[tuple[list[Spec], dict[str, Any], dict[str, int]]]:
    """The case's specs and parameters with one size, or all, replaced by Dims wherever they occur; and the sizes."""
    plain = specs(at.case.inputs)
    found = sorted({n for s in plain for n in s.shape if isinstance(n, int) and n > 1})
    for chosen in ([n] for n in found):
        yield _replaced(plain, at.case.params, chosen)
    if len(found) > 1:
        yield _replaced(plain, at.case.params, found)


def _replaced(plain: list[Spec], params: dict[str, Any], chosen: list[int]) -> Any:
    dims = {n: Dim(f"n{n}") for n in chosen}

    def size(n: Size) -> Size:
        return dims.get(n, n) if isinstance(n, int) else n

    out = [s.with_shape([size(n) for n in s.shape]) for s in plain]
    changed = {
        # the parameters that are sizes
        k: tuple(map(size, v)) if k in ("shape", "sizes", "stop") and isinstance(v, tuple) else v
        for k, v in params.items()
    }
    return out, changed, {f"n{n}": n for n in chosen}
