"""Changing a collection: images are put many at once, and old ones go at the end.

All writes are idempotent: what was put before an interruption is kept by the next run.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.datasets.dataset import FILE_STATS
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.indexes.contract import Codes, IndexWriter, Records
from pyimagesearch.indexes.milvus.collection import ALL_KEYS
from pyimagesearch.indexes.milvus.index import MilvusIndex
from pyimagesearch.indexes.settings import Shard
from pyimagesearch.indexes.shards import shard_range, shard_rows

ROWS_PER_WRITE = 1024
SECONDS_PER_WRITE = 10  # of work that a kill may cost, at most


class MilvusWriter(IndexWriter):
    """Writes to a MilvusIndex, of a shard to its part of the keys only."""

    def __init__(self, index: MilvusIndex, shard: Shard | None = None) -> None:
        assert index.encoder is not None
        self.encoder: Encoder = index.encoder
        self._index = index
        self._shard = shard
        self._keys = ALL_KEYS if shard is None else shard_range(shard)
        self._pending: list[tuple[Records, Codes]] = []
        self._saved = time.monotonic()
        self._removed: list[str] = []
        self.changed = False

    def records(self) -> Records:
        """Return the Records of the images so far."""
        if self._index.has_files:
            records = self._index.records(self._keys)
        else:
            records = self._index.records()
            if self._shard is not None:
                records = records.take(shard_rows(records.ids, self._shard))
        self._require_distinct(records.ids)
        return records

    def missing(self, records: Records) -> NDArray[np.int64]:
        """Return all rows: what an interrupted run put is among the images so far."""
        self._require_distinct(records.ids)
        return np.arange(len(records))

    def put(self, records: Records, codes: Codes) -> None:
        """Add images with their codes, float32 (n, d), or replace those of the same ids."""
        self.changed = True
        self._pending.append((records, codes))
        count = sum(len(some) for some, _ in self._pending)
        if count >= ROWS_PER_WRITE or time.monotonic() - self._saved > SECONDS_PER_WRITE:
            self.flush()

    def flush(self) -> None:
        """Write what is pending; on return the server has acknowledged it."""
        if self._pending:
            ids = [id for records, _ in self._pending for id in records.ids]
            labels = [label for records, _ in self._pending for label in records.labels]
            stats = np.concatenate([records.file_stats for records, _ in self._pending])
            codes = np.concatenate([codes for _, codes in self._pending])
            self._index.upsert(Records(ids, labels, stats.astype(FILE_STATS)), codes)
            self._pending.clear()
        self._saved = time.monotonic()

    def keep(self, records: Records, old_ids: Sequence[str]) -> None:
        """Give images the codes that the collection has for `old_ids`."""
        for start in range(0, len(records), ROWS_PER_WRITE):
            part = range(start, min(start + ROWS_PER_WRITE, len(records)))
            codes = self._index.codes_of([old_ids[row] for row in part])
            self.put(records.take(part), codes)

    def remove(self, ids: Iterable[str]) -> None:
        """Remove images, at the end."""
        self._removed += ids

    def commit(self, source: dict[str, Any]) -> int:
        """Write what is pending, delete what was removed; return the number of images."""
        self.flush()
        self._index.collection.delete([self._index.key_of(id) for id in self._removed])
        self.changed |= bool(self._removed) or self._index.source != source
        self._index.update_state(dataset=source)
        self._index.flush()
        return self._index.count()

    def _require_distinct(self, ids: Sequence[str]) -> None:
        """Raise ValueError if two images would have the same key."""
        keys = np.array([self._index.key_of(id) for id in ids], np.int64)
        order = np.argsort(keys, kind="stable")
        [same] = np.nonzero(np.diff(keys[order]) == 0)
        if len(same):  # among ten million pictures, with a probability of 1 in 180,000
            first = ids[order[same[0]]]
            second = ids[order[same[0] + 1]]
            raise ValueError(f"{first} and {second} have the same 63-bit hash: rename one of them")
