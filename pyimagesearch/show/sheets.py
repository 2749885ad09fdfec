"""Sheets of queries and results: the pictures of the windows and files."""

import numpy as np

from pyimagesearch.show.montage import (
    RED,
    WHITE,
    labelled,
    query_sheet,
    results_sheet,
    tile,
    tile_side,
    with_caption,
)
from pyimagesearch.show.reporter import PARTS
from pyimagesearch.show.sizes import PHOTO_SIDE, READABLE, SHOWN


def draw_sheets(reporter, query, results):
    """Return the pictures of the windows "Query" and "Results" by their titles."""
    sheet = _query_sheet(reporter, query)
    if not len(results.rows):
        return {"Query": sheet, "Results": query_sheet(reporter.nothing(), None)}
    pictures = [reporter.picture(row) for row in results.rows[:SHOWN]]
    first = next((picture for picture in pictures if picture is not None), None)
    side = reporter.side or (PHOTO_SIDE if first is None else tile_side(first))
    captions = None
    if reporter.strip or reporter.gallery.shows_names:
        captions = _captions(results, len(pictures))
        side = reporter.side or max(side, READABLE)
    draw = _strip if reporter.strip else _montage
    return {"Query": sheet, "Results": draw(reporter, query, results, pictures, side, captions)}


def _query_sheet(reporter, query):
    if not query.parts:
        return query_sheet(reporter.title(query), reporter.query_picture(query))
    return with_caption(np.hstack(_parts(reporter, query, PHOTO_SIDE)), [reporter.title(query)])


def _parts(reporter, query, side):
    """Draw the parts of a combined query, or the query, as labelled tiles in white borders."""
    parts = query.parts[:PARTS] or [(None, query)]
    return [
        labelled(
            tile(reporter.query_picture(part), side, WHITE),
            [str(part.id), "query" if weight is None else f"query, weight {weight:g}"],
        )
        for weight, part in parts
    ]


def _montage(reporter, query, results, pictures, side, captions):
    wrong = results.wrong(query)
    return results_sheet(pictures, wrong, side, captions, reporter.summary(query, results))


def _strip(reporter, query, results, pictures, side, captions):
    """Draw the query, in a white border, before its results, all in one row."""
    wrong = results.wrong(query)
    wrong = np.zeros(len(pictures), bool) if wrong is None else wrong[: len(pictures)]
    drawn = zip(pictures, wrong, captions, strict=True)
    tiles = [labelled(tile(one, side, RED if bad else None), text) for one, bad, text in drawn]
    return np.hstack(_parts(reporter, query, side) + tiles)


def _captions(results, count):
    pairs = zip(results.ids[:count], results.distances[:count], strict=True)
    return [[str(name), f"{distance:.3f}"] for name, distance in pairs]
