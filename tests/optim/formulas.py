"""Published update formulas, written once more in NumPy from the papers: one tensor, float64, state in a dict."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Rule = Callable[[Array, Array, dict[str, Any], int], Array]


def run(rule: Rule, x: Array, gradients: Iterable[Array]) -> list[Array]:
    """The parameters after each update."""
    state: dict[str, Any] = {}
    out = []
    for t, g in enumerate(gradients, 1):
        x = rule(x, g, state, t)
        out.append(x)
    return out


def sgd(lr: float, momentum: float = 0.0, nesterov: bool = False, decay: float = 0.0) -> Rule:
    """Sutskever et al. (2013), in the velocity v of the gradient (PyTorch's form)."""

    def rule(x: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        g = g + decay * x
        s["v"] = g + momentum * s.get("v", 0.0)
        return x - lr * (g + momentum * s["v"]) if nesterov else x - lr * s["v"]

    return rule


def adam(lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0, **kinds: bool) -> Rule:
    """Kingma and Ba (2015), algorithm 1; `decoupled`: Loshchilov and Hutter (2019), algorithm 2; `amsgrad`."""

    def rule(x: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        if not kinds.get("decoupled"):
            g = g + decay * x
        s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * g
        s["v"] = b2 * s.get("v", 0.0) + (1 - b2) * g**2
        v = s["v"]
        if kinds.get("amsgrad"):
            v = s["max"] = np.maximum(s.get("max", 0.0), v)
        m_hat, v_hat = s["m"] / (1 - b1**t), v / (1 - b2**t)
        shrunk = x * (1 - lr * decay) if kinds.get("decoupled") else x
        return shrunk - lr * m_hat / (np.sqrt(v_hat) + eps)

    return rule


def rmsprop(
    lr: float, rho: float = 0.9, momentum: float = 0.0, eps: float = 1e-7, centered: bool = False, decay: float = 0.0
) -> Rule:
    """Hinton (2012), lecture 6e; Graves (2013), equations 38 to 45."""

    def rule(x: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        g = g + decay * x
        s["n"] = rho * s.get("n", 0.0) + (1 - rho) * g**2
        s["a"] = rho * s.get("a", 0.0) + (1 - rho) * g
        spread = s["n"] - s["a"] ** 2 if centered else s["n"]
        s["u"] = momentum * s.get("u", 0.0) + g / (np.sqrt(spread) + eps)
        return x - lr * s["u"]

    return rule


def adagrad(lr: float, initial: float = 0.0, eps: float = 1e-10, decay: float = 0.0) -> Rule:
    """Duchi, Hazan and Singer (2011), the diagonal form."""

    def rule(x: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        g = g + decay * x
        s["G"] = s.get("G", initial) + g**2
        return x - lr * g / (np.sqrt(s["G"]) + eps)

    return rule


def adadelta(lr: float = 1.0, rho: float = 0.95, eps: float = 1e-6, decay: float = 0.0) -> Rule:
    """Zeiler (2012), algorithm 1."""

    def rms(v: Any) -> Any:
        return np.sqrt(v + eps)

    def rule(x: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        g = g + decay * x
        s["g2"] = rho * s.get("g2", 0.0) + (1 - rho) * g**2
        dx = -rms(s.get("dx2", 0.0)) / rms(s["g2"]) * g
        s["dx2"] = rho * s.get("dx2", 0.0) + (1 - rho) * dx**2
        return x + lr * dx

    return rule


def lion(lr: float, b1: float = 0.9, b2: float = 0.99, decay: float = 0.0) -> Rule:
    """Chen et al. (2023), algorithm 2."""

    def rule(x: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        m = s.get("m", np.zeros_like(x))
        c = b1 * m + (1 - b1) * g
        s["m"] = b2 * m + (1 - b2) * g
        return x - lr * (np.sign(c) + decay * x)

    return rule


def lamb(lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-6, decay: float = 0.0) -> Rule:
    """You et al. (2020), algorithm 2, with φ(z) = z."""

    def rule(x: Array, g: Array, s: dict[str, Any], t: int) -> Array:
        s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * g
        s["v"] = b2 * s.get("v", 0.0) + (1 - b2) * g**2
        r = (s["m"] / (1 - b1**t)) / (np.sqrt(s["v"] / (1 - b2**t)) + eps)
        u = r + decay * x
        size, length = np.linalg.norm(x), np.linalg.norm(u)
        return x - lr * (size / length if size > 0 and length > 0 else 1.0) * u

    return rule
