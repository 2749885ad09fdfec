"""Sheets of queries and results: the pictures of the windows and files."""

import numpy as np

from pyimagesearch.queries.query import Answer, Picture
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
from pyimagesearch.show.reporter import PARTS, Reporter
from pyimagesearch.show.sizes import PHOTO_SIDE, READABLE, SHOWN


def draw_sheets(reporter: Reporter, answer: Answer) -> dict[str, Picture]:
    """Return the pictures of the windows "Query" and "Results" by their titles."""
    sheet = _query_sheet(reporter, answer.query)
    hits = answer.hits
    if not len(hits):
        return {"Query": sheet, "Results": query_sheet(reporter.no_results_text(), None)}
    pictures = [reporter.picture(id) for id in hits.ids[:SHOWN]]
    first = next((picture for picture in pictures if picture is not None), None)
    side = reporter.side or (PHOTO_SIDE if first is None else tile_side(first))
    captions = None
    if reporter.strip or reporter.pictures.shows_names:
        captions = _captions(hits, len(pictures))
        side = reporter.side or max(side, READABLE)
    draw = _strip if reporter.strip else _montage
    return {"Query": sheet, "Results": draw(reporter, answer, pictures, side, captions)}


def _query_sheet(reporter, query):
    if not query.parts:
        return query_sheet(reporter.title(query), reporter.query_picture(query))
    return with_caption(np.hstack(_parts(reporter, query, PHOTO_SIDE)), [reporter.title(query)])


def _parts(reporter, query, side):
    """Draw the parts of a combined query, or the query, as labelled tiles in white borders."""
    parts = [(part.weight, part.query) for part in query.parts[:PARTS]] or [(None, query)]
    return [
        labelled(
            tile(reporter.query_picture(part), side, WHITE),
            [str(part.id), "query" if weight is None else f"query, weight {weight:g}"],
        )
        for weight, part in parts
    ]


def _montage(reporter, answer, pictures, side, captions):
    return results_sheet(pictures, answer.wrong, side, captions, reporter.summary(answer))


def _strip(reporter, answer, pictures, side, captions):
    """Draw the query, in a white border, before its results, all in one row."""
    wrong = answer.wrong
    wrong = np.zeros(len(pictures), bool) if wrong is None else wrong[: len(pictures)]
    drawn = zip(pictures, wrong, captions, strict=True)
    tiles = [labelled(tile(one, side, RED if bad else None), text) for one, bad, text in drawn]
    return np.hstack(_parts(reporter, answer.query, side) + tiles)


def _captions(hits, count):
    pairs = zip(hits.ids[:count], hits.distances[:count], strict=True)
    return [[str(name), f"{distance:.3f}"] for name, distance in pairs]
