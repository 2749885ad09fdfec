"""Loaders of the built-in datasets and of .npz files: arrays of images and labels by split."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pyimagesearch.arrays import AnyArray
from pyimagesearch.suggestions import did_you_mean_file

MNIST = Path(__file__).parent.parent / "data"
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

# The images, `kind` "x", or labels, "y", of (name, split, kind); None where there are no labels.
Loader = Callable[[str, str, str], AnyArray | None]

LARGE = 1 << 28  # bytes of an array, beyond which
MAX_EXPANSION = 200  # it may be this much larger than it is in a compressed .npz file


def load_npz(path: str, split: str, kind: str) -> AnyArray | None:
    """Return an array of an .npz file: `kind` "x" or "y" of a split; None without labels.

    Raises OSError when there is no such file, ValueError when it has no such array.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such dataset file: {path}{did_you_mean_file(path)}")
    import zipfile  # here, because most datasets do without

    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not a zip archive of arrays, as numpy.savez writes")
        # Arrays of objects would need pickle, which can run code.
        with np.load(path, allow_pickle=False) as arrays:
            key = f"{kind}_{split}"
            if key in arrays:
                member = arrays.zip.getinfo(f"{key}.npy")
                if member.file_size > max(LARGE, MAX_EXPANSION * member.compress_size):
                    raise ValueError(f"its {key} is compressed further than pictures can be")
                return arrays[key]
            if kind == "y":
                return None
            raise ValueError(f"it has no array {key}, only {', '.join(arrays) or 'none'}")
    except Exception as error:  # zip, zlib and NumPy each raise their own
        raise ValueError(f"cannot use {path} as an .npz dataset: {error}") from error


def npz_digest(path: str, split: str) -> str | None:
    """Return a text that identifies the images of a split by their content; None if there are none.

    It is the CRC-32 and the size of the array, which are read from the directory of the file.
    """
    import zipfile  # here, because most datasets do without

    with contextlib.suppress(OSError, KeyError, zipfile.BadZipFile), zipfile.ZipFile(path) as file:
        member = file.getinfo(f"x_{split}.npy")
        return f"crc32:{member.CRC:08x}:{member.file_size}"
    return None


def _load_mnist(_: str, split: str, kind: str) -> AnyArray:
    file = MNIST / f"mnist_{split}_{'images' if kind == 'x' else 'labels'}.npy"
    # A memory map: a search reads the few rows that it shows.
    return np.load(file, mmap_mode="r", allow_pickle=False).view(np.ndarray)


def _load_fashion_mnist(name: str, split: str, kind: str) -> AnyArray:
    part = "train" if split == "train" else "t10k"
    file = f"{part}-images-idx3-ubyte.gz" if kind == "x" else f"{part}-labels-idx1-ubyte.gz"
    folder = _keras_datasets() / "fashion-mnist"
    if not (folder / file).is_file():
        if not (DEBIAN_FASHION_MNIST / file).is_file():
            _download(name, folder, "the four *-ubyte.gz files")
        else:
            folder = DEBIAN_FASHION_MNIST
    return read_idx(folder / file)


def _load_cifar10(name: str, split: str, kind: str) -> AnyArray:
    folder = _keras_datasets() / "cifar-10-batches-py-target" / "cifar-10-batches-py"
    names = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
    if not all((folder / file).is_file() for file in names):
        _download(name, folder, "data_batch_1 to 5 and test_batch")
    from pyimagesearch.pickles import load_plain

    batches = [load_plain(folder / file, encoding="bytes") for file in names]
    if kind == "y":
        return np.concatenate([batch[b"labels"] for batch in batches])
    return (
        np.concatenate([batch[b"data"] for batch in batches])
        .reshape(-1, 3, 32, 32)
        .transpose(0, 2, 3, 1)
    )


BUILT_IN: dict[str, Loader] = {
    "mnist": _load_mnist,
    "fashion_mnist": _load_fashion_mnist,
    "cifar10": _load_cifar10,
}


def _keras_datasets() -> Path:
    """Keras' download cache, found without importing Keras."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets"


def _download(name: str, folder: Path, files: str) -> None:
    from pyimagesearch.backend import keras

    try:
        with contextlib.redirect_stdout(sys.stderr):  # "Downloading data from ...", and a bar
            getattr(keras.datasets, name).load_data()
    except Exception as error:  # urllib's errors come wrapped in a bare Exception
        raise OSError(
            f"{name} is not on this machine and could not be downloaded ({error}); "
            f"put {files} into {folder}"
        ) from error


def read_idx(path: str | Path) -> AnyArray:
    """Return the uint8 array of an IDX file, gzipped or not: the format of the original MNIST.

    Raises ValueError when the file is cut short or not an IDX file.
    """
    import gzip

    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read()
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}") from error
    # Two zero bytes, the type (8 is uint8), the number of axes, then each axis as big-endian int32.
    axes = data[3] if len(data) >= 4 else 0
    header = 4 + 4 * axes
    shape = tuple(np.frombuffer(data[4:header], ">u4").tolist()) if len(data) >= header else ()
    if data[:3] != b"\0\0\x08" or not shape or len(data) - header != np.prod(shape):
        raise ValueError(f"{path} is not a whole IDX file of bytes")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
