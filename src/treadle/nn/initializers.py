"""First numbers of parameters. An initialiser is a callable (key, shape, dtype) → tensor; names are Keras's.

Layers take one of the names below ("glorot_uniform"), an object of one of the classes (`TruncatedNormal(stddev=0.02)`),
or any function with that signature.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, Union

import numpy as np

from treadle import array as xp
from treadle import random
from treadle.core.dtypes import DType, as_dtype
from treadle.core.errors import ArgumentError, BuildError, DTypeError, ShapeError
from treadle.core.owned import Parameter
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor, concrete
from treadle.core.tracing import untraced

Shape: TypeAlias = tuple[int, ...]
Initializer: TypeAlias = Callable[[Tensor, Shape, DType], Tensor]
InitializerLike: TypeAlias = Union[str, Initializer]


def fans(shape: Shape) -> tuple[int, int]:
    """How many inputs each output of a kernel depends on, and how many outputs each input acts on.

    `[in, out]` of a dense layer, `[*window, in, out]` of a convolution.

    >>> td.nn.initializers.fans((3, 3, 16, 32))
    (144, 288)
    """
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


# The standard deviation of a standard normal number that is drawn again beyond ±2.
_TRUNCATED_STDDEV = 0.87962566103423978
_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("uniform", "truncated_normal", "untruncated_normal")


@dataclass(frozen=True)
class VarianceScaling:
    """Random numbers with mean 0 and variance `scale / fan`: signals keep their size from layer to layer.

    Args:
        scale: > 0; 2 for layers followed by relu (He), 1 for others.
        mode: "fan_in", "fan_out" or "fan_avg": what the variance is divided by.
        distribution: "uniform", "truncated_normal" (beyond two deviations drawn again) or "untruncated_normal".

    Raises:
        ArgumentError: a value that it cannot have.

    Sources: Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks (AISTATS 2010);
    He et al., Delving deep into rectifiers (ICCV 2015); LeCun et al., Efficient backprop (1998).

    >>> w = td.nn.initializers.glorot_uniform(td.random.key(0), (300, 200), td.float32)
    >>> round(td.std(w).item(), 3), round((2 / (300 + 200)) ** 0.5, 3)
    (0.063, 0.063)
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise ArgumentError(f"VarianceScaling: scale must be positive; got {self.scale}")
        for what, value, known in (("mode", self.mode, _MODES), ("distribution", self.distribution, _DISTRIBUTIONS)):
            if value not in known:
                raise ArgumentError(f"VarianceScaling: {what} is one of {', '.join(known)}; got {value!r}")

    def __call__(self, key: Tensor, shape: Shape, dtype: DType) -> Tensor:
        return self.sample(key, shape, dtype, fans(shape))

    def sample(self, key: Tensor, shape: Shape, dtype: DType, fans: tuple[float, float]) -> Tensor:
        """The same for a kernel whose shape does not tell its fans (a depthwise or transposed convolution)."""
        fan = {"fan_in": fans[0], "fan_out": fans[1], "fan_avg": (fans[0] + fans[1]) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, fan))
        if self.distribution == "uniform":
            limit = math.sqrt(3.0) * stddev
            return RandomUniform(-limit, limit)(key, shape, dtype)
        if self.distribution == "truncated_normal":
            return TruncatedNormal(0.0, stddev / _TRUNCATED_STDDEV)(key, shape, dtype)
        return RandomNormal(0.0, stddev)(key, shape, dtype)


@dataclass(frozen=True)
class RandomUniform:
    """Uniform in [minval, maxval)."""

    minval: float = -0.05
    maxval: float = 0.05

    def __call__(self, key: Tensor, shape: Shape, dtype: DType) -> Tensor:
        return random.uniform(key, shape, low=self.minval, high=self.maxval, dtype=dtype)


@dataclass(frozen=True)
class RandomNormal:
    """Normal numbers."""

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, key: Tensor, shape: Shape, dtype: DType) -> Tensor:
        return random.normal(key, shape, mean=self.mean, std=self.stddev, dtype=dtype)


@dataclass(frozen=True)
class TruncatedNormal:
    """Normal numbers, drawn again when more than two `stddev` away from the mean."""

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, key: Tensor, shape: Shape, dtype: DType) -> Tensor:
        return self.mean + self.stddev * random.truncated_normal(key, shape, dtype=dtype)


@dataclass(frozen=True)
class Constant:
    """The same number everywhere."""

    value: float = 0.0

    def __call__(self, key: Tensor, shape: Shape, dtype: DType) -> Tensor:
        return xp.full(shape, self.value, dtype=dtype)


