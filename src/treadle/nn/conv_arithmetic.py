"""Shapes of convolutions and poolings, with the arithmetic in words: what the layers compute with, and explain.

Along one axis, with n the size, k that of the kernel, s the stride, d the dilation, and the kernel spanning
K = (k - 1) d + 1:

    valid           (n - K) // s + 1
    same            ceil(n / s); padding max((ceil(n / s) - 1) s + K - n, 0), the odd one behind
    (low, high)     (n + low + high - K) // s + 1

A transposed convolution is the adjoint of the convolution with the same arguments: it maps its output size n back:

    valid           (n - 1) s + max(K, s)
    same            n s
    (low, high)     (n - 1) s + K - low - high + output_padding
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from treadle.core.dims import Dim, Size
from treadle.core.errors import ArgumentError, DimError, ShapeError
from treadle.core.spec import show_shape
from treadle.nn.spatial import (
    Padding,
    PaddingLike,
    Shape,
    axis_names,
    check_data_format,
    check_groups,
    check_output_padding,
    check_padding,
    join_shape,
    named_shape,
    per_axis,
    split_shape,
)
from treadle.ops.conv_shape import spatial_names

Pair: TypeAlias = tuple[Size, Size]


@dataclass(frozen=True)
class Axis:
    """What happens along one axis.

    Attributes:
        padding: (low, high) zeros that the convolution primitive adds; negative ones crop.
        out: the size of the result.
        text: the arithmetic, ending in the size.
    """

    name: str
    size: Size
    kernel: int
    span: int
    stride: int
    padding: Pair
    out: Size
    text: str


def _span(kernel: int, dilation: int) -> tuple[int, str]:
    span = (kernel - 1) * dilation + 1
    return span, f"; the kernel of {kernel} spans ({kernel} - 1) * {dilation} + 1 = {span}" if dilation > 1 else ""


def forward_axis(name: str, n: Size, kernel: int, stride: int, dilation: int, padding: Any) -> Axis:
    """One axis of a convolution or pooling. `padding` is "same", "valid", "causal" or (low, high).

    Raises:
        DimError: "same" padding of an unknown size is not a formula (1 < kernel < stride).
    """
    span, spread = _span(kernel, dilation)
    if padding == "same":
        out = (n + stride - 1) // stride
        low, high, how = _same_padding(name, n, out, span, stride)
        text = f"same: ceil({n} / {stride}) = {out}; padding {how}: {low} before, {high} after"
    elif padding == "valid":
        low, high = 0, 0
        out = (n - span) // stride + 1
        text = f"valid: ({n} - {span}) // {stride} + 1 = {out}"
    else:
        low, high = (span - 1, 0) if padding == "causal" else padding
        out = (n + low + high - span) // stride + 1
        label = f"causal, {low} before: " if padding == "causal" else ""
        text = f"{label}({n} + {low} + {high} - {span}) // {stride} + 1 = {out}"
    return Axis(name, n, kernel, span, stride, (low, high), out, text + spread)


def _same_padding(name: str, n: Size, out: Size, span: int, stride: int) -> tuple[Size, Size, str]:
    """Zeros before, zeros after, and the formula of their sum."""
    formula = f"max(({out} - 1) * {stride} + {span} - {n}, 0)"
    total = (out - 1) * stride + span - n
    if isinstance(total, int):
        total = max(total, 0)
    elif span == 1:  # ceil(n / s) windows of 1 always fit
        total = 0
    elif span < stride:
        raise DimError(
            f'padding="same" of {name} {n} with a kernel of {span} and strides of {stride} depends on the remainder '
            f'{n} % {stride}; pad explicitly, or use padding="valid"'
        )
    low = total // 2
    return low, total - low, f"{formula} = {total}"


def transposed_axis(
    name: str, n: Size, kernel: int, stride: int, dilation: int, padding: Any, output_padding: int | None
) -> Axis:
    """One axis of a transposed convolution: (low, high) pads its input, dilated by the stride."""
    span, spread = _span(kernel, dilation)
    reach = (n - 1) * stride
    if padding == "same":
        # `before` is what the convolution of the result pads: so this is exactly its adjoint.
        if output_padding is None:
            out, how, before = n * stride, f"same: {n} * {stride}", max(span - stride, 0) // 2
        else:
            out = reach + span - 2 * (span // 2) + output_padding
            how = f"same: ({n} - 1) * {stride} + {span} - 2 * ({span} // 2) + {output_padding}"
            before = max(2 * (span // 2) - output_padding, 0) // 2
    elif padding == "valid":
        more = f"max({span}, {stride})" if output_padding is None else f"{span} + {output_padding}"
        out = reach + (max(span, stride) if output_padding is None else span + output_padding)
        how, before = f"valid: ({n} - 1) * {stride} + {more}", 0
    else:
        before, after = padding
        out = reach + span - before - after + (output_padding or 0)
        how = f"({n} - 1) * {stride} + {span} - {before} - {after} + {output_padding or 0}"
    low = span - 1 - before
    return Axis(name, n, kernel, span, stride, (low, out + span - 2 - reach - low), out, f"{how} = {out}{spread}")


# the explanation


@dataclass(frozen=True)
class ConvShape:
    """The shape of a convolution's or pooling's result; prints how it comes about.

    Attributes:
        shape: of the result, in the data format of the input.
        padding: (before, after) for each spatial axis: zeros around the input (for a transposed convolution around the
            input with `strides - 1` zeros between its elements).
    """

    title: str
    input_shape: Shape
    kernel_shape: Shape | None
    shape: Shape
    axes: tuple[Axis, ...]
    data_format: str

    @property
    def padding(self) -> tuple[Pair, ...]:
        return tuple(a.padding for a in self.axes)

    def lines(self) -> list[str]:
        """The lines below the title."""
        names = axis_names(len(self.axes), self.data_format)
        rows = [("x", named_shape(self.input_shape, names))]
        if self.kernel_shape is not None:
            rows.append(("kernel", show_shape(self.kernel_shape)))
        rows += [(a.name, a.text) for a in self.axes]
        return [f"    {name:<8} {text}" for name, text in rows]

    def __str__(self) -> str:
        names = axis_names(len(self.axes), self.data_format)
        return "\n".join([self.title, *self.lines(), f"    {'result':<8} {named_shape(self.shape, names)}"])

    __repr__ = __str__


def explain(
    title: str,
    input_shape: Shape,
    filters: Size,
    kernel_shape: Shape | None,
    axes: Sequence[Axis],
    data_format: str,
    *,
    history: Any = None,
) -> ConvShape:
    """The result's shape, once all axes are known.

    Raises:
        ShapeError: nothing is left of an axis; the message has the arithmetic.
    """
    batch = split_shape(input_shape, data_format)[0]
    shape = join_shape(batch, [a.out for a in axes], filters, data_format)
    made = ConvShape(title, input_shape, kernel_shape, shape, tuple(axes), data_format)
    for index, axis in enumerate(axes):
        empty = isinstance(axis.size, int) and axis.size < 1
        if empty or (isinstance(axis.out, int) and axis.out < 1):
            raise ShapeError(_nothing_left(made, axis, index, history))
    return made


def _nothing_left(made: ConvShape, axis: Axis, index: int, history: Any) -> str:
    rows = made.lines()
    head = f"nothing is left of {axis.name}"
    if isinstance(axis.size, int) and axis.size < 1:
        return "\n".join([f"{head}, because x has none", *rows])
    at = len(rows) - len(made.axes) + index
    what = "kernel" if made.kernel_shape is not None else "window"
    span = f"{what} spanning {axis.span}" if axis.span != axis.kernel else f"{axis.kernel}-wide {what}"
    rows[at] += f"        ← the {span} does not fit into {axis.name} {axis.size}"
    low, high = axis.padding
    room = axis.size + low + high
    limit = f"a {what} of at most {room}" if axis.span == axis.kernel else f"a smaller {what} or dilation_rate"
    fix = f'  Use padding="same", or {limit}.'
    before = history(1 + index if made.data_format == "channels_last" else 2 + index) if history else ""
    return "\n".join([head, *rows, fix + (f" {axis.name.capitalize()} was {before}." if before else "")])


def conv_shape(
    input_shape: Sequence[Any],
    filters: int,
    kernel_size: Any,
    strides: Any = 1,
    padding: PaddingLike = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
    groups: int = 1,
    *,
    transposed: bool = False,
    output_padding: Any = None,
) -> ConvShape:
    """The shape of a convolution's result, and how it comes about: print it. Computes nothing else.

    Args:
        input_shape: `[batch, *spatial, channels]` (or with the channels second); a name is a size that is not known.
        filters, kernel_size, strides, padding, data_format, dilation_rate, groups: as for `nn.Conv2D`.
        transposed: as for `nn.Conv2DTranspose`, which takes `output_padding`, too.

    Returns: an object with `.shape`, and the formulas with the numbers in as its text.

    Raises:
        ShapeError: nothing is left, or channels and groups do not fit.
        ArgumentError: an argument that cannot be.

    >>> made = td.nn.conv_shape((32, 28, 28, 1), filters=8, kernel_size=3, strides=2, padding="same")
    >>> made.shape
    (32, 14, 14, 8)
    >>> print(made)
    convolution
        x        [batch=32, height=28, width=28, channels=1]
        kernel   [3, 3, 1, 8]
        height   same: ceil(28 / 2) = 14; padding max((14 - 1) * 2 + 3 - 28, 0) = 1: 0 before, 1 after
        width    same: ceil(28 / 2) = 14; padding max((14 - 1) * 2 + 3 - 28, 0) = 1: 0 before, 1 after
        result   [batch=32, height=14, width=14, channels=8]

    Source of "same": the convention of TensorFlow and Keras, where the odd zero comes last.
    """
    shape: Shape = tuple(Dim(n) if isinstance(n, str) else n for n in input_shape)
    rank = len(shape) - 2
    if rank < 1:
        raise ShapeError(f"conv_shape takes [batch, *spatial, channels], and {show_shape(shape)} has {len(shape)} axes")
    form = check_data_format(data_format)
    kernel = per_axis("kernel_size", kernel_size, rank)
    by = per_axis("strides", strides, rank)
    dilation = per_axis("dilation_rate", dilation_rate, rank)
    rule = check_padding(padding, rank, causal=rank == 1 and not transposed)
    _, sizes, channels = split_shape(shape, form)
    check_groups(channels, filters, groups)
    if transposed:
        axes = transposed_axes(sizes, kernel, by, dilation, rule, check_output_padding(output_padding, by))
        weights = (*kernel, filters // groups, channels)
        return explain("transposed convolution", shape, filters, weights, axes, form)
    if output_padding is not None:
        raise ArgumentError("output_padding is for transposed=True: it chooses among sizes that give the same result")
    axes = forward_axes(sizes, kernel, by, dilation, rule)
    return explain("convolution", shape, filters, (*kernel, channels // groups, filters), axes, form)


def _rules(padding: Padding, rank: int) -> Sequence[Any]:
    return (padding,) * rank if isinstance(padding, str) else padding


def forward_axes(
    sizes: Shape, kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int], padding: Padding
) -> list[Axis]:
    """All spatial axes of a convolution."""
    rank = len(sizes)
    rows = zip(spatial_names(rank), sizes, kernel, strides, dilation, _rules(padding, rank), strict=True)
    return [forward_axis(*row) for row in rows]


def transposed_axes(
    sizes: Shape,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    padding: Padding,
    output_padding: Sequence[int | None],
) -> list[Axis]:
    """All spatial axes of a transposed convolution."""
    rank = len(sizes)
    rows = zip(
        spatial_names(rank), sizes, kernel, strides, dilation, _rules(padding, rank), output_padding, strict=True
    )
    return [transposed_axis(*row) for row in rows]
