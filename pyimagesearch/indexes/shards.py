"""Shards: the part of a dataset that one of several processes or hosts indexes, and joining them.

A file's shard depends on a hash of its name only, not on the other files.
"""

import os
import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.datasets.dataset import FILE_STATS, Dataset, same_images
from pyimagesearch.indexes.contract import Codes, Index
from pyimagesearch.indexes.index_file import load_index, save_index
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.indexes.settings import Shard

BITS = 63  # of a hash: as many as a signed 64-bit integer has for numbers from 0
BLOCK = 65536  # codes copied at once when files are joined
NAMES_IN_MESSAGE = 3


def stable_hash(id: str) -> int:
    """Return a whole number in [0, 2**63) that depends on the id only, the same on every host."""
    digest = blake2b(str(id).encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - BITS)


def parse_shard(text: str) -> Shard:
    """Return the Shard of a text I/N, or raise ValueError.

    0/N is N/N, so that shards may be counted from 0 or from 1.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if match is None or not int(match[2]) or int(match[1]) > int(match[2]):
        raise ValueError(f"expected a shard as I/N, such as 1/4 to 4/4, received {text.strip()}")
    count = int(match[2])
    return Shard(int(match[1]) % count, count)


def shard_range(shard: Shard) -> range:
    """Return the hashes of the ids that belong to a shard."""
    number = shard.number
    count = shard.count
    return range(-(-(number << BITS) // count), -(-((number + 1) << BITS) // count))


def shard_rows(ids: Sequence[str], shard: Shard) -> NDArray[np.int64]:
    """Return the rows, int64 (m,) ascending, whose ids belong to a shard."""
    own = shard_range(shard)
    hashes = np.fromiter((stable_hash(id) for id in ids), np.int64, len(ids))
    return np.flatnonzero((hashes >= own.start) & (hashes <= own.stop - 1))


def take_shard(dataset: Dataset, shard: Shard) -> Dataset:
    """Return the part of a dataset in a shard, or raise ValueError if none is."""
    rows = shard_rows(dataset.ids, shard)
    if not len(rows):
        raise ValueError(f"none of the {len(dataset):,} images is in shard {shard}: use fewer")
    return dataset.subset(rows)


def require_same_shard(index: LocalIndex, shard: Shard, path: str) -> None:
    """Raise ValueError if an index file has images of other shards: a sync would drop them."""
    foreign = len(index) - len(shard_rows(index.ids, shard))
    if foreign:
        raise ValueError(
            f"{path} holds {foreign:,} pictures that are not in shard {shard}: give "
            "this shard an index of its own, or replace this one with --rebuild"
        )


def merge_files(paths: Sequence[str], target: str, *, replace: bool = False) -> int:
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
        names = ", ".join(map(str, twice[:NAMES_IN_MESSAGE]))
        raise ValueError(f"{len(twice):,} ids are in more than one of the files, such as {names}")
    if os.path.exists(target) and not replace:
        _require_superset(ids, parts[0], target)
    places = np.array(order)
    save_index(_joined(parts, ids, places), target, _blocks(parts, places))
    return len(ids)


def _require_superset(ids: Sequence[str], part: LocalIndex, target: str) -> None:
    """Raise ValueError if an index file has ids that are not among `ids`, or is of other images."""
    so_far = load_index(target)
    lost = len(so_far)
    if same_images(so_far.source or {}, part.source or {}) and so_far.has_files == part.has_files:
        lost = len(set(so_far.ids).difference(ids))
    if lost:
        raise ValueError(
            f"{target} exists and holds {lost:,} images that are in none of the files: give "
            "--index another name, or replace it with --rebuild"
        )


def require_alike(first: Index, first_path: str, part: Index, path: str) -> None:
    """Raise ValueError where two indexes cannot be joined; the paths name them."""
    made = part.encoder
    other = first.encoder
    if made is None or other is None:
        raise ValueError(f"{path} has no encoder: make it again with index_images.py")
    if (made.model_sha256, made.spec) != (other.model_sha256, other.spec):
        raise ValueError(
            f"{path} was made with another encoder, {made.title}, than {first_path}, "
            f"{other.title}: their codes cannot be compared"
        )
    for name, field in (("metric", "metric"), ("dataset", "source"), ("kind of ids", "has_files")):
        before = getattr(first, field)
        now = getattr(part, field)
        if before != now:
            raise ValueError(f"{path} has another {name} than {first_path}: {now}, not {before}")


def _joined(
    parts: Sequence[LocalIndex], ids: Sequence[str], order: NDArray[np.int64]
) -> LocalIndex:
    first = parts[0]
    index = LocalIndex(
        np.empty((0, first.codes.shape[1]), np.float32),
        ids,
        source=first.source,
        metric=first.metric,
        encoder=first.encoder,
    )
    if first.has_files:
        stats = np.concatenate([part.file_stats for part in parts])
        index.file_stats = stats.astype(FILE_STATS)[order]
        index.label_by_folder()
    elif all(part.labels is not None for part in parts):
        index.labels = np.concatenate([part.labels for part in parts])[order]
    return index


def _blocks(parts: Sequence[LocalIndex], order: NDArray[np.int64]) -> Iterator[Codes]:
    """Yield the codes of all parts in the new order, of which few are in memory at once."""
    starts = np.cumsum([0, *(len(part) for part in parts)])
    for at in range(0, len(order), BLOCK):
        rows = order[at : at + BLOCK]
        codes = np.empty((len(rows), parts[0].codes.shape[1]), np.float32)
        for start, part in zip(starts, parts, strict=False):
            own = (rows >= start) & (rows < start + len(part))
            codes[own] = part.codes[rows[own] - start]
        yield codes
