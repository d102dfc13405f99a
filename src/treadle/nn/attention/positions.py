"""Where in the sequence something stands: added to features, turned into queries and keys, or as a bias by distance."""

from __future__ import annotations

import math

from treadle import array as xp
from treadle.core.dims import Size, same_size
from treadle.core.dtypes import as_dtype, float32
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.owned import Parameter
from treadle.core.spec import Spec, show_shape
from treadle.core.tensor import Tensor
from treadle.nn import initializers
from treadle.nn.initializers import InitializerLike
from treadle.nn.module import Module
from treadle.nn.spatial import per_axis


def sinusoidal(positions: Tensor, features: int, *, base: float = 10000.0) -> Tensor:
    """Sines and cosines of positions, with wavelengths from 2π to 2π * base: `[...]` → float32 `[..., features]`.

    Features 2i and 2i + 1 are the sine and cosine of `position / base**(2i / features)`.

    Raises:
        ArgumentError: `features` is odd or not positive.

    Source: Vaswani et al., Attention is all you need (NeurIPS 2017), section 3.5.

    >>> td.nn.sinusoidal(td.arange(3), 4)[0].tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    if features < 2 or features % 2:
        raise ArgumentError(f"sines and cosines come in pairs: an even number of features is needed, not {features}")
    angles = _angles(positions, features, base)
    pairs = xp.stack([xp.sin(angles), xp.cos(angles)], axis=-1)
    return xp.reshape(pairs, (*positions.shape, features))


def rotary(x: Tensor, positions: Tensor | None = None, *, base: float = 10000.0, interleaved: bool = False) -> Tensor:
    """Queries or keys turned by angles that grow with the position, so that their products depend on distances.

    The pairs of features (i, i + D/2), or (2i, 2i + 1) if `interleaved`, turn by `position / base**(2i / D)`.

    Shapes: x `[..., T, heads, D]` → the same.

    Args:
        positions: integers `[T]` or `[..., T]`; 0 to T - 1 if None.
        base: the longest wavelength is 2π * base.
        interleaved: as in the paper; False as in GPT-NeoX, Llama and Hugging Face's models.

    Raises:
        ShapeError: D is odd, or x has fewer than 3 axes.

    Source: Su et al., RoFormer, arXiv 2104.09864.

    >>> x = td.asarray([[[1., 0.]], [[1., 0.]]])  # two times, one head
    >>> [[round(n, 3) for n in row] for row in td.nn.rotary(x)[:, 0].tolist()]
    [[1.0, 0.0], [0.54, 0.841]]
    """
    if x.ndim < 3:
        raise ShapeError(f"rotary takes [..., T, heads, D], and got {show_shape(x.shape)}")
    features = x.shape[-1]
    if not isinstance(features, int) or features % 2:
        raise ShapeError(f"rotary turns pairs of features, and x {show_shape(x.shape)} has {features}")
    if positions is None:
        positions = xp.arange(x.shape[-3], dtype="int32")
    angles = _angles(positions, features, base)[..., None, :]  # [..., T, 1, D / 2]
    wide = x.astype(float32) if x.dtype.bits < 32 else x
    cos, sin = xp.cos(angles).astype(wide.dtype), xp.sin(angles).astype(wide.dtype)
    half = features // 2
    if interleaved:
        paired = xp.reshape(wide, (*x.shape[:-1], half, 2))
        a, b = paired[..., 0], paired[..., 1]
        turned = xp.reshape(xp.stack([a * cos - b * sin, a * sin + b * cos], axis=-1), x.shape)
    else:
        a, b = wide[..., :half], wide[..., half:]
        turned = xp.concat([a * cos - b * sin, a * sin + b * cos], axis=-1)
    return turned.astype(x.dtype)


def _angles(positions: Tensor, features: int, base: float) -> Tensor:
    rates = xp.exp(xp.arange(features // 2, dtype="float32") * (-2 * math.log(base) / features))
    return positions.astype(float32)[..., None] * rates


def alibi(heads: int, n: Size) -> Tensor:
    """A bias that falls with distance, `-slope * |s - t|`, as `distance_bias` `[heads, 2 * n - 1]` for n positions.

    The slopes are `2**(-8 h / heads)` for h = 1 … heads, when that is a power of 2; else those of the next smaller
    power, and then every other one of twice that.

    Source: Press, Smith, Lewis, Train short, test long: attention with linear biases (ICLR 2022), and its code.

    >>> td.nn.alibi(1, 3).tolist()
    [[-0.0078125, -0.00390625, -0.0, -0.00390625, -0.0078125]]
    """
    power = 1 << (heads.bit_length() - 1)
    slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]
    slopes += [2 ** (-8 * h / (2 * power)) for h in range(1, 2 * power + 1, 2)][: heads - power]
    return -xp.asarray(slopes, dtype="float32")[:, None] * xp.abs(_distances(n)).astype(float32)


def _distances(n: Size) -> Tensor:
    """-(n - 1) … n - 1"""
    return xp.arange(2 * n - 1, dtype="int32") - (n - 1)


class RelativePositionBias(Module):
    """A learned bias for each head and distance, far distances in common buckets: `bias(n)` → `[heads, 2 * n - 1]`.

    Half of the buckets are single distances; the other half grow logarithmically up to `max_distance`, beyond which all
    are one. Give it to `nn.MultiHeadAttention(positions=…)`; several layers may share one, as in T5.

    Args:
        heads: how many.
        buckets: how many, for both directions together.
        max_distance: where the last bucket begins.
        bidirectional: whether keys behind the query have buckets of their own; False for causal attention.
        embeddings_initializer: a name or an object of `nn.initializers`.
        dtype: of the table `embeddings` `[buckets, heads]`.

    Source: Raffel et al., Exploring the limits of transfer learning with T5, JMLR 21 (2020), and its code.

    >>> td.nn.RelativePositionBias(heads=2)(5).shape
    (2, 9)
    """

    embeddings: Parameter

    def __init__(
        self,
        heads: int,
        buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
        embeddings_initializer: InitializerLike = "random_normal",
        *,
        dtype: str = "float32",
    ) -> None:
        self.heads = per_axis("heads", heads, 1)[0]
        self.buckets = per_axis("buckets", buckets, 1)[0]
        self.max_distance, self.bidirectional = max_distance, bidirectional
        single = self.buckets // (4 if bidirectional else 2)
        if single < 1 or max_distance <= single:
            raise ArgumentError(
                f"{buckets} buckets have {single} single distances; at least one is needed, and max_distance beyond "
                f"them, not {max_distance}"
            )
        made = initializers.get(embeddings_initializer)
        self.embeddings = initializers.parameter(made, (self.buckets, self.heads), as_dtype(dtype))

    def __call__(self, n: Size) -> Tensor:
        return xp.matrix_transpose(xp.take(self.embeddings, self.bucket(_distances(n)), axis=0))

    def bucket(self, distance: Tensor) -> Tensor:
        """The bucket of each distance `s - t`."""
        buckets, before = self.buckets, -distance
        first: Tensor | int = 0
        if self.bidirectional:
            buckets //= 2
            first = xp.where(before < 0, buckets, 0).astype("int32")
            before = xp.abs(before)
        else:
            before = xp.maximum(before, 0)
        single = buckets // 2
        ratio = xp.log(xp.maximum(before, 1).astype(float32) / single) / math.log(self.max_distance / single)
        far = single + (ratio * (buckets - single)).astype("int32")
        return first + xp.where(before < single, before, xp.minimum(far, buckets - 1))


class SinusoidalPositions(Module):
    """Adds `nn.sinusoidal` of the positions to x `[batch, time, features]`.

    Call: `layer(x, offset=0)`: the first position, an integer or integers `[batch]`.

    Args:
        base: the longest wavelength is 2π * base.

    >>> td.nn.SinusoidalPositions()(td.zeros((1, 2, 2))).tolist()[0][0]
    [0.0, 1.0]
    """

    def __init__(self, base: float = 10000.0) -> None:
        self.base = base

    def __call__(self, x: Tensor, offset: Tensor | int = 0) -> Tensor:
        check_sequence("SinusoidalPositions", x.spec)
        features = x.shape[-1]
        if not isinstance(features, int):
            raise ShapeError(f"the number of features must be known, and x is {show_shape(x.shape)}")
        return x + sinusoidal(positions_from(offset, x.shape[1]), features, base=self.base).astype(x.dtype)


class LearnedPositions(Module):
    """Adds a learned vector for each position to x `[batch, time, features]`.

    Call: `layer(x, offset=0)`: the first position, an integer or integers `[batch]`.

    Args:
        max_length: how many positions there are.
        embeddings_initializer: a name or an object of `nn.initializers`.
        input_size: the features, to make the table `embeddings` `[max_length, features]` at once.
        dtype: of the table.

    Raises (at a call):
        ShapeError: more time than there are positions.
        OutOfRangeError: an offset leads beyond them.

    >>> td.nn.LearnedPositions(16)(td.zeros((2, 5, 4))).shape
    (2, 5, 4)
    """

    embeddings: Parameter

    def __init__(
        self,
        max_length: int,
        embeddings_initializer: InitializerLike = "random_uniform",
        *,
        input_size: int | None = None,
        dtype: str = "float32",
    ) -> None:
        self.max_length = per_axis("max_length", max_length, 1)[0]
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.dtype = as_dtype(dtype)
        if input_size is not None:
            self._build_for((1, 1, input_size))

    def build(self, x: Spec) -> None:  # type: ignore[override]  # one input
        check_sequence("LearnedPositions", x)
        shape = (self.max_length, x.shape[-1])
        self.embeddings = initializers.parameter(self.embeddings_initializer, shape, self.dtype)

    def __call__(self, x: Tensor, offset: Tensor | int = 0) -> Tensor:
        check_sequence("LearnedPositions", x.spec)
        time = x.shape[1]
        if isinstance(time, int) and time > self.max_length:
            raise ShapeError(
                f"x {show_shape(x.shape)} has {time} times, and there are {self.max_length} learned positions. Cut the "
                "sequences, or make the layer with a larger max_length"
            )
        if not same_size(x.shape[-1], self.embeddings.shape[1]):
            raise ShapeError(f"the positions have {self.embeddings.shape[1]} features, and x is {show_shape(x.shape)}")
        if isinstance(offset, int) and offset == 0:
            return x + self.embeddings[:time]
        return x + xp.take(self.embeddings, positions_from(offset, time), axis=0)


def check_sequence(layer: str, x: Spec) -> None:
    """Raise for anything but `[batch, time, features]`."""
    if x.ndim != 3:
        raise ShapeError(f"{layer} takes [batch, time, features], and got {show_shape(x.shape)}")


def positions_from(offset: Tensor | int, time: Size) -> Tensor:
    """int32 `[time]`, or `[batch, time]` for offsets `[batch]`."""
    steps = xp.arange(time, dtype="int32")
    if isinstance(offset, int):
        return steps + offset
    return steps + (offset[:, None] if offset.ndim else offset).astype("int32")
