"""Comparing an index with its dataset: what is encoded, kept, moved and removed."""

import logging
import os
import shlex
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.datasets.catalog import DEFAULT_SOURCE
from pyimagesearch.datasets.dataset import FILE_STATS, Dataset, array_digest
from pyimagesearch.datasets.digests import content_digest, digests_of
from pyimagesearch.files import printable
from pyimagesearch.indexes.contract import Index, Records

logger = logging.getLogger(__name__)

MANY_REMOVED = 20  # removals that need no confirmation, however small the index
COMPARED = 64  # files whose content is compared to recognize a folder
SOURCE_NAMES = ("name", "split")


@dataclass
class SyncPlan:
    """How an index changes to match a dataset.

    For each row of the dataset: `file_stats` (n,) of type FILE_STATS; `known` bool (n,), whether
    the index has its id; `kept_row` int64 (n,), the row of the index whose code is kept, or -1
    where the image must be encoded. Of the index: `removed` rows, whose images no longer exist, and
    `retained` rows, which are kept as they are: their files are inaccessible, or not part of this
    run.
    """

    file_stats: NDArray[Any]
    known: NDArray[np.bool_]
    kept_row: NDArray[np.int64]
    removed: list[int] = field(default_factory=list)
    retained: list[int] = field(default_factory=list)


def plan_sync(
    dataset: Dataset, so_far: Records, *, checksum: bool = False, limited: bool = False
) -> SyncPlan:
    """Compare a dataset with the Records of its index so far; return a SyncPlan.

    An image of an array is unchanged if the array is. A file is unchanged if its path, size and
    time of change are; with `checksum`, or when only the path is the same, its content decides.
    Content also identifies a file that was moved or renamed. Of a `limited` dataset, files that are
    not in it may exist nevertheless and are retained.
    """
    n = len(dataset)
    stats = np.zeros(n, FILE_STATS) if dataset.file_stats is None else dataset.file_stats.copy()
    if dataset.file_stats is None:
        stats["digest"] = array_digest(dataset.source)
    plan = SyncPlan(stats, np.zeros(n, bool), np.full(n, -1))
    if not len(so_far):
        return plan
    unmatched = {path: row for row, path in enumerate(so_far.ids)}
    old = np.array([unmatched.pop(path, -1) for path in dataset.ids])
    plan.known = old >= 0
    if dataset.file_stats is None:
        plan.removed = list(unmatched.values())
        # A file with fewer labels than images has fewer rows, too. Its images are encoded, as they
        # are only then read, which reports the labels that are missing.
        if not plan.removed:
            same = plan.known & (stats["digest"] == so_far.file_stats["digest"][old]).all(axis=1)
            plan.kept_row[same] = old[same]
        return plan
    same = plan.known.copy()
    for name in ("size", "mtime_ns"):
        same &= stats[name] == so_far.file_stats[name][old]
    if checksum:
        same[:] = False
    plan.kept_row[same] = old[same]
    _keep_same_content(dataset, plan, so_far, old)
    gone = {} if limited else _gone(dataset, unmatched)
    plan.retained = [row for path, row in unmatched.items() if path not in gone]
    _keep_moved(dataset, plan, so_far, gone)
    plan.removed = list(gone.values())
    kept = plan.kept_row >= 0
    stats["digest"][kept] = so_far.file_stats["digest"][plan.kept_row[kept]]
    return plan


def _gone(dataset: Dataset, unmatched: dict[str, int]) -> dict[str, int]:
    """Return those of the paths and rows of the index whose pictures do not exist any more.

    A warning counts those that are inaccessible, unless their folder was named as unreadable.
    """
    unlisted = tuple(path for path in dataset.unreadable if path.endswith("/"))
    paths = [path for path in unmatched if not path.startswith(unlisted)]
    with ThreadPoolExecutor() as pool:
        are_gone = list(pool.map(is_gone, [dataset.path(path) or "" for path in paths]))
    gone = {path: unmatched[path] for path in compress(paths, are_gone)}
    inaccessible = [path for path in paths if path not in gone]
    if inaccessible:
        logger.warning(
            f"{len(inaccessible):,} pictures that cannot be read now stay in the index, such as "
            f"{printable(inaccessible[0])}: do their links lead to a drive that is not mounted?"
        )
    return gone


