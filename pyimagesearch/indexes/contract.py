"""What an index is: it answers in ids, knows its encoder, and is changed by put, remove, commit.

`LocalIndex` (pickle or HDF5, with its engine file) and `MilvusIndex` (a collection) have this
contract. Rows of arrays and keys of a database stay inside them.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.engines.engine import Engine

Codes = NDArray[np.float32]


@dataclass(frozen=True)
class Hits:
    """What a query finds, nearest first.

    `ids` are k ids, `distances` float32 (k,) ascending, `labels` int64 (k,), -1 for no label, or
    None where the index has no labels.
    """

    ids: list[str]
    distances: NDArray[np.float32]
    labels: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, part: slice | NDArray[Any]) -> "Hits":
        """Return the Hits of a slice, of a mask bool (k,), or of places int (m,)."""
        places = np.arange(len(self.ids))[part].tolist()
        labels = None if self.labels is None else self.labels[part]
        return Hits([self.ids[place] for place in places], self.distances[part], labels)


@dataclass(frozen=True)
class Records:
    """What an index knows of images besides their codes.

    `ids` are n ids, `labels` the names of their labels, empty for none; `file_stats` FILE_STATS
    (n,) identifies the versions of files that were encoded, zeros for images of arrays.
    """

    ids: Sequence[str]
    labels: Sequence[str]
    file_stats: NDArray[Any]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Records":
        """Return the Records of rows."""
        ids = [self.ids[row] for row in rows]
        labels = [self.labels[row] for row in rows]
        return Records(ids, labels, self.file_stats[np.asarray(rows, np.int64)])


class Pictures(Protocol):
    """The indexed images, by id, for people to look at; opened by `Index.pictures`."""

    label_names: list[str] | None
    has_classes: bool  # whether another label than the query's makes a result wrong
    shows_names: bool  # whether ids are names of files, worth a caption
    folder: str | None  # the absolute path of the folder of files, None for arrays

    def picture(self, id: str, size: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return one image, uint8 or float in [0, 1], (h, w, 1 or 3), to show at (height, width).

        Raises ValueError or OSError with the id and the reason.
        """

    def path(self, id: str) -> str | None:
        """Return the absolute path of an image's file, None where images are not files."""

    def prefetch(self) -> None:
        """Start loading in the background, where that helps."""

    def test_images(self) -> Dataset | None:
        """Return the test images that belong to the indexed ones, None if there are none."""


class Index(Protocol):
    """Codes of images, by id, with the encoder of queries."""

    encoder: Encoder | None
    metric: str
    source: dict[str, Any] | None  # the arguments of `open_dataset` for its images
    label_names: list[str] | None

    @property
    def has_files(self) -> bool:
        """Whether the images are files, with relative paths as ids."""

    @property
    def engine(self) -> Engine:
        """The engine that `search` uses."""

    def __len__(self) -> int:
        """Return the number of images."""

    def pictures(self, moved_to: str | None = None) -> Pictures:
        """Return the indexed images; `moved_to` is their present location if they were moved."""

    def open_engine(self, metric: str | None = None, probe: int | None = None) -> Engine:
        """Choose the metric and the width of all later searches, None for the index's own.

        Returns the engine, whose `name`, `metric` and `probe` can be told. Raises ValueError for a
        metric or a width that it does not have.
        """

    def search(
        self,
        codes: Codes,
        k: int | None = None,
        *,
        within: float | None = None,
        skip: Sequence[Collection[str]] = (),
    ) -> list[Hits]:
        """Return the Hits of each of the codes, float32 (q, d).

        They are the `k` nearest, those at most `within` away, or with both what meets both.
        `skip` holds the ids, for each query, that are left out.
        """

    def codes_of(self, ids: Sequence[str]) -> Codes:
        """Return the codes of ids, float32 (len(ids), d); raise ValueError for an unknown id."""

    def labels_of(self, ids: Sequence[str]) -> NDArray[np.int64] | None:
        """Return the labels of ids, int64 (len(ids),), -1 for none; None without any labels."""

    def find(self, ids: Collection[str]) -> set[str]:
        """Return those of the ids that are indexed."""

    def sample(self, count: int, seed: int | None = None) -> list[str]:
        """Return up to `count` random ids, without replacement; the same for the same seed."""

    def records(self) -> Records:
        """Return the Records of all images."""

    def load(self) -> "LoadedIndex":
        """Return all codes, ids and labels, for duplicates, maps and evaluation."""

    def engine_of(self, loaded: "LoadedIndex") -> Engine:
        """Return the engine of this index, with the rows of what `load` returned."""


class LoadedIndex(Protocol):
    """All of an index in memory or mapped: the bulk path, in which images have rows.

    `codes` is float32 (n, d), `ids` a sequence of n ids, `labels` int64 (n,) or None, `label_names`
    the name of each label, or None where labels are numbers; `file_stats` FILE_STATS (n,) where the
    images are files, else None. Labels may be counted in another order than those of its Index.
    """

    codes: Codes
    ids: Sequence[str]
    labels: NDArray[np.int64] | None
    label_names: list[str] | None
    file_stats: NDArray[Any] | None
    metric: str

    def rows_of(self, ids: Collection[str]) -> dict[str, int]:
        """Return the rows of those of the ids that are indexed."""

    def dataset(self, moved_to: str | None = None) -> Dataset:
        """Return the images as a dataset with the same rows; see `Index.pictures`."""


class IndexWriter(Protocol):
    """An index that is being changed. Nothing old goes before `commit`."""

    encoder: Encoder

    def records(self) -> Records:
        """Return the Records of the images so far."""

    def missing(self, records: Records) -> NDArray[np.int64]:
        """Return the rows of those records that an interrupted run has not put already."""

    def put(self, records: Records, codes: Codes) -> None:
        """Add images with their codes, float32 (n, d), or replace those of the same ids."""

    def keep(self, records: Records, old_ids: Sequence[str]) -> None:
        """Give images the codes that the index has for `old_ids`: files moved or touched."""

    def remove(self, ids: Iterable[str]) -> None:
        """Remove images."""

    def commit(self, source: dict[str, Any]) -> int:
        """Make all changes lasting; return the number of images.

        `source` holds the arguments of `open_dataset` for the images.
        """
