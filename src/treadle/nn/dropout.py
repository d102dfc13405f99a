"""`Dropout`: zeros at random while training."""

from __future__ import annotations

from collections.abc import Sequence

from treadle import array as xp
from treadle import random
from treadle.core.dims import Size, same_size
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.calls import is_training
from treadle.nn.module import Module


class Dropout(Module):
    """While training, sets each element to 0 with probability `rate` and divides the others by `1 - rate`.

    Else the identity. The mean is the same in both. Shapes: x `[...]` floating point → the same.

    Args:
        rate: 0 <= rate < 1; 1 gives zeros.
        noise_shape: sizes of the random choice, which stretches over axes of size 1: `(None, 1, 1, None)` drops whole
            channels of `[batch, height, width, channels]`; None is the size of x.
        seed: of the layer's random stream `stream`, which is saved with the model; None takes one from
            `td.random.default_stream()`.

    Raises:
        ArgumentError: a rate that is no probability.
        ShapeError (at a call): noise_shape does not stretch to x.

    Source: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, JMLR 15 (2014).

    >>> layer = td.nn.Dropout(0.5, seed=0)
    >>> layer(td.ones(4)).tolist()
    [1.0, 1.0, 1.0, 1.0]
    >>> sorted(set(layer(td.ones(100), training=True).tolist()))
    [0.0, 2.0]
    """

    def __init__(self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None) -> None:
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise ArgumentError(f"rate is the probability to drop, from 0 to 1; got {rate!r}")
        self.rate = float(rate)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.stream = random.Stream(random.default_stream().next_seed() if seed is None else seed)

    def __call__(self, x: Tensor) -> Tensor:
        if not is_training() or self.rate == 0:
            return x
        if self.rate == 1:
            return xp.zeros_like(x)
        keep = self.stream.bernoulli(1 - self.rate, self._sizes(x))
        return xp.where(keep, x / (1 - self.rate), 0)

    def _sizes(self, x: Tensor) -> tuple[Size, ...]:
        if self.noise_shape is None:
            return x.shape
        sizes: tuple[Size, ...] = tuple(
            n if given is None else given for n, given in zip(x.shape, self.noise_shape, strict=False)
        )
        fits = len(self.noise_shape) == x.ndim and all(
            s == 1 or same_size(s, n) for s, n in zip(sizes, x.shape, strict=True)
        )
        if not fits:
            raise ShapeError(
                f"noise_shape={self.noise_shape} does not stretch to x {show_shape(x.shape)}: it needs {x.ndim} "
                "entries, each None, 1 or the size of that axis"
            )
        return sizes
