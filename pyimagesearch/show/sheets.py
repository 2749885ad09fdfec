"""Sheets of queries and results: the pictures of the windows and files."""

from collections.abc import Sequence

import numpy as np

from pyimagesearch.arrays import Pixels
from pyimagesearch.indexes.contract import Hits
from pyimagesearch.queries.query import Answer, Picture, Query
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
    if reporter.strip:
        results = _strip(reporter, answer, pictures, side=side)
    else:
        summary = reporter.summary(answer)
        results = results_sheet(pictures, answer.wrong, side, captions=captions, summary=summary)
    return {"Query": sheet, "Results": results}


def _query_sheet(reporter: Reporter, query: Query) -> Pixels:
    if not query.parts:
        return query_sheet(reporter.title(query), reporter.query_picture(query))
    return with_caption(np.hstack(_parts(reporter, query, PHOTO_SIDE)), [reporter.title(query)])


def _parts(reporter: Reporter, query: Query, side: int) -> list[Pixels]:
    """Draw the parts of a combined query, or the query, as labelled tiles in white borders."""
    tiles = []
    for part in query.parts[:PARTS]:
        picture = tile(reporter.query_picture(part.query), side, WHITE)
        tiles.append(labelled(picture, [part.query.id, f"query, weight {part.weight:g}"]))
    if not tiles:
        picture = tile(reporter.query_picture(query), side, WHITE)
        tiles.append(labelled(picture, [query.id, "query"]))
    return tiles


def _strip(
    reporter: Reporter, answer: Answer, pictures: Sequence[Picture | None], *, side: int
) -> Pixels:
    """Draw the query, in a white border, before its results, all in one row."""
    count = len(pictures)
    wrong = np.zeros(count, bool)
    if answer.wrong is not None:
        wrong = answer.wrong[:count]
    tiles = _parts(reporter, answer.query, side)
    for picture, bad, lines in zip(pictures, wrong, _captions(answer.hits, count), strict=True):
        tiles.append(labelled(tile(picture, side, RED if bad else None), lines))
    return np.hstack(tiles)


def _captions(hits: Hits, count: int) -> list[list[str]]:
    pairs = zip(hits.ids[:count], hits.distances[:count], strict=True)
    return [[str(name), f"{distance:.3f}"] for name, distance in pairs]
