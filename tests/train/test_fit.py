"""fit: learning, what counts how much, resuming, stopping, and what it says when something is wrong."""

from __future__ import annotations

import gc
import re
import signal
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import treadle as td
from tests.train import problem
from treadle.core.errors import ArgumentError, DTypeError, NonFiniteError, SaveError, ShapeError, TraceError
from treadle.transforms.compiling import RetraceWarning

CROSSENTROPY = "sparse_categorical_crossentropy"


def run(model: Any, optimizer: Any, **options: Any) -> td.train.History:
    options = {"loss": CROSSENTROPY, "epochs": 3, "batch_size": 16, "verbose": False, **options}
    return td.fit(model, options.pop("data", problem.data()), optimizer=optimizer, **options)


def test_it_learns() -> None:
    model = problem.model(rate=0.0)
    history = run(model, td.optim.Adam(3e-2), epochs=40, metrics=["accuracy"], validation_split=0.2)
    assert history["accuracy"][-1] > 0.95
    assert history.last["val_accuracy"] > 0.8
    assert history["epoch"] == list(range(1, 41))
    assert len(history.steps) == 40 * 8  # 120 rows of 150: 7 batches of 16 and one of 8
    assert history["loss"][-1] < history["loss"][0] / 3


@pytest.mark.parametrize("compiled", [True, False])
def test_a_step_is_the_loop_written_by_hand(compiled: bool) -> None:
    x, y = problem.data()
    model, by_hand = problem.model(), problem.model()
    optimizer, other = td.optim.Adam(1e-2), td.optim.Adam(1e-2)
    history = run(model, optimizer, shuffle=False, compile=compiled, epochs=2)

    def step(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
        value, grads = td.value_and_grad(
            lambda m, x, y: td.losses.sparse_categorical_crossentropy(m(x, training=True), y)
        )(model, x, y)
        optimizer.update(model, grads)
        return value

    by_hand.init(x[:16])
    losses = []
    one = td.compile(step) if compiled else step
    for _ in range(2):
        batches = [(td.asarray(x[i : i + 16]), td.asarray(y[i : i + 16])) for i in range(0, len(x), 16)]
        losses += [one(by_hand, other, *batch).item() for batch in batches]
    assert history.steps == losses
    assert problem.bits(model, optimizer) == problem.bits(by_hand, other)


def test_means_count_rows_not_batches() -> None:
    x = np.arange(10.0)[:, None]
    model = td.nn.Dense(1, kernel_initializer="zeros")
    history = run(model, td.optim.SGD(0.0), data=(x, x), loss="mse", batch_size=4, metrics=["mae"], epochs=1)
    assert history.last["loss"] == pytest.approx(np.mean(x**2), rel=1e-6)
    assert history.last["mae"] == np.mean(x)


def test_weights_count() -> None:
    x, w = np.arange(10.0)[:, None], np.linspace(0, 1, 10).astype(np.float32)
    model = td.nn.Dense(1, kernel_initializer="zeros")
    history = run(model, td.optim.SGD(0.0), data=(x, x, w), loss="mse", batch_size=4, metrics=["mse"], epochs=1)
    expected = np.average(x[:, 0] ** 2, weights=w)
    assert history.last["loss"] == pytest.approx(expected, rel=1e-6)
    assert history.last["mse"] == pytest.approx(expected, rel=1e-6)
    found = td.evaluate(model, {"x": x, "y": x, "weights": w}, loss="mse", metrics="mse", batch_size=3)
    assert found == {"loss": pytest.approx(expected, rel=1e-6), "mse": pytest.approx(expected, rel=1e-6)}


def test_one_trace_a_shape() -> None:
    def own_loss(prediction: Any, target: Any) -> Any:
        return td.mean((prediction - target) ** 2)

    x = np.ones((10, 2), np.float32)
    with td.testing.assert_compiles(2):  # batches of 4 rows, and the last of 2
        run(td.nn.Dense(2), td.optim.SGD(0.1), data=(x, x), loss=own_loss, batch_size=4, epochs=4)


def test_a_second_fit_of_a_model_traces_nothing_anew() -> None:
    model, optimizer = problem.model(), td.optim.Adam(1e-2)
    run(model, optimizer, epochs=1)
    with td.testing.assert_compiles(0):
        run(model, optimizer, epochs=1)
    for rows in range(10, 60, 5):  # other models, other sizes: no warning of too many traces
        run(problem.model(), td.optim.SGD(0.1), data=problem.data(rows), epochs=1)


def test_models_and_their_steps_are_forgotten_together() -> None:
    model, optimizer = problem.model(), td.optim.Adam(1e-2)
    run(model, optimizer, epochs=1, validation_split=0.2, metrics=["accuracy"])
    alive = weakref.ref(model), weakref.ref(optimizer)
    del model, optimizer
    gc.collect()
    assert [r() for r in alive] == [None, None]


def test_named_sizes_need_one_version() -> None:
    class Last(td.nn.Module):
        def __init__(self) -> None:
            self.dense = td.nn.Dense(2)

        def __call__(self, x: Any) -> Any:
            return td.mean(self.dense(x), axis=1)

    rng = np.random.default_rng(0)
    lengths = [3, 5, 2, 7, 4, 6, 8, 9]
    data = [(rng.normal(size=(4, n, 3)).astype(np.float32), np.zeros(4, np.int32)) for n in lengths]
    named, plain = Last().init((1, 1, 3)), Last()
    sizes = {"x": ("batch", "time", None), "y": ("batch",)}
    plain.init((1, 1, 3)).assign(named.variables())
    with td.testing.assert_compiles(2):  # a step to train and one to evaluate
        run(named, td.optim.SGD(0.1), data=data, compile=sizes, epochs=1, validation_data=data)
    run(plain, td.optim.SGD(0.1), data=data, compile=False, epochs=1)
    for name, value in named.variables().items():
        np.testing.assert_allclose(value.numpy(), plain.variables()[name].numpy(), rtol=1e-6)
    with pytest.raises(ArgumentError, match="compile= names 'inputs'"):
        run(named, td.optim.SGD(0.1), data=data, compile={"inputs": ("n",)})
    with pytest.raises(ArgumentError, match="names for sizes"):
        run(named, td.optim.SGD(0.1), data=data, compile="yes")


def test_dropout_is_off_when_evaluating() -> None:
    model = td.nn.Dropout(0.5)
    x = np.ones((5, 3), np.float32)
    assert td.evaluate(model, (x, x), loss="mse") == {"loss": 0.0}
    np.testing.assert_array_equal(td.predict(model, x).numpy(), x)


def test_predict() -> None:
    x, _ = problem.data()
    model = problem.model()
    whole = model.init(x)(td.asarray(x)).numpy()
    for given in (x, td.asarray(x), [x[:100], x[100:]], x.astype(np.float64)):
        np.testing.assert_allclose(td.predict(model, given, batch_size=64).numpy(), whole, rtol=1e-5, atol=1e-6)

    class Two(td.nn.Module):
        def __call__(self, a: Any, b: Any) -> Any:
            return {"sum": a + b, "a": a}

    out = td.predict(Two(), (x, x), batch_size=64)
    np.testing.assert_array_equal(out["sum"].numpy(), 2 * x)


def test_float64_data_follows_the_model() -> None:
    x = np.linspace(-1, 1, 20)[:, None]
    model = td.nn.Dense(1)
    run(model, td.optim.SGD(0.1), data=(x, x), loss="mse")
    assert model.kernel.dtype is td.float32
    seen = []
    wide = td.nn.Dense(1, dtype="float64")
    run(
        wide,
        td.optim.SGD(0.1),
        data=(x, x),
        loss=lambda p, t: (seen.append((p.dtype, t.dtype)), td.losses.mse(p, t))[1],
    )
    assert set(seen) == {(td.float64, td.float64)}


def test_own_step() -> None:
    x, y = problem.data()
    model = problem.model().init(x)

    def step(model: Any, optimizer: Any, batch: Any) -> dict[str, Any]:
        def loss(model: Any) -> Any:
            prediction = model(batch["features"], training=True)
            return td.losses.sparse_categorical_crossentropy(prediction, batch["label"]), prediction

        (value, prediction), grads = td.value_and_grad(loss, has_aux=True)(model)
        optimizer.update(model, grads)
        return {"loss": value, "twice": 2 * value, "prediction": prediction, "target": batch["label"]}

    def check(model: Any, batch: Any) -> dict[str, Any]:
        return {"loss": td.losses.sparse_categorical_crossentropy(model(batch["features"]), batch["label"])}

    data = {"features": x, "label": y}
    history = td.fit(
        model,
        data,
        step=step,
        validation_step=check,
        validation_data=data,
        optimizer=td.optim.Adam(3e-2),
        metrics=["accuracy"],
        epochs=15,
        verbose=False,
    )
    assert history["twice"] == [2 * v for v in history["loss"]]
    assert history["accuracy"][-1] > history["accuracy"][0]
    assert history.last["val_loss"] < history["val_loss"][0]


# where a run goes on


class Stop(td.train.Callback):
    """Ends a run after a step, as a crash would, but for the checkpoint."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_batch_end(self, context: td.train.Context) -> None:
        if context.step == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("every", [1, 4, 7])
@pytest.mark.parametrize("at", [1, 9, 10, 11, 25])
def test_resumed_run_has_the_same_bits(tmp_path: Path, at: int, every: int) -> None:
    expected_model, expected_optimizer = problem.model(), td.optim.Adam(1e-2)
    expected = run(expected_model, expected_optimizer, metrics=["auc"], validation_split=0.2)
    checkpoint = td.train.Checkpoint(tmp_path, every_steps=every)
    with pytest.raises(KeyboardInterrupt):
        run(
            problem.model(), td.optim.Adam(1e-2), metrics=["auc"], validation_split=0.2, checkpoint=checkpoint,
            callbacks=[Stop(at if at < 24 else 23)],
        )  # fmt: skip
    # Another first draw: what the resumed run begins with must not matter.
    model, optimizer = problem.model(seed=99), td.optim.Adam(1e-2)
    history = run(model, optimizer, metrics=["auc"], validation_split=0.2, checkpoint=checkpoint)
    assert problem.bits(model, optimizer) == problem.bits(expected_model, expected_optimizer)
    assert history.rows == expected.rows
    assert history.steps == expected.steps


def test_a_model_without_parameters_yet_is_built_first(tmp_path: Path) -> None:
    def make() -> Any:
        return td.nn.Sequential([td.nn.Dense(4), td.nn.BatchNormalization(), td.nn.Dense(2)])

    whole, again = make(), make()
    run(whole, td.optim.Adam(1e-2), checkpoint=tmp_path)
    run(again, td.optim.Adam(1e-2), checkpoint=tmp_path)
    assert problem.bits(again) == problem.bits(whole)


def test_more_epochs_continue(tmp_path: Path) -> None:
    whole, model = problem.model(), problem.model()
    run(whole, td.optim.Adam(1e-2), epochs=4)
    run(model, td.optim.Adam(1e-2), epochs=2, checkpoint=tmp_path)
    again = problem.model(seed=5)
    history = run(again, td.optim.Adam(1e-2), epochs=4, checkpoint=tmp_path)
    assert problem.bits(again) == problem.bits(whole)
    assert len(history.rows) == 4
    finished = problem.model(seed=6)
    assert len(run(finished, td.optim.Adam(1e-2), epochs=4, checkpoint=tmp_path).rows) == 4
    assert problem.bits(finished) == problem.bits(whole)


def test_iterables_are_read_on_from_where_they_were(tmp_path: Path) -> None:
    x, y = problem.data()
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 150, 16)]
    read: list[int] = []

    def recorded(epoch: int) -> Any:
        for i, batch in enumerate(batches):
            read.append(100 * epoch + i)
            yield batch

    whole = problem.model()
    run(whole, td.optim.Adam(1e-2), data=batches)
    checkpoint = td.train.Checkpoint(tmp_path, every_steps=4)
    with pytest.raises(KeyboardInterrupt):
        run(problem.model(), td.optim.Adam(1e-2), data=recorded, checkpoint=checkpoint, callbacks=[Stop(15)])
    read.clear()
    model = problem.model(seed=1)
    run(model, td.optim.Adam(1e-2), data=recorded, checkpoint=checkpoint)
    assert problem.bits(model) == problem.bits(whole)
    assert read[0] == 0  # the first batch of all tells the shapes
    assert read[1:] == [*range(100, 110), *range(200, 210)]  # step 12 is inside of epoch 2: skipped forward


class Loader:
    """Batches that know where they are."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches
        self.at = 0
        self.given: list[int] = []

    def __iter__(self) -> Any:
        while self.at < len(self.batches):
            self.at += 1
            self.given.append(self.at)
            yield self.batches[self.at - 1]
        self.at = 0

    def state(self) -> dict[str, int]:
        return {"at": self.at}

    def restore(self, state: dict[str, int]) -> None:
        self.at = state["at"]


def test_loaders_lose_no_batch() -> None:
    x, y = problem.data()
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 150, 16)]
    for data in (Loader(batches), lambda epoch: batches, iter(batches)):
        model, plain = problem.model(), problem.model()
        run(model, td.optim.Adam(1e-2), data=data, epochs=1)
        run(plain, td.optim.Adam(1e-2), data=(x, y), epochs=1, shuffle=False)
        assert problem.bits(model) == problem.bits(plain)


