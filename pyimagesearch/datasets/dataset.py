"""The contract of a dataset: named images, read by row."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import AnyArray, Bools, Floats, Labels, Picture, Rows, Size, Source
from pyimagesearch.files import printable
from pyimagesearch.pictures.input_spec import InputSpec

# Identifies the version of an image that was encoded; `digest` is the BLAKE2b hash of the content
# of its file. For an image of an array it is `array_digest`, and the others are 0.
FILE_STATS = np.dtype([("size", "<i8"), ("mtime_ns", "<i8"), ("digest", "<u8", 2)])


class Batch(NamedTuple):
    """Images that were read together.

    `rows` int64 (k,), `images` float32 in [0, 1] (k, height, width, channels), `unreadable` a list
    of (id, reason), `digests` uint64 (k, 2), hashes of the content of the files, or None.
    """

    rows: Rows
    images: Floats
    unreadable: list[tuple[str, str]]
    digests: NDArray[np.uint64] | None = None


class Dataset(Protocol):
    """Named images, read by row; subclasses are ArrayDataset and FolderDataset.

    `ids` is a sequence of str, one for each row. `labels` is int64 (n,), -1 where a row has none,
    or None; `label_names` is a list of the names of labels 0, 1, ..., or None where labels are
    plain numbers. `source` holds the arguments of `open_dataset` that open this again. `unreadable`
    maps the ids that could not be read so far to the reasons. `file_stats`, FILE_STATS (n,),
    identifies the files, or is None where images are not files.

    Subclasses implement `read_good`, `batches`, `picture`, `subset`, `with_ids` and `split`.
    """

    source: Source
    unreadable: dict[str, str]
    file_stats: AnyArray | None = None
    truncated: bool = False  # whether JPEGs that are cut short are read
    has_classes: bool = True  # whether labels, where there are any, are classes
    shows_names: bool = False  # whether ids are worth a caption
    folder: str | None = None  # the absolute path of the folder of files, None for arrays
    reader_threads: int = 0  # threads that prepare training batches beside the training step

    @cached_property
    def ids(self) -> Sequence[str]:
        """The id of each row, in order."""

    @cached_property
    def labels(self) -> Labels | None:
        """int64 (n,), -1 where a row has none; None without labels."""

    @cached_property
    def label_names(self) -> list[str] | None:
        """The names of labels 0, 1, ..., or None where labels are plain numbers."""
        return None

    @property
    def default_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) to train with unless others are asked for."""

    def __len__(self) -> int:
        return len(self.ids)

    def test_split(self, limit: int | None = None) -> "Dataset | None":
        """Return the dataset of test images, or None where there are no separate ones."""
        return None

    def test_images(self) -> "Dataset":
        """Return the dataset to draw queries from: the test images, or else these."""
        test = self.test_split()
        return self if test is None else test

    def keep_decoded(self, max_bytes: int = 1 << 30) -> None:
        """Keep up to `max_bytes` of decoded images in memory, where reading them again is slow."""
        return

    def prefetch(self) -> None:
        """Start loading in the background, where that helps."""
        return

    def path(self, id: str) -> str | None:
        """Return the absolute path of an image's file, or None where images are not files."""
        return None

    def random_rows(self, count: int, seed: int | None = None) -> list[int]:
        """Return up to `count` random rows, without replacement; the same for the same seed."""
        rows: Rows = np.random.default_rng(seed).permutation(len(self))[:count]
        return list(map(int, rows))

    def readable(self, rows: Rows) -> Bools:
        """Return which of the rows, int64 (m,), have not proved unreadable, bool (m,)."""
        if not self.unreadable:
            return np.ones(len(rows), bool)
        return np.array([self.ids[row] not in self.unreadable for row in rows.tolist()], bool)

    def read_good(self, rows: Sequence[int] | Rows, spec: InputSpec) -> Batch:
        """Return a Batch, without digests, of those of the rows that can be read.

        Rows that are in `unreadable` already are not named again.
        """

    def batches(
        self, spec: InputSpec, batch_size: int | None = None, rows: Rows | None = None
    ) -> Iterator[Batch]:
        """Yield a Batch of `batch_size` rows after another, of `rows` or else of all."""

    def picture(self, id: str, size: Size | None = None) -> Picture:
        """Return one image for showing it at `size`, (height, width).

        Raises ValueError or OSError with the id and the reason.
        """

    def subset(self, rows: Rows) -> "Dataset":
        """Return the dataset of these rows, int64 (m,)."""

    def with_ids(self, ids: Sequence[str]) -> "Dataset":
        """Return the dataset with these ids, in their order."""

    def split(self, validation: float = 0.1, seed: int = 0) -> "tuple[Dataset, Dataset]":
        """Return two datasets, a part of the images for validation."""

    def read(self, rows: Sequence[int] | Rows, spec: InputSpec) -> Floats:
        """Return rows as float32 in [0, 1], shaped (len(rows), *spec.shape).

        Raises ValueError with the id and the reason when one of them cannot be read.
        """
        batch = self.read_good(rows, spec)
        if len(batch.rows) < len(rows):
            id = next(self.ids[row] for row in rows if self.ids[row] in self.unreadable)
            raise ValueError(printable(f"{id}: {self.unreadable[id]}"))
        return batch.images


@dataclass(frozen=True)
class Splits:
    """The images of a training: those to train on, and those to validate on.

    `spec` is the InputSpec of the network.
    """

    training: Dataset
    validation: Dataset
    spec: InputSpec


class RowIds(Sequence[str]):
    """The ids of an array: the row numbers as text."""

    def __init__(self, count: int) -> None:
        self._rows = range(count)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: Any) -> Any:
        return str(self._rows[row])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowIds) and len(self) == len(other)

    def __contains__(self, id: object) -> bool:
        if not isinstance(id, str) or len(id) >= 20 or not id.isdecimal():
            return False
        return str(int(id)) == id and int(id) < len(self)


def same_images(a: Source, b: Source) -> bool:
    """Whether row i of two sources is the same image, for the rows that both have."""
    return {**a, "limit": None} == {**b, "limit": None}


def array_digest(source: Source) -> NDArray[np.uint64]:
    """Return a hash of what tells the images of an array from others, uint64 (2,).

    It is the same for two sources of arrays if `same_images` is true of them.
    """
    text = json.dumps({**source, "limit": None}, sort_keys=True)
    return np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), "<u8")


def label_at(labels: Labels | None, row: int) -> int | None:
    """Return the label of a row, None where it has none."""
    if labels is None or labels[row] < 0:
        return None
    return int(labels[row])
