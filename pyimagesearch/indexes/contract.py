"""What an index is: it answers in ids, knows its encoder, and is changed by put, remove, commit.

`LocalIndex` (pickle or HDF5, with its engine file) and `MilvusIndex` (a collection) have this
contract. Rows of arrays and keys of a database stay inside them.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import Floats, Rows, Source
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.engines.engine import Engine

if TYPE_CHECKING:
    from pyimagesearch.indexes.local_index import LocalIndex
    from pyimagesearch.indexes.settings import Update, UpdateResult, UpdateSettings

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
    (n,) identifies the versions of the images that were encoded.
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


class Index(Protocol):
    """Codes of images, by id, with the encoder of queries."""

    encoder: Encoder | None
    metric: str
    source: Source | None  # the arguments of `open_dataset` for its images
    label_names: list[str] | None
    _engine: Engine | None = None

    @property
    def has_files(self) -> bool:
        """Whether the images are files, with relative paths as ids."""

    @property
    def engine(self) -> Engine:
        """The engine that `search` uses."""
        if self._engine is None:
            self._engine = self.open_engine()
        return self._engine

    def __len__(self) -> int:
        """Return the number of images."""

    def pictures(self, moved_to: str | None = None) -> Dataset:
        """Return the images for people to look at, by id, with the label names of the index.

        Other than those of `LocalIndex.dataset`, its rows are not those of the index. `moved_to`
        is their present location if they were moved. Raises ValueError when it lacks some of the
        images, OSError when it cannot be read.
        """

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
        answers: tuple[Iterable[Floats], Iterable[Rows]]
        if k is None:
            answers = self.engine.search_within(codes, within)
        else:  # as many more as there may be to skip
            answers = self.engine.search(codes, k + max(map(len, skip), default=0))
        found = []
        for number, (distances, rows) in enumerate(zip(*answers, strict=True)):
            hits = self.hits_of(distances, rows)
            wanted = np.ones(len(hits), bool)
            if within is not None:
                wanted &= hits.distances <= within
            if skip and skip[number]:
                wanted &= np.array([id not in skip[number] for id in hits.ids], bool)
            if not wanted.all():
                hits = hits[wanted]
            found.append(hits if k is None or len(hits) <= k else hits[:k])
        return found

    def hits_of(self, distances: Floats, rows: Rows) -> Hits:
        """Return the Hits of distances, float32 (k,), and rows of the engine, int64 (k,)."""

    def codes_of(self, ids: Sequence[str]) -> Codes:
        """Return the codes of ids, float32 (len(ids), d); raise ValueError for an unknown id."""

    def label_of(self, id: str) -> int | None:
        """Return the label of an id, None for none; raise ValueError for an unknown id."""

    def find(self, ids: Collection[str]) -> set[str]:
        """Return those of the ids that are indexed."""

    def sample(self, count: int, seed: int | None = None) -> list[str]:
        """Return up to `count` random ids, without replacement; the same for the same seed."""

    def records(self) -> Records:
        """Return the Records of all images."""

    def load(self) -> "LocalIndex":
        """Return all codes, ids and labels in memory or mapped: for duplicates, maps, evaluation.

        There images have rows. Labels may be counted in another order than those of this index.
        """

    def engine_of(self, loaded: "LocalIndex") -> Engine:
        """Return the engine of this index, with the rows of what `load` returned."""


class IndexWriter(Protocol):
    """An index that is being changed. Nothing old goes before `commit`.

    `changed` says after `commit` whether the index is another one than before.
    """

    encoder: Encoder
    changed: bool = True

    def records(self) -> Records:
        """Return the Records of the images so far whose codes may be kept."""

    def missing(self, records: Records) -> Rows:
        """Return the rows of those records that an interrupted run has not put already.

        A digest that is not 0 has to be that of what it put.
        """
        return np.arange(len(records))

    def put(self, records: Records, codes: Codes) -> None:
        """Add images with their codes, float32 (n, d), or replace those of the same ids."""

    def keep(self, records: Records, old_ids: Sequence[str]) -> None:
        """Give images the codes that the index has for `old_ids`: files moved, or other labels."""

    def remove(self, ids: Iterable[str]) -> None:
        """Remove images."""

    def commit(self, source: Source) -> int:
        """Make all changes lasting; return the number of images.

        `source` holds the arguments of `open_dataset` for the images.
        """


class Store(Protocol):
    """Where an index is kept: a file or a collection. Its text is the name of the index.

    With `keeps_arrays` the codes of arrays are updated row by row, so that all of them have to be
    from one model.
    """

    keeps_arrays: bool

    def exists(self) -> bool:
        """Whether there is an index, or something else of its name."""

    def open(self) -> Index:
        """Open the index.

        Raises FileNotFoundError if there is none, ValueError if it is damaged or not an index.
        """

    def require_writable(self) -> None:
        """Raise OSError or ValueError now if the index could not be written later.

        A server says it when it is asked to write.
        """
        return

    def unfinished_source(self) -> Source | None:
        """Return the source of the images of an index whose making was interrupted, or None."""
        return None

    def exclusive(self) -> AbstractContextManager[None]:
        """Exclude others that change the index; to be held from before it is opened.

        A store that several processes may change at once excludes none.
        """
        return nullcontext()

    def update(self, update: "Update") -> "UpdateResult":
        """Bring the index up to date, or make it."""

    def merge(self, paths: list[str], settings: "UpdateSettings") -> "UpdateResult":
        """Join index files, such as shards, into the index."""
