"""Files: atomic writes, checksums, and names fit for messages."""

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

# A file may end in these bytes and the SHA-256, 32 bytes, of all bytes before them. Readers of
# HDF5 and of pickles ignore bytes after their data.
CHECKSUM_MARK = b"\nSHA-256 of this file: "
CHECKSUM_SIZE = len(CHECKSUM_MARK) + 32
BLOCK = 1 << 20  # bytes hashed at once
TEMPORARY = ".part"  # in the names of files that are being written, before the suffix
# Suffixes of what this program keeps beside an index, a model or any file that it writes.
LOCK_SUFFIX = ".lock"  # of hidden files
JOURNAL_SUFFIX = ".progress"  # SQLite keeps more files beside it, such as .progress-wal
ENGINE_SUFFIX = ".engine"
CHECKPOINT_SUFFIX = ".checkpoint.npz"
FEATURES_SUFFIX = ".features"
_ALONE = "|".join(map(re.escape, (ENGINE_SUFFIX, CHECKPOINT_SUFFIX, FEATURES_SUFFIX)))
KEPT_NAMES = re.compile(
    rf"\..*({re.escape(LOCK_SUFFIX)}|\.\w{{8}}{re.escape(TEMPORARY)}(\.\w+)?)"
    rf"|.*({re.escape(JOURNAL_SUFFIX)}(-\w+)?|{_ALONE})"
)
UMASK = os.umask(0)  # which can only be read by setting it
os.umask(UMASK)
# Bytes of text in a file that is parsed as JSON, which takes up to 40 times as much memory.
MAX_TEXT = 32 << 20


