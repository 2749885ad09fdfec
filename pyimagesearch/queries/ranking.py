"""Searching an index: its images, its encoder, and the answers to queries."""

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.files import printable
from pyimagesearch.indexes.contract import Codes, Hits, Index
from pyimagesearch.pictures.input_spec import BATCH_BYTES
from pyimagesearch.queries.crops import in_orientation
from pyimagesearch.queries.expansion import expanded
from pyimagesearch.queries.query import Answer, Query

logger = logging.getLogger(__name__)

QUERIES_PER_BATCH = 64
NOT_FINITE = "the model gives it a code with NaN or infinity"


@dataclass(frozen=True)
class Wanted:
    """Which results are wanted: the `k` nearest, those at most `within` away, or what meets both.

    None means no such limit; one of them is set. With `expand`, each query is first moved towards
    that number of its neighbours; see `expansion`.
    """

    k: int | None = None
    within: float | None = None
    expand: int | None = None


def open_pictures(
    index: Index, moved_to: str | None = None, *, files_needed: bool = True, paths: bool = False
) -> Dataset:
    """Return the indexed images by id.

    `moved_to` is their current location, by default the one recorded in the index. Raises OSError
    when they are files that are needed and their folder does not exist, ValueError when the
    dataset is another, or not of files although their `paths` are wanted.
    """
    pictures = index.pictures(moved_to)
    if pictures.folder is None:
        if paths:
            raise ValueError("--paths needs the index of a folder: other images are not files")
        return pictures
    if files_needed and not os.path.isdir(pictures.folder):
        raise NotADirectoryError(
            f"no such folder of indexed pictures: {pictures.folder}; if it was moved, pass its new "
            "location with --dataset"
        )
    return pictures


def check_encoder(index: Index, model: str | None = None) -> None:
    """Check the encoder of an index against the model that `model` names, if one is given.

    An index without an encoder, such as the tutorial's, takes that of the model. Raises ValueError
    when neither has one, or they do not belong together.
    """
    if model is not None:
        _require_model(model)
    if index.encoder is None:
        index.encoder = _encoder_for(index, model)
        return
    if model is None:
        return
    from pyimagesearch.encoders.model_source import ModelFlags, find_model

    expected = index.encoder.model_sha256
    received = find_model(ModelFlags(model), index.encoder.model).fingerprint()
    if received != expected:
        name = index.encoder.model
        namesake = "another model of this name, " if os.path.basename(model) == name else ""
        raise ValueError(
            f"the index was made with {namesake}{name} (SHA-256 {expected}), not with {model} "
            f"(SHA-256 {received}): leave --model out, or index again with it"
        )


def _require_model(name: str) -> None:
    from pyimagesearch.encoders.model_source import model_path
    from pyimagesearch.indexes.index_file import require_model

    path = model_path(name)
    if path is not None:
        require_model(path)


def _encoder_for(index: Index, model: str | None) -> Encoder:
    if model is None:
        raise ValueError("this index has no encoder; pass its model: --model FILE")
    from pyimagesearch.encoders.model_source import ModelFlags, find_model

    encoder = find_model(ModelFlags(model)).open()
    dim = index.load().codes.shape[1]
    if encoder.dim != dim:
        raise ValueError(
            f"{model} gives codes of {encoder.dim} dimensions, those of the index have {dim}: "
            "name the model that made it"
        )
    return encoder


def search_queries(
    queries: Iterable[Query],
    index: Index,
    wanted: Wanted,
    failed: dict[str, str] | None = None,
) -> Iterator[Answer]:
    """Yield the Answer to each query: the nearest images of the index, without the query's own.

    A query with orientations is answered in the one that its nearest hit belongs to, with the
    nearest hits over all of them. A query without a finite code is left out with a warning, and
    added to `failed`, ids and reasons.
    """
    for batch in _batches(queries):
        pairs = []
        for query, codes in zip(batch, _codes(batch, index), strict=True):
            if np.isfinite(codes).all():
                pairs.append((query, codes))
                continue
            logger.warning(f"{printable(query.id)}: {NOT_FINITE}")
            if failed is not None:
                failed[query.id] = NOT_FINITE
        yield from _search_batch(pairs, index, wanted)


