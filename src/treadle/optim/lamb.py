"""LAMB."""

from __future__ import annotations

from treadle import array as xp
from treadle.core.tensor import Tensor
from treadle.optim.adam import corrections, moments, ratio
from treadle.optim.checks import fractions, positive
from treadle.optim.optimizer import Clip, LearningRate, Optimizer, Scalars, Slots, with_decay
from treadle.optim.paths import Choice


class LAMB(Optimizer):
    """LAMB: AdamW whose step is, in each tensor, as long as the learning rate times the tensor; for large batches.

    With m̂ and v̂ of `Adam`, and ‖·‖ the Euclidean norm over the whole tensor:

        d = m̂ / (√v̂ + epsilon) + weight_decay * x
        x ← x - learning_rate * ‖x‖ / ‖d‖ * d          a factor of 1 where either norm is 0

    Args:
        learning_rate: > 0, or a schedule: the relative size of each step.
        beta_1, beta_2, epsilon: as in `Adam`.
        weight_decay, decay_mask, clip, trainable: as in `Optimizer`; by default what has one axis or none does not
            decay.

    >>> import treadle as td
    >>> opt = td.optim.LAMB(0.1)
    >>> new = opt.update({"x": td.asarray([3., 4.])}, {"x": td.asarray([0., 2.])})
    >>> [round(v, 4) for v in new["x"].tolist()]  # the step has the length 0.1 * 5
    [3.0, 3.5]

    Source: You et al., Large Batch Optimization for Deep Learning: Training BERT in 76 minutes (ICLR 2020), algorithm 2
    with φ the identity.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
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
        fractions(beta_1=beta_1, beta_2=beta_2)
        positive(epsilon=epsilon)
        self.beta_1 = float(beta_1)
        self.beta_2 = float(beta_2)
        self.epsilon = float(epsilon)

    def _moments(self) -> dict[str, float]:
        return {"mean": 0.0, "square": 0.0}

    def _scalars(self, t: Tensor) -> Scalars:
        return corrections(self.beta_1, self.beta_2, t)

    def _direction(self, x: Tensor, g: Tensor, m: Slots, decay: float, scalars: Scalars) -> tuple[Tensor, Slots]:
        mean, square = moments(g, m, self.beta_1, self.beta_2)
        d = with_decay(ratio(mean, square, self.epsilon, scalars), decay, x)
        length, size = xp.sqrt(xp.sum(d * d)), xp.sqrt(xp.sum(x * x))
        usable = xp.logical_and(length > 0, size > 0)
        trust = xp.where(usable, size / xp.where(usable, length, 1.0), 1.0)
        return trust * d, {"mean": mean, "square": square}
