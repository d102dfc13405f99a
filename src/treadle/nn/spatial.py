"""Arguments of layers with spatial axes: sizes per axis, padding, data formats, groups; and shapes with names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, Union

from treadle.core.dims import Size
from treadle.core.errors import ArgumentError, ShapeError
from treadle.core.spec import show_shape
from treadle.ops.conv_shape import spatial_names

Padding: TypeAlias = Union[str, tuple[tuple[int, int], ...]]
PaddingLike: TypeAlias = Union[str, int, Sequence[Any]]
Shape: TypeAlias = tuple[Size, ...]

DATA_FORMATS = ("channels_last", "channels_first")


def per_axis(what: str, value: Any, rank: int, *, low: int = 1) -> tuple[int, ...]:
    """An int for all axes, or one for each.

    Raises:
        ArgumentError: not ints, too small, or another number of them.
    """
    given = (value,) * rank if isinstance(value, int) else tuple(value) if isinstance(value, list | tuple) else None
    if given is None or len(given) != rank or not all(isinstance(n, int) and not isinstance(n, bool) for n in given):
        raise ArgumentError(f"{what} is an int or {rank} of them; got {value!r}")
    if any(n < low for n in given):
        raise ArgumentError(f"{what} must be at least {low}; got {value!r}")
    return given


def check_padding(padding: Any, rank: int, *, causal: bool = False) -> Padding:
    """The name of a rule, or a pair for each axis.

    Raises:
        ArgumentError: something else.
    """
    names = ("valid", "same", "causal") if causal else ("valid", "same")
    if isinstance(padding, str) and padding.lower() in names:
        return padding.lower()
    if isinstance(padding, int) and not isinstance(padding, bool):
        padding = (padding,) * rank
    if (
        rank == 1
        and isinstance(padding, list | tuple)
        and len(padding) == 2
        and all(isinstance(p, int) for p in padding)
    ):
        padding = (tuple(padding),)
    if isinstance(padding, list | tuple) and len(padding) == rank:
        pairs = tuple(
            (p, p) if isinstance(p, int) else tuple(p) if isinstance(p, list | tuple) else () for p in padding
        )
        if all(len(p) == 2 and all(isinstance(n, int) and n >= 0 for n in p) for p in pairs):
            return pairs
    listed = ", ".join(f'"{n}"' for n in names)
    raise ArgumentError(
        f"padding is {listed}, an int, or for each of the {rank} spatial axes an int or a pair (before, after), "
        f"none negative; got {padding!r}"
    )


def check_data_format(data_format: str | None) -> str:
    """One of the two formats; None is "channels_last".

    Raises:
        ArgumentError: something else.
    """
    if data_format is None:
        return "channels_last"
    if data_format not in DATA_FORMATS:
        raise ArgumentError(f'data_format is "channels_last" or "channels_first"; got {data_format!r}')
    return data_format


def axis_names(rank: int, data_format: str) -> tuple[str, ...]:
    """`batch, height, width, channels`, or with the channels second."""
    spatial = spatial_names(rank)
    return ("batch", *spatial, "channels") if data_format == "channels_last" else ("batch", "channels", *spatial)


def named_shape(shape: Shape, names: Sequence[str]) -> str:
    """`[batch=32, height=6, width=6, channels=16]`; without names where their number differs."""
    if len(shape) != len(names):
        return show_shape(shape)
    parts = [name if str(n) == name else f"{name}={n}" for n, name in zip(shape, names, strict=True)]
    return f"[{', '.join(parts)}]"


def split_shape(shape: Shape, data_format: str) -> tuple[Size, Shape, Size]:
    """(batch, spatial sizes, channels)."""
    if data_format == "channels_last":
        return shape[0], tuple(shape[1:-1]), shape[-1]
    return shape[0], tuple(shape[2:]), shape[1]


def join_shape(batch: Size, spatial: Sequence[Size], channels: Size, data_format: str) -> Shape:
    """The inverse of `split_shape`."""
    return (batch, *spatial, channels) if data_format == "channels_last" else (batch, channels, *spatial)


def check_groups(channels: Size, filters: int, groups: int) -> None:
    """Raise where channels or filters do not divide into groups.

    Raises:
        ShapeError: they do not divide.
        ArgumentError: no positive number of groups.
    """
    if not isinstance(groups, int) or groups < 1:
        raise ArgumentError(f"groups must be at least 1; got {groups!r}")
    for what, n in (("channels of x", channels), ("filters", filters)):
        if n % groups != 0:
            raise ShapeError(
                f"the {n} {what} do not divide into {groups} groups: {n} = {n // groups} * {groups} + {n % groups}"
            )


def check_output_padding(output_padding: Any, strides: tuple[int, ...]) -> tuple[int | None, ...]:
    """For each axis a number below the stride, or None.

    Raises:
        ArgumentError: it is not below the stride.
    """
    if output_padding is None:
        return (None,) * len(strides)
    given = per_axis("output_padding", output_padding, len(strides), low=0)
    if any(p >= s for p, s in zip(given, strides, strict=True)):
        raise ArgumentError(
            f"output_padding={output_padding} must be below strides={strides}: it chooses among the sizes that a "
            "convolution with these strides maps to the same size"
        )
    return given
