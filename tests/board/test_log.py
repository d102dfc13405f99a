"""`td.fit(…, board=…)`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.board.reader import load, plugin
from treadle import nn

ArgumentError = td.errors.ArgumentError
RNG = np.random.default_rng(0)
X = RNG.random((48, 6, 6, 1), np.float32)
Y = (X.mean((1, 2, 3)) > 0.5).astype(np.int32)


def model() -> Any:
    td.random.set_seed(3)
    return nn.Sequential([nn.Flatten(), nn.Dense(5, activation="relu"), nn.BatchNorm(), nn.Dropout(0.5), nn.Dense(2)])


def train(board: Any, made: Any = None, **options: Any) -> tuple[Any, Any]:
    made = made or model()
    settings = {
        "loss": "sparse_categorical_crossentropy",
        "optimizer": td.optim.Adam(0.01),
        "metrics": ["accuracy"],
        "validation_data": (X[:10], Y[:10]),
        "epochs": 2,
        "batch_size": 20,
        "verbose": False,
        **options,
    }
    return made, td.fit(made, (X, Y), board=board, **settings)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    folder = tmp_path_factory.mktemp("runs")
    made, history = train(td.board.Log(folder, every=1, histograms=2, samples=4, profile=True, hparams={"note": "a"}))
    (run,) = folder.iterdir()
    return run, made, history


def test_the_name_tells_model_and_time(logged: Any) -> None:
    assert logged[0].name.startswith("Sequential-2")


def test_scalars_are_those_of_the_history(logged: Any) -> None:
    folder, _, history = logged
    scalars = td.board.read(folder).scalars
    for tag, key in [
        ("loss/train", "loss"), ("loss/validation", "val_loss"),
        ("accuracy/train", "accuracy"), ("accuracy/validation", "val_accuracy"),
    ]:  # fmt: skip
        np.testing.assert_allclose(scalars[tag].values, history[key], rtol=1e-6)
        assert scalars[tag].steps.tolist() == history["step"]
    np.testing.assert_allclose(scalars["loss/step"].values, history.steps, rtol=1e-6)
    assert scalars["loss/step"].steps.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(scalars["learning_rate"].values, 0.01, rtol=1e-6)
    assert (scalars["speed/examples per second"].values > 0).all()


def test_histograms(logged: Any) -> None:
    folder = logged[0]
    histograms = td.board.read(folder).histograms
    kernel = histograms["parameters/layers.1.kernel"]
    assert kernel.steps[0] == 0
    assert (kernel.values[:, :, 2].sum(1) == 36 * 5).all()
    for tag, count in [("gradients/layers.1.kernel", 180), ("outputs/layers.1", 100), ("outputs/layers.4", 40)]:
        found = histograms[tag]
        # At first, then at steps 2, 4, 6; 6 is a batch of 8 rows and would have waited for the next of 20.
        assert found.steps.tolist() == [1, 2, 4]
        assert (found.values[:, :, 2].sum(1) == count).all()
    assert (histograms["outputs/layers.1"].values[:, 0, 0] == 0).all(), "what relu gives"


def test_gradients_are_those_of_the_loss(tmp_path: Path) -> None:
    layer = nn.Dense(1, use_bias=False)
    layer(X.reshape(48, 36)[:1])
    before = layer.kernel.numpy().copy()
    data = (X.reshape(48, 36), X.mean((1, 2, 3))[:, None])
    td.fit(
        layer, data, loss="mse", optimizer=td.optim.SGD(0.0), batch_size=48, shuffle=False, verbose=False,
        board=td.board.Log(tmp_path, name="a", histograms=1),
    )  # fmt: skip
    table = td.board.read(tmp_path / "a").histograms["gradients/kernel"].values[0]
    gradient = 2 / 48 * data[0].T @ (data[0] @ before - data[1])
    np.testing.assert_allclose([table[0, 0], table[-1, 1]], [gradient.min(), gradient.max()], rtol=1e-4)


def test_predictions_as_pictures_and_as_a_table(logged: Any, tmp_path: Path) -> None:
    run = td.board.read(logged[0])
    (picture,) = run.images["predictions"].values[-1]
    assert picture.shape == (2 * (66 + 13) + 2, 2 * 66 + 2, 3)
    td.fit(
        nn.Dense(1), (X.reshape(48, 36), Y[:, None].astype(np.float32)), loss="mse", optimizer="sgd", verbose=False,
        board=td.board.Log(tmp_path, name="table", samples=3), shuffle=False,
    )  # fmt: skip
    lines = td.board.read(tmp_path / "table").texts["predictions"].values[0].splitlines()
    assert lines[0] == "| example | predicted | should be |"
    assert [line.split("|")[3].strip() for line in lines[2:]] == [f"{v:g}" for v in Y[:3]]


def test_graphs_and_settings(logged: Any) -> None:
    folder = logged[0]
    run = td.board.read(folder)
    assert {n.name for n in run.graph.node} >= {"layers.1/kernel", "layers.1/contract", "output"}
    assert plugin(folder, "training step") == "graph_run_metadata"
    assert run.hparams["note"] == "a"
    assert run.hparams["optimizer"] == "Adam"
    assert run.hparams["batch_size"] == 20
    assert run.hparams["parameters"] == 36 * 5 + 5 + 10 + 12
    assert run.hparams["learning_rate"] == pytest.approx(0.01)
    assert "_hparams_/session_end_info" in load(folder).Tags()["tensors"]


def test_what_is_trained_stays_the_same(logged: Any, tmp_path: Path) -> None:
    """Dropout and BatchNorm notice each call in training: the log's own must leave no trace."""
    plain, without = train(None)
    assert without.steps == logged[2].steps
    for path, x in plain.variables().items():
        np.testing.assert_array_equal(x.numpy(), logged[1].variables()[path].numpy(), err_msg=path)


