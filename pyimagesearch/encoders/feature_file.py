"""Features of pictures, kept in a file so that a network computes them once.

The file is a header, then records of one size: the key of a picture, its features, and a checksum.
The key is a hash of the content of the picture's file: a picture that was changed never gets the
features of its former content, even if its size and time are the same, and one that was moved keeps
its own.
Records are only ever added, block by block: what was computed before an interruption stays, and a
record that is damaged or cut short is one picture to compute again. It is read as a memory map.
"""

import hashlib
import json
import logging
import os
import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import AnyArray, Bools, Floats, Rows
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.datasets.digests import digests_of
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.encoding import Digests, encode_rows
from pyimagesearch.files import FEATURES_SUFFIX, atomic_write, cannot_write, require_regular
from pyimagesearch.locks import sole_writer

logger = logging.getLogger(__name__)

MAGIC = b"features of pyimagesearch, 2\n"
KEY_BYTES = 16
BLOCK_BYTES = 32 << 20  # of features that are read at once

Keys = list[bytes]


@dataclass(frozen=True)
class Origin:
    """What features depend on.

    `model` is the name of their network, `identity` the SHA-256 of it and of how pictures are
    prepared, and `dim` the number of features of a picture.
    """

    model: str
    identity: str
    dim: int


def origin_of(encoder: Encoder) -> Origin:
    """Return the Origin of features that are the codes of an encoder."""
    facts: list[Any] = [encoder.model_sha256, encoder.spec.to_dict(), encoder.dim]
    identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return Origin(encoder.model, identity, encoder.dim)


