"""Sheets of pictures: tiles, captions, montages of results, groups, reconstructions."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pyimagesearch.arrays import AnyArray, Bools, Colour, Picture, Pixels
from pyimagesearch.files import printable
from pyimagesearch.show.sizes import PHOTO_SIDE, READABLE

FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_SCALE = 0.45
SMALL = 0.36
RED = (0, 0, 255)  # BGR, as all colours
WHITE = (255, 255, 255)
GREY = (90, 90, 90)
BLACK = (0, 0, 0)
LINE = 20  # pixels from one line of a text to the next


def to_bgr(picture: Picture) -> Pixels:
    """Return an image, uint8 or float in [0, 1], (h, w, 1 or 3) RGB, as uint8 BGR for OpenCV."""
    if picture.dtype != np.uint8:
        picture = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    code = cv2.COLOR_GRAY2BGR if picture.shape[2] == 1 else cv2.COLOR_RGB2BGR
    return cv2.cvtColor(picture, code)


def reconstruction_sheet(originals: AnyArray, decoded: AnyArray) -> Pixels:
    """Stack original | reconstruction pairs; both are float in [0, 1], (n, h, w, c)."""
    return np.vstack(
        [np.hstack([to_bgr(a), to_bgr(b)]) for a, b in zip(originals, decoded, strict=True)]
    )


def tile_side(picture: Picture) -> int:
    """Return the side, in pixels, at which to show pictures like this one in a montage."""
    side = max(picture.shape[:2])
    # Thumbnails of digits are doubled: at their own 28 pixels a wrong result is hard to see.
    return 2 * side if side <= 64 else PHOTO_SIDE


def tile(picture: Picture | None, side: int, colour: Colour | None = None) -> Pixels:
    """Fit a picture into a square of `side` pixels, on black, with a border of `colour` if given.

    None, a picture that cannot be read any more, is shown as a crossed-out square.
    """
    square = np.zeros((side, side, 3), np.uint8)
    if picture is None:
        cv2.line(square, (0, 0), (side, side), GREY, 1, cv2.LINE_AA)
        cv2.line(square, (0, side), (side, 0), GREY, 1, cv2.LINE_AA)
    else:
        image = to_bgr(picture)
        scale = side / max(image.shape[:2])
        size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
        # Whole pixels show what the encoder saw; photographs are averaged down.
        method = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
        image = cv2.resize(image, size, interpolation=method)
        top = (side - image.shape[0]) // 2
        left = (side - image.shape[1]) // 2
        square[top : top + image.shape[0], left : left + image.shape[1]] = image
    if colour is not None:
        cv2.rectangle(square, (0, 0), (side - 1, side - 1), colour, thickness=max(2, side // 28))
    return square


@dataclass(frozen=True)
class Grid:
    """Where tiles of `width` x `height` pixels lie, in rows of `columns`."""

    columns: int
    width: int
    height: int

    def corner(self, place: int) -> tuple[int, int]:
        """Return the left and the upper edge of tile number `place`, in pixels."""
        row, column = divmod(place, self.columns)
        return column * self.width, row * self.height

    def place_at(self, x: int, y: int) -> int | None:
        """Return the number of the tile at a pixel, or None outside the columns or above them."""
        if not (0 <= x < self.columns * self.width and y >= 0):
            return None
        return y // self.height * self.columns + x // self.width

    def draw(self, tiles: Iterable[Pixels], rows: int | None = None) -> Pixels:
        """Return the tiles, uint8 BGR, as one picture of `rows`, black where there are none."""
        rows = -(-len(tiles) // self.columns) if rows is None else rows
        sheet = np.zeros((rows * self.height, self.columns * self.width, 3), np.uint8)
        for place, image in enumerate(tiles):
            left, top = self.corner(place)
            sheet[top : top + self.height, left : left + self.width] = image
        return sheet


def text_picture(text: str, side: int = PHOTO_SIDE) -> Pixels:
    """Draw a text in black on a white square, uint8 (side, side, 3), in as many lines as fit."""
    picture = np.full((side, side, 3), 255, np.uint8)
    lines = [""]
    for word in printable(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or _text_width(longer, FONT_SCALE) <= side - 12:
            lines[-1] = longer
        else:
            lines.append(word)
    lines = lines[: side // LINE]
    top = (side - LINE * len(lines)) // 2
    for i, line in enumerate(lines):
        origin = max(6, (side - _text_width(line, FONT_SCALE)) // 2), top + LINE * i + LINE * 3 // 4
        draw_text(picture, line, origin, FONT_SCALE, colour=BLACK)
    return picture


def montage(tiles: Sequence[Pixels], columns: int) -> Pixels:
    """Lay tiles of one size out in rows of `columns`, black where there are none left."""
    height, width = tiles[0].shape[:2]
    return Grid(columns, width, height).draw(tiles)


def with_caption(image: Pixels, lines: Sequence[str]) -> Pixels:
    """Put lines of text under an image, which is widened with black where a line needs it."""
    width = max(image.shape[1], *(_text_width(line, FONT_SCALE) + 16 for line in lines))
    sheet = np.zeros((image.shape[0] + 22 * len(lines) + 6, width, 3), np.uint8)
    left = (width - image.shape[1]) // 2
    sheet[: image.shape[0], left : left + image.shape[1]] = image
    for i, line in enumerate(lines):
        origin = 8, image.shape[0] + 22 * i + 18
        draw_text(sheet, line, origin, FONT_SCALE)
    return sheet


def draw_text(
    image: Pixels,
    text: str,
    origin: tuple[int, int],
    scale: float,
    *,
    colour: Colour = WHITE,
    thickness: int = 1,
) -> None:
    """Draw a line of text, with control characters and bytes that are not UTF-8 escaped.

    OpenCV ends the process over bytes that are not UTF-8.
    """
    cv2.putText(image, printable(text), origin, FONT, scale, colour, thickness, cv2.LINE_AA)


def _text_width(text: str, scale: float) -> int:
    return cv2.getTextSize(printable(text), FONT, scale, 1)[0][0]


def labelled(image: Pixels, lines: Sequence[str]) -> Pixels:
    """Put lines of text under a tile, each shortened in its middle to the tile's width."""
    sheet = np.zeros((image.shape[0] + 15 * len(lines) + 6, *image.shape[1:]), np.uint8)
    sheet[: image.shape[0]] = image
    for i, line in enumerate(lines):
        origin = 2, image.shape[0] + 15 * i + 12
        draw_text(sheet, shorten(line, image.shape[1] - 4), origin, SMALL)
    return sheet