class StopError(Exception):
    pass


def test_a_resumed_run_goes_on_in_its_folder(tmp_path: Path) -> None:
    def fail(context: Any) -> None:
        if context.step == 5:
            raise StopError

    options = {"checkpoint": td.train.Checkpoint(tmp_path / "checkpoints", every_steps=2), "epochs": 3}
    with pytest.raises(StopError):
        train(
            td.board.Log(tmp_path / "runs", every=1),
            callbacks=[td.train.LambdaCallback(on_batch_end=lambda c: None, on_batch_begin=fail)], **options,
        )  # fmt: skip
    _, history = train(
        td.board.Log(tmp_path / "runs", every=1),
        callbacks=[td.train.LambdaCallback(on_batch_end=lambda c: None)], **options,
    )  # fmt: skip
    (folder,) = (tmp_path / "runs").iterdir()
    assert len(list(folder.iterdir())) == 2, "two event files of one run"
    steps = td.board.read(folder).scalars["loss/step"]
    assert steps.steps.tolist() == list(range(1, 10))
    np.testing.assert_allclose(steps.values, history.steps, rtol=1e-6)
    assert td.board.read(folder).scalars["loss/train"].steps.tolist() == [3, 6, 9]


@pytest.mark.parametrize("form", ["plain", "compiled", "op by op"])
def test_a_step_of_ones_own(tmp_path: Path, form: str, capsys: Any) -> None:
    def step(model: Any, optimizer: Any, batch: Any) -> dict[str, Any]:
        loss, gradients = td.value_and_grad(lambda m: td.mean((m(batch[0]) - 1) ** 2))(model)
        td.print("loss")
        optimizer.update(model, gradients)
        return {"loss": loss, "other": loss + 1}

    own: Any = td.compile(step) if form == "compiled" else step
    x, made = X.reshape(48, 36), []
    for log in (td.board.Log(tmp_path, name="own", histograms=1), None):
        layer = nn.Dense(1, kernel_initializer="ones")
        layer(x[:1])
        options = {"optimizer": "sgd", "compile": form != "op by op", "verbose": False, "nan_check": log is not None}
        history = td.fit(layer, (x, Y), step=own, board=log, shuffle=False, batch_size=48, epochs=2, **options)
        assert capsys.readouterr().out == "loss\n" * 2, "looking at gradients prints nothing"
        made.append((history.steps, layer.kernel.tolist()))
    assert made[0] == made[1]
    run = td.board.read(tmp_path / "own")
    assert {"loss/step", "loss/train", "other/train"} <= set(run.scalars)
    names = {f"{kind}/{path}" for kind in ("parameters", "gradients") for path in ("kernel", "bias")}
    assert set(run.histograms) == names
    assert run.graph is None
    expected = td.grad(lambda m: td.mean((m(x) - 1) ** 2))(layer)["kernel"].numpy()
    low, high = (run.histograms["gradients/kernel"].values[-1][:, k] for k in (0, 1))
    np.testing.assert_allclose([low.min(), high.max()], [expected.min(), expected.max()], rtol=1e-5)