def is_gone(path: str, digest: NDArray[np.uint64] | None = None) -> bool:
    """Whether the picture that a file was is gone, rather than inaccessible now.

    It is gone if there is no file, or one that can be read; with `digest`, the hash of the
    picture, if the content is another. What a link leads to may be on a drive that is not mounted.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return True
        with open(path, "rb") as file:
            return digest is None or not np.array_equal(content_digest(file), digest)
    except NotADirectoryError:
        return True
    except FileNotFoundError:
        nearest = next(filter(os.path.lexists, [Path(path), *Path(path).parents]))
        return nearest.exists()
    except OSError:
        return False


def _keep_same_content(
    dataset: Dataset, plan: SyncPlan, so_far: Records, old: NDArray[np.int64]
) -> None:
    """Keep the codes of touched files whose content is that of their `old` row."""
    rows = np.flatnonzero(plan.known & (plan.kept_row < 0))
    same = (digests_of(dataset, rows) == so_far.file_stats["digest"][old[rows]]).all(axis=1)
    plan.kept_row[rows[same]] = old[rows[same]]


def _keep_moved(dataset: Dataset, plan: SyncPlan, so_far: Records, gone: dict[str, int]) -> None:
    """Keep the codes of new files whose content is that of one that is gone, and remove that."""
    sizes = so_far.file_stats["size"][list(gone.values())]
    rows = np.flatnonzero(~plan.known & np.isin(plan.file_stats["size"], sizes))
    paths = {so_far.file_stats["digest"][row].tobytes(): path for path, row in gone.items()}
    for row, digest in zip(rows, digests_of(dataset, rows), strict=True):
        path = paths.pop(digest.tobytes(), None)
        if path is not None:
            plan.kept_row[row] = gone.pop(path)


def readable_rows(dataset: Dataset, plan: SyncPlan, so_far: Records) -> NDArray[np.bool_]:
    """Return which rows could be read, bool (n,), once all were tried.

    Known files that are inaccessible now, or cannot be decoded although their content is the same,
    are added to `plan.retained`. Raises ValueError when no file could be read: then the folder is
    inaccessible rather than empty.
    """
    good = dataset.readable(np.arange(len(dataset)))
    if good.all():
        return good
    known = np.flatnonzero(plan.known & ~good)
    if len(known):
        rows = {id: row for row, id in enumerate(so_far.ids)}
        for row in known.tolist():
            old = rows[dataset.ids[row]]
            if is_gone(dataset.path(dataset.ids[row]) or "", so_far.file_stats["digest"][old]):
                plan.removed.append(old)
            else:
                plan.retained.append(old)
    if not good.any() and not plan.retained:
        name = dataset.source["name"]
        raise ValueError(f"none of the {len(good):,} pictures in {name} can be read")
    return good


def sync_summary(dataset: Dataset, plan: SyncPlan, good: NDArray[np.bool_]) -> str:
    """Return the changes as text, such as "added 3, changed 1, removed 2, kept 9,994"."""
    encoded = good & (plan.kept_row < 0)
    moved = np.count_nonzero(good & (plan.kept_row >= 0) & ~plan.known)
    counts = {
        "added": np.count_nonzero(encoded & ~plan.known),
        "changed": np.count_nonzero(encoded & plan.known),
        "removed": len(plan.removed),
        "kept": np.count_nonzero(good & (plan.kept_row >= 0)) - moved + len(plan.retained),
        "moved": moved,
        "rejected": len(dataset.unreadable),
    }
    rare = ("moved", "rejected")
    return ", ".join(f"{name} {n:,}" for name, n in counts.items() if n or name not in rare)


def require_few_removed(plan: SyncPlan, so_far: Records, name: str, *, prune: bool = False) -> None:
    """Raise ValueError where a sync would remove most of an index, unless with `prune`.

    Disks that are not mounted look like empty folders. `name` is that of the index.
    """
    count = len(plan.removed)
    if not prune and count > MANY_REMOVED and 2 * count > len(so_far):
        raise ValueError(
            f"{count:,} of the {len(so_far):,} pictures of {name} are missing; is a drive "
            "unmounted? If they were deleted, remove them from the index with --prune"
        )


def require_same_source(
    index: Index, dataset: Dataset, name: str, *, limited: bool = False
) -> None:
    """Raise ValueError where a sync would replace images of an index by those of another source.

    `name` is that of the index. A folder that was moved has the same files, by their content, and
    is no longer where it was. A `limited` dataset must not be smaller than an index of an array.
    """
    source: dict[str, Any] = index.source or DEFAULT_SOURCE
    new = dataset.source
    files = dataset.file_stats is not None
    if index.has_files and files:
        before = set(source.get("folders", ()))
        now = set(new.get("folders", ()))
        covered = not now or (before and before <= now)
        same = covered and (source["name"] == new["name"] or _has_moved(index, dataset))
    else:
        same = index.has_files == files and all(source[key] == new[key] for key in SOURCE_NAMES)
    if not same:
        other = "" if files else f" --split {new['split']}"
        raise ValueError(
            f"{name} is the index of {_described(source, index.has_files)}, not of "
            f"{_described(new, files)}: make another index with: python index_images.py --model "
            f"MODEL --dataset {shlex.quote(new['name'])}{other} --index NAME, or replace this one "
            "with --rebuild"
        )
    if limited and not files and len(dataset) < len(index):
        raise ValueError(
            f"{name} holds {len(index):,} codes, and this run would leave {len(dataset):,}: give "
            "--index another name, or replace this one with --rebuild"
        )


def _described(source: dict[str, Any], files: bool) -> str:
    if files:
        return str(source["name"])
    return f"{source['name']}, {source['split']}"


def _has_moved(index: Index, dataset: Dataset) -> bool:
    """Whether a folder has the files of an index whose own folder is gone.

    At least half of them are there, with the same content. A folder that still exists has not
    moved: the other one is a copy.
    """
    source: dict[str, Any] = index.source or DEFAULT_SOURCE
    if os.path.isdir(source["name"]) or dataset.file_stats is None:
        return False
    so_far = index.records()
    rows = {id: row for row, id in enumerate(so_far.ids)}
    pairs = [(row, rows[id]) for row, id in enumerate(dataset.ids) if id in rows]
    if not pairs:
        return False
    now, old = np.array(pairs).T
    same = dataset.file_stats["size"][now] == so_far.file_stats["size"][old]
    if 2 * np.count_nonzero(same) < len(rows):
        return False
    chosen = np.unique(np.linspace(0, np.count_nonzero(same) - 1, COMPARED).astype(np.int64))
    digests = so_far.file_stats["digest"][old[same][chosen]]
    equal = (digests_of(dataset, now[same][chosen]) == digests).all(axis=1)
    return bool(2 * np.count_nonzero(equal) > len(chosen))