def test_loaders_with_a_state_are_restored(tmp_path: Path) -> None:
    x, y = problem.data()
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 150, 16)]
    whole = problem.model()
    run(whole, td.optim.Adam(1e-2), data=Loader(batches))
    checkpoint = td.train.Checkpoint(tmp_path, every_steps=4)
    with pytest.raises(KeyboardInterrupt):
        run(problem.model(), td.optim.Adam(1e-2), data=Loader(batches), checkpoint=checkpoint, callbacks=[Stop(15)])
    model, loader = problem.model(seed=1), Loader(batches)
    run(model, td.optim.Adam(1e-2), data=loader, checkpoint=checkpoint)
    assert problem.bits(model) == problem.bits(whole)
    assert loader.given[0] == 1
    assert loader.given[1:] == [*range(3, 11), *range(1, 11)]


def test_an_iterator_serves_one_epoch() -> None:
    x, y = problem.data()
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 150, 16)]
    history = run(problem.model(), td.optim.SGD(0.1), data=iter(batches), epochs=1)
    assert len(history.steps) == 10
    with pytest.raises(ArgumentError, match="read only once, and epochs=2"):
        run(problem.model(), td.optim.SGD(0.1), data=iter(batches), epochs=2)


# ends


class Press(td.train.Callback):
    """Presses Ctrl-C in a step."""

    def __init__(self, at: int, times: int = 1) -> None:
        self.at, self.times = at, times

    def on_batch_begin(self, context: td.train.Context) -> None:
        if context.step == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as at a terminal: a run that was started in the background inherits that the signal is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("at", [0, 9, 12, 29])  # 9 and 29: the last step of an epoch, and of the run
