"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from treadle.core.errors import ArgumentError
from treadle.core.tensor import Tensor
from treadle.optim.checks import fractions
from treadle.optim.optimizer import Clip, LearningRate, Optimizer, Scalars, Slots, with_decay
from treadle.optim.paths import Choice


class SGD(Optimizer):
    """Gradient descent, with momentum if wanted.

    With gradient g, which weight decay makes `g + weight_decay * x`:

        v ← momentum * v + g
        x ← x - learning_rate * v                      plain momentum
        x ← x - learning_rate * (g + momentum * v)     nesterov

    v is 0 at first. Keras keeps `-learning_rate * v` instead: the same unless the learning rate changes.

    Args:
        learning_rate: > 0, or a schedule.
        momentum: in [0, 1); 0 keeps no moments.
        nesterov: look ahead along the momentum.
        weight_decay, decay_mask, clip, trainable: as in `Optimizer`; the decay is L2, added to the gradient.

    >>> import treadle as td
    >>> opt = td.optim.SGD(0.5)
    >>> new = opt.update({"x": td.asarray([1., 2.])}, {"x": td.asarray([1., -2.])})
    >>> new["x"].tolist()
    [0.5, 3.0]

    Source: Polyak, Some Methods of Speeding up the Convergence of Iteration Methods (1964); Sutskever et al., On the
    Importance of Initialization and Momentum in Deep Learning (ICML 2013).
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        momentum: float = 0.0,
        *,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        decay_mask: Choice = None,
        clip: Clip | None = None,
        trainable: Choice = None,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, decay_mask=decay_mask, clip=clip, trainable=trainable
        )
        fractions(momentum=momentum)
        if nesterov and not momentum:
            raise ArgumentError("nesterov=True looks ahead along the momentum, which is 0: give momentum=0.9")
        self.momentum = float(momentum)
        self.nesterov = bool(nesterov)

    def _moments(self) -> dict[str, float]:
        return {"velocity": 0.0} if self.momentum else {}

    def _direction(self, x: Tensor, g: Tensor, m: Slots, decay: float, scalars: Scalars) -> tuple[Tensor, Slots]:
        g = with_decay(g, decay, x)
        if not self.momentum:
            return g, {}
        v = self.momentum * m["velocity"] + g
        return (g + self.momentum * v if self.nesterov else v), {"velocity": v}
