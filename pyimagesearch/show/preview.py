"""Results as pictures inside the terminal."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from pyimagesearch.arrays import Pixels
from pyimagesearch.files import printable
from pyimagesearch.queries.query import Answer
from pyimagesearch.show.card import draw_card, query_cards, result_cards
from pyimagesearch.show.reporter import Reporter
from pyimagesearch.show.results import Show
from pyimagesearch.show.sizes import PHOTO_SIDE

TILE_CELLS = 16  # columns of the terminal for a tile, enough for a digit drawn in half blocks
COLUMNS = 6  # tiles in a row: xterm shows no Sixel picture of more than 1,000 pixels


@contextlib.contextmanager
def preview(reporter: Reporter) -> Iterator[Show]:
    """Show queries, in a white border, and their first results, each with its name and distance.

    There are as many results as lines are listed for.

    The pictures are drawn by the library textual-image, in the best way that the terminal knows:
    Kitty's graphics, Sixel, or half blocks. Raises ImportError where it is not installed, and
    ValueError where standard output is not a terminal.
    """
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
    try:
        from textual_image.renderable import Image as TerminalImage
    except ImportError:
        raise ImportError(
            "--preview needs the package textual-image: python -m pip install textual-image"
        ) from None
    from PIL import Image
    from rich.console import Console

    console = Console(color_system="truecolor")

    def show(answer: Answer, number: int) -> None:
        columns = min(COLUMNS, max(1, console.width // TILE_CELLS))
        for image, lines in preview_rows(reporter, answer, columns):
            picture = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            cells = image.shape[1] * TILE_CELLS // PHOTO_SIDE
            console.print(TerminalImage(picture, width=cells, height="auto"))
            for line in lines:
                console.print(line, markup=False, highlight=False, no_wrap=True)

    yield show


def preview_rows(
    reporter: Reporter, answer: Answer, columns: int
) -> Iterator[tuple[Pixels, list[str]]]:
    """Yield rows of up to `columns` tiles, uint8 BGR, with the lines of text under them."""
    query = query_cards(reporter, answer.query)
    cards = [*query, *result_cards(reporter, answer, reporter.listed)]
    for start in range(0, len(cards), columns):
        row = cards[start : start + columns]
        tiles = [draw_card(card, PHOTO_SIDE, captioned=False) for card in row]
        names, seconds = zip(*(card.lines for card in row), strict=True)
        yield np.hstack(tiles), [_in_cells(names), _in_cells(seconds)]


def _in_cells(texts: Sequence[str]) -> str:
    """Return texts side by side, each in the cells of a tile; a long one keeps its end."""
    room = TILE_CELLS - 1
    shown = [printable(text) for text in texts]
    short = [text if len(text) <= room else f"...{text[3 - room :]}" for text in shown]
    return " ".join(text.ljust(room) for text in short)
