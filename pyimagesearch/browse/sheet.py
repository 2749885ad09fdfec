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

from pyimagesearch.arrays import Colour, Picture, Pixels
from pyimagesearch.browse.session import Session, Step
from pyimagesearch.datasets.folder import cores
from pyimagesearch.queries.crops import Crop, View
from pyimagesearch.queries.query import Answer, Part
from pyimagesearch.show.card import (
    WRONG_MEANING,
    Card,
    card_side,
    draw_card,
    result_cards,
    tile,
)
from pyimagesearch.show.lettering import FONT_SCALE, WHITE, draw_text, lines_height, shorten
from pyimagesearch.show.montage import Grid, columns_for
from pyimagesearch.show.scaling import shrunk
from pyimagesearch.show.sizes import READABLE_SIDE, SHEET_RESULTS, TILE_GAP
from pyimagesearch.show.windows import Room

SCREEN = Room(1264, 944)  # where the screen is not known
PANEL = 240  # the width of the query's panel
BOX = 224  # the side of the query's picture
MARGIN = 8
LINE = 22  # pixels of a line of text
LINES = 3
MARK_SIDE = 56
MARKS = 24  # shown
YELLOW = (0, 230, 255)  # BGR
PALE = (255, 210, 130)
REMEMBERED = 2048  # tiles
Pixel = tuple[int, int]  # a place on the sheet: from the left, from the top
HINTS = "click: search for it   right click: dislike   Ctrl or Shift click: like   ? keys   q quit"


