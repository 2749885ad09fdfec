"""Encoding the rows of a dataset on this machine, batch by batch."""

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from pyimagesearch.datasets.folder import is_folder
from pyimagesearch.files import printable

logger = logging.getLogger(__name__)

FILES_AT_ONCE = 64  # pictures decoded and encoded at once
ROWS_AT_ONCE = 256  # of an array


def digest(path):
    """Return the BLAKE2b hash of a file's content, uint64 (2,); zeros when it cannot be read."""
    try:
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    except OSError:  # it is going to be rejected with the reason when it is decoded
        return np.zeros(2, "<u8")
    return np.frombuffer(content.digest(), "<u8")


def encode_rows(dataset, rows, encoder):
    """Yield (rows, codes, digests) of a dataset until all `rows` are done.

    These are int64 (k,), float32 (k, dim), and of a folder uint64 (k, 2), the digests of the files'
    contents; None of an array. Files that cannot be read are left out, named in warnings, and stay
    in `dataset.unreadable`.
    """
    warn_of(getattr(dataset, "unreadable", {}).items())
    with tqdm(total=len(rows), unit="image", leave=False, disable=None) as bar:
        for good, codes, digests, bad in _batches(dataset, rows, encoder):
            warn_of(bad)
            yield good, codes, digests
            bar.update(len(good) + len(bad))


def warn_of(rejects):
    """Warn of files that cannot be read, (path, reason) each."""
    for path, reason in rejects:
        logger.warning(f"{printable(path)}: {reason}")


def _batches(dataset, rows, encoder):
    rows = np.asarray(rows, np.int64)
    if not is_folder(dataset):
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            yield part, encoder.encode(dataset.read(part, encoder.spec)), None, []
        return
    with ThreadPoolExecutor() as pool:
        for good, images, bad in dataset.batches(encoder.spec, FILES_AT_ONCE, rows):
            contents = pool.map(digest, [dataset.path(row) for row in good])
            codes = encoder.encode(images)
            yield good, codes, np.array(list(contents), "<u8").reshape(-1, 2), bad