def test_ctrl_c_saves_and_returns(tmp_path: Path, at: int) -> None:
    whole = problem.model()
    run(whole, td.optim.Adam(1e-2))
    model = problem.model()
    history = run(model, td.optim.Adam(1e-2), checkpoint=tmp_path, callbacks=[Press(at)])
    assert history.interrupted
    assert len(history.steps) == at + 1  # the step that was begun is finished
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = problem.model(seed=3)
    resumed = run(again, td.optim.Adam(1e-2), checkpoint=tmp_path)
    assert not resumed.interrupted
    assert len(resumed.rows) == 3
    assert problem.bits(again) == problem.bits(whole)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_twice_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(problem.model(), td.optim.Adam(1e-2), callbacks=[Press(2, times=2)])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def bad_data(row: int = 40) -> Any:
    x, y = problem.data()
    x = x.copy()
    x[row, 2] = np.nan
    return x, y


def test_nan_in_the_data_is_found(tmp_path: Path) -> None:
    model = problem.model()
    kept: list[Any] = []
    keep = td.train.LambdaCallback(on_batch_begin=lambda c: kept.append(problem.bits(model)))
    with pytest.raises(NonFiniteError) as caught:
        run(model, td.optim.Adam(1e-2), data=bad_data(), shuffle=False, callbacks=[keep], checkpoint=tmp_path)
    text = str(caught.value)
    for word in (
        "loss is nan",
        "epoch 1, batch 3 (step 3)",
        "learning rate        0.01",
        "x ",
        "1 NaN",
        "x itself has",
    ):
        assert word in text, text
    assert "gradients not finite 4 of 4: layers.0.kernel" in text
    assert "weights not finite   none of" in text
    assert "step-00000002" in text
    assert problem.bits(model) == kept[-1]


