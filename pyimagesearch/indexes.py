"""Indexes: codes, and everything a search needs to know about them, in one file."""

import pickle
from dataclasses import dataclass

import numpy as np

from pyimagesearch.encoders import Encoder
from pyimagesearch.files import replacing
from pyimagesearch.pickles import load_plain

METRICS = ("euclidean", "cosine")


@dataclass
class Index:
    """The codes of a dataset and what made them.

    `features` are float32 codes (n, d), `ids` one id a row, `labels` int64 (n,) or None; `dataset` is
    the location of the pictures, `metric` the distance to rank by unless a search asks for another,
    `encoder` what encodes a query. The last three are None in an index of the tutorial's.
    """

    features: np.ndarray
    ids: list
    labels: np.ndarray | None = None
    dataset: dict | None = None
    metric: str = "euclidean"
    encoder: Encoder | None = None

    def __len__(self):
        return len(self.features)


def save_index(index, path):
    """Write a pickle whose `indexes` and `features` are those of the tutorial's own index."""
    data = {
        "indexes": list(index.ids),
        "features": index.features,
        "labels": index.labels,
        "dataset": index.dataset,
        "code_size": index.features.shape[1],
        "metric": index.metric,
        "model_sha256": index.encoder.model_sha256,
        "encoder": index.encoder.to_dict(),
    }
    with replacing(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(data, file, protocol=4)


def load_index(path):
    """Read an index of ours or of the tutorial's, without running anything that is in it.

    Raises OSError when it cannot be read, ValueError when it is broken, foreign or inconsistent.
    """
    try:
        data = load_plain(path)
        if not isinstance(data, dict) or not {"indexes", "features"} <= data.keys():
            raise ValueError(f"{path} is not an index: it has no indexes and features")
        encoder = data.get("encoder")
        index = Index(
            features=_checked_features(data["features"], path),
            ids=list(data["indexes"]),
            labels=data.get("labels"),
            dataset=data.get("dataset"),
            metric=data.get("metric", "euclidean"),
            encoder=None if encoder is None else Encoder.from_dict(encoder),
        )
        _check_consistent(index, path)
        return index
    except FileNotFoundError:
        raise FileNotFoundError(f"no such index: {path}; make it with index_images.py") from None
    except ValueError as error:
        raise ValueError(f"{error}; make it again with index_images.py") from error


def _checked_features(features, path):
    """Return features as finite float32 (n, d), or raise ValueError."""
    if not isinstance(features, np.ndarray) or features.dtype.kind != "f" or features.ndim != 2:
        kind = getattr(features, "dtype", type(features).__name__)
        raise ValueError(
            f"{path}: expected features as floats of shape (n, d), "
            f"received {kind} {getattr(features, 'shape', '')}"
        )
    if not features.size:
        raise ValueError(f"{path} is empty")
    bad = len(features) - np.count_nonzero(np.isfinite(features).all(axis=1))
    if bad:
        raise ValueError(f"{path}: {bad:,} of {len(features):,} codes hold NaN or infinity")
    return np.ascontiguousarray(features, np.float32)


def _check_consistent(index, path):
    n, d = index.features.shape
    if len(index.ids) != n:
        raise ValueError(f"{path}: {len(index.ids):,} ids for {n:,} codes")
    if index.labels is not None and np.shape(index.labels) != (n,):
        raise ValueError(f"{path}: labels of shape {np.shape(index.labels)} for {n:,} codes")
    if index.metric not in METRICS:
        raise ValueError(f"{path}: unknown metric {index.metric}")
    if index.encoder is not None and index.encoder.dim != d:
        raise ValueError(f"{path}: its codes have {d} numbers, its encoder gives {index.encoder.dim}")
