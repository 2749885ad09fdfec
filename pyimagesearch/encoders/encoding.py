"""Encoding the rows of a dataset, batch by batch."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.encoders.encoder import Codes, Encoder, finite_rows
from pyimagesearch.files import printable
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