def test_growing_loss_asks_for_a_lower_rate() -> None:
    x = np.linspace(1, 2, 32)[:, None]
    model = td.nn.Dense(1)
    with pytest.raises(NonFiniteError, match=r"(?s)losses before .*had been growing.*\(0\.5\).*clip_by_global_norm"):
        run(model, td.optim.SGD(5.0), data=(x, x), loss="mse", epochs=100)
    assert all(np.isfinite(v.numpy()).all() for v in model.variables().values())


def test_gradient_that_is_not_finite_counts_too() -> None:
    model = td.nn.Dense(1, kernel_initializer="zeros", use_bias=False)
    x = np.ones((4, 1), np.float32)
    with pytest.raises(NonFiniteError, match=r"loss is 0, but its gradient is not finite(?s:.*)1 of 1: kernel"):
        run(model, td.optim.SGD(0.1), data=(x, x), loss=lambda p, t: td.mean(td.sqrt(p * 1.0)))
    assert model.kernel.item() == 0.0


@pytest.mark.parametrize(
    ("loss", "layer", "words"),
    [
        (lambda p, t: td.mean(td.log(p)), None, [r"prediction +f32\[4,2\]  all -1", "look in the loss for log"]),
        (lambda p, t: td.mean(td.sqrt(p * 0.0)), None, ["loss is 0, but its gradient", "slope that is infinite"]),
        (lambda p, t: td.mean(p), lambda x: td.exp(100 * abs(x)), ["8 infinite", "something in the model overflows"]),
    ],
    ids=["loss", "slope", "model"],
)
def test_what_to_look_at(loss: Any, layer: Any, words: list[str]) -> None:
    layers = [td.nn.Dense(2, use_bias=False, kernel_initializer="ones"), *([layer] if layer else [])]
    x = -np.ones((4, 1), np.float32)
    with pytest.raises(NonFiniteError) as caught:
        run(td.nn.Sequential(layers), td.optim.SGD(0.1), data=(x, x), loss=loss)
    for word in words:
        assert re.search(word, str(caught.value)), str(caught.value)


