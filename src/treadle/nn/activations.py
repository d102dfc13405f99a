"""Activations: functions of one tensor, `[...]` floating point → the same shape and dtype. Layers take them by name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from typing import TypeAlias, Union

from treadle import array as xp
from treadle.array import log_softmax, relu, sigmoid, softmax, softplus, tanh
from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor

Activation: TypeAlias = Callable[[Tensor], Tensor]
ActivationLike: TypeAlias = Union[str, Activation, None]

# Klambauer et al., Self-normalizing neural networks (NIPS 2017): with these, mean 0 and variance 1 are a fixed point.
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def linear(x: Tensor) -> Tensor:
    """`x` itself.

    >>> td.nn.activations.linear(td.asarray([-1., 2.])).tolist()
    [-1.0, 2.0]
    """
    return x


def relu6(x: Tensor) -> Tensor:
    """`minimum(relu(x), 6)`.

    >>> td.nn.activations.relu6(td.asarray([-1., 2., 9.])).tolist()
    [0.0, 2.0, 6.0]
    """
    return xp.clip(x, 0, 6)


def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """`x` above 0, `negative_slope * x` below.

    >>> td.nn.activations.leaky_relu(td.asarray([-1., 2.]), 0.5).tolist()
    [-0.5, 2.0]
    """
    return xp.where(x > 0, x, negative_slope * x)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """`x` above 0, `alpha * (exp(x) - 1)` below.

    Source: Clevert, Unterthiner, Hochreiter, Fast and accurate deep network learning by ELUs (ICLR 2016).

    >>> td.nn.activations.elu(td.asarray([-1000., 2.])).tolist()
    [-1.0, 2.0]
    """
    return xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, 0)))


def selu(x: Tensor) -> Tensor:
    """`1.0507 * elu(x, 1.6733)`: keeps mean 0 and variance 1 from layer to layer (use lecun_normal).

    >>> round(td.nn.activations.selu(td.asarray(1.0)).item(), 4)
    1.0507
    """
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """`x * P(Z <= x)` for a standard normal Z.

    Args:
        approximate: the form with tanh, which differs by up to 5e-4.

    Source: Hendrycks, Gimpel, Gaussian error linear units, arXiv 1606.08415.

    >>> round(td.nn.activations.gelu(td.asarray(1.0)).item(), 4)
    0.8413
    >>> round(td.nn.activations.gelu(td.asarray(1.0), approximate=True).item(), 4)
    0.8412
    """
    if approximate:
        return 0.5 * x * (1 + xp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + xp.erf(x * math.sqrt(0.5)))


def silu(x: Tensor) -> Tensor:
    """`x * sigmoid(x)`, also called swish.

    >>> round(td.nn.activations.silu(td.asarray(1.0)).item(), 4)
    0.7311
    """
    return x * xp.sigmoid(x)


def softsign(x: Tensor) -> Tensor:
    """`x / (1 + |x|)`.

    >>> td.nn.activations.softsign(td.asarray([-1., 3.])).tolist()
    [-0.5, 0.75]
    """
    return x / (1 + xp.abs(x))


def hard_sigmoid(x: Tensor) -> Tensor:
    """`relu6(x + 3) / 6`: a sigmoid of three straight pieces.

    >>> td.nn.activations.hard_sigmoid(td.asarray([-4., 0., 4.])).tolist()
    [0.0, 0.5, 1.0]
    """
    return relu6(x + 3) / 6


def hard_silu(x: Tensor) -> Tensor:
    """`x * hard_sigmoid(x)`, also called hard swish.

    Source: Howard et al., Searching for MobileNetV3 (ICCV 2019).

    >>> td.nn.activations.hard_silu(td.asarray([0., 3.])).tolist()
    [0.0, 3.0]
    """
    return x * hard_sigmoid(x)


def mish(x: Tensor) -> Tensor:
    """`x * tanh(softplus(x))`.

    Source: Misra, Mish: a self regularized non-monotonic activation function (BMVC 2020).

    >>> round(td.nn.activations.mish(td.asarray(1.0)).item(), 4)
    0.8651
    """
    return x * xp.tanh(xp.softplus(x))


swish = silu
hard_swish = hard_silu

NAMES: dict[str, Activation] = {
    "elu": elu,
    "gelu": gelu,
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": hard_silu,
    "hard_swish": hard_silu,
    "leaky_relu": leaky_relu,
    "linear": linear,
    "log_softmax": log_softmax,
    "mish": mish,
    "relu": relu,
    "relu6": relu6,
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": silu,
    "softmax": softmax,
    "softplus": softplus,
    "softsign": softsign,
    "swish": silu,
    "tanh": tanh,
}


def get(what: ActivationLike) -> Activation:
    """The activation of a name; None is `linear`, a callable is one already.

    Raises:
        ArgumentError: there is none of that name.

    >>> td.nn.activations.get("relu") is td.relu
    True
    """
    if what is None:
        return linear
    if isinstance(what, str):
        if what not in NAMES:
            close = difflib.get_close_matches(what, NAMES, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(NAMES)}"
            raise ArgumentError(f"there is no activation {what!r}; {meant}")
        return NAMES[what]
    if not callable(what) or isinstance(what, type):
        raise ArgumentError(f"an activation is a name, None, or a function of a tensor; got {what!r}")
    return what