@dataclass(frozen=True)
class Features:
    """The features of some rows of a dataset, read from a file when they are needed.

    `rows` int64 (n,) are those of the dataset that could be read, and `digests` uint64 (n, 2) the
    hashes of the content of their files, or None where images are not files.
    """

    rows: Rows
    digests: Digests | None
    _records: AnyArray
    _places: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def blocks(self) -> Iterator[Floats]:
        """Yield all features, in the order of `rows`, as float32 (k, d) each."""
        step = max(1, BLOCK_BYTES // self._records.dtype.itemsize)
        for start in range(0, len(self), step):
            yield self._records["features"][self._places[start : start + step]]


class FeatureFile:
    """The file with the features of one Origin, of any pictures.

    `features` makes the file, or makes it again where it is of another origin or format.
    """

    def __init__(self, folder: str | Path, origin: Origin) -> None:
        name = re.sub(r"[^\w.-]+", "_", origin.model)[-60:]
        self.path = Path(folder) / f"{name}.{origin.identity[:12]}{FEATURES_SUFFIX}"
        self._header = MAGIC + origin.identity.encode() + b"\n"
        self._record = np.dtype(
            [
                ("key", np.uint8, KEY_BYTES),
                ("features", "<f4", origin.dim),
                ("checksum", "<u4"),
            ]
        )

    def features(self, dataset: Dataset, rows: Rows, encoder: Encoder) -> Features:
        """Return the Features of rows of a dataset; those that are missing are computed and kept.

        Pictures that cannot be read are named in warnings and left out. Raises OSError when the
        file cannot be written.
        """
        with sole_writer(self.path, "computing features into"):
            self._make_sound()
            digests = self._digests(dataset, rows)
            kept = self._features(dataset, rows, digests)
            missing = ~np.isin(rows, kept.rows)
            if not missing.any():
                return kept
            computed = self._compute(dataset, rows[missing], encoder)
            if digests is not None:
                digests[missing] = computed
            return self._features(dataset, rows, digests)

    def kept(self, dataset: Dataset, rows: Rows) -> Features:
        """Return the Features of those of the rows of a dataset that are in the file."""
        return self._features(dataset, rows, self._digests(dataset, rows))

    def _digests(self, dataset: Dataset, rows: Rows) -> Digests | None:
        """Return the hashes of the content of files, None where images are not files.

        They are zeros where the file has no features that could be those of a picture.
        """
        if dataset.file_stats is None:
            return None
        if not len(self._records()):
            return np.zeros((len(rows), 2), "<u8")
        return digests_of(dataset, rows)

    def _features(self, dataset: Dataset, rows: Rows, digests: Digests | None) -> Features:
        """Return the Features of those of the rows, of files with these digests, in the file."""
        keys = _keys(dataset, rows, digests)
        records = self._records()  # once: another training may write the file anew
        known = self._places(records)
        found = np.array([key in known for key in keys], bool)
        places = np.array([known[key] for key in keys if key in known], np.int64)
        if digests is not None:
            digests = digests[found]
        logger.info(f"{self.path} has the features of {len(places):,} of {len(rows):,} pictures")
        return Features(rows[found], digests, records, places)

    def _compute(self, dataset: Dataset, rows: Rows, encoder: Encoder) -> Digests:
        """Append the features of rows, batch by batch.

        Returns the hashes of what was decoded, zeros for what cannot be read or is not a file.
        """
        digests = np.zeros((len(rows), 2), "<u8")
        places = {row: place for place, row in enumerate(rows.tolist())}
        started = time.perf_counter()
        for encoded in encode_rows(dataset, rows, encoder):
            # By what was decoded, as a file may have been changed since it was found missing.
            keys = _keys(dataset, encoded.rows, encoded.digests)
            self._append(self._as_records(keys, encoded.codes))
            if encoded.digests is not None:
                digests[[places[row] for row in encoded.rows.tolist()]] = encoded.digests
        seconds = time.perf_counter() - started
        logger.info(f"computed those of the others, {len(rows) / seconds:,.1f} pictures/s")
        return digests

    def _append(self, records: AnyArray) -> None:
        """Write records after those in the file: all of them, or none with an OSError."""
        size = self.path.stat().st_size
        try:
            with open(self.path, "ab") as file:
                file.write(records.tobytes())
        except OSError as error:
            os.truncate(self.path, size)
            raise cannot_write(self.path, error) from error

    def _as_records(self, keys: Keys, features: Floats) -> AnyArray:
        records = np.zeros(len(keys), self._record)
        records["key"] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
        records["features"] = features
        records["checksum"] = _checksums(records)
        return records

    def _make_sound(self) -> None:
        """Leave a file of whole records of this origin, without those that are damaged."""
        exists = self.path.exists()
        if not exists or not self._has_header():
            if exists:
                logger.warning(f"{self.path} is damaged or of an earlier version: it is made again")
            self._write(np.zeros(0, self._record))
            return
        records = self._records()
        sound = self._sound(records)
        rest = (self.path.stat().st_size - len(self._header)) % self._record.itemsize
        if sound.all() and not rest:
            return
        damaged = np.count_nonzero(~sound) + (rest > 0)
        logger.warning(f"{self.path}: {damaged:,} of its pictures are damaged and computed again")
        self._write(records, sound)

    def _has_header(self) -> bool:
        require_regular(self.path)
        with open(self.path, "rb") as file:
            return file.read(len(self._header)) == self._header

    def _sound(self, records: AnyArray) -> Bools:
        """Return which records are as they were written, bool (n,)."""
        sound = np.empty(len(records), bool)
        for start in range(0, len(records), self._step):
            block = records[start : start + self._step]
            sound[start : start + self._step] = _checksums(block) == block["checksum"]
        return sound

    @property
    def _step(self) -> int:
        return max(1, BLOCK_BYTES // self._record.itemsize)

    def _write(self, records: AnyArray, sound: Bools | None = None) -> None:
        """Write the file anew, with those of some records that are sound."""
        with atomic_write(self.path) as temporary, open(temporary, "wb") as file:
            file.write(self._header)
            for start in range(0, len(records), self._step):
                block = records[start : start + self._step]
                if sound is not None:
                    block = block[sound[start : start + self._step]]
                file.write(block.tobytes())

    def _records(self) -> AnyArray:
        """Return the records, mapped from the file; none where it is missing or of another kind."""
        if not self.path.exists() or not self._has_header():
            return np.zeros(0, self._record)
        count = (self.path.stat().st_size - len(self._header)) // self._record.itemsize
        if count < 1:  # an empty file cannot be mapped
            return np.zeros(0, self._record)
        return np.memmap(self.path, self._record, "r", offset=len(self._header), shape=(count,))

    def _places(self, records: AnyArray) -> dict[bytes, int]:
        """Return {key: place of its record}, of those that are sound."""
        places = np.flatnonzero(self._sound(records))
        keys = np.ascontiguousarray(records["key"][places])
        return {key.tobytes(): place for key, place in zip(keys, places.tolist(), strict=True)}


def _keys(dataset: Dataset, rows: Rows, digests: Digests | None) -> Keys:
    """Return a key of KEY_BYTES for each row: the same only for the same picture.

    It is a hash of the digest of a file, and of how it is read, or of the name and digest of an
    array and the number of its row.
    """
    if digests is None:
        source = json.dumps({**dataset.source, "limit": None}, sort_keys=True)
        contents = [f"{source}\0{dataset.ids[row]}".encode() for row in rows]
    else:
        contents = [digest.tobytes() + bytes([dataset.truncated]) for digest in digests]
    return [hashlib.blake2b(content, digest_size=KEY_BYTES).digest() for content in contents]


def _checksums(records: AnyArray) -> NDArray[np.uint32]:
    """Return the checksum that each record should end in, uint32 (n,)."""
    width = records.dtype.itemsize
    content = np.ascontiguousarray(records).view(np.uint8).reshape(-1, width)
    sums = (zlib.crc32(row) for row in content[:, : width - 4])
    return np.fromiter(sums, np.uint32, len(records))
