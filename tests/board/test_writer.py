"""What `Writer` writes, read back by TensorBoard's own loader."""

from __future__ import annotations

import io
import threading
import wave
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from sklearn import metrics as oracle

import treadle as td
from tests.board.reader import load, plugin, scalars, tensors
from treadle.board import _curves, _pictures, _summaries
from treadle.board._projector import _encoded

ArgumentError, ShapeError, SaveError = td.errors.ArgumentError, td.errors.ShapeError, td.errors.SaveError


@pytest.fixture
def writer(tmp_path: Path) -> Any:
    with td.board.Writer(tmp_path) as w:
        yield w


def png(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)))


# numbers


def test_scalars(writer: Any, tmp_path: Path) -> None:
    for step, value in enumerate([0.5, td.asarray(0.25), np.float64(1e300), float("nan"), ml_dtypes.bfloat16(2)]):
        writer.scalar("loss", value, step * 10)
    writer.scalars({"a/x": 1, "a/y": True}, step=np.int64(3))
    writer.flush()
    steps, values = zip(*scalars(tmp_path, "loss"), strict=True)
    assert steps == (0, 10, 20, 30, 40)
    np.testing.assert_array_equal(values, [0.5, 0.25, np.inf, np.nan, 2])
    assert scalars(tmp_path, "a/x") == [(3, 1.0)]
    assert scalars(tmp_path, "a/y") == [(3, 1.0)]
    assert plugin(tmp_path, "loss") == "scalars"


def test_scalars_are_what_the_older_accumulator_reads_too(writer: Any, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    writer.scalar("loss", 0.5, 7, wall_time=1e9)
    writer.flush()
    old = EventAccumulator(str(tmp_path))
    old.Reload()
    assert [(e.wall_time, e.step, e.value) for e in old.Scalars("loss")] == [(1e9, 7, 0.5)]


@given(hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32)), st.integers(1, 12))
@example(np.array([-1.7e308, 1.7e308]), 4)
def test_histograms_count_each_finite_value_once(values: Any, bins: int) -> None:
    value, odd = _summaries.histogram("h", values, bins)
    finite = values[np.isfinite(values)].astype(np.float64)
    assert odd == values.size - finite.size
    table = _summaries.buckets(finite, bins)
    assert table.shape == (bins, 3)
    assert table[:, 2].sum() == finite.size
    if finite.size:
        assert (table[:, 0] < table[:, 1]).all()
        assert table[0, 0] <= finite.min()
        assert finite.max() <= table[-1, 1]
    if finite.size and float(finite.max()) - float(finite.min()) > 1e-3 * np.abs(finite).max():
        np.testing.assert_array_equal(table[:, 2], np.histogram(finite / 4, bins)[0])
    assert value.metadata.plugin_data.plugin_name == "histograms"


def test_histograms_in_the_file(writer: Any, tmp_path: Path) -> None:
    writer.histogram("w", td.asarray([0.0, 1.0, 1.0, np.nan, np.inf]), 4, bins=2)
    writer.histogram("w", [], 5, bins=2)
    writer.flush()
    (step, table), (_, empty) = tensors(tmp_path, "w")
    assert step == 4
    assert table.tolist() == [[0, 0.5, 1], [0.5, 1, 2]]
    assert empty.tolist() == [[0, 0, 0]] * 2
    assert scalars(tmp_path, "w/non-finite") == [(4, 2.0)]


def test_text(writer: Any, tmp_path: Path) -> None:
    writer.text("note", "**bold** ä", 1)
    writer.text("list", ["a", "b"], 1)
    writer.text("table", {"a|b": 1, "c": "x\ny"})
    writer.flush()
    assert tensors(tmp_path, "note")[0][1].item().decode() == "**bold** ä"
    assert tensors(tmp_path, "list")[0][1].tolist() == [b"a", b"b"]
    assert tensors(tmp_path, "table")[0][1].item().decode() == "| | |\n|---|---|\n| a\\|b | 1 |\n| c | x y |"
    assert plugin(tmp_path, "list") == "text"


# curves


