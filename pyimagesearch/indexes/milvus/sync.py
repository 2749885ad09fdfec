"""Synchronising a collection with its images; all writes are idempotent."""

import time

import numpy as np

from pyimagesearch.encoders.encoding import encode_into
from pyimagesearch.indexes.milvus.index import LAST_ROW
from pyimagesearch.indexes.milvus.schema import parse_engine
from pyimagesearch.indexes.shards import shard_range
from pyimagesearch.indexes.sync import (
    plan_sync,
    readable_rows,
    require_few_removed,
    sync_summary,
)

ROWS_PER_WRITE = 1024
SECONDS_PER_WRITE = 10  # of work that a kill may cost, at most


class Writer:
    """A sink that writes rows of a dataset or an index to a collection, many at once."""

    def __init__(self, index, images, file_stats):
        """Take a MilvusIndex, the images with ids and labels, and their FILE_STATS (n,)."""
        self._index, self._images, self._file_stats = index, images, file_stats
        self._pending, self._saved = [], time.monotonic()

    def add(self, rows, codes, digests=None):
        """Add rows, int64 (m,), with their codes, float32 (m, dim), and digests, uint64 (m, 2)."""
        if digests is not None:
            self._file_stats["digest"][rows] = digests
        if len(rows):
            self._pending.append((np.asarray(rows), codes))
        count = sum(len(rows) for rows, _ in self._pending)
        if count >= ROWS_PER_WRITE or time.monotonic() - self._saved > SECONDS_PER_WRITE:
            self.flush()

    def flush(self):
        """Write the pending rows; on return the server has acknowledged them."""
        if self._pending:
            rows, codes = map(np.concatenate, zip(*self._pending, strict=True))
            ids = [self._images.ids[row] for row in rows]
            numbers = [self._index.row_of(id) for id in ids]
            labels = _label_texts(self._images, rows)
            self._index.upsert(numbers, ids, labels, codes, self._file_stats[rows])
            self._pending.clear()
        self._saved = time.monotonic()


def _label_texts(images, rows):
    """Return the labels of rows as text, empty where there is none."""
    if images.labels is None:
        return [""] * len(rows)
    names, labels = images.label_names, images.labels[rows].tolist()
    return ["" if n < 0 else names[n] if names else str(n) for n in labels]


def sync_collection(dataset, index, total, settings, encode):
    """Bring a MilvusIndex up to date with a dataset, of a shard with that part of it.

    `total` is the number of images of all shards. Rows of other shards are left alone; rows that
    were written before an interruption are kept by the next run. Returns a summary for files, else
    None. Raises as FileStore.update does.
    """
    start, end = shard_range(settings.shard) if settings.shard else (0, LAST_ROW + 1)
    if index.has_files:
        numbers = np.array([index.row_of(id) for id in dataset.ids], np.int64)
        _require_distinct(numbers, dataset.ids)
        rows_so_far, so_far = index.listing(start, end - 1)
        plan = plan_sync(
            dataset, so_far if len(so_far) else None, settings.checksum, settings.limited
        )
        require_few_removed(plan, so_far, index.name, settings.prune)
    else:
        plan = plan_sync(dataset)
    writer = Writer(index, dataset, plan.file_stats)
    encode_into(writer, dataset, plan.to_encode, index.encoder, encode)
    good, summary = readable_rows(dataset, plan, so_far if index.has_files else None), None
    if index.has_files:
        require_few_removed(plan, so_far, index.name, settings.prune)
        _write_kept(plan, good, index, so_far, rows_so_far, writer)
        summary = sync_summary(dataset, plan, good)
    writer.flush()
    if index.has_files:
        retained = rows_so_far[plan.retained] if plan.retained else []
        index.delete(np.setdiff1d(rows_so_far, [*numbers[good], *retained]))
    else:
        index.delete_from(total)
    index.update(dataset=dataset.source)
    index.flush()
    return summary


def _write_kept(plan, good, index, so_far, rows_so_far, writer):
    """Write the files whose codes are kept but whose path, size or time changed."""
    kept = good & (plan.kept_row >= 0)
    if not kept.any():
        return
    changed = kept & (~plan.known | (plan.file_stats != so_far.file_stats[plan.kept_row]))
    rows = np.flatnonzero(changed)
    for start in range(0, len(rows), ROWS_PER_WRITE):
        part = rows[start : start + ROWS_PER_WRITE]
        writer.add(part, index.codes_of(rows_so_far[plan.kept_row[part]]))


def copy_index(source, index):
    """Write all rows of an Index in memory or mapped to a MilvusIndex."""
    stats = source.file_stats
    stats = np.zeros(len(source), index.record_type) if stats is None else np.array(stats)
    writer = Writer(index, source, stats)
    for start in range(0, len(source), ROWS_PER_WRITE):
        rows = np.arange(start, min(start + ROWS_PER_WRITE, len(source)))
        writer.add(rows, np.array(source.codes[rows]))
    writer.flush()


def change_engine(index, name):
    """Have the server index the codes in another way; raises ValueError if it cannot."""
    engine = parse_engine(name, index.encoder.dim, len(index))
    if engine == index.engine_spec:
        return
    connection = index.connection
    if engine.bits or index.engine_spec.bits:
        raise ValueError(
            f"{connection.address} is searched by {index.engine_spec.name}: to change from or to "
            "hash codes, make it again with --rebuild"
        )
    engine.require(connection)
    field, *_ = engine.index(index.metric)
    params = connection.index_params(*engine.index(index.metric))
    connection.call("release_collection", index.name)
    connection.call("drop_index", index.name, field)
    connection.call("create_index", index.name, params)
    connection.call("load_collection", index.name)
    index.engine_spec = engine
    index.update(engine=engine.name)
    index.flush()


def _require_distinct(numbers, ids):
    """Raise ValueError if two files would have the same row number."""
    order = np.argsort(numbers, kind="stable")
    [same] = np.nonzero(np.diff(numbers[order]) == 0)
    if len(same):  # among ten million pictures, with a probability of 1 in 180,000
        a, b = (ids[order[same[0] + i]] for i in (0, 1))
        raise ValueError(f"{a} and {b} have the same 63-bit hash: rename one of them")
