"""Milvus collections as a store: made, brought up to date, merged, and opened."""

import binascii
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from pyimagesearch.encoders.encoder import finite_rows
from pyimagesearch.indexes.contract import Store
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.indexes.milvus.client import MilvusConnection, parse_address
from pyimagesearch.indexes.milvus.collection import MilvusCollection
from pyimagesearch.indexes.milvus.index import MilvusIndex
from pyimagesearch.indexes.milvus.metadata import (
    METADATA_SUFFIX,
    REBUILT_SUFFIX,
    NewCollection,
    centre_text,
    create_collection,
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


class MilvusStore(Store):
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
            return connection.has(_searched(connection))

    def unfinished_source(self) -> dict[str, Any] | None:
        """Return the source of the images of a collection that was about to be made, or None."""
        with closing(self._connect()) as connection:
            return _sound_state(connection).get("dataset")

    def open(self) -> MilvusIndex:
        """Open a collection that `update` made.

        Raises FileNotFoundError if there is none, ValueError if it is not ours or damaged, OSError
        if the server cannot be reached, ImportError without its client.
        """
        connection = self._connect()
        try:
            state = read_state(connection)
            collection = state.get("collection", connection.address.name)
            if not connection.has(collection):
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
        if so_far is not None and not settings.rebuild:
            if settings.metric not in (None, so_far.metric):
                raise ValueError(
                    f"{self.name} ranks by {so_far.metric} distance: change it with --rebuild"
                )
            index = _with_engine(so_far, settings.engine)
        else:
            new = self._of_dataset(update, total)
            index = self.create(new, rebuild=settings.rebuild)
        result = sync(MilvusWriter(index, settings.shard), update, self.name)
        self._finish(index)
        return replace(result, changed=result.changed or settings.engine is not None)

    def merge(self, paths: list[str], settings: UpdateSettings) -> UpdateResult:
        """Write index files, such as shards, into the collection.

        Raises ValueError when their encoders, metrics or datasets are not the same.
        """
        sources = [load_index(path) for path in paths]
        first = sources[0]
        for path, source in zip(paths, sources, strict=True):
            require_alike(first, paths[0], source, path)
        so_far = self.open() if self.exists() else None
        if so_far is not None and not settings.rebuild:
            require_alike(so_far, self.name, first, paths[0])
            index = _with_engine(so_far, settings.engine)
        else:
            assert first.encoder is not None
            engine = self._new_engine(so_far, first.encoder.dim, len(first), settings)
            new = NewCollection(
                encoder=first.encoder,
                metric=first.metric,
                engine=engine,
                source=first.source or {},
                has_files=first.has_files,
                centre=centre_text(np.asarray(first.codes[:SAMPLE])) if engine.bits else "",
            )
            index = self.create(new, rebuild=settings.rebuild)
        writer = MilvusWriter(index)
        for source in sources:
            records = source.records()
            for start in range(0, len(source), ROWS_PER_WRITE):
                rows = range(start, min(start + ROWS_PER_WRITE, len(source)))
                writer.put(records.take(rows), np.array(source.codes[start : rows.stop]))
        count = writer.commit(index.source or first.source or {})
        self._finish(index)
        return UpdateResult(count)

    # --- new collections

    def _of_dataset(self, update: Update, total: int) -> NewCollection:
        """Return the collection to make for a dataset, one of `total` images in all its shards."""
        settings = update.settings
        so_far = update.index
        _require_finite_codes(update)
        assert so_far is None or isinstance(so_far, MilvusIndex)
        engine = self._new_engine(so_far, update.encoder.dim, total, settings)
        centre = ""
        if engine.bits:
            centre = centre_text(sample_codes(update.dataset, update.encoder))
        return NewCollection(
            encoder=update.encoder,
            metric=update.metric,
            engine=engine,
            source=update.dataset.source,
            has_files=update.dataset.file_stats is not None,
            centre=centre,
        )

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
        if not (rebuild and connection.has(searched)):
            create_collection(connection, searched, new, first=True)
            connection.close()
            return self.open()
        require_ours(connection, searched)
        name = self._address.name
        if name == searched:
            name += REBUILT_SUFFIX
        if connection.has(name):  # of an interrupted rebuild
            require_ours(connection, name)
            connection.call("drop_collection", name)
        description = create_collection(connection, name, new, first=False)
        return _opened(connection, name, description, new.state())

    def _finish(self, index: MilvusIndex) -> None:
        """Have a rebuilt collection searched from now on, and drop the one before."""
        connection = index.collection.connection
        searched = _searched(connection)
        name = index.collection.name
        if name == searched:
            return
        write_state(connection, {**index.state, "collection": name})
        if connection.has(searched):
            connection.call("drop_collection", searched)
        remove_networks(connection, name)


def _sound_state(connection: MilvusConnection) -> dict[str, Any]:
    """Return the state of an index, {} also where it is damaged, as only a rebuild mends that."""
    try:
        return read_state(connection)
    except ValueError:
        return {}


def _searched(connection: MilvusConnection) -> str:
    """Return the name of the collection that is searched, or would be."""
    return str(_sound_state(connection).get("collection", connection.address.name))


def _opened(
    connection: MilvusConnection,
    collection: str,
    description: dict[str, Any],
    state: dict[str, Any],
) -> MilvusIndex:
    """Return the MilvusIndex of a description and a state, or raise ValueError."""
    if not state:
        raise ValueError("its encoder is incomplete")
    if not connection.call("list_indexes", collection):  # a change of its engine was interrupted
        engine = parse_engine(state["engine"], description["dim"])
        vectors = engine.index(description["metric"])
        connection.call("create_index", collection, connection.index_params(vectors))
    for name in (collection, connection.address.name + METADATA_SUFFIX):
        connection.call("load_collection", name)
    encoder = read_encoder(connection, description)
    rows = MilvusCollection(connection, collection, hashed=description["of_folder"])
    return MilvusIndex(rows, description | state, encoder)


def _require_finite_codes(update: Update) -> None:
    """Raise ValueError if the codes of the first images that can be read are not finite.

    A collection is made only for a model that works.
    """
    rows = range(min(FIRST_IMAGES, len(update.dataset)))
    codes = update.encoder.encode(update.dataset.read_good(rows, update.encoder.spec).images)
    if len(codes) and not finite_rows(codes).any():
        raise ValueError(
            f"the model {update.encoder.model} gives codes with NaN or infinity: use another"
        )


def _with_engine(index: MilvusIndex, name: str | None) -> MilvusIndex:
    """Have the server index the codes as the engine of a name, or as before for None.

    Raises ValueError if it cannot.
    """
    if name is None:
        return index
    engine = parse_engine(name, index.dim, len(index))
    if engine == index.engine_spec:
        return index
    if engine.bits or index.engine_spec.bits:
        raise ValueError(
            f"{index.address} is searched by {index.engine_spec.name}: to change from or to "
            "hash codes, make it again with --rebuild"
        )
    collection = index.collection
    engine.require(lite=collection.connection.address.lite)
    vectors = engine.index(index.metric)
    collection.call("release_collection")
    collection.call("drop_index", vectors.field)
    collection.call("create_index", collection.connection.index_params(vectors))
    collection.call("load_collection")
    index.engine_spec = engine
    index.update_state(engine=engine.name)
    index.flush()
    return index
