"""Trial inputs for primitives. A primitive's `samples` rule gets a `Samples` and yields cases:

    @logaddexp.samples
    def _(s):
        yield s.case(s.normal(3), s.normal(2, 1))
        yield s.special([0.0, 1000.0], [0.0, -1000.0])
        yield s.error(s.normal(2), s.normal(3), ShapeError, "broadcast")

Floating arrays are drawn in float64 and cast to the dtype that a test runs at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from treadle.core.dtypes import DType, as_dtype

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """Inputs and parameters that a primitive must handle."""

    inputs: tuple[Array, ...]
    params: dict[str, Any]
    differentiable: bool = True
    special: bool = False  # zeros, infinities, NaN: compared with the reference only
    rtol: float | None = None  # instead of the battery's; say why beside it

    def at(self, dtype: DType) -> Case:
        """The same case with its floating inputs cast."""
        with np.errstate(over="ignore"):  # special values may become infinite
            cast = tuple(x.astype(dtype.numpy) if x.dtype == np.float64 else x for x in self.inputs)
        return replace(self, inputs=cast)

    def __str__(self) -> str:
        shapes = ",".join("x".join(map(str, x.shape)) or "scalar" for x in self.inputs)
        params = ",".join(f"{k}={v}" for k, v in self.params.items())[:60]
        return f"{shapes}{'|' if params else ''}{params}{'|special' if self.special else ''}"


@dataclass(frozen=True)
class ErrorCase:
    """Inputs that must be refused, with words that the message must contain."""

    inputs: tuple[Array, ...]
    params: dict[str, Any]
    error: type[Exception]
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.error.__name__}:{' '.join(self.words)}"[:60]


@dataclass
class Samples:
    """Makes inputs from a seeded generator, and cases from inputs."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def normal(self, *shape: int) -> Array:
        return self.rng.standard_normal(shape)

    def uniform(self, low: float, high: float, *shape: int) -> Array:
        return self.rng.uniform(low, high, shape)

    def positive(self, *shape: int) -> Array:
        """In [0.3, 3]: away from the poles of log, rsqrt and division."""
        return self.rng.uniform(0.3, 3.0, shape)

    def distinct(self, *shape: int) -> Array:
        """All elements at least 0.1 apart: no ties for max, sort, round."""
        count = int(np.prod(shape))
        return (self.rng.permutation(count) * 0.37 - 0.17 * count + 0.05).reshape(shape)

    def nonzero(self, *shape: int) -> Array:
        """Magnitudes in [0.3, 2], either sign."""
        return self.rng.uniform(0.3, 2.0, shape) * self.rng.choice([-1.0, 1.0], shape)

    def integers(self, low: int, high: int, *shape: int, dtype: Any = "int32") -> Array:
        """In [low, high)."""
        return np.asarray(self.rng.integers(low, high, shape), as_dtype(dtype).numpy)

    def booleans(self, *shape: int) -> Array:
        return np.asarray(self.rng.random(shape) < 0.5)

    def case(self, *inputs: Any, differentiable: bool = True, rtol: float | None = None, **params: Any) -> Case:
        return Case(tuple(map(np.asarray, inputs)), params, differentiable=differentiable, rtol=rtol)

    def special(self, *inputs: Sequence[Any] | Array, **params: Any) -> Case:
        """Values where formulas break: compared with the reference, not differentiated."""
        return Case(tuple(map(np.asarray, inputs)), params, differentiable=False, special=True)

    def error(self, *inputs_error_words: Any, **params: Any) -> ErrorCase:
        """Inputs, then the error's class, then the words that its message must contain."""
        k = next(i for i, x in enumerate(inputs_error_words) if isinstance(x, type))
        inputs, (error, *words) = inputs_error_words[:k], inputs_error_words[k:]
        return ErrorCase(tuple(map(np.asarray, inputs)), params, error, tuple(words))
