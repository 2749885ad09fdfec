"""Queries: the pictures to search for, and what was found for each."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pyimagesearch.cli import warn
from pyimagesearch.datasets import same_images
from pyimagesearch.decoding import read_picture

BATCH = 64  # queries encoded and searched at once


@dataclass
class Query:
    """A picture to search for.

    `id` is a path or a row number, `image` what the encoder takes in, `picture` a function that
    returns the picture for showing it. `label` is its class where known. `row` is its own row in
    the index when it is indexed itself, so that it can be left out of its results.
    """

    id: str | int
    image: np.ndarray
    picture: Callable[[], np.ndarray]
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


def file_queries(paths, spec, invert=False):
    """Yield image files, and those in folders, as queries; `invert` swaps dark and light.

    Raises ValueError or OSError for a file that cannot be read; those found in a folder are passed
    over with a warning.
    """
    for path in paths:
        if not os.path.isdir(path):
            yield _file_query(path, spec, invert)
            continue
        from pyimagesearch.folders import FolderDataset

        folder = FolderDataset(path)
        for row in range(len(folder)):
            try:
                yield _file_query(folder.path(row), spec, invert)
            except (ValueError, OSError) as error:
                warn(str(error))


def _file_query(path, spec, invert):
    def picture(size=None):
        try:
            pixels = read_picture(path, size)
        except (ValueError, OSError) as error:
            raise type(error)(f"{path}: {error}") from error
        return 255 - pixels if invert else pixels

    # Decoded as indexing does, so that a picture that is indexed is at distance 0 from itself.
    return Query(path, spec.prepare(picture(spec.shape[:2])), picture)


def sample_queries(gallery, count, spec, seed=None):
    """Yield `count` random queries, without replacement, from the test images of a dataset."""
    images = gallery.test_images()
    for row in images.random_rows(count, seed):
        yield dataset_query(images, row, gallery, spec)


def id_queries(ids, gallery, spec):
    """Yield pictures of the index as queries, by their ids.

    Raises ValueError for an id that the index does not have.
    """
    rows = gallery.rows_of(ids)
    for id in ids:
        if id not in rows:
            raise ValueError(f"the index has no picture {id}: give an id as --json prints it")
        yield dataset_query(gallery, rows[id], gallery, spec)


def dataset_query(images, row, gallery, spec):
    """Return row `row` of the dataset `images` as a query of an index of `gallery`."""
    own = images is gallery or (same_images(images, gallery) and row < len(gallery))
    label = -1 if images.labels is None else int(images.labels[row])
    return Query(
        images.ids[row],
        images.read([row], spec)[0],
        lambda: images.picture(row),
        label=None if label < 0 else label,
        row=row if own else None,
    )


def search_queries(queries, index, encoder, engine, k=None, max_distance=None):
    """Yield each query with its Results: the nearest rows of the index, itself left out.

    These are the `k` nearest, those within `max_distance`, or, given both, what is in both.
    """
    queries = iter(queries)
    while batch := list(islice(queries, BATCH)):
        codes = encoder.encode(np.stack([query.image for query in batch]))
        if k is None:
            found = engine.search_within(codes, max_distance)
        else:
            # One more than asked for, in case the query itself is among them.
            found = engine.search(codes, k + 1)
        for query, distances, rows in zip(batch, *found, strict=True):
            wanted = rows != query.row
            if max_distance is not None:
                wanted &= distances <= max_distance
            rows, distances = rows[wanted][:k], distances[wanted][:k]
            yield query, Results(rows, distances, *index.named(rows))
