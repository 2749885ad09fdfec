"""Features of pictures, kept in a file so that a network computes them once.

The file is a header, then records of one size: the key of a picture, its features, and a checksum.
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

from pyimagesearch.arrays import AnyArray, Floats, Rows
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.encoders.encoding import encode_rows
from pyimagesearch.files import atomic_write
from pyimagesearch.locks import sole_writer

logger = logging.getLogger(__name__)

SUFFIX = ".features"
MAGIC = b"features of pyimagesearch, 1\n"
KEY_BYTES = 16
BLOCK_BYTES = 32 << 20  # of features that are read at once

Keys = list[bytes]


@dataclass(frozen=True)
class Features:
    """The features of some rows of a dataset, read from a file when they are needed.

    `rows` int64 (n,) are those of the dataset that could be read.
    """

    rows: Rows
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
    """The file with the features that one network gives, of any pictures.

    They are the codes of `encoder`. The file is made, or made again where it is of another network
    or another format.
    """

    def __init__(self, folder: str | Path, encoder: Encoder) -> None:
        self._encoder = encoder
        self._identity = _identity(encoder)
        name = re.sub(r"[^\w.-]+", "_", encoder.model)[-60:]
        self.path = Path(folder) / f"{name}.{self._identity[:12]}{SUFFIX}"
        self._header = MAGIC + self._identity.encode() + b"\n"
        self._record = np.dtype(
            [
                ("key", np.uint8, KEY_BYTES),
                ("features", "<f4", encoder.dim),
                ("checksum", "<u4"),
            ]
        )

    def features(self, dataset: Dataset, rows: Rows) -> Features:
        """Return the Features of rows of a dataset; those that are missing are computed and kept.

        Pictures that cannot be read are named in warnings and left out. A file of a folder is
        known by its path, size and time of change. Raises OSError when the file cannot be written.
        """
        with sole_writer(self.path, "computing features into"):
            return self._features(dataset, rows)

    def _features(self, dataset: Dataset, rows: Rows) -> Features:
        keys = picture_keys(dataset, rows)
        self._make_sound()
        known = self._places()
        missing = np.array([key not in known for key in keys], bool)
        logger.info(
            f"{self.path} has the features of {np.count_nonzero(~missing):,} of {len(rows):,} "
            "pictures"
        )
        if missing.any():
            self._compute(dataset, rows[missing], dict(zip(rows.tolist(), keys, strict=True)))
            known = self._places()
        good = np.array([key in known for key in keys], bool)
        places = np.array([known[key] for key in keys if key in known], np.int64)
        return Features(rows[good], self._records(), places)

    def _compute(self, dataset: Dataset, rows: Rows, key_of: dict[int, bytes]) -> None:
        """Append the features of rows, batch by batch."""
        started = time.perf_counter()
        with open(self.path, "ab") as file:
            for encoded in encode_rows(dataset, rows, self._encoder):
                keys = [key_of[row] for row in encoded.rows.tolist()]
                file.write(self._as_records(keys, encoded.codes).tobytes())
                file.flush()
        seconds = time.perf_counter() - started
        logger.info(f"computed those of the others, {len(rows) / seconds:,.1f} pictures/s")

    def _as_records(self, keys: Keys, features: Floats) -> AnyArray:
        records = np.zeros(len(keys), self._record)
        records["key"] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
        records["features"] = features
        records["checksum"] = _checksums(records)
        return records

    def _make_sound(self) -> None:
        """Leave a file of whole records of this network, without those that are damaged."""
        if not self.path.exists():
            self._write(np.zeros(0, self._record))
            return
        with open(self.path, "rb") as file:
            head = file.read(len(self._header))
        if head != self._header:
            logger.warning(f"{self.path} is damaged: it is made again")
            self._write(np.zeros(0, self._record))
            return
        records = self._records()
        sound = np.empty(len(records), bool)
        for start in range(0, len(records), self._step):
            block = records[start : start + self._step]
            sound[start : start + self._step] = _checksums(block) == block["checksum"]
        rest = (self.path.stat().st_size - len(self._header)) % self._record.itemsize
        if sound.all() and not rest:
            return
        damaged = np.count_nonzero(~sound) + (rest > 0)
        logger.warning(f"{self.path}: {damaged:,} of its pictures are damaged and computed again")
        self._write(records, sound)

    @property
    def _step(self) -> int:
        return max(1, BLOCK_BYTES // self._record.itemsize)

    def _write(self, records: AnyArray, sound: NDArray[np.bool_] | None = None) -> None:
        """Write the file anew, with those of some records that are sound."""
        with atomic_write(self.path) as temporary, open(temporary, "wb") as file:
            file.write(self._header)
            for start in range(0, len(records), self._step):
                block = records[start : start + self._step]
                if sound is not None:
                    block = block[sound[start : start + self._step]]
                file.write(block.tobytes())

    def _records(self) -> AnyArray:
        """Return the records, mapped from the file; there is nothing to map in an empty one."""
        count = (self.path.stat().st_size - len(self._header)) // self._record.itemsize
        if count < 1:
            return np.zeros(0, self._record)
        return np.memmap(self.path, self._record, "r", offset=len(self._header), shape=(count,))

    def _places(self) -> dict[bytes, int]:
        """Return {key: place of its record}."""
        keys = np.ascontiguousarray(self._records()["key"])
        return {key.tobytes(): place for place, key in enumerate(keys)}


def _identity(encoder: Encoder) -> str:
    """Return a hash of what features depend on: the network, and how pictures are prepared."""
    facts: list[Any] = [encoder.model_sha256, encoder.spec.to_dict(), encoder.dim]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def picture_keys(dataset: Dataset, rows: Rows) -> Keys:
    """Return a key of KEY_BYTES for each row: the same only for the same version of a picture.

    It is a hash of the path, size and time of change of a file, or of the name and digest of an
    array and the number of its row.
    """
    source = {**dataset.source, "limit": None}
    texts = (f"{json.dumps(source, sort_keys=True)}\0{dataset.ids[row]}" for row in rows)
    if dataset.file_stats is not None:
        texts = (_file_text(dataset, row) for row in rows.tolist())
    data = (text.encode("utf-8", "surrogateescape") for text in texts)
    return [hashlib.blake2b(each, digest_size=KEY_BYTES).digest() for each in data]


def _file_text(dataset: Dataset, row: int) -> str:
    assert dataset.file_stats is not None
    stats = dataset.file_stats[row]
    path = dataset.path(dataset.ids[row])
    assert path is not None
    parts = [os.path.abspath(path), stats["size"], stats["mtime_ns"], dataset.truncated]
    return "\0".join(map(str, parts))


def _checksums(records: AnyArray) -> NDArray[np.uint32]:
    """Return the checksum that each record should end in, uint32 (n,)."""
    width = records.dtype.itemsize
    content = np.ascontiguousarray(records).view(np.uint8).reshape(-1, width)
    sums = (zlib.crc32(row) for row in content[:, : width - 4])
    return np.fromiter(sums, np.uint32, len(records))
