"""save and load: what a file holds, and what is said when it does not fit."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import treadle as td
from treadle.core.errors import ArgumentError, BuildError, SaveError
from treadle.train import _files


def small(*units: int, rows: int = 3) -> Any:
    return td.nn.Sequential([td.nn.Dense(n) for n in units]).init(("batch", rows))


def values(model: Any) -> dict[str, Any]:
    return {k: v.tolist() for k, v in model.variables().items()}


DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["bfloat16", "float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES + FLOATS)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_every_dtype_keeps_its_bits(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    target = getattr(td, dtype).numpy
    raw = (
        rng.integers(0, 2, shape) if dtype == "bool" else rng.integers(0, 100, shape) * (1.7 if dtype in FLOATS else 1)
    )
    x = td.asarray(np.asarray(raw).astype(target))
    path = td.save({"x": x}, tmp_path / "x.safetensors")
    found = td.load(path)["x"]
    assert found.spec == x.spec
    assert found.numpy().tobytes() == x.numpy().tobytes()
    with safetensors.safe_open(path, "np") as f:  # the package itself reads the file
        assert f.keys() == ["x"]


def test_others_read_it_and_we_read_theirs(tmp_path: Path) -> None:
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    td.save({"a": a.T, "b": a[:, ::2]}, tmp_path / "a")  # arrays that do not lie in order
    found = safetensors.numpy.load_file(tmp_path / "a")
    np.testing.assert_array_equal(found["a"], a.T)
    np.testing.assert_array_equal(found["b"], a[:, ::2])
    safetensors.numpy.save_file({"w": a.astype(ml_dtypes.bfloat16), "n": np.array([1, 2])}, tmp_path / "theirs")
    theirs = td.load(tmp_path / "theirs")
    assert {k: str(v.spec) for k, v in theirs.items()} == {"w": "bf16[2,3]", "n": "i64[2]"}
    with safetensors.safe_open(tmp_path / "a", "np") as f:
        assert json.loads(f.metadata()["treadle"])["version"] == td.__version__


def test_a_model_comes_back(tmp_path: Path) -> None:
    model = td.nn.Sequential([td.nn.Dense(4), td.nn.BatchNormalization(), td.nn.Dropout(0.5)]).init(("batch", 3))
    model(td.ones((5, 3)), training=True)  # states that are not the first ones
    path = td.save(model, tmp_path / "m")
    other = td.nn.Sequential([td.nn.Dense(4), td.nn.BatchNormalization(), td.nn.Dropout(0.5)]).init(("batch", 3))
    report = td.load(path, into=other)
    assert report.complete
    assert set(report.matched) == set(model.variables())
    assert values(other) == values(model)


def test_an_optimiser_comes_back(tmp_path: Path) -> None:
    model, optimizer = small(2), td.optim.Adam(0.01)
    optimizer.update(model, {k: td.ones_like(v) for k, v in model.parameters().items()})
    path = td.save(optimizer, tmp_path / "o")
    other = td.optim.Adam(0.5)
    other.init(model)
    td.load(path, into=other)
    assert values(other) == values(optimizer)


def test_weights_move_to_a_model_built_differently(tmp_path: Path) -> None:
    class Encoder(td.nn.Module):
        def __init__(self) -> None:
            self.first, self.second = td.nn.Dense(4), td.nn.Dense(2)

        def __call__(self, x: Any) -> Any:
            return self.second(td.tanh(self.first(x)))

    class Training(td.nn.Module):
        def __init__(self) -> None:
            self.encoder, self.decoder = Encoder(), td.nn.Dense(3)

        def __call__(self, x: Any) -> Any:
            return self.decoder(self.encoder(x))

    trained = Training().init(("batch", 3))
    path = td.save(trained, tmp_path / "training")
    deployed = td.nn.Sequential([td.nn.Dense(4), td.tanh, td.nn.Dense(2)]).init(("batch", 3))
    x = td.ones((2, 3))
    expected = trained.encoder(x).tolist()
    rename = {"encoder.first": "layers.0", "encoder.second.*": "layers.2.*"}
    report = td.load(path, into=deployed, rename=rename, strict=False)
    assert deployed(x).tolist() == expected
    assert list(report.unexpected) == ["decoder.bias", "decoder.kernel"]
    assert "decoder.kernel" in str(report)
    assert "not in the model" in str(report)

    again = td.nn.Sequential([td.nn.Dense(4), td.tanh, td.nn.Dense(2)]).init(("batch", 3))
    regular = [(r"^encoder\.first\.", "layers.0."), (r"^encoder\.second\.", "layers.2.")]
    td.load(path, into=again, rename=regular, strict=False)
    assert values(again) == values(deployed)


def test_strict_lists_names_shapes_and_the_nearest(tmp_path: Path) -> None:
    class Net(td.nn.Module):
        def __init__(self, name: str) -> None:
            setattr(self, name, td.nn.Dense(2))
            self.head = td.nn.Dense(1)
            self.called = name

        def __call__(self, x: Any) -> Any:
            return self.head(getattr(self, self.called)(x))

    path = td.save(Net("encoder").init(("batch", 3)), tmp_path / "w.safetensors")
    target = Net("enc0der").init(("batch", 3))
    before = values(target)
    with pytest.raises(SaveError) as caught:
        td.load(path, into=target)
    text = str(caught.value)
    for words in (
        "does not fit Net; nothing was loaded",
        "2 tensors of the model not in the file",
        "enc0der.kernel f32[3,2]   nearest in the file: encoder.kernel f32[3,2]",
        "2 tensors of the file not in the model",
        'rename={"encoder": "enc0der"}',
        "strict=False",
    ):
        assert words in text, text
    assert values(target) == before
    assert td.load(path, into=target, rename={"encoder": "enc0der"}).complete


def test_shapes_are_checked_before_anything_is_assigned(tmp_path: Path) -> None:
    path = td.save(small(4, 2), tmp_path / "w")
    target = small(4, 5)
    before = values(target)
    with pytest.raises(SaveError, match=r"layers\.1\.kernel: the model has f32\[4,5\], the file has f32\[4,2\]"):
        td.load(path, into=target)
    assert values(target) == before
    report = td.load(path, into=target, strict=False)
    assert set(report.matched) == {"layers.0.kernel", "layers.0.bias"}
    assert set(report.mismatched) == {"layers.1.kernel", "layers.1.bias"}
    assert "2 loaded, 2 with another shape or dtype" in str(report)
    assert values(target)["layers.1.kernel"] == before["layers.1.kernel"]
    assert values(target)["layers.0.kernel"] != before["layers.0.kernel"]


def test_dtypes(tmp_path: Path) -> None:
    wide = td.nn.Dense(2, dtype="float64").init(("batch", 3))
    path = td.save(wide, tmp_path / "w")
    narrow = td.nn.Dense(2).init(("batch", 3))
    with pytest.raises(
        SaveError, match=r'(?s)kernel: the model has f32\[3,2\], the file has f64\[3,2\].*dtype="model"'
    ):
        td.load(path, into=narrow)
    td.load(path, into=narrow, dtype="model")
    np.testing.assert_array_equal(narrow.kernel.numpy(), wide.kernel.numpy().astype(np.float32))
    assert td.load(path, dtype=td.bfloat16)["kernel"].dtype is td.bfloat16
    with pytest.raises(ArgumentError, match="a model keeps its dtypes"):
        td.load(path, into=narrow, dtype=td.float64)
    with pytest.raises(ArgumentError, match="floating"):
        td.load(path, dtype=td.int32)


def test_only_and_skip(tmp_path: Path) -> None:
    source, target = small(4, 2), small(4, 2)
    path = td.save(source, tmp_path / "w")
    before = values(target)
    report = td.load(path, into=target, skip="layers.1")
    assert report.complete
    assert report.skipped == ["layers.1.kernel", "layers.1.bias"]
    assert values(target)["layers.1.kernel"] == before["layers.1.kernel"]
    assert values(target)["layers.0.kernel"] == values(source)["layers.0.kernel"]
    td.load(path, into=target, only=["*.kernel"])
    assert values(target)["layers.1.kernel"] == values(source)["layers.1.kernel"]
    assert values(target)["layers.1.bias"] == before["layers.1.bias"]
    td.save(source, tmp_path / "part", only="layers.0")
    assert list(td.load(tmp_path / "part")) == ["layers.0.bias", "layers.0.kernel"]
    assert list(td.load(path, only="*.1.*", skip="*.bias")) == ["layers.1.kernel"]
    with pytest.raises(SaveError, match=r"only='layers\.7' fits none of its 4 tensors"):
        td.save(source, tmp_path / "part", only="layers.7")


def test_rename_mistakes(tmp_path: Path) -> None:
    model = small(4, 2)
    path = td.save(model, tmp_path / "w")
    with pytest.raises(SaveError, match=r"(?s)Patterns of rename= that fit no name.*'encoder\.\*'"):
        td.load(path, into=model, rename={"encoder.*": "layers.*"})
    with pytest.raises(SaveError, match="the same name, x"):
        td.load(path, rename={"*.bias": "x"})
    with pytest.raises(ArgumentError, match=r"more \* than"):
        td.load(path, rename={"layers.*": "*.a.*"})
    with pytest.raises(ArgumentError, match="no regular expression"):
        td.load(path, rename=[("(", "x")])
    assert set(td.load(path, rename={"*": "model.*"})) == {f"model.{k}" for k in model.variables()}
    assert set(td.load(path, rename={"layers.*.*": "*/*"})) == {"0/kernel", "0/bias", "1/kernel", "1/bias"}


def test_unbuilt_models(tmp_path: Path) -> None:
    def make() -> Any:
        return td.nn.Sequential([td.nn.Dense(4), td.nn.Dense(2)])

    with pytest.raises(BuildError, match=r"td\.save.*layers\.0 \(Dense\)"):
        td.save(make(), tmp_path / "w")
    path = td.save(make().init(("batch", 3)), tmp_path / "w")
    for example in (td.Spec((1, 3), td.float32), td.ones((1, 3)), np.ones((1, 3), np.float32), (1, 3), ("batch", 3)):
        assert td.load(path, into=make(), example=example).complete
    longer = td.nn.Sequential([td.nn.Dense(4), td.nn.Dense(2), td.nn.Dense(7)])
    with pytest.raises(BuildError, match=r"(?s)td\.load.*layers\.2 \(Dense\).*example=td\.Spec"):
        td.load(path, into=longer, strict=False)
    report = td.load(path, into=longer, strict=False, example=(1, 3))
    assert (len(report.matched), list(report.missing)) == (4, ["layers.2.kernel", "layers.2.bias"])


class Odd(td.nn.Module):
    """A parameter for each element of the input, and a layer inside."""

    def __init__(self) -> None:
        self.inner = td.nn.Dense(2)

    def build(self, x: Any) -> None:
        self.gain = td.nn.Parameter(td.ones(x.shape[1:]))

    def __call__(self, x: Any) -> Any:
        return self.inner(x * self.gain)


LAYERS = [
    (lambda: td.nn.Dense(4, use_bias=False), (2, 3)),
    (lambda: td.nn.Conv1D(4, 3), (2, 8, 3)),
    (lambda: td.nn.Conv2D(8, 3, groups=4), (2, 8, 8, 12)),
    (lambda: td.nn.Conv2D(5, (2, 3), data_format="channels_first"), (2, 4, 8, 8)),
    (lambda: td.nn.Conv3D(4, 2), (2, 4, 4, 4, 2)),
    (lambda: td.nn.Conv2DTranspose(4, 3), (2, 8, 8, 3)),
    (lambda: td.nn.DepthwiseConv2D(3, depth_multiplier=2), (2, 8, 8, 3)),
    (lambda: td.nn.BatchNormalization(), (2, 8, 8, 3)),
    (lambda: td.nn.BatchNormalization(axis=1), (2, 3, 8, 8)),
    (lambda: td.nn.LayerNormalization(axis=(1, 2)), (2, 5, 4)),
    (lambda: td.nn.GroupNormalization(2), (2, 8, 6)),
    (lambda: td.nn.Embedding(7, 3), (2, 4)),
    (lambda: td.nn.PReLU(), (2, 4, 5)),
    (Odd, (2, 4, 5)),
]


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=lambda v: str(v) if isinstance(v, tuple) else "")
def test_unbuilt_models_are_built_from_the_shapes_in_the_file(
    tmp_path: Path, make: Any, shape: tuple[int, ...]
) -> None:
    integers = isinstance(make(), td.nn.Embedding)
    x = td.asarray(np.random.default_rng(0).integers(0, 7, shape)) if integers else td.ones(shape)
    first = td.nn.Sequential([make(), td.tanh])
    expected = first(x)
    path = td.save(first, tmp_path / "w")
    second = td.nn.Sequential([make(), td.tanh])
    draws = td.random.default_stream().variables()
    assert td.load(path, into=second).complete
    assert values(second) == values(first)
    assert second(x).tolist() == expected.tolist()
    assert {k: v.tolist() for k, v in td.random.default_stream().variables().items()} == {
        k: v.tolist() for k, v in draws.items()
    }


def test_a_layer_that_notes_more_than_parameters_needs_an_example(tmp_path: Path) -> None:
    class Noting(td.nn.Module):
        def build(self, x: Any) -> None:
            self.rank = x.ndim
            self.gain = td.nn.Parameter(td.ones(x.shape[-1:]))

        def __call__(self, x: Any) -> Any:
            return x * self.gain

    path = td.save(Noting().init((2, 4, 3)), tmp_path / "w")
    with pytest.raises(BuildError, match="example="):
        td.load(path, into=Noting())
    model = Noting()
    td.load(path, into=model, example=(2, 4, 3))
    assert model.rank == 3


@pytest.mark.parametrize("cut", [0, 5, 100, -1])
def test_damaged_files(tmp_path: Path, cut: int) -> None:
    path = td.save(small(4, 2), tmp_path / "w")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SaveError, match="no safetensors file, or is damaged"):
        td.load(path)


def test_a_header_that_promises_too_much(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 16)
    with pytest.raises(SaveError, match="damaged"):
        td.load(tmp_path / "w")


def test_newer_formats_and_missing_files(tmp_path: Path) -> None:
    noted = {"treadle": json.dumps({"version": "99.0", "format": 99})}
    safetensors.numpy.save_file({"w": np.ones(2)}, tmp_path / "w", noted)
    with pytest.raises(SaveError, match=r"treadle 99\.0 in format 99.*Update treadle"):
        td.load(tmp_path / "w")
    with pytest.raises(SaveError, match="cannot be read"):
        td.load(tmp_path / "nothing")
    with pytest.raises(SaveError, match="without complete checkpoints"):
        td.load(tmp_path)
    with pytest.raises(SaveError, match="has no tensors"):
        td.save({}, tmp_path / "w")
    with pytest.raises(ArgumentError, match="not list"):
        td.save([1], tmp_path / "w")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="takes a module"):
        td.load(td.save(small(1), tmp_path / "v"), into={})  # type: ignore[arg-type]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = small(4, 2)
    path = td.save(first, tmp_path / "w")

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(SaveError, match="No space left"):
            td.save(small(4, 2), path)
    assert td.load(path, into=small(4, 2)).complete
    assert td.load(path)["layers.0.kernel"].tolist() == values(first)["layers.0.kernel"]
    assert [p.name for p in tmp_path.iterdir()] == ["w"]


def test_state_trees() -> None:
    arrays: dict[str, Any] = {}
    tree = {"a": [1, 2.5, None, True, "x"], "b": {"w": np.ones(2), "t": td.ones(3)}, "c": np.float64(0.1), "d": ()}
    json_tree = json.loads(json.dumps(_files.split_arrays(tree, arrays)))
    assert set(arrays) == {"/b/w", "/b/t"}
    back = _files.join_arrays(json_tree, arrays)
    assert back["a"] == [1, 2.5, None, True, "x"]
    assert (back["c"], back["d"]) == (0.1, [])
    np.testing.assert_array_equal(back["b"]["t"], np.ones(3))
    for wrong in ({1: 2}, {"x": object()}):
        with pytest.raises(SaveError, match="cannot be saved"):
            _files.split_arrays(wrong, {})
