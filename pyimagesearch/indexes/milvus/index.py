"""An index in a Milvus collection: it answers in ids, whatever keys the collection has.

The key of an image is its number in an array, and in a folder a hash of its path, so that every
process and every run gives a picture the same key. Keys never leave this folder.
"""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.datasets.dataset import FILE_STATS, Dataset
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.engines.engine import Engine
from pyimagesearch.indexes.contract import Codes, Hits, Records
from pyimagesearch.indexes.local_index import LocalIndex, chosen_hits, nearest
from pyimagesearch.indexes.milvus.client import MilvusConnection
from pyimagesearch.indexes.milvus.engine import MilvusEngine, RowsOfIds
from pyimagesearch.indexes.milvus.metadata import as_centre, write_state
from pyimagesearch.indexes.milvus.rows import (
    NAMED,
    RECORD,
    as_text,
    as_whole,
    download,
    file_record,
    finite_codes,
    pack_row,
    unpack_id,
)
from pyimagesearch.indexes.milvus.schema import parse_engine
from pyimagesearch.indexes.pictures import open_pictures
from pyimagesearch.indexes.shards import BITS, stable_hash

logger = logging.getLogger(__name__)

PAGE = 16_384  # rows that Milvus returns at most
BYTES_AT_ONCE = 8_000_000
ROWS_AT_ONCE = 4096
WAIT = 60  # seconds for a vector index to be built
REMEMBERED = 1_000_000  # names of keys
LAST_KEY = 2**BITS - 1

Entity = dict[str, Any]  # the fields of a row as the server has them


