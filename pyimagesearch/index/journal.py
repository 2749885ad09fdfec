"""What an indexing run has done so far, in a file that survives a kill at any moment."""

import json
import logging
import os
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)


CHECKPOINT = 10  # seconds of work that a kill may cost, at most


class Journal:
    """The codes made since the index was last written, in an SQLite file beside it.

    Open it with `open_journal`, which also keeps other indexers out: the file stays locked while
    its process lives, and no longer.
    """

    def __init__(self, database):
        self._database = database
        self._saved = time.monotonic()

    def add(self, path, size, mtime_ns, digest, code):
        """Remember the code of a file; on disk within CHECKPOINT seconds."""
        row = os.fsencode(path), size, mtime_ns, digest, code.tobytes()
        self._database.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", row)
        if time.monotonic() - self._saved > CHECKPOINT:
            self.save()

    def save(self):
        """Write what was added to disk."""
        self._database.commit()
        self._saved = time.monotonic()

    def find(self, path, size, mtime_ns):
        """Return the digest and the code, float32 (d,), of a file as it is now, or None."""
        row = self._database.execute(
            "SELECT digest, code FROM files WHERE path = ? AND size = ? AND mtime_ns = ?",
            (os.fsencode(path), size, mtime_ns),
        ).fetchone()
        return row and (row[0], np.frombuffer(row[1], np.float32))

    def __len__(self):
        return self._database.execute("SELECT count(*) FROM files").fetchone()[0]


@contextmanager
def open_journal(index_path, encoder):
    """Yield the Journal of an interrupted run that made `index_path` with `encoder`, or a new one.

    When the block ends without an error the file is removed. An error or a kill leaves it for the
    next run. Raises OSError when another process is indexing there, or the disk is full.
    """
    path = Path(f"{index_path}.progress")
    try:
        database = _locked(path, encoder)
        try:
            progress = Journal(database)
            yield progress
            path.unlink()
        finally:
            if path.exists():
                progress.save()
            database.close()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise BlockingIOError(
                f"another process is indexing into {index_path}: wait for it to end"
            ) from None
        raise OSError(f"cannot write {path}: {error}; what was saved before is kept") from error


def _locked(path, encoder):
    made_with = json.dumps([encoder.model_sha256, encoder.spec.to_dict()])
    try:
        database = _open_locked(path)
        found = database.execute("SELECT made_with FROM run").fetchone()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        logger.info(f"{path} cannot be read: starting from the index")
        path.unlink()
        database, found = _open_locked(path), None
    if found is None or found[0] != made_with:
        database.execute("DELETE FROM files")
        database.execute("DELETE FROM run")
        database.execute("INSERT INTO run VALUES (?)", [made_with])
        database.commit()
    return database


def _open_locked(path):
    database = sqlite3.connect(path, timeout=0)
    database.execute("PRAGMA locking_mode = EXCLUSIVE")  # kept from here on, through commits
    database.execute("BEGIN EXCLUSIVE")
    if not path.exists():  # its last holder removed it between our opening and our locking it
        database.close()
        return _open_locked(path)
    database.execute("CREATE TABLE IF NOT EXISTS run (made_with TEXT)")
    database.execute(
        "CREATE TABLE IF NOT EXISTS files "
        "(path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, digest BLOB, code BLOB)"
    )
    database.commit()
    return database
