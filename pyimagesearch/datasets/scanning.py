"""Finding the picture files below a folder."""

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from fnmatch import translate
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from pyimagesearch.pictures.formats import HEAD_SIZE, SUFFIXES, is_own_output, picture_format

EXCLUDED = {
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "lost+found"),
    *("$recycle.bin", "system volume information", "__macosx"),
}
"""Folders of thumbnails, deleted files and snapshots that disk stations and systems create."""

# The usual names of the sheets and plots that this program writes.
_OWN_NAME = re.compile(r"(query|results|map|duplicates|clusters|elbow|plot|recon_vis)(_\d+)?\.png")


class FoundFile(NamedTuple):
    """A candidate: its relative path, its size in bytes and time of change, -1 without access."""

    path: str
    size: int
    mtime_ns: int


def find_pictures(
    root: str, unreadable: dict[str, str], folders: Sequence[str] = (), exclude: Sequence[str] = ()
) -> list[FoundFile]:
    """Return the candidates below `root`, sorted by path.

    A file is a candidate if its name has the suffix of a picture, or its content begins like one.
    Of `root` only the relative paths `folders` are searched, by default all. Names that start with
    a dot are skipped, and so are EXCLUDED, pictures that this program wrote, and names or
    relative paths that match a pattern of `exclude`. Links are followed, but each folder is visited
    once, under its own path if that is searched, else under the first of its links. A folder that
    cannot be listed is added to `unreadable`.
    """
    is_excluded = _matcher(exclude)
    found: list[FoundFile] = []
    visited = set()
    # Entries to visit, folders ending in "/"; links to folders wait until no other entry is left.
    links = [f"{folder}/" for folder in folders if _is_behind_link(root, folder)]
    pending = [f"{folder}/" for folder in folders if f"{folder}/" not in links]
    if not folders:
        pending = [""]
    heapify(links)
    while pending or links:
        if not pending:
            pending.append(heappop(links))
        path = pending.pop()
        if path and not path.endswith("/"):
            found += _candidate(root, path)
            continue
        try:
            status = os.stat(os.path.join(root, path))
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            for name, is_link in _names(root, path):
                if exclude and is_excluded(path + name):
                    continue
                if is_link:
                    heappush(links, path + name)
                else:
                    pending.append(path + name)
        except OSError as error:
            unreadable[path or "./"] = error.strerror or str(error)
    return sorted(found)


def _matcher(patterns: Sequence[str]) -> Callable[[str], object]:
    """Return a function of a relative path that tells whether a pattern matches it.

    Patterns are those of `fnmatch`, without regard to case. One with a "/" is compared with the
    path, others with its last part.
    """
    patterns = [_folded(pattern.rstrip("/")) for pattern in patterns]
    of_path = [translate(pattern) for pattern in patterns if "/" in pattern]
    of_name = [translate(pattern) for pattern in patterns if "/" not in pattern]
    match_path, match_name = (re.compile("|".join(p) or "(?!)").match for p in (of_path, of_name))

    def matches(path: str) -> object:
        path = _folded(path.rstrip("/"))
        return match_name(path.rpartition("/")[2]) or match_path(path)

    return matches


def _folded(name: str) -> str:
    """Return a name without differences of case and of Unicode normalisation."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", name).lower()


def _is_behind_link(root: str, folder: str) -> bool:
    """Whether the path of a folder below `root` leads over a link."""
    return os.path.realpath(os.path.join(root, folder)) != os.path.join(
        os.path.realpath(root), *folder.split("/")
    )


def _names(root: str, path: str) -> Iterator[tuple[str, bool]]:
    """Yield the names in a folder, of folders with "/", and whether each is a link to a folder."""
    with os.scandir(os.path.join(root, path)) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in EXCLUDED:
                continue
            if _is_folder(entry):
                yield entry.name + "/", entry.is_symlink()
            else:
                yield entry.name, False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _candidate(root: str, path: str) -> Iterator[FoundFile]:
    full = os.path.join(root, path)
    named = path.lower().endswith(SUFFIXES)
    try:
        status = os.stat(full)
        if not named and not (stat.S_ISREG(status.st_mode) and _begins_like_a_picture(full)):
            return
        if stat.S_ISREG(status.st_mode) and _may_be_own_output(full):
            return
        yield FoundFile(path, status.st_size, _as_int64(status.st_mtime_ns))
    except OSError:
        if named:  # reported as unreadable with the reason
            yield FoundFile(path, -1, -1)


def _as_int64(nanoseconds: int) -> int:
    """Wrap a time that 64 bits cannot hold, before 1678 or after 2261; it stays distinct."""
    return (nanoseconds + 2**63) % 2**64 - 2**63


def _begins_like_a_picture(path: str) -> bool:
    with open(path, "rb") as file:
        return picture_format(file.read(HEAD_SIZE)) is not None


def _may_be_own_output(path: str) -> bool:
    if not path.endswith(".png") or not _OWN_NAME.fullmatch(os.path.basename(path)):
        return False
    with open(path, "rb") as file:
        return is_own_output(file)
