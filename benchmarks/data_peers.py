"""The data pipelines that `data_bench.py` compares, in treadle, PyTorch, tf.data, Grain and Hugging Face datasets.

    python data_peers.py PEER WORKLOAD FOLDER

waits for lines with the name of a variant, reads one epoch by it, and prints {"records": …, "seconds": …}. Each peer is
written as its documentation has it, and again as somebody would who knows how to make it fast; the fastest counts.
Needs NumPy and the peer's own packages alone, so that it runs in anybody's Python.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

BATCH, PICTURE_BATCH, SIZE = 128, 32, 224
BOUNDS = [32, 64, 96, 128]
COLUMNS = [f"f{i}" for i in range(20)]

Epoch = Callable[[], Iterable[Any]]  # an epoch's batches
Variants = dict[str, Epoch]


def arrays(folder: Path, *names: str) -> list[Any]:
    return [np.load(folder / f"{n}.npy") for n in names]


def sequences(folder: Path) -> list[Any]:
    values, lengths = arrays(folder, "tokens", "lengths")
    return np.split(values, np.cumsum(lengths)[:-1])


def to_float(x: Any) -> Any:
    return x.astype(np.float32) / 255


def read_table(what: str, folder: Path) -> tuple[Any, Any]:
    """(features, labels) of the CSV or Parquet file, by pandas."""
    import pandas

    table = (pandas.read_csv if what == "csv" else pandas.read_parquet)(folder / f"table.{what}")
    return table[COLUMNS].to_numpy(np.float32), table["y"].to_numpy()


def pictures(folder: Path) -> tuple[list[Path], list[int]]:
    paths = sorted((folder / "jpeg").rglob("*.jpg"))
    return paths, [int(p.parent.name) for p in paths]


def pixels(path: Path) -> Any:
    """A picture as it is, by the quickest decoder of JPEG that there is for NumPy (libjpeg-turbo)."""
    import simplejpeg

    return simplejpeg.decode_jpeg(path.read_bytes(), "RGB")


def decode(path: Path) -> Any:
    """A picture of one size."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels(path)).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def flip(x: Any, rng: Any) -> Any:
    if rng.random() >= 0.5:
        return x
    out = np.empty_like(x)
    for c in range(3):  # NumPy copies x[:, ::-1] in pieces of three bytes, which takes six times as long
        out[..., c] = x[:, ::-1, c]
    return out


def pad(rows: list[Any]) -> tuple[Any, Any]:
    lengths = np.array([len(v) for v in rows], np.int32)
    out = np.zeros((len(rows), lengths.max()), np.int32)
    for row, v in zip(out, rows, strict=True):
        row[: len(v)] = v
    return out, lengths


def treadle(what: str, folder: Path) -> Variants:
    import treadle as td

    def both(ds: Any) -> Variants:
        return {"alone": lambda: ds, "2 threads": partial(lambda d: d, ds.parallel(2))}

    if what == "images":
        ds = td.data.from_arrays(*arrays(folder, "images", "labels")).shuffle(0).batch(BATCH)
        return both(ds.map(lambda b: (to_float(b[0]), b[1])))
    if what in ("csv", "parquet"):
        read = td.data.from_csv if what == "csv" else td.data.from_parquet
        return {"alone": lambda: read(folder / f"table.{what}", y="y").shuffle(0).batch(BATCH)}
    if what == "jpeg":

        def augmented(**options: Any) -> Any:
            ds = td.data.from_images(folder / "jpeg", size=(SIZE, SIZE), **options).shuffle(0)
            return ds.map(lambda e, rng: (flip(e[0], rng), e[1]), seed=1).batch(PICTURE_BATCH)

        return {**both(augmented()), "2 threads, exact=False": partial(lambda d: d, augmented(exact=False).parallel(2))}
    if what == "ragged":
        ds = td.data.from_arrays(sequences(folder)).shuffle(0).bucket_by_length(BOUNDS, BATCH)
        return {"alone": lambda: ds}
    features = {"x": td.Spec((28, 28), td.uint8), "y": "int64"}
    return both(td.data.from_tfrecord(folder / "d.tfrecord", features).shuffle(0).batch(BATCH))


