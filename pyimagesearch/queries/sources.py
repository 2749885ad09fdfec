"""Where queries come from: picture files, standard input, indexed pictures, random samples."""

import io
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from pyimagesearch.arrays import Picture, Size
from pyimagesearch.datasets.catalog import DEFAULT_SOURCE
from pyimagesearch.datasets.dataset import Dataset, label_at, same_images
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.files import printable, reason_of
from pyimagesearch.indexes.contract import Index
from pyimagesearch.queries.combining import (
    ONLY_COMBINED,
    combined,
    name_after_weight,
    split_weight,
)
from pyimagesearch.queries.ids import did_you_mean_id, find_ids
from pyimagesearch.queries.query import Part, Query
from pyimagesearch.queries.texts import text_queries
from pyimagesearch.suggestions import did_you_mean_file

if TYPE_CHECKING:
    from pyimagesearch.queries.crops import Look

logger = logging.getLogger(__name__)

SPARE = 20  # random pictures tried beyond twice the number asked for, where some cannot be read
LIGHT_ON_DARK = "mnist"
MAX_INPUT = 1 << 28  # bytes of a picture from standard input


@dataclass(frozen=True)
class QueryOptions:
    """What to search for, as the flags of search.py say it.

    `paths` are image files and folders, `ids` those of indexed pictures, `texts` words; without
    any of them `sample` random test images are searched for, the same for the same `seed`.
    `invert` swaps dark and light in files, `combine` makes one query of all, `look` crops and turns
    the pictures; None leaves them as they are.
    """

    paths: Sequence[str] = ()
    ids: Sequence[str] = ()
    texts: Sequence[str] = ()
    sample: int = 10
    seed: int | None = None
    invert: bool = False
    combine: bool = False
    look: "Look | None" = None


