"""Bringing an index up to date with a folder: what is new is encoded, what is known is kept."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.index.index import FILE_STATS, Index, save_index
from pyimagesearch.index.journal import open_journal
from pyimagesearch.models.encode import digest, encode_rows

BLOCK = 4096  # codes copied at once


@dataclass
class Plan:
    """What becomes of each file of a folder, and of each row of its index so far.

    `files` (n,) are the records of the files; `known` bool (n,) tells whether the index has their
    path; `source` int64 (n,) is the row of the index whose code is kept for a file, or -1 where it
    has to be encoded. `removed` are the rows whose files are gone, and `unseen` those in folders
    that cannot be listed now.
    """

    files: np.ndarray
    known: np.ndarray
    source: np.ndarray
    removed: list
    unseen: list


def make_plan(dataset, index, checksum=False):
    """Compare a folder with its index so far, or None; return a Plan.

    A file is the one that was encoded if its path, size and time of change are; with `checksum`,
    or when only its path is, its content decides. Content also tells a new file that was moved or
    renamed from a removed one.
    """
    n = len(dataset)
    files = np.zeros(n, FILE_STATS)
    files["size"], files["mtime_ns"] = dataset.sizes, dataset.mtimes_ns
    plan = Plan(files, np.zeros(n, bool), np.full(n, -1), [], [])
    if index is None:
        return plan
    gone = {path: row for row, path in enumerate(index.ids)}
    old = np.array([gone.pop(path, -1) for path in dataset.ids])
    plan.known = old >= 0
    same = plan.known.copy()
    for name in ("size", "mtime_ns"):
        same &= files[name] == index.file_stats[name][old]
    if checksum:
        same[:] = False
    plan.source[same] = old[same]
    _keep_same_content(dataset, plan, index, np.flatnonzero(plan.known & ~same), old)
    _keep_moved(dataset, plan, index, gone)
    unlisted = tuple(path for path in dataset.unreadable if path.endswith("/"))
    for path, row in gone.items():
        (plan.unseen if path.startswith(unlisted) else plan.removed).append(row)
    kept = plan.source >= 0
    files["digest"][kept] = index.file_stats["digest"][plan.source[kept]]
    return plan


def _digests(dataset, rows):
    with ThreadPoolExecutor() as pool:
        return list(pool.map(digest, [dataset.path(row) for row in rows]))


def _keep_same_content(dataset, plan, index, rows, old):
    """Keep the codes of those of the rows whose content is that of their `old` row."""
    for row, content in zip(rows, _digests(dataset, rows), strict=True):
        if (content == index.file_stats["digest"][old[row]]).all():
            plan.source[row] = old[row]


def _keep_moved(dataset, plan, index, gone):
    """Keep the codes of new files whose content is that of a file that is `gone`."""
    sizes = {int(index.file_stats["size"][row]) for row in gone.values()}
    rows = [
        row for row in np.flatnonzero(~plan.known) if int(plan.file_stats["size"][row]) in sizes
    ]
    paths = {index.file_stats["digest"][row].tobytes(): path for path, row in gone.items()}
    for row, content in zip(rows, _digests(dataset, rows), strict=True):
        path = paths.pop(content.tobytes(), None)
        if path is not None:
            plan.source[row] = gone.pop(path)


def sync(dataset, index, encoder, path, metric, checksum=False, encode=encode_rows):
    """Bring the index in the file `path` up to date with a folder; return a line that says how.

    `index` is what is there so far, or None; `encode` does as `encode_rows`. Files that cannot be
    read are left out, named in warnings, and stay in `dataset.unreadable`. An interrupted run is
    continued.

    Raises ValueError when no picture at all could be indexed, OSError when another process is at
    it or the index cannot be written.
    """
    with open_journal(path, encoder) as progress:
        plan = make_plan(dataset, index, checksum)
        rows = [
            row
            for row in np.flatnonzero(plan.source < 0)
            if progress.find(dataset.ids[row], *plan.file_stats[row].tolist()[:2]) is None
        ]
        for good, codes, contents in encode(dataset, rows, encoder):
            for row, code, content in zip(good, codes, contents, strict=True):
                size, mtime_ns, _ = plan.file_stats[row].tolist()
                progress.add(dataset.ids[row], size, mtime_ns, content.tobytes(), code)
        progress.save()
        good = readable(dataset, plan)
        _write(dataset, plan, good, index, encoder, path, metric, progress)
    return summary(dataset, plan, good)


def readable(dataset, plan):
    """Return which files could be read, bool (n,), once all were tried.

    Raises ValueError when none could: then the place is broken, and not empty.
    """
    good = np.array([path not in dataset.unreadable for path in dataset.ids])
    if not good.any() and not plan.unseen:
        raise ValueError(f"none of the {len(good):,} pictures in {dataset.folder} can be read")
    return good


def _write(dataset, plan, good, index, encoder, path, metric, progress):
    """Write the new index: kept codes from the one so far, new ones from `progress`."""
    rows = np.flatnonzero(good)
    ids = [dataset.ids[row] for row in rows] + [index.ids[row] for row in plan.unseen]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    ids = [ids[i] for i in order]
    source = np.append(plan.source[rows], np.array(plan.unseen, np.int64))[order]
    unseen = index.file_stats[plan.unseen] if plan.unseen else np.empty(0, FILE_STATS)
    files = np.append(plan.file_stats[rows], unseen)[order]

    def found(row):
        return progress.find(ids[row], *files[row].tolist()[:2])

    for row in np.flatnonzero(source < 0):
        files["digest"][row] = np.frombuffer(found(row)[0], "<u8")

    def blocks():
        for start in range(0, len(ids), BLOCK):
            part = source[start : start + BLOCK]
            codes = np.empty((len(part), encoder.dim), np.float32)
            if (part >= 0).any():
                codes[part >= 0] = index.codes[part[part >= 0]]
            for i in np.flatnonzero(part < 0):
                codes[i] = found(start + i)[1]
            yield codes

    folder = FolderDataset(dataset.folder, ids)
    location = dataset.source
    labels, names = folder.labels, folder.label_names
    save_index(Index(None, ids, labels, names, location, metric, encoder, files), path, blocks())


def summary(dataset, plan, good):
    """Return what was done as "added 3, changed 1, removed 2, kept 9,994"."""
    encoded = good & (plan.source < 0)
    moved = np.count_nonzero(good & (plan.source >= 0) & ~plan.known)
    counts = {
        "added": np.count_nonzero(encoded & ~plan.known),
        "changed": np.count_nonzero(encoded & plan.known),
        "removed": len(plan.removed) + np.count_nonzero(plan.known & ~good),
        "kept": np.count_nonzero(good & (plan.source >= 0)) - moved + len(plan.unseen),
        "moved": moved,
        "rejected": len(dataset.unreadable),
    }
    rare = ("moved", "rejected")
    return ", ".join(f"{name} {n:,}" for name, n in counts.items() if n or name not in rare)
