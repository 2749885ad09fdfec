"""A search session: the current query, its results, marks, and the way back. No window, no output.

An action that fails raises ValueError or OSError with the reason and changes nothing.
"""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count

import numpy as np

from pyimagesearch.browse.feedback import feedback_code, feedback_text
from pyimagesearch.browse.opener import open_picture_file
from pyimagesearch.files import atomic_write, path_bytes
from pyimagesearch.queries.crops import flipped, turned, view_of, viewed
from pyimagesearch.queries.query import Query, Results
from pyimagesearch.queries.ranking import search_queries
from pyimagesearch.show.image_file import write_image
from pyimagesearch.show.sizes import SHOWN


@dataclass(frozen=True)
class Step:
    """A query with its results, from which one can go on or back.

    `query` is what was searched for: `base`, moved by the rows marked `alike` and `unlike`, tuples
    of int. `results` are at least those of the first `page`, which counts from 0.
    """

    base: Query
    query: Query
    results: Results
    alike: tuple = ()
    unlike: tuple = ()
    page: int = 0


class Session:
    """Searches on from results to further queries.

    `found` yields pairs of a Query and its Results, as `search_queries` does; the first is current.
    At first `max_results`, else SHOWN, are searched for; more when pages of `page_size` are turned.
    `max_distance` ends the results; without `max_results`, all within it are searched for.
    `report`, if set, is called with the query and the results whenever the current step is another.
    """

    def __init__(
        self, found, index, encoder, engine, reporter, max_results=None, max_distance=None
    ):
        """Search an Index by its Encoder and an Engine; a Reporter has its images.

        Raises ValueError when there is no query.
        """
        self.index, self.encoder, self.engine, self.reporter = index, encoder, engine, reporter
        self.max_results, self.max_distance = max_results, max_distance
        self.page_size = max_results or SHOWN
        self.report = None
        self.step, self._history, self._found = None, [], iter(found)
        self._following = next(self._found, None)
        self.another()

    # --- what is shown

    @property
    def first(self):
        """The number of results on the pages before the current one."""
        return self.step.page * self.page_size

    @property
    def page(self):
        """The Results of the current page."""
        return self.step.results[self.first : self.first + self.page_size]

    def row(self, number):
        """Return the row of result `number`, which counts from 1, or raise ValueError."""
        rows = self.step.results.rows
        if not len(rows):
            raise ValueError("there are no results")
        if not 1 <= number <= len(rows):
            raise ValueError(f"expected a result from 1 to {len(rows):,}, received {number}")
        return int(rows[number - 1])

    def tooltip(self, number):
        """Return a line about result `number`: its name, distance and label."""
        results, place = self.step.results, number - 1
        self.row(number)
        texts = [f"{number}: {results.ids[place]}", f"distance {results.distances[place]:.4g}"]
        label = None if results.labels is None else self.reporter.label(results.labels[place])
        return ", ".join(texts if label is None else [*texts, f"label {label}"])

    def mark_of(self, row):
        """Return True for a row marked alike, False for unlike, None for one without a mark."""
        return True if row in self.step.alike else False if row in self.step.unlike else None

    # --- actions

    @property
    def has_more(self):
        """Whether there is another of the queries that were given."""
        return self._following is not None

    def another(self):
        """Go to the next of the queries that were given; raise ValueError at the last."""
        if self._following is None:
            raise ValueError("there are no more queries")
        query, results = self._following
        self._following = next(self._found, None)
        self._go(Step(query, query, results))

    def choose(self, row):
        """Search for an indexed picture by its code in the index; nothing is read or encoded."""
        [code], ([id], labels) = self.index.codes_of([row]), self.index.named([row])
        label = None if labels is None or labels[0] < 0 else int(labels[0])
        gallery = self.reporter.gallery

        def picture(size=None):
            return gallery.picture(row, size)

        self._search(Query(id, None, picture, label, rows=(row,), code=code))

    def mark(self, row, alike):
        """Mark a row as alike or, with False, as unlike, and search again; again to unmark it."""
        chosen = self.step.alike if alike else self.step.unlike
        kept = [tuple(other for other in rows if other != row) for rows in self._marks]
        if row not in chosen:
            kept[0 if alike else 1] += (row,)
        self._search(self.step.base, *kept)

    def crop(self, crop):
        """Search for a part, a Crop, of the query's picture."""
        self._look(view_of(self.step.base).cropped(crop))

    def rotate(self):
        """Turn the query's picture clockwise by 90 degrees and search for it."""
        self._look(view_of(self.step.base).oriented(turned))

    def flip(self):
        """Flip the query's picture left to right and search for it."""
        self._look(view_of(self.step.base).oriented(flipped))

    def back(self):
        """Return to the step before; raise ValueError at the first."""
        if not self._history:
            raise ValueError("this is the first query")
        self.step = self._history.pop()
        self._report()

    def next_page(self):
        """Go to the results after those of the current page; raise ValueError at the last."""
        page, results = self.step.page + 1, self.step.results
        start = page * self.page_size
        if len(results.rows) < start + self.page_size:
            results = self._results(self.step.query, start + self.page_size)
        if start >= len(results.rows):
            raise ValueError("there are no more results")
        self.step = replace(self.step, results=results, page=page)

    def previous_page(self):
        """Go to the results before those of the current page; raise ValueError at the first."""
        if not self.step.page:
            raise ValueError("these are the first results")
        self.step = replace(self.step, page=self.step.page - 1)

    def open(self, row):
        """Open the file of an indexed picture with the operating system's program for it."""
        path = self.reporter.gallery.path(row)
        if path is None:
            raise ValueError("this picture is not a file")
        open_picture_file(path)

    def save(self, folder, sheet):
        """Write a picture, uint8 BGR, of the current page, and the paths of its results.

        Results that are not files are named by their ids. Returns the names of both files; those of
        earlier calls are not replaced.
        """
        numbered = ([f"{folder}/saved_{n}{end}" for end in (".png", ".txt")] for n in count())
        names = next(names for names in numbered if not any(map(os.path.exists, names)))
        page, gallery = self.page, self.reporter.gallery
        paths = [gallery.path(row) or id for row, id in zip(page.rows, page.ids, strict=True)]
        write_image(names[0], sheet)
        with atomic_write(names[1]) as temporary:
            temporary.write_bytes(b"".join(path_bytes(path) + b"\n" for path in paths))
        return names

    def map(self, method="pca"):
        """Return a map of the index, uint8 BGR, with the query and its results marked.

        `method` is one of projection.PROJECTIONS.
        """
        from pyimagesearch.show.projection import project_index  # loads matplotlib

        query, results = self.step.query, self.step.results
        found, label = [(query, results)], self.reporter.label
        projection = project_index(found, self._loaded, self.engine, label, method)
        return projection.sheet(0, self.reporter.title(query))

    # --- steps

    @cached_property
    def _loaded(self):
        return self.index.load()  # of a collection, all codes are fetched

    @property
    def _marks(self):
        return self.step.alike, self.step.unlike

    def _look(self, view):
        self._search(viewed(self.step.base, view, self.encoder.spec), *self._marks)

    def _search(self, base, alike=(), unlike=()):
        """Search for a query moved by marked rows, and make it the current step."""
        if base.code is None:
            [base.code] = self.encoder.encode(base.image[np.newaxis])
        query = base
        if alike or unlike:
            marked = self.index.codes_of([*alike, *unlike])
            parts = marked[: len(alike)], marked[len(alike) :]
            code = feedback_code(base.code, *parts, self.engine.metric)
            text = ", ".join(filter(None, [base.view, feedback_text(len(alike), len(unlike))]))
            query = replace(base, code=code, view=text, orientations=None)
        self._go(Step(base, query, self._results(query), alike, unlike))

    def _results(self, query, wanted=0):
        k = max(self.max_results or SHOWN, wanted)
        if self.max_results is None and self.max_distance is not None:
            k = None  # all within the distance
        searched = [query], self.index, self.encoder, self.engine, k, self.max_distance
        [(_, results)] = search_queries(*searched)
        return results

    def _go(self, step):
        if self.step is not None:
            self._history.append(self.step)
        self.step = step
        self._report()

    def _report(self):
        if self.report is not None:
            self.report(self.step.query, self.step.results)
