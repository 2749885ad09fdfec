"""A query, and the answer of an index to it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.arrays import Bools, Picture, Size
from pyimagesearch.indexes.contract import Codes, Hits

Image = NDArray[np.float32]  # the input of an encoder, (height, width, channels) in [0, 1]
ReadPicture = Callable[[Size | None], Picture]


@dataclass(frozen=True)
class Part:
    """A query that is a part of a combined one, with its weight."""

    weight: float
    query: "Query"


@dataclass
class Query:
    """What to search for.

    `id` is a path, an id of the index, the row of a test image, or words; `image` float32 (height,
    width, channels) is the input of the encoder, or None where the code is known or stored in the
    index; `picture(size)` returns the picture for showing it at `size`, (height, width), or whole
    for None; `view` says in words how it was cropped and turned. `label` is its class where known.
    `own` are its own ids in the index, which are left out of its results. `code` float32 (d,) is
    set by `search_queries`. A combination has `parts`, its code from the start, and no image.
    `orientations` float32 (8, height, width, channels) is the input in each orientation, where the
    nearest over all of them are wanted. `is_text` says that the query is words, without a picture.
    """

    id: str
    image: Image | None = None
    picture: ReadPicture | None = None
    label: int | None = None
    own: tuple[str, ...] = ()
    code: Codes | None = None
    parts: tuple[Part, ...] = ()
    view: str = ""
    orientations: NDArray[np.float32] | None = None
    is_text: bool = False


@dataclass(frozen=True)
class Answer:
    """A query and its hits, nearest first; of those found, `before` nearer and `after` farther
    ones are not among them.
    """

    query: Query
    hits: Hits
    before: int = 0
    after: int = 0

    def page(self, start: int, size: int) -> "Answer":
        """Return the Answer with up to `size` of the hits, from number `start` on, from 0."""
        hits = self.hits[start : start + size]
        return replace(self, hits=hits, before=start, after=len(self.hits) - start - len(hits))

    @property
    def right(self) -> Bools | None:
        """Whether each hit has the query's label, bool (k,); None without labels."""
        if self.query.label is None or self.hits.labels is None:
            return None
        right: Bools = self.hits.labels == self.query.label
        return right

    @property
    def wrong(self) -> Bools | None:
        """Whether each hit has another label, bool (k,); None without labels.

        A hit without a label is neither right nor wrong.
        """
        if self.query.label is None or self.hits.labels is None:
            return None
        wrong: Bools = (self.hits.labels != self.query.label) & (self.hits.labels >= 0)
        return wrong
