"""Files that appear whole or not at all, and fingerprints of files."""

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
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
