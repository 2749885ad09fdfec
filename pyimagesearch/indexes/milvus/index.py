"""An index in a Milvus collection, read and written.

A row's number is its primary key: in an array its place there, in a folder a hash of its path, so
that every process and every run gives a picture the same row.
"""

import logging
import time

import numpy as np

from pyimagesearch.datasets.catalog import open_source
from pyimagesearch.datasets.dataset import FILE_STATS
from pyimagesearch.indexes.index import require_folder
from pyimagesearch.indexes.milvus.metadata import as_centre, write_state
from pyimagesearch.indexes.milvus.rows import (
    NAMED,
    CollectionFolder,
    Ids,
    Labels,
    as_text,
    as_whole,
    download,
    finite_codes,
    list_files,
    pack_row,
    unpack_id,
)
from pyimagesearch.indexes.milvus.schema import parse_engine
from pyimagesearch.indexes.shards import BITS, stable_hash

logger = logging.getLogger(__name__)

PAGE = 16_384  # rows that Milvus returns at most
BYTES_AT_ONCE = 8_000_000
ROWS_AT_ONCE = 4096
WAIT = 60  # seconds for a vector index to be built
REMEMBERED = 1_000_000  # names of rows
LAST_ROW = 2**BITS - 1


class MilvusIndex:
    """An index whose codes, ids and labels stay on the server until they are needed.

    It has the methods of Index. A row is a number of up to 63 bits; `ids[row]` and `labels[rows]`
    query the server for rows that are not known yet. `load` fetches everything.
    """

    record_type = FILE_STATS

    def __init__(self, connection, description, state, encoder):
        self.connection, self.encoder, self.state = connection, encoder, state
        self.name, self.metric = connection.address.name, description["metric"]
        self.has_files = description["of_folder"]
        self.source = state["dataset"]
        self.engine_spec = parse_engine(state["engine"], encoder.dim)
        self.centre = as_centre(state["centre"])  # of hash codes
        self.label_names = [] if self.has_files else None
        self.ids, self.labels = Ids(self), Labels(self)
        self._names = {}
        self._count = None

    def __len__(self):
        """The number of rows when it was first asked for. Later searches see all rows that were
        written before that, because a strongly consistent query waits for them."""
        if self._count is None:
            self._count = self.count()
        return self._count

    def count(self):
        """Return the number of rows now."""
        [answer] = self.connection.call(
            "query",
            self.name,
            filter="",
            output_fields=["count(*)"],
            consistency_level="Strong",
        )
        return as_whole(answer.get("count(*)"))

    def row_of(self, id):
        """Return the row that an id has if it is indexed."""
        return stable_hash(id) if self.has_files else int(id)

    def named(self, rows):
        """Return the ids, a list, and the labels, int64 (k,), of rows; -1 stands for no label."""
        unknown = [row for row in map(int, rows) if row not in self._names]
        for start in range(0, len(unknown), ROWS_AT_ONCE):
            part = unknown[start : start + ROWS_AT_ONCE]
            self.remember(self.get(part, NAMED))
        names = [self._names.get(int(row)) for row in rows]
        if None in names:
            raise ValueError(f"{self.connection.address} was changed meanwhile: search again")
        return [id for id, _ in names], np.array([label for _, label in names], np.int64)

    def remember(self, found):
        """Keep the names of rows that were found: (row, id, label) as the server has them."""
        if len(self._names) > REMEMBERED:
            self._names.clear()
        for row, entity in found:
            id, label = as_text(entity.get("id")), as_text(entity.get("label"))
            self._names[row] = (unpack_id(id) if self.has_files else str(row), self._label(label))

    def _label(self, text):
        if not text:
            return -1
        if not self.has_files:
            return as_whole(text)
        if text not in self.label_names:
            self.label_names.append(text)
        return self.label_names.index(text)

    def gallery(self, moved_to=None):
        """Return the dataset of the indexed images, with the rows of this index; see Index."""
        require_folder(self.source, self.has_files, moved_to)
        name = moved_to or self.source["name"]
        if self.has_files:
            return CollectionFolder(self, name)
        dataset = open_source({**self.source, "name": name}, False)
        if len(dataset) != len(self):
            raise ValueError(
                f"the index holds {len(self):,} codes, but {name} has {len(dataset):,} images: "
                "name the images that were indexed with --dataset"
            )
        return dataset

    def engine(self, metric=None, probe=None):
        """Return the engine of the collection; see MilvusEngine."""
        from pyimagesearch.indexes.milvus.engine import MilvusEngine

        return MilvusEngine(self, metric, probe)

    def get(self, rows, fields, level="Eventually"):
        found = self.connection.call(
            "query",
            self.name,
            ids=rows,
            output_fields=["row", *fields],
            consistency_level=level,
        )
        return [(as_whole(entity.get("row")), entity) for entity in found]

    def scan(self, fields, first=0, last=LAST_ROW):
        """Yield (row, fields) of all rows from `first` to `last`, in no order.

        The server returns PAGE rows at most and does not say that there were more, so a range of
        rows that fills a page is halved.
        """
        ranges = self.ranges(2 * len(self) // PAGE + 1, first, last)
        while ranges:
            start, end = ranges.pop()
            page = self.connection.call(
                "query",
                self.name,
                filter=f"row >= {start} and row <= {end}",
                output_fields=["row", *fields],
                limit=PAGE,
                consistency_level="Strong",
            )
            if len(page) >= PAGE and start < end:
                middle = (start + end) // 2
                ranges += [(start, middle), (middle + 1, end)]
                continue
            yield from ((as_whole(entity.get("row")), entity) for entity in page)

    def ranges(self, count, first=0, last=LAST_ROW):
        """Cut the rows from `first` to `last` into ranges; all rows are cut into `count`."""
        full = LAST_ROW if self.has_files else len(self)
        starts = range(first, max(first, min(full, last)) + 1, full // count + 1)
        return [*zip(starts, [*(start - 1 for start in starts[1:]), last], strict=True)]

    def listing(self, first=0, last=LAST_ROW):
        """Return the rows of a folder, int64 (n,), and an Index of them without codes.

        They are in the order of their paths, as in an index file; `first` and `last` bound rows.
        """
        return list_files(self, first, last)

    def codes_of(self, rows):
        """Return the codes of rows, float32 (len(rows), dim)."""
        codes = np.empty((len(rows), self.encoder.dim), np.float32)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = [int(row) for row in rows[start : start + ROWS_AT_ONCE]]
            found = dict(self.get(part, ["code"], "Strong"))
            for i, row in enumerate(part, start):
                if row not in found:
                    raise ValueError(f"{self.connection.address} was changed meanwhile: run again")
                codes[i] = found[row]["code"]
        return finite_codes(codes)

    def load(self):
        """Fetch everything; return an Index in memory, in the order of the ids."""
        logger.info(f"fetching {len(self):,} codes...")
        return download(self)

    def upsert(self, rows, ids, labels, codes, files=None):
        """Write rows, replacing those that exist; ids and labels are lists of text.

        `codes` is float32 (n, dim), `files` records of type FILE_STATS. On return the server has
        acknowledged them all.
        """
        files = np.zeros(len(rows), FILE_STATS) if files is None else files
        vectors = self.engine_spec.vectors(codes, self.centre)
        step = max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // (4 * self.encoder.dim + 300)))
        for start in range(0, len(rows), step):
            part = range(start, min(start + step, len(rows)))
            data = [pack_row(rows[i], ids[i], labels[i], files[i]) | vectors[i] for i in part]
            self.connection.call("upsert", self.name, data)
        self._count = None

    def delete(self, rows):
        """Delete rows; rows that do not exist are ignored."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = [int(row) for row in rows[start : start + ROWS_AT_ONCE]]
            self.connection.call("delete", self.name, ids=part)
        self._count = None

    def delete_from(self, row):
        """Delete this row and all after it; return their number."""
        rows = [found for found, _ in self.scan([], row)]
        self.delete(rows)
        return len(rows)

    def flush(self):
        """Have the server store its data, and wait up to WAIT seconds for its vector index.

        Until that is built, Milvus searches a coarser one.
        """
        self.connection.call("flush", self.name)
        field, *_ = self.engine_spec.index(self.metric)
        until = time.monotonic() + WAIT
        while self.connection.call("describe_index", self.name, field).get("pending_index_rows"):
            if time.monotonic() > until:
                logger.info(
                    f"Milvus is still building {self.engine_spec.name}: "
                    "until it is ready, searches find less"
                )
                break
            time.sleep(1)

    def update(self, **values):
        """Change entries of `state`, such as the dataset's location, here and on the server."""
        if values.items() <= self.state.items():
            return
        self.state = {**self.state, **values}
        self.source = self.state["dataset"]
        write_state(self.connection, self.state)
