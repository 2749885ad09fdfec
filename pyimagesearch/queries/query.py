"""A query and its results."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass
class Query:
    """A picture to search for.

    `id` is a path, or the id of a row of a dataset; `image` float32 (height, width, channels) is
    the input of the encoder; `picture()` returns the picture for showing it. `label` is its class
    where known. `rows` are its own rows in the index, which are left out of its results. `code`
    float32 (d,) is set by `search_queries`. A combination has `parts`, pairs of a weight and a
    Query, its code from the start, and no image.
    """

    id: str
    image: np.ndarray | None
    picture: Callable[[], np.ndarray] | None
    label: int | None = None
    rows: tuple = ()
    code: np.ndarray | None = None
    parts: tuple = ()


@dataclass
class Results:
    """The results of a query, nearest first.

    `rows` int64 (k,), `distances` float32 (k,), `ids` a list of k ids, `labels` int64 (k,) or None.
    """

    rows: np.ndarray
    distances: np.ndarray
    ids: list
    labels: np.ndarray | None

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
