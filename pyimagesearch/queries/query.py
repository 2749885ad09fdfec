"""A query and its results."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass
class Query:
    """A picture to search for.

    `id` is a path, or the id of a row of a dataset; `image` float32 (height, width, channels) is
    the input of the encoder, or None where the code is known or stored in the index;
    `picture(size)` returns the picture for showing it at `size`, (height, width), or whole for
    None; `view` says in words how it was cropped and turned. `label` is its class where known.
    `rows` are its own rows in the index, which are left out of its results. `code` float32 (d,) is
    set by `search_queries`. A combination has `parts`, pairs of a weight and a Query, its code from
    the start, and no image. `orientations` float32 (8, height, width, channels) is the input in
    each orientation, where the nearest over all of them are wanted. `is_text` says that the query
    is words: its picture only shows them.
    """

    id: str
    image: np.ndarray | None
    picture: Callable | None
    label: int | None = None
    rows: tuple = ()
    code: np.ndarray | None = None
    parts: tuple = ()
    view: str = ""
    orientations: np.ndarray | None = None
    is_text: bool = False


@dataclass
class Results:
    """The results of a query, nearest first.

    `rows` int64 (k,), `distances` float32 (k,), `ids` a list of k ids, `labels` int64 (k,) or None.
    """

    rows: np.ndarray
    distances: np.ndarray
    ids: list
    labels: np.ndarray | None

    def __getitem__(self, part):
        """Return the Results of a slice."""
        labels = None if self.labels is None else self.labels[part]
        return Results(self.rows[part], self.distances[part], self.ids[part], labels)

    def right(self, query):
        """Return whether each result has the query's label, bool (k,); None without labels."""
        if query.label is None or self.labels is None:
            return None
        return self.labels == query.label

    def wrong(self, query):
        """Return whether each result has another label, bool (k,); None without labels.

        A result without a label is neither right nor wrong.
        """
        if query.label is None or self.labels is None:
            return None
        return (self.labels != query.label) & (self.labels >= 0)
