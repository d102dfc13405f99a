"""The three pictures of `treadle demo`. matplotlib draws into files alone: no window, no global state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

INK, QUIET, RULE = "#1f2933", "#7b8794", "#d9dee4"
BLUE, ORANGE = "#2a6f97", "#c8511b"
DPI = 150


def _figure(width: float, height: float) -> Any:
    """An empty figure, sizes in inches; `figure.savefig` writes it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=11, fontweight="bold", color=INK, pad=10)


def _plain(axes: Any) -> None:
    """A frame of two quiet lines, and a light grid across."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(colors=QUIET, labelsize=9, length=0)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def learning_curves(
    path: Path, train: Array, test: Array, names: tuple[str, str] = ("training, with dropout", "held out")
) -> None:
    """Loss and accuracy after each epoch.

    Args:
        train, test: `[epochs, 2]`, loss and accuracy.
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = _figure(9, 3.6)
    epochs = np.arange(1, len(train) + 1)
    for column, (axes, title) in enumerate(zip(figure.subplots(1, 2), ("Loss", "Accuracy"), strict=True)):
        _plain(axes)
        _title(axes, title)
        lines = [(train[:, column], BLUE), (test[:, column], ORANGE)]
        names = ("training, with dropout", "held out")
        for values, color in lines:
            axes.plot(epochs, values, color=color, linewidth=2, marker="o", markersize=3)
        for (values, color), name, y in zip(lines, names, _apart(axes, [v[-1] for v, _ in lines], column), strict=True):
            text = f"{name} {values[-1]:.3f}" if column == 0 else f"{name} {values[-1]:.1%}"
            axes.annotate(
                text, (1, y), (8, 0), xycoords=("axes fraction", "data"), textcoords="offset points", color=color,
                fontsize=9, va="center",
            )  # fmt: skip
        axes.set_xlabel("epoch", fontsize=9, color=QUIET)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        if column:
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    figure.savefig(path)


def _apart(axes: Any, values: Sequence[float], column: int) -> list[float]:
    """Where labels of these two heights go, so that they do not overlap."""
    low, high = axes.get_ylim()
    if column == 0:
        low, high = 0.0, 1.05 * high
    axes.set_ylim(low, high)
    room = 0.08 * (high - low)
    a, b = map(float, values)
    middle, gap = (a + b) / 2, max(abs(a - b), room)
    return [middle + gap / 2, middle - gap / 2] if a >= b else [middle - gap / 2, middle + gap / 2]


def confusion_matrix(path: Path, counts: Array, classes: Sequence[str]) -> None:
    """What each digit was taken for.

    Args:
        counts: `[classes, classes]`, rows are the truth, columns the answers.
    """
    figure = _figure(6, 6.2)
    axes = figure.subplots()
    right, total = int(np.trace(counts)), int(counts.sum())
    _title(axes, f"{right} of {total} digits right ({right / total:.1%})")
    n = len(classes)
    most = max(int((counts - np.diag(np.diag(counts))).max()), 1)
    for i in range(n):
        for j in range(n):
            count = int(counts[i, j])
            if i == j:
                color, alpha = BLUE, 0.12 + 0.2 * count / max(int(counts[i].sum()), 1)
            else:
                color, alpha = ORANGE, 0.35 + 0.6 * count / most if count else 0.0
            axes.add_patch(_cell(j, i, color, alpha))
            if count or i == j:
                axes.text(j, i, str(count), ha="center", va="center", fontsize=10, color=INK)
    axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), aspect="equal")
    axes.set_xticks(range(n), classes)
    axes.set_yticks(range(n), classes)
    axes.set_xticks(np.arange(n - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(n - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=RULE, linewidth=0.6)
    axes.tick_params(which="both", length=0, colors=INK, labelsize=10)
    axes.spines[:].set_color(RULE)
    axes.set_xlabel("answer of the network", fontsize=9, color=QUIET, labelpad=8)
    axes.set_ylabel("what was written", fontsize=9, color=QUIET, labelpad=8)
    figure.savefig(path)


def _cell(x: int, y: int, color: str, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=color, alpha=alpha, linewidth=0)


def worst_digits(path: Path, images: Array, labels: Array, chances: Array, classes: Sequence[str]) -> None:
    """The digits to which the network gave the least probability, the worst first.

    Args:
        images: `[n, height, width]` in 0..1; n is 15 or less.
        labels: `[n]`, the truth.
        chances: `[n, classes]`, the network's probabilities.
    """
    columns = 5
    rows = -(-len(images) // columns)
    figure = _figure(9, 0.6 + 2.0 * rows)
    wrong = int((chances.argmax(axis=1) != labels).sum())
    figure.suptitle(
        f"The {len(images)} hardest digits: {wrong} read wrongly, {len(images) - wrong} rightly",
        x=0.02, ha="left", fontsize=11, fontweight="bold", color=INK,
    )  # fmt: skip
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(images) :]:
        axes.set_axis_off()
    for axes, image, label, chance in zip(grid, images, labels, chances, strict=False):
        answer = int(chance.argmax())
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(RULE)
        text = f"{classes[label]} read as {classes[answer]}  ({chance[answer]:.0%})"
        axes.set_title(text, fontsize=10, color=ORANGE if answer != label else BLUE, pad=6)
    figure.savefig(path)
