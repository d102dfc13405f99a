"""The pictures of docs/howto/convolution-shapes.md, drawn from what treadle computes: python docs/pictures/conv.py

Each is one SVG file beside this script. tests/nn/test_pictures.py fails when a file is not what the script draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from treadle import nn
from treadle.nn.conv_arithmetic import Axis, forward_axis, transposed_axis

CELL = 34
INK, DATA, ZERO, RESULT = "#24292f", "#bcd7f0", "#ffffff", "#f7d9a8"
WINDOWS = ("#d96c1e", "#2f74c0")


class Drawing:
    """SVG text in the making."""

    def __init__(self, width: float, height: float) -> None:
        self.size = width, height
        self.parts: list[str] = []

    def text(self, x: float, y: float, words: str, *, size: int = 14, anchor: str = "middle", weight: str = "") -> None:
        bold = ' font-weight="bold"' if weight else ""
        escaped = words.replace("&", "&amp;").replace("<", "&lt;")
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{INK}"{bold}>{escaped}</text>'
        )

    def box(self, x: float, y: float, w: float, h: float, fill: str, *, dashed: bool = False) -> None:
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" fill="{fill}" stroke="{INK}"{dash}/>'
        )

    def band(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        listed = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.parts.append(f'<polygon points="{listed}" fill="{colour}" fill-opacity="0.13" stroke="{colour}"/>')

    def arrow(self, x: float, y: float, length: float) -> None:
        tip = x + length
        self.parts.append(f'<path d="M{x:g} {y:g} H{tip - 6:g}" stroke="{INK}" stroke-width="1.5" fill="none"/>')
        self.parts.append(f'<polygon points="{tip - 7:g},{y - 4:g} {tip:g},{y:g} {tip - 7:g},{y + 4:g}" fill="{INK}"/>')

    def __str__(self) -> str:
        w, h = self.size
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:g} {h:g}" width="{w:g}" height="{h:g}"'
        lines = [
            f'{head} font-family="Helvetica, Arial, sans-serif">',
            f'<rect width="{w:g}" height="{h:g}" fill="#ffffff"/>',
        ]
        return "\n".join([*lines, *self.parts, "</svg>\n"])


def windows(d: Drawing, top: float, title: str, axis: Axis, cells: Sequence[str], stride: int) -> None:
    """A row of results above a row of inputs, each result joined to the window it sees. An empty cell is a zero."""
    left, span = 24.0, axis.span
    d.text(left, top + 14, title, anchor="start", weight="bold")
    d.text(left, top + 34, axis.text, anchor="start", size=13)
    results, inputs = top + 50, top + 50 + 2.4 * CELL
    for i in range(int(axis.out)):
        begin = left + i * stride * CELL
        x = begin + (span - 1) * CELL / 2
        # Windows that overlap are told apart by colour and by a little less height.
        inset = 3 * (i % 2)
        corners = [(x, results + CELL), (x + CELL, results + CELL), (begin + span * CELL, inputs), (begin, inputs)]
        d.band(corners, WINDOWS[i % 2])
        if stride > 1:  # else they would hide each other
            d.parts.append(
                f'<path d="M{begin + 2:g} {inputs + CELL + 5 + inset:g} H{begin + span * CELL - 2:g}" '
                f'stroke="{WINDOWS[i % 2]}" stroke-width="2"/>'
            )
        d.box(x, results, CELL, CELL, RESULT)
        d.text(x + CELL / 2, results + 22, f"y{i}", size=13)
    for j, label in enumerate(cells):
        d.box(left + j * CELL, inputs, CELL, CELL, DATA if label else ZERO, dashed=not label)
        d.text(left + j * CELL + CELL / 2, inputs + 22, f"x{label}" if label else "0", size=13)


def padded(axis: Axis) -> list[str]:
    """The input's cells with its border."""
    low, high = axis.padding
    return [""] * int(low) + [str(i) for i in range(int(axis.size))] + [""] * int(high)


def spread(axis: Axis) -> list[str]:
    """The input's cells with zeros between and around, as a transposed convolution sees them."""
    low, high = axis.padding
    inside = [
        str(i // axis.stride) if i % axis.stride == 0 else "" for i in range((int(axis.size) - 1) * axis.stride + 1)
    ]
    return [""] * int(low) + inside + [""] * int(high)


def forward() -> Drawing:
    d = Drawing(470, 600)
    rules = [
        ("valid", 'padding="valid": windows that fit'),
        ("same", 'padding="same": ceil(8 / 2) windows'),
        ((2, 1), "padding=[(2, 1)]"),
    ]
    for k, (rule, title) in enumerate(rules):
        axis = forward_axis("length", 8, 3, 2, 1, rule)
        windows(d, 10 + 200 * k, f"Conv1D(1, 3, strides=2), {title}", axis, padded(axis), 2)
    return d


def transposed() -> Drawing:
    d = Drawing(430, 395)
    for k, rule in enumerate(("same", "valid")):
        axis = transposed_axis("length", 4, 3, 2, 1, rule, None)
        windows(d, 10 + 200 * k, f'Conv1DTranspose(1, 3, strides=2, padding="{rule}")', axis, spread(axis), 1)
    return d


def autoencoder() -> Drawing:
    """Each stage a box as high as its images, as wide as it has channels (a little)."""
    d = Drawing(720, 250)
    shape: tuple[int, ...] = (1, 28, 28, 1)
    stages = [
        ("Conv2D(8, 3, 2)", 8, False),
        ("Conv2D(16, 3, 2)", 16, False),
        ("Conv2DTranspose(8, 3, 2)", 8, True),
        ("Conv2DTranspose(1, 3, 2)", 1, True),
    ]
    x, middle = 30.0, 105.0
    shapes = [shape]
    for _, filters, back in stages:
        made = nn.conv_shape(shapes[-1], filters, 3, 2, "same", transposed=back)
        shapes.append(tuple(int(n) for n in made.shape))
    for k, s in enumerate(shapes):
        high, wide = s[1] * 5.5, 14 + s[3] * 2.5
        d.box(x, middle - high / 2, wide, high, DATA if k < 3 else RESULT)
        d.text(x + wide / 2, middle + high / 2 + 18, f"{s[1]}×{s[2]}×{s[3]}", size=13)
        x += wide
        if k < len(stages):
            d.arrow(x + 8, middle, 110)
            name, _, arguments = stages[k][0].partition("(")
            d.text(x + 63, middle - 24, name, size=12)
            d.text(x + 63, middle - 9, f"({arguments}", size=12)
            x += 126
    d.text(190, 240, "encoder", size=13)
    d.text(520, 240, "decoder: the same strides backwards", size=13)
    return d


PICTURES = {"conv-padding.svg": forward, "conv-transposed.svg": transposed, "autoencoder.svg": autoencoder}


def main() -> None:
    for name, draw in PICTURES.items():
        path = Path(__file__).with_name(name)
        path.write_text(str(draw()), encoding="utf-8")
        print(path.name)


if __name__ == "__main__":
    main()
