"""Indexes: codes, and everything a search needs to know about them, in one file."""

import pickle
from dataclasses import dataclass

import numpy as np

from pyimagesearch.encoders import Encoder
from pyimagesearch.files import replacing
from pyimagesearch.pickles import load_plain

METRICS = ("euclidean", "cosine")
LOCATION = {"name", "split", "limit"}


@dataclass
class Index:
    """The codes of a dataset and what made them.

    `features` are float32 codes (n, d), `ids` one id a row, `labels` int64 (n,) or None; `dataset`
    is the location of the pictures, `metric` the distance to rank by unless a search asks for
    another, `encoder` what encodes a query. An index of the tutorial's has no labels, dataset or
    encoder.
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
        return _checked_index(load_plain(path))
    except FileNotFoundError:
        raise FileNotFoundError(f"no such index: {path}; make it with index_images.py") from None
    except ValueError as error:
        raise ValueError(
            f"cannot use the index {path}: {error}; make it again with index_images.py"
        ) from error


def _checked_index(data):
    """Return unpickled data, of any shape whatever, as an Index, or raise ValueError."""
    if not isinstance(data, dict) or not {"indexes", "features"} <= data.keys():
        raise ValueError("it is something else: it has no indexes and features")
    features = _checked_features(data["features"])
    n, d = features.shape
    ids, labels, dataset = data["indexes"], data.get("labels"), data.get("dataset")
    if not isinstance(ids, list) or len(ids) != n:
        raise ValueError(f"expected a list of {n:,} indexes, one a code")
    if labels is not None and not (
        isinstance(labels, np.ndarray) and labels.dtype.kind in "iu" and labels.shape == (n,)
    ):
        raise ValueError(f"expected {n:,} labels as whole numbers, one a code")
    if dataset is not None and not (isinstance(dataset, dict) and set(dataset) == LOCATION):
        raise ValueError(f"expected the dataset as {', '.join(sorted(LOCATION))}")
    metric = data.get("metric", "euclidean")
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric}")
    encoder = data.get("encoder")
    if encoder is not None:
        encoder = Encoder.from_dict(encoder)
        if encoder.dim != d:
            raise ValueError(f"its codes have {d} numbers, its encoder gives {encoder.dim}")
    return Index(features, ids, labels, dataset, metric, encoder)


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
    bad = len(features) - np.count_nonzero(np.isfinite(features).all(axis=1))
    if bad:
        raise ValueError(f"{bad:,} of its {len(features):,} codes hold NaN or infinity")
    return np.ascontiguousarray(features, np.float32)
