"""Encoding the rows of a dataset on this machine, batch by batch."""

import logging

import numpy as np
from tqdm import tqdm

from pyimagesearch.files import printable

logger = logging.getLogger(__name__)


def encode_rows(dataset, rows, encoder):
    """Yield (rows, codes, digests) of a dataset, batch by batch, until all `rows` are done.

    These are int64 (k,), float32 (k, dim), and uint64 (k, 2), hashes of the content of the files,
    or None where images are not files. Files that cannot be read are left out, named in warnings,
    and stay in `dataset.unreadable`.
    """
    warn_unreadable(dataset.unreadable.items())
    with tqdm(total=len(rows), unit="image", leave=False, disable=None) as bar:
        for batch in dataset.batches(encoder.spec, rows=np.asarray(rows, np.int64)):
            warn_unreadable(batch.unreadable)
            yield batch.rows, encoder.encode(batch.images), batch.digests
            bar.update(len(batch.rows) + len(batch.unreadable))


def warn_unreadable(unreadable):
    """Warn of files that cannot be read, (path, reason) each."""
    for path, reason in unreadable:
        logger.warning(f"{printable(path)}: {reason}")
