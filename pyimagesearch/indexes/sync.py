"""The one way in which an index is brought up to date: plan, encode, put, remove, commit.

Arrays and folders, index files and collections go through it alike.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import Rows
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.encoders.encoding import encode_into
from pyimagesearch.indexes.contract import Codes, IndexWriter, Records
from pyimagesearch.indexes.local_index import LabelTexts
from pyimagesearch.indexes.plan import (
    SyncPlan,
    plan_sync,
    readable_rows,
    require_few_removed,
    sync_summary,
)
from pyimagesearch.indexes.settings import Update, UpdateResult


def sync(writer: IndexWriter, update: Update, name: str, *, total: int) -> UpdateResult:
    """Bring an index up to date with a dataset; return the number of codes, and a summary of files.

    `name` is that of the index in messages; `total` is the number of images of all shards. Files
    that cannot be read are left out, named in warnings, and stay in `dataset.unreadable`.

    Raises ValueError when no picture could be read, or most of the index would be removed; OSError
    when it cannot be written.
    """
    dataset = update.dataset
    settings = update.settings
    so_far = writer.records()
    plan = plan_sync(dataset, so_far, checksum=settings.checksum, limited=settings.limited)
    require_few_removed(plan, so_far, name, prune=settings.prune)
    records = _records(dataset, plan)
    wanted = plan.to_encode
    rows = wanted[writer.missing(records.take(wanted))]
    encode_into(_Encoded(writer, records), dataset, rows, writer.encoder, encode=update.encode)
    good = readable_rows(dataset, plan, so_far)
    # Again, as files may have proved unreadable.
    require_few_removed(plan, so_far, name, prune=settings.prune)
    moved_or_touched = _changed_records(plan, so_far, good)
    old_ids = [so_far.ids[row] for row in plan.kept_row[moved_or_touched]]
    writer.keep(records.take(moved_or_touched), old_ids)
    writer.remove(_leftover_ids(dataset, plan, so_far, good=good, total=total))
    count = writer.commit(dataset.source)
    if dataset.file_stats is None:
        return UpdateResult(count)
    return UpdateResult(count, sync_summary(dataset, plan, good))


class _Encoded:
    """Takes rows of a dataset as they are encoded, and puts them into an index."""

    def __init__(self, writer: IndexWriter, records: Records) -> None:
        self._writer = writer
        self._records = records

    def add(
        self, rows: NDArray[np.int64], codes: Codes, digests: NDArray[np.uint64] | None
    ) -> None:
        """Put rows, int64 (m,), with their codes, float32 (m, d), and digests, uint64 (m, 2)."""
        if digests is not None:
            self._records.file_stats["digest"][rows] = digests
        if len(rows):
            self._writer.put(self._records.take(rows), codes)


def _records(dataset: Dataset, plan: SyncPlan) -> Records:
    labels = LabelTexts(dataset.labels, dataset.label_names, len(dataset))
    return Records(dataset.ids, labels, plan.file_stats)


def _changed_records(plan: SyncPlan, so_far: Records, good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rows whose codes are kept although their path, size or time is another."""
    kept = np.flatnonzero(good & (plan.kept_row >= 0))
    old_stats = so_far.file_stats[plan.kept_row[kept]]
    changed = ~plan.known[kept] | (plan.file_stats[kept] != old_stats)
    rows: Rows = kept[changed]
    return rows


def _leftover_ids(
    dataset: Dataset,
    plan: SyncPlan,
    so_far: Records,
    *,
    good: NDArray[np.bool_],
    total: int,
) -> Sequence[str]:
    """Return the ids of the index that it is not to have any more."""
    if dataset.file_stats is None:  # ids are numbers of rows, also of other shards
        return [id for id in so_far.ids if int(id) >= total]
    lasting = {dataset.ids[row] for row in np.flatnonzero(good).tolist()}
    lasting.update(so_far.ids[row] for row in plan.retained)
    return [id for id in so_far.ids if id not in lasting]
