"""Finding the picture files below a folder, and showing their names."""

import os
import stat

from pyimagesearch.datasets.image_io import HEAD_SIZE, SUFFIXES, picture_format


def find_pictures(root, unreadable):
    """Yield (relative path, size, mtime_ns) of the candidates below `root`, sorted by path.

    A file is one if its name has the suffix of a picture, or its content begins like one. Names
    that start with a dot are passed over. Links are followed, but each folder is visited once,
    under the first of its paths. A folder that cannot be listed goes to `unreadable`.
    """
    visited = set()
    stack = [""]  # what is still to visit, the next on top; folders end in "/"
    while stack:
        path = stack.pop()
        if path and not path.endswith("/"):
            yield from _candidate(root, path)
            continue
        try:
            status = os.stat(os.path.join(root, path))
            if (status.st_dev, status.st_ino) not in visited:
                visited.add((status.st_dev, status.st_ino))
                stack += sorted((path + name for name in _names(root, path)), reverse=True)
        except OSError as error:
            unreadable[path or "./"] = error.strerror


def _names(root, path):
    with os.scandir(os.path.join(root, path)) as entries:
        return [
            entry.name + ("/" if _is_folder(entry) else "")
            for entry in entries
            if not entry.name.startswith(".")
        ]


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _candidate(root, path):
    full = os.path.join(root, path)
    named = path.lower().endswith(SUFFIXES)
    try:
        status = os.stat(full)
        if named or (stat.S_ISREG(status.st_mode) and _begins_like_a_picture(full)):
            yield path, status.st_size, status.st_mtime_ns
    except OSError:
        if named:  # it shall be rejected with the reason, not passed over
            yield path, -1, -1


def _begins_like_a_picture(path):
    with open(path, "rb") as file:
        return picture_format(file.read(HEAD_SIZE)) is not None
