"""Queries: choosing and encoding the pictures to search for, and searching for them."""

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pyimagesearch.datasets.dataset import same_images
from pyimagesearch.datasets.image_io import read_picture
from pyimagesearch.files import sha256_of

logger = logging.getLogger(__name__)

QUERIES_PER_BATCH = 64


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

    def hits(self, query):
        """Return whether each result has the query's label, bool (k,); None without labels."""
        if query.label is None or self.labels is None:
            return None
        return self.labels == query.label


def query_encoder(index, model=None):
    """Return the encoder of an index, checked against the file `model` if one is given.

    An index without an encoder, such as the tutorial's, takes that of the model. Raises ValueError
    when neither has one, or they do not belong together.
    """
    if index.encoder is not None:
        expected = index.encoder.model_sha256
        if model is not None and (received := sha256_of(model)) != expected:
            raise ValueError(
                f"the index was made with {index.encoder.model} (SHA-256 {expected}), not with "
                f"{model} (SHA-256 {received}): leave --model out, or index again with it"
            )
        return index.encoder
    if model is None:
        raise ValueError("this index carries no encoder: name the model that made it with --model")
    from pyimagesearch.models.export import open_encoder

    encoder, dim = open_encoder(model), index.codes.shape[1]
    if encoder.dim != dim:
        raise ValueError(
            f"{model} gives codes of {encoder.dim} dimensions, those of the index have {dim}: "
            "name the model that made it"
        )
    return encoder


def choose_queries(
    gallery, encoder, paths=None, ids=None, sample=10, seed=None, invert=False, combined=False
):
    """Return the queries, read as they are needed.

    These are the image files and folders `paths`, or the indexed pictures `ids`, or else `sample`
    random test images; with `combined` one query at the mean of their codes. `invert` swaps dark
    and light in files. Raises ValueError when there is nothing to combine.
    """
    names, spec = paths or ids, encoder.spec

    def read(names):
        if paths:
            return file_queries(names, spec, invert)
        return id_queries(names, gallery, spec)

    if combined and not names:
        raise ValueError("--combine needs what to combine: name it with --query or --query-id")
    if combined:
        return [combine([name.lstrip(" ") for name in names], read, encoder)]
    return read(names) if names else sample_queries(gallery, sample, spec, seed)


def file_queries(paths, spec, invert=False):
    """Yield image files, and those in folders, as queries; `invert` swaps dark and light.

    Raises ValueError or OSError for a file that cannot be read; one that was found in a folder is
    skipped with a warning.
    """
    for path in paths:
        if not os.path.isdir(path):
            yield _file_query(path, spec, invert)
            continue
        from pyimagesearch.datasets.folder import FolderDataset

        folder = FolderDataset(path)
        for row in range(len(folder)):
            try:
                yield _file_query(folder.path(row), spec, invert)
            except (ValueError, OSError) as error:
                logger.warning(str(error))


def _file_query(path, spec, invert):
    def picture(size=None):
        try:
            pixels = read_picture(path, size)
        except (ValueError, OSError) as error:
            raise type(error)(f"{path}: {error}") from error
        return 255 - pixels if invert else pixels

    # Decoded as by indexing, so that an indexed picture is at distance 0 from itself.
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
        rows=(row,) if own else (),
    )


def split_weight(text):
    """Return the weight and the name in a text such as "-0.5:name"; the weight of "name" is 1."""
    match = re.fullmatch(r"([+-]?(?:\d+\.?\d*|\.\d+)):(.+)", text, re.DOTALL)
    return (float(match[1]), match[2]) if match else (1.0, text)


def combine(texts, read, encoder):
    """Return one query from several, at the weighted mean of their codes.

    `texts` are names with weights, as `split_weight` takes them; `read(names)` yields the queries
    of these names. Raises ValueError when the sum of the weights is not above 0: a weighted sum
    would then be a direction, not a point among the codes.
    """
    weighted = [split_weight(text) for text in texts]
    parts = [(weight, query) for weight, name in weighted for query in read([name])]
    weights = np.array([weight for weight, _ in parts], np.float32)
    if not weights.sum() > 1e-6:
        raise ValueError(
            "the weights of a combined query must add up to more than 0, "
            f"received {' '.join(texts)}"
        )
    codes = encoder.encode(np.stack([query.image for _, query in parts]))
    rows = tuple(row for _, query in parts for row in query.rows)
    code = weights @ codes / weights.sum()
    return Query(" ".join(texts), None, None, rows=rows, code=code, parts=tuple(parts))


def search_queries(queries, index, encoder, engine, k=None, max_distance=None):
    """Yield each query with its Results: the nearest rows of the index, without its own.

    These are the `k` nearest, those within `max_distance`, or with both the rows that meet both.
    """
    queries = iter(queries)
    while batch := list(islice(queries, QUERIES_PER_BATCH)):
        images = [query.image for query in batch if query.code is None]
        new = iter(encoder.encode(np.stack(images)) if images else [])
        for query in batch:
            query.code = next(new) if query.code is None else query.code
        codes = np.stack([query.code for query in batch])
        if k is None:
            found = engine.search_within(codes, max_distance)
        else:
            # More than asked for, in case the query itself is among them.
            found = engine.search(codes, k + max(1, *(len(query.rows) for query in batch)))
        for query, distances, rows in zip(batch, *found, strict=True):
            wanted = ~np.isin(rows, query.rows)
            if max_distance is not None:
                wanted &= distances <= max_distance
            rows, distances = rows[wanted][:k], distances[wanted][:k]
            yield query, Results(rows, distances, *index.named(rows))
