"""Indexes: codes, ids, labels, and the encoder for queries."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyimagesearch.datasets.catalog import DEFAULT_SOURCE, open_source
from pyimagesearch.encoders.encoder import Encoder

logger = logging.getLogger(__name__)


@dataclass
class Index:
    """The codes of a dataset and the settings that they were made with.

    `codes` is float32 (n, d), `ids` a sequence of n str, `labels` int64 (n,) or None;
    `label_names` the name of each label, or None; `source` is that of the dataset, `metric` the
    name of the metric that results are ranked by unless another is given, `encoder` the Encoder of
    queries, `file_stats` FILE_STATS (n,) where the images are files. `codes_sha256` identifies the
    codes and `path` the file; both are set by `load_index`. An index of the tutorial has codes and
    ids only. `rows` int64 (n,) are the row numbers that the engine of an index uses, where this is
    a copy in memory of one whose rows are not 0 to n - 1.
    """

    codes: np.ndarray
    ids: Sequence
    labels: np.ndarray | None = None
    label_names: list | None = None
    source: dict | None = None
    metric: str = "euclidean"
    encoder: Encoder | None = None
    file_stats: np.ndarray | None = None
    codes_sha256: str | None = None
    path: str | None = None
    rows: np.ndarray | None = None

    def __len__(self):
        return len(self.ids)

    @property
    def has_files(self):
        """Whether the images are files, with relative paths as ids."""
        return self.file_stats is not None

    def named(self, rows):
        """Return the ids, a list, and the labels, int64 (k,) or None, of rows."""
        labels = None if self.labels is None else self.labels[rows]
        if hasattr(self.ids, "many"):  # of a file, which is read once for all of them
            return self.ids.many(rows), labels
        return [self.ids[row] for row in rows], labels

    def codes_of(self, rows):
        """Return the codes of rows, float32 (len(rows), d)."""
        return np.asarray(self.codes[rows], np.float32)

    def gallery(self, moved_to=None):
        """Return the dataset of the indexed images, with the rows of this index.

        `moved_to` is its present location if it was moved. Raises ValueError when it lacks some of
        the images, OSError when it cannot be read.
        """
        source = self.source or DEFAULT_SOURCE
        require_folder(source, self.has_files, moved_to)
        dataset = open_source({**source, "name": moved_to or source["name"]}, self.has_files)
        complete = not self.has_files and int(self.ids[-1]) == len(self) - 1
        if complete and len(dataset) != len(self):
            raise ValueError(
                f"the index holds {len(self):,} codes, but {dataset.source['name']} has "
                f"{len(dataset):,} images: name the images that were indexed with --dataset"
            )
        dataset = dataset.with_ids(self.ids)
        if self.source is None:
            self.labels = dataset.labels
        else:  # known already; computing them would read the names of all files
            dataset.labels, dataset.label_names = self.labels, self.label_names
        return dataset

    def engine(self, metric=None, probe=None):
        """Return the engine to search by: the one stored beside the file, else exact search.

        `metric` is by default the index's, `probe` the one that the engine was tuned to. Raises
        ValueError for an engine that does not fit, and for a probe of exact search.
        """
        from pyimagesearch.engines.engine_file import open_engine

        return open_engine(self.path, self.codes, metric or self.metric, self.codes_sha256, probe)

    def load(self):
        """Return the index with all codes in memory or mapped: this one."""
        return self

    def places(self, rows):
        """Return where rows of the engine are in `codes`, int64 (k,)."""
        if self.rows is None:
            return np.asarray(rows, np.int64)
        order = np.argsort(self.rows)
        return order[np.searchsorted(self.rows, rows, sorter=order)]


def missing_folder(name):
    """Return the message about the folder of an index that is not there."""
    return f"the indexed folder {name} does not exist: name its present place with --dataset"


def require_folder(source, has_files, moved_to):
    """Raise FileNotFoundError if an index of a folder is given another one that does not exist.

    Warns if its own folder does not exist: a search works without it, but shows no pictures.
    """
    if not has_files:
        return
    if moved_to is not None and not os.path.isdir(moved_to):
        raise FileNotFoundError(f"no such folder: {moved_to}; name that of the indexed pictures")
    if moved_to is None and not os.path.isdir(source["name"]):
        logger.warning(missing_folder(source["name"]))
