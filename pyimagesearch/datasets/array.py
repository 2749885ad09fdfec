"""Datasets: named images that can be read by row."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np

from pyimagesearch.datasets.builtin import BUILT_IN, load_npz
from pyimagesearch.datasets.transforms import unit_float

SPLITS = ("train", "test")


class ArrayDataset:
    """One split of images that lie in an array, with integer labels where they are known.

    Rows are numbered from 0, and a row's number is its id. Images are loaded when they are first
    asked for: a search needs the pictures of a few rows, but an index already holds all labels.
    """

    label_names = None
    reader_threads = 0  # for Keras' PyDataset: reading an array needs none

    def __init__(self, name, split="train", limit=None):
        """Open `name`, one of `BUILT_IN` or an .npz file; `limit` keeps its first rows only."""
        if split not in SPLITS:
            raise ValueError(f"expected the split train or test, received {split}")
        if name in BUILT_IN:
            self._load = BUILT_IN[name]
        elif name.endswith(".npz"):
            self._load, name = load_npz, os.path.abspath(name)
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
    def source(self):
        """What `open_dataset` needs to open this again, as plain values."""
        return {"name": self.name, "split": self._split, "limit": self.limit}

    def test_images(self):
        """The dataset to draw queries from: the test split."""
        return ArrayDataset(self.name, "test")

    def test_split(self, limit=None):
        """Return the dataset of the test images, or the first `limit` of them."""
        return ArrayDataset(self.name, "test", limit)

    @property
    def default_shape(self):
        """The (height, width, channels) of the images."""
        return self.images.shape[1:]

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
        """Return the rows, their images, and no unreadable files."""
        return rows, self.read(rows, spec), []

    def picture(self, row, size=None):
        """Return one image as it is stored, whatever the `size` to show it at."""
        return self.images[row]


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


def same_images(a, b):
    """Whether row i of two datasets is the same image, for the rows that both have."""
    return {**a.source, "limit": None} == {**b.source, "limit": None}
