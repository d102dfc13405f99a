"""Lion."""

from __future__ import annotations

from treadle import array as xp
from treadle.core.tensor import Tensor
from treadle.optim.checks import fractions
from treadle.optim.optimizer import Clip, LearningRate, Optimizer, Scalars, Slots, with_decay
from treadle.optim.paths import Choice


class Lion(Optimizer):
    """Lion: the sign of an average of gradient and momentum; one moment, steps of one size in every coordinate.

    With gradient g:

        d = sign(beta_1 * m + (1 - beta_1) * g)
        x ← x - learning_rate * (d + weight_decay * x)
        m ← beta_2 * m + (1 - beta_2) * g

    Args:
        learning_rate: > 0, or a schedule; a third to a tenth of what suits AdamW, with as many times its decay.
        beta_1, beta_2: in [0, 1).
        weight_decay, decay_mask, clip, trainable: as in `Optimizer`; the decay is decoupled, as in `AdamW`.

    >>> import treadle as td
    >>> opt = td.optim.Lion(0.5)
    >>> opt.update({"x": td.asarray([1., 1., 1.])}, {"x": td.asarray([3., 0., -3.])})["x"].tolist()
    [0.5, 1.0, 1.5]

    Source: Chen et al., Symbolic Discovery of Optimization Algorithms (NeurIPS 2023), algorithm 2.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-4,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        *,
        weight_decay: float = 0.0,
        decay_mask: Choice = None,
        clip: Clip | None = None,
        trainable: Choice = None,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, decay_mask=decay_mask, clip=clip, trainable=trainable
        )
        fractions(beta_1=beta_1, beta_2=beta_2)
        self.beta_1 = float(beta_1)
        self.beta_2 = float(beta_2)

    def _moments(self) -> dict[str, float]:
        return {"mean": 0.0}

    def _direction(self, x: Tensor, g: Tensor, m: Slots, decay: float, scalars: Scalars) -> tuple[Tensor, Slots]:
        direction = xp.sign(self.beta_1 * m["mean"] + (1 - self.beta_1) * g)
        mean = self.beta_2 * m["mean"] + (1 - self.beta_2) * g
        return with_decay(direction, decay, x), {"mean": mean}
