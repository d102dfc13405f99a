"""RMSprop."""

from __future__ import annotations

from treadle import array as xp
from treadle.core.tensor import Tensor
from treadle.optim.checks import fractions, positive
from treadle.optim.optimizer import Clip, LearningRate, Optimizer, Scalars, Slots, with_decay
from treadle.optim.paths import Choice


class RMSprop(Optimizer):
    """RMSprop: the gradient over the root of the running mean of its square.

    With gradient g, which weight decay makes `g + weight_decay * x`:

        v ← rho * v + (1 - rho) * g**2
        d = g / (√v + epsilon)                          centered: √(v - a**2), with a ← rho * a + (1 - rho) * g
        u ← momentum * u + d
        x ← x - learning_rate * u

    Args:
        learning_rate: > 0, or a schedule.
        rho: in [0, 1): how much of the running means is kept at each update.
        momentum: in [0, 1); with 0, u is d.
        epsilon: > 0, added to the root. (TensorFlow adds it inside of the root.)
        centered: divide by the estimated deviation instead of the root of the mean square.
        weight_decay, decay_mask, clip, trainable: as in `Optimizer`; the decay is L2, added to the gradient.

    >>> import treadle as td
    >>> opt = td.optim.RMSprop(0.1, rho=0.75)
    >>> opt.update({"x": td.asarray([1.])}, {"x": td.asarray([3.])})["x"].tolist()  # 1 - 0.1 * 3 / √(0.25 * 9)
    [0.800000011920929]

    Source: Hinton, Neural Networks for Machine Learning, lecture 6e (2012); Graves, Generating Sequences With
    Recurrent Neural Networks (2013), equations 38 to 45, for centered.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        *,
        centered: bool = False,
        weight_decay: float = 0.0,
        decay_mask: Choice = None,
        clip: Clip | None = None,
        trainable: Choice = None,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, decay_mask=decay_mask, clip=clip, trainable=trainable
        )
        fractions(rho=rho, momentum=momentum)
        positive(epsilon=epsilon)
        self.rho = float(rho)
        self.momentum = float(momentum)
        self.epsilon = float(epsilon)
        self.centered = bool(centered)

    def _moments(self) -> dict[str, float]:
        wanted = {"square": True, "mean": self.centered, "velocity": bool(self.momentum)}
        return {name: 0.0 for name, used in wanted.items() if used}

    def _direction(self, x: Tensor, g: Tensor, m: Slots, decay: float, scalars: Scalars) -> tuple[Tensor, Slots]:
        g = with_decay(g, decay, x)
        new = {"square": self.rho * m["square"] + (1 - self.rho) * g * g}
        spread = new["square"]
        if self.centered:
            mean = new["mean"] = self.rho * m["mean"] + (1 - self.rho) * g
            spread = xp.maximum(spread - mean * mean, 0.0)  # rounding may leave less than nothing
        direction = g / (xp.sqrt(spread) + self.epsilon)
        if self.momentum:
            direction = new["velocity"] = self.momentum * m["velocity"] + direction
        return direction, new