class MilvusIndex:
    """An index whose codes, ids and labels stay on the server until they are needed.

    It has the contract of Index. `collection` is the name of the collection that holds the codes;
    `load` fetches everything.
    """

    def __init__(
        self, connection: MilvusConnection, collection: str, state: Entity, encoder: Encoder
    ) -> None:
        """`state` holds the description and the state of the collection; see `metadata`."""
        self.connection = connection
        self.collection = collection
        self.encoder: Encoder | None = encoder
        self.dim = encoder.dim
        self.state = state
        self.metric: str = state["metric"]
        self.source: dict[str, Any] | None = state["dataset"]
        self.engine_spec = parse_engine(state["engine"], encoder.dim)
        self.centre = as_centre(state["centre"])  # of hash codes
        self.label_names: list[str] | None = [] if self.has_files else None
        self._names: dict[int, tuple[str, int]] = {}
        self._count: int | None = None
        self._engine: MilvusEngine | None = None

    @property
    def address(self) -> str:
        """The address of the collection, as the user writes it."""
        return str(self.connection.address)

    @property
    def has_files(self) -> bool:
        """Whether the images are files, with relative paths as ids."""
        return bool(self.state["of_folder"])

    def __len__(self) -> int:
        """Return the number of images when it was first asked for.

        Later searches see all rows that were written before that, because a strongly consistent
        query waits for them.
        """
        if self._count is None:
            self._count = self.count()
        return self._count

    def count(self) -> int:
        """Return the number of images now."""
        [answer] = self.connection.call(
            "query",
            self.collection,
            filter="",
            output_fields=["count(*)"],
            consistency_level="Strong",
        )
        return as_whole(answer.get("count(*)"))

    # --- searching

    @property
    def engine(self) -> MilvusEngine:
        """The engine that `search` uses."""
        if self._engine is None:
            self._engine = MilvusEngine(self)
        return self._engine

    def open_engine(self, metric: str | None = None, probe: int | None = None) -> MilvusEngine:
        """Choose the metric and the width of later searches; see MilvusEngine."""
        self._engine = MilvusEngine(self, metric, probe)
        return self._engine

    def search(
        self,
        codes: Codes,
        k: int | None = None,
        *,
        within: float | None = None,
        skip: Sequence[Collection[str]] = (),
    ) -> list[Hits]:
        """Return the Hits of each of the codes, float32 (q, d); see Index."""
        answers = nearest(self.engine, codes, k, within=within, skip=skip)
        found = []
        for number, (distances, keys) in enumerate(answers):
            ids, labels = self._named(keys.tolist())
            unwanted = skip[number] if skip else ()
            hits = Hits(ids, distances, labels)
            found.append(chosen_hits(hits, k, within, unwanted))
        return found

    def load(self) -> LocalIndex:
        """Fetch everything; return an index in memory, in the order of the ids."""
        logger.info(f"fetching {len(self):,} codes...")
        return download(self)

    def engine_of(self, loaded: LocalIndex) -> Engine:
        """Return the engine of this index, with the rows of what `load` returned."""
        return RowsOfIds(self, loaded)

    # --- names

    def key_of(self, id: str) -> int:
        """Return the key that an id has if it is indexed."""
        return stable_hash(id) if self.has_files else int(id)

    def _named(self, keys: Sequence[int]) -> tuple[list[str], NDArray[np.int64]]:
        """Return the ids and the labels, int64 (k,), of keys; -1 stands for no label."""
        unknown = [key for key in keys if key not in self._names]
        for start in range(0, len(unknown), ROWS_AT_ONCE):
            self.remember(self.get(unknown[start : start + ROWS_AT_ONCE], NAMED))
        if any(key not in self._names for key in keys):
            raise ValueError(f"{self.address} was changed meanwhile: search again")
        names = [self._names[key] for key in keys]
        labels = np.array([label for _, label in names], np.int64)
        return [id for id, _ in names], labels

    def remember(self, found: Iterable[tuple[int, Entity]]) -> None:
        """Keep the names of keys that were found."""
        if len(self._names) > REMEMBERED:
            self._names.clear()
        for key, entity in found:
            label = self._label(as_text(entity.get("label")))
            text = as_text(entity.get("id"))
            id = unpack_id(text) if self.has_files else str(key)
            self._names[key] = (id, label)

    def _label(self, text: str) -> int:
        if not text:
            return -1
        if self.label_names is None:
            return as_whole(text)
        if text not in self.label_names:
            self.label_names.append(text)
        return self.label_names.index(text)

    def find(self, ids: Collection[str]) -> set[str]:
        """Return those of the ids that are indexed."""
        possible = [id for id in ids if self.has_files or _is_row(id)]
        found = self.get([self.key_of(id) for id in possible], NAMED) if possible else []
        self.remember(found)
        known = {self._names[key][0] for key, _ in found}
        return known.intersection(possible)

    def labels_of(self, ids: Sequence[str]) -> NDArray[np.int64] | None:
        """Return the labels of ids, int64 (len(ids),), -1 for none."""
        return self._named([self.key_of(id) for id in ids])[1]

    def codes_of(self, ids: Sequence[str]) -> Codes:
        """Return the codes of ids, float32 (len(ids), dim)."""
        keys = [self.key_of(id) for id in ids]
        codes = np.empty((len(keys), self.dim), np.float32)
        for start in range(0, len(keys), ROWS_AT_ONCE):
            part = keys[start : start + ROWS_AT_ONCE]
            found = dict(self.get(part, ["code"], "Strong"))
            for place, key in enumerate(part, start):
                if key not in found:
                    raise ValueError(f"{self.address} was changed meanwhile: run again")
                codes[place] = found[key]["code"]
        return finite_codes(codes)

    def sample(self, count: int, seed: int | None = None) -> list[str]:
        """Return random ids; for a seed the same pictures as of an index file."""
        if not self.has_files:
            rows = np.random.default_rng(seed).permutation(len(self))[:count]
            return [str(row) for row in rows]
        ids = self.records().ids
        rows = np.random.default_rng(seed).permutation(len(ids))[:count]
        return [ids[row] for row in rows]

    def records(self, first: int = 0, last: int = LAST_KEY) -> Records:
        """Return the Records of the images with keys from `first` to `last`, in order of ids."""
        if not self.has_files:
            keys = sorted(key for key, _ in self.scan([], first, last))
            ids = [str(key) for key in keys]
            return Records(ids, [""] * len(ids), np.zeros(len(ids), FILE_STATS))
        found = []
        for _, entity in self.scan(["id", "label", *RECORD], first, last):
            id = unpack_id(as_text(entity.get("id")))
            found.append((id, as_text(entity.get("label")), file_record(entity)))
        found.sort()
        stats = np.array([record for _, _, record in found], FILE_STATS)
        return Records([id for id, _, _ in found], [label for _, label, _ in found], stats)

    def pictures(self, moved_to: str | None = None) -> Dataset:
        """Return the indexed images by id; see Index."""
        assert self.source is not None
        count = None if self.has_files else len(self)
        dataset = open_pictures(self.source, moved_to, has_files=self.has_files, count=count)
        dataset.label_names = self.label_names
        return dataset

    # --- the server

    def get(
        self, keys: Sequence[int], fields: Sequence[str], level: str = "Eventually"
    ) -> list[tuple[int, Entity]]:
        """Return (key, fields) of those of the keys that exist."""
        found = self.connection.call(
            "query",
            self.collection,
            ids=list(keys),
            output_fields=["row", *fields],
            consistency_level=level,
        )
        return [(as_whole(entity.get("row")), entity) for entity in found]

    def scan(
        self, fields: Sequence[str], first: int = 0, last: int = LAST_KEY
    ) -> Iterator[tuple[int, Entity]]:
        """Yield (key, fields) of all rows with keys from `first` to `last`, in no order.

        The server returns PAGE rows at most and does not say that there were more, so a range of
        keys that fills a page is halved.
        """
        ranges = self.ranges(2 * len(self) // PAGE + 1, first, last)
        while ranges:
            start, end = ranges.pop()
            page = self.connection.call(
                "query",
                self.collection,
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

    def ranges(self, count: int, first: int = 0, last: int = LAST_KEY) -> list[tuple[int, int]]:
        """Cut the keys from `first` to `last` into ranges; all keys are cut into `count`."""
        full = LAST_KEY if self.has_files else len(self)
        starts = range(first, max(first, min(full, last)) + 1, full // count + 1)
        ends = [*(start - 1 for start in starts[1:]), last]
        return list(zip(starts, ends, strict=True))

    def upsert(self, records: Records, codes: Codes) -> None:
        """Write images, replacing those of the same ids.

        `codes` is float32 (n, dim). On return the server has acknowledged them all.
        """
        vectors = self.engine_spec.vectors(codes, self.centre)
        step = max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // (4 * self.dim + 300)))
        for start in range(0, len(records), step):
            part = range(start, min(start + step, len(records)))
            rows = [pack_row(self.key_of(records.ids[i]), records, i) | vectors[i] for i in part]
            self.connection.call("upsert", self.collection, rows)
        self._count = None

    def delete(self, keys: Sequence[int]) -> None:
        """Delete rows; keys that do not exist are ignored."""
        for start in range(0, len(keys), ROWS_AT_ONCE):
            part = list(keys[start : start + ROWS_AT_ONCE])
            self.connection.call("delete", self.collection, ids=part)
        self._count = None

    def flush(self) -> None:
        """Have the server store its data, and wait up to WAIT seconds for its vector index.

        Until that is built, Milvus searches a coarser one.
        """
        self.connection.call("flush", self.collection)
        field = self.engine_spec.index(self.metric).field
        until = time.monotonic() + WAIT
        while self._pending(field):
            if time.monotonic() > until:
                logger.info(
                    f"Milvus is still building {self.engine_spec.name}: "
                    "until it is ready, searches find less"
                )
                break
            time.sleep(1)

    def _pending(self, field: str) -> bool:
        described = self.connection.call("describe_index", self.collection, field)
        return bool(described.get("pending_index_rows"))

    def update_state(self, **values: Any) -> None:
        """Change entries of the state, such as the dataset's location, here and on the server."""
        if values.items() <= self.state.items():
            return
        self.state = {**self.state, **values}
        self.source = self.state["dataset"]
        write_state(self.connection, self.state)


def _is_row(id: str) -> bool:
    """Whether an id may be the number of a row."""
    return len(id) < 20 and id.isdecimal() and int(id) <= LAST_KEY
