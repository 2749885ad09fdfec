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


def _is_picture(path: Path, head: bytes) -> bool:
    with open(path, "rb") as file:
        return is_own_output(file)


def _is_page(path: Path, head: bytes) -> bool:
    return PAGE_MARK in head


def _is_log(path: Path, head: bytes) -> bool:
    return head.startswith(LOG_MARK)


def _is_rejects(path: Path, head: bytes) -> bool:
    return head.startswith(REJECTS_MARK.encode())


def _is_model(path: Path, head: bytes) -> bool:
    return is_model_file(path)


KINDS: dict[str, Callable[[Path, bytes], bool]] = {
    "a picture that this program wrote": _is_picture,
    "a page of search results": _is_page,
    "a log of a training": _is_log,
    "a list of pictures that could not be read": _is_rejects,
    "a model": _is_model,
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
