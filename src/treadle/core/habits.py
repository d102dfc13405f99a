"""What other libraries' tensors have and ours does not: how it is written here. For messages alone."""

from __future__ import annotations

from treadle.core.registry import package

_GRADIENT = "td.grad(loss)(x) is the gradient; nothing is stored in tensors"
_SAME = "tensors are immutable, so x itself will do"
_PERMUTE = "td.permute_dims(x, axes) reorders axes, x.mT exchanges the last two"
_DEVICE = "tensors are on the CPU; x.astype(dtype) converts"
_PRODUCT = "x @ y"

_HABITS = {
    "backward": _GRADIENT,
    "bmm": _PRODUCT,
    "bool": "x.astype(td.bool)",
    "clone": _SAME,
    "contiguous": _SAME,
    "copy": _SAME,
    "cpu": _DEVICE,
    "cuda": _DEVICE,
    "detach": "td.stop_gradient(x)",
    "dim": "x.ndim",
    "dot": _PRODUCT,
    "double": "x.astype(td.float64)",
    "expand": "td.broadcast_to(x, shape)",
    "float": "x.astype(td.float32)",
    "grad": _GRADIENT,
    "half": "x.astype(td.float16)",
    "int": "x.astype(td.int32)",
    "long": "x.astype(td.int64)",
    "mm": _PRODUCT,
    "numel": "x.size",
    "permute": _PERMUTE,
    "ravel": "td.flatten(x)",
    "requires_grad": _GRADIENT,
    "swapaxes": _PERMUTE,
    "to": _DEVICE,
    "transpose": _PERMUTE,
    "type": "x.dtype, x.astype(dtype)",
    "unsqueeze": "x[:, None], or td.expand_dims(x, axis=1)",
    "view": "x.reshape(shape)",
}


def no_attribute(name: str) -> AttributeError:
    """The error for `x.name`, with what to write instead."""
    text = f"a tensor has no attribute {name!r}"
    if name.startswith("_"):
        return AttributeError(text)
    if name.endswith("_"):
        return AttributeError(f"{text}: tensors are immutable; assign a new one, as x = x + 1 or x = x.at[i].set(v)")
    if name in _HABITS:
        return AttributeError(f"{text}; write {_HABITS[name]}")
    if name in package().__all__:
        return AttributeError(f"{text}; it is a function: td.{name}(x, …)")
    return AttributeError(text)