@settings(max_examples=15)
@given(st.data())
def test_curves_agree_with_scikit_learn(data: Any) -> None:
    n = data.draw(st.integers(2, 40))
    truth = data.draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1)).filter(lambda a: 0 < a.sum() < len(a)))
    score = data.draw(hnp.arrays(np.float64, n, elements=st.sampled_from([0, 0.1, 0.25, 0.5, 0.7, 1.0])))
    weight = data.draw(hnp.arrays(np.float64, n, elements=st.sampled_from([0.5, 1.0, 3.0])))
    table = _curves.pr_table(*_curves.checked("x", truth, score, weight), 5)
    for k, cut in enumerate(np.linspace(0, 1, 5)):
        guess = score >= cut
        (tn, fp), (fn, tp) = oracle.confusion_matrix(truth, guess, sample_weight=weight, labels=[0, 1])
        np.testing.assert_allclose(table[:4, k], [tp, fp, tn, fn], atol=1e-12)
        expected = oracle.precision_recall_fscore_support(
            truth, guess, average="binary", sample_weight=weight, zero_division=0
        )
        np.testing.assert_allclose(table[4:, k], expected[:2])
    fpr, tpr, area = _curves.roc(*_curves.checked("x", truth, score, weight))
    np.testing.assert_allclose(area, oracle.roc_auc_score(truth, score, sample_weight=weight))
    expected = oracle.roc_curve(truth, score, sample_weight=weight, drop_intermediate=False)
    np.testing.assert_allclose((fpr, tpr), expected[:2], atol=1e-12)


