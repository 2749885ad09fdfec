"""Encoding on a Ray cluster: the rows go out in blocks to workers, a core each, and come back.

Whatever is lost with a worker is encoded again by another. The workers need to see the images at
the same place, and the packages of requirements.txt; they need no TensorFlow and no token.
"""

import importlib.util
import logging
import os
import re
import socket
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pyimagesearch.datasets import folder as folders
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.folder import FolderDataset, is_folder
from pyimagesearch.models.encode import digest, warn_of
from pyimagesearch.models.encoder import Encoder

ROWS_AT_ONCE = 64
BLOCK = 1024  # rows that are encoded again if a worker is lost, at most


class Worker:
    """Encodes batches of rows, one thread each for decoding and for the network."""

    def __init__(self, encoder, location, of_folder):
        """Take what `Encoder.to_dict` gives, the dataset's location, and whether it is a folder."""
        folders.decoders = 1
        self._encoder = Encoder.from_dict(encoder)
        self._encoder.threads = 1
        self._folder = location["name"] if of_folder else None
        self._array = None if of_folder else open_dataset(**location)

    def __call__(self, batch):
        """Return a batch, {"row": ..., "id": ...}, with `code`, `digest` and `reason` added.

        The reason is empty, or why a file could not be read.
        """
        count = len(batch["row"])
        codes = np.zeros((count, self._encoder.dim), np.float32)
        digests, reasons = np.zeros((count, 2), np.uint64), [""] * count
        spec = self._encoder.spec
        if self._array is not None:
            codes[:] = self._encoder.encode(self._array.read(batch["id"].astype(np.int64), spec))
        else:
            folder = FolderDataset(self._folder, [os.fsdecode(path) for path in batch["id"]])
            good, images, bad = folder.read_good(np.arange(count), spec)
            codes[good] = self._encoder.encode(images)
            for row in good:
                digests[row] = digest(folder.path(row))
            rejects = dict(bad)
            reasons = [rejects.get(path, "") for path in folder.ids]
        return {"row": batch["row"], "code": codes, "digest": digests, "reason": np.array(reasons)}


def connect(address=None):
    """Join the Ray cluster at an address, or the one that is known, or start one here.

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

    code = {"py_modules": [str(Path(__file__).parent)]}
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
        raise ConnectionError(f"cannot join the Ray cluster at {address}: {reason}") from None
    ray.data.DataContext.get_current().enable_progress_bars = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)


def encode_rows(dataset, rows, encoder):
    """Do as `encoding.encode_rows`, on the cluster that was joined; rows come in any order."""
    import ray
    from pyarrow import table

    warn_of(getattr(dataset, "unreadable", {}).items())
    of_folder = is_folder(dataset)
    if not len(rows):
        return

    def name(row):
        return os.fsencode(dataset.ids[row]) if of_folder else int(dataset.ids[row])

    rows = [int(row) for row in rows]
    parts = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    blocks = [table({"row": part, "id": [name(row) for row in part]}) for part in parts]
    coded = ray.data.from_arrow(blocks).map_batches(
        Worker,
        fn_constructor_args=(encoder.to_dict(), dataset.source, of_folder),
        batch_size=ROWS_AT_ONCE,
        batch_format="numpy",
        num_cpus=1,
        concurrency=(1, max(1, int(ray.cluster_resources().get("CPU", 1)))),
    )
    try:
        with tqdm(total=len(rows), unit="image", leave=False, disable=None) as bar:
            for batch in coded.iter_batches(batch_size=None, batch_format="numpy"):
                good = batch["reason"] == ""
                pairs = zip(batch["row"][~good], batch["reason"][~good], strict=True)
                bad = [(dataset.ids[row], str(reason)) for row, reason in pairs]
                if bad:
                    dataset.unreadable |= dict(bad)
                    warn_of(bad)
                yield batch["row"][good], batch["code"][good], batch["digest"][good]
                bar.update(len(good))
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[-300:]
        raise OSError(f"Ray failed to encode: {reason}") from None
