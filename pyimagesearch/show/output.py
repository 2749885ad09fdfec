"""Where sheets of pictures go: windows, or PNG files in a folder."""

import logging
import os
import re
from collections.abc import Sequence

from pyimagesearch.arrays import Pixels
from pyimagesearch.replacing import PICTURE, require_kind
from pyimagesearch.show.image_file import is_written_here, write_image
from pyimagesearch.show.windows import has_display, show_windows

logger = logging.getLogger(__name__)

FOLDER = "output"  # where there is no display


class Output:
    """Shows sheets in windows, or writes them to `folder`.

    `titles` are those of all sheets that a run may have; a sheet called Results is written to
    `results.png`, or for its query n to `results_<n>.png`.
    """

    def __init__(self, folder: str | None, titles: Sequence[str]) -> None:
        """Use windows where `folder` is None and there is a display.

        Raises NotADirectoryError if `folder` is a file.
        """
        if folder is None and not has_display():
            folder = FOLDER
            logger.info(f"no display: writing pictures to {folder}/")
        if folder is not None and os.path.exists(folder) and not os.path.isdir(folder):
            raise NotADirectoryError(f"--output {folder} is a file: give the name of a folder")
        self.folder = folder
        self._titles = titles
        self._written: set[str] = set()

    def show(self, sheets: dict[str, Pixels], number: int | None = None) -> bool:
        """Show sheets, uint8 BGR by title; return False when the user wants to stop."""
        if self.folder is None:
            return show_windows(sheets)
        for title, sheet in sheets.items():
            name = title.lower() + ("" if number is None else f"_{number}") + ".png"
            path = f"{self.folder}/{name}"
            require_kind(path, PICTURE, "--output")
            write_image(path, sheet)
            self._written.add(name)
            logger.info(f"wrote {path}")
        return True

    def remove_stale(self) -> None:
        """Delete the sheets that an earlier run wrote to the folder and this one did not replace.

        A file of such a name that was not written by `write_image` is kept.
        """
        if self.folder is None or not os.path.isdir(self.folder):
            return
        pattern = re.compile(rf"({'|'.join(self._titles)})(_\d+)?\.png", re.IGNORECASE)
        others = set(filter(pattern.fullmatch, os.listdir(self.folder))) - self._written
        paths = [os.path.join(self.folder, name) for name in others]
        stale = [path for path in paths if os.path.isfile(path) and is_written_here(path)]
        for path in stale:
            os.remove(path)
        if stale:
            logger.info(f"removed {len(stale):,} pictures of an earlier run from {self.folder}/")
