"""Gamma numbers, by rejection in a loop that ends when every element has been accepted."""

from __future__ import annotations

from typing import Any, NoReturn

from treadle import array as xp
from treadle.array.convert import ArrayLike, scalar_kind, stop_gradient
from treadle.core.dims import Shape
from treadle.core.dtypes import DType, int32
from treadle.core.errors import ArgumentError, DerivativeError
from treadle.core.primitive import Opaque
from treadle.core.tensor import Tensor
from treadle.core.tracing import trace
from treadle.ops.control import while_loop
from treadle.ops.control.custom import custom_jvp
from treadle.random.draws import Draw, standard_exponential, standard_normal
from treadle.random.keys import as_key, fold_in, split

State = tuple[Tensor, Tensor, Tensor]


def gamma(key: Tensor, alpha: ArrayLike, shape: Any = None, *, scale: ArrayLike = 1.0, dtype: Any = None) -> Tensor:
    """Gamma numbers with the density `x**(alpha - 1) * exp(-x / scale)`, up to a factor. `[*shape]`, floating point.

    Their mean is `alpha * scale`, their variance `alpha * scale**2`. Where alpha is negative or NaN the result is NaN.
    For alpha below about 0.05 much of the distribution lies below the least float32 and becomes 0.

    Args:
        key: `u32[2]`.
        alpha: the distribution's shape, > 0; a number or a tensor that stretches to `shape`.
        shape: None for the common shape of alpha and scale.
        scale: a number or a tensor that stretches to `shape`. Derivatives pass to it, but not to alpha.
        dtype: None for that of alpha and scale, float32 for numbers.

    Raises:
        ArgumentError: alpha is a number that is not positive.
        DerivativeError: a derivative with respect to alpha is taken.

    Source: Marsaglia and Tsang, A simple method for generating gamma variables, ACM TOMS 26 (2000); for alpha < 1 by
    their boost from alpha + 1.

    >>> x = td.random.gamma(td.random.key(0), 3.0, (10000,))
    >>> bool((x > 0.0).all()), abs(x.mean().item() - 3.0) < 0.1
    (True, True)
    """
    name = "td.random.gamma"
    if scalar_kind(alpha) is not None and not alpha > 0:  # type: ignore[operator]
        raise ArgumentError(f"{name}: alpha must be above 0, and is {alpha}")
    draw = Draw(name, shape, dtype, alpha=alpha, scale=scale)
    a = xp.broadcast_to(_without_derivative(draw.values["alpha"]), draw.shape)
    loop_key, boost_key = split(as_key(key, name))
    x = _at_least_one(loop_key, xp.where(a < 1.0, a + 1.0, a), draw.inner)
    boost = xp.exp(-standard_exponential(boost_key, draw.shape, draw.inner) / a)  # u ** (1 / alpha)
    return draw.finish(xp.where(a < 1.0, x * boost, x) * draw.values["scale"])


def _at_least_one(key: Tensor, alpha: Tensor, dtype: DType) -> Tensor:
    """Standard gamma numbers for alpha >= 1; NaN where it is below, inf where it is infinite."""
    sane = (alpha >= 1.0) & xp.isfinite(alpha)
    start: State = (
        xp.zeros((), dtype=int32),
        sane,  # still to be accepted
        xp.where(alpha >= 1.0, alpha, xp.full_like(alpha, float("nan"))),
    )
    d = alpha - 1.0 / 3.0
    c = 1.0 / xp.sqrt(9.0 * d)
    out: Tensor = while_loop(
        lambda _, pending, value: pending.any(),
        lambda *state: propose(key, d, c, state, alpha.shape, dtype),
        *start,
    )[2]
    return out


def propose(key: Tensor, d: Tensor, c: Tensor, state: State, shape: Shape, dtype: DType) -> State:
    """One proposal for each element; those that are pending take it when it is accepted."""
    step, pending, value = state
    normal_key, uniform_key = split(fold_in(key, step))
    x = standard_normal(normal_key, shape, dtype)
    log_u = -standard_exponential(uniform_key, shape, dtype)
    base = 1.0 + c * x
    possible = base > 0.0
    base = xp.where(possible, base, 1.0)
    v = base * base * base
    accepted = pending & possible & (log_u < 0.5 * x * x + d * (1.0 - v) + d * (3.0 * xp.log(base)))
    return step + 1, pending & ~accepted, xp.where(accepted, d * v, value)


def _without_derivative(alpha: Tensor) -> Tensor:
    """alpha, refusing to be differentiated: through a rejection the derivative would be wrong."""
    if not alpha.is_symbolic:
        return alpha
    graph = trace(lambda x: [x], [alpha.spec], kind="stage", creator="td.random.gamma").graph
    out: Tensor = custom_jvp(alpha, graph=graph, rule=_RULE, arguments=1)[0]
    return stop_gradient(out)


def _refuse(*_: Any) -> NoReturn:
    raise DerivativeError(
        "td.random.gamma: the sample has no derivative with respect to alpha, because it comes from a rejection loop. "
        "Derivatives pass to scale=; write td.stop_gradient(alpha) where none is meant"
    )


_RULE = Opaque(_refuse, "gamma")
