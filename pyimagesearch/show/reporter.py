"""Reports of queries and their results: lines of text, JSON, paths, and their pictures."""

import logging
import os

import numpy as np

from pyimagesearch.files import path_bytes
from pyimagesearch.show.sizes import PHOTO_SIDE, SHOWN
from pyimagesearch.terminal import to_json

logger = logging.getLogger(__name__)

PARTS = 10  # pictures of a combined query that are shown


class Reporter:
    """Describes queries and results of the index of the dataset `gallery`.

    `side` is that of the tiles in pixels, by default chosen by the pictures; with `strip` the
    query and its results are drawn in one row; `max_distance` is mentioned if nothing was found.
    """

    def __init__(self, gallery, side=None, strip=False, max_distance=None):
        self.gallery, self.side, self.strip = gallery, side, strip
        self.max_distance = max_distance

    def label(self, label):
        """Return the name of a label's folder, or its number; None where there is no label."""
        names = self.gallery.label_names
        return None if label is None or label < 0 else names[label] if names else int(label)

    def title(self, query):
        """Return a title for a query, with its label where known, and how it was changed."""
        label = self.label(query.label)
        title = f"query {query.id}" + ("" if label is None else f" ({label})")
        return f"{title}, {query.view}" if query.view else title

    def nothing(self):
        """Return words for no results."""
        within = "" if self.max_distance is None else f" within {self.max_distance:g}"
        return f"no match{within}"

    def lines(self, query, results, form="text"):
        """Return lines about results: "text", "json", or "paths" of the files, as bytes."""
        if form == "paths":
            return self.paths(query, results)
        return [
            to_json(self.record(query, results)) if form == "json" else self.line(query, results)
        ]

    def line(self, query, results):
        """Return a line of text for the terminal."""
        distances = results.distances
        if not len(distances):
            return f"{self.title(query)}: {self.nothing()}"
        text = f"{self.title(query)}: distances " + " ".join(f"{d:.3f}" for d in distances[:5])
        if len(distances) > 5:
            text += f" ... {distances[-1]:.3f}"
        right, judged = self._judged(query, results)
        return text if not judged else f"{text}, precision@{judged} {right / judged:.3f}"

    def record(self, query, results):
        """Return a query and its results as a dict of plain values, for JSON."""
        labels = [None] * len(results.ids) if results.labels is None else results.labels
        rows = zip(results.ids, results.distances.tolist(), labels, strict=True)
        found = [{"id": i, "distance": d, "label": self.label(label)} for i, d, label in rows]
        view = {"view": query.view} if query.view else {}
        return {"query": query.id, "label": self.label(query.label), **view, "results": found}

    def paths(self, query, results):
        """Return the paths of those results that still exist, as bytes; warn of the others."""
        paths = [path_bytes(self.gallery.path(row)) for row in results.rows]
        found = [path for path in paths if os.path.exists(path)]
        if missing := len(paths) - len(found):
            logger.warning(
                f"{self.title(query)}: {missing:,} of {len(paths):,} results are no longer on "
                "disk: update the index with index_images.py"
            )
        return found

    def query_pictures(self, query):
        """Return the picture of a query, or those of a combined one; None where unreadable."""
        parts = [part for _, part in query.parts[:PARTS]] or [query]
        return [_picture_or_none(part.picture) for part in parts]

    def summary(self, query, results, before=0):
        """Return a line about the number of results, their distances, and how many are right.

        `before` is the number of nearer results that are not among them.
        """
        if not len(results.rows):
            return self.nothing()
        count, distances = len(results.rows), results.distances
        which = f"results {before + 1:,} to {before + count:,}" if before else f"{count:,} results"
        text = f"{which}, distance {distances[0]:.3f} to {distances[-1]:.3f}"
        if count > SHOWN:
            text += f", first {SHOWN} shown"
        right, judged = self._judged(query, results)
        if judged:
            of = f"{judged:,}" if judged == count else f"{judged:,} with a label"
            text += f", {right:,} of {of} are {self.label(query.label)}"
        return text

    def _judged(self, query, results):
        """Return the numbers of results with the query's label, and with any if it has one."""
        right, wrong = results.right(query), results.wrong(query)
        if right is None:
            return 0, 0
        return np.count_nonzero(right), np.count_nonzero(right | wrong)

    def query_picture(self, query, size=None):
        """Return a query's picture for showing it at `size`, or None with a warning."""
        return None if query.picture is None else _picture_or_none(lambda: query.picture(size))

    def picture(self, row):
        """Return an indexed picture, or None with a warning where it can no longer be read."""
        size = (self.side or PHOTO_SIDE,) * 2
        return _picture_or_none(lambda: self.gallery.picture(row, size))


def _picture_or_none(read):
    try:
        return read()
    except (ValueError, OSError) as error:
        logger.warning(str(error))
        return None
