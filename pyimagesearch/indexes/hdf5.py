"""Indexes as HDF5 files: `features`, `names`, `labels` and attributes, read lazily."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import AnyArray, Floats, Rows
from pyimagesearch.files import MAX_TEXT, atomic_write, brief, is_inside
from pyimagesearch.hdf5_files import hdf5_text, new_hdf5, require_plain_hdf5

BLOCK = 65536  # rows written or read at once
ROWS_AT_ONCE = 512  # rows chosen at once: for more, the time of h5py grows with the square
MAX_NAME = 1 << 16  # bytes of an id, a relative path
# What a dataset of text holds for each row: the length and the place of the text, which is stored
# elsewhere. Many rows may name one place, so that the lengths are not bounded by the file.
REFERENCE = np.dtype([("length", "<u4"), ("address", "<u8"), ("number", "<u4")])
NAME_SIZE = REFERENCE.itemsize + 24  # bytes that a name takes at most, beside its text
SHA256_DIGITS = 64
DATASETS = {"features", "names", "labels", "files", "onnx", "text"}


class Names(Sequence[str]):
    """The ids of an index, read from its file when they are asked for.

    `lengths`, uint32 (n,), are their numbers of bytes, and `size` is that of the file: reading ids
    raises ValueError before it takes more memory than honest ones would.
    """

    def __init__(self, dataset: Any, lengths: NDArray[np.uint32], size: int) -> None:
        self._dataset = dataset
        self._lengths = lengths
        self._size = size

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, row: Any) -> Any:
        self._require_modest(self._lengths[row])
        return _text(self._dataset[row])

    def many(self, rows: Rows) -> list[str]:
        """Return the ids of rows, int64 (k,), as a list, ten times faster than one by one."""
        ordered, places = np.unique(rows, return_inverse=True)
        self._require_modest(self._lengths[ordered])
        texts: list[str] = []
        for start in range(0, len(ordered), ROWS_AT_ONCE):
            texts += map(_text, self._dataset[ordered[start : start + ROWS_AT_ONCE]])
        return [texts[place] for place in places]

    def __iter__(self) -> Iterator[str]:
        self._require_modest(self._lengths)
        for start in range(0, len(self), BLOCK):
            yield from map(_text, self._dataset[start : start + BLOCK])

    def _require_modest(self, lengths: NDArray[np.uint32]) -> None:
        """Raise ValueError unless each of the names, and all together, are of possible lengths."""
        longest = int(np.max(lengths, initial=0))
        total = int(np.sum(lengths, dtype=np.int64))
        if longest <= MAX_NAME and total <= self._size:
            return
        raise ValueError(
            f"cannot use the index {self._dataset.file.filename}: it has ids of up to {longest:,} "
            f"bytes, of {total:,} in all; make it again with index_images.py"
        )


def _text(name: bytes) -> str:
    # Bytes that are not UTF-8 are represented as Python's file functions represent them.
    text = name.decode("utf-8", "surrogateescape")
    if not is_inside(text):
        raise ValueError(f"the index has the id {brief(text)}, which is outside its folder")
    return text


def write_hdf5(
    path: str, data: dict[str, Any], ids: Sequence[str], blocks: Iterable[Floats]
) -> None:
    """Write an index, completely or not at all.

    `data` maps names to arrays, which become datasets, and to plain values, which become one JSON
    attribute; `ids` are strings; `blocks` yields the features, float32 (m, d) each.
    """
    arrays = {name: value for name, value in data.items() if isinstance(value, np.ndarray)}
    text = _as_json({name: value for name, value in data.items() if name not in arrays})
    content = len(text) + 4 * len(ids) * data["code_size"]
    content += sum(array.nbytes for array in arrays.values())
    content += sum(len(_encoded(id)) + NAME_SIZE for id in ids)
    with (
        atomic_write(path, checksum=True) as temporary,
        new_hdf5(temporary, content, objects=len(DATASETS)) as file,
    ):
        for name, array in arrays.items():
            file[name] = array
        file.attrs["pyimagesearch"] = text
        names = file.create_dataset("names", len(ids), h5py.string_dtype())
        features = file.create_dataset("features", (len(ids), data["code_size"]), "f4")
        for start in range(0, len(ids), BLOCK):
            names[start : start + BLOCK] = list(map(_encoded, ids[start : start + BLOCK]))
        start = 0
        digest = hashlib.sha256()
        for block in blocks:
            features[start : start + len(block)] = block
            start += len(block)
            digest.update(np.ascontiguousarray(block).data)
        file.attrs["codes_sha256"] = digest.hexdigest()


def _encoded(id: str) -> bytes:
    return id.encode("utf-8", "surrogateescape")


def _as_json(plain: dict[str, Any]) -> str:
    text = json.dumps(plain)
    if len(text) > MAX_TEXT:
        count = len(plain.get("label_names") or ())
        raise ValueError(
            f"the names of its {count:,} labels have more than {MAX_TEXT:,} characters, which an "
            "HDF5 index cannot hold: put the pictures into fewer folders"
        )
    return text


def read_hdf5(path: str) -> dict[str, Any]:
    """Return the datasets and plain values of an index; all but the plain values stay in the file.

    Datasets are arrays mapped into memory, `indexes` a sequence of names. Raises ValueError for
    a file that is not an index, or that refers to other files.
    """
    try:
        file = h5py.File(path)
        require_plain_hdf5(file, os.path.getsize(path))
        data = json.loads(hdf5_text(file, "pyimagesearch") or "{}")
        if not isinstance(data, dict) or not set(file) <= DATASETS:
            raise ValueError("it has other content than an index")
        names = _names(path, file["names"])
        for name, dataset in file.items():
            if name != "names":
                data[name] = _mapped(path, dataset)
        codes_sha256 = hdf5_text(file, "codes_sha256", SHA256_DIGITS)
        return {**data, "codes_sha256": codes_sha256, "indexes": names}
    except FileNotFoundError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"it is not a complete HDF5 index ({reason})") from error


def _names(path: str, dataset: Any) -> Names:
    """Return the ids of an index, of which nothing but the lengths is looked at, when needed."""
    text = h5py.check_string_dtype(dataset.dtype)
    if dataset.ndim != 1 or text is None or text.length is not None:
        raise ValueError("its names are not text")
    count = len(dataset)
    size = os.path.getsize(path)
    if not count:
        return Names(dataset, np.zeros(0, np.uint32), size)
    offset = dataset.id.get_offset()
    if offset is None or dataset.id.get_storage_size() != count * REFERENCE.itemsize:
        raise ValueError("its names are not stored as index_images.py stores them")
    references = np.memmap(path, REFERENCE, "r", offset, (count,))
    return Names(dataset, references["length"], size)


def _mapped(path: str, dataset: Any) -> AnyArray:
    """Return a dataset as an array over the file if it is contiguous, or else a copy."""
    if dataset.dtype.hasobject:
        raise ValueError(f"its object {dataset.name} does not hold numbers")
    offset = dataset.id.get_offset()
    if offset is None or not dataset.size:
        copy: AnyArray = dataset[()]
        return copy
    return np.memmap(path, dataset.dtype, "r", offset, dataset.shape)
