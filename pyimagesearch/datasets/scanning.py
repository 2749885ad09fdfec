"""Finding the picture files below a folder."""

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from fnmatch import translate

from pyimagesearch.pictures.formats import HEAD_SIZE, SUFFIXES, is_own_output, picture_format

EXCLUDED = {
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "lost+found"),
    *("$recycle.bin", "system volume information", "__macosx"),
}
"""Folders of thumbnails, deleted files and snapshots that disk stations and systems create."""

# The usual names of the sheets and plots that this program writes.
_OWN_NAME = re.compile(r"(query|results|map|duplicates|clusters|elbow|plot|recon_vis)(_\d+)?\.png")


def find_pictures(
    root: str, unreadable: dict[str, str], folders: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Iterator[tuple[str, int, int]]:
    """Yield (relative path, size, mtime_ns) of the candidates below `root`, sorted by path.

    A file is a candidate if its name has the suffix of a picture, or its content begins like one.
    Of `root` only the relative paths `folders` are searched, by default all. Names that start with
    a dot are skipped, and so are EXCLUDED, pictures that this program wrote, and names or
    relative paths that match a pattern of `exclude`. Links are followed, but each folder is visited
    once, under the first of its paths. A folder that cannot be listed is added to `unreadable`.
    """
    is_excluded = _matcher(exclude)
    visited = set()
    # The entries to visit, the next one on top; folders end in "/".
    stack = sorted((f"{folder}/" for folder in folders), reverse=True) or [""]
    while stack:
        path = stack.pop()
        if path and not path.endswith("/"):
            yield from _candidate(root, path)
            continue
        try:
            status = os.stat(os.path.join(root, path))
            if (status.st_dev, status.st_ino) not in visited:
                visited.add((status.st_dev, status.st_ino))
                paths = [path + name for name in _names(root, path)]
                if exclude:
                    paths = [path for path in paths if not is_excluded(path)]
                stack += sorted(paths, reverse=True)
        except OSError as error:
            unreadable[path or "./"] = error.strerror or str(error)


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


def _names(root: str, path: str) -> list[str]:
    with os.scandir(os.path.join(root, path)) as entries:
        return [
            entry.name + ("/" if _is_folder(entry) else "")
            for entry in entries
            if not entry.name.startswith(".") and entry.name.lower() not in EXCLUDED
        ]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _candidate(root: str, path: str) -> Iterator[tuple[str, int, int]]:
    full = os.path.join(root, path)
    named = path.lower().endswith(SUFFIXES)
    try:
        status = os.stat(full)
        if not named and not (stat.S_ISREG(status.st_mode) and _begins_like_a_picture(full)):
            return
        if stat.S_ISREG(status.st_mode) and _may_be_own_output(full):
            return
        yield path, status.st_size, _as_int64(status.st_mtime_ns)
    except OSError:
        if named:  # reported as unreadable with the reason
            yield path, -1, -1


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
