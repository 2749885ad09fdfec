"""The name that was probably meant by one that is unknown."""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from pyimagesearch.files import printable

MAX_FILES = 20_000  # of a folder that are compared


def did_you_mean(name: str, known: Iterable[str], before: str = "") -> str:
    """Return "; did you mean NAME?" for the known name most like `name`, or "" if none is.

    `before` is what all of them begin with, such as a folder: it makes none more alike.
    """
    import difflib

    by_lower_case = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    if not close:
        return ""
    return f"; did you mean {before}{by_lower_case[close[0]]}?"


def did_you_mean_file(path: str | Path) -> str:
    """Return "; did you mean PATH?" for the file of the same folder that has the most similar name.

    Returns "" if there is none, or the folder cannot be read.
    """
    path = Path(path)
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, MAX_FILES)]
    except OSError:
        return ""
    others = (printable(name) for name in names if name != path.name)
    folder = printable(path.parent / "_").removesuffix("_")
    return did_you_mean(printable(path.name), others, folder)
