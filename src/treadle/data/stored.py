"""Datasets of arrays in files."""

from __future__ import annotations

from treadle.core.errors import ArgumentError, DataError
from treadle.data._files import Paths, check_on_error, extra, find, with_errors
from treadle.data._gathered import Concatenate
from treadle.data._stored import HDF5, MappedFiles
from treadle.data.dataset import IndexedDataset


def from_numpy_files(paths: Paths | None = None, /, *, on_error: str = "raise", **named: Paths) -> IndexedDataset:
    """Rows of .npy files, which are mapped into memory: only what is asked for is read.

    Args:
        paths: a name, glob, URL (fsspec), or list: files one after another. Remote and compressed ones are read whole,
            into memory.
        named: the same for each leaf of the elements; the k-th files of all belong together.
        on_error: "raise", or "skip": leave out files that cannot be read, with those that belong to them; `skipped`
            counts these groups of files.

    Raises:
        DataError: no such file, one that is damaged or holds Python objects.
        ArgumentError: different numbers of files.
        ShapeError: files that belong together have different lengths.

    >>> np.save("x.npy", np.eye(3)), np.save("y.npy", np.arange(3))
    (None, None)
    >>> td.data.from_numpy_files(x="x.npy", y="y.npy").batch(2)[1]
    {'x': array([[0., 0., 1.]]), 'y': array([2])}
    """
    if (paths is None) == (not named):
        raise ArgumentError("from_numpy_files takes files, or named files: from_numpy_files(x=…, y=…)")
    given = {"": paths} if paths is not None else dict(named)
    files = {name: find(p, "from_numpy_files") for name, p in given.items() if p is not None}
    counts = {name: len(f) for name, f in files.items()}
    if len(set(counts.values())) > 1:
        raise ArgumentError(f"from_numpy_files: as many files of each are needed, and there are {counts}")
    check_on_error(on_error, "from_numpy_files")
    nodes: list[MappedFiles] = []
    skipped = 0
    for shard in zip(*files.values(), strict=True):
        try:
            nodes.append(MappedFiles(list(files), [[f] for f in shard]))
        except DataError:
            skipped += 1
            if on_error == "raise" or (skipped == min(counts.values())):
                raise  # also where none can be read: nothing would be known of the elements
    nodes[0].skipped = skipped
    return IndexedDataset(nodes[0] if len(nodes) == 1 else Concatenate(nodes))


def from_hdf5(paths: Paths, name: str | None = None, /, *, on_error: str = "raise", **named: str) -> IndexedDataset:
    """Rows of datasets in HDF5 files; only what is asked for is read.

    Args:
        paths: a name, glob, URL (fsspec), or list of them: files one after another, with the same datasets.
        name: the path of one dataset in the file.
        named: the paths of several, by the elements' leaves: `from_hdf5("d.h5", x="images", y="labels")`.
        on_error: "raise", or "skip": leave out rows of damaged chunks, and files that cannot be opened; `skipped`
            counts them (a file as one).

    Raises:
        DataError: no such file; when it is read, a damaged one.
        ArgumentError (when it is read): no such dataset.
        MissingExtraError: h5py is not installed.

    >>> import h5py
    >>> with h5py.File("d.h5", "w") as f:
    ...     f["images"], f["labels"] = np.zeros((3, 2, 2)), np.arange(3)
    >>> td.data.from_hdf5("d.h5", x="images", y="labels")[2]["y"]
    np.int64(2)
    """
    extra("h5py", "from_hdf5")
    if (name is None) == (not named):
        raise ArgumentError('from_hdf5 takes one dataset or named ones: from_hdf5(path, x="images", y="labels")')
    wanted = {"": name} if name is not None else named
    nodes = [HDF5(file, wanted, on_error == "skip") for file in find(paths, "from_hdf5")]
    node = nodes[0] if len(nodes) == 1 else Concatenate(nodes)
    return IndexedDataset(with_errors(node, on_error, "from_hdf5"))