def torch(what: str, folder: Path) -> Variants:
    import torch as t
    from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, TensorDataset

    t.set_num_threads(1)

    class Mapped(Dataset):  # type: ignore[type-arg,misc]
        def __init__(self, n: int, get: Callable[[Any], Any]) -> None:
            self.n, self.get = n, get

        def __len__(self) -> int:
            return self.n

        def __getitem__(self, i: Any) -> Any:
            return self.get(i)

    def loaders(ds: Any, size: int = BATCH, **options: Any) -> Variants:
        alone = DataLoader(ds, batch_size=size, shuffle=True, **options)
        two = DataLoader(ds, batch_size=size, shuffle=True, num_workers=2, persistent_workers=True, **options)
        return {"alone": lambda: alone, "2 processes": lambda: two}

    def whole(ds: Any) -> Any:
        """Batches by one call each, as experts do for what can be indexed by a list."""
        return DataLoader(ds, sampler=BatchSampler(RandomSampler(ds), BATCH, False), batch_size=None)

    if what == "images":
        x, y = arrays(folder, "images", "labels")
        a, b = t.from_numpy(x), t.from_numpy(y)
        ds = Mapped(len(x), lambda i: (a[i].float() / 255, b[i]))
        return {**loaders(Mapped(len(x), lambda i: (to_float(x[i]), y[i]))), "whole batches": lambda: whole(ds)}
    if what in ("csv", "parquet"):

        def tensors() -> Any:
            return TensorDataset(*map(t.from_numpy, read_table(what, folder)))

        return {
            "pandas": lambda: DataLoader(tensors(), batch_size=BATCH, shuffle=True),
            "pandas, whole batches": lambda: whole(tensors()),
        }
    if what == "jpeg":
        paths, labels = pictures(folder)

        def by_pillow(path: Path) -> Any:
            return t.from_numpy(decode(path).copy())

        def by_torch(path: Path) -> Any:
            """PyTorch's own resizing, which for bytes is made of vector instructions."""
            x = t.from_numpy(pixels(path)).permute(2, 0, 1)[None]
            x = t.nn.functional.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True)
            return x[0].permute(1, 2, 0)

        def made(by: Callable[[Path], Any]) -> Any:
            def picture(i: int) -> Any:
                x = by(paths[i])
                return (x.flip(1) if t.rand(()) < 0.5 else x), labels[i]

            return Mapped(len(paths), picture)

        found = {
            "Pillow": loaders(made(by_pillow), PICTURE_BATCH),
            "interpolate": loaders(made(by_torch), PICTURE_BATCH),
        }
        return {f"{by}, {name}": variant for by, some in found.items() for name, variant in some.items()}
    if what == "ragged":
        # DataLoader has no buckets: each batch is padded to its longest, as its documentation's collate_fn does.
        data = [t.from_numpy(v) for v in sequences(folder)]

        def together(rows: Any) -> Any:
            padded = t.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            return padded, t.tensor([len(v) for v in rows])

        return loaders(Mapped(len(data), data.__getitem__), collate_fn=together)
    from tfrecord.torch.dataset import TFRecordDataset  # of the package tfrecord: PyTorch itself has no reader

    def image(element: Any) -> Any:
        return np.frombuffer(element["x"], np.uint8).reshape(28, 28), element["y"]

    ds = TFRecordDataset(
        str(folder / "d.tfrecord"), None, {"x": "byte", "y": "int"}, shuffle_queue_size=1000, transform=image
    )
    return {"package tfrecord": lambda: DataLoader(ds, batch_size=BATCH)}


