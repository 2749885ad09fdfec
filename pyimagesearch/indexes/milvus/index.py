"""An index in a Milvus collection: it answers in ids, whatever keys the collection has.

The key of an image is its number in an array, and in a folder a hash of its path, so that every
process and every run gives a picture the same key. Keys never leave this folder.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from pyimagesearch.arrays import Floats, Rows
from pyimagesearch.datasets.dataset import FILE_STATS, Dataset, RowIds
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.engines.engine import Engine
from pyimagesearch.indexes.contract import Codes, Hits, Index, Records
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.indexes.milvus.collection import (
    ALL_KEYS,
    LAST_KEY,
    ROWS_AT_ONCE,
    Entity,
    MilvusCollection,
)
from pyimagesearch.indexes.milvus.engine import MilvusEngine, RowsOfIds
from pyimagesearch.indexes.milvus.metadata import as_centre, write_state
from pyimagesearch.indexes.milvus.rows import (
    NAMED,
    RECORD,
    as_text,
    as_whole,
    code_of,
    file_record,
    finite_codes,
    pack_row,
    unpack_id,
)
from pyimagesearch.indexes.milvus.schema import parse_engine
from pyimagesearch.indexes.pictures import open_pictures
from pyimagesearch.indexes.shards import stable_hash

logger = logging.getLogger(__name__)

BYTES_AT_ONCE = 8_000_000
REMEMBERED = 1_000_000  # names of keys


class _Name(NamedTuple):
    """The id of a key, and its label, -1 for none."""

    id: str
    label: int


class MilvusIndex(Index):
    """An index whose codes, ids and labels stay on the server until they are needed.

    `collection` holds the codes; `load` fetches everything.
    """

    def __init__(self, collection: MilvusCollection, state: Entity, encoder: Encoder) -> None:
        """`state` holds the description and the state of the collection; see `metadata`."""
        self.collection = collection
        self.encoder: Encoder | None = encoder
        self.dim = encoder.dim
        self.state = state
        self.metric: str = state["metric"]
        self.source: dict[str, Any] | None = state["dataset"]
        self.engine_spec = parse_engine(state["engine"], encoder.dim)
        self.centre = as_centre(state["centre"])  # of hash codes
        self.label_names: list[str] | None = [] if self.has_files else None
        self._names: dict[int, _Name] = {}

    @property
    def address(self) -> str:
        """The address of the collection, as the user writes it."""
        return str(self.collection.connection.address)

    @property
    def has_files(self) -> bool:
        """Whether the images are files, with relative paths as ids."""
        return bool(self.state["of_folder"])

    def __len__(self) -> int:
        """Return the number of images when it was first asked for."""
        return len(self.collection)

    def count(self) -> int:
        """Return the number of images now."""
        return self.collection.count()

    # --- searching

    def open_engine(self, metric: str | None = None, probe: int | None = None) -> MilvusEngine:
        """Choose the metric and the width of later searches; see MilvusEngine."""
        self._engine = MilvusEngine(self, metric, probe)
        return self._engine

    def hits_of(self, distances: Floats, rows: Rows) -> Hits:
        """Return the Hits of distances and keys that the engine found; see Index."""
        names = self._names_of(rows.tolist())
        labels = np.array([name.label for name in names], np.int64)
        return Hits([name.id for name in names], distances, labels)

    def load(self) -> LocalIndex:
        """Fetch everything; return an index in memory, in the order of the ids."""
        logger.info(f"fetching {len(self):,} codes...")
        found = []
        for key, entity in self.collection.scan(["code", *NAMED, *RECORD]):
            place = unpack_id(as_text(entity.get("id"))) if self.has_files else key
            found.append((place, code_of(entity, self.dim), entity))
        if not found:
            raise ValueError(f"{self.address} holds no codes: index some images first")
        found.sort(key=itemgetter(0))
        entities = [entity for _, _, entity in found]
        loaded = LocalIndex(
            finite_codes(np.stack([code for _, code, _ in found])),
            [str(place) for place, _, _ in found],
            source=self.source,
            metric=self.metric,
            encoder=self.encoder,
        )
        if self.has_files:
            loaded.file_stats = np.array([file_record(entity) for entity in entities], FILE_STATS)
            loaded.label_by_folder()
            return loaded
        labels = [as_text(entity.get("label")) for entity in entities]
        if all(labels):
            loaded.labels = np.array([as_whole(label) for label in labels], np.int64)
        return loaded

    def engine_of(self, loaded: LocalIndex) -> Engine:
        """Return the engine of this index, with the rows of what `load` returned."""
        return RowsOfIds(self, loaded)

    # --- names

    def key_of(self, id: str) -> int:
        """Return the key that an id has if it is indexed."""
        return stable_hash(id) if self.has_files else int(id)

    def _names_of(self, keys: Sequence[int]) -> list[_Name]:
        if len(self._names) > REMEMBERED:
            self._names.clear()
        unknown = [key for key in keys if key not in self._names]
        self.remember(self.collection.get(unknown, NAMED))
        if any(key not in self._names for key in keys):
            raise ValueError(f"{self.address} was changed meanwhile: search again")
        return [self._names[key] for key in keys]

    def remember(self, found: Iterable[tuple[int, Entity]]) -> None:
        """Keep the names of keys that were found."""
        for key, entity in found:
            label = self._label(as_text(entity.get("label")))
            text = as_text(entity.get("id"))
            id = unpack_id(text) if self.has_files else str(key)
            self._names[key] = _Name(id, label)

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
        possible = [id for id in ids if self.has_files or id in RowIds(LAST_KEY)]
        found = list(self.collection.get([self.key_of(id) for id in possible], NAMED))
        self.remember(found)
        return {self._names[key].id for key, _ in found}.intersection(possible)

    def label_of(self, id: str) -> int | None:
        """Return the label of an id, None for none; raise ValueError for an unknown id."""
        [name] = self._names_of([self.key_of(id)])
        return None if name.label < 0 else name.label

    def codes_of(self, ids: Sequence[str]) -> Codes:
        """Return the codes of ids, float32 (len(ids), dim)."""
        keys = [self.key_of(id) for id in ids]
        rows = self.collection.get(keys, ["code"], "Strong")
        found = {key: code_of(entity, self.dim) for key, entity in rows}
        if any(key not in found for key in keys):
            raise ValueError(f"{self.address} was changed meanwhile: run again")
        return finite_codes(np.array([found[key] for key in keys]).reshape(-1, self.dim))

    def sample(self, count: int, seed: int | None = None) -> list[str]:
        """Return random ids; for a seed the same pictures as of an index file."""
        ids = self.records().ids if self.has_files else RowIds(len(self))
        rows = np.random.default_rng(seed).permutation(len(ids))[:count]
        return [ids[row] for row in rows]

    def records(self, keys: range = ALL_KEYS) -> Records:
        """Return the Records of the images with keys in a range, in order of ids."""
        found = []
        for key, entity in self.collection.scan([*NAMED, *RECORD], keys):
            place = unpack_id(as_text(entity.get("id"))) if self.has_files else key
            found.append((place, as_text(entity.get("label")), file_record(entity)))
        found.sort(key=itemgetter(0))
        stats = np.array([record for _, _, record in found], FILE_STATS)
        ids = [str(place) for place, _, _ in found]
        return Records(ids, [label for _, label, _ in found], stats)

    def pictures(self, moved_to: str | None = None) -> Dataset:
        """Return the indexed images by id; see Index."""
        assert self.source is not None
        count = None if self.has_files else len(self)
        dataset = open_pictures(self.source, moved_to, has_files=self.has_files, count=count)
        dataset.label_names = self.label_names
        return dataset

    # --- changes

    def upsert(self, records: Records, codes: Codes) -> None:
        """Write images, replacing those of the same ids.

        `codes` is float32 (n, dim). On return the server has acknowledged them all.
        """
        vectors = self.engine_spec.vectors(codes, self.centre)
        step = max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // (4 * self.dim + 300)))
        for start in range(0, len(records), step):
            part = range(start, min(start + step, len(records)))
            rows = [pack_row(self.key_of(records.ids[i]), records, i) | vectors[i] for i in part]
            self.collection.upsert(rows)

    def flush(self) -> None:
        """Have the server store its data, and wait for its vector index."""
        field = self.engine_spec.index(self.metric).field
        self.collection.flush(field, self.engine_spec.name)

    def update_state(self, **values: Any) -> None:
        """Change entries of the state, such as the dataset's location, here and on the server."""
        if values.items() <= self.state.items():
            return
        self.state = {**self.state, **values}
        self.source = self.state["dataset"]
        write_state(self.collection.connection, self.state)
