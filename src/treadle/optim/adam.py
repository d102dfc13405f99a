"""Adam and AdamW: steps of about the learning rate, whatever the gradient's scale."""

from __future__ import annotations

from treadle import array as xp
from treadle.core.tensor import Tensor
from treadle.optim.checks import fractions, positive
from treadle.optim.optimizer import Clip, LearningRate, Optimizer, Scalars, Slots, unbias, with_decay
from treadle.optim.paths import Choice


class _AdamFamily(Optimizer):
    """What Adam and AdamW share: all but where the decay enters."""

    def __init__(
        self,
        learning_rate: LearningRate,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        amsgrad: bool,
        weight_decay: float,
        decay_mask: Choice,
        clip: Clip | None,
        trainable: Choice,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, decay_mask=decay_mask, clip=clip, trainable=trainable
        )
        fractions(beta_1=beta_1, beta_2=beta_2)
        positive(epsilon=epsilon)
        self.beta_1 = float(beta_1)
        self.beta_2 = float(beta_2)
        self.epsilon = float(epsilon)
        self.amsgrad = bool(amsgrad)

    def _moments(self) -> dict[str, float]:
        largest = {"largest": 0.0} if self.amsgrad else {}
        return {"mean": 0.0, "square": 0.0, **largest}

    def _scalars(self, t: Tensor) -> Scalars:
        return corrections(self.beta_1, self.beta_2, t)

    def _adaptive(self, g: Tensor, m: Slots, scalars: Scalars) -> tuple[Tensor, Slots]:
        """`m̂ / (√v̂ + epsilon)`, and the moments."""
        mean, square = moments(g, m, self.beta_1, self.beta_2)
        new = {"mean": mean, "square": square}
        if self.amsgrad:
            square = new["largest"] = xp.maximum(m["largest"], square)
        return ratio(mean, square, self.epsilon, scalars), new


def moments(g: Tensor, m: Slots, beta_1: float, beta_2: float) -> tuple[Tensor, Tensor]:
    """Running means of the gradient and of its square."""
    mean = beta_1 * m["mean"] + (1 - beta_1) * g
    square = beta_2 * m["square"] + (1 - beta_2) * g * g
    return mean, square


def corrections(beta_1: float, beta_2: float, t: Tensor) -> Scalars:
    """What the mean and the root of the square are multiplied by, because they began at 0."""
    return 1.0 / unbias(beta_1, t), 1.0 / xp.sqrt(unbias(beta_2, t))


def ratio(mean: Tensor, square: Tensor, epsilon: float, scalars: Scalars) -> Tensor:
    """`m̂ / (√v̂ + epsilon)`."""
    of_mean, of_root = scalars
    return of_mean * mean / (of_root * xp.sqrt(square) + epsilon)


class Adam(_AdamFamily):
    """Adam: the mean of the gradients over the root of the mean of their squares, both running.

    With gradient g at update t = 1, 2, …, which weight decay makes `g + weight_decay * x`:

        m ← beta_1 * m + (1 - beta_1) * g           m̂ = m / (1 - beta_1**t)
        v ← beta_2 * v + (1 - beta_2) * g**2        v̂ = v / (1 - beta_2**t)
        x ← x - learning_rate * m̂ / (√v̂ + epsilon)

    With `amsgrad`, v̂ is the largest v so far over `1 - beta_2**t`.

    Args:
        learning_rate: > 0, or a schedule; about the size of each step.
        beta_1, beta_2: in [0, 1): how much of the running means is kept at each update.
        epsilon: > 0, added to the root.
        weight_decay, decay_mask, clip, trainable: as in `Optimizer`; the decay is L2, added to the gradient, and so
            scaled like it. `AdamW` has the decay that is not.

    >>> import treadle as td
    >>> opt = td.optim.Adam(0.1)
    >>> new = opt.update({"x": td.asarray([1., 1.])}, {"x": td.asarray([7., -0.001])})
    >>> [round(v, 4) for v in new["x"].tolist()]  # the first step is the learning rate in each coordinate
    [0.9, 1.1]

    Source: Kingma and Ba, Adam: A Method for Stochastic Optimization (ICLR 2015), algorithm 1; Reddi et al., On the
    Convergence of Adam and Beyond (ICLR 2018), for amsgrad. Keras's epsilon is 1e-7, PyTorch's and ours 1e-8.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        amsgrad: bool = False,
        weight_decay: float = 0.0,
        decay_mask: Choice = None,
        clip: Clip | None = None,
        trainable: Choice = None,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, decay_mask, clip, trainable)

    def _direction(self, x: Tensor, g: Tensor, m: Slots, decay: float, scalars: Scalars) -> tuple[Tensor, Slots]:
        return self._adaptive(with_decay(g, decay, x), m, scalars)


class AdamW(_AdamFamily):
    """Adam with decoupled weight decay: each update also shrinks the parameters, whatever their gradients.

    With m̂ and v̂ of `Adam`:

        x ← x - learning_rate * (m̂ / (√v̂ + epsilon) + weight_decay * x)

    Args:
        learning_rate: > 0, or a schedule; it scales the decay too.
        beta_1, beta_2, epsilon, amsgrad: as in `Adam`.
        weight_decay, decay_mask, clip, trainable: as in `Optimizer`; by default what has one axis or none (biases,
            gains of normalising layers) does not decay. PyTorch's decays too.

    >>> import treadle as td
    >>> opt = td.optim.AdamW(0.1, weight_decay=0.5)
    >>> new = opt.update({"w": td.asarray([[2.]]), "b": td.asarray([2.])}, {"w": td.zeros((1, 1)), "b": td.zeros(1)})
    >>> [round(v.item(), 4) for v in new.values()]  # 2 - 0.1 * 0.5 * 2, and the bias as it was
    [1.9, 2.0]

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization (ICLR 2019), algorithm 2, with their α and η
    multiplied into one learning rate, and the decay scaled by it as in PyTorch and Keras.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        amsgrad: bool = False,
        weight_decay: float = 0.01,
        decay_mask: Choice = None,
        clip: Clip | None = None,
        trainable: Choice = None,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, decay_mask, clip, trainable)

    def _direction(self, x: Tensor, g: Tensor, m: Slots, decay: float, scalars: Scalars) -> tuple[Tensor, Slots]:
        direction, new = self._adaptive(g, m, scalars)
        return with_decay(direction, decay, x), new
