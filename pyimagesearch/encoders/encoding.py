"""Encoding the rows of a dataset, batch by batch."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.encoders.encoder import Codes, Encoder, finite_rows
from pyimagesearch.files import printable
from pyimagesearch.pictures.input_spec import InputSpec
from pyimagesearch.terminal import progress

if TYPE_CHECKING:
    from pyimagesearch.datasets.dataset import Dataset

logger = logging.getLogger(__name__)

Rows = NDArray[np.int64]
Digests = NDArray[np.uint64]


class Encoded(NamedTuple):
    """Codes of a batch of rows.

    `rows` is int64 (k,), `codes` float32 (k, dim), and `digests` uint64 (k, 2), hashes of the
    content of the files, or None where images are not files.
    """

    rows: Rows
    codes: Codes
    digests: Digests | None


def encode_rows(
    dataset: "Dataset", rows: Sequence[int] | Rows, encoder: Encoder
) -> Iterator[Encoded]:
    """Yield the codes of a dataset, batch by batch, until all `rows` are done.

    Files that cannot be read, or have no code, are left out, named in warnings, and stay in
    `dataset.unreadable`. Raises ValueError for an image of an array that has no code.
    """
    warn_unreadable(dataset.unreadable.items())
    with progress(len(rows), "images", "encoding") as done:
        for batch in dataset.batches(encoder.spec, rows=np.asarray(rows, np.int64)):
            warn_unreadable(batch.unreadable)
            encoded = Encoded(batch.rows, encoder.encode(batch.images), batch.digests)
            yield without_nan(dataset, encoded, encoder.model)
            done(len(batch.rows) + len(batch.unreadable))


def without_nan(dataset: "Dataset", encoded: Encoded, model: str) -> Encoded:
    """Leave out the files that a network gives NaN or infinity for; they are unreadable.

    Some networks divide by the deviation of an image, which is 0 for a black one. Rows of an array
    never shift, so one of these raises ValueError.
    """
    finite = finite_rows(encoded.codes)
    if finite.all():
        return encoded
    reason = no_code_reason(model)
    names = [dataset.ids[row] for row in encoded.rows[~finite]]
    if encoded.digests is None:
        raise ValueError(
            f"{printable(names[0])}: {reason}: use another model, or train it again with a lower "
            "learning rate"
        )
    rejected = dict.fromkeys(names, reason)
    dataset.unreadable |= rejected
    warn_unreadable(rejected.items())
    return Encoded(encoded.rows[finite], encoded.codes[finite], encoded.digests[finite])


def no_code_reason(model: str) -> str:
    """Return why an image is left out that a model gives no code for."""
    return f"the model {model} gives a code with NaN or infinity for it"


def warn_unreadable(unreadable: Iterable[tuple[str, str]]) -> None:
    """Warn of files that cannot be read, (path, reason) each."""
    for path, reason in unreadable:
        logger.warning(f"{printable(path)}: {reason}")


def encode_with_network(
    network: Any, dataset: "Dataset", spec: InputSpec, rows: Rows, *, batch_size: int = 256
) -> tuple[Rows, Codes]:
    """Encode rows of a dataset with a Keras network whose codes are (n, d).

    Returns the rows that could be read, int64 (k,), and their codes, float32 (k, d); others are
    named in warnings. Raises ValueError when none can be read.
    """
    good = []
    codes = []
    for start in range(0, len(rows), batch_size):
        batch = dataset.read_good(rows[start : start + batch_size], spec)
        warn_unreadable(batch.unreadable)
        if len(batch.rows):
            good.append(batch.rows)
            # Not `predict`: for a model on several devices it returns the batch once for each.
            codes.append(np.asarray(network(batch.images, training=False), np.float32))
    if not good:
        raise ValueError("none of the pictures can be read")
    return np.concatenate(good), np.concatenate(codes)
