"""Results as pictures inside the terminal."""

import contextlib
import importlib.util
import os
import sys
from typing import Any

import cv2

from pyimagesearch.arrays import Pixels
from pyimagesearch.queries.query import Answer
from pyimagesearch.show.card import draw_card, query_cards, result_cards
from pyimagesearch.show.montage import montage
from pyimagesearch.show.reporter import Reporter
from pyimagesearch.show.sizes import PHOTO_SIDE

TILE_CELLS = 16  # columns of the terminal for a tile, enough for a digit drawn in half blocks
COLUMNS = 6  # tiles in a row: xterm shows no Sixel picture of more than 1,000 pixels
ROWS = 2  # rows of tiles for a query


class Preview(contextlib.AbstractContextManager["Preview"]):
    """Shows the query, in a white border, and its first results, in two rows of tiles.

    The pictures are drawn by the library textual-image, in the best way that the terminal knows:
    Kitty's graphics, Sixel, or half blocks. Raises ImportError where it is not installed, and
    ValueError where standard output is not a terminal.
    """

    def __init__(self, reporter: Reporter) -> None:
        if not sys.stdout or not sys.stdout.isatty():
            raise ValueError(
                "--preview draws inside a terminal, but standard output is not one: use --output "
                "DIR or --html FILE"
            )
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            raise ValueError(
                "--preview draws with colours, which NO_COLOR or TERM=dumb turns off: use --output "
                "DIR or --html FILE"
            )
        if not os.get_terminal_size().columns:
            raise ValueError("--preview: the terminal does not report its size; set it with stty")
        if importlib.util.find_spec("textual_image") is None:
            raise ImportError(
                "--preview needs the package textual-image: python -m pip install textual-image"
            )
        from rich.console import Console

        self.reporter = reporter
        self._console = Console(color_system="truecolor")

    def __exit__(self, *_: Any) -> None:
        pass

    def show(self, answer: Answer, number: int) -> bool:
        """Show the first results of a query; return True."""
        from PIL import Image
        from textual_image.renderable import Image as TerminalImage

        columns = min(COLUMNS, max(1, self._console.width // TILE_CELLS))
        sheet = preview_sheet(self.reporter, answer, columns)
        cells = TILE_CELLS * columns
        image = Image.fromarray(cv2.cvtColor(sheet, cv2.COLOR_BGR2RGB))
        self._console.print(TerminalImage(image, width=cells, height="auto"))
        return True


def preview_sheet(reporter: Reporter, answer: Answer, columns: int) -> Pixels:
    """Return ROWS rows of `columns` tiles, uint8 BGR, or fewer rows for fewer results."""
    query = query_cards(reporter, answer.query)[:1]
    cards = [*query, *result_cards(reporter, answer, ROWS * columns - 1)]
    tiles = [draw_card(card, PHOTO_SIDE, captioned=False) for card in cards]
    return montage(tiles, columns)
