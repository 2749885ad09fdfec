"""A search session: the current query, its results, marks, and the way back. No window, no output.

An action that fails raises ValueError or OSError with the reason and changes nothing.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from pyimagesearch.arrays import Picture
from pyimagesearch.browse.feedback import feedback_code, feedback_text
from pyimagesearch.browse.opener import open_picture_file
from pyimagesearch.files import atomic_write, path_bytes
from pyimagesearch.indexes.contract import Index
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.queries.crops import Crop, View, flipped, turned, view_of, viewed
from pyimagesearch.queries.query import Answer, Query
from pyimagesearch.queries.ranking import Wanted, search_queries
from pyimagesearch.show.card import Mark
from pyimagesearch.show.image_file import write_image
from pyimagesearch.show.reporter import Reporter

if TYPE_CHECKING:
    from pyimagesearch.show.projection import Projection


@dataclass(frozen=True)
class Step:
    """An answer, from which one can go on or back.

    Its query is what was searched for: `base`, moved by the ids that are `liked` and `disliked`.
    It has at least the hits of the first `page`, which counts from 0.
    """

    base: Query
    answer: Answer
    liked: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    page: int = 0

    @property
    def query(self) -> Query:
        """What was searched for."""
        return self.answer.query


class Session:
    """Searches on from results to further queries.

    `answers` are those that `search_queries` yields for what is `wanted`; the first is current.
    More results are searched for when pages of `page_size` are turned.
    """

    def __init__(
        self,
        answers: Iterable[Answer],
        index: Index,
        reporter: Reporter,
        wanted: Wanted,
    ) -> None:
        """Search an Index on; a Reporter has its images.

        Raises ValueError when there is no query.
        """
        self.index = index
        self.reporter = reporter
        self.wanted = wanted
        self.page_size = wanted.k or reporter.usual_results
        self._report: Callable[[Answer], object] = lambda answer: None
        self._step: Step | None = None
        self._history: list[Step] = []
        self._answers = iter(answers)
        self._following = next(self._answers, None)
        self.another()

    @property
    def step(self) -> Step:
        """The current step."""
        assert self._step is not None
        return self._step

    @property
    def answer(self) -> Answer:
        """The current query with all hits found so far."""
        return self.step.answer

    # --- what is shown

    def report_to(self, report: Callable[[Answer], object]) -> None:
        """Call a function with the current answer, and with each that becomes current."""
        self._report = report
        report(self.answer)

    @property
    def title(self) -> str:
        """A title for the current query, which says how it was changed."""
        return self.reporter.title(self.step.query)

    @property
    def shared_title(self) -> str:
        """The title without the folders of the query's file, for pictures."""
        return self.reporter.shared_title(self.step.query)

    @property
    def first(self) -> int:
        """The number of results on the pages before the current one."""
        return self.step.page * self.page_size

    @property
    def page(self) -> Answer:
        """The current query with the hits of the current page."""
        return self.answer.page(self.first, self.page_size)

    def id_of(self, number: int) -> str:
        """Return the id of result `number`, which counts from 1, or raise ValueError."""
        ids = self.answer.hits.ids
        if not ids:
            raise ValueError("there are no results")
        if not 1 <= number <= len(ids):
            raise ValueError(f"expected a result from 1 to {len(ids):,}, received {number}")
        return ids[number - 1]

    def tooltip(self, number: int) -> str:
        """Return a line about result `number`: its name, distance and label."""
        hits = self.answer.hits
        texts = [f"{number}: {self.id_of(number)}", f"distance {hits.distances[number - 1]:.3f}"]
        label = self.reporter.class_of(hits, number - 1)
        if label is not None:
            texts.append(f"label {label}")
        return ", ".join(texts)

    def mark_of(self, id: str) -> Mark | None:
        """Return whether an id is liked or disliked; None for one without a mark."""
        if id in self.step.liked:
            return Mark.LIKED
        if id in self.step.disliked:
            return Mark.DISLIKED
        return None

    # --- actions

    @property
    def has_more(self) -> bool:
        """Whether there is another of the queries that were given."""
        return self._following is not None

    def another(self) -> None:
        """Go to the next of the queries that were given; raise ValueError at the last."""
        if self._following is None:
            raise ValueError("there are no more queries")
        answer = self._following
        self._following = next(self._answers, None)
        self._go(Step(answer.query, answer))

    def choose(self, id: str) -> None:
        """Search for an indexed picture by its code in the index; nothing is read or encoded."""
        [code] = self.index.codes_of([id])
        picture = partial(self.reporter.pictures.picture, id)
        label = self.index.label_of(id)
        self._search(Query(id, picture=picture, label=label, own=(id,), code=code))

    def like(self, id: str) -> None:
        """Mark a result as liked, and search again; again to unmark it."""
        liked, disliked = self._without(id)
        if id not in self.step.liked:
            liked += (id,)
        self._search(self.step.base, liked, disliked)

    def dislike(self, id: str) -> None:
        """Mark a result as disliked, and search again; again to unmark it."""
        liked, disliked = self._without(id)
        if id not in self.step.disliked:
            disliked += (id,)
        self._search(self.step.base, liked, disliked)

    def _without(self, id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the liked and the disliked ids without one of them."""
        liked = tuple(other for other in self.step.liked if other != id)
        disliked = tuple(other for other in self.step.disliked if other != id)
        return liked, disliked

    def crop(self, crop: Crop) -> None:
        """Search for a part, a Crop, of the query's whole picture, as it is turned now."""
        whole, _ = view_of(self.step.base).uncropped()
        self._look(whole.cropped(crop))

    def rotate(self) -> None:
        """Turn the query's picture clockwise by 90 degrees and search for it."""
        self._look(view_of(self.step.base).oriented(turned))

    def flip(self) -> None:
        """Flip the query's picture left to right and search for it."""
        self._look(view_of(self.step.base).oriented(flipped))

    def back(self) -> None:
        """Return to the step before; raise ValueError at the first."""
        if not self._history:
            raise ValueError("this is the first query")
        self._step = self._history.pop()
        self._report(self.answer)

    def next_page(self) -> None:
        """Go to the results after those of the current page; raise ValueError at the last."""
        page = self.step.page + 1
        answer = self.answer
        start = page * self.page_size
        if len(answer.hits) < start + self.page_size:
            answer = self._answer_to(self.step.query, start + self.page_size)
        if start >= len(answer.hits):
            raise ValueError("there are no more results")
        self._step = replace(self.step, answer=answer, page=page)

    def previous_page(self) -> None:
        """Go to the results before those of the current page; raise ValueError at the first."""
        if not self.step.page:
            raise ValueError("these are the first results")
        self._step = replace(self.step, page=self.step.page - 1)

    def open(self, id: str) -> None:
        """Open the file of an indexed picture with the operating system's program for it."""
        path = self.reporter.pictures.path(id)
        if path is None:
            raise ValueError("this picture is not a file")
        open_picture_file(path)

    def save(self, folder: str, sheet: Picture) -> list[str]:
        """Write a picture, uint8 BGR, of the current page, and the paths of its results.

        Results that are not files are named by their ids. Returns the names of both files; those of
        earlier calls are not replaced.
        """
        numbered = ([f"{folder}/saved_{n}{end}" for end in (".png", ".txt")] for n in count())
        names = next(names for names in numbered if not any(map(os.path.exists, names)))
        paths = [self.reporter.pictures.path(id) or id for id in self.page.hits.ids]
        write_image(names[0], sheet)
        with atomic_write(names[1]) as temporary:
            temporary.write_bytes(b"".join(path_bytes(path) + b"\n" for path in paths))
        return names

    def map(self, method: str = "pca") -> "Projection":
        """Return a map of the index, with the current query.

        `method` is one of projection.PROJECTIONS.
        """
        from pyimagesearch.show.projection import project_index  # loads matplotlib

        return project_index([self.answer], self.loaded, method=method)

    # --- steps

    @cached_property
    def loaded(self) -> LocalIndex:
        """All codes and ids of the index."""
        return self.index.load()  # of a collection, all codes are fetched

    def _look(self, view: View) -> None:
        assert self.index.encoder is not None
        base = viewed(self.step.base, view, self.index.encoder.spec)
        self._search(base, self.step.liked, self.step.disliked)

    def _search(
        self, base: Query, liked: tuple[str, ...] = (), disliked: tuple[str, ...] = ()
    ) -> None:
        """Search for a query moved by marked ids, and make it the current step."""
        query = base
        if liked or disliked:
            query = self._moved(base, liked, disliked)
        self._go(Step(base, self._answer_to(query), liked, disliked))

    def _moved(self, base: Query, liked: tuple[str, ...], disliked: tuple[str, ...]) -> Query:
        if base.code is None:
            assert base.image is not None
            assert self.index.encoder is not None
            [base.code] = self.index.encoder.encode(base.image[np.newaxis])
        marked = self.index.codes_of([*liked, *disliked])
        code = feedback_code(
            base.code, marked[: len(liked)], marked[len(liked) :], self.index.engine.metric
        )
        text = ", ".join(filter(None, [base.view, feedback_text(len(liked), len(disliked))]))
        return replace(base, code=code, view=text, orientations=None)

    def _answer_to(self, query: Query, least: int = 0) -> Answer:
        wanted = self.wanted
        if wanted.k is not None:
            wanted = replace(wanted, k=max(wanted.k, least))
        answers = list(search_queries([query], self.index, wanted))
        if not answers:
            raise ValueError("the model gives this picture a code with NaN or infinity")
        return answers[0]

    def _go(self, step: Step) -> None:
        if self._step is not None:
            self._history.append(self._step)
        self._step = step
        self._report(self.answer)
