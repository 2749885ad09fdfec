"""Queries: the pictures to search for, and what was found for each."""

from dataclasses import dataclass

import numpy as np

from pyimagesearch.decoding import read_picture


@dataclass
class Query:
    """A picture to search for.

    `id` is a path or a row number. `label` is its class where known. `row` is its own row in the
    index when it is indexed itself, so that it can be left out of its results.
    """

    id: str | int
    picture: np.ndarray
    label: int | None = None
    row: int | None = None


@dataclass
class Results:
    """What was found for a query, nearest first.

    `rows` int64 (k,) and `distances` float32 (k,); `ids` the k ids; `labels` int64 (k,) or None.
    """

    rows: np.ndarray
    distances: np.ndarray
    ids: list
    labels: np.ndarray | None

    def hits(self, query):
        """Whether each result has the query's label, bool (k,); None where labels are not known."""
        if query.label is None or self.labels is None:
            return None
        return self.labels == query.label


def file_queries(paths, invert=False):
    """Read image files as queries; `invert` swaps dark and light."""
    queries = []
    for path in paths:
        try:
            picture = read_picture(path)
        except (ValueError, OSError) as error:
            raise type(error)(f"{path}: {error}") from error
        queries.append(Query(path, 255 - picture if invert else picture))
    return queries


def sample_queries(gallery, count, seed=None):
    """Draw `count` random queries, without replacement, from the test images of a dataset."""
    images = gallery.test_images()
    rows = np.random.default_rng(seed).permutation(len(images))[:count]
    return [indexed_query(images, row, gallery) for row in rows.tolist()]


def indexed_query(images, row, gallery):
    """Return row `row` of a dataset as a query of an index of `gallery`."""
    same = {**images.location, "limit": None} == {**gallery.location, "limit": None}
    label = None if images.labels is None else int(images.labels[row])
    own = row if same and row < len(gallery) else None
    return Query(images.ids[row], images.picture(row), label, own)


def search_queries(queries, index, encoder, engine, k):
    """Return the Results of each query: the k nearest rows of the index, itself left out."""
    images = np.stack([encoder.spec.prepare(query.picture) for query in queries])
    # One more than asked for, in case the query itself is among them.
    found = engine.search(encoder.encode(images), k + 1)
    return [
        _results(index, distances, rows, rows != query.row, k)
        for query, distances, rows in zip(queries, *found, strict=True)
    ]


def _results(index, distances, rows, wanted, k):
    distances, rows = distances[wanted][:k], rows[wanted][:k]
    labels = None if index.labels is None else index.labels[rows]
    return Results(rows, distances, [index.ids[row] for row in rows], labels)