def test_a_step_that_shows_no_gradients(tmp_path: Path, capsys: Any) -> None:
    def step(model: Any, optimizer: Any, batch: Any) -> dict[str, Any]:
        loss, gradients = td.value_and_grad(lambda m: td.mean((m(batch[0]) - 1) ** 2))(model)
        model.assign({p: x - 0.1 * gradients[p] for p, x in model.parameters().items()})
        return {"loss": loss}

    layer = nn.Dense(1)
    layer(X.reshape(48, 36)[:1])
    log = td.board.Log(tmp_path, name="own", histograms=1)
    td.fit(layer, (X.reshape(48, 36), Y), step=step, optimizer="sgd", verbose="lines", board=log, epochs=2)
    assert capsys.readouterr().out.count("the step= does not give them to optimizer.update(model, gradients)") == 1
    assert set(td.board.read(tmp_path / "own").histograms) == {"parameters/kernel", "parameters/bias"}


class Choosy(nn.Module):
    """A model whose way depends on its numbers, which cannot be traced."""

    def __init__(self) -> None:
        self.dense = nn.Dense(1)

    def __call__(self, x: Any) -> Any:
        y = self.dense(x)
        return y * 2 if td.sum(y) > 0 else y


def test_a_model_that_cannot_be_traced(tmp_path: Path, capsys: Any) -> None:
    data = (X.reshape(48, 36), Y[:, None].astype(np.float32))
    options = {"loss": "mse", "optimizer": "sgd", "compile": False, "verbose": "lines"}
    made = Choosy()
    made(data[0][:1])
    td.fit(made, data, board=td.board.Log(tmp_path, name="a", histograms=1), **options)
    assert "No graph is logged, since the model cannot be traced: the truth value" in capsys.readouterr().out
    run = td.board.read(tmp_path / "a")
    assert run.graph is None
    assert {"gradients/dense.kernel", "outputs/dense"} <= set(run.histograms)
    assert "predictions" in run.texts


def test_names(tmp_path: Path) -> None:
    for _ in range(2):
        train(str(tmp_path / "runs"), epochs=1)
    names = sorted(p.name for p in (tmp_path / "runs").iterdir())
    assert len(names) == 2
    train(td.board.Log(tmp_path, name="mine", graph=False, samples=0, histograms=0), epochs=0)
    with pytest.raises(ArgumentError, match=r"mine holds a run already. Choose another name="):
        train(td.board.Log(tmp_path, name="mine"), epochs=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: td.board.Log(every=0), r"Log\(every=0\): an integer of at least 1"),
        (lambda: td.board.Log(histograms=-1), "at least 0"),
        (lambda: td.board.Log(name="../up"), "a name of a folder inside of 'runs'"),
        (lambda: train(3), r'board=3: a folder for runs, board="runs"'),
    ],
)
def test_messages(make: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()


def test_without_tensorboard_it_fails_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(td.errors.MissingExtraError, match=r'pip install "treadle\[board\]"'):
        train("runs")
