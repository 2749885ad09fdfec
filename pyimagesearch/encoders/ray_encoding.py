"""Encoding on a Ray cluster: blocks of rows are sent to workers, one core each.

Ray encodes the block of a lost worker again on another. The workers need the images at the same
path, and the packages of requirements.txt; they need neither TensorFlow nor a token.
"""

import importlib.util
import logging
import os
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import Rows, Source
from pyimagesearch.datasets import folder
from pyimagesearch.datasets.catalog import open_source
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.encoders.encoder import Encoder, finite_rows
from pyimagesearch.encoders.encoding import Encoded, no_code_reason, warn_unreadable, without_nan
from pyimagesearch.terminal import progress

ROWS_PER_BATCH = 64
ROWS_PER_BLOCK = 1024  # encoded again if a worker is lost, at most
Columns = dict[str, NDArray[Any]]  # of a batch, by name


@dataclass(frozen=True)
class Job:
    """What a worker needs beside the rows: the result of `Encoder.to_dict`, and the images.

    `source` and `has_files` are as `open_source` takes them.
    """

    encoder: dict[str, Any]
    source: Source
    has_files: bool


class Worker:
    """Encodes batches of rows, with one thread for decoding and one for the network."""

    def __init__(self, job: Job) -> None:
        """Open the encoder and the images of a job."""
        folder.decoder_threads = 1
        self._encoder = Encoder.from_dict(job.encoder)
        self._encoder.threads = 1
        self._dataset = open_source(job.source, job.has_files)

    def __call__(self, batch: Columns) -> Columns:
        """Return a batch, {"row": ..., "id": ...}, with `code`, `digest` and `reason` added.

        `row` is int64 (n,), `id` bytes (n,), `code` float32 (n, dim), `digest` uint64 (n, 2). The
        reason is empty, or why a file could not be read.
        """
        ids = [os.fsdecode(id) for id in batch["id"]]
        codes = np.zeros((len(ids), self._encoder.dim), np.float32)
        digests = np.zeros((len(ids), 2), np.uint64)
        dataset = self._dataset.with_ids(ids)
        for found in dataset.batches(self._encoder.spec, len(ids)):
            codes[found.rows] = self._encoder.encode(found.images)
            if found.digests is not None:
                digests[found.rows] = found.digests
        if dataset.file_stats is not None:
            no_code = no_code_reason(self._encoder.model)
            for row in np.flatnonzero(~finite_rows(codes)):
                dataset.unreadable[ids[row]] = no_code
        reasons = np.array([dataset.unreadable.get(id, "") for id in ids])
        return {"row": batch["row"], "code": codes, "digest": digests, "reason": reasons}


def connect(address: str | None = None) -> None:
    """Join the Ray cluster at an address, or a running one on this host, or start one here.

    Raises ImportError without Ray, OSError when there is no cluster at the address.
    """
    if importlib.util.find_spec("ray") is None:
        raise ImportError("--ray needs Ray: pip install -r requirements-scale.txt")
    if match := re.fullmatch(r"([^:/]+):(\d+)", address or ""):
        try:  # Ray itself would try for minutes
            socket.create_connection((match[1], int(match[2])), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise ConnectionError(f"cannot reach a Ray cluster at {address}: {error}") from None
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its errors are raised here as well
    import ray

    code = {"py_modules": [str(Path(__file__).parent.parent)]}
    try:
        ray.init(
            address=address,
            runtime_env=code,
            logging_level=logging.ERROR,
            log_to_driver=False,
            ignore_reinit_error=True,
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:200]
        what = f"join the Ray cluster at {address}" if address else "start a Ray cluster here"
        raise ConnectionError(f"cannot {what}: {reason}") from None
    ray.data.DataContext.get_current().enable_progress_bars = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)


def encode_on_cluster(
    dataset: Dataset, rows: Sequence[int] | Rows, encoder: Encoder
) -> Iterator[Encoded]:
    """As `encode.encode_rows`, on the cluster that `connect` joined; rows come in any order."""
    import ray

    warn_unreadable(dataset.unreadable.items())
    if not len(rows):
        return
    try:
        with progress(len(rows), "images", "encoding") as done:
            submitted = _submit(dataset, [int(row) for row in rows], encoder)
            for batch in submitted.iter_batches(batch_size=None, batch_format="numpy"):
                yield without_nan(dataset, _readable(dataset, batch), encoder.model)
                done(len(batch["row"]))
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[-300:]
        raise OSError(f"Ray failed to encode: {reason}") from None


def _readable(dataset: Dataset, batch: Columns) -> Encoded:
    """Return what could be read of a batch; the rest is named in warnings and `unreadable`."""
    good = batch["reason"] == ""
    bad = []
    for row, reason in zip(batch["row"][~good], batch["reason"][~good], strict=True):
        bad.append((dataset.ids[row], str(reason)))
    dataset.unreadable |= dict(bad)
    warn_unreadable(bad)
    digests = None
    if dataset.file_stats is not None:
        digests = batch["digest"][good]
    return Encoded(batch["row"][good], batch["code"][good], digests)


def _submit(dataset: Dataset, rows: list[int], encoder: Encoder) -> Any:
    """Return the Ray dataset of encoded rows, computed as it is iterated."""
    import ray
    from pyarrow import table

    blocks = []
    for start in range(0, len(rows), ROWS_PER_BLOCK):
        part = rows[start : start + ROWS_PER_BLOCK]
        ids = [os.fsencode(dataset.ids[row]) for row in part]
        blocks.append(table({"row": part, "id": ids}))
    job = Job(encoder.without_text().to_dict(), dataset.source, dataset.file_stats is not None)
    cores = int(ray.cluster_resources().get("CPU", 1))
    return ray.data.from_arrow(blocks).map_batches(
        Worker,
        fn_constructor_args=(job,),
        batch_size=ROWS_PER_BATCH,
        batch_format="numpy",
        num_cpus=1,
        concurrency=(1, max(1, cores)),
    )
