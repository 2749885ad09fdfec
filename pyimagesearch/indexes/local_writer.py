"""Changing an index file: codes are collected, and the file is replaced when all of them are there.

The codes of files are collected in a journal on disk, which survives an interruption; those of
arrays in memory.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.datasets.dataset import FILE_STATS, RowIds
from pyimagesearch.indexes.contract import Codes, IndexWriter, Records
from pyimagesearch.indexes.index_file import save_index
from pyimagesearch.indexes.journal import Journal, JournalEntry
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.indexes.settings import Update

ROWS_PER_BLOCK = 4096  # codes copied at once
IN_JOURNAL = -1


class FileWriter(IndexWriter):
    """Writes an index file anew if anything changed, with new codes and those that stay."""

    def __init__(self, path: str, update: Update, so_far: LocalIndex | None) -> None:
        """`so_far` is an index whose codes are kept, or None."""
        self.encoder = update.encoder
        self._path = path
        self._metric = update.metric
        self._so_far = so_far
        self._removed: set[str] = set()
        self._ids: list[str] = []  # of what is put or kept, in any order

    def records(self) -> Records:
        """Return the Records of the images whose codes may be kept."""
        if self._so_far is None:
            return Records([], [], np.zeros(0, FILE_STATS))
        return self._so_far.records()

    def remove(self, ids: Iterable[str]) -> None:
        """Remove images."""
        self._removed.update(ids)

    def _changes(self, source: dict[str, Any]) -> bool:
        """Whether the index file is to be another one than before, one of images of a source."""
        so_far = self._so_far
        if so_far is None or self._removed or self._ids:
            return True
        return (so_far.source, so_far.metric) != (source, self._metric)

    def _rows_of_others(self) -> NDArray[np.int64]:
        """Return the rows of the index so far that were neither put, kept nor removed."""
        assert self._so_far is not None
        others = self._removed.union(self._ids)
        rows = [row for row, id in enumerate(self._so_far.ids) if id not in others]
        return np.array(rows, np.int64)


class ArrayWriter(FileWriter):
    """Writes the index of an array, with new codes from memory."""

    def __init__(self, path: str, update: Update, so_far: LocalIndex | None) -> None:
        """`so_far` is an index whose codes are kept, or None."""
        super().__init__(path, update, so_far)
        self._labels: list[str] = []
        self._codes: list[Codes] = [np.empty((0, update.encoder.dim), np.float32)]

    def put(self, records: Records, codes: Codes) -> None:
        """Add images with their codes, float32 (n, d)."""
        self._ids += records.ids
        self._labels += records.labels
        self._codes.append(codes)

    def keep(self, records: Records, old_ids: Sequence[str]) -> None:
        """Give images the codes that the index has for `old_ids`."""
        if len(records):
            assert self._so_far is not None
            self.put(records, _finite(self._so_far.codes_of(old_ids)))

    def commit(self, source: dict[str, Any]) -> int:
        """Replace the file, or leave it if nothing changed; return the number of images."""
        so_far = self._so_far
        self.changed = self._changes(source)
        if so_far is not None:
            if not self.changed:
                return len(so_far)
            rows = self._rows_of_others()
            self.put(so_far.records().take(rows), _finite(so_far.codes[rows]))
        numbers = np.array([int(id) for id in self._ids], np.int64)
        order = np.argsort(numbers)
        ids: Sequence[str] = [self._ids[place] for place in order.tolist()]
        if np.array_equal(numbers[order], np.arange(len(numbers))):
            ids = RowIds(len(numbers))
        codes = np.concatenate(self._codes)[order]
        index = LocalIndex(codes, ids, source=source, metric=self._metric, encoder=self.encoder)
        if any(self._labels):
            labels = [int(text) if text else -1 for text in self._labels]
            index.labels = np.array(labels, np.int64)[order]
        save_index(index, self._path)
        return len(ids)


class FolderWriter(FileWriter):
    """Writes the index of a folder, with new codes from a journal."""

    def __init__(
        self, path: str, update: Update, so_far: LocalIndex | None, journal: Journal
    ) -> None:
        """`so_far` is an index whose codes are kept, or None; `journal` takes the new ones."""
        super().__init__(path, update, so_far)
        self._journal = journal
        # Of what is put or kept: FILE_STATS, and the rows of its codes in the index so far,
        # IN_JOURNAL for those of the journal.
        self._stats: list[NDArray[Any]] = []
        self._rows: list[int] = []

    def missing(self, records: Records) -> NDArray[np.int64]:
        """Return the rows that the journal of an interrupted run does not have."""
        rows = []
        found = []
        for row, id in enumerate(records.ids):
            entry = self._find(id, records.file_stats[row])
            known = records.file_stats["digest"][row]
            if entry is None or (known.any() and known.tobytes() != entry.digest):
                rows.append(row)
            else:
                records.file_stats["digest"][row] = np.frombuffer(entry.digest, "<u8")
                found.append(row)
        self._add(records.take(found), [IN_JOURNAL] * len(found))
        return np.array(rows, np.int64)

    def put(self, records: Records, codes: Codes) -> None:
        """Add files with their codes, float32 (n, d); they survive an interruption."""
        for row, id in enumerate(records.ids):
            stats = records.file_stats[row]
            size, mtime_ns, _ = stats.tolist()
            self._journal.add(id, size, mtime_ns, stats["digest"].tobytes(), codes[row])
        self._add(records, [IN_JOURNAL] * len(records))

    def keep(self, records: Records, old_ids: Sequence[str]) -> None:
        """Give files the codes that the index has for `old_ids`."""
        if not len(records):
            return
        assert self._so_far is not None
        rows = self._so_far.rows_of(old_ids)
        self._add(records, [rows[id] for id in old_ids])

    def _add(self, records: Records, rows: Sequence[int]) -> None:
        self._ids += records.ids
        self._stats.append(records.file_stats)
        self._rows += rows

    def commit(self, source: dict[str, Any]) -> int:
        """Replace the file, or leave it if nothing changed; return the number of images."""
        self._journal.save()
        so_far = self._so_far
        self.changed = self._changes(source)
        if so_far is not None:
            if not self.changed:
                return len(so_far)
            assert so_far.file_stats is not None
            rows = self._rows_of_others()
            self._ids += so_far.ids_of(rows)
            self._stats.append(so_far.file_stats[rows])
            self._rows += rows.tolist()
        order = sorted(range(len(self._ids)), key=self._ids.__getitem__)
        index = LocalIndex(
            np.empty((0, self.encoder.dim), np.float32),
            [self._ids[place] for place in order],
            source=source,
            metric=self._metric,
            encoder=self.encoder,
            file_stats=np.concatenate(self._stats)[order],
        )
        index.label_by_folder()
        save_index(index, self._path, self._blocks(index, np.array(self._rows, np.int64)[order]))
        return len(order)

    def _blocks(self, index: LocalIndex, rows: NDArray[np.int64]) -> Iterator[Codes]:
        """Yield the codes of the new index in blocks, float32 (m, dim)."""
        for start in range(0, len(rows), ROWS_PER_BLOCK):
            part = rows[start : start + ROWS_PER_BLOCK]
            codes = np.empty((len(part), self.encoder.dim), np.float32)
            kept = part >= 0
            if kept.any():
                assert self._so_far is not None
                codes[kept] = self._so_far.codes[part[kept]]
            for place in np.flatnonzero(~kept).tolist():
                codes[place] = self._code(index, start + place)
            yield _finite(codes)

    def _code(self, index: LocalIndex, row: int) -> Codes:
        assert index.file_stats is not None
        entry = self._find(index.ids[row], index.file_stats[row])
        if entry is None:
            raise OSError(f"the journal of {self._path} was damaged meanwhile: run again")
        return entry.code

    def _find(self, id: str, stats: Any) -> JournalEntry | None:
        return self._journal.find(id, int(stats["size"]), int(stats["mtime_ns"]))


def _finite(codes: Codes) -> Codes:
    """Return codes, some of an index too large to be checked when opened, or raise ValueError."""
    if not np.isfinite(codes).all():
        raise ValueError("the index holds codes with NaN or infinity: replace it with --rebuild")
    return codes
