"""The picture of a session: the query and its marks, a page of results, and lines of text.

One place lays the tiles out, for drawing and for the mouse.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np

from pyimagesearch.arrays import Picture, Pixels
from pyimagesearch.browse.session import Session, Step
from pyimagesearch.datasets.folder import cores
from pyimagesearch.queries.query import Answer, Part
from pyimagesearch.show.card import Card, card_side, draw_card, result_cards, shrunk, tile
from pyimagesearch.show.lettering import FONT_SCALE, WHITE, draw_text, lines_height, shorten
from pyimagesearch.show.montage import Grid, columns_for
from pyimagesearch.show.sizes import SHEET_RESULTS

AREA = 960, 840  # width and height of the results, so that a sheet fits a screen
PANEL = 240  # the width of the query's panel
BOX = 224  # the side of the query's picture
MARGIN = 8
LINE = 22  # pixels of a line of text
LINES = 3
MARK_SIDE = 56
MARKS = 24  # shown
YELLOW = (0, 230, 255)  # BGR
REMEMBERED = 2048  # tiles
Pixel = tuple[int, int]  # a place on the sheet: from the left, from the top
HINTS = "click: search for it   right click: dislike   Ctrl or Shift click: like   ? keys   q quit"


class Sheet:
    """Draws the current step of a Session, and finds what is at a pixel of it.

    `selected` is the place of a tile on the page that is framed, or None; `status` a line of text;
    `drag` the two corners of a rectangle over the query, or None; `overlay` lines of text drawn
    over everything, or None. The size of a sheet never changes.
    """

    def __init__(self, session: Session, hints: str = HINTS) -> None:
        """Lay out the tiles of a Session, and set its `page_size`."""
        self.session = session
        self.hints = hints
        self.selected: int | None = None
        self.drag: tuple[Pixel, Pixel] | None = None
        self.overlay: list[str] | None = None
        self.status = ""
        reporter = session.reporter
        self._picture = lru_cache(REMEMBERED)(self._read_picture)
        self._captioned = reporter.captioned
        first = result_cards(reporter, session.answer, 5)
        self.side = reporter.side or card_side(first, captioned=self._captioned)
        height = self.side + (lines_height(2) if self._captioned else 0)
        count = min(SHEET_RESULTS, session.max_results or reporter.usual_results)
        square = count if reporter.strip else columns_for(count, captioned=self._captioned)
        columns = max(1, min(AREA[0] // self.side, square))
        rows = 1 if reporter.strip else max(1, min(AREA[1] // height, -(-count // columns)))
        self.grid = Grid(columns, self.side, height)
        self.rows = rows
        session.page_size = min(count, columns * rows)
        self._drawn: tuple[Step, Pixels] | None = None
        self._box = (0, 0, 0, 0)  # left, top, width and height of the query's picture

    # --- finding

    def place_at(self, x: int, y: int) -> int | None:
        """Return the place on the page of the tile at a pixel, or None."""
        place = self.grid.place_at(x - PANEL, y)
        if place is not None and place < len(self.session.page.hits):
            return place
        return None

    def on_query(self, x: int, y: int) -> bool:
        """Whether a pixel is on the query's picture."""
        left, top, width, height = self._box
        return 0 <= x - left < width and 0 <= y - top < height

    def fractions(self, start: Pixel, end: Pixel) -> tuple[float, float, float, float]:
        """Return the part of the query's picture between two pixels as left, top, width, height.

        They are fractions of its sides; pixels outside count as on its edge.
        """
        left, top, width, height = self._box
        xs = sorted(min(max((x - left) / width, 0), 1) for x, _ in (start, end))
        ys = sorted(min(max((y - top) / height, 0), 1) for _, y in (start, end))
        return xs[0], ys[0], xs[1] - xs[0], ys[1] - ys[0]

    def number(self, place: int) -> int:
        """Return the number of the result at a place, from 1."""
        return self.session.first + place + 1

    # --- drawing

    def draw(self) -> Pixels:
        """Return the sheet, uint8 BGR (h, w, 3)."""
        sheet = self.base().copy()
        if self.selected is not None:
            left, top = self.grid.corner(self.selected)
            left += PANEL
            for colour, thickness in ((0, 0, 0), 5), (YELLOW, 3):
                corner = left + self.side - 2, top + self.side - 2
                cv2.rectangle(sheet, (left + 1, top + 1), corner, colour, thickness)
        if self.drag is not None:
            cv2.rectangle(sheet, *self.drag, YELLOW, 1)
        bottom = sheet.shape[0] - LINE * LINES
        for number, text in enumerate((self.status, self.hints), 1):
            _write(sheet, text, (MARGIN, bottom + LINE * number + 14), sheet.shape[1] - 2 * MARGIN)
        if self.overlay is not None:
            _draw_overlay(sheet, self.overlay)
        return sheet

    def base(self) -> Pixels:
        """Return the sheet without selection, status and overlay; it is drawn once for a page."""
        step = self.session.step
        if self._drawn is None or self._drawn[0] is not step:
            self._drawn = (step, self._draw_base())
        return self._drawn[1]

    def _draw_base(self) -> Pixels:
        session = self.session
        page = session.page
        width = PANEL + self.grid.columns * self.grid.width
        height = max(self.rows * self.grid.height, 2 * BOX)
        sheet = np.zeros((height + LINES * LINE + 6, max(width, 4 * PANEL), 3), np.uint8)
        self._draw_query(sheet[:height, :PANEL])
        cards = self._cards(page)
        drawn = [draw_card(card, self.side, captioned=self._captioned) for card in cards]
        tiles = self.grid.draw(drawn, self.rows)
        sheet[: tiles.shape[0], PANEL:width] = tiles
        summary = session.reporter.summary(page, session.first)
        _write(sheet, summary, (MARGIN, height + 18), sheet.shape[1] - 2 * MARGIN)
        return sheet

    def _cards(self, page: Answer) -> list[Card]:
        ids = page.hits.ids
        if self.session.reporter.pictures.shows_names:  # files, which are decoded in parallel
            with ThreadPoolExecutor(cores()) as pool:
                list(pool.map(self._picture, ids))
        cards = result_cards(self.session.reporter, page, read=self._picture)
        marks = map(self.session.mark_of, ids)
        return [replace(card, mark=mark) for card, mark in zip(cards, marks, strict=True)]

    def _read_picture(self, id: str) -> Picture | None:
        picture = self.session.reporter.picture(id)
        return None if picture is None else shrunk(picture, self.side)

    def _draw_query(self, panel: Pixels) -> None:
        """Draw the query's picture, its title, and the marked pictures into the panel."""
        reporter = self.session.reporter
        step = self.session.step
        picture = reporter.query_picture(step.base, (BOX, BOX))
        parts = step.base.parts
        box = panel[MARGIN : MARGIN + BOX, MARGIN : MARGIN + BOX]
        self._box = (0, 0, 0, 0)
        if parts:
            box[:] = self._parts(parts)
        elif picture is not None or step.base.picture is not None:
            box[:] = tile(picture, BOX)
        if picture is not None:
            height, width = picture.shape[:2]
            scale = BOX / max(height, width)
            width = max(1, round(width * scale))
            height = max(1, round(height * scale))
            left = MARGIN + (BOX - width) // 2
            top = MARGIN + (BOX - height) // 2
            self._box = left, top, width, height
            cv2.rectangle(panel, (left - 2, top - 2), (left + width + 1, top + height + 1), WHITE)
        top = BOX + 2 * MARGIN
        for line in reporter.title(step.query).split(", "):
            _write(panel, line, (MARGIN, top + 14), PANEL - 2 * MARGIN)
            top += LINE - 2
        marked = [*step.liked, *step.disliked]
        places = Grid((PANEL - MARGIN) // (MARK_SIDE + 2), MARK_SIDE + 2, MARK_SIDE + 2)
        for place, id in enumerate(marked[:MARKS]):
            left, down = places.corner(place)
            card = Card(self._picture(id), mark=self.session.mark_of(id))
            room = panel[top + down :, MARGIN + left :][:MARK_SIDE, :MARK_SIDE]
            if room.shape[:2] == (MARK_SIDE, MARK_SIDE):
                room[:] = draw_card(card, MARK_SIDE, captioned=False)

    def _parts(self, parts: Sequence[Part]) -> Pixels:
        """Draw the parts of a combined query, each with its weight, into a square."""
        count = math.ceil(math.sqrt(min(len(parts), SHEET_RESULTS)))
        side = BOX // count
        tiles = []
        for part in parts[: count * count]:
            picture = self.session.reporter.query_picture(part.query, (side, side))
            tiles.append(tile(picture, side))
            draw_text(tiles[-1], f"{part.weight:g}", (4, side - 6), FONT_SCALE, colour=YELLOW)
        square = np.zeros((BOX, BOX, 3), np.uint8)
        square[: side * count, : side * count] = Grid(count, side, side).draw(tiles, count)
        return square


def _write(sheet: Pixels, text: str, origin: tuple[int, int], width: int) -> None:
    """Write a line of text, shortened in its middle to a width in pixels."""
    draw_text(sheet, shorten(text, width, FONT_SCALE), origin, FONT_SCALE)


def _draw_overlay(sheet: Pixels, lines: Sequence[str]) -> None:
    """Draw lines of text over a sheet, which is darkened."""
    sheet[:] = sheet // 5
    for number, line in enumerate(lines):
        draw_text(sheet, line, (PANEL, 60 + number * 26), 0.55)
