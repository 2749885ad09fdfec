"""Conversion of the rows of a collection: ids, labels, file records, and checks.

Nothing that comes from a server is trusted.
"""

from collections.abc import Sequence

import numpy as np

from pyimagesearch.datasets.catalog import folder_settings, open_source
from pyimagesearch.datasets.dataset import FILE_STATS
from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.files import is_inside
from pyimagesearch.indexes.index import Index

BYTES_NAME = "//"  # the start of a packed path that is not UTF-8; no relative path has it
NAMED = ["id", "label"]
RECORD = ["size", "mtime_ns", "digest"]


def pack_id(id):
    """Return an id as text that is valid UTF-8; `unpack_id` is the inverse."""
    text = str(id)
    try:
        text.encode()
    except UnicodeEncodeError:
        return BYTES_NAME + text.encode("utf-8", "surrogateescape").hex()
    return text


def unpack_id(text):
    """Return the path that `pack_id` packed; raises ValueError if it leads outside its folder."""
    if text.startswith(BYTES_NAME):
        text = bytes.fromhex(text.removeprefix(BYTES_NAME)).decode("utf-8", "surrogateescape")
    if not is_inside(text):
        raise ValueError(f"the collection has the id {text!r}, which is outside its folder")
    return text


def pack_row(row, id, label, stats):
    """Return the fields of a row but its vectors; `stats` is one record of FILE_STATS."""
    return {
        "row": int(row),
        "id": pack_id(id),
        "label": label,
        "size": int(stats["size"]),
        "mtime_ns": int(stats["mtime_ns"]),
        "digest": stats["digest"].tobytes().hex(),
    }


def as_text(value):
    """Return text as it is, or raise ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"expected text from the server, received {type(value).__name__}")
    return value


def as_whole(value):
    """Return a whole number, or text of one, as int, or raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"expected a number from the server, received {type(value).__name__}")
    return int(value)


def file_record(entity):
    """Return the (size, mtime_ns, digest) of a row, as FILE_STATS has them."""
    digest = bytes.fromhex(as_text(entity.get("digest")))
    if len(digest) != 16:
        raise ValueError(f"expected digests of 16 bytes, received {len(digest)}")
    numbers = tuple(np.frombuffer(digest, "<u8").tolist())
    return as_whole(entity.get("size")), as_whole(entity.get("mtime_ns")), numbers


def finite_codes(codes):
    """Return codes as they are, or raise ValueError."""
    if not np.isfinite(codes).all():
        raise ValueError("the collection holds codes with NaN or infinity: index again")
    return codes


def download(source):
    """Return a MilvusIndex as an Index in memory, with rows from 0 in the order of the ids."""
    fields = ["code", "label", *([*["id"], *RECORD] if source.has_files else [])]
    found = []
    for row, entity in source.scan(fields):
        code = np.array(entity["code"], np.float32)
        if code.shape != (source.encoder.dim,):
            raise ValueError(f"expected codes of {source.encoder.dim}, received {code.shape}")
        id = unpack_id(as_text(entity.get("id"))) if source.has_files else str(row)
        record = file_record(entity) if source.has_files else None
        found.append((id, row, as_text(entity.get("label")), record, code))
    if not found:
        raise ValueError(f"{source.connection.address} holds no codes: index some images first")
    found.sort(key=lambda item: item[0] if source.has_files else item[1])
    ids, rows, labels, files, codes = map(list, zip(*found, strict=True))
    index = Index(finite_codes(np.stack(codes)), ids, None, None, source.source, source.metric)
    index.encoder, index.rows = source.encoder, np.array(rows, np.int64)
    if source.has_files:
        index.file_stats = np.array(files, FILE_STATS)
        folder = open_source(source.source, True).with_ids(ids)
        index.labels, index.label_names = folder.labels, folder.label_names
    elif all(labels):
        index.labels = np.array([as_whole(label) for label in labels], np.int64)
    return index


def list_files(source, first, last):
    """Return the rows of a MilvusIndex of a folder, int64 (n,), and an Index of them without codes.

    They are in the order of their paths, as in an index file; `first` and `last` bound rows.
    """
    found = sorted(
        (unpack_id(as_text(entity.get("id"))), row, file_record(entity))
        for row, entity in source.scan(["id", *RECORD], first, last)
    )
    rows = np.array([row for _, row, _ in found], np.int64)
    files = np.array([record for _, _, record in found], FILE_STATS)
    ids = [id for id, _, _ in found]
    return rows, Index(None, ids, source=source.source, file_stats=files)


class Ids(Sequence):
    """The ids of an index by row; iteration yields them in order."""

    def __init__(self, index):
        self._index = index

    def __len__(self):
        return len(self._index)

    def __getitem__(self, row):
        if not self._index.has_files:
            return str(int(row))
        return self._index.named([row])[0][0]

    def __iter__(self):
        if not self._index.has_files:
            return map(str, range(len(self)))
        return iter(self._index.listing()[1].ids)


class Labels:
    """The labels of an index by row or rows; -1 where there is none."""

    def __init__(self, index):
        self._index = index

    def __getitem__(self, rows):
        labels = self._index.named(np.atleast_1d(rows))[1]
        return labels if np.ndim(rows) else labels[0]


class CollectionFolder(FolderDataset):
    """The pictures of a collection in a folder; a row is the one that the collection gives it."""

    def __init__(self, index, folder):
        super().__init__(folder, index.ids, **folder_settings(index.source))
        self.label_names, self.labels = index.label_names, index.labels
        self._index = index

    def random_rows(self, count, seed=None):
        """Return random rows; for a seed the same pictures as of an index file."""
        rows, _ = self._index.listing()
        return rows[np.random.default_rng(seed).permutation(len(rows))[:count]].tolist()

    def rows_of(self, ids):
        """Return those of the ids that are indexed as {id: row}."""
        rows = {self._index.row_of(id): id for id in ids}
        found = self._index.get(list(rows), NAMED)
        self._index.remember(found)
        return {rows[row]: row for row, _ in found if row in rows}
