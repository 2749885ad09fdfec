"""The journal of an indexing run: its codes so far, in a file that survives a kill."""

import hashlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pyimagesearch.arrays import Floats
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.files import JOURNAL_SUFFIX, require_regular

logger = logging.getLogger(__name__)

DIGEST_SIZE = 16  # bytes
CHECKPOINT = 10  # seconds of work that a kill loses at most
FORMAT = 2  # the journals of format 1 have no checksums and are not continued
RUN = "CREATE TABLE IF NOT EXISTS run (made_with TEXT)"
FILES = (
    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, "
    "digest BLOB, code BLOB, checksum BLOB)"
)


class JournalEntry(NamedTuple):
    """What a journal holds of a file: the hash of its content, 16 bytes, and its code, (d,)."""

    digest: bytes
    code: Floats


class Journal:
    """The codes made since the index was last written, in an SQLite file beside it.

    Open it with `open_journal`. Each row has a checksum; a row that was damaged is treated as
    missing.
    """

    def __init__(self, database: sqlite3.Connection, dim: int) -> None:
        """`dim` is that of the codes."""
        self._database = database
        self._code_size = 4 * dim
        self._saved = time.monotonic()

    def add(self, path: str, size: int, mtime_ns: int, digest: bytes, code: Floats) -> None:
        """Add the code of a file; it is on disk within CHECKPOINT seconds."""
        row = os.fsencode(path), size, mtime_ns, digest, code.tobytes()
        self._database.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", (*row, _checksum(*row))
        )
        if time.monotonic() - self._saved > CHECKPOINT:
            self.save()

    def save(self) -> None:
        """Write all rows that were added to disk."""
        self._database.commit()
        self._saved = time.monotonic()

    def find(self, path: str, size: int, mtime_ns: int) -> JournalEntry | None:
        """Return the entry of this version of a file, or None."""
        key = os.fsencode(path), size, mtime_ns
        row = self._database.execute(
            "SELECT digest, code, checksum FROM files WHERE path = ? AND size = ? AND mtime_ns = ?",
            key,
        ).fetchone()
        if row is None or row[2] != _checksum(*key, *row[:2]):
            return None
        digest, code, _ = row
        sizes = [len(value) for value in (digest, code) if isinstance(value, bytes)]
        if sizes != [DIGEST_SIZE, self._code_size]:
            return None
        return JournalEntry(digest, np.frombuffer(code, np.float32))

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM files").fetchone()[0])


def _checksum(*values: Any) -> bytes:
    """Return a hash, 8 bytes, of the values of a row."""
    return hashlib.blake2b(repr(values).encode(), digest_size=8).digest()


@contextmanager
def open_journal(index_path: str | None, encoder: Encoder) -> Iterator[Journal]:
    """Yield the Journal of an interrupted run that made `index_path` with `encoder`, or a new one.

    When the block ends without an error the file is removed. An error or a kill leaves it for the
    next run. The caller excludes other processes, by `FileStore.exclusive`. Raises OSError when
    the disk is full.
    """
    path = Path(f"{index_path}{JOURNAL_SUFFIX}")
    require_regular(path)
    if path.is_symlink():  # it may be a stranger's: SQLite would write where it leads
        path.unlink()
    try:
        database = _opened(path, encoder)
        try:
            journal = Journal(database, encoder.dim)
            yield journal
            path.unlink(missing_ok=True)
        finally:
            if path.exists():
                journal.save()
            database.close()
    except sqlite3.OperationalError as error:
        raise OSError(f"cannot write {path}: {error}; the rows saved before are kept") from error
    except sqlite3.DatabaseError as error:
        raise OSError(f"{path} is damaged ({error}): delete it and run again") from error


def _opened(path: Path, encoder: Encoder) -> sqlite3.Connection:
    made_with = json.dumps([encoder.model_sha256, encoder.spec.to_dict(), FORMAT])
    try:
        database = _connect(path)
        _require_own_tables(database)
        found = database.execute("SELECT made_with FROM run").fetchone()
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
            raise  # a full disk, no permission: the file itself may be sound
        logger.info(f"{path} cannot be read: continuing without it")
        for name in (path, Path(f"{path}-journal")):
            name.unlink(missing_ok=True)
        database = _connect(path)
        found = None
    if found is None or found[0] != made_with:
        database.execute("DROP TABLE files")
        database.execute("DELETE FROM run")
        database.execute("INSERT INTO run VALUES (?)", [made_with])
        database.execute(FILES)
        database.commit()
    return database


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database without its own locks, which not all file systems have."""
    uri = f"{path.absolute().as_uri()}?nolock=1"
    database = sqlite3.connect(uri, uri=True)
    database.execute(RUN)
    database.execute(FILES)
    database.commit()
    return database


def _require_own_tables(database: sqlite3.Connection) -> None:
    """Raise DatabaseError for other tables, or for views, which may be computed without an end."""
    own = {text.replace("IF NOT EXISTS ", "") for text in (RUN, FILES)}
    found = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL LIMIT 3")
    if {text for (text,) in found.fetchall()} != own:
        raise sqlite3.DatabaseError("it has other tables")
