"""What may be replaced: no flag writes over a file that is not of the kind that it writes.

A file is told by its first bytes, or by the mark that this program leaves in what it writes. A new
kind is one entry of KINDS.
"""

import os
from collections.abc import Callable
from pathlib import Path

from pyimagesearch.encoders.model_files import is_model_file
from pyimagesearch.files import is_special
from pyimagesearch.pictures.formats import is_own_output

HEAD = 2048  # first bytes of a file by which it is told
PAGE_MARK = b"<title>Search results</title>"
LOG_MARK = b"phase,epoch,"
REJECTS_MARK = "# pictures that could not be read, and why: written by index_images.py"
REJECTS_HEAD = REJECTS_MARK.encode()


def _is_picture(path: Path) -> bool:
    with open(path, "rb") as file:
        return is_own_output(file)


# By what a file of a kind is told, of its path and its first bytes.
KINDS: dict[str, Callable[[Path, bytes], bool]] = {
    "a picture that this program wrote": lambda path, head: _is_picture(path),
    "a page of search results": lambda path, head: PAGE_MARK in head,
    "a log of a training": lambda path, head: head.startswith(LOG_MARK),
    "a list of pictures that could not be read": lambda path, head: head.startswith(REJECTS_HEAD),
    "a model": lambda path, head: is_model_file(path),
}
[PICTURE, PAGE, LOG, REJECTS, MODEL] = KINDS


def require_kind(path: str | Path, kind: str, flag: str) -> None:
    """Raise ValueError if a file exists that is not of a kind, a key of KINDS.

    `flag` is the one that names the file. An empty file may be replaced.
    """
    file = Path(path)
    if not file.exists() or file.is_dir():
        return
    if is_special(file):
        raise ValueError(f"{flag} {path} is a device or pipe: give the name of a file")
    if not os.path.getsize(file):
        return
    with open(file, "rb") as stream:
        head = stream.read(HEAD)
    if not KINDS[kind](file, head):
        raise ValueError(
            f"{flag} would replace {path}, which is not {kind}: give another name, or move the file"
        )
