"""Shards: the part of a dataset that one of several processes or hosts indexes, and joining them.

A file's shard depends on a hash of its name only, not on the other files.
"""

import os
import re
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from pyimagesearch.datasets.catalog import open_source
from pyimagesearch.datasets.dataset import FILE_STATS
from pyimagesearch.indexes.index_file import load_index, save_index
from pyimagesearch.indexes.local_index import LocalIndex

BITS = 63  # of a hash: as many as a signed 64-bit integer has for numbers from 0
BLOCK = 65536  # codes copied at once when files are joined
SHOWN = 3  # names in a message


def stable_hash(id):
    """Return a whole number in [0, 2**63) that depends on the id only, the same on every host."""
    digest = blake2b(str(id).encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - BITS)


def parse_shard(text):
    """Return (number, count) of a shard written I/N, or raise ValueError.

    0/N is N/N, so that shards may be counted from 0 or from 1.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not count or number > count:
        raise ValueError(f"expected a shard as I/N, such as 1/4 to 4/4, received {text}")
    return number % count, count


def shard_range(shard):
    """Return the first hash of a shard, (number, count), and the first past it."""
    number, count = shard
    return -(-(number << BITS) // count), -(-((number + 1) << BITS) // count)


def shard_rows(ids, shard):
    """Return the rows, int64 (m,) ascending, whose ids belong to a shard (number, count)."""
    start, end = shard_range(shard)
    hashes = np.fromiter((stable_hash(id) for id in ids), np.int64, len(ids))
    return np.flatnonzero((hashes >= start) & (hashes <= end - 1))


def take_shard(dataset, shard):
    """Return the part of a dataset in a shard, (number, count), or raise ValueError if none is."""
    rows = shard_rows(dataset.ids, shard)
    if not len(rows):
        number, count = shard
        raise ValueError(
            f"none of the {len(dataset):,} images is in shard {number or count}/{count}: use fewer"
        )
    return dataset.subset(rows)


def require_same_shard(index, shard, path):
    """Raise ValueError if an index file has images of other shards: a sync would drop them."""
    foreign = len(index) - len(shard_rows(index.ids, shard))
    if foreign:
        number, count = shard
        raise ValueError(
            f"{path} holds {foreign:,} pictures that are not in shard {number or count}/{count}: "
            "give this shard an index of its own, or replace this one with --rebuild"
        )


def merge_files(paths, target, replace=False):
    """Join index files, such as shards, to one; return the number of codes.

    Raises ValueError when their encoders, metrics or datasets differ, an id is in two of them, or
    the target exists and has other ids, unless with `replace`; OSError when one cannot be read or
    the new one not written.
    """
    parts = [load_index(path, verify=True) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        require_alike(parts[0], paths[0], part, path)
    ids = [id for part in parts for id in part.ids]
    keys = ids if parts[0].has_files else [int(id) for id in ids]  # row numbers
    order = sorted(range(len(ids)), key=keys.__getitem__)
    ids = [ids[i] for i in order]
    twice = sorted({a for a, b in pairwise(ids) if a == b})
    if twice:
        names = ", ".join(map(str, twice[:SHOWN]))
        raise ValueError(f"{len(twice):,} ids are in more than one of the files, such as {names}")
    if os.path.exists(target) and not replace:
        _require_superset(ids, parts[0], target)
    order = np.array(order)
    save_index(_joined(parts, ids, order), target, _blocks(parts, order))
    return len(ids)


def _require_superset(ids, part, target):
    """Raise ValueError if an index file has ids that are not among `ids`, or is of other images."""
    so_far = load_index(target)
    lost = len(so_far)
    a, b = ({**(one.source or {}), "limit": None} for one in (so_far, part))
    if a == b and so_far.has_files == part.has_files:
        lost = len(set(so_far.ids).difference(ids))
    if lost:
        raise ValueError(
            f"{target} exists and holds {lost:,} images that are in none of the files: give "
            "--index another name, or replace it with --rebuild"
        )


def require_alike(first, first_path, part, path):
    """Raise ValueError where two indexes cannot be joined; the paths name them."""
    if part.encoder is None:
        raise ValueError(f"{path} carries no encoder: make it again with index_images.py")
    made, other = part.encoder, first.encoder
    if (made.model_sha256, made.spec) != (other.model_sha256, other.spec):
        raise ValueError(
            f"{path} was made with another encoder, {made.model}, than {first_path}, "
            f"{other.model}: their codes cannot be compared"
        )
    for name, field in (("metric", "metric"), ("dataset", "source"), ("kind of ids", "has_files")):
        a, b = getattr(first, field), getattr(part, field)
        if a != b:
            raise ValueError(f"{path} has another {name} than {first_path}: {b}, not {a}")


def _joined(parts, ids, order):
    first, labels, names, files = parts[0], None, None, None
    if first.has_files:
        files = np.concatenate([part.file_stats for part in parts]).astype(FILE_STATS)[order]
        folder = open_source(first.source, True).with_ids(ids)
        labels, names = folder.labels, folder.label_names
    elif all(part.labels is not None for part in parts):
        labels = np.concatenate([part.labels for part in parts])[order]
    return LocalIndex(None, ids, labels, names, first.source, first.metric, first.encoder, files)


def _blocks(parts, order):
    """Yield the codes of all parts in the new order, of which few are in memory at once."""
    starts = np.cumsum([0, *(len(part) for part in parts)])
    for at in range(0, len(order), BLOCK):
        rows = order[at : at + BLOCK]
        codes = np.empty((len(rows), parts[0].encoder.dim), np.float32)
        for start, part in zip(starts, parts, strict=False):
            own = (rows >= start) & (rows < start + len(part))
            codes[own] = part.codes[rows[own] - start]
        yield codes
