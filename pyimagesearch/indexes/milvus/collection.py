"""The rows of a Milvus collection, by their keys: fetched, scanned, written and deleted."""

import logging
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from pyimagesearch.indexes.milvus.client import MilvusConnection
from pyimagesearch.indexes.milvus.rows import as_whole
from pyimagesearch.indexes.shards import BITS

logger = logging.getLogger(__name__)

PAGE = 16_384  # rows that Milvus returns at most
ROWS_AT_ONCE = 4096
WAIT = 60  # seconds for a vector index to be built
LAST_KEY = 2**BITS - 1
ALL_KEYS = range(LAST_KEY + 1)

Entity = dict[str, Any]  # the fields of a row as the server has them


class MilvusCollection:
    """The rows of the collection called `name`, by their keys.

    Keys are numbers of rows from 0, or where they are `hashed` anywhere in ALL_KEYS.
    """

    def __init__(self, connection: MilvusConnection, name: str, *, hashed: bool) -> None:
        self.connection = connection
        self.name = name
        self._hashed = hashed
        self._count: int | None = None

    def __len__(self) -> int:
        """Return the number of rows when it was first asked for since this process wrote some.

        Later searches see all rows that were written before that, because a strongly consistent
        query waits for them.
        """
        if self._count is None:
            self._count = self.count()
        return self._count

    def count(self) -> int:
        """Return the number of rows now."""
        [answer] = self.call(
            "query", filter="", output_fields=["count(*)"], consistency_level="Strong"
        )
        return as_whole(answer.get("count(*)"))

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the client about this collection; see MilvusConnection."""
        return self.connection.call(method, self.name, *arguments, **options)

    def get(
        self, keys: Sequence[int], fields: Sequence[str], level: str = "Eventually"
    ) -> Iterator[tuple[int, Entity]]:
        """Yield (key, fields) of those of the keys that exist."""
        for start in range(0, len(keys), ROWS_AT_ONCE):
            part = list(keys[start : start + ROWS_AT_ONCE])
            yield from self._query(fields, ids=part, consistency_level=level)

    def scan(self, fields: Sequence[str], keys: range = ALL_KEYS) -> Iterator[tuple[int, Entity]]:
        """Yield (key, fields) of all rows with keys in a range, in no order.

        The server returns PAGE rows at most and does not say that there were more, so a range of
        keys that fills a page is halved.
        """
        ranges = self.ranges(2 * len(self) // PAGE + 1, keys)
        while ranges:
            part = ranges.pop()
            page = self._query(fields, filter=between(part), limit=PAGE, consistency_level="Strong")
            if len(page) >= PAGE and part.start + 1 < part.stop:
                middle = (part.start + part.stop) // 2
                ranges += [range(part.start, middle), range(middle, part.stop)]
                continue
            yield from page

    def ranges(self, count: int, keys: range = ALL_KEYS) -> list[range]:
        """Cut a range of keys into parts; all keys that may be there are cut into `count`."""
        full = LAST_KEY if self._hashed else len(self)
        end = min(full + 1, keys.stop)
        starts = range(keys.start, max(keys.start + 1, end), full // count + 1)
        return [range(start, stop) for start, stop in pairwise([*starts, keys.stop])]

    def _query(self, fields: Sequence[str], **options: Any) -> list[tuple[int, Entity]]:
        found = self.call("query", output_fields=["row", *fields], **options)
        return [(as_whole(entity.get("row")), entity) for entity in found]

    def upsert(self, rows: list[Entity]) -> None:
        """Write rows in one message, replacing those of the same keys."""
        self.call("upsert", rows)
        self._count = None

    def delete(self, keys: Sequence[int]) -> None:
        """Delete rows; keys that do not exist are ignored."""
        for start in range(0, len(keys), ROWS_AT_ONCE):
            self.call("delete", ids=list(keys[start : start + ROWS_AT_ONCE]))
        self._count = None

    def flush(self, field: str, engine: str) -> None:
        """Have the server store its data, and wait up to WAIT seconds for its vector index.

        Until that of the `field` is built, Milvus searches a coarser one than the `engine`.
        """
        self.call("flush")
        until = time.monotonic() + WAIT
        while self.call("describe_index", field).get("pending_index_rows"):
            if time.monotonic() > until:
                logger.info(
                    f"Milvus is still building {engine}: until it is ready, searches find less"
                )
                break
            time.sleep(1)


def between(keys: range) -> str:
    """Return the filter of rows whose keys are in a range."""
    return f"row >= {keys.start} and row <= {keys.stop - 1}"
