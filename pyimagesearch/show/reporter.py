"""Reports of queries and their results: lines of text, JSON, paths, and their pictures."""

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pyimagesearch.arrays import Bools, Picture, Size
from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.files import path_bytes, printable
from pyimagesearch.indexes.contract import Hits
from pyimagesearch.queries.query import Answer, Query
from pyimagesearch.show.sizes import (
    LISTED_RESULTS,
    PHOTO_SIDE,
    SCREEN_RESULTS,
    SHEET_RESULTS,
    TUTORIAL_RESULTS,
)
from pyimagesearch.terminal import to_json

logger = logging.getLogger(__name__)


class Reporter:
    """Describes queries and the answers of an index whose images are `pictures`.

    `side` is that of the tiles in pixels, by default chosen by the pictures; with `strip` the
    query and its results are drawn in one row; `max_distance` is mentioned if nothing was found;
    `listed` results have a line of text each.
    """

    def __init__(
        self,
        pictures: Dataset,
        *,
        side: int | None = None,
        strip: bool = False,
        max_distance: float | None = None,
        listed: int = LISTED_RESULTS,
    ) -> None:
        self.pictures = pictures
        self.listed = listed
        self.side = side
        self.strip = strip
        self.max_distance = max_distance

    @property
    def usual_results(self) -> int:
        """The number of results for a query unless another is asked for."""
        return SCREEN_RESULTS if self.pictures.shows_names else TUTORIAL_RESULTS

    @property
    def captioned(self) -> bool:
        """Whether names and distances stand under the pictures of results."""
        return self.strip or self.pictures.shows_names

    def label(self, label: int | None) -> str | int | None:
        """Return the name of a label's folder, or its number; None where there is no label."""
        names = self.pictures.label_names
        if label is None or label < 0:
            return None
        return names[label] if names else int(label)

    def class_name(self, label: int | None) -> str | int | None:
        """Return the name of a label that is a class; None for one that is only a folder."""
        return self.label(label) if self.pictures.has_classes else None

    def class_of(self, hits: Hits, place: int) -> str | int | None:
        """Return the name of the class of a hit, None where it has none; see `class_name`."""
        return None if hits.labels is None else self.class_name(int(hits.labels[place]))

    def wrong(self, answer: Answer) -> Bools:
        """Return whether each hit is of another class than the query, bool (k,)."""
        wrong = answer.wrong if self.pictures.has_classes else None
        return np.zeros(len(answer.hits), bool) if wrong is None else wrong

    def title(self, query: Query) -> str:
        """Return a title for a query, with its label where known, and how it was changed."""
        label = self.class_name(query.label)
        title = f"query {query.id}" + ("" if label is None else f" ({label})")
        return f"{title}, {query.view}" if query.view else title

    def shared_title(self, query: Query) -> str:
        """Return a title as `title` does, without the folders of files, for pictures."""
        return self.title(shared_query(query))

    def no_results_text(self) -> str:
        """Return words for no results."""
        within = "" if self.max_distance is None else f" within {self.max_distance:g}"
        return f"no match{within}"

    def lines(self, answer: Answer, form: str = "text") -> list[Any]:
        """Return lines about results: "text", "json", or "paths" of the files, as bytes."""
        if form == "paths":
            return self.paths(answer)
        if form == "json":
            return [to_json(self.record(answer))]
        return [self.line(answer), *self.listing(answer)]

    def line(self, answer: Answer) -> str:
        """Return a line of text for the terminal: the query, and a summary of its results."""
        title = self.title(answer.query)
        if not len(answer.hits):
            return f"{title}: {self.no_results_text()}"
        text = f"{title}: {_extent(answer)}"
        right, judged = self._judged(answer)
        if not judged:
            return text
        return f"{text}, precision@{judged} {right / judged:.3f}"

    def listing(self, answer: Answer) -> list[str]:
        """Return a line for each of the first results: its rank, distance, name and label."""
        shown = answer.hits[: self.listed]
        ranks = len(str(answer.before + len(shown)))
        distances = [f"{distance:.3f}" for distance in shown.distances]
        width = max(map(len, distances), default=0)
        names = list(map(printable, shown.ids))
        longest = max(map(len, names), default=0)
        lines = []
        for place, name in enumerate(names):
            label = self.class_of(shown, place)
            text = f"  {answer.before + place + 1:>{ranks}}  {distances[place]:>{width}}  "
            lines.append(text + (name if label is None else f"{name:<{longest}}  {label}"))
        if len(answer.hits) > len(shown):
            lines.append(f"  ... and {len(answer.hits) - len(shown):,} more")
        return lines

    def record(self, answer: Answer) -> dict[str, Any]:
        """Return a query and its results as a dict of plain values, for JSON."""
        query = answer.query
        hits = answer.hits
        labels = [None] * len(hits) if hits.labels is None else hits.labels
        rows = zip(hits.ids, hits.distances.tolist(), labels, strict=True)
        found = [{"id": i, "distance": d, "label": self.label(label)} for i, d, label in rows]
        view = {"view": query.view} if query.view else {}
        return {"query": query.id, "label": self.label(query.label), **view, "results": found}

    def paths(self, answer: Answer) -> list[bytes]:
        """Return the paths of those results that still exist, as bytes; warn of the others."""
        paths = [path_bytes(self.pictures.path(id) or id) for id in answer.hits.ids]
        found = [path for path in paths if os.path.exists(path)]
        if missing := len(paths) - len(found):
            logger.warning(
                f"{self.title(answer.query)}: {missing:,} of {len(paths):,} results are no longer "
                "on disk: update the index with index_images.py"
            )
        return found

    def result_lines(self, hits: Hits, place: int) -> tuple[str, str]:
        """Return what stands under a result: its name; its distance and, where known, label."""
        distance = f"{hits.distances[place]:.3f}"
        label = self.class_of(hits, place)
        if label is None:
            return hits.ids[place], distance
        return hits.ids[place], f"{distance} ({label})"

    def summary(self, answer: Answer) -> str:
        """Return a line about the number of results, their distances, and how many are right."""
        count = len(answer.hits)
        if not count:
            return self.no_results_text()
        text = _extent(answer)
        if count > SHEET_RESULTS:
            text += f", first {SHEET_RESULTS} shown"
        right, judged = self._judged(answer)
        if judged:
            of = f"{judged:,}" if judged == count else f"{judged:,} with a label"
            text += f", {right:,} of {of} are {self.label(answer.query.label)}"
        return text

    def _judged(self, answer: Answer) -> tuple[int, int]:
        """Return the numbers of results of the query's class, and of any if it has one."""
        right = answer.right
        wrong = answer.wrong
        if right is None or wrong is None or not self.pictures.has_classes:
            return 0, 0
        return int(np.count_nonzero(right)), int(np.count_nonzero(right | wrong))

    def query_picture(self, query: Query, size: Size | None = None) -> Picture | None:
        """Return a query's picture, shrunk to show it at `size`, or None with a warning."""
        if query.is_text:
            from pyimagesearch.show.lettering import text_picture  # loads OpenCV

            return text_picture(query.id)
        read = query.picture
        if read is None:
            return None
        return _shown(lambda: read(size), None if size is None else max(size))

    def picture(self, id: str, side: int | None = None) -> Picture | None:
        """Return an indexed picture, or None with a warning where it can no longer be read.

        It is shrunk to `side` pixels, by default those of the tiles: hundreds are kept at a time.
        """
        side = side or self.side or PHOTO_SIDE
        return _shown(lambda: self.pictures.picture(id, (side, side)), side)


