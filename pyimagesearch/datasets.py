"""Datasets: named images that can be read by row."""

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np

from pyimagesearch.images import unit_float
from pyimagesearch.pickles import load_plain

SPLITS = ("train", "test")
MNIST = Path(__file__).parent / "data" / "mnist.npz"
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


class ArrayDataset:
    """One split of images that lie in an array, with integer labels where they are known.

    Rows are numbered from 0, and a row's number is its id. Images are loaded when they are first
    asked for: a search needs the pictures of a few rows, but an index already holds all labels.
    """

    label_names = None

    def __init__(self, name, split="train", limit=None):
        """Open `name`, one of `BUILT_IN` or an .npz file; `limit` keeps its first rows only."""
        if split not in SPLITS:
            raise ValueError(f"expected the split train or test, received {split}")
        if name in BUILT_IN:
            self._load = BUILT_IN[name]
        elif name.endswith(".npz"):
            self._load, name = _load_npz, os.path.abspath(name)
        else:
            raise ValueError(
                f"unknown dataset {name}: expected {', '.join(BUILT_IN)}, an .npz file with "
                "x_train and x_test, or a folder"
            )
        self.name, self._split, self.limit = name, split, limit
        self._loading = None

    def prefetch(self):
        """Start loading the images in a thread, while the caller does something else."""
        self._loading = ThreadPoolExecutor(1).submit(self._load_images)

    @cached_property
    def images(self):
        """All images, (n, height, width, 1 or 3): uint8, or float in [0, 1]."""
        return self._load_images() if self._loading is None else self._loading.result()

    def _load_images(self):
        images = _as_images(self._load(self.name, self._split, "x"), self.name)[: self.limit]
        if self.labels is not None and len(self.labels) != len(images):
            raise ValueError(f"{self.name}: {len(self.labels)} labels for {len(images)} images")
        return images

    @cached_property
    def labels(self):
        """int64 (n,), or None when the source has no labels."""
        labels = self._load(self.name, self._split, "y")
        return None if labels is None else _as_labels(labels, self.name)[: self.limit]

    def split(self, validation=0.1, seed=0):
        """Return two datasets of at least one image each, a random part of them for validation.

        Raises ValueError when there is one image only.
        """
        order = np.random.default_rng(seed).permutation(len(self))
        if len(order) < 2:
            raise ValueError(f"{self.name} has 1 image: training needs 2, to validate on one")
        count = min(max(1, round(validation * len(order))), len(order) - 1)
        return self._part(np.sort(order[count:])), self._part(np.sort(order[:count]))

    def _part(self, rows):
        part = ArrayDataset(self.name, self._split, self.limit)
        part.images = self.images[rows]
        part.labels = None if self.labels is None else self.labels[rows]
        return part

    @property
    def location(self):
        """What `open_dataset` needs to open this again, as plain values."""
        return {"name": self.name, "split": self._split, "limit": self.limit}

    def test_images(self):
        """The dataset to draw queries from: the test split."""
        return ArrayDataset(self.name, "test")

    @property
    def ids(self):
        """The id of each row, in order."""
        return range(len(self))

    def random_rows(self, count, seed=None):
        """Return up to `count` random rows, without replacement; the same for the same seed."""
        return np.random.default_rng(seed).permutation(len(self))[:count].tolist()

    def rows_of(self, ids):
        """Return those of the ids, as text, that there are as {id: row}."""
        rows = {str(row): row for row in range(len(self))}
        return {id: rows[id] for id in ids if id in rows}

    def __len__(self):
        return len(self.images if self.labels is None else self.labels)

    def read(self, rows, spec):
        """Return the rows as float32 in [0, 1], shaped (len(rows), *spec.shape)."""
        images = self.images[rows]
        if images.shape[1:] == spec.shape:
            return unit_float(images)
        return np.stack([spec.prepare(image) for image in images])

    def read_good(self, rows, spec):
        """Return the rows, their images, and no rejects: what is in an array can be read."""
        return rows, self.read(rows, spec), []

    def picture(self, row, size=None):
        """Return one image as it is stored, whatever the `size` to show it at."""
        return self.images[row]


