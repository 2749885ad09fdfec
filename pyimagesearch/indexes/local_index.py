"""An index in memory: codes, ids, labels, and the encoder of queries."""

import logging
import os
import shlex
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import Floats, Rows
from pyimagesearch.datasets.catalog import DEFAULT_SOURCE, open_source
from pyimagesearch.datasets.dataset import FILE_STATS, Dataset, array_digest, label_at
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.engines.engine import Engine
from pyimagesearch.engines.exact import ExactEngine
from pyimagesearch.files import ENGINE_SUFFIX
from pyimagesearch.indexes.contract import Codes, Hits, Index, Records
from pyimagesearch.indexes.pictures import open_pictures

logger = logging.getLogger(__name__)

MAX_DIGITS = 19  # of the number of a row


@dataclass
class LocalIndex(Index):
    """The codes of a dataset, in memory or mapped, and the settings that they were made with.

    `codes` is float32 (n, d), `ids` a sequence of n str, `labels` int64 (n,) or None;
    `label_names` the name of each label, or None; `source` is that of the dataset, `metric` the
    name of the metric that results are ranked by unless another is given, `encoder` the Encoder of
    queries, `file_stats` FILE_STATS (n,) where the images are files. `codes_sha256` identifies the
    codes and `path` the file; both are set by `load_index`. An index of the tutorial has codes and
    ids only.
    """

    codes: Codes
    ids: Sequence[str]
    labels: NDArray[np.int64] | None = None
    label_names: list[str] | None = None
    source: dict[str, Any] | None = None
    metric: str = "euclidean"
    encoder: Encoder | None = None
    file_stats: NDArray[Any] | None = None
    codes_sha256: str | None = None
    path: str | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.ids)

    @property
    def has_files(self) -> bool:
        """Whether the images are files, with relative paths as ids."""
        return self.file_stats is not None

    def open_engine(self, metric: str | None = None, probe: int | None = None) -> Engine:
        """Search by the engine stored beside the file from now on, else exactly; return it.

        `metric` is by default the index's, `probe` the one that the engine was tuned to. An engine
        that was built before the index was changed, such as one that is being built again, gives
        way to exact search, with a warning. Raises ValueError for one that is damaged or for
        another metric than was asked for, and for a probe of exact search.
        """
        name = metric or self.metric
        self._engine = self._stored_engine(name, probe)
        if self._engine is None:
            self._engine = ExactEngine(self.codes, name)
        return self._engine

    def _stored_engine(self, metric: str, probe: int | None) -> Engine | None:
        """Return the engine stored beside the file, None where the codes are searched exactly."""
        path = f"{self.path}{ENGINE_SUFFIX}"
        if os.path.exists(path):
            from pyimagesearch.engines.engine_file import (
                OtherCodesError,
                OtherMetricError,
                load_engine,
            )

            try:
                engine = load_engine(path, self.codes, self.codes_sha256, metric)
                if probe is not None:
                    engine.probe = probe
                return engine
            except FileNotFoundError:  # it was removed meanwhile
                pass
            except (OtherCodesError, OtherMetricError) as error:
                if isinstance(error, OtherMetricError) and metric != self.metric:
                    raise
                logger.warning(f"searching exactly: {error}")
                return None
        if probe is not None:
            raise ValueError(
                f"{self.path} is searched exactly, which has nothing to probe: give it another "
                f"engine with: python index_images.py --index {shlex.quote(str(self.path))} "
                "--engine NAME"
            )
        return None

    def hits_of(self, distances: Floats, rows: Rows) -> Hits:
        """Return the Hits of distances and rows that the engine found; see Index."""
        labels = None if self.labels is None else self.labels[rows]
        return Hits(self.ids_of(rows), distances, labels)

    def ids_of(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the ids of rows, int64 (k,)."""
        many: Callable[[Rows], list[str]] | None = getattr(self.ids, "many", None)
        if many is not None:  # of a file, which is read once for all of them
            return many(rows)
        return [self.ids[row] for row in rows.tolist()]

    def rows_of(self, ids: Collection[str]) -> dict[str, int]:
        """Return the rows of those of the ids that are indexed."""
        found = {}
        for id in ids:
            for row in _likely_rows(self.ids, id):
                if row < len(self) and self.ids[row] == id:
                    found[id] = row
        unseen = set(ids).difference(found)
        if unseen:
            found.update((id, row) for row, id in enumerate(self.ids) if id in unseen)
        return found

    def find(self, ids: Collection[str]) -> set[str]:
        """Return those of the ids that are indexed."""
        return set(self.rows_of(ids))

    def codes_of(self, ids: Sequence[str]) -> Codes:
        """Return the codes of ids, float32 (len(ids), d); raise ValueError for an unknown id."""
        return np.asarray(self.codes[self._places(ids)], np.float32)

    def label_of(self, id: str) -> int | None:
        """Return the label of an id, None for none; raise ValueError for an unknown id."""
        return label_at(self.labels, self._places([id])[0])

    def _places(self, ids: Sequence[str]) -> list[int]:
        rows = self.rows_of(ids)
        for id in ids:
            if id not in rows:
                raise ValueError(f"the index has no picture {id}")
        return [rows[id] for id in ids]

    def sample(self, count: int, seed: int | None = None) -> list[str]:
        """Return up to `count` random ids, without replacement; the same for the same seed."""
        rows = np.random.default_rng(seed).permutation(len(self))[:count]
        return self.ids_of(rows)

    def records(self) -> Records:
        """Return the Records of the images, in the order of the rows."""
        stats = self.file_stats
        if stats is None:
            stats = np.zeros(len(self), FILE_STATS)
            stats["digest"] = array_digest(self.source or DEFAULT_SOURCE)
        return Records(self.ids, LabelTexts(self), stats)

    def label_by_folder(self) -> None:
        """Take the first sub-folders of the files as their labels."""
        folder = open_source(self.source or {}, True).with_ids(self.ids)
        self.labels = folder.labels
        self.label_names = folder.label_names

    def dataset(self, moved_to: str | None = None) -> Dataset:
        """Return the indexed images as a dataset with the rows of this index; see `pictures`."""
        dataset = self._open_source(moved_to).with_ids(self.ids)
        if self.source is None:
            self.labels = dataset.labels
        else:  # known already; computing them would read the names of all files
            dataset.labels = self.labels
            dataset.label_names = self.label_names
        return dataset

    def pictures(self, moved_to: str | None = None) -> Dataset:
        """Return the indexed images by id; see Index."""
        dataset = self._open_source(moved_to)
        if self.source is None:
            self.labels = dataset.with_ids(self.ids).labels
        elif not (self.has_files or self._is_whole_array):
            dataset.with_ids(self.ids)  # raises where it lacks one of them
        dataset.label_names = self.label_names
        return dataset

    def _open_source(self, moved_to: str | None) -> Dataset:
        count = len(self) if self._is_whole_array else None
        return open_pictures(
            self.source or DEFAULT_SOURCE, moved_to, has_files=self.has_files, count=count
        )

    @property
    def _is_whole_array(self) -> bool:
        """Whether the ids are the numbers of all rows of an array: they ascend and differ."""
        return not self.has_files and int(self.ids[-1]) == len(self) - 1

    def load(self) -> "LocalIndex":
        """Return the index with all codes in memory or mapped: this one."""
        return self

    def engine_of(self, loaded: "LocalIndex") -> Engine:
        """Return the engine of this index, with the rows of what `load` returned."""
        return self.engine


class LabelTexts(Sequence[str]):
    """The labels of images as text, by row: names, or numbers where there are no names."""

    def __init__(self, images: Dataset | LocalIndex) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: Any) -> Any:
        """Return the text of one row, empty where there is no label."""
        label = label_at(self._images.labels, row)
        names = self._images.label_names
        if label is None:
            return ""
        if names is None:
            return str(label)
        return names[label]


def _likely_rows(ids: Sequence[str], id: str) -> Iterator[int]:
    """Yield the rows where an id is if the ids are in order: as numbers, or as text."""
    if len(id) < MAX_DIGITS and id.isdecimal():
        yield int(id)
    yield bisect_left(ids, id)
