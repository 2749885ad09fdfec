"""Where queries come from: picture files, standard input, indexed pictures, random samples."""

import io
import logging
import os
import re
import sys
from functools import partial
from itertools import chain

import numpy as np

from pyimagesearch.datasets.dataset import same_images
from pyimagesearch.files import printable
from pyimagesearch.queries.crops import Look
from pyimagesearch.queries.ids import find_ids
from pyimagesearch.queries.query import Query
from pyimagesearch.queries.texts import text_queries

logger = logging.getLogger(__name__)

SPARE = 20  # random pictures tried beyond twice the number asked for, where some cannot be read
MAX_INPUT = 1 << 28  # bytes of a picture from standard input
AS_IT_IS = Look()


def choose_queries(
    gallery,
    encoder,
    paths=None,
    ids=None,
    sample=10,
    seed=None,
    invert=False,
    combined=False,
    texts=None,
    look=AS_IT_IS,
):
    """Return the queries, read as they are needed, and the ones that could not be read so far.

    Queries are the `texts`, and the image files and folders `paths` or the indexed pictures `ids`,
    or else `sample` random test images; with `combined` one query at the mean of their codes.
    `invert` swaps dark and light in files; `look`, a Look, crops and turns the pictures. The second
    value maps names to reasons.

    Raises ValueError or OSError when there is nothing to combine, and for a query that cannot be
    read if it is the only one or part of a combination.
    """
    names, spec, unreadable = paths or ids, encoder.spec, {}

    def read(names):
        if paths:
            return file_queries(names, spec, invert, unreadable, look)
        return id_queries(names, gallery, spec, unreadable, look, encoded=not combined)

    if combined and not (names or texts):
        raise ValueError(
            "--combine needs what to combine: name it with --query, --query-id or --text"
        )
    if combined:
        named, said = ([name.lstrip(" ") for name in given or []] for given in (names, texts))
        return [combine(named, read, encoder, said)], unreadable
    if names or texts:
        queries = chain(text_queries(texts, encoder) if texts else [], read(names or []))
        return queries, unreadable
    return sample_queries(gallery, sample, spec, seed, look), unreadable


def file_queries(paths, spec, invert=False, unreadable=None, look=AS_IT_IS):
    """Yield image files, those in folders, and "-", standard input, as queries.

    `invert` swaps dark and light. A file in a folder that cannot be read is skipped with a warning;
    see `_readable` for other files.
    """

    def read(path):
        if not os.path.isdir(path):
            yield _file_query(path, spec, invert, look)
            return
        from pyimagesearch.datasets.folder import FolderDataset

        folder = FolderDataset(path)
        for row in range(len(folder)):
            try:
                yield _file_query(folder.path(row), spec, invert, look)
            except (ValueError, OSError) as error:
                logger.warning(str(error))

    return _readable(paths, read, unreadable)


def _readable(names, read, unreadable=None):
    """Yield the queries that `read(name)` yields for each of the names.

    A name that cannot be read is skipped with a warning and added to `unreadable` with the reason.
    If it is the only one, its ValueError or OSError is raised.
    """
    for name in names:
        try:
            yield from read(name)
        except (ValueError, OSError) as error:
            if len(names) == 1:
                raise
            logger.warning(str(error))
            unreadable[name] = str(error)


def _file_query(path, spec, invert, look=AS_IT_IS):
    from pyimagesearch.pictures.decoding import decode, open_picture

    opened = _standard_input() if path == "-" else partial(open_picture, path)

    def picture(size=None):
        try:
            with opened() as file:
                pixels = decode(file, size)
        except (ValueError, OSError) as error:
            raise type(error)(f"{printable(path)}: {error}") from error
        return 255 - pixels if invert else pixels

    # Decoded as by indexing, so that an indexed picture is at distance 0 from itself.
    return look(Query(path, None, picture), spec)


def _standard_input():
    """Read standard input; return a function that opens it as a file."""
    data = b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise ValueError(f"-: standard input has more than {MAX_INPUT:,} bytes, not a picture file")
    return partial(io.BytesIO, data)


def sample_queries(gallery, count, spec, seed=None, look=AS_IT_IS):
    """Yield `count` random queries, without replacement, from the test images of a dataset.

    One that cannot be read is replaced by another, with a warning. Raises ValueError if none can.
    """
    images, found = gallery.test_images(), 0
    for row in images.random_rows(2 * count + SPARE, seed):
        try:
            yield dataset_query(images, row, gallery, spec, look)
        except (ValueError, OSError) as error:
            logger.warning(str(error))
            continue
        found += 1
        if found == count:
            return
    if not found:
        raise ValueError(
            "none of the pictures drawn at random could be read: update the index with "
            "index_images.py, or name the current location of the pictures with --dataset"
        )


def id_queries(ids, gallery, spec, unreadable=None, look=AS_IT_IS, encoded=False):
    """Yield pictures of the index as queries, by their ids; see `_readable` for unknown ids.

    With `encoded` they are searched for by their codes in the index, and not read.
    """
    rows = find_ids(ids, gallery)

    def read(id):
        if id not in rows:
            raise ValueError(f"the index has no picture {id}: give an id as --json prints it")
        return [dataset_query(gallery, rows[id], gallery, spec, look, encoded)]

    return _readable(ids, read, unreadable)


def dataset_query(images, row, gallery, spec, look=AS_IT_IS, encoded=False):
    """Return row `row` of the dataset `images` as a query of an index of `gallery`.

    With `encoded` its image is not read, unless it is looked at otherwise than as it is.
    """
    own = images is gallery or (same_images(images, gallery) and row < len(gallery))
    label = -1 if images.labels is None else int(images.labels[row])
    query = Query(
        images.ids[row],
        None,
        partial(images.picture, row),
        label=None if label < 0 else label,
        rows=(row,) if own else (),
    )
    if look:
        return look(query, spec)
    if not encoded:
        query.image = images.read([row], spec)[0]
    return query


def split_weight(text):
    """Return the weight and the name in a text such as "-0.5:name"; the weight of "name" is 1."""
    match = re.fullmatch(r"([+-]?(?:\d+\.?\d*|\.\d+)):(.+)", text, re.DOTALL)
    return (float(match[1]), match[2]) if match else (1.0, text)


def combine(names, read, encoder, texts=()):
    """Return one query from several, at the weighted mean of their codes.

    `names` and `texts` are with weights, as `split_weight` takes them; `read(names)` yields the
    queries of the names. Raises ValueError when the sum of the weights is not above 0: a weighted
    sum would then be a direction, not a point among the codes.
    """
    parts = [(weight, query) for weight, name in map(split_weight, names) for query in read([name])]
    for weight, text in map(split_weight, texts):
        parts += [(weight, query) for query in text_queries([text], encoder)]
    title, weights = " ".join([*names, *texts]), np.array([weight for weight, _ in parts], "f4")
    if not weights.sum() > 1e-6:
        raise ValueError(
            f"the weights of a combined query must add up to more than 0, received {title}"
        )
    images = [query.image for _, query in parts if query.code is None]
    new = iter(encoder.encode(np.stack(images)) if images else [])
    codes = np.stack([next(new) if query.code is None else query.code for _, query in parts])
    rows = tuple(row for _, query in parts for row in query.rows)
    code = weights @ codes / weights.sum()
    return Query(title, None, None, rows=rows, code=code, parts=tuple(parts))