def _batches(queries: Iterable[Query]) -> Iterator[list[Query]]:
    """Yield queries a few at a time, fewer where their images are large."""
    batch = []
    size = 0
    for query in queries:
        batch.append(query)
        for images in (query.image, query.orientations):
            size += 0 if images is None else images.nbytes
        if len(batch) == QUERIES_PER_BATCH or size >= BATCH_BYTES:
            yield batch
            batch = []
            size = 0
    if batch:
        yield batch


def _search_batch(
    pairs: list[tuple[Query, Codes]], index: Index, wanted: Wanted
) -> Iterator[Answer]:
    if not pairs:
        return
    together = np.concatenate([codes for _, codes in pairs])
    skip = [query.own for query, codes in pairs for _ in codes]
    if wanted.expand:
        together = _expanded(together, index, skip, wanted.expand)
    found = iter(index.search(together, wanted.k, within=wanted.within, skip=skip))
    for query, codes in pairs:
        own_hits = list(islice(found, len(codes)))
        if len(own_hits) == 1:
            query.code = codes[0]
            yield Answer(query, own_hits[0])
            continue
        hits, number = merged(own_hits, wanted.k)
        yield Answer(in_orientation(query, number, codes[number]), hits)


def _expanded(codes: Codes, index: Index, skip: list[tuple[str, ...]], count: int) -> Codes:
    """Return codes, float32 (q, d), each moved towards its `count` nearest neighbours."""
    hits = index.search(codes, count, skip=skip)
    return np.stack(
        [
            expanded(code, index.codes_of(own.ids)) if own.ids else code
            for code, own in zip(codes, hits, strict=True)
        ]
    )


def _codes(queries: list[Query], index: Index) -> list[Codes]:
    """Return the codes of each query, a list of float32 (m, d): m is 8 for all orientations.

    A query without a code and an image is the picture of its own id in the index.
    """
    indexed = [query for query in queries if query.code is None and query.image is None]
    if indexed:
        stored = index.codes_of([query.own[0] for query in indexed])
        for query, code in zip(indexed, stored, strict=True):
            query.code = code
    inputs = [_inputs(query) for query in queries]
    wanted = [images for images in inputs if images is not None]
    new: Iterator[Codes] = iter(())
    if wanted:
        assert index.encoder is not None
        new = iter(index.encoder.encode(np.concatenate(wanted)))
    codes = []
    for query, images in zip(queries, inputs, strict=True):
        if images is not None:
            codes.append(np.stack(list(islice(new, len(images)))))
        else:
            assert query.code is not None
            codes.append(query.code[np.newaxis])
    return codes


def _inputs(query: Query) -> NDArray[np.float32] | None:
    """Return the images to encode for a query, or None if its code is known."""
    if query.orientations is not None:
        return query.orientations
    if query.code is not None:
        return None
    assert query.image is not None
    return query.image[np.newaxis]


def merged(parts: list[Hits], k: int | None) -> tuple[Hits, int]:
    """Merge the hits of several codes: each id once, at its smallest distance; the `k` nearest.

    Returns the hits, and the number of the code that the nearest of them belongs to.
    """
    distances = np.concatenate([part.distances for part in parts])
    ids = [id for part in parts for id in part.ids]
    numbers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    places: dict[str, int] = {}
    for place in np.argsort(distances, kind="stable").tolist():
        places.setdefault(ids[place], place)
    kept = list(places.values())[:k]
    known = [part.labels for part in parts if part.labels is not None]
    labels = np.concatenate(known)[kept] if known else None
    nearest = int(numbers[kept[0]]) if kept else 0
    return Hits([ids[place] for place in kept], distances[kept], labels), nearest
