"""Adagrad."""

from __future__ import annotations

from treadle import array as xp
from treadle.core.tensor import Tensor
from treadle.optim.checks import at_least_zero, positive
from treadle.optim.optimizer import Clip, LearningRate, Optimizer, Scalars, Slots, with_decay
from treadle.optim.paths import Choice


class Adagrad(Optimizer):
    """Adagrad: the gradient over the root of the sum of all its squares; for sparse gradients.

    With gradient g, which weight decay makes `g + weight_decay * x`:

        s ← s + g**2                                   s is initial_accumulator at first
        x ← x - learning_rate * g / (√s + epsilon)

    Args:
        learning_rate: > 0, or a schedule.
        initial_accumulator: >= 0. (Keras begins with 0.1, PyTorch and the paper with 0.)
        epsilon: > 0, added to the root.
        weight_decay, decay_mask, clip, trainable: as in `Optimizer`; the decay is L2, added to the gradient.

    >>> import treadle as td
    >>> opt = td.optim.Adagrad(0.5)
    >>> opt.update({"x": td.asarray([1.])}, {"x": td.asarray([3.])})["x"].tolist()  # 1 - 0.5 * 3 / √9
    [0.5]

    Source: Duchi, Hazan and Singer, Adaptive Subgradient Methods for Online Learning and Stochastic Optimization, JMLR
    12 (2011).
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        initial_accumulator: float = 0.0,
        epsilon: float = 1e-10,
        *,
        weight_decay: float = 0.0,
        decay_mask: Choice = None,
        clip: Clip | None = None,
        trainable: Choice = None,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, decay_mask=decay_mask, clip=clip, trainable=trainable
        )
        at_least_zero(initial_accumulator=initial_accumulator)
        positive(epsilon=epsilon)
        self.initial_accumulator = float(initial_accumulator)
        self.epsilon = float(epsilon)

    def _moments(self) -> dict[str, float]:
        return {"sum": self.initial_accumulator}

    def _direction(self, x: Tensor, g: Tensor, m: Slots, decay: float, scalars: Scalars) -> tuple[Tensor, Slots]:
        g = with_decay(g, decay, x)
        total = m["sum"] + g * g
        return g / (xp.sqrt(total) + self.epsilon), {"sum": total}