def test_curves_in_the_file(writer: Any, tmp_path: Path) -> None:
    writer.pr_curve("pr", [0, 1, 1], [0.2, 0.4, 0.9], 2, thresholds=3)
    writer.pr_curve("by class", [0, 1], [[0.9, 0.1], [0.4, 0.6]], 2, classes=["cat", "dog"])
    writer.roc_curve("roc", [0, 1, 1, 0], [0.2, 0.4, 0.9, 0.5], 2)
    writer.flush()
    table = tensors(tmp_path, "pr")[0][1]
    assert table.tolist()[:4] == [[2, 1, 0], [1, 0, 0], [0, 1, 1], [0, 1, 2]]
    assert {"by class/cat", "by class/dog"} <= set(load(tmp_path).Tags()["tensors"])
    assert scalars(tmp_path, "roc/auc") == [(2, 0.75)]
    assert plugin(tmp_path, "roc") == "images"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda w: w.pr_curve("p", [0, 1], [0.5, 2.0], 0), ArgumentError, "between 0.5 and 2. Apply td.sigmoid"),
        (lambda w: w.pr_curve("p", [0, 2], [0.5, 0.2], 0), ArgumentError, r"for classes, pass scores \[n, classes\]"),
        (lambda w: w.pr_curve("p", [0, 1, 1], [0.5, 0.2], 0), ShapeError, r"labels \(3,\) and scores \(2,\)"),
        (lambda w: w.pr_curve("p", [0, 1], [0.5, 0.2], 0, weights=[1, -1]), ArgumentError, "weights are >= 0"),
        (lambda w: w.pr_curve("p", [0, 1], [0.5, 0.2], 0, thresholds=1), ArgumentError, "thresholds=1"),
        (lambda w: w.pr_curve("p", [0, 1], [0.5, 0.2], 0, classes="ab"), ArgumentError, "classes= goes with"),
        (lambda w: w.pr_curve("p", [0, 5], np.ones((2, 2)), 0), ArgumentError, "integers from 0 to 1"),
        (lambda w: w.pr_curve("p", [0, 1], np.ones((2, 2)), 0, classes="abc"), ShapeError, "3 names of classes"),
        (lambda w: w.roc_curve("p", [0], np.ones((2, 2)), 0), ShapeError, r"need labels of shape \(2,\), not \(1,\)"),
        (lambda w: w.scalar("s", [1, 2], 0), ShapeError, r"one number, not the shape \(2,\)"),
        (lambda w: w.scalar("s", "high", 0), ArgumentError, "numbers are needed"),
        (lambda w: w.scalar("s", 1, "first"), ArgumentError, "step='first': an integer"),
        (lambda w: w.scalar("s", 1, 2.5), ArgumentError, "step=2.5: an integer"),
        (lambda w: td.compile(lambda x: w.scalar("s", x, 0))(td.ones(())), td.errors.TraceError, "has none yet"),
        (lambda w: w.histogram("h", [1], 0, bins=0), ArgumentError, "bins=0"),
        (lambda w: w.text("t", 3), ArgumentError, "takes a str, a list of str or a mapping"),
        (lambda w: w.image("i", np.zeros((3, 8, 8)), 0), ShapeError, 'channels first. data_format="channels_first"'),
        (lambda w: w.image("i", np.zeros((9, 8, 8)), 0), ShapeError, r"Is it 9 grey pictures. images\[..., None\]"),
        (lambda w: w.image("i", np.zeros((8, 8), int) + 300, 0), ArgumentError, "lie between 0 and 255"),
        (lambda w: w.image("i", np.eye(8) * 2, 0), ArgumentError, r"value_range=\(0, 2\)"),
        (lambda w: w.image("i", np.eye(8), 0, value_range=(1, 1)), ArgumentError, "the first is black"),
        (lambda w: w.image("i", np.eye(8), 0, data_format="NHWC"), ArgumentError, "data_format='NHWC'"),
        (lambda w: w.image("i", np.eye(8), 0, zoom=0), ArgumentError, "zoom=0"),
        (lambda w: w.image("i", np.eye(8), 0, masks=np.ones((4, 4), int)), ShapeError, r"masks \(1, 4, 4\) do not fit"),
        (lambda w: w.image("i", np.eye(8), 0, masks=np.eye(8)), ArgumentError, "masks are classes"),
        (lambda w: w.image("i", np.eye(8), 0, boxes=[[1, 2, 3]]), ShapeError, "x0, y0, x1, y1, not"),
        (lambda w: w.image("i", np.eye(8), 0, boxes=[[5, 2, 3, 4]]), ArgumentError, "x0 <= x1"),
        (lambda w: w.image("i", np.zeros((2, 8, 8, 1)), 0, boxes=[[]]), ShapeError, "1 groups of boxes for 2"),
        (lambda w: w.image("i", np.eye(8), 0, labels=["a"]), ArgumentError, "labels= are those of boxes="),
        (lambda w: w.image("i", np.eye(8), 0, boxes=[[1, 1, 2, 2]], labels="ab"), ShapeError, "picture by picture"),
        (lambda w: w.image("i", np.eye(8), 0, captions=["a", "b"]), ShapeError, "2 captions for 1 pictures"),
        (lambda w: w.figure("f", 3, 0), ArgumentError, "takes a matplotlib Figure, not int"),
        (lambda w: w.figure("f", [], 0), ArgumentError, "the list is empty"),
        (lambda w: w.audio("a", np.zeros((2, 100)), 0, rate=8000), ShapeError, r"would be 100 channels"),
        (lambda w: w.audio("a", np.zeros(3) + 2, 0, rate=8000), ArgumentError, r"sound / abs\(sound\).max\(\)"),
        (lambda w: w.audio("a", np.zeros(3, np.int32), 0, rate=8000), ArgumentError, "int16 or floats"),
        (lambda w: w.audio("a", np.zeros(()), 0, rate=8000), ShapeError, r"\[samples, channels\]"),
        (lambda w: w.audio("a", np.zeros(3), 0, rate=0.5), ArgumentError, "samples a second"),
        (lambda w: w.hparams({"layers": [1, 2]}), ArgumentError, r"layers=\[1, 2\] is no number"),
    ],
)  # fmt: skip
def test_messages(writer: Any, call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(writer)


# pictures and sound


def test_images_keep_their_pixels(writer: Any, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    writer.image("colour", pictures, 1)
    writer.image("first", np.moveaxis(pictures, -1, 1), 1, data_format="channels_first")
    writer.image("grey", td.asarray(pictures[0, ..., 0] / np.float32(255)), 1)
    writer.image("stretched", pictures[0, ..., 0].astype(np.float64) - 100, 1, value_range=(-100, 155))
    writer.image("mask", pictures[0, ..., 0] > 99, 1)
    writer.flush()
    assert plugin(tmp_path, "colour") == "images"
    width, height, one, two = tensors(tmp_path, "colour")[0][1]
    assert (width, height) == (b"7", b"5")
    np.testing.assert_array_equal([png(one), png(two)], pictures)
    np.testing.assert_array_equal([png(p) for p in tensors(tmp_path, "first")[0][1][2:]], pictures)
    for tag, expected in [("grey", pictures[0, ..., 0]), ("stretched", pictures[0, ..., 0])]:
        np.testing.assert_array_equal(png(tensors(tmp_path, tag)[0][1][2])[..., 1], expected)
    np.testing.assert_array_equal(png(tensors(tmp_path, "mask")[0][1][2])[..., 0], 255 * (pictures[0, ..., 0] > 99))


def test_grids_masks_boxes_and_captions(writer: Any, tmp_path: Path) -> None:
    black = np.zeros((3, 10, 12), np.float32)[..., None]
    masks = np.zeros((3, 10, 12), int)
    masks[1, 2:4, 5:7] = 2
    writer.image("grid", black, 0, grid=2, masks=masks)
    writer.image("boxes", black, 0, boxes=[[[2, 3, 6, 8]], [], [[0, 0, 2, 2]]], labels=[["b"], [], ["a"]])
    writer.image("captions", black, 0, captions=["one", "two", ""])
    writer.flush()
    width, height, data = tensors(tmp_path, "grid")[0][1]
    assert (int(width), int(height)) == (2 * 12 + 2, 2 * 10 + 2)
    picture = png(data)
    assert picture[2, 12 + 2 + 5].tolist() == [n // 2 for n in _pictures.PALETTE[1]]  # half of it, on black
    assert picture[2, 12 + 2 + 4].tolist() == [0, 0, 0]
    assert picture[10].tolist() == [[255] * 3] * 26  # the line between
    first, second, third = (png(p) for p in tensors(tmp_path, "boxes")[0][1][2:])
    assert first.shape == (70, 84, 3)  # 7 times as large, to be read
    assert first[3 * 7, 2 * 7].tolist() == list(_pictures.PALETTE[1])  # "b" is the second of the labels
    assert third[0, 0].tolist() == list(_pictures.PALETTE[0])
    assert not second.any()
    one, _, none = (png(p) for p in tensors(tmp_path, "captions")[0][1][2:])
    assert (one[70:] < 100).any(), "something is written"
    assert (none[70:] == 255).all()


def test_figures(writer: Any, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([1, 2])
    writer.figure("f", figure, 3, dpi=50)
    writer.flush()
    width, height, data = tensors(tmp_path, "f")[0][1]
    assert (width, height, png(data).shape[:2]) == (b"100", b"50", (50, 100))


def test_audio(writer: Any, tmp_path: Path) -> None:
    wave_form = np.sin(np.arange(800) * 0.3)
    writer.audio("mono", wave_form, 0, rate=8000)
    writer.audio("clips", np.stack([wave_form, -wave_form])[..., None], 0, rate=8000)
    writer.audio("stereo", (np.stack([wave_form, wave_form], 1) * 32767).astype(np.int16), 0, rate=44100)
    writer.flush()
    assert plugin(tmp_path, "mono") == "audio"
    with wave.open(io.BytesIO(np.ravel(tensors(tmp_path, "mono")[0][1])[0])) as f:
        assert (f.getframerate(), f.getnchannels(), f.getnframes()) == (8000, 1, 800)
        np.testing.assert_allclose(np.frombuffer(f.readframes(800), "<i2") / 32767, wave_form, atol=1e-4)
    assert len(np.ravel(tensors(tmp_path, "clips")[0][1])) == 2
    with wave.open(io.BytesIO(np.ravel(tensors(tmp_path, "stereo")[0][1])[0])) as f:
        assert (f.getframerate(), f.getnchannels()) == (44100, 2)


# files


def test_several_writers_share_a_folder(tmp_path: Path) -> None:
    def write(k: int) -> None:
        with td.board.Writer(tmp_path) as w:
            for step in range(50):
                w.scalar(f"worker/{k}", step + k, step)

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(list(tmp_path.iterdir())) == 4
    for k in range(4):
        assert scalars(tmp_path, f"worker/{k}") == [(s, float(s + k)) for s in range(50)]


def test_one_writer_of_several_threads(tmp_path: Path) -> None:
    with td.board.Writer(tmp_path) as w:
        threads = [threading.Thread(target=lambda k=k: [w.scalar(f"t{k}", s, s) for s in range(100)]) for k in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    run = td.board.read(tmp_path)
    assert all(run.scalars[f"t{k}"].steps.tolist() == list(range(100)) for k in range(4))


def test_a_resumed_run_takes_back_what_it_does_again(tmp_path: Path) -> None:
    for begin, end, resume in [(0, 10, None), (6, 12, 6), (11, 14, 11)]:
        with td.board.Writer(tmp_path, resume_at=resume) as w:
            w.hparams({"seed": 1})
            for step in range(begin, end):
                w.scalar("loss", begin * 100 + step, step)
    expected = [*range(6), *range(606, 611), *range(1111, 1114)]
    assert scalars(tmp_path, "loss") == [(k, float(v)) for k, v in enumerate(expected)]
    assert td.board.read(tmp_path).scalars["loss"].values.tolist() == expected
    assert td.board.read(tmp_path).hparams == {"seed": 1.0}


def test_a_closed_writer_says_so(tmp_path: Path) -> None:
    w = td.board.Writer(tmp_path)
    w.close()
    w.close()
    with pytest.raises(SaveError, match="is closed: make another"):
        w.scalar("a", 1, 1)
    assert "closed" in repr(w)


def test_a_writer_does_not_come_along_in_a_fork(writer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 1)
    with pytest.raises(SaveError, match=r"belongs to another process.*several may write side by side"):
        writer.scalar("a", 1, 1)
    monkeypatch.undo()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="no event file can be made in"):
        td.board.Writer(tmp_path / "file" / "run")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # tensorboard's thread, as it ends
def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    w = td.board.Writer(folder)
    w.flush()
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(SaveError, match="events cannot be written to"):
        _write_until_it_fails(w)
    w._file._writer._async_writer._worker.join()  # its last words belong to this test


def _write_until_it_fails(w: Any) -> None:
    for step in range(1000):
        w.scalar("a", 1, step)
        w.flush()


def test_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.import_module", _refuse)
    with pytest.raises(td.errors.MissingExtraError, match=r'pip install "treadle\[board\]"'):
        td.board.Writer(tmp_path)


def _refuse(name: str) -> Any:
    raise ImportError(name)


# embeddings


def test_tensors_that_would_be_taken_for_text_are_written_as_text() -> None:
    assert _encoded(np.full((3, 2), 2.0, np.float32)) == ("tsv", b"2.0\t2.0\n" * 3)  # bytes 00 00 00 40
    assert _encoded(np.zeros((3, 2), np.float32))[0] == "tsv"
    ending, data = _encoded(np.full((3, 2), 1.5, np.float32))
    assert (ending, len(data)) == ("bytes", 24)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"vectors": np.zeros(3)}, ShapeError, r"takes \[n, d\], a row for each point, not \(3,\)"),
        ({"vectors": [[1.0], [np.nan]]}, ArgumentError, "1 rows are not finite, row 1"),
        ({"vectors": np.eye(3), "metadata": "ab"}, ShapeError, "metadata has 2 values for 3 points"),
        ({"vectors": np.eye(3), "metadata": {"n": [1]}}, ShapeError, "column 'n' of metadata has 1 values"),
        ({"vectors": np.eye(3), "metadata": {}}, ArgumentError, "metadata has no columns"),
        ({"vectors": np.eye(3), "images": np.zeros((2, 4, 4))}, ShapeError, "2 images for 3 points"),
        ({"vectors": np.eye(3), "images": np.zeros((3, 5000, 4))}, ArgumentError, "browsers take 8192"),
    ],
)
def test_messages_of_embeddings(writer: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        writer.embedding("e", **options)


def test_a_damaged_index_is_not_overwritten(writer: Any, tmp_path: Path) -> None:
    (tmp_path / "projector_config.pbtxt").write_text("mine")
    with pytest.raises(SaveError, match="is no projector configuration"):
        writer.embedding("e", np.eye(3))
    assert (tmp_path / "projector_config.pbtxt").read_text() == "mine"


def test_layers_by_name(writer: Any, tmp_path: Path) -> None:
    model = td.nn.Sequential([td.nn.Dense(4, activation="tanh"), td.nn.BatchNorm(), td.nn.Dropout(0.5), td.nn.Dense(2)])
    x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    model(x)
    before = {k: v.numpy().copy() for k, v in model.variables().items()}
    writer.layer_embedding(model, x, "layers.0", batch_size=3)
    data = np.fromfile(tmp_path / "projector" / "layers.0" / "tensor.bytes", "<f4").reshape(7, 4)
    np.testing.assert_allclose(data, np.tanh(x @ before["layers.0.kernel"] + before["layers.0.bias"]), rtol=1e-5)
    assert all((model.variables()[k].numpy() == v).all() for k, v in before.items())
    with pytest.raises(ArgumentError, match=r"no layer 'layer\.0'\. There are layers.0, layers.1"):
        writer.layer_embedding(model, x, "layer.0")
    with pytest.raises(ArgumentError, match="The model has none: pass x"):
        writer.layer_embedding(model, None, "layers.0")
    words = td.nn.Embedding(5, 3)
    words(np.array([1]))
    writer.layer_embedding(td.nn.Sequential([words]), None, "layers.0", tag="words")
    table = np.fromfile(tmp_path / "projector" / "words" / "tensor.bytes", "<f4").reshape(5, 3)
    np.testing.assert_array_equal(table, words.embeddings.numpy())
