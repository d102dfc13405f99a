"""Functions whose graphs the stepper's tests walk through, each with its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import treadle as td

Case = tuple[Callable[..., Any], tuple[Any, ...]]
_rng = np.random.default_rng(0)
W = _rng.normal(size=(3, 3)).astype(np.float32)
XS = _rng.normal(size=(5, 3)).astype(np.float32)


def chain(w: Any, x: Any) -> Any:
    with td.scope("dense"):
        h = td.tanh(x @ w)
    return (h - 1.0) ** 2, h.sum()


def loss(w: Any, x: Any) -> Any:
    return chain(w, x)[0].mean()


def rnn(w: Any, xs: Any) -> Any:
    def body(h: Any, x: Any) -> Any:
        h = td.tanh(h @ w + x)
        return h, h.sum()

    h, ys = td.scan(body, td.zeros(3), xs)
    return h.sum() + (ys * ys).sum()


def backwards(w: Any, xs: Any) -> Any:
    return td.scan(lambda h, x: (h * 0.5 + x, (h, x * x)), td.zeros(3), xs, reverse=True)


def nest(w: Any, xs: Any) -> Any:
    def body(h: Any, x: Any) -> Any:
        h = td.cond(x.sum() > 0, lambda: td.tanh(h @ w), lambda: h + x)
        h = td.while_loop(lambda v: (v * v).sum() > 0.5, lambda v: v * 0.5, h, max_steps=4)
        return h, h[0]

    h, ys = td.scan(body, td.ones(3), xs)
    return td.checkpoint(lambda a: td.exp(a).sum())(h) + ys.sum()


def halving(w: Any, xs: Any) -> Any:
    return td.while_loop(lambda k, v: td.abs(v).max() > 0.1, lambda k, v: (k + 1, v * 0.5), td.asarray(0), w)


def own(w: Any, xs: Any) -> Any:
    @td.custom_vjp
    def clipped(x: Any) -> Any:
        return x * 2.0

    clipped.def_vjp(lambda x: (x * 2.0, ()), lambda saved, ct: (td.clip(ct, -1.0, 1.0),))
    return clipped(td.sin(w)).sum()


CASES: dict[str, Case] = {
    "chain": (chain, (W, XS)),
    "grad": (td.value_and_grad(loss), (W, XS)),
    "scan": (rnn, (W, XS)),
    "reverse scan": (backwards, (W, XS)),
    "empty scan": (backwards, (W, XS[:0])),
    "grad of scan": (td.value_and_grad(rnn, (0, 1)), (W, XS)),
    "scan, cond, while": (nest, (W, XS)),
    "grad of scan, cond, while": (td.value_and_grad(nest), (W, XS)),
    "while": (halving, (W, XS)),
    "vmap": (td.vmap(nest, (None, 0)), (W, np.stack([XS, -XS]))),
    "grad of grad": (td.grad(lambda w, x: (td.grad(loss)(w, x) ** 2).sum()), (W, XS)),
    "custom_vjp": (td.value_and_grad(own), (W, XS)),
}


def traced(name: str) -> tuple[td.Graph, list[Any], list[Any]]:
    """The graph of a case, its inputs, and its outputs by running it whole on the reference backend."""
    function, args = CASES[name]
    compiled = td.compile(function, backend="reference")
    outs = [x.numpy() for x in td.tree.leaves(compiled(*args))]
    graph = compiled.graph(*args)
    return graph, [np.asarray(a) for a in args], outs
