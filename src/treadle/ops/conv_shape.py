"""Sizes of convolutions, and the messages when operands do not fit together."""

from __future__ import annotations

from treadle.core.dims import Dim, Size, same_size
from treadle.core.errors import DimError, DTypeError, ShapeError
from treadle.core.spec import Spec, show_shape
from treadle.ops import shape as shape_ops

SPATIAL_NAMES = {0: (), 1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def conv_output_size(
    size: Size, kernel: Size, stride: int, padding: tuple[Size, Size], x_dilation: int, kernel_dilation: int
) -> Size:
    """Size of a convolution's result along one axis; not positive where nothing is left.

    `(dilated size + low + high - dilated kernel) // stride + 1`, where dilation by d makes n into `(n - 1) * d + 1`.

    >>> from treadle.ops.conv_shape import conv_output_size
    >>> conv_output_size(6, 3, stride=2, padding=(1, 1), x_dilation=1, kernel_dilation=1)
    3
    """
    low, high = padding
    return (spread(size, x_dilation) + low + high - spread(kernel, kernel_dilation)) // stride + 1


def spread(n: Size, dilation: int) -> Size:
    return (n - 1) * dilation + 1


def spatial_names(rank: int) -> tuple[str, ...]:
    """What messages call the spatial axes."""
    return SPATIAL_NAMES.get(rank) or tuple(f"spatial{k}" for k in range(rank))


def check_operands(x: Spec, kernel: Spec, groups: Size) -> None:
    if x.ndim < 2 or kernel.ndim != x.ndim:
        raise ShapeError(
            f"conv needs x [batch, *spatial, channels] and a kernel [*spatial, channels / groups, out channels] with "
            f"as many spatial axes, and got x {show_shape(x.shape)} and kernel {show_shape(kernel.shape)}"
        )
    if x.dtype != kernel.dtype:
        raise DTypeError(
            f"conv: x is {x.dtype} and the kernel {kernel.dtype}; convert one, as kernel.astype(td.{x.dtype})"
        )
    if x.dtype.is_bool:
        raise DTypeError("conv of bool tensors would have to sum them; write x.astype(td.float32)")
    channels, outputs = x.shape[-1], kernel.shape[-1]
    if isinstance(groups, int) and groups < 1:
        raise ShapeError(f"conv: groups={groups} must be at least 1")
    if not same_size(channels, kernel.shape[-2] * groups):
        raise ShapeError(
            f"conv: x has {channels} channels, and the kernel takes {kernel.shape[-2]} in each of {groups} "
            f"group{'s' if groups != 1 else ''}: {kernel.shape[-2]} * {groups} = {kernel.shape[-2] * groups}\n"
            f"{_operand_lines(x, kernel)}\n"
            f"  Give the kernel {_quotient(channels, groups)} input channels, or x {kernel.shape[-2] * groups}."
        )
    rest = outputs % groups
    if isinstance(rest, Dim):
        raise DimError(f"conv: whether {outputs} out channels divide into {groups} groups depends on {rest}")
    if rest != 0:
        raise ShapeError(
            f"conv: the {outputs} out channels of the kernel {show_shape(kernel.shape)} do not divide into {groups} "
            f"groups: {outputs} = {outputs // groups} * {groups} + {rest}"
        )


def _quotient(channels: Size, groups: Size) -> str:
    rest = channels % groups
    return str(channels // groups) if rest == 0 else f"{channels} / {groups}"


def _operand_lines(x: Spec, kernel: Spec) -> str:
    names = spatial_names(x.ndim - 2)
    shown_x = ", ".join(f"{a}={n}" for a, n in zip(("batch", *names, "channels"), x.shape, strict=True))
    shown_k = ", ".join(f"{a}={n}" for a, n in zip((*names, "in", "out"), kernel.shape, strict=True))
    return f"    {'x':<8} [{shown_x}]\n    {'kernel':<8} [{shown_k}]"


def nothing_left(
    x: Spec, kernel: Spec, axis: int, stride: int, padding: tuple[Size, Size], x_dilation: int, kernel_dilation: int
) -> str:
    name, n, k = spatial_names(x.ndim - 2)[axis], x.shape[axis + 1], kernel.shape[axis]
    if n == 0 or k == 0:
        empty = "x" if n == 0 else "the kernel"
        return f"conv: {empty} is empty, its {name} is 0\n{_operand_lines(x, kernel)}"
    left = conv_output_size(n, k, stride, padding, x_dilation, kernel_dilation)
    low, high = padding
    wide, window = spread(n, x_dilation), spread(k, kernel_dilation)
    formula = f"({wide} + {low} + {high} - {window}) // {stride} + 1 = {left}"
    notes = [f"x is dilated by {x_dilation} from {n} to {wide}"] if x_dilation > 1 else []
    notes += [f"the kernel is dilated by {kernel_dilation} from {k} to {window}"] if kernel_dilation > 1 else []
    because = f" ({', '.join(notes)})" if notes else ""
    room = wide + low + high
    fits = (room - 1) // kernel_dilation + 1
    kernels = f", or a kernel of at most {fits}" if not shape_ops.surely_negative(fits - 1) else ""
    return (
        f"conv: nothing is left of the {name}\n{_operand_lines(x, kernel)}\n    {name:<8} {formula}    "
        f"← nothing is left: the {window}-wide kernel does not fit into {name} {room}{because}\n"
        f'  Use padding="same"{kernels}.'
    )
