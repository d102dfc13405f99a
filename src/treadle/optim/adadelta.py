"""Adadelta."""

from __future__ import annotations

from treadle import array as xp
from treadle.core.tensor import Tensor
from treadle.optim.checks import fractions, positive
from treadle.optim.optimizer import Clip, LearningRate, Optimizer, Scalars, Slots, with_decay
from treadle.optim.paths import Choice


class Adadelta(Optimizer):
    """Adadelta: steps in the parameters' own unit, from the running sizes of past steps and gradients.

    With gradient g, which weight decay makes `g + weight_decay * x`:

        v ← rho * v + (1 - rho) * g**2
        d = √(u + epsilon) / √(v + epsilon) * g
        u ← rho * u + (1 - rho) * d**2
        x ← x - learning_rate * d

    Args:
        learning_rate: > 0, or a schedule; 1 is the paper's method. (Keras's default is 0.001.)
        rho: in [0, 1): how much of the running means is kept at each update.
        epsilon: > 0; its root is the size of the first steps.
        weight_decay, decay_mask, clip, trainable: as in `Optimizer`; the decay is L2, added to the gradient.

    >>> import treadle as td
    >>> opt = td.optim.Adadelta(rho=0.75, epsilon=1e-6)
    >>> new = opt.update({"x": td.asarray([1.])}, {"x": td.asarray([3.])})
    >>> round(new["x"].item(), 6)  # 1 - 0.001 * 3 / √(0.25 * 9)
    0.998

    Source: Zeiler, ADADELTA: An Adaptive Learning Rate Method (2012), algorithm 1.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1.0,
        rho: float = 0.95,
        epsilon: float = 1e-6,
        *,
        weight_decay: float = 0.0,
        decay_mask: Choice = None,
        clip: Clip | None = None,
        trainable: Choice = None,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, decay_mask=decay_mask, clip=clip, trainable=trainable
        )
        fractions(rho=rho)
        positive(epsilon=epsilon)
        self.rho = float(rho)
        self.epsilon = float(epsilon)

    def _moments(self) -> dict[str, float]:
        return {"square": 0.0, "step_square": 0.0}

    def _direction(self, x: Tensor, g: Tensor, m: Slots, decay: float, scalars: Scalars) -> tuple[Tensor, Slots]:
        g = with_decay(g, decay, x)
        square = self.rho * m["square"] + (1 - self.rho) * g * g
        d = xp.sqrt(m["step_square"] + self.epsilon) / xp.sqrt(square + self.epsilon) * g
        step_square = self.rho * m["step_square"] + (1 - self.rho) * d * d
        return d, {"square": square, "step_square": step_square}
