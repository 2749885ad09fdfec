"""Searching an index: its images, its encoder, and the results of queries."""

import os
from itertools import islice

import numpy as np

from pyimagesearch.queries.crops import in_orientation
from pyimagesearch.queries.query import Results

QUERIES_PER_BATCH = 64


def open_gallery(index, moved_to=None, files_needed=True, names_needed=False):
    """Return the dataset of the indexed images, with the rows of the index.

    `moved_to` is their current location, by default the one recorded in the index. Raises OSError
    when they are files that are needed and their folder does not exist, ValueError when the
    dataset is another, or not of files although their names are needed.
    """
    gallery = index.gallery(moved_to)
    if gallery.shows_names and (files_needed or moved_to) and not os.path.isdir(gallery.folder):
        remedy = "" if moved_to else "; if it was moved, name its current location with --dataset"
        raise NotADirectoryError(f"no such folder of indexed pictures: {gallery.folder}{remedy}")
    if names_needed and not gallery.shows_names:
        raise ValueError("--paths needs the index of a folder: other images are not files")
    return gallery


def query_encoder(index, model=None):
    """Return the encoder of an index, checked against a file or folder `model` if one is given.

    An index without an encoder, such as the tutorial's, takes that of the model. Raises ValueError
    when neither has one, or they do not belong together.
    """
    if index.encoder is not None:
        if model is None:
            return index.encoder
        from pyimagesearch.encoders.onnx_files import model_fingerprint

        expected = index.encoder.model_sha256
        if (received := model_fingerprint(model)) != expected:
            raise ValueError(
                f"the index was made with {index.encoder.model} (SHA-256 {expected}), not with "
                f"{model} (SHA-256 {received}): leave --model out, or index again with it"
            )
        return index.encoder
    if model is None:
        raise ValueError("this index carries no encoder: name the model that made it with --model")
    from pyimagesearch.encoders.export import open_encoder

    encoder, dim = open_encoder(model), index.codes.shape[1]
    if encoder.dim != dim:
        raise ValueError(
            f"{model} gives codes of {encoder.dim} dimensions, those of the index have {dim}: "
            "name the model that made it"
        )
    return encoder


def search_queries(queries, index, encoder, engine, k=None, max_distance=None):
    """Yield each query with its Results: the nearest rows of the index, without its own.

    These are the `k` nearest, those within `max_distance`, or with both the rows that meet both. A
    query with orientations is yielded in the one that its nearest result belongs to, with the
    nearest rows over all of them.
    """
    queries = iter(queries)
    while batch := list(islice(queries, QUERIES_PER_BATCH)):
        codes, start = _codes(batch, index, encoder), 0
        together = np.concatenate(codes)
        if k is None:
            found = engine.search_within(together, max_distance)
        else:
            # More than asked for, in case the query itself is among them.
            found = engine.search(together, k + max(1, *(len(query.rows) for query in batch)))
        for query, own in zip(batch, codes, strict=True):
            part = slice(start, start + len(own))
            start += len(own)
            distances, rows, nearest = _merged(*(array[part] for array in found))
            wanted = ~np.isin(rows, query.rows)
            if max_distance is not None:
                wanted &= distances <= max_distance
            if len(own) > 1:
                number = int(nearest[wanted][0]) if wanted.any() else 0
                query = in_orientation(query, number, own[number])
            else:
                [query.code] = own
            rows, distances = rows[wanted][:k], distances[wanted][:k]
            yield query, Results(rows, distances, *index.named(rows))


def _codes(queries, index, encoder):
    """Return the codes of each query, a list of float32 (m, d): m is 8 for all orientations.

    A query without a code and an image is the picture of its row in the index.
    """
    indexed = [query for query in queries if query.code is None and query.image is None]
    rows = [query.rows[0] for query in indexed]
    for query, code in zip(indexed, index.codes_of(rows) if rows else [], strict=True):
        query.code = code
    inputs = [_inputs(query) for query in queries]
    wanted = [images for images in inputs if images is not None]
    new = iter(encoder.encode(np.concatenate(wanted)) if wanted else [])
    return [
        query.code[np.newaxis] if images is None else np.stack(list(islice(new, len(images))))
        for query, images in zip(queries, inputs, strict=True)
    ]


def _inputs(query):
    """Return the images to encode for a query, or None if its code is known."""
    if query.orientations is not None:
        return query.orientations
    return None if query.code is not None else query.image[np.newaxis]


def _merged(distances, rows):
    """Merge the results of several codes, sequences of arrays: each row at its smallest distance.

    Returns distances ascending, rows, and the number of the code that is nearest to each row.
    """
    if len(rows) == 1:
        return distances[0], rows[0], np.zeros(len(rows[0]), np.int64)
    numbers = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    distances, rows = np.concatenate(list(distances)), np.concatenate(list(rows))
    order = np.argsort(distances, kind="stable")
    _, first = np.unique(rows[order], return_index=True)
    kept = order[np.sort(first)]
    return distances[kept], rows[kept], numbers[kept]
