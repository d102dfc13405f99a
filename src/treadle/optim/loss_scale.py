"""`LossScale`: a factor that keeps gradients inside of float16's range, found while training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

from treadle import array as xp
from treadle.core.dtypes import float32
from treadle.core.errors import ArgumentError
from treadle.core.owned import State
from treadle.core.stateful import Stateful
from treadle.core.tensor import Tensor
from treadle.core.tracing import untraced
from treadle.optim.optimizer import Optimizer
from treadle.optim.paths import chosen_paths

SMALLEST, LARGEST = 1.0, 2.0**24


class LossScale(Stateful):
    """Multiplies the loss, and divides the gradients again, so that those between lie within float16's 6e-8 to 65504.

    A step whose gradients are not finite is left out, and the scale divided by `factor`; after `interval` good steps
    in a row it is multiplied by it. It stays between 1 and 2**24. `td.fit(…, precision="mixed_float16")` has one of its
    own; in a step of your own:

        with td.nn.autocast("float16"):
            logits = model(x)
        … loss * scale.scale …          # what is differentiated
        scale.update(model, optimizer, gradients)

    Args:
        initial: the scale to begin with; powers of two cost no digits.
        factor: > 1.
        interval: good steps until it grows, at least 1.

    Attributes:
        scale: float32 scalar.
        good: int32 scalar: good steps since it last changed.

    Raises:
        ArgumentError: an argument outside of its range.

    Source: Micikevicius et al., Mixed precision training (ICLR 2018), section 3.2.

    >>> scale, model, optimizer = td.optim.LossScale(4.0), td.nn.Dense(1, input_size=1), td.optim.SGD(0.5)
    >>> model.assign({"kernel": [[3.0]]})
    >>> bad = {"kernel": td.asarray([[float("inf")]]), "bias": td.asarray([0.0])}
    >>> scale.update(model, optimizer, bad).item(), scale.scale.item(), model.kernel.item()
    (False, 2.0, 3.0)
    >>> scale.update(model, optimizer, {"kernel": td.asarray([[2.0]]), "bias": td.asarray([0.0])}).item()
    True
    >>> model.kernel.item()  # 3 - 0.5 * 2 / 2
    2.5
    """

    scale: State
    good: State

    def __init__(self, initial: float = 2.0**15, factor: float = 2.0, interval: int = 2000) -> None:
        if not SMALLEST <= initial <= LARGEST or not factor > 1:
            raise ArgumentError(
                f"LossScale: initial is a number from 1 to 2**24 and factor one above 1; got {initial!r}, {factor!r}"
            )
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ArgumentError(f"LossScale: interval is a number of steps, 1 at least; got {interval!r}")
        self.factor, self.interval = float(factor), interval
        with untraced():
            self.scale = State(xp.asarray(float(initial), dtype=float32))
            self.good = State(xp.asarray(0))

    def unscaled(self, gradients: Mapping[str, Any]) -> dict[str, Tensor]:
        """The gradients of the loss of those of `loss * scale`."""
        inverse = 1.0 / self.scale
        return {p: xp.asarray(g) * inverse.astype(xp.asarray(g).dtype) for p, g in gradients.items()}

    def update(self, model: Stateful, optimizer: Optimizer, gradients: Mapping[str, Any]) -> Tensor:
        """`optimizer.update(model, unscaled gradients)` if they are finite, and the next scale.

        Clipping, which the optimiser does, sees them unscaled. What the forward pass assigned, running statistics for
        instance, stays.

        Args:
            gradients: path → tensor, of `loss * scale`.

        Returns: bool scalar, whether they were finite.
        """
        true = self.unscaled(gradients)
        finite = reduce(xp.logical_and, [xp.all(xp.isfinite(g)) for g in true.values()])
        parameters = dict(model.parameters())
        optimizer._check_moments(parameters, chosen_paths("trainable", optimizer.trainable, parameters))
        moments = dict(optimizer.variables())
        optimizer.update(model, true)
        for owner, before in ((model, parameters), (optimizer, moments)):
            now = owner.variables()
            changed = {p: now[p] for p, x in before.items() if now[p] is not x}
            owner.assign({p: xp.where(finite, x, before[p]) for p, x in changed.items()})
        self._adapt(finite)
        return finite

    def _adapt(self, finite: Tensor) -> None:
        grown = self.good + 1 >= self.interval
        up = xp.minimum(self.scale * self.factor, LARGEST)
        down = xp.maximum(self.scale / self.factor, SMALLEST)
        self.scale = State(xp.where(finite, xp.where(grown, up, self.scale), down))
        self.good = State(xp.where(xp.logical_and(finite, xp.logical_not(grown)), self.good + 1, 0))

    @property
    def can_shrink(self) -> Tensor:
        """bool scalar: whether gradients that are not finite may be so because of the scale."""
        return self.scale > SMALLEST