def test_nan_skip_and_ignore() -> None:
    model = problem.model()
    history = run(model, td.optim.Adam(1e-2), data=bad_data(), nan="skip", epochs=2)
    assert history.skipped == 2
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(v.numpy()).all() for v in model.parameters().values())
    ignored = run(problem.model(), td.optim.Adam(1e-2), data=bad_data(), nan="ignore")
    assert np.isnan(ignored.last["loss"])


def own_step(extra: Any, *, compiled: bool = False) -> Any:
    def step(model: Any, optimizer: Any, batch: Any) -> Any:
        x, y = batch
        loss, gradients = td.value_and_grad(lambda m: td.losses.mse(m(x), y) + extra(m))(model)
        optimizer.update(model, gradients)
        return {"loss": loss, "prediction": td.where(x > 0, x, -td.inf), "target": y}

    return td.compile(step) if compiled else step


@pytest.mark.parametrize("form", ["plain", "compiled", "op by op"])
def test_nan_check_of_a_step_of_ones_own(form: str) -> None:
    x = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]

    def train(extra: Any, **more: Any) -> Any:
        model = td.nn.Dense(1, input_size=1, kernel_initializer="ones")
        own = own_step(extra, compiled=form == "compiled")
        rest = {"epochs": 1, "batch_size": 4, "verbose": False, "compile": form != "op by op", "metrics": ["mae"]}
        optimizer = td.optim.SGD(0.1)
        history = td.fit(model, (x, x), step=own, optimizer=optimizer, **rest, **more)  # type: ignore[arg-type]
        return model, history

    def slope(m: Any) -> Any:
        return td.sqrt(m.kernel * 0.0).sum()  # has a derivative of 0 · inf

    with pytest.raises(NonFiniteError) as late:
        train(slope)
    for word in ("loss is nan in epoch 1, batch 2", "from before step 1, which spoilt them", "slope of this line"):
        assert word in str(late.value), str(late.value)
    with pytest.raises(NonFiniteError) as caught:
        train(slope, nan_check=True)
    for word in (
        "what the step assigns is not finite, kernel, in epoch 1, batch 1 (step 1)",
        "slope of this line",
        "The slope of a root",
        "from before this step",
    ):
        assert word in str(caught.value), str(caught.value)
    model, history = train(slope, nan_check=True, nan="skip")
    assert history.skipped == 2
    assert model.kernel.item() == 1.0
    model, _ = train(lambda m: 0.0 * m.kernel.sum(), nan_check=True)  # -inf among what metrics get is nobody's fault
    same, _ = train(lambda m: 0.0 * m.kernel.sum())
    assert model.kernel.item() == same.kernel.item()


