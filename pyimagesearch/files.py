"""Files: atomic writes, checksums, names fit for messages, and readers of untrusted data."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

# A file may end in these bytes and the SHA-256, 32 bytes, of all bytes before them. Readers of
# HDF5 and of pickles ignore bytes after their data.
CHECKSUM_MARK = b"\nSHA-256 of this file: "
CHECKSUM_SIZE = len(CHECKSUM_MARK) + 32
BLOCK = 1 << 20  # bytes hashed at once
MAX_EXPANSION = 64  # how much larger than its file a compressed HDF5 dataset may be


@contextmanager
def atomic_write(path: str | Path, checksum: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path`.

    The temporary name keeps the suffix, by which writers such as Keras choose a format. On an
    error the temporary file is removed and `path` is as it was. With `checksum` the file ends with
    a checksum, which `verify_checksum` compares.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with open(temporary, "r+b") as file:
            if checksum:
                digest = _sha256(file, os.path.getsize(temporary))
                file.write(CHECKSUM_MARK + digest)
                file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:  # named after the file that was to be, in words of one line
        reason = os.strerror(error.errno) if error.errno else error
        raise OSError(f"cannot write {path}: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)


def content_size(path: str | Path) -> int:
    """Return the number of bytes of a file without the checksum at its end, if it has one."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - CHECKSUM_SIZE))
        return size - CHECKSUM_SIZE * (file.read(len(CHECKSUM_MARK)) == CHECKSUM_MARK)


def verify_checksum(path: str | Path) -> bool:
    """Compare a file with the checksum at its end; return False if it has none, else True.

    Raises ValueError when the file was changed since it was written.
    """
    size = content_size(path)
    with open(path, "rb") as file:
        found = _sha256(file, size)
        end = file.read()
    if end and found != end[len(CHECKSUM_MARK) :]:
        raise ValueError("it is damaged: its checksum differs")
    return bool(end)


def _sha256(file: BinaryIO, size: int) -> bytes:
    """Return the SHA-256, 32 bytes, of the next `size` bytes of an open file."""
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(size, BLOCK))):
        digest.update(block)
        size -= len(block)
    return digest.digest()


def require_writable(*paths: str | Path) -> None:
    """Raise OSError now if any of `paths` could not be written later; make their folders."""
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(f"cannot write {path}: it is a folder; give a file name")
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(f"cannot write {path}: no permission in {path.parent}")


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def printable(path: str | Path) -> str:
    """Return a path as text that fits on one line and in any UTF-8 stream, for messages.

    Bytes of a name that are not UTF-8, which Python holds as lone surrogates, become `\\xNN`, and
    so do control characters. To write the name itself, use `os.fsencode`.
    """
    text = os.fspath(path)
    return text if text.isprintable() else "".join(map(_printable_character, text))


def _printable_character(c: str) -> str:
    if c.isprintable():
        return c
    return f"\\x{ord(c) - 0xDC00:x}" if "\udc80" <= c <= "\udcff" else ascii(c)[1:-1]


def brief(value: Any) -> str:
    """Return a value that a stranger chose as short text: its type and, of text or a number, more.

    A structure is not formatted: one of a few bytes may be written out endlessly.
    """
    if isinstance(value, str):
        return repr(printable(value[:60]))
    if isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() < 128):
        return repr(value)
    return type(value).__name__


def path_bytes(path: str | Path) -> bytes:
    """Return a path as the bytes that the operating system knows it by.

    A name that cannot be encoded in the locale's encoding is encoded as UTF-8.
    """
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:
        return os.fspath(path).encode("utf-8", "surrogateescape")


def is_inside(path: str, windows: bool = os.name == "nt") -> bool:
    """Whether a relative path, with "/" between its parts, stays inside its folder.

    On `windows` a part may not hold what separates parts or names a drive there.
    """
    if windows and ("\\" in path or ":" in path):
        return False
    parts = path.split("/")
    return bool(path) and bool(parts[0]) and ".." not in parts and "\0" not in path


def require_plain_hdf5(file: Any, size: int) -> None:
    """Raise ValueError if an open HDF5 file of `size` bytes refers to others or needs undue memory.

    These are links that are not hard links, virtual datasets, external storage, and datasets much
    larger than the file.
    """
    import h5py

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
            elif item.nbytes > MAX_EXPANSION * size:
                raise ValueError(f"its object {name} is larger than the file")
