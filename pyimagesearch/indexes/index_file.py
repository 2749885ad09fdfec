"""Index files: a pickle that the tutorial's own search can read, or HDF5."""

import hashlib
import mmap
import os
import pickle
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyimagesearch.arrays import Floats
from pyimagesearch.datasets.catalog import is_source
from pyimagesearch.datasets.dataset import FILE_STATS, RowIds
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.files import (
    MAX_TEXT,
    atomic_write,
    brief,
    is_inside,
    require_regular,
    verify_checksum,
)
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.metric import METRICS
from pyimagesearch.suggestions import did_you_mean_file

HDF5_SUFFIXES = (".h5", ".hdf5")
# Codes up to this many values are all checked for NaN on loading; more would slow down opening.
MAX_CHECKED_VALUES = 50_000_000
MAX_CHECKED_BYTES = 64 << 20  # files up to this size are verified on loading, in 0.05 s
MAX_LABEL_NAME = 4096  # characters: a label is named after a folder
# How a pickled dict begins, of protocol 2 to 5, whose first key is that of an index of any version.
PICKLED_INDEX = re.compile(
    rb"\x80[\x02-\x05](\x95.{8})?"  # the version, and the length
    rb"\}(\x94|q\x00)?\(?"  # a dict, remembered, and what it holds
    rb"(\x8c.|X.{4})(?P<key>format|labels|indexes|features)",
    re.DOTALL,
)
HEAD = 64  # bytes in which this is
ENCODER_DATASETS = {"onnx", "text"}  # in HDF5; in a pickle they are entries of the encoder
FORMAT = 2  # files without this number have no checksum