def grain(what: str, folder: Path) -> Variants:
    import grain as g

    def variants(ds: Any, size: int = BATCH, finish: Any = None) -> Variants:
        ds = ds.batch(size) if finish is None else ds.batch(size, batch_fn=finish)
        alone = ds.to_iter_dataset(g.ReadOptions(num_threads=0, prefetch_buffer_size=0))
        two = ds.to_iter_dataset(g.ReadOptions(num_threads=2, prefetch_buffer_size=16))
        return {"alone": lambda: alone, "2 threads": lambda: two}

    def source(n: int, get: Callable[[int], Any]) -> Any:
        return g.MapDataset.range(n).seed(0).shuffle().map(get)

    if what == "images":
        x, y = arrays(folder, "images", "labels")
        return variants(source(len(x), lambda i: (to_float(x[i]), y[i])))
    if what in ("csv", "parquet"):

        def epoch() -> Iterable[Any]:
            x, y = read_table(what, folder)
            made: Iterable[Any] = variants(source(len(x), lambda i: (x[i], y[i])))["alone"]()
            return made

        return {"pandas": epoch}
    if what == "jpeg":
        paths, labels = pictures(folder)
        ds = source(len(paths), lambda i: (decode(paths[i]), labels[i]))
        return variants(ds.random_map(lambda e, rng: (flip(e[0], rng), e[1])), PICTURE_BATCH)
    if what == "ragged":
        data = sequences(folder)
        return variants(source(len(data), data.__getitem__), BATCH, pad)
    from tfrecord import example_pb2  # Grain reads the records, and leaves it to others to parse them

    def parse(record: bytes) -> Any:
        found = example_pb2.Example.FromString(record).features.feature
        x = np.frombuffer(found["x"].bytes_list.value[0], np.uint8).reshape(28, 28)
        return x, found["y"].int64_list.value[0]

    ds = g.experimental.TFRecordIterDataset(str(folder / "d.tfrecord"))
    ds = g.experimental.WindowShuffleIterDataset(ds, window_size=1000, seed=0).map(parse).batch(BATCH)
    return {"window shuffle, protobuf": lambda: ds}


def tf(what: str, folder: Path) -> Variants:
    import tensorflow as f

    auto = f.data.AUTOTUNE

    def variants(make: Callable[[], Any]) -> Variants:
        once = make().prefetch(auto)
        return {"AUTOTUNE": lambda: once}

    if what == "images":
        x, y = arrays(folder, "images", "labels")

        def scale(a: Any, b: Any) -> Any:
            return f.cast(a, f.float32) / 255, b

        def slices() -> Any:
            return f.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(BATCH).map(scale, auto)

        a, b = f.constant(x), f.constant(y)

        def gathered(i: Any) -> Any:
            return scale(f.gather(a, i), f.gather(b, i))

        whole = f.data.Dataset.range(len(x)).shuffle(len(x)).batch(BATCH).map(gathered, auto).prefetch(auto)
        return {**variants(slices), "whole batches": lambda: whole}

    def table() -> Any:
        x, y = map(f.constant, read_table(what, folder))
        ds = f.data.Dataset.range(len(x)).shuffle(len(x)).batch(BATCH)
        return ds.map(lambda i: (f.gather(x, i), f.gather(y, i)), auto).prefetch(auto)

    if what == "csv":
        names = [*COLUMNS, "y"]

        def read() -> Any:
            return f.data.experimental.make_csv_dataset(
                str(folder / "table.csv"), BATCH, column_names=names, label_name="y", num_epochs=1,
                shuffle_buffer_size=10_000, num_parallel_reads=2,
            )  # fmt: skip

        return {"make_csv_dataset": read, "pandas, whole batches": table}
    if what == "parquet":
        return {"pandas, whole batches": table}
    if what == "jpeg":
        paths, labels = pictures(folder)
        files = f.data.Dataset.from_tensor_slices(([str(p) for p in paths], labels)).shuffle(len(paths))

        def made(antialias: bool, **options: Any) -> Any:
            def picture(path: Any, label: Any) -> Any:
                image = f.io.decode_jpeg(f.io.read_file(path), 3, **options)
                image = f.cast(f.image.resize(image, (SIZE, SIZE), antialias=antialias), f.uint8)
                return f.image.random_flip_left_right(image), label

            return files.map(picture, auto).batch(PICTURE_BATCH).prefetch(auto)

        exact, rough = made(True), made(False, dct_method="INTEGER_FAST")
        return {"antialiased": lambda: exact, "not antialiased, INTEGER_FAST": lambda: rough}
    if what == "ragged":
        values, lengths = arrays(folder, "tokens", "lengths")
        ragged = f.RaggedTensor.from_row_lengths(values, lengths)

        def buckets() -> Any:
            ds = f.data.Dataset.range(len(lengths)).shuffle(len(lengths)).map(lambda i: ragged[i], auto)
            return ds.bucket_by_sequence_length(
                lambda v: f.shape(v)[0], [b + 1 for b in BOUNDS], [BATCH] * (len(BOUNDS) + 1)
            ).map(lambda v: (v, f.math.count_nonzero(v, 1)), auto)

        return variants(buckets)
    spec = {"x": f.io.FixedLenFeature((), f.string), "y": f.io.FixedLenFeature((), f.int64)}

    def parse(records: Any) -> Any:
        found = f.io.parse_example(records, spec)
        return f.reshape(f.io.decode_raw(found["x"], f.uint8), (-1, 28, 28)), found["y"]

    def records() -> Any:
        return f.data.TFRecordDataset(str(folder / "d.tfrecord")).shuffle(10_000).batch(BATCH).map(parse, auto)

    return variants(records)


