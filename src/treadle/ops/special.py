"""The error function and its inverse, the gamma function's logarithm and its derivatives, and the logistic function."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.core.dtypes import FLOATING
from treadle.core.errors import ArgumentError
from treadle.core.primitive import Primitive
from treadle.core.spec import Spec
from treadle.core.tensor import Tensor
from treadle.ops.elementwise_class import Array, Draw, Sample, elementwise, refuses, stretched, unary_cases, widened
from treadle.ops.transcendental import exp

if TYPE_CHECKING:
    from treadle.testing.samples import Samples

erf = elementwise("erf", arity=1, dtypes=FLOATING)
erfinv = elementwise("erfinv", arity=1, dtypes=FLOATING)
# log |Γ(x)|, its derivative, and the n-th derivative of that.
lgamma = elementwise("lgamma", arity=1, dtypes=FLOATING)
digamma = elementwise("digamma", arity=1, dtypes=FLOATING)
polygamma = elementwise("polygamma", arity=1, dtypes=FLOATING)
# 1 / (1 + e⁻ˣ).
sigmoid = elementwise("sigmoid", arity=1, dtypes=FLOATING)


@erf.reference
@widened
def _(x: Array) -> Array:
    from scipy import special

    return np.asarray(special.erf(x))


@erf.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    x = primals[0]
    return tangents[0] * (2 / math.sqrt(math.pi) * exp(-x * x))


@erfinv.reference
@widened
def _(x: Array) -> Array:
    from scipy import special

    return np.asarray(np.copysign(special.erfinv(x), x))  # SciPy forgets the sign of -0


@erfinv.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    return tangents[0] * (math.sqrt(math.pi) / 2 * exp(out * out))


@lgamma.reference
@widened
def _(x: Array) -> Array:
    from scipy import special

    # Computed in float64 also for float32: near the zeros at 1 and 2 its own digits would cancel.
    return np.asarray(special.gammaln(x.astype(np.float64)))


@lgamma.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    return tangents[0] * digamma(primals[0])


@digamma.reference
@widened
def _(x: Array) -> Array:
    from scipy import special

    return np.asarray(special.psi(x.astype(np.float64)))


@digamma.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    return tangents[0] * polygamma(primals[0], n=1)


@polygamma.shape
def _(x: Spec, *, n: int) -> Spec:
    if n < 0:
        raise ArgumentError(f"`polygamma` is the n-th derivative of digamma, n >= 0; n is {n}")
    return stretched("polygamma", (x,), FLOATING)


@polygamma.reference
@widened
def _(x: Array, *, n: int) -> Array:
    from scipy import special

    return np.asarray(special.polygamma(n, x.astype(np.float64)))


@polygamma.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, n: int) -> Any:
    return tangents[0] * polygamma(primals[0], n=n + 1)


@sigmoid.reference
@widened
def _(x: Array) -> Array:
    e = np.exp(-np.abs(x))  # never above 1
    return np.asarray(np.where(x >= 0, np.ones((), x.dtype), e) / (1 + e))


@sigmoid.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Any:
    return tangents[0] * (out * sigmoid(-primals[0]))  # 1 - out would cancel for large x


def _sampled(primitive: Primitive, low: float, high: float, *special: float) -> None:
    @primitive.samples
    def _(s: Samples) -> Iterator[Sample]:
        def draw(*shape: int) -> Array:
            return s.uniform(low, high, *shape)

        yield from unary_cases(s, draw)
        yield s.special([0.0, -0.0, np.inf, np.nan, *special])
        yield from refuses(s, "int32", "bool")


_sampled(erf, -2, 2, -np.inf, 1e-9, 30.0)
_sampled(erfinv, -0.95, 0.95, 1.0, -1.0, 1.5, 1e-9)
_sampled(lgamma, 0.3, 5, 1.0, 2.0, -1.0, -1.5, 171.0, 1e5)
_sampled(digamma, 0.3, 5, 1.0, -1.0, -1.5, 1e5)
_sampled(sigmoid, -3, 3, -np.inf, 1000.0, -1000.0, 30.0)


@polygamma.samples
def _(s: Samples) -> Iterator[Sample]:
    draw: Draw = s.positive
    for n in (0, 1, 2, 4):
        yield s.case(draw(2, 3), n=n)
    for shape in ((), (0, 2), (2, 1, 3)):
        yield s.case(draw(*shape), n=1)
    yield s.special([0.0, np.inf, np.nan, 1.0, -1.5, 1e5], n=1)
    yield s.error(s.positive(2), ArgumentError, "n >= 0", "-1", n=-1)
    for error in refuses(s, "int32"):
        yield s.error(*error.inputs, error.error, *error.words, n=1)


__all__ = ["digamma", "erf", "erfinv", "lgamma", "polygamma", "sigmoid"]
