"""`Embedding`: a row of a table for each integer."""

from __future__ import annotations

from typing import Any

from treadle import array as xp
from treadle.core.dtypes import as_dtype
from treadle.core.errors import ArgumentError, DTypeError
from treadle.core.owned import Parameter, State
from treadle.core.tensor import Tensor
from treadle.nn import initializers
from treadle.nn.initializers import InitializerLike
from treadle.nn.module import Module
from treadle.nn.spatial import per_axis
from treadle.ops.index import gather


class Embedding(Module):
    """A vector for each integer: `y[..., :] = embeddings[x[...], :]`.

    Shapes: x `[...]` of integers from 0 to input_dim - 1 → `[..., output_dim]`; `embeddings` `[input_dim, output_dim]`.
    Its parameters are made at once.

    Args:
        input_dim: how many different integers there are.
        output_dim: size of the vectors.
        embeddings_initializer: a name or an object of `nn.initializers`.
        mask_zero: 0 is padding: `layer.mask(x)` tells what is not, and its vectors are 0.
        trainable: whether training changes the vectors; False keeps them as a `State` (pretrained ones, for instance).
        dtype: of the vectors.

    Raises (at a call):
        DTypeError: x is not of integers.
        OutOfRangeError: an integer is negative or not below input_dim; it is named.

    >>> layer = td.nn.Embedding(5, 2, embeddings_initializer="ones")
    >>> layer(td.asarray([[0, 4, 4]])).shape
    (1, 3, 2)
    """

    embeddings: Parameter | State

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: InitializerLike = "random_uniform",
        mask_zero: bool = False,
        *,
        trainable: bool = True,
        dtype: Any = "float32",
    ) -> None:
        self.input_dim = per_axis("input_dim", input_dim, 1)[0]
        self.output_dim = per_axis("output_dim", output_dim, 1)[0]
        self.mask_zero = mask_zero
        self.dtype = as_dtype(dtype)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        shape = (self.input_dim, self.output_dim)
        made = initializers.parameter(self.embeddings_initializer, shape, self.dtype)
        self.embeddings = made if trainable else State(made)

    def __call__(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise ArgumentError(f"Embedding takes a tensor of integers; got {x!r}. Write td.asarray(…)")
        if not x.dtype.is_integer:
            raise DTypeError(
                f"Embedding takes integers from 0 to {self.input_dim - 1}, and x is {x.spec}. "
                "Write x.astype(td.int32) if its numbers are whole; td.nn.Dense takes floating point"
            )
        out: Tensor = gather(self.embeddings, xp.expand_dims(x, axis=-1), batch_dims=0, mode="error")
        return xp.where((x != 0)[..., None], out, 0) if self.mask_zero else out

    def mask(self, x: Tensor) -> Tensor:
        """What of x is no padding, bool `[...]`: the `mask=` of recurrent, attention and pooling layers and losses.

        Raises:
            ArgumentError: the layer was made without `mask_zero=True`, and 0 is an integer like others.

        >>> td.nn.Embedding(5, 2, mask_zero=True).mask(td.asarray([[3, 1, 0]])).tolist()
        [[True, True, False]]
        """
        if not self.mask_zero:
            raise ArgumentError("Embedding.mask: 0 is padding only with mask_zero=True; give it to the layer")
        return x != 0
