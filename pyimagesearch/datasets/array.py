"""Images in arrays: the built-in datasets and .npz files."""

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import numpy as np

from pyimagesearch.arrays import AnyArray, Floats, Labels, Rows, Size
from pyimagesearch.datasets.builtin import BUILT_IN, Loader, load_npz, npz_digest
from pyimagesearch.datasets.dataset import Batch, Dataset, RowIds
from pyimagesearch.files import require_regular
from pyimagesearch.pictures.input_spec import InputSpec, unit_float
from pyimagesearch.suggestions import did_you_mean, did_you_mean_file

logger = logging.getLogger(__name__)

SPLITS = ("train", "test")
ROWS_PER_BATCH = 256


class ArrayDataset(Dataset):
    """One split of images in an array, with integer labels where they are known.

    The id of a row is its number as text. Images are loaded when they are first needed: a search
    shows a few of them, and an index already holds all labels. The `source` of an .npz file has the
    `digest` of its images, because row numbers do not identify the images of a rewritten file.
    """

    def __init__(
        self, name: str, split: str = "train", limit: int | None = None, digest: str | None = None
    ) -> None:
        """Open `name`, one of `BUILT_IN` or an .npz file; `limit` keeps its first rows only.

        Raises ValueError when an .npz file has other images than those of the `digest`.
        """
        if split not in SPLITS:
            raise ValueError(f"expected the split train or test, received {split}")
        self._load: Loader
        if name in BUILT_IN:
            self._load = BUILT_IN[name]
        elif name.endswith(".npz"):
            require_regular(name)
            self._load = load_npz
            name = os.path.abspath(name)
        else:
            problem = "no such folder:" if os.sep in name else "unknown dataset"
            suggestion = ""
            if os.path.isdir(name):  # for the images of an index, which are of an array
                problem = "a folder, not an array:"
            elif os.path.exists(name):
                problem = "a file, not a folder:"
            else:
                suggestion = did_you_mean(name, BUILT_IN) or did_you_mean_file(name)
            raise ValueError(
                f"{problem} {name}: expected {', '.join(BUILT_IN)}, an .npz file with "
                f"x_train and x_test, or a folder{suggestion}"
            )
        self.source = {"name": name, "split": split, "limit": limit}
        if self._load is load_npz and (found := npz_digest(name, split)):
            if digest not in (None, found):
                raise ValueError(
                    f"the images of {name} have changed since they were indexed: index them again"
                )
            self.source["digest"] = found
        self.unreadable = {}
        self._loading: Future[AnyArray] | None = None

    def prefetch(self) -> None:
        """Start loading the images in a thread, while the caller does something else."""
        self._loading = ThreadPoolExecutor(1).submit(self._load_images)

    @cached_property
    def images(self) -> AnyArray:
        """All images, (n, height, width, 1 or 3): uint8, or floats in [0, 1]."""
        if self._loading is None:
            return self._load_images()
        return self._loading.result()

    def _load_images(self) -> AnyArray:
        name = self.source["name"]
        limit = self.source["limit"]
        images = _as_images(self._load(name, self.source["split"], "x"), name)
        if images.dtype == bool:
            images = images * np.uint8(255)
        elif images.dtype.kind in "iu" and images.dtype != np.uint8:
            images = self._scaled(images)
        images = images[:limit]
        if self.labels is not None and len(self.labels) != len(images):
            raise ValueError(f"{name}: {len(self.labels)} labels for {len(images)} images")
        return images

    def _scaled(self, images: AnyArray) -> Floats:
        """Return integers as float32 in [0, 1], scaled by the range of those of both splits."""
        from pyimagesearch.pictures.pixels import integer_range, scaled  # rarely needed

        name = self.source["name"]
        found = [int(images.min()), int(images.max())]
        with contextlib.suppress(ValueError):  # there may be one split only
            [other] = set(SPLITS) - {self.source["split"]}
            images_of_other = self._load(name, other, "x")
            if images_of_other is not None and images_of_other.dtype.kind in "iu":
                found += [int(images_of_other.min()), int(images_of_other.max())]
        info = np.iinfo(images.dtype)
        extremes = np.array(found, object)
        first, last = integer_range(extremes, info.bits, info.kind == "i", range(8, 65, 2))
        if (first, last) != (info.min, info.max):
            logger.warning(
                f"{name}: its {info.dtype} images hold {extremes.min():,} to {extremes.max():,}: "
                f"{first:,} is read as black and {last:,} as white"
            )
        return scaled(images[: self.source["limit"]], first, last)

    @cached_property
    def labels(self) -> Labels | None:
        """int64 (n,), or None when the source has no labels."""
        name = self.source["name"]
        labels = self._load(name, self.source["split"], "y")
        if labels is None:
            return None
        return _as_labels(labels, name)[: self.source["limit"]]

    @cached_property
    def ids(self) -> Sequence[str]:
        """The id of each row, in order."""
        return RowIds(len(self.images if self.labels is None else self.labels))

    @property
    def default_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) to train with unless others are asked for: the images' own."""
        return self.images.shape[1:]

    def test_split(self, limit: int | None = None) -> "ArrayDataset | None":
        """Return the dataset of test images, or None for an .npz file that has none."""
        if self._load is load_npz and npz_digest(self.source["name"], "test") is None:
            return None
        return ArrayDataset(self.source["name"], "test", limit)

    def split(self, validation: float = 0.1, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Return two datasets of at least one image each, a random part of them for validation.

        Raises ValueError when there is one image only.
        """
        order = np.random.default_rng(seed).permutation(len(self))
        if len(order) < 2:
            name = self.source["name"]
            raise ValueError(f"{name} has 1 image: training needs 2, to validate on one")
        count = min(max(1, round(validation * len(order))), len(order) - 1)
        return self.subset(np.sort(order[count:])), self.subset(np.sort(order[:count]))

    def subset(self, rows: Rows) -> "ArraySubset":
        """Return the dataset of these rows, int64 (m,), under the ids that they have here."""
        return ArraySubset(self, rows)

    def with_ids(self, ids: Sequence[str]) -> "ArrayDataset":
        """Return the dataset with these ids, in their order.

        Raises ValueError when there is no such image.
        """
        if ids == self.ids:
            return self
        rows = np.array([int(id) for id in ids], np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise ValueError(
                f"{self.source['name']} has {len(self):,} images, but the index has image "
                f"{rows.max():,}: name the images that were indexed with --dataset"
            )
        if np.array_equal(rows, np.arange(len(self))):
            return self
        return self.subset(rows)

    def read_good(self, rows: Sequence[int] | Rows, spec: InputSpec) -> Batch:
        """Return a Batch of all the rows."""
        rows = np.asarray(rows, np.int64)
        images = self.images[rows]
        if spec.accepts(images.shape[1:]):
            return Batch(rows, unit_float(images), [])
        return Batch(rows, np.stack([spec.prepare(image) for image in images]), [])

    def batches(
        self, spec: InputSpec, batch_size: int | None = None, rows: Rows | None = None
    ) -> Iterator[Batch]:
        """Yield Batches of up to `batch_size` rows, of `rows` or else of all."""
        rows = np.arange(len(self)) if rows is None else rows
        batch_size = min(batch_size or ROWS_PER_BATCH, spec.images_at_once)
        for start in range(0, len(rows), batch_size):
            yield self.read_good(rows[start : start + batch_size], spec)

    def picture(self, id: str, size: Size | None = None) -> AnyArray:
        """Return one image as it is stored, whatever the `size` to show it at."""
        return self.images[int(id)]


class ArraySubset(ArrayDataset):
    """Rows of an ArrayDataset, under the ids that they have there."""

    def __init__(self, dataset: ArrayDataset, rows: Rows) -> None:
        super().__init__(**dataset.source)
        self._dataset = dataset
        self._rows = rows
        self.ids = [dataset.ids[row] for row in rows]
        self.labels = None if dataset.labels is None else dataset.labels[rows]

    def picture(self, id: str, size: Size | None = None) -> AnyArray:
        """Return one image as it is stored, whatever the `size` to show it at."""
        return self._dataset.picture(id, size)

    def _load_images(self) -> AnyArray:
        return self._dataset.images[self._rows]


def _as_images(images: AnyArray | None, name: str) -> AnyArray:
    """Check an array of images and give it a channel axis."""
    if images is None:
        raise ValueError(f"{name} has no images")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        raise ValueError(
            f"{name}: expected images of shape (n, height, width) or (n, height, width, 1 or 3), "
            f"received {images.shape}"
        )
    if images.dtype.kind not in "biuf":
        raise ValueError(f"{name}: expected images of numbers, received {images.dtype}")
    # Written so that NaN fails too.
    if images.dtype.kind == "f" and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"{name}: expected float images in [0, 1], received [{images.min()}, {images.max()}]: "
            "scale them, or store them as uint8"
        )
    return images


def _as_labels(labels: AnyArray, name: str) -> Labels:
    if labels.dtype.kind not in "iu" or labels.shape[:1] != (labels.size,):
        raise ValueError(
            f"{name}: expected one integer label for each image, "
            f"received {labels.dtype} of shape {labels.shape}"
        )
    if labels.size and labels.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name}: expected labels below 2^63, received {labels.max()}")
    return np.maximum(labels.reshape(-1).astype(np.int64), -1)
