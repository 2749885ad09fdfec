"""The pictures of a training that can be read; the others are named in warnings."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pyimagesearch.arrays import Rows
from pyimagesearch.datasets.dataset import Batch, Dataset, Splits
from pyimagesearch.encoders.encoding import warn_unreadable
from pyimagesearch.pictures.input_spec import InputSpec


def readable_batches(
    dataset: Dataset, spec: InputSpec, order: Rows, *, count: int, batch_size: int
) -> Iterator[Batch]:
    """Yield batches of `count` images that can be read, or of fewer where there are no more.

    They are the first in `order`, int64 (n,) rows of the dataset: each row that proves unreadable
    is named in a warning, and a further one is read in its place. Batches have ascending rows and
    at least one image.
    """
    start = 0
    missing = count
    while missing and start < len(order):
        rows = np.sort(order[start : start + missing])
        start += len(rows)
        for batch in dataset.batches(spec, batch_size, rows):
            warn_unreadable(batch.unreadable)
            missing -= len(batch.rows)
            if len(batch.rows):
                yield batch


def with_readable_validation(splits: Splits) -> Splits:
    """Return `splits`, or if no validation image can be read, others whose images can.

    As many training images as there were validation images become validation images in their
    place, but at most half of those that can be read. Raises ValueError when fewer than 2 can be.
    """
    if len(_first_readable(splits.validation, splits.spec, count=1)):
        return splits
    training = splits.training
    wanted = len(splits.validation)
    rows = _first_readable(training, splits.spec, count=2 * wanted)
    if len(rows) < 2:
        raise ValueError(
            f"{len(rows)} of the {len(training) + wanted:,} pictures can be read: training needs "
            "2, to validate on one"
        )
    moved = rows[: len(rows) // 2]
    others = np.setdiff1d(np.arange(len(training)), moved)
    return replace(splits, training=training.subset(others), validation=training.subset(moved))


def _first_readable(dataset: Dataset, spec: InputSpec, *, count: int) -> Rows:
    """Return the first `count` rows of a dataset that can be read, int64 (k,), k <= count."""
    order = np.arange(len(dataset))
    batches = readable_batches(dataset, spec, order, count=count, batch_size=count)
    return np.concatenate([np.empty(0, np.int64), *(batch.rows for batch in batches)])
