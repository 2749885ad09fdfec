"""Indexes: codes, and everything a search needs to know about them, in one file."""

import hashlib
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyimagesearch.files import atomic_write, load_plain
from pyimagesearch.metric import METRICS
from pyimagesearch.milvus.client import is_milvus
from pyimagesearch.models.encoder import Encoder

HDF5 = (".h5", ".hdf5")
# Numbers up to which all codes are checked for NaN on loading; more would make opening slow.
CHECKED = 50_000_000
SOURCE_KEYS = {"name", "split", "limit"}
# What tells whether a file is still the one that was encoded; `digest` is that of its content.
FILE_STATS = np.dtype([("size", "<i8"), ("mtime_ns", "<i8"), ("digest", "<u8", 2)])


@dataclass
class Index:
    """The codes of a dataset and what made them.

    `codes` are float32 (n, d), `ids` one id a row, `labels` int64 (n,) or None;
    `label_names` what the labels count, or None; `dataset` is the location of the pictures,
    `metric` the distance to rank by unless a search asks for another, `encoder` what encodes a
    query, `file_stats` a record of type FILE_STATS a row for a folder. `codes_sha256`, set by
    `load_index`, tells codes from others. An index of the tutorial's has only features and ids.
    """

    codes: np.ndarray
    ids: Sequence
    labels: np.ndarray | None = None
    label_names: list | None = None
    source: dict | None = None
    metric: str = "euclidean"
    encoder: Encoder | None = None
    file_stats: np.ndarray | None = None
    codes_sha256: str | None = None

    def __len__(self):
        return len(self.ids)

    @property
    def of_folder(self):
        """Whether the ids are paths in a folder."""
        return self.file_stats is not None

    def named(self, rows):
        """Return the ids, a list, and the labels, int64 (k,) or None, of rows."""
        labels = None if self.labels is None else self.labels[rows]
        return [self.ids[row] for row in rows], labels

    def open_folder(self, folder):
        """Return the pictures of the index, now in `folder`, as a dataset with the same rows."""
        from pyimagesearch.datasets.folder import FolderDataset

        dataset = FolderDataset(folder, self.ids)
        # Known already: to find them again, the names of all files would be read.
        dataset.labels, dataset.label_names = self.labels, self.label_names
        return dataset

    def in_memory(self):
        """Return the index with all of its codes at hand: this one."""
        return self


def save_index(index, path, blocks=None):
    """Write an index: HDF5 for a name ending in .h5 or .hdf5, else a pickle.

    `indexes` and `features` in the pickle are those of the tutorial's own index. `blocks` yields
    the features in parts, float32 (m, d), where there are more than memory holds at once.
    """
    data = {
        "labels": index.labels,
        "label_names": index.label_names,
        "dataset": index.source,
        "code_size": index.encoder.dim,
        "metric": index.metric,
        "model_sha256": index.encoder.model_sha256,
        "encoder": index.encoder.to_dict(),
        "files": index.file_stats,
    }
    blocks = [index.codes] if blocks is None else blocks
    if is_hdf5(path):
        from pyimagesearch.index.hdf5 import write_hdf5

        data["onnx"] = np.frombuffer(data["encoder"].pop("onnx"), np.uint8)
        return write_hdf5(path, data, [str(id) for id in index.ids], blocks)
    features = np.ascontiguousarray(np.concatenate(list(blocks)))
    data |= {"indexes": list(index.ids), "features": features}
    data["codes_sha256"] = hashlib.sha256(features).hexdigest()
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(data, file, protocol=4)


def is_hdf5(path):
    """Whether an index of this name is an HDF5 file."""
    return Path(path).suffix.lower() in HDF5


def index_exists(path):
    """Whether there is an index, a file or a collection, of this name."""
    if is_milvus(path):
        from pyimagesearch.milvus.metadata import collection_exists

        return collection_exists(path)
    return os.path.exists(path)


def load_index(path):
    """Read an index of ours or of the tutorial's, without running anything that is in it.

    The name of a collection in Milvus gives a MilvusIndex, which does the same for a search.

    Raises OSError when it cannot be read, ValueError when it is broken, foreign or inconsistent.
    """
    if is_milvus(path):
        from pyimagesearch.milvus.metadata import open_collection

        return open_collection(path)
    try:
        return _checked_index(_load_hdf5(path) if is_hdf5(path) else load_plain(path))
    except FileNotFoundError:
        raise FileNotFoundError(f"no such index: {path}; make it with index_images.py") from None
    except ValueError as error:
        raise ValueError(
            f"cannot use the index {path}: {error}; make it again with index_images.py"
        ) from error


def _load_hdf5(path):
    from pyimagesearch.index.hdf5 import read_hdf5

    data = read_hdf5(path)
    if isinstance(data.get("encoder"), dict) and isinstance(data.get("onnx"), np.ndarray):
        data["encoder"]["onnx"] = data["onnx"].tobytes()
    return data


def _checked_index(data):
    """Return unpickled data, of any shape whatever, as an Index, or raise ValueError."""
    if not isinstance(data, dict) or not {"indexes", "features"} <= data.keys():
        raise ValueError("it is something else: it has no indexes and features")
    features = _checked_features(data["features"])
    n, d = features.shape
    ids, labels, files = data["indexes"], data.get("labels"), data.get("files")
    names, dataset = data.get("label_names"), data.get("dataset")
    metric, codes_sha256 = data.get("metric", "euclidean"), data.get("codes_sha256")
    _require(
        isinstance(ids, Sequence) and not isinstance(ids, str | bytes) and len(ids) == n,
        f"expected a list of {n:,} indexes, one a code",
    )
    _require(
        labels is None
        or (isinstance(labels, np.ndarray) and labels.dtype.kind in "iu" and labels.shape == (n,)),
        f"expected {n:,} labels as whole numbers, one a code",
    )
    _require(
        files is None
        or (isinstance(files, np.ndarray) and files.dtype == FILE_STATS and files.shape == (n,)),
        f"expected {n:,} records of files, one a code",
    )
    _require(names is None or isinstance(names, list), "expected a list of label names")
    _require(
        dataset is None or (isinstance(dataset, dict) and set(dataset) == SOURCE_KEYS),
        f"expected the dataset as {', '.join(sorted(SOURCE_KEYS))}",
    )
    _require(metric in METRICS, f"unknown metric {metric}")
    _require(codes_sha256 is None or isinstance(codes_sha256, str), "expected a hash as text")
    encoder = None if data.get("encoder") is None else Encoder.from_dict(data["encoder"])
    _require(
        encoder is None or encoder.dim == d,
        f"its codes have {d} numbers, its encoder gives {encoder and encoder.dim}",
    )
    return Index(features, ids, labels, names, dataset, metric, encoder, files, codes_sha256)


def _require(condition, message):
    if not condition:
        raise ValueError(message)


def _checked_features(features):
    """Return features as finite float32 (n, d), or raise ValueError."""
    if not isinstance(features, np.ndarray) or features.dtype.kind != "f" or features.ndim != 2:
        kind = getattr(features, "dtype", type(features).__name__)
        raise ValueError(
            "expected features as floats of shape (n, d), "
            f"received {kind} {getattr(features, 'shape', '')}"
        )
    if not features.size:
        raise ValueError("it holds no codes")
    if features.size > CHECKED:
        return features
    bad = len(features) - np.count_nonzero(np.isfinite(features).all(axis=1))
    if bad:
        raise ValueError(f"{bad:,} of its {len(features):,} codes hold NaN or infinity")
    return np.asarray(features, np.float32)
