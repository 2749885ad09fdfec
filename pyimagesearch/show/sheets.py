"""Sheets of queries and results: pictures for files."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyimagesearch.arrays import Pixels
from pyimagesearch.queries.query import Answer, Query
from pyimagesearch.show.card import card_side, draw_card, query_cards, result_cards, tile, tile_side
from pyimagesearch.show.lettering import with_caption
from pyimagesearch.show.montage import montage, results_sheet
from pyimagesearch.show.output import Output
from pyimagesearch.show.reporter import Reporter, shared_query
from pyimagesearch.show.results import Show
from pyimagesearch.show.sizes import PHOTO_SIDE, SHEET_PIXELS, SHEET_RESULTS

if TYPE_CHECKING:
    from pyimagesearch.show.projection import Projection

QUERY_SHEET_SIDE = 140  # pixels at least


@contextlib.contextmanager
def sheet_files(
    output: Output, reporter: Reporter, projection: "Projection | None" = None
) -> Iterator[Show]:
    """Write sheets of queries and results to an Output.

    `projection` is the Projection of the queries, for a map of each, or None.
    """

    def show(answer: Answer, number: int) -> None:
        sheets = draw_sheets(reporter, answer)
        if projection:
            sheets["Map"] = projection.sheet(number, reporter.shared_title(answer.query))
        output.write(sheets, number)

    yield show
    output.remove_stale()


def draw_sheets(reporter: Reporter, answer: Answer) -> dict[str, Pixels]:
    """Return the sheets "Query" and "Results" by their titles.

    Raises ValueError where the tiles of the side that was asked for are too many.
    """
    _require_few_pixels(reporter.side, min(len(answer.hits), SHEET_RESULTS))
    query = shared_query(answer.query)
    sheet = _query_sheet(reporter, query)
    queries = query_cards(reporter, query)
    cards = result_cards(reporter, answer, SHEET_RESULTS)
    captioned = reporter.captioned
    side = reporter.side or card_side(cards, captioned=captioned)
    if reporter.strip and cards:
        row = [draw_card(card, side) for card in (*queries, *cards)]
        results = montage(row, len(row))
    else:
        lines = [reporter.title(query), reporter.summary(answer)]
        results = results_sheet(queries, cards, lines, side=side, captioned=captioned)
    return {"Query": sheet, "Results": results}


def _require_few_pixels(side: int | None, count: int) -> None:
    if side and count * side**2 > SHEET_PIXELS:
        raise ValueError(
            f"--tile {side}: a sheet of {count} results would have {count * side**2 / 1e6:,.0f} "
            f"megapixels, expected at most {SHEET_PIXELS / 1e6:.0f}: give a smaller --tile or -k"
        )


def _query_sheet(reporter: Reporter, query: Query) -> Pixels:
    """Draw a query's picture, or the parts of a combined query, over its title."""
    title = reporter.title(query)
    if query.parts:
        tiles = [draw_card(card, PHOTO_SIDE) for card in query_cards(reporter, query)]
        return with_caption(montage(tiles, len(tiles)), [title])
    picture = reporter.query_picture(query)
    side = QUERY_SHEET_SIDE
    if picture is not None:
        side = max(side, tile_side(picture))
    return with_caption(tile(picture, side), [title])
