"""Queries and their results as one HTML page that needs no other file and no network."""

import base64
import contextlib
import html
import logging
from collections.abc import Iterator
from functools import partial

import cv2

from pyimagesearch.arrays import Pixels
from pyimagesearch.files import atomic_write, cannot_write, printable
from pyimagesearch.queries.query import Answer
from pyimagesearch.show.card import WRONG_MEANING, Card, query_cards, result_cards, to_bgr
from pyimagesearch.show.reporter import Reporter, shared_query
from pyimagesearch.show.results import Show
from pyimagesearch.show.scaling import shrunk
from pyimagesearch.show.sizes import ICON_SIDE, PHOTO_SIDE, SHEET_RESULTS

logger = logging.getLogger(__name__)

QUALITY = 85  # of JPEG thumbnails
ENLARGED_SIDE = 4 * PHOTO_SIDE  # pixels of a picture that was clicked
HEAD = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Search results</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; }
  h2 { font-size: 1.1em; margin: 0 0 .2em; overflow-wrap: anywhere; }
  section { border-top: 1px solid #8886; padding: 1em 0; }
  header { display: flex; gap: 1em; align-items: center; margin-bottom: 1em; }
  ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(9em, 1fr)); gap: .8em;
       list-style: none; margin: 0; padding: 0; }
  img, .lost { width: 100%; aspect-ratio: 1; object-fit: contain; background: #000;
               box-sizing: border-box; border: 3px solid transparent; border-radius: 4px; }
  header img, header .lost { width: 9em; }
  .small { image-rendering: pixelated; }
  .lost { display: grid; place-items: center; color: #aaa; }
  .wrong img, .wrong .lost { border-color: #e22; }
  h1 { font-size: 1.4em; margin: 0; }
  label { display: block; cursor: zoom-in; }
  label input { position: absolute; opacity: 0; width: 0; }
  label:focus-within img { outline: 2px solid #48f; }
  label:has(:checked) { position: fixed; inset: 0; z-index: 1; cursor: zoom-out;
                        background: #000d; padding: 3vmin; }
  header label:has(:checked) img, label:has(:checked) img { width: 100%; height: 100%;
                                                            background: none; }
  figure { margin: 0; }
  figcaption { font-size: 12px; }
  .name { display: flex; white-space: pre; }
  .name span:first-child { overflow: hidden; text-overflow: ellipsis; }
  .swatch { display: inline-block; width: .8em; height: .8em; border: 3px solid #e22;
            border-radius: 4px; vertical-align: -.15em; }
  .legend { margin: .4em 0 0; }
  .distance { opacity: .7; }
</style>
"""
HEADING = "<h1>Search results</h1>\n<p>Click a picture to enlarge it, again to leave it.</p>\n"
LEGEND = f'<p class="legend"><span class="swatch"></span> {WRONG_MEANING}</p>'
NAME_END = 10  # characters of a name that are always shown: the end says the most


@contextlib.contextmanager
def html_page(path: str, reporter: Reporter) -> Iterator[Show]:
    """Write results, query by query, to an HTML file, which appears when it is complete.

    Thumbnails are inside the page; results with another label than the query have a red border. An
    error of what is done meanwhile, such as reading a query, is raised as it is.
    """
    try:
        with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(HEAD)
            file.write(HEADING)

            def show(answer: Answer, number: int) -> None:
                lines = _section(answer, number, reporter)
                try:
                    file.writelines(lines)
                except OSError as error:
                    raise cannot_write(path, error) from error

            try:
                yield show
            except OSError as error:
                raise _RaisedMeanwhileError(error) from error
    except _RaisedMeanwhileError as meanwhile:
        raise meanwhile.error from None
    logger.info(f"wrote {path}")


class _RaisedMeanwhileError(Exception):
    """Carries an OSError past `atomic_write`, which takes each for one of its own file."""

    def __init__(self, error: OSError) -> None:
        self.error = error


def _section(answer: Answer, number: int, reporter: Reporter) -> list[str]:
    """Return the lines about a query and its hits."""
    query = shared_query(answer.query)
    read = partial(reporter.picture, side=ENLARGED_SIDE)
    results = result_cards(reporter, answer, SHEET_RESULTS, read=read)
    legend = LEGEND if any(card.wrong for card in results) else ""
    return [
        f'<section id="query-{number}">\n',
        f"<header>{''.join(map(_picture, query_cards(reporter, query)))}<div>\n",
        f"<h2>{_escaped(reporter.title(query))}</h2>\n",
        f"{_escaped(reporter.summary(answer))}{legend}</div></header>\n",
        *["<ol>\n", *map(_item, results), "</ol>\n</section>\n"],
    ]


def _escaped(text: str) -> str:
    """Return text for HTML, with control characters and bytes that are not UTF-8 escaped."""
    return html.escape(printable(text))


def _item(card: Card) -> str:
    name, distance = card.lines
    name = printable(name)
    start = html.escape(name[:-NAME_END])
    end = html.escape(name[-NAME_END:])
    wrong = ' class="wrong"' if card.wrong else ""
    return (
        f'<li{wrong}><figure title="{html.escape(name)}">{_picture(card)}<figcaption>'
        f'<div class="name"><span>{start}</span><span>{end}</span></div>'
        f'<div class="distance">{_escaped(distance)}</div></figcaption></figure>\n'
    )


def _picture(card: Card) -> str:
    """Return an <img> with the picture inside, or a note where it cannot be read."""
    if card.picture is None:
        return '<div class="lost">cannot be read</div>'
    alt = _escaped(card.lines[0])
    image = to_bgr(shrunk(card.picture, ENLARGED_SIDE))
    if max(image.shape[:2]) <= ICON_SIDE:
        data = _encoded(image, ".png")
        return _enlarging(f'<img class="small" alt="{alt}" src="data:image/png;base64,{data}">')
    data = _encoded(image, ".jpg", cv2.IMWRITE_JPEG_QUALITY, QUALITY)
    return _enlarging(f'<img alt="{alt}" src="data:image/jpeg;base64,{data}">')


def _enlarging(image: str) -> str:
    """Return an <img> that a click enlarges, by a box to tick: a page has no script."""
    return f'<label><input type="checkbox" aria-label="enlarge">{image}</label>'


def _encoded(image: Pixels, suffix: str, *parameters: int) -> str:
    """Return a picture, uint8 BGR, in a format of OpenCV as Base64."""
    _, data = cv2.imencode(suffix, image, parameters)
    return base64.b64encode(data.tobytes()).decode()
