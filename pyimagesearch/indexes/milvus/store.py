"""Milvus collections as a store: made, brought up to date, merged, and opened."""

import base64
import binascii
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from pyimagesearch.encoders.encoder import finite_rows
from pyimagesearch.indexes.contract import Codes
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.indexes.local_index import LocalIndex
from pyimagesearch.indexes.milvus.client import MilvusConnection, parse_address
from pyimagesearch.indexes.milvus.index import MilvusIndex
from pyimagesearch.indexes.milvus.metadata import (
    METADATA_SUFFIX,
    NewCollection,
    create_collection,
    other_name,
    read_encoder,
    read_state,
    remove_networks,
    require_ours,
    write_state,
)
from pyimagesearch.indexes.milvus.schema import SAMPLE, CollectionEngine, parse_engine, sample_codes
from pyimagesearch.indexes.milvus.writer import ROWS_PER_WRITE, MilvusWriter
from pyimagesearch.indexes.plan import require_same_source
from pyimagesearch.indexes.settings import Update, UpdateResult, UpdateSettings
from pyimagesearch.indexes.shards import require_alike, take_shard
from pyimagesearch.indexes.sync import sync

FIRST_IMAGES = 4  # encoded before a collection is made


class MilvusStore:
    """An index in a collection: http://HOST:PORT/NAME on a server, FILE.db[/NAME] of Lite.

    The codes are in the collection NAME or, after a rebuild, in another one: the metadata says in
    which. A rebuild fills the other one, and only then changes the metadata and drops the first.
    Raises ValueError if the name is not the address of a collection.
    """

    keeps_arrays = True

    def __init__(self, name: str) -> None:
        self.name = str(name)
        self._address = parse_address(self.name)

    def __str__(self) -> str:
        return self.name

    def _connect(self) -> MilvusConnection:
        return MilvusConnection(self._address)

    def exists(self) -> bool:
        """Whether there is a collection, anybody's, at this address."""
        with closing(self._connect()) as connection:
            return _has(connection, _searched(connection))

    def unfinished_source(self) -> dict[str, Any] | None:
        """Return the source of the images of a collection that was about to be made, or None."""
        with closing(self._connect()) as connection:
            state = _sound_state(connection)
            return None if state is None else state["dataset"]

    def require_writable(self) -> None:
        """Do nothing: the server says when it is asked to write."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Exclude nobody: shards are written into a collection at the same time."""
        return nullcontext()

    def open(self) -> MilvusIndex:
        """Open a collection that `update` made.

        Raises FileNotFoundError if there is none, ValueError if it is not ours or damaged, OSError
        if the server cannot be reached, ImportError without its client.
        """
        connection = self._connect()
        try:
            state = read_state(connection)
            collection = _collection_name(connection, state)
            if not _has(connection, collection):
                raise FileNotFoundError(f"no such index: {self.name}; make it with index_images.py")
            description = require_ours(connection, collection)
            return _opened(connection, collection, description, state)
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise ValueError(
                f"cannot use the index {self.name}: {error}; make it again with index_images.py"
            ) from error

    def update(self, update: Update) -> UpdateResult:
        """Bring the collection up to date with a dataset, or make it.

        The engine is not tuned to the recall of the settings. Raises ValueError when the metric is
        another, the collection is of other images, or the server does not have the engine, and what
        `sync` raises.
        """
        settings = update.settings
        so_far = update.index
        assert so_far is None or isinstance(so_far, MilvusIndex)
        if settings.rebuild and settings.shard:
            raise ValueError(
                "--rebuild would drop the rows of other shards: name a new collection instead"
            )
        if so_far is not None and not settings.rebuild:
            require_same_source(so_far, update.dataset, self.name, limited=settings.limited)
        total = len(update.dataset)
        if settings.shard:
            update = replace(update, dataset=take_shard(update.dataset, settings.shard))
        if so_far is None or settings.rebuild:
            first = _first_codes(update)
            new = NewCollection(
                encoder=update.encoder,
                metric=settings.metric or _metric_of(so_far),
                engine=self._new_engine(so_far, update.encoder.dim, total, settings),
                source=update.dataset.source,
                has_files=update.dataset.file_stats is not None,
            )
            if new.engine.bits:
                first = sample_codes(update.dataset, update.encoder)
            new = replace(new, centre=_centre_of(first, new.engine))
            index = self.create(new, rebuild=settings.rebuild)
        else:
            index = self._prepared(so_far, settings)
        result = sync(MilvusWriter(index, settings.shard), update, self.name, total=total)
        self._finish(index, so_far)
        return replace(result, count=index.count())

    def merge(self, paths: list[str], settings: UpdateSettings) -> UpdateResult:
        """Write index files, such as shards, into the collection.

        Raises ValueError when their encoders, metrics or datasets are not the same.
        """
        sources = [load_index(path) for path in paths]
        first = sources[0]
        for path, source in zip(paths, sources, strict=True):
            require_alike(first, paths[0], source, path)
        so_far = self.open() if self.exists() else None
        if so_far is None or settings.rebuild:
            assert first.encoder is not None
            engine = self._new_engine(so_far, first.encoder.dim, len(first), settings)
            new = NewCollection(
                encoder=first.encoder,
                metric=first.metric,
                engine=engine,
                source=first.source or {},
                has_files=first.has_files,
                centre=_centre_of(np.asarray(first.codes[:SAMPLE]), engine),
            )
            index = self.create(new, rebuild=settings.rebuild)
        else:
            require_alike(so_far, self.name, first, paths[0])
            index = self._prepared(so_far, replace(settings, metric=first.metric))
        writer = MilvusWriter(index)
        for source in sources:
            _put_all(writer, source)
        count = writer.commit(index.source or first.source or {})
        self._finish(index, so_far)
        return UpdateResult(count)

    # --- new collections

    def _new_engine(
        self, so_far: MilvusIndex | None, dim: int, count: int, settings: UpdateSettings
    ) -> CollectionEngine:
        """Return the engine of a new collection; raise ValueError if the server lacks it."""
        name = settings.engine
        if name is None:
            name = "exact" if so_far is None else so_far.engine_spec.name
        engine = parse_engine(name, dim, count)
        engine.require(lite=self._address.lite)
        return engine

    def create(self, new: NewCollection, *, rebuild: bool = False) -> MilvusIndex:
        """Make an empty collection, or open one that another process just made.

        For a `rebuild` it is another one than the collection that is searched, if there is one.
        """
        connection = self._connect()
        searched = _searched(connection)
        if not (rebuild and _has(connection, searched)):
            create_collection(connection, searched, new, first=True)
            connection.close()
            return self.open()
        require_ours(connection, searched)
        name = other_name(connection, searched)
        if _has(connection, name):  # of an interrupted rebuild
            require_ours(connection, name)
            connection.call("drop_collection", name)
        description = create_collection(connection, name, new, first=False)
        return _opened(connection, name, description, new.state())

    def _finish(self, index: MilvusIndex, so_far: MilvusIndex | None) -> None:
        """Have a rebuilt collection searched from now on, and drop the one before."""
        connection = index.connection
        searched = _searched(connection)
        if index.collection == searched:
            return
        write_state(connection, {**index.state, "collection": index.collection})
        if _has(connection, searched):
            connection.call("drop_collection", searched)
        remove_networks(connection, index.collection)

    def _prepared(self, index: MilvusIndex, settings: UpdateSettings) -> MilvusIndex:
        """Return an index that is going to be updated, with the engine that is wanted."""
        if settings.metric not in (None, index.metric):
            raise ValueError(
                f"{self.name} ranks by {index.metric} distance: change it with --rebuild"
            )
        if settings.engine:
            _change_engine(index, settings.engine)
        return index


