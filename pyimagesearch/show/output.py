"""Sheets of pictures as PNG files in a folder."""

import logging
import os
import re
from collections.abc import Sequence

from pyimagesearch.arrays import Pixels
from pyimagesearch.files import require_free_name, require_writable
from pyimagesearch.replacing import PICTURE, require_kind
from pyimagesearch.show.image_file import is_written_here, write_image

logger = logging.getLogger(__name__)

FOLDER = "output"  # unless another is given


def require_folder(folder: str) -> None:
    """Raise OSError if no sheets could be written to a folder later; make the folder.

    Raises ValueError for the name of what is kept beside another file.
    """
    require_free_name(folder)
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise NotADirectoryError(f"--output {folder} is a file: give the name of a folder")
    require_writable(os.path.join(folder, "results.png"))


class Output:
    """Writes sheets to `folder`.

    `titles` are those of all sheets that a run may have; a sheet called Results is written to
    `results.png`, or for its query n to `results_<n>.png`.
    """

    def __init__(self, folder: str, titles: Sequence[str]) -> None:
        """Raises OSError and ValueError as `require_folder` does."""
        require_folder(folder)
        self.folder = folder
        self._titles = titles
        self._written: set[str] = set()

    def write(self, sheets: dict[str, Pixels], number: int | None = None) -> None:
        """Write sheets, uint8 BGR by title."""
        for title, sheet in sheets.items():
            name = title.lower() + ("" if number is None else f"_{number}") + ".png"
            path = f"{self.folder}/{name}"
            require_kind(path, PICTURE, "--output")
            write_image(path, sheet)
            self._written.add(name)
            logger.info(f"wrote {path}")

    def remove_stale(self) -> None:
        """Delete the sheets that an earlier run wrote to the folder and this one did not replace.

        A file of such a name that was not written by `write_image` is kept.
        """
        if not os.path.isdir(self.folder):
            return
        pattern = re.compile(rf"({'|'.join(self._titles)})(_\d+)?\.png", re.IGNORECASE)
        others = set(filter(pattern.fullmatch, os.listdir(self.folder))) - self._written
        paths = [os.path.join(self.folder, name) for name in others]
        stale = [path for path in paths if os.path.isfile(path) and is_written_here(path)]
        for path in stale:
            os.remove(path)
        if stale:
            logger.info(f"pictures of an earlier run removed from {self.folder}/: {len(stale):,}")
