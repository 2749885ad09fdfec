"""Encoding the rows of a dataset, batch by batch."""

import logging
import time

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


def encode_into(sink, dataset, rows, encoder, encode):
    """Encode rows of a dataset into a sink, whatever the dataset and wherever codes are stored.

    `encode` is `encode_rows`, or does the same elsewhere; `sink.add(rows, codes, digests)` takes
    each of its batches. Raises ValueError for codes with NaN or infinity.
    """
    started, count = time.perf_counter(), 0
    for good, codes, digests in encode(dataset, rows, encoder):
        finite = np.isfinite(codes).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"the model {encoder.model} gives a code with NaN or infinity for "
                f"{printable(dataset.ids[good[finite.argmin()]])}: use another model, or train it "
                "again with a lower learning rate"
            )
        sink.add(good, codes, digests)
        count += len(good)
    if count:
        rate = count / (time.perf_counter() - started)
        logger.info(f"encoded {count:,} images, {rate:,.0f} images/s")


def warn_unreadable(unreadable):
    """Warn of files that cannot be read, (path, reason) each."""
    for path, reason in unreadable:
        logger.warning(f"{printable(path)}: {reason}")


def encode_with_network(network, dataset, spec, rows, batch_size=256):
    """Encode rows of a dataset with a Keras network whose codes are (n, d).

    Returns the rows that could be read, int64 (k,), and their codes, float32 (k, d). Raises
    ValueError when none can be read.
    """
    good, codes = [], []
    for start in range(0, len(rows), batch_size):
        read, images, _ = dataset.read_good(rows[start : start + batch_size], spec)
        if len(read):
            good.append(read)
            # Not `predict`: for a model on several devices it returns the batch once for each.
            codes.append(np.asarray(network(images, training=False), np.float32))
    if not good:
        raise ValueError("none of the pictures can be read")
    return np.concatenate(good), np.concatenate(codes)
