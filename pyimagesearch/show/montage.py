"""Sheets of cards: montages of results, rows of groups, reconstructions."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pyimagesearch.arrays import AnyArray, Pixels
from pyimagesearch.show.card import Card, card_side, draw_card, legend_of, tile
from pyimagesearch.show.lettering import CAPTION_LINE, beside, lines_height, with_caption
from pyimagesearch.show.sizes import QUERY_SIDE, READABLE_SIDE, TILE_GAP

GROUP_GAP = 16  # pixels below a group


@dataclass(frozen=True)
class Grid:
    """Where tiles of `width` x `height` pixels lie, in rows of `columns`, `gap` pixels apart."""

    columns: int
    width: int
    height: int
    gap: int = 0

    def corner(self, place: int) -> tuple[int, int]:
        """Return the left and the upper edge of tile number `place`, in pixels."""
        row, column = divmod(place, self.columns)
        return column * (self.width + self.gap), row * (self.height + self.gap)

    def size(self, rows: int) -> tuple[int, int]:
        """Return the width and height of rows of tiles, in pixels."""
        width = self.columns * (self.width + self.gap) - self.gap
        return width, rows * (self.height + self.gap) - self.gap

    def place_at(self, x: int, y: int) -> int | None:
        """Return the number of the tile at a pixel, or None outside the columns or above them."""
        if not (0 <= x < self.size(1)[0] and y >= 0):
            return None
        return y // (self.height + self.gap) * self.columns + x // (self.width + self.gap)

    def draw(self, tiles: Iterable[Pixels], rows: int) -> Pixels:
        """Return the tiles, uint8 BGR, as one picture of `rows`, black where there are none."""
        width, height = self.size(rows)
        sheet = np.zeros((height, width, 3), np.uint8)
        for place, image in enumerate(tiles):
            left, top = self.corner(place)
            sheet[top : top + self.height, left : left + self.width] = image
        return sheet


def montage(tiles: Sequence[Pixels], columns: int) -> Pixels:
    """Lay tiles of one size out in rows of `columns`, black where there are none left."""
    height, width = tiles[0].shape[:2]
    return Grid(columns, width, height, TILE_GAP).draw(tiles, math.ceil(len(tiles) / columns))


def reconstruction_sheet(originals: AnyArray, decoded: AnyArray) -> Pixels:
    """Draw originals above their reconstructions; both are float in [0, 1], (n, h, w, c)."""
    rows = []
    for title, images in (("originals", originals), ("their reconstructions", decoded)):
        rows += [_line(title), montage([tile(image, QUERY_SIDE) for image in images], len(images))]
    return np.vstack(_padded(rows))


def results_sheet(
    queries: Sequence[Card],
    results: Sequence[Card],
    lines: Sequence[str],
    *,
    side: int,
    captioned: bool,
) -> Pixels:
    """Draw cards of results as a montage of tiles of `side` pixels.

    Above it are the cards of the query and, beside them, lines of text and a legend. `captioned`
    results have their lines under them.
    """
    parts = []
    if results:
        tiles = [draw_card(card, side, captioned=captioned) for card in results]
        parts.append(montage(tiles, columns_for(len(tiles), captioned=captioned)))
    width = max([part.shape[1] for part in parts], default=0)
    small = min(QUERY_SIDE, max(QUERY_SIDE, width // 2) // len(queries))
    pictures = [draw_card(card, small, captioned=False) for card in queries]
    head = montage(pictures, len(pictures))
    legend = legend_of([*queries, *results])
    return np.vstack(_padded([beside(head, lines, legend), *parts]))


def columns_for(count: int, *, captioned: bool) -> int:
    """Return how many of `count` tiles lie in a row: for a square sheet, or for a wide screen.

    Digits fill a square, as in the tutorial; 24 tiles with their names are four rows of six.
    """
    return math.ceil(math.sqrt(count * 1.5 if captioned else count))


@dataclass(frozen=True)
class Group:
    """Pictures that belong together, to be drawn in a row: the first `cards` of `count`."""

    title: str
    cards: Sequence[Card]
    count: int


def groups_sheet(groups: Iterable[Group], total: int, *, side: int | None = None) -> Pixels:
    """Draw groups of pictures, a group a row under its title.

    Of `total` groups, those that are not given are only counted, as are the pictures of a group
    without a card. Tiles have `side` pixels, by default one chosen by the pictures of each group.

    Raises ValueError when there are no groups.
    """
    gap = np.zeros((GROUP_GAP, 1, 3), np.uint8)
    strips = [
        np.vstack(_padded([_line(group.title), _group_strip(group, side), gap])) for group in groups
    ]
    if not strips:
        raise ValueError("no groups to draw: nothing was found within the distance")
    if total > len(strips):
        strips.append(_line(f"... and {total - len(strips):,} more groups"))
    return np.vstack(_padded(strips))


def group_height(lines: int, side: int) -> int:
    """Return the height of a group's row, whose cards have that many lines, in pixels."""
    return CAPTION_LINE + 6 + side + lines_height(lines) + GROUP_GAP


def _group_strip(group: Group, side: int | None) -> Pixels:
    """Draw the first members of a group side by side, and the number of the others."""
    if not group.cards:
        return np.zeros((0, 1, 3), np.uint8)
    if side is None:
        side = max(card_side([card], captioned=True) for card in group.cards)
    tiles = [draw_card(card, side) for card in _with_rest(group)]
    return montage(tiles, len(tiles))


def _with_rest(group: Group) -> Iterator[Card]:
    yield from group.cards
    rest = group.count - len(group.cards)
    if rest > 0:
        blank = np.zeros((READABLE_SIDE, READABLE_SIDE, 3), np.uint8)
        lines = ("...", f"and {rest:,} more", *[""] * (len(group.cards[0].lines) - 2))
        yield Card(blank, lines)


def _line(text: str) -> Pixels:
    return with_caption(np.zeros((0, 1, 3), np.uint8), [text])


def _padded(images: Sequence[Pixels]) -> list[Pixels]:
    """Widen images with black on the right to the width of the widest."""
    width = max(image.shape[1] for image in images)
    return [np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0))) for image in images]
