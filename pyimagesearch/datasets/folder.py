"""Folders of pictures: finding the files, and reading them batch by batch in bounded memory."""

import functools
import os
from array import array
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b

import cv2
import numpy as np

from pyimagesearch.datasets.image_io import read_picture
from pyimagesearch.datasets.scanning import find_pictures
from pyimagesearch.files import printable

decoders = None  # threads that decode; None for one a core
PREFETCH = 2
"""Batches that are being decoded while the caller works on one."""


class FolderDataset:
    """The picture files in a folder and below it, decoded each time they are read.

    A row's id is the file's path relative to the folder, with "/" between its parts; rows are in
    the order of their ids. `sizes` (bytes) and `mtimes_ns` are int64 (n,), -1 for a file that
    cannot be asked; None when `paths` were given.

    Any file may prove bad when it is read. `unreadable` maps the paths of those that did so far,
    and of sub-folders that could not be listed (these end in "/"), to the reason. Rows never
    shift: an unreadable file keeps its row, but is not tried again.
    """

    default_shape = 64, 64, 3  # (height, width, channels)
    reader_threads = 2  # for Keras' PyDataset: files are read while a step is computed

    def __init__(self, folder, paths=None):
        """Look for pictures in `folder`, or take the relative `paths`, such as an index's ids.

        Raises OSError when there is no such folder, ValueError when there are no pictures in it.
        """
        self.folder = os.path.abspath(folder)
        self.unreadable = {}
        if paths is not None:
            self.ids, self.sizes, self.mtimes_ns = paths, None, None
            return
        if not os.path.isdir(folder):
            raise NotADirectoryError(f"no such folder: {printable(folder)}")
        self.ids, sizes, mtimes_ns = [], array("q"), array("q")
        for path, size, mtime_ns in find_pictures(self.folder, self.unreadable):
            self.ids.append(path)
            sizes.append(size)
            mtimes_ns.append(mtime_ns)
        if not self.ids:
            reasons = (f"; {printable(path)}: {why}" for path, why in self.unreadable.items())
            raise ValueError(f"no pictures in {printable(folder)} or below it{''.join(reasons)}")
        self.sizes, self.mtimes_ns = np.array(sizes), np.array(mtimes_ns)

    @functools.cached_property
    def label_names(self):
        """The names of the first sub-folders, sorted; a label is a place in this list."""
        return sorted({path.partition("/")[0] for path in self.ids if "/" in path})

    @functools.cached_property
    def labels(self):
        """int64 (n,), or None without sub-folders; -1 for a picture beside sub-folders."""
        if not self.label_names:
            return None
        places = {name: place for place, name in enumerate(self.label_names)}
        firsts = (path.partition("/") for path in self.ids)
        labels = (places[name] if slash else -1 for name, slash, _ in firsts)
        return np.fromiter(labels, np.int64, len(self))

    @property
    def source(self):
        """What is needed to open this again, as plain values; with the ids, the very same rows."""
        return {"name": self.folder, "split": "train", "limit": None}

    def test_images(self):
        """The dataset to draw queries from: a folder has no pictures but its own."""
        return self

    def test_split(self, limit=None):
        """Return None: a folder has no test images."""
        return None

    def prefetch(self):
        """Do nothing: pictures are read one by one."""

    def __len__(self):
        return len(self.ids)

    def first(self, limit):
        """Return the dataset of the first `limit` files."""
        return self.part(np.arange(min(limit, len(self))))

    def random_rows(self, count, seed=None):
        """Return up to `count` random rows, without replacement; the same for the same seed."""
        return np.random.default_rng(seed).permutation(len(self))[:count].tolist()

    def rows_of(self, ids):
        """Return those of the ids that there are as {id: row}."""
        wanted = set(ids)
        return {id: row for row, id in enumerate(self.ids) if id in wanted}

    def path(self, row):
        """Return the absolute path of one file."""
        return os.path.join(self.folder, self.ids[row])

    def picture(self, row, size=None):
        """Return one picture, uint8 RGB (h, w, 3), for showing it at `size`, (height, width).

        Raises ValueError or OSError with the path and the reason.
        """
        try:
            return read_picture(self.path(row), size)
        except (ValueError, OSError) as error:
            raise type(error)(f"{printable(self.ids[row])}: {error}") from error

    def read(self, rows, spec):
        """Return the rows as float32 in [0, 1], shaped (len(rows), *spec.shape).

        Raises ValueError with the path and the reason when one of them cannot be read, so that
        image and row always match; `read_good` and `batches` go on without it.
        """
        good, images, _ = self.read_good(rows, spec)
        if len(good) < len(rows):
            path = next(self.ids[row] for row in rows if self.ids[row] in self.unreadable)
            raise ValueError(f"{printable(path)}: {self.unreadable[path]}")
        return images

    def read_good(self, rows, spec):
        """Return those of the rows that can be read, their images, and the newly unreadable files.

        These are int64 (k,), float32 in [0, 1] (k, *spec.shape) with k <= len(rows), and a list of
        (path, reason). A file is reported once: rows that are in `unreadable` already are left out.
        """
        return self._finish(*self._start(rows, spec))

    def batches(self, spec, batch_size, rows=None):
        """Yield `read_good` of `rows`, by default all in order, `batch_size` files at a time.

        The next batches are decoded while the caller works on one; a handful are in memory at once.
        """
        rows = np.arange(len(self)) if rows is None else rows
        pending = deque()
        try:
            for start in range(0, len(rows), batch_size):
                pending.append(self._start(rows[start : start + batch_size], spec))
                if len(pending) > PREFETCH:
                    yield self._finish(*pending.popleft())
            while pending:
                yield self._finish(*pending.popleft())
        finally:  # the caller may stop half-way, or be interrupted
            for *_, futures in pending:
                for future in futures:
                    future.cancel()

    def split(self, validation=0.1, seed=0):
        """Return two datasets, for training and for validation.

        A hash of the seed and its path puts a file into either part, so files that are added or
        removed later leave the others where they are. Of two or more files, both parts get one.
        """
        if not 0 < validation < 1:
            raise ValueError(f"expected a validation part between 0 and 1, received {validation}")
        places = np.fromiter((_place(path, seed) for path in self.ids), np.float64, len(self))
        chosen = places < validation
        if len(self) > 1:
            chosen[places.argmin()], chosen[places.argmax()] = True, False
        return self.part(np.flatnonzero(~chosen)), self.part(np.flatnonzero(chosen))

    def part(self, rows):
        """Return the dataset of these rows; a label means the same in it."""
        part = FolderDataset(self.folder, [self.ids[row] for row in rows])
        part.label_names = self.label_names
        if self.sizes is not None:
            part.sizes, part.mtimes_ns = self.sizes[rows], self.mtimes_ns[rows]
        return part

    def _start(self, rows, spec):
        rows = np.array([row for row in rows if self.ids[row] not in self.unreadable], np.int64)
        images = np.empty((len(rows), *spec.shape), np.float32)
        futures = [
            _pool().submit(_read_into, images[i], self.path(row), spec)
            for i, row in enumerate(rows)
        ]
        return rows, images, futures

    def _finish(self, rows, images, futures):
        reasons = [future.result() for future in futures]
        bad = [(self.ids[row], why) for row, why in zip(rows, reasons, strict=True) if why]
        if not bad:
            return rows, images, []
        good = np.array([why is None for why in reasons])
        new = {path: why for path, why in bad if path not in self.unreadable}
        self.unreadable |= new
        return rows[good], images[good], list(new.items())


def is_folder(dataset):
    """Whether a dataset is one of files, with paths as ids."""
    return isinstance(dataset, FolderDataset)


def cores():
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@functools.cache
def _pool():
    """The threads that decode, for all folders. One picture a thread: OpenCV is to start none."""
    cv2.setNumThreads(1)
    return ThreadPoolExecutor(decoders or cores(), thread_name_prefix="decode")


if hasattr(os, "register_at_fork"):  # threads do not survive in a forked child
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _read_into(image, path, spec):
    """Read a file into `image`; return None, or the reason why it cannot be read."""
    try:
        image[:] = spec.prepare(read_picture(path, spec.shape[:2]))
    except (ValueError, OSError) as error:
        return str(error)


def _place(path, seed):
    """Return a number in [0, 1) that depends on the seed and the path only."""
    digest = blake2b(f"{seed}/".encode() + path.encode("utf-8", "surrogateescape"), digest_size=6)
    return int.from_bytes(digest.digest()) / 2**48