def test_nan_check_of_an_update() -> None:
    x = np.linspace(1, 2, 8, dtype=np.float32)[:, None]
    more: dict[str, Any] = {"data": (x, -x), "loss": "mse", "epochs": 3}
    for nan_check, words in ((True, ["what the step assigns is not finite, kernel"]), (False, ["which spoilt them"])):
        model = td.nn.Dense(1, use_bias=False, kernel_initializer="ones")
        with pytest.raises(NonFiniteError) as caught:
            run(model, td.optim.SGD(3e38), **more, nan_check=nan_check)
        for word in (*words, "in the optimiser's update: `mul` made it", "too high a learning rate"):
            assert word in str(caught.value), str(caught.value)
        assert model.kernel.item() == 1.0
    model = td.nn.Dense(1, use_bias=False, kernel_initializer="ones")
    large = [td.nn.Parameter(td.full((2,), 3e38)) for _ in range(2)]  # their sum is infinite, and they are not
    model.large = large
    assert run(model, td.optim.SGD(0.0, weight_decay=1e-3), **more, nan_check=True).last["loss"] > 0
    with pytest.raises(ArgumentError, match='nan_check=True looks for NaN, and nan="ignore"'):
        run(problem.model(), td.optim.SGD(0.1), nan="ignore", nan_check=True)


def test_errors_of_model_and_loss_are_theirs() -> None:
    x, y = problem.data()
    with pytest.raises(ShapeError, match=r"\[16, 2\]"):
        run(problem.model(), td.optim.SGD(0.1), loss="mse")
    with pytest.raises(ShapeError, match="Dense"):
        run(td.nn.Dense(2, input_size=5), td.optim.SGD(0.1))
    with pytest.raises(DTypeError):
        run(problem.model(), td.optim.SGD(0.1), data=(x, y.astype(np.float32)))
    with pytest.raises(TraceError, match=r"td\.where"):
        run(problem.model(), td.optim.SGD(0.1), loss=lambda p, t: p.mean() if p.mean() > 0 else -p.mean())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epoch": 3}, ["td.fit has no argument 'epoch'", "Did you mean 'epochs'?"]),
        ({"validation_set": 3}, ["Did you mean 'validation_data'?"]),
        ({"loss": "sparse_crossentropy"}, ["no loss 'sparse_crossentropy'", "'sparse_categorical_crossentropy'"]),
        ({"loss": lambda model, x, y: 0}, ["(prediction, target)", "step=function(model, optimizer, batch)"]),
        ({"loss": lambda p, t: p}, ["take its mean"]),
        ({"loss": None}, ['loss="mse"']),
        ({"optimizer": None}, ["td.optim.Adam(1e-3)"]),
        ({"optimizer": "adm"}, ["no optimiser 'adm'", "'adam'"]),
        ({"optimizer": td.optim.Adam}, ["is a class: write td.optim.Adam(1e-3)"]),
        ({"metrics": ["acc"]}, ["no metric 'acc'"]),
        ({"nan": "stopp"}, ["'stop', 'skip', 'ignore'"]),
        ({"epochs": 1.5}, ["epochs=1.5"]),
        ({"batch_size": 0}, ["batch_size=0"]),
        ({"verbose": "loud"}, ["verbose='loud'"]),
        ({"callbacks": [td.train.EarlyStopping]}, ["write EarlyStopping(…)"]),
        ({"callbacks": [3]}, ["not 3"]),
        ({"validation_split": 1.5}, ["validation_split=1.5 of 150 rows"]),
        ({"validation_split": 0.5, "validation_data": problem.data()}, ["not both"]),
        ({"data": 3}, ["a tuple (x, y) of arrays", "not int"]),
        ({"data": []}, ["no batches"]),
        ({"data": [1, 2]}, ["a batch is (x, y)"]),
        ({"data": problem.data()[0]}, ["a batch is (x, y)"]),
        ({"step": print}, ["one of the two"]),
        (
            {"data": (*problem.data(), np.ones(150)), "loss": lambda p, t: p.mean()},
            ["does not take them", "weights=None"],
        ),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_arguments(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ArgumentError) as caught:
        run(problem.model(), **{"optimizer": td.optim.SGD(0.1), **options})
    for word in words:
        assert word in str(caught.value)


