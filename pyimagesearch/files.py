"""Files: atomic writes, checksums, names fit for messages, and pickles of plain data."""

import hashlib
import importlib
import os
import pickle
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path):
    """Yield a temporary path beside `path`; on success it takes the place of `path`.

    The temporary name keeps the suffix, by which writers such as Keras choose a format. On an
    error the temporary file is removed and `path` is as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:  # named after the file that was to be, in words of one line
        reason = os.strerror(error.errno) if error.errno else error
        raise OSError(f"cannot write {path}: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(*paths):
    """Raise OSError now if any of `paths` could not be written later; make their folders."""
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(f"cannot write {path}: it is a folder; give a file name")
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(f"cannot write {path}: no permission in {path.parent}")


def sha256_of(path):
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def printable(path):
    """Return a path as text that fits on one line and in any UTF-8 stream, for messages.

    Bytes of a name that are not UTF-8, which Python holds as lone surrogates, become `\\xNN`, and
    so do control characters. To write the name itself, use `os.fsencode`.
    """
    text = os.fspath(path)
    return text if text.isprintable() else "".join(map(_printable_character, text))


def _printable_character(c):
    if c.isprintable():
        return c
    return f"\\x{ord(c) - 0xDC00:x}" if "\udc80" <= c <= "\udcff" else ascii(c)[1:-1]


def path_bytes(path):
    """Return a path as the bytes that the operating system knows it by.

    A name that cannot be encoded in the locale's encoding is encoded as UTF-8.
    """
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:
        return os.fspath(path).encode("utf-8", "surrogateescape")


# What an array of plain numbers needs to come back to life, under its old and new module names;
# nothing here opens a file, imports a module or starts a process.
ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which plain data never needs: it may be an attack"
            )
        return getattr(importlib.import_module(module.replace("numpy.core", "numpy._core")), name)


def load_plain(path, encoding="ASCII"):
    """Return the plain containers and NumPy arrays pickled in the file `path`.

    Raises OSError when it cannot be read and ValueError when it is no pickle, is cut short, or
    asks for anything but plain data. `encoding` is that of `pickle.load`.
    """
    with open(path, "rb") as file:
        try:
            return _PlainUnpickler(file, encoding=encoding).load()
        except OSError:
            raise
        # A hostile or broken stream can make the unpickler raise nearly anything.
        except Exception as error:
            raise ValueError(f"{path} is no whole pickle of plain data: {error}") from error
