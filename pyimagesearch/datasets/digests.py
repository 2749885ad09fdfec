"""Digests of files, by which an index knows a picture whatever its name and time."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import Rows
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.pictures.decoding import open_picture


def content_digest(file: BufferedReader) -> NDArray[np.uint64]:
    """Return the BLAKE2b hash of an open file's content, uint64 (2,)."""
    content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return np.frombuffer(content.digest(), "<u8")


def digests_of(dataset: Dataset, rows: Sequence[int] | Rows) -> NDArray[np.uint64]:
    """Return the hashes of the content of files, uint64 (m, 2); zeros where one cannot be read."""
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(_digest, [dataset.path(dataset.ids[row]) for row in rows]))
    return np.array(found, "<u8").reshape(-1, 2)


def _digest(path: str) -> NDArray[np.uint64]:
    try:
        with open_picture(path) as file:
            return content_digest(file)
    except OSError:  # decoding it is going to report the reason
        return np.zeros(2, "<u8")