@contextmanager
def atomic_write(path: str | Path, checksum: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path`.

    The temporary file is new, of a random name that no other process has, and keeps the suffix, by
    which writers such as Keras choose a format: that of `path`, also where it is a link. On an
    error it is removed and `path` is as it was. Where `path` is a link, the file that it leads to
    is replaced. A link of a name in KEPT_NAMES is replaced itself: no flag names such a file, so
    that the link may be a stranger's and lead anywhere. Permissions stay, and a file that is
    read-only is not replaced. What killed processes left of the same file is removed. With
    `checksum` the file ends with a checksum, which `verify_checksum` compares.
    """
    target = Path(path)
    if target.is_symlink() and not KEPT_NAMES.fullmatch(target.name):
        target = Path(os.path.realpath(target))
    require_regular(target)
    _require_unprotected(path, target)
    _make_folder_of(target)
    with _among_writers(target):
        temporary = _new_file(target, path)
        try:
            yield temporary
            with open(temporary, "r+b") as file:
                if checksum:
                    digest = _sha256(file, os.path.getsize(temporary))
                    file.write(CHECKSUM_MARK + digest)
                    file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, _mode_for(target))
            os.replace(temporary, target)
        except OSError as error:
            raise cannot_write(path, error) from error
        finally:
            temporary.unlink(missing_ok=True)


def _require_unprotected(path: str | Path, target: Path) -> None:
    """Raise PermissionError for a file that is read-only, although its folder may be changed.

    A file of another user in a shared folder, such as /tmp, cannot be replaced at all.
    """
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(f"cannot write {path}: it is write-protected")


def _make_folder_of(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        nearest = next(filter(os.path.lexists, path.parents))
        raise NotADirectoryError(f"cannot write {path}: {nearest} is not a folder") from error
    except OSError as error:
        raise cannot_write(path, error) from error


def _new_file(target: Path, path: str | Path) -> Path:
    """Create an empty file beside `target`, which did not exist before."""
    import tempfile

    try:
        handle, name = tempfile.mkstemp(
            prefix=_temporary_prefix(target),
            suffix=f"{TEMPORARY}{Path(path).suffix}",
            dir=target.parent,
        )
    except OSError as error:
        raise cannot_write(path, error) from error
    os.close(handle)
    return Path(name)


def _temporary_prefix(target: Path) -> str:
    return f".{target.stem[:40]}."  # of up to 4 bytes a character, where names have up to 255


def _mode_for(target: Path) -> int:
    """Return the permissions of a file that is there, or those that a new file gets."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return 0o666 & ~UMASK


def cannot_write(path: str | Path, error: OSError) -> OSError:
    """Return an error that names the file that was to be written, in words of one line."""
    reason = os.strerror(error.errno) if error.errno else error
    return OSError(f"cannot write {path}: {reason}")


@contextmanager
def _among_writers(target: Path) -> Iterator[None]:
    """Hold a lock of the folder that all writers share; whoever is alone clears up first.

    Where folders cannot be locked, such as on Windows, nothing is cleared up.
    """
    try:
        import fcntl

        folder = os.open(target.parent, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_leftovers(target)
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_SH)
        yield
    finally:
        os.close(folder)


def _remove_leftovers(target: Path) -> None:
    """Remove what killed processes left of a file, while no process writes into its folder."""
    pattern = re.compile(
        rf"{re.escape(_temporary_prefix(target))}\w{{8}}{re.escape(TEMPORARY)}(\.\w+)?"
    )
    for entry in os.scandir(target.parent):
        if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            os.unlink(entry.path)


def is_special(path: str | Path) -> bool:
    """Whether there is a pipe, which would wait for its writer, or a device."""
    path = Path(path)
    return path.exists() and not (path.is_file() or path.is_dir())


def require_regular(path: str | Path) -> None:
    """Raise OSError where there is a pipe or a device.

    A path where there is nothing, or a folder, is left to those that open it.
    """
    if is_special(path):
        raise OSError(f"{path} is a device or pipe, no regular file: give the name of a file")


def content_size(file: BinaryIO) -> int:
    """Return the bytes of an open file without the checksum at its end, if it has one."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - CHECKSUM_SIZE))
    return size - CHECKSUM_SIZE * (file.read(len(CHECKSUM_MARK)) == CHECKSUM_MARK)


def verify_checksum(path: str | Path) -> bool:
    """Compare a file with the checksum at its end; return False if it has none, else True.

    Raises ValueError when the file was changed since it was written.
    """
    with open(path, "rb") as file:  # once: another process may replace it meanwhile
        size = content_size(file)
        file.seek(0)
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


def reason_of(error: Exception) -> str:
    """Return what an error says without Python's own additions, such as [Errno 36]."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    if isinstance(error.filename, str):
        return f"{error.filename}: {error.strerror}"
    return error.strerror


def require_writable(*paths: str | Path) -> None:
    """Raise OSError now if any of `paths` could not be written later; make their folders.

    Raises ValueError for the name of what is kept beside another file.
    """
    import tempfile

    for name in paths:
        require_free_name(name)
        require_regular(name)
        path = Path(name)
        target = Path(os.path.realpath(name))  # `atomic_write` follows links
        _make_folder_of(target)
        if target.is_symlink():
            raise OSError(f"cannot write {path}: it is a link that leads to itself")
        if path.is_dir() or os.fspath(name).endswith("/"):
            raise IsADirectoryError(f"cannot write {path}: it is a folder; give a file name")
        _require_unprotected(path, target)
        try:
            with tempfile.TemporaryFile(dir=target.parent):
                pass
        except OSError as error:
            reason = f"no new file can be made in {target.parent} ({error.strerror})"
            raise type(error)(f"cannot write {path}: {reason}") from None


def require_free_name(path: str | Path) -> None:
    """Raise ValueError for the name of a file that is kept beside another one, such as its lock."""
    if KEPT_NAMES.fullmatch(os.path.basename(os.path.realpath(path))):
        raise ValueError(
            f"cannot write {path}: files of such names are locks, journals and others that are "
            "kept beside an index or a model; give another name"
        )


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
    if text.isprintable():
        return text
    return "".join(map(_printable_character, text))


def _printable_character(c: str) -> str:
    if c.isprintable():
        return c
    if "\udc80" <= c <= "\udcff":
        return f"\\x{ord(c) - 0xDC00:x}"
    return ascii(c)[1:-1]


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
