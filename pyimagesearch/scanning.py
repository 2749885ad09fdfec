"""Finding the picture files below a folder, and showing their names."""

import os
import stat

from pyimagesearch.decoding import HEAD_SIZE, SUFFIXES, picture_format


def find_pictures(root, rejects):
    """Yield (relative path, size, mtime_ns) of the candidates below `root`, sorted by path.

    A file is one if its name has the suffix of a picture, or its content begins like one. Names
    that start with a dot are passed over. Links are followed, but each folder is visited once,
    under the first of its paths. A folder that cannot be listed goes to `rejects`.
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
            rejects[path or "./"] = error.strerror


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


def printable(path):
    """Return a path as text that fits on one line and in any UTF-8 stream, for messages.

    Bytes of a name that are not UTF-8, which Python holds as lone surrogates, become `\\xNN`, and
    so do control characters. To write the name itself, use `os.fsencode`.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
