"""Folders of pictures: finding the files, and reading them batch by batch in bounded memory."""

import functools
import hashlib
import os
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import AnyArray, Floats, Labels, Rows, Size, Source
from pyimagesearch.datasets.dataset import FILE_STATS, Batch, Dataset
from pyimagesearch.datasets.digests import content_digest
from pyimagesearch.datasets.scanning import find_pictures
from pyimagesearch.files import printable, reason_of
from pyimagesearch.pictures.decoding import DecodedImages, decode_for, open_picture, read_picture
from pyimagesearch.pictures.formats import is_own_output
from pyimagesearch.pictures.input_spec import InputSpec

DEFAULT_SHAPE = 64, 64, 3  # height, width, channels
FILES_PER_BATCH = 64
PREFETCHED_BATCHES = 2  # decoded while the caller works on one
decoder_threads: int | None = None  # None for one a core


@dataclass
class _Reading:
    """Rows, int64 (k,), whose images, float32 (k, ...), and hashes, uint64 (k, 2), are being read.

    `futures` has, by places among them, the reasons why files cannot be read, or None.
    """

    rows: Rows
    images: Floats
    digests: NDArray[np.uint64] | None
    futures: dict[int, Future[str | None]] = field(default_factory=dict)


class FolderDataset(Dataset):
    """The picture files in a folder and below it, decoded each time they are read.

    A row's id is the file's path relative to the folder, with "/" between its parts; rows are in
    the order of their ids. The first sub-folder of a picture is its label, counted from the one of
    `folders` that it is in. `file_stats` has sizes in bytes and times of change, -1 for a file
    without access, and digests of 0 until the files are read; it is None when `paths` were given.

    Any file may prove unreadable when it is decoded. `unreadable` also names sub-folders that
    could not be listed; these end in "/". Rows never shift: an unreadable file keeps its row, but
    is not tried again.
    """

    ids: Sequence[str]
    shows_names = True
    reader_threads = 2
    default_shape = DEFAULT_SHAPE

    def __init__(
        self,
        folder: str,
        paths: Sequence[str] | None = None,
        folders: Sequence[str] = (),
        exclude: Sequence[str] = (),
        *,
        truncated: bool = False,
        classes: bool = False,
    ) -> None:
        """Look for pictures in `folder`, or take the relative `paths`, such as an index's ids.

        `folders` and `exclude` are those of `find_pictures`, `truncated` that of `read_picture`.
        `classes` says that labels are classes: what a result has to be, not only where it is.
        Raises OSError when there is no such folder, ValueError when there are no pictures in it.
        """
        self.folder: str = os.path.abspath(folder)
        self.source = {"name": self.folder, "split": "train", "limit": None}
        settings: Source = {
            "folders": list(folders),
            "exclude": list(exclude),
            "truncated": truncated,
            "classes": classes,
        }
        self.truncated = truncated
        self.has_classes = classes
        self._settings = {key: value for key, value in settings.items() if value}
        self.source |= self._settings
        self.unreadable = {}
        self._decoded: DecodedImages | None = None
        if paths is not None:
            self.ids = paths
            return
        if not os.path.isdir(folder):
            raise NotADirectoryError(f"no such folder: {printable(folder)}")
        found = find_pictures(self.folder, self.unreadable, folders, exclude)
        if not found:
            reasons = (f"; {printable(path)}: {why}" for path, why in self.unreadable.items())
            left_out = ", apart from what --exclude names" if exclude else ""
            raise ValueError(
                f"no pictures in {printable(folder)} or below it{left_out}{''.join(reasons)}"
            )
        self.ids = [file.path for file in found]
        self.file_stats = np.zeros(len(found), FILE_STATS)
        self.file_stats["size"] = [file.size for file in found]
        self.file_stats["mtime_ns"] = [file.mtime_ns for file in found]

    @functools.cached_property
    def label_names(self) -> list[str]:
        """The names of the first sub-folders, sorted; a label is an index into this list."""
        return sorted({name for name in map(self._sub_folder, self.ids) if name})

    @functools.cached_property
    def labels(self) -> Labels | None:
        """int64 (n,), or None without sub-folders; -1 for a picture beside sub-folders."""
        if not self.label_names:
            return None
        numbers = {name: number for number, name in enumerate(self.label_names)}
        labels = (numbers.get(self._sub_folder(path), -1) for path in self.ids)
        return np.fromiter(labels, np.int64, len(self))

    def _sub_folder(self, path: str) -> str:
        """Return the name of the first sub-folder of a relative path, or an empty text.

        It is normalised, as file names of macOS write accents in another way than others.
        """
        for folder in self._settings.get("folders", ()):
            if path.startswith(f"{folder}/"):
                path = path[len(folder) + 1 :]
                break
        name, slash, _ = path.partition("/")
        return unicodedata.normalize("NFC", name) if slash else ""

    def path(self, id: str) -> str:
        """Return the absolute path of one file."""
        return os.path.join(self.folder, id)

    def keep_decoded(self, max_bytes: int = 1 << 30) -> None:
        """Keep up to `max_bytes` of decoded images in memory, also of subsets made later."""
        self._decoded = DecodedImages(max_bytes)

    def picture(self, id: str, size: Size | None = None) -> AnyArray:
        """Return one picture, uint8 RGB (h, w, 3); see Dataset."""
        try:
            return read_picture(self.path(id), size, self.truncated)
        except (ValueError, OSError) as error:
            raise type(error)(f"{printable(id)}: {reason_of(error)}") from error

    def read_good(self, rows: Sequence[int] | Rows, spec: InputSpec) -> Batch:
        """Return a Batch, without digests, of those of the rows that can be read; see Dataset."""
        return self._finish(self._start(rows, spec))

    def batches(
        self, spec: InputSpec, batch_size: int | None = None, rows: Rows | None = None
    ) -> Iterator[Batch]:
        """Yield `rows`, by default all in order, as Batches of up to `batch_size` files.

        The next batches are decoded while the caller works on one; memory is bounded. A digest is
        computed from the same open file as the image, so that both are of the same content.
        """
        rows = np.arange(len(self)) if rows is None else rows
        batch_size = min(batch_size or FILES_PER_BATCH, spec.images_at_once)
        pending: deque[_Reading] = deque()
        try:
            for start in range(0, len(rows), batch_size):
                pending.append(self._start(rows[start : start + batch_size], spec, hashed=True))
                if len(pending) > PREFETCHED_BATCHES:
                    yield self._finish(pending.popleft())
            while pending:
                yield self._finish(pending.popleft())
        finally:  # the caller may stop half-way, or be interrupted
            for reading in pending:
                for future in reading.futures.values():
                    future.cancel()

    def split(self, validation: float = 0.1, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Return two datasets, for training and for validation.

        A hash of the seed and the path assigns a file to one of them, so that files that are added
        or removed later leave the others where they are. Of two or more files, each gets one.
        """
        if not 0 < validation < 1:
            raise ValueError(f"expected a validation part between 0 and 1, received {validation}")
        values = np.fromiter((_unit_hash(path, seed) for path in self.ids), np.float64, len(self))
        chosen = values < validation
        if len(self) > 1:
            chosen[values.argmin()] = True
            chosen[values.argmax()] = False
        return self.subset(np.flatnonzero(~chosen)), self.subset(np.flatnonzero(chosen))

    def subset(self, rows: Rows) -> "FolderDataset":
        """Return the dataset of these rows; a label means the same in it."""
        part = self.with_ids([self.ids[row] for row in rows])
        part.label_names = self.label_names
        part.unreadable = self.unreadable  # shared: a file is unreadable in every part
        part._decoded = self._decoded
        if self.file_stats is not None:
            part.file_stats = self.file_stats[rows]
        return part

    def with_ids(self, ids: Sequence[str]) -> "FolderDataset":
        """Return the dataset of these paths, without looking whether the files exist."""
        return FolderDataset(self.folder, ids, **self._settings)

    def _start(
        self, rows: Sequence[int] | Rows, spec: InputSpec, *, hashed: bool = False
    ) -> _Reading:
        """Start decoding rows; return what `_finish` takes."""
        rows = np.array([row for row in rows if self.ids[row] not in self.unreadable], np.int64)
        images = np.empty((len(rows), *spec.shape), np.float32)
        digests = np.zeros((len(rows), 2), "<u8") if hashed else None
        reading = _Reading(rows, images, digests)
        for i, row in enumerate(rows.tolist()):
            path = self.path(self.ids[row])
            digest = None if digests is None else digests[i]
            kept = self._decoded
            if kept is None or not kept.copy(path, spec, images[i], digest):
                reading.futures[i] = _pool().submit(self._read, path, spec, images[i], digest)
        return reading

    def _read(
        self, path: str, spec: InputSpec, image: Floats, digest: NDArray[np.uint64] | None
    ) -> str | None:
        """Read a file into `image`, and its hash into `digest`; return None or why it cannot be."""
        try:
            with open_picture(path) as file:
                if is_own_output(file):
                    return "a picture that this program wrote, which is not indexed"
                before = os.fstat(file.fileno())
                if digest is not None:
                    digest[:] = content_digest(file)
                    file.seek(0)
                image[:] = decode_for(spec, file, self.truncated)
                after = os.fstat(file.fileno())
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                return "it was written to while it was read: index again"
            if self._decoded is not None:
                self._decoded.add(path, spec, image, digest)
        except (ValueError, OSError) as error:
            return reason_of(error)
        return None

    def _finish(self, reading: _Reading) -> Batch:
        """Wait for the decoders and return a Batch."""
        rows = reading.rows
        digests = reading.digests
        reasons = {i: why for i, future in reading.futures.items() if (why := future.result())}
        if not reasons:
            return Batch(rows, reading.images, [], digests)
        bad = [(self.ids[rows[i]], why) for i, why in reasons.items()]
        good = np.ones(len(rows), bool)
        good[list(reasons)] = False
        new = {path: why for path, why in bad if path not in self.unreadable}
        self.unreadable |= new
        if digests is not None:
            digests = digests[good]
        return Batch(rows[good], reading.images[good], list(new.items()), digests)


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Return the threads that decode, for all folders; OpenCV starts none of its own."""
    cv2.setNumThreads(1)
    return ThreadPoolExecutor(decoder_threads or cores(), thread_name_prefix="decode")


if hasattr(os, "register_at_fork"):  # threads do not survive in a forked child
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _unit_hash(path: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on the seed and the path only."""
    text = f"{seed}/".encode() + path.encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest()) / 2**48
