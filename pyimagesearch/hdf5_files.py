"""HDF5 files: room for those that are written, and bounds for those of strangers.

What is read of a file is of a bounded size, and from no other file.
"""

import errno
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyimagesearch.files import MAX_TEXT

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_EXPANSION = 64  # how much larger than its file a compressed HDF5 dataset may be,
MAX_EXPANDED = 1 << 30  # up to as many bytes of all of them
# What a file takes beside its content, in bytes: what describes it, for each dataset or group, and
# gaps between texts, as a part of the content.
BASE_SIZE = 64 << 10
OBJECT_SIZE = 2 << 10
GAPS = 16
FULL_DISK = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def reserve_space(path: str | Path, content: int, objects: int) -> None:
    """Give a file, which HDF5 is about to write, all of the disk that it takes.

    `content` is the number of bytes of its arrays and texts, `objects` that of its datasets and
    groups. HDF5 ends the process by a signal, after all else, where it cannot write a file that it
    closes. Raises OSError where there is less room.
    """
    size = content + content // GAPS + BASE_SIZE + OBJECT_SIZE * objects
    try:
        if hasattr(os, "posix_fallocate"):  # which also knows of quotas and limits
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        elif size > shutil.disk_usage(os.path.dirname(os.path.abspath(path))).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        if error.errno in FULL_DISK:  # others come from file systems that cannot reserve
            raise OSError(f"{error.strerror}: it takes up to {size:,} bytes") from error


@contextmanager
def new_hdf5(path: str | Path, content: int, objects: int) -> Iterator[Any]:
    """Yield an h5py.File to be written in place of the file `path`, whose room is reserved.

    See `reserve_space`, also for what it raises.
    """
    import h5py

    # HDF5 gives back the room of a file that it makes, so that it is given an empty one to change.
    with h5py.File(path, "w", driver="core", backing_store=False) as file:
        file.flush()
        Path(path).write_bytes(file.id.get_file_image())
    reserve_space(path, content, objects)
    try:
        with h5py.File(path, "r+") as file:
            yield file
    except RuntimeError as error:  # h5py raises it for some failed writes
        raise OSError("HDF5 failed to; is the disk full?") from error


def has_hdf5_attribute(path: str | Path, name: str) -> bool | None:
    """Whether an HDF5 file has an attribute of its root; None where it cannot be opened.

    Raises FileNotFoundError if there is no file.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return name in file.attrs
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, KeyError):  # the latter two where its structure is damaged
        return None


def hdf5_text(file: Any, name: str, limit: int = MAX_TEXT) -> str | None:
    """Return an attribute of the root of an open HDF5 file, which holds text; None without it.

    Raises ValueError if it is not a single text, of at most `limit` bytes.
    """
    if name not in file.attrs:
        return None
    stored = file.attrs.get_id(name)
    if stored.shape != ():  # many values may be one text, many times
        raise ValueError(f"its attribute {name} is not a single value")
    if stored.dtype.kind not in "SO" or stored.dtype.itemsize > limit:
        raise ValueError(f"its attribute {name} is not text of up to {limit:,} bytes")
    value = file.attrs[name]
    if not isinstance(value, str | bytes) or len(value) > limit:
        raise ValueError(f"its attribute {name} is not text of up to {limit:,} bytes")
    return value.decode() if isinstance(value, bytes) else value


def require_plain_hdf5(file: Any, size: int) -> None:
    """Raise ValueError if an open HDF5 file of `size` bytes refers to others or needs undue memory.

    These are links that are not hard links, virtual datasets, external storage, and datasets, or
    the chunks that they are read by, much larger than the file.
    """
    import h5py

    total = 0
    visited = set()
    groups = [file["/"]]
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"its object {name} is a link, which may lead to another file")
            item = group[name]
            if isinstance(item, h5py.Group):
                address = h5py.h5o.get_info(item.id).addr
                if address not in visited:
                    visited.add(address)
                    groups.append(item)
            elif not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
                raise ValueError(f"its object {name} is stored in another file")
            else:
                total += max(item.nbytes, _chunk_size(item))
                if total > MAX_EXPANSION * size or total > max(MAX_EXPANDED, size):
                    raise ValueError(f"its object {name} is larger than the file")


def _chunk_size(dataset: Any) -> int:
    """Return the bytes of a chunk, which may be more than those of the dataset; 0 without any."""
    return math.prod(dataset.chunks) * dataset.dtype.itemsize if dataset.chunks else 0
