"""`Primitive`: one thing that can be computed, and its rules.

Everything that is known of a primitive stands in one place, in `ops/<family>.py`, as functions decorated with the
primitive's own name:

    shape       specs → spec(s); raises ShapeError or DTypeError with a sentence a person can act on
    reference   NumPy arrays → NumPy array(s): the meaning; the oracle of every backend
    jvp         (primals, tangents, outputs) → tangent(s); `tangents` may hold `Zero`, which absorbs products
    push        (primals, tangents) → (outputs, tangents): in place of jvp, where both come from one run (loops)
    linearize   the same where tangents are symbols: it splits the run, and keeps what the tangents' part needs (loops)
    transpose   (cotangent, *inputs) → one cotangent per input; the inputs that it is linear in come as `Unknown`
    batch       (batched flags, *inputs, size) → outputs with the batch on axis 0; batched inputs have it on axis 0
    samples     trial inputs of its own domain, and wrong ones with the words that their message must have
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from treadle.core.dims import Dim
from treadle.core.dtypes import DType
from treadle.core.errors import GraphError, RuleError
from treadle.core.spec import Spec

Rule = Callable[..., Any]
_F = TypeVar("_F", bound=Rule)

PRIMITIVES: dict[str, Primitive] = {}


class Primitive:
    """One thing that can be computed. Calling it binds it: runs it at once, or records it in the graph being traced.

    Args:
        name: unique; what graphs print.
        multiple: the rules give and take tuples of outputs.
        additive: inputs that it is linear in together, as `add` is: f(x + u, y + v) = f(x, y) + f(u, v).
        multilinear: inputs that it is linear in one at a time, as `mul` is.
        effects: running it does something beside returning values, so it may be neither dropped nor repeated.
        stretches: inputs of lower rank or size 1 are stretched like NumPy's operands (the elementwise class).

    Derivatives come from `additive`/`multilinear` with a `transpose` rule, or from a `jvp` rule.
    """

    def __init__(
        self,
        name: str,
        *,
        multiple: bool = False,
        additive: Sequence[int] = (),
        multilinear: Sequence[int] = (),
        effects: bool = False,
        stretches: bool = False,
    ) -> None:
        if name in PRIMITIVES:
            raise ValueError(f"there is a primitive named {name} already")
        self.name = name
        self.multiple = multiple
        self.additive = tuple(additive)
        self.multilinear = tuple(multilinear)
        self.effects = effects
        self.stretches = stretches
        self.rules: dict[str, Rule] = {}
        PRIMITIVES[name] = self

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return _lookup, (self.name,)

    def _decorator(self, kind: str) -> Callable[[_F], _F]:
        def register(rule: _F) -> _F:
            self.rules[kind] = rule
            return rule

        return register

    @property
    def shape(self) -> Callable[[_F], _F]:
        return self._decorator("shape")

    @property
    def reference(self) -> Callable[[_F], _F]:
        return self._decorator("reference")

    @property
    def jvp(self) -> Callable[[_F], _F]:
        return self._decorator("jvp")

    @property
    def push(self) -> Callable[[_F], _F]:
        return self._decorator("push")

    @property
    def linearize(self) -> Callable[[_F], _F]:
        return self._decorator("linearize")

    @property
    def transpose(self) -> Callable[[_F], _F]:
        return self._decorator("transpose")

    @property
    def batch(self) -> Callable[[_F], _F]:
        return self._decorator("batch")

    @property
    def samples(self) -> Callable[[_F], _F]:
        return self._decorator("samples")

    @property
    def is_linear(self) -> bool:
        return bool(self.additive or self.multilinear)

    def rule(self, kind: str) -> Rule:
        """One of its rules.

        Raises:
            RuleError: it has none of this kind.
        """
        try:
            return self.rules[kind]
        except KeyError:
            raise RuleError(f"the operation `{self.name}` has no {kind} rule") from None

    def infer(self, *inputs: Spec, **params: Any) -> tuple[Spec, ...]:
        """Specs of the outputs, always as a tuple."""
        out = self.rule("shape")(*inputs, **params)
        return tuple(out) if self.multiple else (out,)

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        from treadle.core.tracing import bind  # the trace knows primitives; the other way round only here

        return bind(self, *inputs, **params)


def _lookup(name: str) -> Primitive:
    return PRIMITIVES[name]


class Zero:
    """A tangent or cotangent that is zero everywhere, without its numbers. Absorbs products, vanishes in sums.

    Division and multiplication by anything give Zero, also by infinity: a zero stays a zero (see `mul` in
    ops/elementwise.py for the numbers' counterpart).
    """

    __slots__ = ("spec",)
    __array_priority__ = 1000  # NumPy arrays must leave `array * Zero` to us

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __repr__(self) -> str:
        return f"Zero({self.spec})"

    def _absorb(self, *_: Any) -> Zero:
        return self

    __mul__ = __rmul__ = __truediv__ = __neg__ = _absorb

    def __add__(self, other: Any) -> Any:
        return other

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return -other

    def __rsub__(self, other: Any) -> Any:
        return other


class Unknown:
    """Stands for an input whose cotangent a transpose rule is asked for."""

    __slots__ = ("spec",)

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    @property
    def shape(self) -> tuple[int | Dim, ...]:
        return self.spec.shape

    @property
    def dtype(self) -> DType:
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        return self.spec.ndim

    def __repr__(self) -> str:
        return f"Unknown({self.spec})"


@dataclass(frozen=True, slots=True)
class Batched:
    """What the batch rule of a primitive with graphs returns: outputs, and which of them have the batch axis."""

    outputs: Sequence[Any]
    flags: Sequence[bool]


class Opaque:
    """A Python object inside a node's parameters (a host function, a user's derivative): compared by identity.

    It prints as `<name#3>`, and that text finds it again while some graph holds it.
    """

    # Weak: the object holds a user's function with all that it closes over, and dies with the graphs that use it.
    _known: ClassVar[weakref.WeakValueDictionary[int, Opaque]] = weakref.WeakValueDictionary()
    _numbers: ClassVar[Iterator[int]] = itertools.count()
    __slots__ = ("__weakref__", "name", "number", "value")

    def __init__(self, value: Any, name: str | None = None) -> None:
        self.value = value
        self.name = name or str(getattr(value, "__qualname__", type(value).__name__)).replace("<locals>.", "")
        self.name = "".join(c if c.isalnum() or c in "._" else "_" for c in self.name)
        self.number = next(Opaque._numbers)
        Opaque._known[self.number] = self

    def __repr__(self) -> str:
        return f"<{self.name}#{self.number}>"

    @staticmethod
    def find(number: int) -> Opaque:
        """The object of that number.

        Raises:
            GraphError: no graph holds it any more, or it belongs to another process.
        """
        found = Opaque._known.get(number)
        if found is None:
            raise GraphError(f"the Python object #{number} of this text is gone: it lives as long as a graph holds it")
        return found


def all_primitives() -> Iterable[Primitive]:
    """Every registered primitive, by name."""
    return [PRIMITIVES[name] for name in sorted(PRIMITIVES)]
