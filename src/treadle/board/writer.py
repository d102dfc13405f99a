"""`Writer`: what a run shows in TensorBoard."""

from __future__ import annotations

import io
import operator
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from treadle.board import _curves, _graphs, _pictures, _projector, _summaries
from treadle.board._events import EventFile, restart
from treadle.board._extra import tensorboard
from treadle.core.errors import ArgumentError, MissingExtraError, ShapeError


class Writer:
    """Writes a run's numbers, pictures, sounds, texts, graphs and embeddings for TensorBoard.

    Each writer has an event file of its own, so several of them, in one process or many, may write to one folder. What
    is written reaches the file within 2 seconds, also without `close`; a killed process leaves a readable file.

    Args:
        folder: of the run; made when missing.
        resume_at: the run goes on at this step: what was written for it and later ones is void. None: nothing is.

    All methods take NumPy arrays, tensors, or lists. `tag` is the name on the page; what stands before its first "/"
    groups it. `step` is the position on the horizontal axis, usually `optimizer.step`.

    Raises:
        MissingExtraError: tensorboard is not installed.
        SaveError: the folder cannot be written to (at each call).

    >>> with td.board.Writer("runs/first") as w:
    ...     for step in range(3):
    ...         w.scalar("loss", 1 / (step + 1), step)
    >>> td.board.read("runs/first").scalars["loss"].values.tolist()
    [1.0, 0.5, 0.3333333432674408]
    """

    def __init__(self, folder: str | PathLike[str], *, resume_at: int | None = None) -> None:
        self.folder = Path(folder)
        self._file = EventFile(self.folder, after_others=resume_at is not None)
        if resume_at is not None:
            # Readers take the first of these for the beginning of the run, and act on the second.
            for _ in range(2):
                self._file.add(resume_at, session_log=restart())

    def __repr__(self) -> str:
        return f"td.board.Writer({fspath(self.folder)!r}{', closed' if self._file.is_closed else ''})"

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def flush(self) -> None:
        """Return when all is in the file."""
        self._file.flush()

    def close(self) -> None:
        """Write what is left and end. A second call does nothing."""
        self._file.close()

    # numbers

    def scalar(self, tag: str, value: Any, step: int, *, wall_time: float | None = None) -> None:
        """One number, kept in float32; NaN and infinities are shown as such.

        Args:
            wall_time: seconds since 1970 of the measurement; None: now.

        Raises:
            ShapeError: more than one number.
        """
        self._add(step, _summaries.scalar(tag, value), wall_time=wall_time)

    def scalars(self, values: Mapping[str, Any], step: int) -> None:
        """Several numbers of one step, by tag: `w.scalars({"loss/train": 0.3, "loss/validation": 0.4}, step)`."""
        self._add(step, *(_summaries.scalar(tag, value) for tag, value in values.items()))

    def histogram(self, tag: str, values: Any, step: int, *, bins: int = 30) -> None:
        """How values are distributed: counts in `bins` intervals of equal width from the least to the largest.

        NaN and infinite values are not counted; how many there were is the scalar `<tag>/non-finite`, written if any.
        """
        value, odd = _summaries.histogram(tag, values, bins)
        more = [_summaries.scalar(f"{tag}/non-finite", odd)] if odd else []
        self._add(step, value, *more)

    def text(self, tag: str, content: str | Sequence[str] | Mapping[Any, Any], step: int = 0) -> None:
        """A text in markdown; a list of them as a column; a mapping as a table of two columns."""
        self._add(step, _summaries.text(tag, content))

    def pr_curve(
        self,
        tag: str,
        labels: Any,
        scores: Any,
        step: int,
        *,
        weights: Any = None,
        thresholds: int = 127,
        classes: Sequence[str] | None = None,
    ) -> None:
        """Precision against recall, at thresholds between 0 and 1.

        Args:
            labels: `[n]`: 0 or 1. Or, with scores of several classes, integers.
            scores: `[n]`, between 0 and 1: probabilities, not logits. Or `[n, classes]`: a curve for each class, of tag
                `<tag>/<class>`.
            weights: `[n]`, >= 0: how much each counts.
            thresholds: how many.
            classes: names of the classes; otherwise their numbers.

        Raises:
            ShapeError, ArgumentError: they do not fit, or are no such numbers.
        """
        if thresholds < 2:
            raise ArgumentError(f"pr_curve({tag!r}, thresholds={thresholds}): at least 2")
        for name, checked in _curves.each("pr_curve", tag, labels, scores, weights, classes).items():
            self._add(step, _summaries.pr_curve(name, _curves.pr_table(*checked, thresholds)))

    def roc_curve(
        self,
        tag: str,
        labels: Any,
        scores: Any,
        step: int,
        *,
        weights: Any = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        """The ROC curve as a picture (TensorBoard has no page for it), and the areas below as scalars `<tag>/auc`.

        Args: as for `pr_curve`; with several classes one picture, and `<tag>/<class>/auc` for each.

        Raises:
            ShapeError, ArgumentError: as `pr_curve`.
            MissingExtraError: matplotlib is not installed.
        """
        found = _curves.each("roc_curve", tag, labels, scores, weights, classes)
        curves = {name: _curves.roc(*checked) for name, checked in found.items()}
        figure = _figure()(figsize=(4.5, 4.5), layout="constrained")
        axes = figure.add_subplot(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
        axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
        for name, (fpr, tpr, area) in curves.items():
            axes.plot(fpr, tpr, label=f"{name.removeprefix(tag + '/')}: {area:.3f}")
        axes.legend(title="area", fontsize="small")
        self.figure(tag, figure, step)
        self.scalars({f"{name}/auc": area for name, (_, _, area) in curves.items()}, step)

    # pictures and sound

    def image(
        self,
        tag: str,
        images: Any,
        step: int,
        *,
        value_range: tuple[float, float] | None = None,
        data_format: str = "channels_last",
        grid: bool | int = False,
        masks: Any = None,
        boxes: Any = None,
        labels: Sequence[Any] | None = None,
        captions: Sequence[str] | None = None,
        zoom: int | None = None,
        description: str = "",
    ) -> None:
        """Pictures: one, several beside each other, or a grid, perhaps with masks, boxes and captions.

        Args:
            images: `[height, width]`, `[height, width, channels]` or `[n, height, width, channels]`; 1, 3 or 4
                channels. uint8 from 0 to 255, floats from 0 to 1, or bools.
            value_range: (black, white) in the unit of the values, which are cut off there: `(-1, 1)`.
            data_format: "channels_first" if channels stand before height.
            grid: put all into one picture; a number is its columns.
            masks: `[n, height, width]`, integers or bools: pixels of class k > 0 are tinted in its colour.
            boxes: for each picture `[k, 4]`: x0, y0, x1, y1 in its pixels, x to the right, y down.
            labels: for each picture the texts of its boxes; equal texts have equal colours.
            captions: for each picture a line below it.
            zoom: enlarge each pixel so many times. None: as is needed to read captions and boxes, else 1.
            description: markdown, shown on demand.

        Raises:
            ShapeError, ArgumentError: shapes or values that are none of the above; the message says what to pass.
        """
        pictures = _pictures.as_rgb(tag, images, value_range, data_format)
        n, height, width, _ = pictures.shape
        if masks is not None:
            pictures = _pictures.overlay(tag, pictures, masks)
        if zoom is None:
            written = boxes is not None or captions is not None
            zoom = _pictures.readable_zoom(height, width) if written else 1
        if not isinstance(zoom, int) or zoom < 1:
            raise ArgumentError(f"image({tag!r}, zoom={zoom!r}): an integer of at least 1")
        pictures = _pictures.enlarged(pictures, zoom)
        if boxes is not None:
            groups = _pictures.boxes_of(tag, boxes, n)
            texts = None if labels is None else _labels(tag, labels, [len(g) for g in groups])
            pictures = _pictures.draw_boxes(pictures, groups, texts, zoom)
        elif labels is not None:
            raise ArgumentError(f"image({tag!r}): labels= are those of boxes=; for a line below a picture, captions=")
        if captions is not None:
            if len(captions) != n:
                raise ShapeError(f"image({tag!r}): {len(captions)} captions for {n} pictures")
            pictures = _pictures.captioned(pictures, captions)
        if grid:
            pictures = _pictures.grid_of(pictures, None if grid is True else grid)
        self._add_pngs(
            tag, [_pictures.png(p) for p in pictures], pictures.shape[2], pictures.shape[1], step, description
        )

    def figure(self, tag: str, figures: Any, step: int, *, dpi: int = 100, description: str = "") -> None:
        """A matplotlib figure, or a list of them. Nothing is closed: `plt.close(figure)` frees one made by pyplot.

        Raises:
            ArgumentError: it is no figure.
        """
        given = figures if isinstance(figures, list | tuple) else [figures]
        pngs = []
        for figure in given:
            if not hasattr(figure, "savefig"):
                raise ArgumentError(f"figure({tag!r}) takes a matplotlib Figure, not {type(figure).__name__}")
            out = io.BytesIO()
            figure.savefig(out, format="png", dpi=dpi)
            pngs.append(out.getvalue())
        if not pngs:
            raise ArgumentError(f"figure({tag!r}): the list is empty")
        height, width = _pictures.from_png(pngs[0]).shape[:2]
        self._add_pngs(tag, pngs, width, height, step, description)

    def _add_pngs(self, tag: str, pngs: list[bytes], width: int, height: int, step: int, description: str) -> None:
        self._add(step, _summaries.images(tag, pngs, width, height, description))

    def audio(self, tag: str, sound: Any, step: int, *, rate: int) -> None:
        """Sound: `[samples]`, `[samples, channels]`, or `[clips, samples, channels]`.

        Args:
            sound: floats from -1 to 1, or int16.
            rate: samples a second.

        Raises:
            ShapeError, ArgumentError: another shape, or values out of range.
        """
        self._add(step, _summaries.audio(tag, sound, rate))

    # the run

    def hparams(self, values: Mapping[str, Any], *, name: str | None = None) -> None:
        """The settings of this run, for the table of the page "HParams"; its metrics there are the run's scalars.

        Args:
            values: by name: numbers, texts, truth values.
            name: of the trial; runs of one name are shown as one. None: the folder's whole path.

        Raises:
            ArgumentError: a value is something else.
        """
        self._add(0, _summaries.hparams_start(values, name or self.folder.resolve().as_posix()))

    def finished(self, success: bool = True) -> None:
        """The end of a run with `hparams`: the table shows when, and whether it succeeded."""
        self._add(0, _summaries.hparams_end(success))

    def graph(self, graph: Any, *, tag: str | None = None, profile: Any = None, step: int = 0) -> None:
        """A graph: scopes as groups, shapes on the edges, and each operation's source line among its attributes.

        Args:
            graph: a `td.Graph`: `td.graph(model)(x)`, or `compiled.graph(*args)`.
            tag: a name to choose it by, when a run has several. None: the graph of the run, shown at first.
            profile: what `td.profile(f)(*args)` measured, of the same function and arguments: the page's "compute
                time" and "memory" colours. The time of a kernel is shared equally by the operations that are fused in
                it, rounded to microseconds; memory is that of results which a kernel leaves, so fused ones have none.

        Raises:
            ArgumentError: it is no graph; or a profile fits none of its operations.

        >>> step = lambda x: td.sum(td.tanh(x) * x)
        >>> x = td.ones((4, 8))
        >>> with td.board.Writer("runs/graph") as w:
        ...     w.graph(td.graph(step)(x), profile=td.profile(step)(x))
        >>> [node.op for node in td.board.read("runs/graph").graph.node]
        ['Input', 'tanh', 'mul', 'sum', 'Output']
        """
        made = _graphs.Drawing(graph)
        stats = None if profile is None else _graphs.step_stats(made, profile)
        if tag is None:
            self._file.add(step, graph_def=made.graph_def().SerializeToString())
            if stats is not None:
                self._file.add(step, tagged_run_metadata=_graphs.tagged_metadata("profile", stats))
        else:
            self._add(step, _graphs.graph_value(tag, made.graph_def(), stats))

    def embedding(
        self,
        tag: str,
        vectors: Any,
        *,
        metadata: Any = None,
        images: Any = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        """Points for the Projector: PCA, t-SNE and UMAP of the rows, in the browser. No TensorFlow is needed.

        A second call with the same tag replaces the points; other tags are kept beside it, to choose from. They lie in
        the run's folder as `projector_config.pbtxt` and `projector/<tag>/`.

        Args:
            vectors: `[n, d]`, finite.
            metadata: a name for each row; or a mapping from the name of a column to its n values.
            images: `[n, h, w]` or `[n, h, w, c]`: a small picture for each row; together at most 8192 pixels square.
            value_range: as for `image`.

        Raises:
            ShapeError, ArgumentError: they do not fit each other, or are not finite.
        """
        _projector.write(self.folder, tag, vectors, metadata, images, value_range)

    def layer_embedding(
        self,
        model: Any,
        x: Any,
        layer: str,
        *,
        tag: str | None = None,
        metadata: Any = None,
        images: Any = None,
        value_range: tuple[float, float] | None = None,
        batch_size: int = 256,
    ) -> None:
        """What a layer of a model gives for each row of `x`, as an `embedding` (flattened to `[n, d]`).

        Args:
            model: called as in prediction.
            x: its input: an array or tensor with rows on axis 0.
            layer: its name as `td.nn.summary` prints it: "layers.3", "encoder/layers.0". With x=None, the table of
                that `nn.Embedding` layer.
            tag: None: the layer's name.
            metadata, images, value_range: as for `embedding`.

        Raises:
            ArgumentError: the model has no such layer, or does not call it; the names that there are are listed.
        """
        vectors = _projector.layer_output(model, x, layer, batch_size)
        self.embedding(tag or layer, vectors, metadata=metadata, images=images, value_range=value_range)

    def _add(self, step: int, *values: Any, wall_time: float | None = None) -> None:
        try:
            number = operator.index(np.asarray(step)[()])
        except TypeError:
            raise ArgumentError(f"step={step!r}: an integer, the position on the page's horizontal axis") from None
        summary = tensorboard("compat.proto.summary_pb2").Summary(value=values)
        self._file.add(number, wall_time, summary=summary)


def _labels(tag: str, labels: Sequence[Any], counts: list[int]) -> list[list[str]]:
    groups = [labels] if len(counts) == 1 and labels and isinstance(labels[0], str) else labels
    texts = [[str(t) for t in group] for group in groups]
    if [len(g) for g in texts] != counts:
        raise ShapeError(f"image({tag!r}): labels {[len(g) for g in texts]} for boxes {counts}, picture by picture")
    return texts


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as e:
        raise MissingExtraError('drawing a curve needs matplotlib: pip install "treadle[plot]"') from e
    return Figure
