"""Weights that move: between the layouts of other toolkits, and between the two data formats."""

from __future__ import annotations

from typing import Any

from treadle import array as xp
from treadle.array.convert import as_tensor
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.core.tensor import Tensor
from treadle.nn.spatial import check_data_format

_SPATIAL = "DHW"
_EXAMPLES = (
    "HWIO (treadle, Keras, TensorFlow), OIHW (PyTorch), WIO and OIW for one spatial axis, DHWIO and OIDHW for three"
)


def kernel_to(layout: str, kernel: Any, *, source: str) -> Tensor:
    """A convolution's kernel with its axes in another order.

    Letters: H, W, D the spatial axes, I input channels (per group), O output channels. treadle keeps `HWIO` whatever
    the data format of the images, so weights need no change between channels_last and channels_first. A transposed
    convolution's kernel is that of the convolution it is the adjoint of, so I is what it makes and O what it takes:
    PyTorch's `[in, out, h, w]` of a transposed convolution is OIHW, too.

    Args:
        layout: the order wanted, as "HWIO".
        kernel: a tensor or an array, its axes in the order `source`.

    Raises:
        ArgumentError: the layouts are no permutations of each other.
        ShapeError: the kernel has another number of axes.

    >>> torch_weight = np.zeros((32, 16, 3, 5), np.float32)  # out, in, height, width
    >>> td.nn.kernel_to("HWIO", torch_weight, source="OIHW").shape
    (3, 5, 16, 32)
    """
    for name in (layout, source):
        if not isinstance(name, str) or set(name) - set(_SPATIAL) != {"I", "O"} or len(set(name)) != len(name):
            raise ArgumentError(f"kernel_to: {name!r} is no layout of a kernel; for instance {_EXAMPLES}")
    if set(layout) != set(source):
        raise ArgumentError(f"kernel_to: {layout} and {source} do not name the same axes")
    x = as_tensor(kernel, "kernel_to")
    if x.ndim != len(source):
        raise ShapeError(
            f"kernel_to: {source} has {len(source)} axes, and the kernel {show_shape(x.shape)} has {x.ndim}"
        )
    return xp.permute_dims(x, tuple(source.index(letter) for letter in layout))


def flat_kernel_to(data_format: str, kernel: Any, image_shape: tuple[int, ...], *, source: str) -> Tensor:
    """The kernel of a `Dense` that follows flattened images, with its rows in the order of another data format.

    Only needed for weights from elsewhere: treadle's `Flatten(data_format="channels_first")` puts channels last first.

    Args:
        data_format: of the images as they will be flattened.
        kernel: `[prod(image_shape), units]`.
        image_shape: of one image without batch, `[*spatial, channels]` whatever the formats.
        source: the data format of the images as they were flattened for these weights.

    Raises:
        ShapeError: the kernel has another number of rows.
        ArgumentError: no data format.

    >>> w = np.arange(6.0).reshape(6, 1)  # rows: channel 0's three pixels, then channel 1's
    >>> td.nn.flat_kernel_to("channels_last", w, (3, 2), source="channels_first")[:, 0].tolist()
    [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    """
    target, origin = check_data_format(data_format), check_data_format(source)
    x = as_tensor(kernel, "flat_kernel_to")
    *spatial, channels = image_shape
    rows = channels
    for n in spatial:
        rows = rows * n
    if x.ndim != 2 or x.shape[0] != rows:
        raise ShapeError(
            f"flat_kernel_to: images {show_shape(tuple(image_shape))} flatten to {rows}, so the kernel must be "
            f"[{rows}, units], and it is {show_shape(x.shape)}"
        )
    if target == origin:
        return x
    rank = len(spatial)
    if origin == "channels_last":
        parted, order = (*spatial, channels, x.shape[1]), (rank, *range(rank), rank + 1)
    else:
        parted, order = (channels, *spatial, x.shape[1]), (*range(1, rank + 1), 0, rank + 1)
    return xp.reshape(xp.permute_dims(xp.reshape(x, parted), order), x.shape)
