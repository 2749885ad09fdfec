"""A card: a picture with its lines of text, and a border that says what it is.

Montages, strips, groups, previews, pages and windows show the same cards.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np

from pyimagesearch.arrays import Colour, Picture, Pixels
from pyimagesearch.queries.query import Answer, Query
from pyimagesearch.show.lettering import BLACK, WHITE, draw_text, labelled
from pyimagesearch.show.reporter import Reporter
from pyimagesearch.show.scaling import resized
from pyimagesearch.show.sizes import ICON_SIDE, PHOTO_SIDE, QUERY_PARTS, READABLE_SIDE

RED = (0, 0, 255)  # BGR, as all colours
GREEN = (0, 210, 0)
MAGENTA = (255, 0, 255)
GREY = (90, 90, 90)


class Mark(Enum):
    """What a card is besides a result."""

    QUERY = "query"
    LIKED = "liked"
    DISLIKED = "disliked"


MARK_COLOURS = {Mark.QUERY: WHITE, Mark.LIKED: GREEN, Mark.DISLIKED: MAGENTA}
WRONG_MEANING = "of another class than the query"
MARK_SIGNS = {Mark.LIKED: "+", Mark.DISLIKED: "-"}


@dataclass(frozen=True)
class Card:
    """A picture to show, or None where it cannot be read, with what is said about it.

    `lines` are lines of text under it; `wrong` says that it is a result of another class than the
    query's; `mark` is what else it is, or None.
    """

    picture: Picture | None
    lines: tuple[str, ...] = ()
    wrong: bool = False
    mark: Mark | None = None


def result_cards(
    reporter: Reporter,
    answer: Answer,
    count: int | None = None,
    *,
    read: Callable[[str], Picture | None] | None = None,
) -> list[Card]:
    """Return the Cards of the first `count` hits of an answer, None for all.

    `read(id)` returns a picture or None, by default as the reporter does.
    """
    hits = answer.hits[:count]
    wrong = reporter.wrong(answer)
    read = read or reporter.picture
    return [
        Card(read(id), reporter.result_lines(hits, place), bool(wrong[place]))
        for place, id in enumerate(hits.ids)
    ]


def query_cards(reporter: Reporter, query: Query) -> list[Card]:
    """Return the Card of a query, or those of the first parts of a combined one."""
    if not query.parts:
        return [Card(reporter.query_picture(query), (query.id, "query"), mark=Mark.QUERY)]
    cards = []
    for part in query.parts[:QUERY_PARTS]:
        picture = reporter.query_picture(part.query)
        lines = (part.query.id, f"query, weight {part.weight:g}")
        cards.append(Card(picture, lines, mark=Mark.QUERY))
    return cards


def legend_of(cards: Iterable[Card]) -> list[tuple[Colour, str]]:
    """Return the colours of the borders that cards have, with what they mean."""
    cards = list(cards)
    marks = {card.mark for card in cards}
    entries = [(MARK_COLOURS[mark], mark.value) for mark in Mark if mark in marks]
    if any(card.wrong for card in cards):
        entries.append((RED, WRONG_MEANING))
    return entries


def card_side(cards: Sequence[Card], *, captioned: bool) -> int:
    """Return the side, in pixels, at which to show cards, by the first that can be read.

    `captioned` cards have room for their lines.
    """
    first = next((card.picture for card in cards if card.picture is not None), None)
    side = PHOTO_SIDE if first is None else tile_side(first)
    return max(side, READABLE_SIDE) if captioned else side


def draw_card(card: Card, side: int, *, captioned: bool = True) -> Pixels:
    """Return a card, uint8 BGR (height, side, 3): a square of `side` pixels and its lines."""
    image = tile(card.picture, side)
    thickness = max(2, side // 28)
    if card.wrong:
        cv2.rectangle(image, (0, 0), (side - 1, side - 1), RED, thickness)
    if card.mark is not None:
        colour = MARK_COLOURS[card.mark]
        inset = thickness if card.wrong else 0
        corner = side - 1 - inset
        cv2.rectangle(image, (inset, inset), (corner, corner), colour, thickness)
        if card.mark in MARK_SIGNS:
            origin = (inset + 4, inset + 18)
            draw_text(image, MARK_SIGNS[card.mark], origin, 0.7, colour=colour, thickness=2)
    return labelled(image, card.lines) if captioned else image


def tile_side(picture: Picture) -> int:
    """Return the side, in pixels, at which to show pictures like this one in a montage."""
    side = max(picture.shape[:2])
    # Thumbnails of digits are doubled: at their own 28 pixels a wrong result is hard to see.
    return 2 * side if side <= ICON_SIDE else PHOTO_SIDE


def tile(picture: Picture | None, side: int) -> Pixels:
    """Fit a picture into a square of `side` pixels, on black.

    None, a picture that cannot be read any more, is shown as a crossed-out square.
    """
    square = np.full((side, side, 3), BLACK, np.uint8)
    if picture is None:
        cv2.line(square, (0, 0), (side, side), GREY, 1, cv2.LINE_AA)
        cv2.line(square, (0, side), (side, 0), GREY, 1, cv2.LINE_AA)
        return square
    image = resized(to_bgr(picture), side)
    top = (side - image.shape[0]) // 2
    left = (side - image.shape[1]) // 2
    square[top : top + image.shape[0], left : left + image.shape[1]] = image
    return square


def to_bgr(picture: Picture) -> Pixels:
    """Return an image, uint8 or float in [0, 1], (h, w, 1 or 3) RGB, as uint8 BGR for OpenCV."""
    if picture.dtype != np.uint8:
        picture = np.round(np.clip(np.nan_to_num(picture), 0, 1) * 255).astype(np.uint8)
    code = cv2.COLOR_GRAY2BGR if picture.shape[2] == 1 else cv2.COLOR_RGB2BGR
    return np.asarray(cv2.cvtColor(picture, code), np.uint8)
