"""Text in pictures: lines that are drawn, shortened, wrapped, and put under images."""

from collections.abc import Sequence

import cv2
import numpy as np

from pyimagesearch.arrays import Colour, Pixels
from pyimagesearch.files import printable
from pyimagesearch.show.sizes import PHOTO_SIDE

FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_SCALE = 0.45
SMALL = 0.36
LINE = 20  # pixels from one line of a text to the next
CAPTION_LINE = 22  # the same, of captions
SMALL_LINE = 15  # the same, of small text
WHITE = (255, 255, 255)  # BGR, as all colours
BLACK = (0, 0, 0)


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


def text_width(text: str, scale: float) -> int:
    """Return the width of a line of text in pixels."""
    return cv2.getTextSize(printable(text), FONT, scale, 1)[0][0]


def shorten(text: str, width: int, scale: float = SMALL) -> str:
    """Cut the middle out of a text that would be drawn wider than `width` pixels."""
    text = printable(text)
    short = text
    kept = len(text)
    while kept and text_width(short, scale) > width:
        kept -= 1
        short = text[: kept // 2] + "..." + text[len(text) - (kept - kept // 2) :]
    return short


def labelled(image: Pixels, lines: Sequence[str]) -> Pixels:
    """Put lines of text under a tile, each shortened in its middle to the tile's width."""
    sheet = np.zeros((image.shape[0] + lines_height(len(lines)), *image.shape[1:]), np.uint8)
    sheet[: image.shape[0]] = image
    for i, line in enumerate(lines):
        origin = 2, image.shape[0] + SMALL_LINE * i + 12
        draw_text(sheet, shorten(line, image.shape[1] - 4), origin, SMALL)
    return sheet


def lines_height(count: int) -> int:
    """Return the pixels that `labelled` adds for a number of lines."""
    return SMALL_LINE * count + 6


def with_caption(image: Pixels, lines: Sequence[str]) -> Pixels:
    """Put lines of text under an image, which is widened with black where a line needs it."""
    width = max(image.shape[1], *(text_width(line, FONT_SCALE) + 16 for line in lines))
    height = image.shape[0] + CAPTION_LINE * len(lines) + 6
    sheet = np.zeros((height, width, 3), np.uint8)
    left = (width - image.shape[1]) // 2
    sheet[: image.shape[0], left : left + image.shape[1]] = image
    for i, line in enumerate(lines):
        origin = 8, image.shape[0] + CAPTION_LINE * i + 18
        draw_text(sheet, line, origin, FONT_SCALE)
    return sheet


def beside(
    image: Pixels, lines: Sequence[str], legend: Sequence[tuple[Colour, str]] = ()
) -> Pixels:
    """Put lines of text to the right of an image, with a margin below.

    The last line is the `legend`: squares in the colours of borders, and what they mean.
    """
    left = image.shape[1] + 12
    widths = [text_width(line, FONT_SCALE) for line in lines]
    widths.append(sum(text_width(text, FONT_SCALE) + 2 * CAPTION_LINE for _, text in legend))
    height = max(image.shape[0], CAPTION_LINE * (len(lines) + 1)) + 8
    sheet = np.zeros((height, left + max(widths) + 8, 3), np.uint8)
    sheet[: image.shape[0], : image.shape[1]] = image
    for i, line in enumerate(lines):
        draw_text(sheet, line, (left, CAPTION_LINE * i + 18), FONT_SCALE)
    bottom = CAPTION_LINE * len(lines) + 18
    for colour, text in legend:
        cv2.rectangle(sheet, (left, bottom - 11), (left + 11, bottom), colour, 2)
        draw_text(sheet, text, (left + CAPTION_LINE, bottom), FONT_SCALE)
        left += text_width(text, FONT_SCALE) + 2 * CAPTION_LINE
    return sheet


def text_picture(text: str, side: int = PHOTO_SIDE) -> Pixels:
    """Draw a text in black on a white square, uint8 (side, side, 3), in as many lines as fit."""
    picture = np.full((side, side, 3), 255, np.uint8)
    lines = [""]
    for word in printable(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or text_width(longer, FONT_SCALE) <= side - 12:
            lines[-1] = longer
        else:
            lines.append(word)
    lines = lines[: side // LINE]
    top = (side - LINE * len(lines)) // 2
    for i, line in enumerate(lines):
        origin = max(6, (side - text_width(line, FONT_SCALE)) // 2), top + LINE * i + LINE * 3 // 4
        draw_text(picture, line, origin, FONT_SCALE, colour=BLACK)
    return picture