def shorten(text: str, width: int, scale: float = SMALL) -> str:
    """Cut the middle out of a text that would be drawn wider than `width` pixels."""
    text = printable(text)
    short = text
    kept = len(text)
    while kept and _text_width(short, scale) > width:
        kept -= 1
        short = text[: kept // 2] + "..." + text[len(text) - (kept - kept // 2) :]
    return short


def query_sheet(title: str, picture: Picture | None) -> Pixels:
    """Draw a query's picture, or None, over its title."""
    side = 140 if picture is None else max(140, tile_side(picture))
    return with_caption(tile(picture, side), [title])


def results_sheet(
    pictures: Sequence[Picture | None],
    wrong: Bools | None,
    side: int,
    captions: Sequence[Sequence[str]] | None,
    *,
    summary: str,
) -> Pixels:
    """Draw the pictures of results as a montage of tiles of `side` pixels over a line of summary.

    `wrong`, bool or None, marks the ones that get a red border. `captions`, lines of text for each
    picture, or None, stand under the tiles.
    """
    tiles = [
        tile(picture, side, RED if wrong is not None and wrong[i] else None)
        for i, picture in enumerate(pictures)
    ]
    if captions is not None:
        tiles = [labelled(*pair) for pair in zip(tiles, captions, strict=True)]
    return with_caption(montage(tiles, math.ceil(math.sqrt(len(tiles)))), [summary])


def groups_sheet(
    groups: Sequence[tuple[Sequence[str], Sequence[Sequence[str]]]],
    titles: Sequence[str],
    picture_of: Callable[[str], Picture | None],
    rows: int = 20,
    *,
    columns: int = 10,
) -> Pixels:
    """Draw groups of pictures, a group a row under its title.

    `groups` are pairs of ids of the index and captions, lists of lines of text for at least the
    first `columns` of them; `picture_of(id)` returns a picture, (h, w, 1 or 3), or
    None. The groups beyond `rows` and the pictures beyond `columns` are only counted.

    Raises ValueError when there are no groups.
    """
    if not groups:
        raise ValueError("no groups to draw: nothing was found within the distance")
    gap = np.zeros((16, 1, 3), np.uint8)
    strips = [
        np.vstack(_padded([_line(title), _group_strip(*group, picture_of, columns), gap]))
        for title, group in zip(titles[:rows], groups[:rows], strict=True)
    ]
    if len(groups) > rows:
        strips.append(_line(f"... and {len(groups) - rows:,} more groups"))
    return np.vstack(_padded(strips))


def _group_strip(
    ids: Sequence[str],
    captions: Sequence[Sequence[str]],
    picture_of: Callable[[str], Picture | None],
    columns: int,
) -> Pixels:
    """Draw the first members of a group side by side, and the number of the others."""
    more = len(ids) - columns
    pictures = [picture_of(id) for id in ids[:columns]]
    sides = [tile_side(picture) for picture in pictures if picture is not None]
    side = max([READABLE, *sides])
    tiles = [
        labelled(tile(picture, side), lines)
        for picture, lines in zip(pictures, captions, strict=False)
    ]
    if more > 0:
        lines = ["...", f"and {more:,} more", *[""] * (len(captions[0]) - 2)]
        tiles.append(labelled(np.zeros((side, side, 3), np.uint8), lines))
    if tiles:
        return np.hstack(tiles)
    return np.zeros((0, 1, 3), np.uint8)


def _line(text: str) -> Pixels:
    return with_caption(np.zeros((0, 1, 3), np.uint8), [text])


def _padded(images: Sequence[Pixels]) -> list[Pixels]:
    """Widen images with black on the right to the width of the widest."""
    width = max(image.shape[1] for image in images)
    return [np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0))) for image in images]