def test_models_that_are_none() -> None:
    with pytest.raises(ArgumentError, match=r"class: write Dense\(…\)"):
        run(td.nn.Dense, td.optim.SGD(0.1))
    with pytest.raises(ArgumentError, match="not function"):
        run(lambda x: x, td.optim.SGD(0.1))
    for function in (td.evaluate, td.predict):
        with pytest.raises(ArgumentError, match="Did you mean 'batch_size'"):
            function(td.nn.Dense(2), problem.data(), batchsize=3)
    with pytest.raises(ArgumentError, match="loss="):
        td.evaluate(td.nn.Dense(2), problem.data())


def test_lengths_that_differ() -> None:
    x, y = problem.data()
    with pytest.raises(ShapeError, match=r"x \[150, 4\], y \[149\]"):
        run(problem.model(), td.optim.SGD(0.1), data=(x, y[1:]))


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    run(problem.model(), td.optim.Adam(1e-2), epochs=1, checkpoint=tmp_path)
    with pytest.raises(ArgumentError, match=r"step-00000010, and resume=False"):
        run(problem.model(), td.optim.Adam(1e-2), checkpoint=tmp_path, resume=False)
    with pytest.raises(SaveError, match="nothing was loaded"):
        run(td.nn.Dense(2), td.optim.Adam(1e-2), checkpoint=tmp_path)


def test_a_position_needs_the_same_rows(tmp_path: Path) -> None:
    checkpoint = td.train.Checkpoint(tmp_path, every_steps=4)
    with pytest.raises(KeyboardInterrupt):
        run(problem.model(), td.optim.Adam(1e-2), checkpoint=checkpoint, callbacks=[Stop(6)])
    with pytest.raises(SaveError, match=r"inside of epoch 1.*batch_size was 16 and is 32"):
        run(problem.model(), td.optim.Adam(1e-2), checkpoint=checkpoint, batch_size=32)


def test_the_number_of_compiled_versions_is_bounded_by_the_buckets_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    lengths = np.concatenate([np.arange(1, 33)] * 3)
    rows = [(rng.integers(1, 9, n), np.float32(n)) for n in lengths]
    ds = td.data.from_items(rows)

    def fit(batches: Any) -> str:
        model = td.nn.Sequential(
            [td.nn.Embedding(9, 2, mask_zero=True), td.nn.GlobalAveragePooling1D(), td.nn.Dense(1), lambda x: x[:, 0]]
        )
        td.fit(model, batches, loss="mse", optimizer="adam", epochs=2, verbose="lines")
        return capsys.readouterr().out

    buckets = ds.shuffle().bucket_by_length([8, 16, 32], 8, length=0, ragged=[0], drop_last=True)
    with td.testing.assert_compiles(3):
        out = fit(buckets)
    assert out.count("compiled 3 times, for batches of different shapes: [8,") == 1
    assert all(shape in out for shape in ("[8, 8]", "[8, 16]", "[8, 32]"))
    with pytest.warns(RetraceWarning, match=r"in td.fit compile=.*bucket_by_length") as caught:
        out = fit(ds.shuffle().padded_batch(2, ragged=[0]))
    assert len(caught) == 2  # values and mask
    assert "The step was compiled" in out
    assert "compiled" not in fit(ds.shuffle().padded_batch(7, to=32, ragged=[0]))