def open_dataset(name, split="train", limit=None):
    """Return the dataset called `name`: one of `BUILT_IN`, an .npz file, or a folder of pictures.

    A folder has no splits: `split` makes no difference to it.

    Raises ValueError or OSError, saying what to do, when it is unknown, malformed or missing.
    """
    if os.path.isdir(name):
        from pyimagesearch.folders import FolderDataset  # Pillow and threads, for folders only

        folder = FolderDataset(name)
        return folder if limit is None else folder.first(limit)
    return ArrayDataset(name, split, limit)


def same_images(a, b):
    """Whether row i of two datasets is the same image, for the rows that both have."""
    return {**a.location, "limit": None} == {**b.location, "limit": None}


def _as_images(images, name):
    """Check an array of images and give it a channel axis."""
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        raise ValueError(
            f"{name}: expected images of shape (n, height, width) or (n, height, width, 1 or 3), "
            f"received {images.shape}"
        )
    if images.dtype.kind not in "uf":
        raise ValueError(
            f"{name}: expected images of an unsigned or float type, received {images.dtype}"
        )
    # Written so that NaN fails too.
    if images.dtype.kind == "f" and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"{name}: expected float images in [0, 1], received [{images.min()}, {images.max()}]: "
            "scale them, or store them as uint8"
        )
    return images


def _as_labels(labels, name):
    if labels.dtype.kind not in "iu" or labels.size != len(labels):
        raise ValueError(
            f"{name}: expected one whole-number label an image, "
            f"received {labels.dtype} of shape {labels.shape}"
        )
    return labels.reshape(-1).astype(np.int64)


def _load_npz(path, split, kind):
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such dataset file: {path}")
    try:
        # Arrays of objects would need pickle, which can run code.
        with np.load(path, allow_pickle=False) as arrays:
            key = f"{kind}_{split}"
            if key in arrays:
                return arrays[key]
            if kind == "y":
                return None
            raise ValueError(f"it has no array {key}, only {', '.join(arrays) or 'none'}")
    except Exception as error:  # zip, zlib and NumPy each raise their own
        raise ValueError(f"cannot use {path} as an .npz dataset: {error}") from error


def _load_mnist(_, split, kind):
    return _load_npz(MNIST, split, kind)


def _load_fashion_mnist(name, split, kind):
    part = "train" if split == "train" else "t10k"
    file = f"{part}-images-idx3-ubyte.gz" if kind == "x" else f"{part}-labels-idx1-ubyte.gz"
    folder = _keras_datasets() / "fashion-mnist"
    if not (folder / file).is_file():
        if not (DEBIAN_FASHION_MNIST / file).is_file():
            _download(name, folder, "the four *-ubyte.gz files")
        else:
            folder = DEBIAN_FASHION_MNIST
    return read_idx(folder / file)


def _load_cifar10(name, split, kind):
    folder = _keras_datasets() / "cifar-10-batches-py-target" / "cifar-10-batches-py"
    names = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
    if not all((folder / file).is_file() for file in names):
        _download(name, folder, "data_batch_1 to 5 and test_batch")
    batches = [load_plain(folder / file, encoding="bytes") for file in names]
    if kind == "y":
        return np.concatenate([batch[b"labels"] for batch in batches])
    return (
        np.concatenate([batch[b"data"] for batch in batches])
        .reshape(-1, 3, 32, 32)
        .transpose(0, 2, 3, 1)
    )


BUILT_IN = {"mnist": _load_mnist, "fashion_mnist": _load_fashion_mnist, "cifar10": _load_cifar10}


def _keras_datasets():
    """Keras' download cache, found without importing Keras."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets"


def _download(name, folder, files):
    from pyimagesearch.backend import keras

    try:
        getattr(keras.datasets, name).load_data()
    except Exception as error:  # urllib's errors come wrapped in a bare Exception
        raise OSError(
            f"{name} is not on this machine and could not be downloaded ({error}); "
            f"put {files} into {folder}"
        ) from error


def read_idx(path):
    """Return the uint8 array of an IDX file, gzipped or not: the format of the original MNIST.

    Raises ValueError when the file is cut short or is something else.
    """
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read()
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}") from error
    # Two zero bytes, the type (8 is uint8), the number of axes, then each axis as big-endian int32.
    axes = data[3] if len(data) >= 4 else 0
    header = 4 + 4 * axes
    shape = tuple(np.frombuffer(data[4:header], ">u4").tolist()) if len(data) >= header else ()
    if data[:3] != b"\0\0\x08" or not shape or len(data) - header != np.prod(shape):
        raise ValueError(f"{path} is not a whole IDX file of bytes")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