def hf(what: str, folder: Path) -> Variants:
    import datasets as h

    h.disable_progress_bars()

    def reshuffled(ds: Any, size: int = BATCH) -> Variants:
        count = iter(range(1_000_000))

        def epoch() -> Iterable[Any]:
            made: Iterable[Any] = ds.shuffle(seed=next(count)).iter(size)
            return made

        return {"shuffle().iter()": epoch}

    if what == "images":
        x, y = arrays(folder, "images", "labels")
        ds = h.Dataset.from_dict({"x": x.reshape(len(x), -1), "y": y}).with_format("numpy")
        return reshuffled(ds.with_transform(lambda b: {"x": np.array(b["x"], np.float32) / 255, "y": np.array(b["y"])}))
    if what in ("csv", "parquet"):  # converted to Arrow before, once: that time does not count
        read = h.Dataset.from_csv if what == "csv" else h.Dataset.from_parquet
        return reshuffled(read(str(folder / f"table.{what}"), cache_dir=str(folder / "hf")).with_format("numpy"))
    if what == "jpeg":
        paths, labels = pictures(folder)
        rng = np.random.default_rng(0)

        def decoded(b: Any) -> Any:
            return {"x": np.stack([flip(decode(Path(p)), rng) for p in b["path"]]), "y": np.array(b["y"])}

        ds = h.Dataset.from_dict({"path": [str(p) for p in paths], "y": labels})
        return reshuffled(ds.with_transform(decoded), PICTURE_BATCH)
    if what == "ragged":
        values = h.Dataset.from_dict({"tokens": sequences(folder)}).with_format("numpy")
        return reshuffled(values.with_transform(lambda b: dict(zip("xn", pad([np.array(v) for v in b["tokens"]])))))  # noqa: B905
    return {}  # it has no reader of TFRecords


def size(batch: Any) -> int:
    """How many records a batch has."""
    while isinstance(batch, tuple | list | dict):
        batch = next(iter(batch.values())) if isinstance(batch, dict) else batch[0]
    return len(batch)


def versions(peer: str) -> str:
    from importlib.metadata import version

    pictures = ["pillow", "simplejpeg"]
    names = {
        "treadle": ["treadle", "pyarrow", "simplejpeg"],
        "torch": ["torch", "pandas", *pictures, "tfrecord"],
        "tf": ["tensorflow_cpu", "pandas"],
        "grain": ["grain", "pandas", *pictures, "protobuf"],
        "hf": ["datasets", "pyarrow", *pictures],
    }
    return ", ".join(f"{n} {version(n)}" for n in names[peer])


def main() -> None:
    peer, what, folder = sys.argv[1:4]
    variants = globals()[peer](what, Path(folder))
    print(json.dumps({"variants": list(variants), "versions": versions(peer)}), flush=True)
    for line in io.TextIOWrapper(sys.stdin.buffer):
        begun = time.perf_counter()
        records = sum(size(b) for b in variants[line.strip()]())
        print(json.dumps({"records": records, "seconds": time.perf_counter() - begun}), flush=True)


if __name__ == "__main__":
    main()