class Sheet:
    """Draws the current step of a Session, and finds what is at a pixel of it.

    `selected` is the place of a tile on the page that is framed, or None, and `hovered` that of the
    tile under the mouse; `status` is a line of text, `drag` the two corners of a rectangle over the
    query, or None, `overlay` lines of text drawn over everything, or None. The size of a sheet
    never changes.
    """

    def __init__(self, session: Session, hints: str = HINTS, room: Room = SCREEN) -> None:
        """Lay out the tiles of a Session for the Room on a screen, and set its `page_size`."""
        self.session = session
        self.hints = hints
        self.selected: int | None = None
        self.hovered: int | None = None
        self.drag: tuple[Pixel, Pixel] | None = None
        self.overlay: list[str] | None = None
        self.status = ""
        reporter = session.reporter
        self._picture = lru_cache(REMEMBERED)(self._read_picture)
        self._captioned = reporter.captioned
        first = result_cards(reporter, session.answer, 5)
        self._natural_side = reporter.side or card_side(first, captioned=self._captioned)
        count = min(SHEET_RESULTS, session.page_size)
        self.grid = self._grid(count, room)
        self.side = self.grid.width
        session.page_size = min(count, self.grid.columns * self.rows)
        self._drawn: tuple[Step, Pixels] | None = None
        self._box = (0, 0, 0, 0)  # left, top, width and height of the query's picture

    def _grid(self, count: int, room: Room) -> Grid:
        """Return where up to `count` tiles lie; set the number of rows."""
        extra = lines_height(2) if self._captioned else 0
        width = room.width - PANEL
        height = room.height - LINES * LINE - 6
        side = self._natural_side
        if self._captioned and not self.session.reporter.strip and not self.session.reporter.side:
            side = _largest_side(count, width, height, extra=extra, most=side)
        most_columns = max(1, width // (side + TILE_GAP))
        most_rows = max(1, height // (side + extra + TILE_GAP))
        if self.session.reporter.strip:
            columns = min(count, most_columns)
            most_rows = 1
        else:
            columns = columns_for(count, captioned=self._captioned)
            columns = min(most_columns, max(columns, -(-count // most_rows)))
        self.rows = min(most_rows, -(-count // columns))
        return Grid(columns, side, side + extra, TILE_GAP)

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
        if self.hovered is not None and self.hovered < len(self.session.page.hits):
            self._frame(sheet, self.hovered, PALE)
        if self.selected is not None:
            self._frame(sheet, self.selected, YELLOW)
        if self.drag is not None:
            cv2.rectangle(sheet, *self.drag, YELLOW, 1)
        bottom = sheet.shape[0] - LINE * LINES
        for number, text in enumerate((self.status, self.hints), 1):
            _write(sheet, text, (MARGIN, bottom + LINE * number + 14), sheet.shape[1] - 2 * MARGIN)
        if self.overlay is not None:
            _draw_overlay(sheet, self.overlay)
        return sheet

    def _frame(self, sheet: Pixels, place: int, colour: Colour) -> None:
        left, top = self.grid.corner(place)
        left += PANEL
        corner = left + self.side - 2, top + self.side - 2
        for stroke, thickness in (((0, 0, 0), 5), (colour, 3)):
            cv2.rectangle(sheet, (left + 1, top + 1), corner, stroke, thickness)

    def base(self) -> Pixels:
        """Return the sheet without selection, status and overlay; it is drawn once for a page."""
        step = self.session.step
        if self._drawn is None or self._drawn[0] is not step:
            self._drawn = (step, self._draw_base())
        return self._drawn[1]

    def _draw_base(self) -> Pixels:
        session = self.session
        page = session.page
        width, height = self.grid.size(self.rows)
        width += PANEL
        height = max(height, 2 * BOX)
        sheet = np.zeros((height + LINES * LINE + 6, max(width, 4 * PANEL), 3), np.uint8)
        self._draw_query(sheet[:height, :PANEL])
        cards = self._cards(page)
        drawn = [draw_card(card, self.side, captioned=self._captioned) for card in cards]
        tiles = self.grid.draw(drawn, self.rows)
        sheet[: tiles.shape[0], PANEL:width] = tiles
        summary = session.reporter.summary(page)
        if any(card.wrong for card in cards):
            summary += f"   red border: {WRONG_MEANING}"
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
        self._draw_query_picture(panel)
        top = BOX + 2 * MARGIN
        for line in self.session.shared_title.split(", "):
            _write(panel, line, (MARGIN, top + 14), PANEL - 2 * MARGIN)
            top += LINE - 2
        step = self.session.step
        marked = [*step.liked, *step.disliked]
        places = Grid((PANEL - MARGIN) // (MARK_SIDE + 2), MARK_SIDE + 2, MARK_SIDE + 2)
        for place, id in enumerate(marked[:MARKS]):
            left, down = places.corner(place)
            card = Card(self._picture(id), mark=self.session.mark_of(id))
            room = panel[top + down :, MARGIN + left :][:MARK_SIDE, :MARK_SIDE]
            if room.shape[:2] == (MARK_SIDE, MARK_SIDE):
                room[:] = draw_card(card, MARK_SIDE, captioned=False)

    def _draw_query_picture(self, panel: Pixels) -> None:
        """Draw the query's whole picture, its crop framed, or its parts; set where it is."""
        base = self.session.step.base
        box = panel[MARGIN : MARGIN + BOX, MARGIN : MARGIN + BOX]
        self._box = (0, 0, 0, 0)
        picture, crop = self._whole_query()
        if base.parts:
            box[:] = self._parts(base.parts)
        elif picture is not None or base.picture is not None:
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
        if crop is not None:
            self._draw_crop(panel, crop)

    def _whole_query(self) -> tuple[Picture | None, Crop | None]:
        """Return the query's whole picture, or None, and the part of it that is searched for."""
        base = self.session.step.base
        crop = None
        if isinstance(base.picture, View):
            try:
                whole, crop = base.picture.uncropped()
            except (ValueError, OSError):  # the file is gone; said where it is read
                whole = base.picture
            base = replace(base, picture=whole)
        return self.session.reporter.query_picture(base, (BOX, BOX)), crop

    def _draw_crop(self, panel: Pixels, crop: Crop) -> None:
        """Darken the query's picture except for a crop, in fractions, and frame that."""
        left, top, width, height = self._box
        picture = panel[top : top + height, left : left + width]
        corner = round(crop.left * width), round(crop.top * height)
        end = round((crop.left + crop.width) * width), round((crop.top + crop.height) * height)
        inside = slice(corner[1], max(end[1], corner[1] + 1))
        across = slice(corner[0], max(end[0], corner[0] + 1))
        part = picture[inside, across].copy()
        picture[:] = picture // 3
        picture[inside, across] = part
        cv2.rectangle(picture, corner, (end[0] - 1, end[1] - 1), YELLOW, 1)

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


def _largest_side(count: int, width: int, height: int, *, extra: int, most: int) -> int:
    """Return the side of the largest tiles of which `count` fit, at least READABLE_SIDE.

    `extra` is the height of the lines under a tile, `most` the largest side.
    """
    sides = [
        min(height // rows - extra - TILE_GAP, width // math.ceil(count / rows) - TILE_GAP)
        for rows in range(1, count + 1)
    ]
    return max(READABLE_SIDE, min(most, max(sides)))


def _write(sheet: Pixels, text: str, origin: tuple[int, int], width: int) -> None:
    """Write a line of text, shortened in its middle to a width in pixels."""
    draw_text(sheet, shorten(text, width, FONT_SCALE), origin, FONT_SCALE)


def _draw_overlay(sheet: Pixels, lines: Sequence[str]) -> None:
    """Draw lines of text over a sheet, which is darkened."""
    sheet[:] = sheet // 5
    for number, line in enumerate(lines):
        draw_text(sheet, line, (PANEL, 60 + number * 26), 0.55)