def save_index(index: LocalIndex, path: str | Path, blocks: Iterable[Floats] | None = None) -> None:
    """Write an index: HDF5 for a name ending in .h5 or .hdf5, else a pickle.

    `indexes` and `features` in the pickle are those of the tutorial's own index. `blocks` yields
    the features in parts, float32 (m, d), where there are more than memory holds at once.
    """
    assert index.encoder is not None
    data: dict[str, Any] = {
        "format": FORMAT,
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
        from pyimagesearch.indexes.hdf5 import write_hdf5

        for key in ENCODER_DATASETS & data["encoder"].keys():
            data[key] = np.frombuffer(data["encoder"].pop(key), np.uint8)
        write_hdf5(str(path), data, list(index.ids), blocks)
        return
    for key in ENCODER_DATASETS & data["encoder"].keys():
        data["encoder"][key] = bytes(data["encoder"][key])
    features = np.ascontiguousarray(np.concatenate(list(blocks)))
    # Row numbers are integers in the pickle, as in the tutorial's own.
    ids: list[Any] = list(index.ids)
    if not index.has_files:
        ids = [int(id) for id in index.ids]
    data |= {"indexes": ids, "features": features}
    data["codes_sha256"] = hashlib.sha256(features.data).hexdigest()
    with atomic_write(path, checksum=True) as temporary, open(temporary, "wb") as file:
        pickle.dump(data, file, protocol=4)


def is_hdf5(path: str | Path) -> bool:
    """Whether an index of this name is an HDF5 file."""
    return Path(path).suffix.lower() in HDF5_SUFFIXES


def load_index(path: str | Path, verify: bool = False) -> LocalIndex:
    """Read an index of ours or of the tutorial's, without executing anything in it.

    The checksum of a file of up to MAX_CHECKED_BYTES is compared, with `verify` that of any.
    Raises OSError when it cannot be read, ValueError when it is damaged, foreign or inconsistent.
    """
    require_regular(path)
    try:
        verify = verify or os.path.getsize(path) <= MAX_CHECKED_BYTES
        missing = verify and not verify_checksum(path)
        data = _load_hdf5(path) if is_hdf5(path) else _load_pickle(path)
        index = _checked_index(data, os.path.getsize(path))
        _require(not missing or "format" not in data, "it is damaged: its checksum is missing")
    except (FileNotFoundError, NotADirectoryError):
        suggestion = did_you_mean_file(path)
        raise FileNotFoundError(
            f"no such index: {path}; make it with index_images.py{suggestion}"
        ) from None
    except IsADirectoryError:
        raise IsADirectoryError(f"{path} is a folder, not an index: name the file") from None
    except ValueError as error:
        _require_no_model(path)
        reason = str(error)
        if _is_of_another_kind(path):
            reason = "it is damaged or no index, neither HDF5 nor a pickle"
        raise ValueError(
            f"cannot use the index {path}: {reason}; make it again with index_images.py"
        ) from error
    index.path = str(path)
    return index


def require_model(path: str | Path, flag: str = "--model") -> None:
    """Raise ValueError if the file of a flag, to be read or written as a model, is an index."""
    if os.path.isfile(path) and _has_index(path):
        raise ValueError(f"{flag} {path} is an index, not a model: give another name")


def require_replaceable(path: str | Path) -> None:
    """Raise ValueError if a file exists that is not an index: not even --rebuild replaces it."""
    if not os.path.exists(path) or not os.path.getsize(path):
        return
    _require_no_model(path)
    if _has_index(path) is False:
        raise ValueError(f"{path} is not an index: give --index another name, or delete the file")


def _require_no_model(path: str | Path) -> None:
    from pyimagesearch.encoders.model_files import is_model_file

    if is_model_file(path):
        raise ValueError(
            f"{path} is a model, not an index: name it with --model, and give --index another name"
        )


def _is_of_another_kind(path: str | Path) -> bool:
    """Whether a file begins neither like HDF5 nor like a pickle of any protocol."""
    from pyimagesearch.hdf5_files import HDF5_SIGNATURE

    with open(path, "rb") as file:
        head = file.read(len(HDF5_SIGNATURE))
    return bool(head) and not head.startswith((HDF5_SIGNATURE, b"\x80", b"(", b"}", b"]"))


def _has_index(path: str | Path) -> bool | None:
    """Whether a file begins like an index; None for HDF5 that cannot be opened."""
    if is_hdf5(path):
        from pyimagesearch.hdf5_files import HDF5_SIGNATURE, has_hdf5_attribute

        with open(path, "rb") as file:
            if file.read(len(HDF5_SIGNATURE)) != HDF5_SIGNATURE:
                return False
        return has_hdf5_attribute(path, "pyimagesearch")
    with open(path, "rb") as file:
        begins = PICKLED_INDEX.match(file.read(HEAD))
        if begins is None or begins["key"] != b"labels":
            return begins is not None
        # Other data begin with labels too. Of an index that was cut short it is not known.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(b"features") >= 0


def _load_pickle(path: str | Path) -> Any:
    from pyimagesearch.pickles import load_plain  # not needed by an HDF5 index

    try:
        return load_plain(path, structured=FILE_STATS)
    except ValueError as error:
        raise ValueError(f"it {str(error).removeprefix(f'{path} ')}") from None


def _load_hdf5(path: str | Path) -> dict[str, Any]:
    from pyimagesearch.indexes.hdf5 import read_hdf5

    data = read_hdf5(str(path))
    encoder = data.get("encoder")
    network = data.get("onnx")
    if isinstance(encoder, dict) and isinstance(network, np.ndarray):
        # Both stay in the file, mapped, until they are needed.
        encoder.update({key: data[key] for key in ENCODER_DATASETS & data.keys()})
    return data


def _checked_index(data: Any, size: int) -> LocalIndex:
    """Return the data of any shape in a file of `size` bytes as an Index, or raise ValueError."""
    if not isinstance(data, dict) or not {"indexes", "features"} <= data.keys():
        raise ValueError("it is not an index: it has no indexes and features")
    codes = _checked_codes(data["features"])
    n, dim = codes.shape
    labels, file_stats, names = (data.get(key) for key in ("labels", "files", "label_names"))
    source = data.get("dataset")
    codes_sha256 = data.get("codes_sha256")
    metric = data.get("metric", "euclidean")
    _require(
        labels is None or (_is_array(labels, (n,)) and labels.dtype.kind in "iu"),
        f"expected {n:,} labels as whole numbers, one per code",
    )
    _require(
        file_stats is None or (_is_array(file_stats, (n,)) and file_stats.dtype == FILE_STATS),
        f"expected {n:,} file records, one per code",
    )
    _require(
        names is None or _are_label_names(names),
        f"expected a list of label names of at most {MAX_LABEL_NAME:,} characters",
    )
    if labels is not None and names is not None:
        _require(-1 <= labels.min() <= labels.max() < len(names), "a label has no name")
    _require(
        source is None or is_source(source),
        "expected the dataset as name, split, limit and, of a folder, how it was read",
    )
    _require(
        isinstance(metric, str) and metric in METRICS,
        f"expected the metric {' or '.join(METRICS)}, received {brief(metric)}",
    )
    _require(codes_sha256 is None or isinstance(codes_sha256, str), "expected a hash as text")
    encoder = None if data.get("encoder") is None else Encoder.from_dict(data["encoder"])
    _require(
        encoder is None or encoder.dim == dim,
        f"its codes have {dim} dimensions, those of its encoder {encoder and encoder.dim}",
    )
    ids = _checked_ids(data["indexes"], n, size, files=file_stats is not None)
    return LocalIndex(codes, ids, labels, names, source, metric, encoder, file_stats, codes_sha256)


def _checked_ids(ids: Any, count: int, size: int, *, files: bool) -> Sequence[str]:
    """Return `count` ids of a file of `size` bytes as a sequence of str, or raise ValueError.

    Those of an array are row numbers.
    """
    _require(
        isinstance(ids, Sequence) and not isinstance(ids, str | bytes) and len(ids) == count,
        f"expected a list of {count:,} indexes, one per code",
    )
    if isinstance(ids, range):
        ids = list(ids)
    if not isinstance(ids, list):
        names: Sequence[str] = ids  # text that stays in an HDF5 file, which checks it
        return names
    if not files and ids == list(range(count)):
        return RowIds(count)
    kind = str if files else int
    _require(all(type(id) is kind for id in ids), f"expected indexes of the type {kind.__name__}")
    if files:
        # A pickle may refer to one long text many times.
        _require(sum(map(len, ids)) <= size, "its ids are longer than the file")
        text = "\0".join(["", *ids, ""])
        # Looked for in all ids at once, as most indexes have none of these.
        parts = "..", "\0/", "\0\0", *("\\:" if os.name == "nt" else "")
        if any(part in text for part in parts) or text.count("\0") != count + 1:
            for id in ids:
                _require(is_inside(id), f"it has the id {brief(id)}, which is outside its folder")
        return ids
    _require(min(ids) >= 0 and max(ids) < 2**63, "expected row numbers as indexes")
    return [str(id) for id in ids]


def _are_label_names(names: Any) -> bool:
    """Whether a value is a list of names of folders; a long one may be in a pickle many times."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return False
    lengths = list(map(len, names))
    return max(lengths, default=0) <= MAX_LABEL_NAME and sum(lengths) <= MAX_TEXT


def _is_array(value: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(value, np.ndarray) and value.shape == shape


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _checked_codes(features: Any) -> Floats:
    """Return the features of an index as finite float32 (n, d), or raise ValueError."""
    if not isinstance(features, np.ndarray) or features.dtype.kind != "f" or features.ndim != 2:
        kind = getattr(features, "dtype", type(features).__name__)
        raise ValueError(
            "expected features as floats of shape (n, d), "
            f"received {kind} {getattr(features, 'shape', '')}"
        )
    if not features.size:
        raise ValueError("it holds no codes")
    if features.size > MAX_CHECKED_VALUES:
        return features
    bad = len(features) - np.count_nonzero(np.isfinite(features).all(axis=1))
    if bad:
        raise ValueError(f"{bad:,} of its {len(features):,} codes hold NaN or infinity")
    return np.asarray(features, np.float32)