class QueryReader:
    """Reads queries for an index, one after another, as they are needed.

    `unreadable` maps the names that could not be read so far to the reasons.
    """

    def __init__(self, index: Index, pictures: Dataset, options: QueryOptions) -> None:
        """Read queries for an index that has an encoder, whose images are `pictures`."""
        assert index.encoder is not None
        self.unreadable: dict[str, str] = {}
        self._index = index
        self._pictures = pictures
        self._options = options
        self._encoder: Encoder = index.encoder
        self._spec = index.encoder.spec

    def queries(self) -> Iterator[Query]:
        """Return the queries that the options ask for.

        Raises ValueError or OSError when there is nothing to combine, and for a query that cannot
        be read if it is the only one or part of a combination.
        """
        options = self._options
        if options.combine:
            return iter([self._combined()])
        if not (options.paths or options.ids or options.texts):
            return self._samples()
        texts: Iterable[Query] = ()
        if options.texts:
            texts = text_queries(options.texts, self._encoder)
            for text in filter(name_after_weight, options.texts):
                logger.warning(f"{printable(text)} is searched for as it is: {ONLY_COMBINED}")
        return chain(texts, self._named(options.paths or options.ids))

    def _named(self, names: Sequence[str]) -> Iterator[Query]:
        """Yield the queries of files, or of ids.

        A name that cannot be read is skipped with a warning and added to `unreadable` with the
        reason. If it is the only one, its ValueError or OSError is raised.
        """
        read = self._reader(names)
        for name in names:
            try:
                yield from read(name)
            except (ValueError, OSError) as error:
                if len(names) == 1:
                    raise
                logger.warning(str(error))
                self.unreadable[name] = str(error)

    def _reader(self, names: Sequence[str]) -> Callable[[str], Iterator[Query]]:
        if self._options.paths:
            return self._files
        known = find_ids(names, self._index)

        def read(name: str) -> Iterator[Query]:
            if name not in known:
                suggestion = self._suggested_id(name)
                raise ValueError(
                    f"the index has no picture {name}: give an id as a search prints it{suggestion}"
                )
            yield self.indexed(known[name])

        return read

    def _suggested_id(self, name: str) -> str:
        rest = name_after_weight(name)
        if rest is not None and find_ids([rest], self._index):
            return f"; {ONLY_COMBINED}"
        return did_you_mean_id(name, self._index)

    # --- files

    def _files(self, path: str) -> Iterator[Query]:
        """Yield a file, the files of a folder, or "-", standard input.

        A file in a folder that cannot be read is skipped with a warning, unless none can.
        """
        if not os.path.isdir(path):
            yield self._file(path)
            return
        from pyimagesearch.datasets.folder import FolderDataset

        folder = FolderDataset(path)
        found = False
        for id in folder.ids:
            try:
                yield self._file(folder.path(id))
                found = True
            except (ValueError, OSError) as error:
                logger.warning(str(error))
        if not found:
            raise ValueError(f"none of the pictures in {printable(path)} can be read")

    def _file(self, path: str) -> Query:
        from pyimagesearch.pictures.decoding import decode, open_picture
        from pyimagesearch.pictures.fetching import fetch_picture, is_url

        opened: Callable[[], BinaryIO] = partial(open_picture, path)
        if path == "-":
            opened = _standard_input()
        elif is_url(path):
            opened = partial(io.BytesIO, fetch_picture(path))
        invert = self._options.invert

        def picture(size: Size | None = None) -> Picture:
            try:
                with opened() as file:
                    pixels = decode(file, size)
            except FileNotFoundError as error:
                suggestion = _suggested_file(path)
                raise type(error)(f"{printable(path)}: {error}{suggestion}") from error
            except (ValueError, OSError) as error:
                raise type(error)(f"{printable(path)}: {reason_of(error)}") from error
            return 255 - pixels if invert else pixels

        # Decoded as by indexing, so that an indexed picture is at distance 0 from itself.
        query = self._encodable(Query(path, picture=picture))
        if not invert and self._is_dark_on_light(query):
            logger.warning(
                f"{printable(path)} is dark on light, but the indexed digits are light on dark: "
                "add --invert"
            )
        return query

    def _is_dark_on_light(self, query: Query) -> bool:
        """Whether a query is likely to be ink on paper, and the index is of white digits."""
        source = self._index.source or DEFAULT_SOURCE
        if source["name"] != LIGHT_ON_DARK or query.image is None:
            return False
        return bool(query.image.mean() > 0.5)

    # --- pictures of the index, and its test images

    def indexed(self, id: str) -> Query:
        """Return a picture of the index as a query, which has its code there.

        Its picture is read only to be cropped or turned.
        """
        query = self._of_index(id)
        if not self._options.look:
            return query
        return self._options.look(query, self._spec)

    def _of_index(self, id: str) -> Query:
        picture = partial(self._pictures.picture, id)
        return Query(id, picture=picture, label=self._index.label_of(id), own=(id,))

    def _encodable(self, query: Query) -> Query:
        """Return a query with the input of the encoder, whose picture is read now."""
        if self._options.look:
            return self._options.look(query, self._spec)
        assert query.picture is not None
        return replace(query, image=self._spec.prepare(query.picture(self._spec.decoded_size)))

    def _samples(self) -> Iterator[Query]:
        """Yield random queries, without replacement, from the test images or the index.

        One that cannot be read is replaced by another, with a warning. Raises ValueError if none
        can.
        """
        count = self._options.sample
        found = 0
        for read in self._candidates(2 * count + SPARE):
            try:
                query = self._encodable(read())
            except (ValueError, OSError) as error:
                logger.warning(str(error))
                continue
            yield query
            found += 1
            if found == count:
                return
        if found:
            logger.info(f"searching for {found:,} pictures, not {count:,}: the index has no more")
        else:
            raise ValueError(
                "none of the pictures drawn at random could be read: update the index with "
                "index_images.py, or pass the new location of the pictures with --dataset"
            )

    def _candidates(self, count: int) -> Iterator[Callable[[], Query]]:
        images = self._pictures.test_split()
        if images is None:
            for id in self._index.sample(count, self._options.seed):
                yield partial(self._of_index, id)
            return
        for row in images.random_rows(count, self._options.seed):
            yield partial(self._of_test_images, images, row)

    def _of_test_images(self, images: Dataset, row: int) -> Query:
        id = images.ids[row]
        own: tuple[str, ...] = ()
        if same_images(images.source, self._index.source or {}) and self._index.find([id]):
            own = (id,)
        label = label_at(images.labels, row)
        return Query(id, picture=partial(images.picture, id), label=label, own=own)

    # --- combinations

    def _combined(self) -> Query:
        """Return one query from several, at the weighted mean of their codes.

        Raises ValueError when the sum of the weights is not above 0: a weighted sum would then be
        a direction, not a point among the codes.
        """
        names = self._options.paths or self._options.ids
        texts = self._options.texts
        if not (names or texts):
            raise ValueError(
                "--combine needs what to combine: name it with --query, --query-id or --text"
            )
        parts = []
        for weight, name in map(split_weight, names):
            parts += [Part(weight, query) for query in self._named([name])]
        for weight, text in map(split_weight, texts):
            parts += [Part(weight, query) for query in text_queries([text], self._encoder)]
        for part in parts:
            if part.query.code is None and part.query.image is None:
                [part.query.code] = self._index.codes_of(part.query.own)
        return combined(parts, " ".join([*names, *texts]), self._encoder)


def _suggested_file(path: str) -> str:
    rest = name_after_weight(path)
    if rest is not None and os.path.exists(rest):
        return f"; {ONLY_COMBINED}"
    return did_you_mean_file(path)


def _standard_input() -> Callable[[], BinaryIO]:
    """Read standard input; return a function that opens it as a file."""
    data = b""
    if sys.stdin is not None:
        data = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise ValueError(f"-: standard input has more than {MAX_INPUT:,} bytes, not a picture file")
    return partial(io.BytesIO, data)