def shared_query(query: Query) -> Query:
    """Return a query without the folders of its files, for what is made to be sent to others."""
    if query.own or query.is_text:
        return query  # an id, relative to the folder of the index, or words
    parts = tuple(replace(part, query=shared_query(part.query)) for part in query.parts)
    if parts:
        weights = ("" if part.weight == 1 else f"{part.weight:g}:" for part in parts)
        ids = (weight + part.query.id for weight, part in zip(weights, parts, strict=True))
        return replace(query, id=" ".join(ids), parts=parts)
    return replace(query, id=os.path.basename(query.id.rstrip("/\\")) or query.id)


def _extent(answer: Answer) -> str:
    """Return words for the number of results and their distances."""
    count = len(answer.hits)
    last = answer.before + count
    distances = answer.hits.distances
    if count == 1 and not (answer.before or answer.after):
        return f"1 result, distance {distances[0]:.3f}"
    which = f"{count:,} results"
    if answer.before or answer.after:
        which = f"results {answer.before + 1:,} to {last:,}"
    if answer.after:
        which += f" of {last + answer.after:,}"
    return f"{which}, distance {distances[0]:.3f} to {distances[-1]:.3f}"


def _shown(read: Callable[[], Picture], side: int | None) -> Picture | None:
    """Return what `read()` returns, shrunk to `side` pixels, or None with a warning."""
    from pyimagesearch.show.scaling import shrunk  # loads OpenCV

    try:
        picture = read()
    except (ValueError, OSError) as error:
        logger.warning(str(error))
        return None
    return picture if side is None else shrunk(picture, side)
