"""The one way in which an index is brought up to date: plan, encode, put, remove, commit.

Arrays and folders, index files and collections go through it alike.
"""

import logging
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import Rows
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.datasets.digests import digests_of
from pyimagesearch.indexes.contract import IndexWriter, Records
from pyimagesearch.indexes.local_index import LabelTexts
from pyimagesearch.indexes.plan import (
    SyncPlan,
    plan_sync,
    readable_rows,
    require_few_removed,
    sync_summary,
)
from pyimagesearch.indexes.settings import Update, UpdateResult

logger = logging.getLogger(__name__)


def sync(writer: IndexWriter, update: Update, name: str) -> UpdateResult:
    """Bring an index up to date with a dataset; return the number of codes, and a summary.

    `name` is that of the index in messages. Files that cannot be read are left out, named in
    warnings, and stay in `dataset.unreadable`.

    Raises ValueError when no picture could be read, or most of the index would be removed; OSError
    when it cannot be written.
    """
    dataset = update.dataset
    settings = update.settings
    so_far = writer.records()
    plan = plan_sync(dataset, so_far, checksum=settings.checksum, limited=settings.limited)
    prune = settings.prune or dataset.file_stats is None  # an array is there as a whole
    require_few_removed(plan, so_far, name, prune=prune)
    records = Records(dataset.ids, LabelTexts(dataset), plan.file_stats)
    wanted = np.flatnonzero(plan.kept_row < 0)
    if settings.checksum and dataset.file_stats is not None:
        # So that codes which an interrupted run left are compared by content too.
        records.file_stats["digest"][wanted] = digests_of(dataset, wanted)
    rows = wanted[writer.missing(records.take(wanted))]
    _put_encoded(writer, records, rows, update)
    good = readable_rows(dataset, plan, so_far)
    # Again, as files may have proved unreadable.
    require_few_removed(plan, so_far, name, prune=prune)
    changed = _changed_records(dataset, plan, so_far, good)
    old_ids = [so_far.ids[row] for row in plan.kept_row[changed]]
    writer.keep(records.take(changed), old_ids)
    writer.remove(_leftover_ids(dataset, plan, so_far, good))
    count = writer.commit(dataset.source)
    return UpdateResult(count, writer.changed, sync_summary(dataset, plan, good))


def _put_encoded(writer: IndexWriter, records: Records, rows: Rows, update: Update) -> None:
    """Encode rows of the dataset, and put them into the index as they are encoded."""
    started = time.perf_counter()
    count = 0
    for encoded in update.encode(update.dataset, rows, writer.encoder):
        if encoded.digests is not None:
            records.file_stats["digest"][encoded.rows] = encoded.digests
        if len(encoded.rows):
            writer.put(records.take(encoded.rows), encoded.codes)
        count += len(encoded.rows)
    if count:
        rate = count / (time.perf_counter() - started)
        logger.info(f"encoded {count:,} images, {rate:,.0f} images/s")


def _changed_records(
    dataset: Dataset, plan: SyncPlan, so_far: Records, good: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the rows whose codes are kept although their path, size, time or label is another."""
    kept = np.flatnonzero(good & (plan.kept_row >= 0))
    old = plan.kept_row[kept]
    changed = ~plan.known[kept] | (plan.file_stats[kept] != so_far.file_stats[old])
    if dataset.file_stats is None:  # labels of files are in their paths
        before = [so_far.labels[row] for row in old.tolist()]
        texts = LabelTexts(dataset)
        changed |= np.array([texts[row] for row in kept.tolist()]) != np.array(before)
    rows: Rows = kept[changed]
    return rows


def _leftover_ids(
    dataset: Dataset, plan: SyncPlan, so_far: Records, good: NDArray[np.bool_]
) -> Sequence[str]:
    """Return the ids of the index that it is not to have any more."""
    lasting = {dataset.ids[row] for row in np.flatnonzero(good).tolist()}
    lasting.update(so_far.ids[row] for row in plan.retained)
    return [id for id in so_far.ids if id not in lasting]
