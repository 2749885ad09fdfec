"""The contract of a dataset: named images, read by row."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pyimagesearch.files import printable

# Identifies the version of a file that was encoded; `digest` is the BLAKE2b hash of its content.
FILE_STATS = np.dtype([("size", "<i8"), ("mtime_ns", "<i8"), ("digest", "<u8", 2)])


class Batch(NamedTuple):
    """Images that were read together.

    `rows` int64 (k,), `images` float32 in [0, 1] (k, height, width, channels), `unreadable` a list
    of (id, reason), `digests` uint64 (k, 2), hashes of the content of the files, or None.
    """

    rows: np.ndarray
    images: np.ndarray
    unreadable: list
    digests: np.ndarray | None = None


class Dataset:
    """Named images, read by row; subclasses are ArrayDataset and FolderDataset.

    `ids` is a sequence of str, one for each row. `labels` is int64 (n,), -1 where a row has none,
    or None; `label_names` is a list of the names of labels 0, 1, ..., or None where labels are
    plain numbers. `source` holds the arguments of `open_dataset` that open this again. `unreadable`
    maps the ids that could not be read so far to the reasons. `file_stats`, FILE_STATS (n,),
    identifies the files, or is None where images are not files.

    Subclasses implement `read_good`, `batches`, `picture`, `subset`, `with_ids` and `split`.
    """

    label_names = None
    file_stats = None
    shows_names = False  # whether ids are worth a caption
    reader_threads = 0  # threads that prepare training batches beside the training step

    def __len__(self):
        return len(self.ids)

    def test_split(self, limit=None):
        """Return the dataset of test images, or None where there are no separate ones."""
        return None

    def test_images(self):
        """Return the dataset to draw queries from: the test images, or else these."""
        test = self.test_split()
        return self if test is None else test

    def keep_decoded(self, max_bytes=1 << 30):
        """Keep up to `max_bytes` of decoded images in memory, where reading them again is slow."""

    def prefetch(self):
        """Start loading in the background, where that helps."""

    def path(self, row):
        """Return the absolute path of a row's file, or None where images are not files."""
        return None

    def random_rows(self, count, seed=None):
        """Return up to `count` random rows, without replacement; the same for the same seed."""
        return np.random.default_rng(seed).permutation(len(self))[:count].tolist()

    def rows_of(self, ids):
        """Return the rows of those of the ids that exist, as {id: row}."""
        wanted = set(ids)
        return {id: row for row, id in enumerate(self.ids) if id in wanted}

    def read(self, rows, spec):
        """Return rows as float32 in [0, 1], shaped (len(rows), *spec.shape).

        Raises ValueError with the id and the reason when one of them cannot be read.
        """
        good, images, _ = self.read_good(rows, spec)
        if len(good) < len(rows):
            id = next(self.ids[row] for row in rows if self.ids[row] in self.unreadable)
            raise ValueError(printable(f"{id}: {self.unreadable[id]}"))
        return images


class RowIds(Sequence):
    """The ids of an array: the row numbers as text."""

    def __init__(self, count):
        self._rows = range(count)

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, row):
        return str(self._rows[row])

    def __eq__(self, other):
        return isinstance(other, RowIds) and len(self) == len(other)

    def __contains__(self, id):
        return len(id) < 20 and id.isdecimal() and str(int(id)) == id and int(id) < len(self)


def same_images(a, b):
    """Whether row i of two datasets is the same image, for the rows that both have."""
    return {**a.source, "limit": None} == {**b.source, "limit": None}
