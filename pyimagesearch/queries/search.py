"""Searching an index: its images, its encoder, and the results of queries."""

import os
from itertools import islice

import numpy as np

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
        from pyimagesearch.onnx_networks.files import model_fingerprint

        expected = index.encoder.model_sha256
        if (received := model_fingerprint(model)) != expected:
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
