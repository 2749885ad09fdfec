"""Synchronising an index with its dataset: new images are encoded, known codes are kept."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pyimagesearch.datasets.dataset import FILE_STATS
from pyimagesearch.datasets.folder import content_digest
from pyimagesearch.datasets.image_io import open_picture

logger = logging.getLogger(__name__)


@dataclass
class SyncPlan:
    """How an index changes to match a dataset.

    For each row of the dataset: `file_stats` (n,) of type FILE_STATS; `known` bool (n,), whether
    the index has its id; `kept_row` int64 (n,), the row of the index whose code is kept, or -1
    where the image must be encoded. Of the index: `removed` rows, whose files no longer exist, and
    `unlisted` rows, in folders that cannot be listed now.
    """

    file_stats: np.ndarray
    known: np.ndarray
    kept_row: np.ndarray
    removed: list
    unlisted: list

    @property
    def to_encode(self):
        """The rows that must be encoded, int64 (m,)."""
        return np.flatnonzero(self.kept_row < 0)


def plan_sync(dataset, index=None, checksum=False):
    """Compare a dataset with its index so far; return a SyncPlan.

    Images that are not files are all encoded. A file is unchanged if its path, size and time of
    change are; with `checksum`, or when only the path is the same, its content decides. Content
    also identifies a file that was moved or renamed.
    """
    n = len(dataset)
    stats = np.zeros(n, FILE_STATS) if dataset.file_stats is None else dataset.file_stats.copy()
    plan = SyncPlan(stats, np.zeros(n, bool), np.full(n, -1), [], [])
    if index is None or dataset.file_stats is None:
        return plan
    unmatched = {path: row for row, path in enumerate(index.ids)}
    old = np.array([unmatched.pop(path, -1) for path in dataset.ids])
    plan.known = old >= 0
    same = plan.known.copy()
    for name in ("size", "mtime_ns"):
        same &= stats[name] == index.file_stats[name][old]
    if checksum:
        same[:] = False
    plan.kept_row[same] = old[same]
    _keep_same_content(dataset, plan, index, np.flatnonzero(plan.known & ~same), old)
    _keep_moved(dataset, plan, index, unmatched)
    unlisted = tuple(path for path in dataset.unreadable if path.endswith("/"))
    for path, row in unmatched.items():
        (plan.unlisted if path.startswith(unlisted) else plan.removed).append(row)
    kept = plan.kept_row >= 0
    stats["digest"][kept] = index.file_stats["digest"][plan.kept_row[kept]]
    return plan


def _digest(path):
    """Return the hash of a file's content, uint64 (2,); zeros when it cannot be read."""
    try:
        with open_picture(path) as file:
            return content_digest(file)
    except OSError:  # decoding it is going to report the reason
        return np.zeros(2, "<u8")


def _digests(dataset, rows):
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_digest, [dataset.path(row) for row in rows]))


def _keep_same_content(dataset, plan, index, rows, old):
    """Keep the codes of those of the rows whose content is that of their `old` row."""
    for row, digest in zip(rows, _digests(dataset, rows), strict=True):
        if (digest == index.file_stats["digest"][old[row]]).all():
            plan.kept_row[row] = old[row]


def _keep_moved(dataset, plan, index, unmatched):
    """Keep the codes of new files whose content is that of an unmatched one of the index."""
    sizes = {int(index.file_stats["size"][row]) for row in unmatched.values()}
    new = np.flatnonzero(~plan.known)
    rows = [row for row in new if int(plan.file_stats["size"][row]) in sizes]
    paths = {index.file_stats["digest"][row].tobytes(): path for path, row in unmatched.items()}
    for row, digest in zip(rows, _digests(dataset, rows), strict=True):
        path = paths.pop(digest.tobytes(), None)
        if path is not None:
            plan.kept_row[row] = unmatched.pop(path)


def encode_into(sink, dataset, rows, encoder, encode):
    """Encode rows of a dataset into a sink, whatever the dataset and wherever codes are stored.

    `encode` is `encode_rows`, or does the same elsewhere; `sink.add(rows, codes, digests)` takes
    each of its batches.
    """
    started, count = time.perf_counter(), 0
    for good, codes, digests in encode(dataset, rows, encoder):
        sink.add(good, codes, digests)
        count += len(good)
    if count:
        rate = count / (time.perf_counter() - started)
        logger.info(f"encoded {count:,} images, {rate:,.0f} images/s")


def readable_rows(dataset, plan):
    """Return which rows could be read, bool (n,), once all were tried.

    Raises ValueError when none could: then the folder is inaccessible rather than empty.
    """
    if not dataset.unreadable:
        return np.ones(len(dataset), bool)
    good = np.array([id not in dataset.unreadable for id in dataset.ids])
    if not good.any() and not plan.unlisted:
        name = dataset.source["name"]
        raise ValueError(f"none of the {len(good):,} pictures in {name} can be read")
    return good


def sync_summary(dataset, plan, good):
    """Return the changes as text, such as "added 3, changed 1, removed 2, kept 9,994"."""
    encoded = good & (plan.kept_row < 0)
    moved = np.count_nonzero(good & (plan.kept_row >= 0) & ~plan.known)
    counts = {
        "added": np.count_nonzero(encoded & ~plan.known),
        "changed": np.count_nonzero(encoded & plan.known),
        "removed": len(plan.removed) + np.count_nonzero(plan.known & ~good),
        "kept": np.count_nonzero(good & (plan.kept_row >= 0)) - moved + len(plan.unlisted),
        "moved": moved,
        "rejected": len(dataset.unreadable),
    }
    rare = ("moved", "rejected")
    return ", ".join(f"{name} {n:,}" for name, n in counts.items() if n or name not in rare)


def require_same_source(index, dataset, name):
    """Raise ValueError where a sync would drop all images of an index for those of another source.

    `name` is that of the index.
    """
    source, new = index.source or {}, dataset.source
    if not index.has_files or dataset.file_stats is None:
        same = all(source.get(key) == new[key] for key in ("name", "split"))
    else:
        same = source.get("name") == new["name"] or not set(index.ids).isdisjoint(dataset.ids)
        same &= set(source.get("folders", ())) <= set(new.get("folders", ()))
    if not same:
        raise ValueError(
            f"{name} is the index of {source.get('name')}, and {new['name']} has none of its "
            "pictures: name another index, or replace this one with --rebuild"
        )
