"""The picture of a session: the query and its marks, a page of results, and lines of text.

One place lays the tiles out, for drawing and for the mouse.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import cv2
import numpy as np

from pyimagesearch.arrays import Colour, Pixels
from pyimagesearch.browse.session import Session
from pyimagesearch.datasets.folder import cores
from pyimagesearch.queries.query import Answer, Part
from pyimagesearch.show.montage import (
    FONT_SCALE,
    RED,
    WHITE,
    Grid,
    draw_text,
    labelled,
    shorten,
    tile,
    tile_side,
)
from pyimagesearch.show.sizes import PHOTO_SIDE, READABLE, SHOWN

AREA = 960, 840  # width and height of the results, so that a sheet fits a screen
PANEL = 240  # the width of the query's panel
BOX = 224  # the side of the query's picture
MARGIN = 8
LINE = 22  # pixels of a line of text
LINES = 3
MARK_SIDE = 56
MARKS = 24  # shown
GREEN = (0, 210, 0)  # BGR, as all colours
MAGENTA = (255, 0, 255)
YELLOW = (0, 230, 255)
COLOURS = {True: GREEN, False: MAGENTA}
SIGNS = {True: "+", False: "-"}
REMEMBERED = 2048  # tiles
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
        self.selected = self.drag = self.overlay = None
        self.status = ""
        reporter = session.reporter
        self._picture = lru_cache(REMEMBERED)(self._read_tile)
        self._captions = reporter.strip or reporter.pictures.shows_names
        self.side = reporter.side or self._natural_side()
        height = self.side + 36 if self._captions else self.side
        count = min(SHOWN, session.max_results or SHOWN)
        square = count if reporter.strip else math.ceil(math.sqrt(count))
        columns = max(1, min(AREA[0] // self.side, square))
        rows = 1 if reporter.strip else max(1, min(AREA[1] // height, -(-count // columns)))
        self.grid = Grid(columns, self.side, height)
        self.rows = rows
        session.page_size = min(count, columns * rows)
        self._drawn = None
        self._base = None
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

    def fractions(
        self, start: tuple[int, int], end: tuple[int, int]
    ) -> tuple[float, float, float, float]:
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
        if self._drawn is not step:
            self._base = self._draw_base()
            self._drawn = step
        return self._base

    def _draw_base(self) -> Pixels:
        session = self.session
        page = session.page
        width = PANEL + self.grid.columns * self.grid.width
        height = max(self.rows * self.grid.height, 2 * BOX)
        sheet = np.zeros((height + LINES * LINE + 6, max(width, 4 * PANEL), 3), np.uint8)
        self._draw_query(sheet[:height, :PANEL])
        tiles = self.grid.draw(self._tiles(page), self.rows)
        sheet[: tiles.shape[0], PANEL:width] = tiles
        summary = session.reporter.summary(page, session.first)
        _write(sheet, summary, (MARGIN, height + 18), sheet.shape[1] - 2 * MARGIN)
        return sheet

    def _tiles(self, page: Answer) -> Iterator[Pixels]:
        hits = page.hits
        wrong = page.wrong
        if self.session.reporter.pictures.shows_names:  # files, which are decoded in parallel
            with ThreadPoolExecutor(cores()) as pool:
                list(pool.map(self._picture, hits.ids))
        for place, id in enumerate(hits.ids):
            mark = self.session.mark_of(id)
            colour = RED if wrong is not None and wrong[place] else None
            picture = self._picture(id)
            if mark is not None or colour is not None:
                picture = _framed(picture, mark, colour)
            if self._captions:
                picture = labelled(picture, [id, f"{hits.distances[place]:.3f}"])
            yield picture

    def _read_tile(self, id: str) -> Pixels:
        return tile(self.session.reporter.picture(id), self.side)

    def _natural_side(self) -> int:
        """Return the side for pictures like the first result that can be read."""
        pictures = map(self.session.reporter.picture, self.session.answer.hits.ids[:5])
        first = next((picture for picture in pictures if picture is not None), None)
        side = PHOTO_SIDE if first is None else tile_side(first)
        return max(side, READABLE) if self._captions else side

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
        marked = [*((id, True) for id in step.liked), *((id, False) for id in step.disliked)]
        places = Grid((PANEL - MARGIN) // (MARK_SIDE + 2), MARK_SIDE + 2, MARK_SIDE + 2)
        for place, (id, mark) in enumerate(marked[:MARKS]):
            left, down = places.corner(place)
            small = cv2.resize(self._picture(id), (MARK_SIDE,) * 2, interpolation=cv2.INTER_AREA)
            room = panel[top + down :, MARGIN + left :][:MARK_SIDE, :MARK_SIDE]
            if room.shape == small.shape:
                room[:] = _framed(small, mark)

    def _parts(self, parts: Sequence[Part]) -> Pixels:
        """Draw the parts of a combined query, each with its weight, into a square."""
        count = math.ceil(math.sqrt(min(len(parts), SHOWN)))
        side = BOX // count
        tiles = []
        for part in parts[: count * count]:
            picture = self.session.reporter.query_picture(part.query, (side, side))
            tiles.append(tile(picture, side))
            draw_text(tiles[-1], f"{part.weight:g}", (4, side - 6), FONT_SCALE, colour=YELLOW)
        square = np.zeros((BOX, BOX, 3), np.uint8)
        square[: side * count, : side * count] = Grid(count, side, side).draw(tiles, count)
        return square


def _framed(picture: Pixels, mark: bool | None = None, colour: Colour | None = None) -> Pixels:
    """Return a tile with a border: of `colour`, or else of its mark, whose sign it also gets."""
    side = picture.shape[1]
    picture = picture.copy()
    thickness = max(2, side // 28)
    if colour is not None:
        cv2.rectangle(picture, (0, 0), (side - 1, side - 1), colour, thickness)
    if mark is not None:
        inset = 0 if colour is None else thickness
        corner = side - 1 - inset
        cv2.rectangle(picture, (inset, inset), (corner, corner), COLOURS[mark], thickness)
        draw_text(
            picture, SIGNS[mark], (inset + 4, inset + 18), 0.7, colour=COLOURS[mark], thickness=2
        )
    return picture


def _write(sheet: Pixels, text: str, origin: tuple[int, int], width: int) -> None:
    """Write a line of text, shortened in its middle to a width in pixels."""
    draw_text(sheet, shorten(text, width, FONT_SCALE), origin, FONT_SCALE)


def _draw_overlay(sheet: Pixels, lines: Sequence[str]) -> None:
    """Draw lines of text over a sheet, which is darkened."""
    sheet[:] = sheet // 5
    for number, line in enumerate(lines):
        draw_text(sheet, line, (PANEL, 60 + number * 26), 0.55)