def _has(connection: MilvusConnection, collection: str) -> bool:
    return bool(connection.call("has_collection", collection))


def _collection_name(connection: MilvusConnection, state: dict[str, Any] | None) -> str:
    """Return the name of the collection that is searched."""
    name = connection.address.name
    if state is None:
        return name
    return str(state.get("collection", name))


def _sound_state(connection: MilvusConnection) -> dict[str, Any] | None:
    """Return the state of an index, None also where it is damaged, as only a rebuild mends that."""
    try:
        return read_state(connection)
    except ValueError:
        return None


def _searched(connection: MilvusConnection) -> str:
    """Return the name of the collection that is searched, or would be."""
    return _collection_name(connection, _sound_state(connection))


def _metric_of(so_far: MilvusIndex | None) -> str:
    return "euclidean" if so_far is None else so_far.metric


def _opened(
    connection: MilvusConnection,
    collection: str,
    description: dict[str, Any],
    state: dict[str, Any] | None,
) -> MilvusIndex:
    """Return the MilvusIndex of a description and a state, or raise ValueError."""
    if state is None:
        raise ValueError("its encoder is incomplete")
    if not connection.call("list_indexes", collection):  # a change of its engine was interrupted
        engine = parse_engine(state["engine"], description["dim"])
        vectors = engine.index(description["metric"])
        connection.call("create_index", collection, connection.index_params(vectors))
    for name in (collection, connection.address.name + METADATA_SUFFIX):
        connection.call("load_collection", name)
    encoder = read_encoder(connection, description)
    return MilvusIndex(connection, collection, description | state, encoder)


def _first_codes(update: Update) -> Codes:
    """Return codes of the first images that can be read; raise ValueError if they are not finite.

    A collection is made only for a model that works.
    """
    rows = range(min(FIRST_IMAGES, len(update.dataset)))
    codes = update.encoder.encode(update.dataset.read_good(rows, update.encoder.spec).images)
    if len(codes) and not finite_rows(codes).any():
        raise ValueError(
            f"the model {update.encoder.model} gives codes with NaN or infinity: use another"
        )
    return codes


def _centre_of(codes: Codes, engine: CollectionEngine) -> str:
    """Return the centre of hash codes as text, empty for other engines."""
    if not engine.bits:
        return ""
    return base64.b64encode(codes.mean(axis=0, dtype="float32").tobytes()).decode()


def _put_all(writer: MilvusWriter, source: LocalIndex) -> None:
    records = source.records()
    for start in range(0, len(source), ROWS_PER_WRITE):
        rows = range(start, min(start + ROWS_PER_WRITE, len(source)))
        writer.put(records.take(rows), np.array(source.codes[start : rows.stop]))


def _change_engine(index: MilvusIndex, name: str) -> None:
    """Have the server index the codes in another way; raises ValueError if it cannot."""
    engine = parse_engine(name, index.dim, len(index))
    if engine == index.engine_spec:
        return
    connection = index.connection
    if engine.bits or index.engine_spec.bits:
        raise ValueError(
            f"{index.address} is searched by {index.engine_spec.name}: to change from or to "
            "hash codes, make it again with --rebuild"
        )
    engine.require(lite=connection.address.lite)
    vectors = engine.index(index.metric)
    connection.call("release_collection", index.collection)
    connection.call("drop_index", index.collection, vectors.field)
    connection.call("create_index", index.collection, connection.index_params(vectors))
    connection.call("load_collection", index.collection)
    index.engine_spec = engine
    index.update_state(engine=engine.name)
    index.flush()