@dataclass(frozen=True)
class Identity:
    """`gain` times the identity matrix; for a convolution, in the middle of its window: it passes its input on.

    Raises:
        ShapeError: fewer than two axes.

    >>> td.nn.initializers.identity(td.random.key(0), (2, 3), td.float32).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """

    gain: float = 1.0

    def __call__(self, key: Tensor, shape: Shape, dtype: DType) -> Tensor:
        _need_matrix("identity", shape)
        kernel = np.zeros(shape, dtype.numpy)
        middle = tuple((n - 1) // 2 for n in shape[:-2])
        kernel[middle] = self.gain * np.eye(shape[-2], shape[-1])
        return concrete(kernel)


@dataclass(frozen=True)
class Orthogonal:
    """`gain` times a random matrix with orthonormal columns (or rows, where there are fewer).

    All axes but the last are taken as one. Uniformly distributed: the Q of a normal matrix, with R's diagonal positive.

    Raises:
        ShapeError: fewer than two axes.

    Sources: Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning (ICLR 2014); Mezzadri,
    How to generate random matrices from the classical compact groups, Notices of the AMS 54 (2007).

    >>> q = td.nn.initializers.orthogonal(td.random.key(0), (4, 3), td.float64)
    >>> bool(td.max(abs(q.T @ q - td.eye(3, dtype=td.float64))) < 1e-12)
    True
    """

    gain: float = 1.0

    def __call__(self, key: Tensor, shape: Shape, dtype: DType) -> Tensor:
        _need_matrix("orthogonal", shape)
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        q, r = np.linalg.qr(random.normal(key, tall, dtype=as_dtype("float64")).numpy())
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
        matrix = self.gain * (q if rows >= columns else q.T)
        return concrete(matrix.reshape(shape).astype(dtype.numpy))


def _need_matrix(name: str, shape: Shape) -> None:
    if len(shape) < 2:
        raise ShapeError(
            f"the initialiser {name} makes matrices, and the shape {show_shape(shape)} has fewer than two axes"
        )


zeros = Constant(0.0)
ones = Constant(1.0)
constant = Constant()
identity = Identity()
orthogonal = Orthogonal()
random_normal = RandomNormal()
random_uniform = RandomUniform()
truncated_normal = TruncatedNormal()
variance_scaling = VarianceScaling()
glorot_uniform = VarianceScaling(1.0, "fan_avg", "uniform")
glorot_normal = VarianceScaling(1.0, "fan_avg", "truncated_normal")
he_uniform = VarianceScaling(2.0, "fan_in", "uniform")
he_normal = VarianceScaling(2.0, "fan_in", "truncated_normal")
lecun_uniform = VarianceScaling(1.0, "fan_in", "uniform")
lecun_normal = VarianceScaling(1.0, "fan_in", "truncated_normal")

NAMES: dict[str, Initializer] = {
    "constant": constant,
    "glorot_normal": glorot_normal,
    "glorot_uniform": glorot_uniform,
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "identity": identity,
    "lecun_normal": lecun_normal,
    "lecun_uniform": lecun_uniform,
    "ones": ones,
    "orthogonal": orthogonal,
    "random_normal": random_normal,
    "random_uniform": random_uniform,
    "truncated_normal": truncated_normal,
    "variance_scaling": variance_scaling,
    "zeros": zeros,
}


def get(what: InitializerLike) -> Initializer:
    """The initialiser of a name; a callable is one already.

    Raises:
        ArgumentError: there is none of that name, or a class was given.

    >>> td.nn.initializers.get("he_normal")
    VarianceScaling(scale=2.0, mode='fan_in', distribution='truncated_normal')
    """
    if isinstance(what, str):
        if what not in NAMES:
            close = difflib.get_close_matches(what, NAMES, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(NAMES)}"
            raise ArgumentError(f"there is no initialiser {what!r}; {meant}")
        return NAMES[what]
    if isinstance(what, type):
        raise ArgumentError(f"{what.__name__} is a class of initialisers: write {what.__name__}(…)")
    if not callable(what):
        raise ArgumentError(f"an initialiser is a name or a callable (key, shape, dtype) → tensor; got {what!r}")
    return what


def parameter(
    init: Initializer, shape: tuple[Any, ...], dtype: DType, fans: tuple[float, float] | None = None
) -> Parameter:
    """A new parameter, with a key of the default stream.

    Args:
        fans: where the shape does not tell them.

    Raises:
        BuildError: a size is not known.
        ShapeError, DTypeError: the initialiser made something else than it was asked for.
    """
    if any(not isinstance(n, int) for n in shape):
        raise BuildError(
            f"a parameter's size must be a number, and {show_shape(shape)} has one that is not known yet. Call the "
            "layer with a tensor of that size first, or give its input_size="
        )
    with untraced():
        key = random.default_stream().next_key()
        made: Any = (
            init.sample(key, shape, dtype, fans)
            if fans and isinstance(init, VarianceScaling)
            else init(key, shape, dtype)
        )
        value = made if isinstance(made, Tensor) else xp.asarray(made)
    wanted = Spec(shape, dtype)
    if value.shape != shape:
        raise ShapeError(f"the initialiser {init} was asked for {wanted} and made {value.spec}")
    if value.dtype is not dtype:
        raise DTypeError(
            f"the initialiser {init} was asked for {wanted} and made {value.spec}; end it with .astype(dtype)"
        )
    return Parameter(value)
