"""What an index is: it answers in ids, knows its encoder, and is changed by put, remove, commit.

`LocalIndex` (pickle or HDF5, with its engine file) and `MilvusIndex` (a collection) have this
contract. Rows of arrays and keys of a database stay inside them.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.metric import Metric

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
class Record:
    """One image of an index: its id and, of a file, the version of it that was encoded.

    `size` is in bytes, `mtime_ns` the time of change in nanoseconds since 1970, `digest` the
    BLAKE2b hash of the content, 16 bytes. An image of an array has zeros.
    """

    id: str
    size: int = 0
    mtime_ns: int = 0
    digest: bytes = bytes(16)


class Pictures(Protocol):
    """The indexed images, by id, for people to look at; opened by `Index.pictures`."""

    label_names: list[str] | None
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


class EngineState(Protocol):
    """What is told of the engine that an index is searched by."""

    name: str
    metric: Metric

    @property
    def probe(self) -> int | None:
        """How widely a search looks, None where there is no such choice."""


class Index(Protocol):
    """Codes of images, by id, with the encoder of queries."""

    encoder: Encoder | None
    metric: str
    source: dict[str, Any] | None  # the arguments of `open_dataset` for its images
    label_names: list[str] | None
    has_files: bool

    def __len__(self) -> int:
        """Return the number of images."""

    def pictures(self, moved_to: str | None = None) -> Pictures:
        """Return the indexed images; `moved_to` is their present location if they were moved."""

    def open_engine(self, metric: str | None = None, probe: int | None = None) -> EngineState:
        """Choose the metric and the width of all later searches; None for the index's own."""

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

    def codes(self, ids: Sequence[str]) -> Codes:
        """Return the codes of ids, float32 (len(ids), d); raise ValueError for an unknown id."""

    def labels_of(self, ids: Sequence[str]) -> NDArray[np.int64] | None:
        """Return the labels of ids, int64 (len(ids),), -1 for none; None without any labels."""

    def find(self, ids: Sequence[str]) -> set[str]:
        """Return those of the ids that are indexed."""

    def sample(self, count: int, seed: int | None = None) -> list[str]:
        """Return up to `count` random ids, without replacement; the same for the same seed."""

    def load(self) -> "LoadedIndex":
        """Return all codes, ids and labels, for duplicates, maps and evaluation."""


class LoadedIndex(Protocol):
    """All of an index in memory or mapped. Row i of `codes` is the image `ids[i]`."""

    codes: Codes
    ids: Sequence[str]
    labels: NDArray[np.int64] | None
    metric: str


class IndexWriter(Protocol):
    """An index that is being changed. Nothing old goes before `commit`."""

    def records(self) -> Iterator[Record]:
        """Yield a Record of each image so far."""

    def put(self, records: Sequence[Record], codes: Codes) -> None:
        """Add images with their codes, float32 (n, d), or replace those of the same ids."""

    def remove(self, ids: Iterable[str]) -> None:
        """Remove images."""

    def commit(self) -> int:
        """Make the changes lasting, all at once; return the number of images."""
