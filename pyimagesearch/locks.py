"""One writer of a file at a time: a second process is refused, so that nothing is lost."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyimagesearch.files import LOCK_SUFFIX

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

# What `flock` fails with where the file system of a folder has no locks.
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def sole_writer(path: str | Path, doing: str) -> Iterator[None]:
    """Exclude other processes that call this for a file from the block.

    The lock is that of a file beside it, `.NAME.lock`: it ends with its process, and the file is
    removed at the end of the block. Where the file system has no locks, a warning is logged, and
    the block runs without one.

    Raises BlockingIOError, which says `doing`, such as "indexing into", if another process has the
    lock, and OSError if the folder cannot be written.
    """
    target = Path(os.path.realpath(path))
    lock = target.with_name(f".{target.name}{LOCK_SUFFIX}")
    try:
        handle = _locked(lock)
    except BlockingIOError:
        raise BlockingIOError(f"another process is {doing} {path}: wait for it to end") from None
    except OSError as error:
        reason = f"cannot lock it by {lock}: {os.strerror(error.errno or 0)}"
        raise OSError(f"cannot write {path}: {reason}") from error
    try:
        yield
    finally:
        if fcntl is not None:
            lock.unlink(missing_ok=True)  # while it is still locked, so that no other has it
        os.close(handle)


def _locked(lock: Path) -> int:
    """Open and lock a file, which is made if there is none; return its descriptor."""
    if fcntl is None:
        return _new_until_closed(lock)
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            _try_lock(handle, lock)
            if _is_at(handle, lock):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its last holder removed it after it was opened here


def _new_until_closed(lock: Path) -> int:
    """Make a file that Windows removes when its process closes it or ends; return its descriptor.

    Raises BlockingIOError if there is one.
    """
    temporary = getattr(os, "O_TEMPORARY", 0)
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | temporary)
    except (FileExistsError, PermissionError) as error:  # the latter while it is being removed
        raise BlockingIOError from error


def _try_lock(handle: int, lock: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        logger.warning(
            f"{lock.parent} is on a file system without locks ({os.strerror(error.errno)}): let "
            "one process at a time write there"
        )


def _is_at(handle: int, lock: Path) -> bool:
    """Whether an open file is the one of a name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(lock))
    except FileNotFoundError:
        return False
