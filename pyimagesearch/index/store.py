"""Index files as a store: made, brought up to date, merged, and opened."""

import os
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np

from pyimagesearch.datasets.catalog import open_source
from pyimagesearch.datasets.dataset import FILE_STATS
from pyimagesearch.files import require_writable, verify_checksum
from pyimagesearch.index.engine_update import stored_engine_name, update_engine
from pyimagesearch.index.index import Index
from pyimagesearch.index.index_file import load_index, require_replaceable, save_index
from pyimagesearch.index.journal import open_journal
from pyimagesearch.index.shards import merge_files, require_same_shard, take_shard
from pyimagesearch.index.sync import (
    plan_sync,
    readable_rows,
    require_few_removed,
    require_same_source,
    sync_summary,
)
from pyimagesearch.models.encode import encode_into
from pyimagesearch.search.factory import require_engine

ROWS_PER_BLOCK = 4096  # codes copied at once


@dataclass(frozen=True)
class UpdateSettings:
    """How to bring an index up to date.

    `metric` and `engine` are names, None for the index's own; `recall` is the recall@10 that an
    engine is tuned to; with `checksum` files are compared by content; `rebuild` ignores the codes
    so far; `prune` allows that most of them are removed; with `limited` the dataset is a part of
    the images; `shard` is None or (number, count).
    """

    metric: str | None = None
    engine: str | None = None
    recall: float = 0.98
    checksum: bool = False
    rebuild: bool = False
    prune: bool = False
    limited: bool = False
    shard: tuple | None = None


@dataclass(frozen=True)
class UpdateResult:
    """An index after an update: its number of codes, and texts for the user, or None.

    `summary` counts the changes, `engine_report` gives the recall and speed of its engine.
    """

    count: int
    summary: str | None = None
    engine_report: str | None = None


class FileStore:
    """An index in a file: HDF5 if its name ends in .h5 or .hdf5, else a pickle."""

    keeps_arrays = False  # the index of an array is written anew each time

    def __init__(self, path):
        self.path = str(path)

    def __str__(self):
        return self.path

    def exists(self):
        """Whether there is a file of this name."""
        return os.path.exists(self.path)

    def open(self):
        """Return the Index; raises as `load_index` does."""
        return load_index(self.path)

    def require_writable(self):
        """Raise OSError if the file cannot be written, ValueError if it is not an index."""
        require_writable(self.path)
        require_replaceable(self.path)

    def update(self, dataset, index, encoder, settings, encode):
        """Bring the file up to date with a dataset, or make it; return an UpdateResult.

        `index` is the Index so far, or None; `encode` is `encode_rows` or does the same elsewhere.
        Files that cannot be read are left out, named in warnings, and stay in
        `dataset.unreadable`. The next run continues an interrupted one.

        Raises ValueError when no picture could be read, the index is of other images, or most of
        it would be removed; OSError when another process is writing it or it cannot be written.
        """
        dataset = take_shard(dataset, settings.shard) if settings.shard else dataset
        if index and not settings.rebuild:
            self._require_same_images(index, dataset, settings)
        if index and index.encoder.model_sha256 != encoder.model_sha256:
            index = None  # of an array, or to be rebuilt: none of its codes are kept
        engine = settings.engine or (stored_engine_name(self.path) if index else "exact")
        require_engine(engine, encoder.dim)
        metric = settings.metric or (index.metric if index else "euclidean")
        index = None if settings.rebuild else index
        with self._sink(dataset, encoder) as sink:
            plan = plan_sync(dataset, index, settings.checksum, settings.limited)
            if index:
                require_few_removed(plan, index, self.path, settings.prune)
            rows = sink.missing(dataset, plan)
            encode_into(sink, dataset, rows, encoder, encode)
            sink.flush()
            good = readable_rows(dataset, plan, index)
            if index:
                require_few_removed(plan, index, self.path, settings.prune)
            new = self._write(dataset, plan, good, index, encoder, metric, sink)
        summary = None if dataset.file_stats is None else sync_summary(dataset, plan, good)
        return UpdateResult(len(new), summary, update_engine(self.path, engine, settings))

    def _require_same_images(self, index, dataset, settings):
        verify_checksum(self.path)  # whatever its size, as its codes are copied
        limited = settings.limited or settings.shard is not None
        require_same_source(index, dataset, self.path, limited)
        if settings.shard and index.has_files:
            require_same_shard(index, settings.shard, self.path)

    def merge(self, paths, settings):
        """Join index files, such as shards, into this one; return an UpdateResult.

        Raises ValueError when they do not belong together, or this file has ids that they lack.
        """
        count = merge_files(paths, self.path, settings.rebuild)
        return UpdateResult(
            count, engine_report=update_engine(self.path, settings.engine or "exact", settings)
        )

    def _sink(self, dataset, encoder):
        if dataset.file_stats is None:
            return nullcontext(_MemorySink(len(dataset), encoder.dim))
        return _journal_sink(self.path, encoder)

    def _write(self, dataset, plan, good, index, encoder, metric, sink):
        """Write the new index: kept codes from the one so far, new ones from the sink."""
        rows = np.flatnonzero(good)
        ids, stats, kept_row = dataset.ids, plan.file_stats[rows], plan.kept_row[rows]
        source, labels, names = dataset.source, dataset.labels, dataset.label_names
        if dataset.file_stats is None:
            stats = None
        else:
            ids = [dataset.ids[row] for row in rows] + [index.ids[row] for row in plan.retained]
            order = sorted(range(len(ids)), key=ids.__getitem__)
            ids = [ids[i] for i in order]
            retained = index.file_stats[plan.retained] if plan.retained else np.empty(0, FILE_STATS)
            stats = np.append(stats, retained)[order]
            kept_row = np.append(kept_row, np.array(plan.retained, np.int64))[order]
            sink.read_digests(ids, stats, kept_row)
            folder = open_source(source, True).with_ids(ids)
            labels, names = folder.labels, folder.label_names
        new = Index(None, ids, labels, names, source, metric, encoder, stats)
        save_index(new, self.path, _blocks(new, kept_row, index, sink))
        return new


