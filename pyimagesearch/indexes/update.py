"""Making, updating and merging index files."""

from contextlib import contextmanager, nullcontext

import numpy as np

from pyimagesearch.datasets.catalog import open_source
from pyimagesearch.datasets.dataset import FILE_STATS
from pyimagesearch.encoders.encoding import encode_into
from pyimagesearch.engines.factory import require_engine
from pyimagesearch.files import verify_checksum
from pyimagesearch.indexes.engine_update import stored_engine_name, update_engine
from pyimagesearch.indexes.index_file import save_index
from pyimagesearch.indexes.journal import open_journal
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.indexes.settings import UpdateResult
from pyimagesearch.indexes.shards import merge_files, require_same_shard, take_shard
from pyimagesearch.indexes.sync import (
    plan_sync,
    readable_rows,
    require_few_removed,
    require_same_source,
    sync_summary,
)

ROWS_PER_BLOCK = 4096  # codes copied at once


def update_file(path, dataset, index, encoder, settings, encode):
    """Bring an index file up to date with a dataset, or make it; return an UpdateResult.

    `index` is the Index so far, or None; `encode` is `encode_rows` or does the same elsewhere.
    Files that cannot be read are left out, named in warnings, and stay in
    `dataset.unreadable`. The next run continues an interrupted one.

    Raises ValueError when no picture could be read, the index is of other images, or most of
    it would be removed; OSError when another process is writing it or it cannot be written.
    """
    dataset = take_shard(dataset, settings.shard) if settings.shard else dataset
    if index and not settings.rebuild:
        _require_same_images(path, index, dataset, settings)
    if index and index.encoder.model_sha256 != encoder.model_sha256:
        index = None  # of an array, or to be rebuilt: none of its codes are kept
    engine = settings.engine or (stored_engine_name(path) if index else "exact")
    require_engine(engine, encoder.dim)
    metric = settings.metric or (index.metric if index else "euclidean")
    index = None if settings.rebuild else index
    with _sink(path, dataset, encoder) as sink:
        plan = plan_sync(dataset, index, settings.checksum, settings.limited)
        if index:
            require_few_removed(plan, index, path, settings.prune)
        rows = sink.missing(dataset, plan)
        encode_into(sink, dataset, rows, encoder, encode)
        sink.flush()
        good = readable_rows(dataset, plan, index)
        if index:
            require_few_removed(plan, index, path, settings.prune)
        new = _write(path, dataset, plan, good, index, encoder, metric, sink)
    summary = None if dataset.file_stats is None else sync_summary(dataset, plan, good)
    return UpdateResult(len(new), summary, update_engine(path, engine, settings))


def merge_into(path, paths, settings):
    """Join index files, such as shards, into another; return an UpdateResult.

    Raises ValueError when they do not belong together, or the other has ids that they lack.
    """
    count = merge_files(paths, path, settings.rebuild)
    return UpdateResult(
        count, engine_report=update_engine(path, settings.engine or "exact", settings)
    )


def _require_same_images(path, index, dataset, settings):
    verify_checksum(path)  # whatever its size, as its codes are copied
    limited = settings.limited or settings.shard is not None
    require_same_source(index, dataset, path, limited)
    if settings.shard and index.has_files:
        require_same_shard(index, settings.shard, path)


def _sink(path, dataset, encoder):
    if dataset.file_stats is None:
        return nullcontext(_MemorySink(len(dataset), encoder.dim))
    return _journal_sink(path, encoder)


def _write(path, dataset, plan, good, index, encoder, metric, sink):
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
    new = LocalIndex(None, ids, labels, names, source, metric, encoder, stats)
    save_index(new, path, _blocks(new, kept_row, index, sink))
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