def _blocks(new, kept_row, index, sink):
    """Yield the codes of the new index in blocks, float32 (m, dim)."""
    for start in range(0, len(new), ROWS_PER_BLOCK):
        part = kept_row[start : start + ROWS_PER_BLOCK]
        codes = np.empty((len(part), new.encoder.dim), np.float32)
        kept, rows = part >= 0, np.arange(start, start + len(part))
        if kept.any():
            codes[kept] = index.codes[part[kept]]
        codes[~kept] = sink.codes_of(new, rows[~kept])
        if not np.isfinite(codes).all():  # of an index too large to be checked when it was opened
            raise ValueError(
                "the index holds codes with NaN or infinity: replace it with --rebuild"
            )
        yield codes


class _MemorySink:
    """Holds the codes of an array until they are written."""

    def __init__(self, count, dim):
        self._codes = np.empty((count, dim), np.float32)

    def missing(self, dataset, plan):
        return plan.to_encode

    def add(self, rows, codes, digests):
        self._codes[rows] = codes

    def flush(self):
        pass

    def codes_of(self, new, rows):
        return self._codes[rows]


class _JournalSink:
    """Holds the codes of files in a journal on disk, which survives an interruption."""

    def __init__(self, journal):
        self._journal = journal

    def missing(self, dataset, plan):
        """Return the rows that neither the index nor the journal has; remember the dataset."""
        self._dataset, self._stats = dataset, plan.file_stats
        stats = plan.file_stats
        return [row for row in plan.to_encode if self._find(dataset.ids[row], stats[row]) is None]

    def add(self, rows, codes, digests):
        for row, code, digest in zip(rows, codes, digests, strict=True):
            size, mtime_ns, _ = self._stats[row].tolist()
            self._journal.add(self._dataset.ids[row], size, mtime_ns, digest.tobytes(), code)

    def flush(self):
        self._journal.save()

    def read_digests(self, ids, stats, kept_row):
        """Fill in the digests of the files that were encoded."""
        for row in np.flatnonzero(kept_row < 0):
            stats["digest"][row] = np.frombuffer(self._find(ids[row], stats[row])[0], "<u8")

    def codes_of(self, new, rows):
        codes = [self._find(new.ids[row], new.file_stats[row])[1] for row in rows]
        return np.array(codes, np.float32).reshape(len(rows), new.encoder.dim)

    def _find(self, id, stats):
        return self._journal.find(id, *stats.tolist()[:2])


@contextmanager
def _journal_sink(path, encoder):
    with open_journal(path, encoder) as journal:
        yield _JournalSink(journal)
