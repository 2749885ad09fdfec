"""Milvus collections as a store: made, brought up to date, merged, and opened."""

import base64
import binascii
import json
from dataclasses import replace

from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.indexes.index_file import load_index
from pyimagesearch.indexes.milvus.client import MilvusConnection, parse_address
from pyimagesearch.indexes.milvus.index import MilvusIndex
from pyimagesearch.indexes.milvus.metadata import (
    DESCRIPTION,
    METADATA_SUFFIX,
    PROPERTY,
    TEXT_DESCRIPTION,
    checked_state,
    read_network,
    read_texts,
    require_ours,
    write_network,
    write_state,
)
from pyimagesearch.indexes.milvus.schema import SAMPLE, parse_engine, sample_codes
from pyimagesearch.indexes.milvus.sync import change_engine, copy_index, sync_collection
from pyimagesearch.indexes.settings import UpdateResult
from pyimagesearch.indexes.shards import require_alike, take_shard
from pyimagesearch.indexes.sync import require_same_source
from pyimagesearch.metric import METRICS


class MilvusStore:
    """An index in a collection: http://HOST:PORT/NAME on a server, FILE.db[/NAME] of Lite."""

    keeps_arrays = True

    def __init__(self, name):
        self.name = str(name)

    def __str__(self):
        return self.name

    def exists(self):
        """Whether there is a collection, anybody's, at this address."""
        connection = MilvusConnection(parse_address(self.name))
        try:
            return connection.call("has_collection", connection.address.name)
        finally:
            connection.close()

    def require_writable(self):
        """Raise ValueError now if this is not the address of a collection."""
        parse_address(self.name)

    def open(self):
        """Open a collection that `update` made; return a MilvusIndex.

        Raises FileNotFoundError if there is none, ValueError if it is not ours or damaged, OSError
        if the server cannot be reached, ImportError without its client.
        """
        connection = MilvusConnection(parse_address(self.name))
        name = connection.address.name
        if not connection.call("has_collection", name):
            raise FileNotFoundError(f"no such index: {self.name}; make it with index_images.py")
        description = require_ours(connection, name)
        for collection in (name, name + METADATA_SUFFIX):
            connection.call("load_collection", collection)
        try:
            return _opened(connection, description)
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise ValueError(
                f"cannot use the index {self.name}: {error}; make it again with index_images.py"
            ) from error

    def update(self, dataset, index, encoder, settings, encode):
        """Bring the collection up to date with a dataset, or make it; return an UpdateResult.

        Arguments are those of FileStore.update; the engine is not tuned to `settings.recall`. All
        writes are idempotent: an interrupted run is repeated. Raises ValueError when the metric is
        another or the collection is of other images, and as `create` does.
        """
        if settings.rebuild and settings.shard:
            raise ValueError(
                "--rebuild would drop the rows of other shards: name a new collection instead"
            )
        if index and not settings.rebuild:
            moved = index.has_files and index.source["name"] != dataset.source["name"]
            so_far = index.listing()[1] if moved else index
            require_same_source(so_far, dataset, self.name, settings.limited)
        index = self._prepared(dataset, index, encoder, settings)
        total = len(dataset)
        part = take_shard(dataset, settings.shard) if settings.shard else dataset
        summary = sync_collection(part, index, total, settings, encode)
        return UpdateResult(index.count(), summary)

    def merge(self, paths, settings):
        """Write index files, such as shards, into the collection; return an UpdateResult.

        Raises ValueError when their encoders, metrics or datasets are not the same.
        """
        sources = [load_index(path) for path in paths]
        first = sources[0]
        for path, source in zip(paths, sources, strict=True):
            require_alike(first, paths[0], source, path)
        index = self.open() if not settings.rebuild and self.exists() else None
        if index:
            require_alike(index, self.name, first, paths[0])
        settings = replace(settings, metric=first.metric)
        index = self._prepared(first, index, first.encoder, settings, first.codes[:SAMPLE])
        for source in sources:
            copy_index(source, index)
        index.flush()
        return UpdateResult(index.count())

    def _prepared(self, images, index, encoder, settings, sample=None):
        """Return the MilvusIndex to write to: the one so far, or a new one."""
        metric = settings.metric or (index.metric if index else "euclidean")
        if settings.rebuild:
            self.drop()
        if settings.rebuild or index is None:
            engine = settings.engine or "exact"
            return self.create(images, encoder, metric, engine, sample)
        if metric != index.metric:
            raise ValueError(
                f"{self.name} ranks by {index.metric} distance: change it with --rebuild"
            )
        if settings.engine:
            change_engine(index, settings.engine)
        return index

    def create(self, images, encoder, metric, engine="exact", sample=None):
        """Make a collection for the codes of images, or open one that another process just made.

        `images` is a Dataset or an Index; `sample` are codes, float32 (m, dim), to centre hash
        codes on. Returns a MilvusIndex. Raises as `open` does, and ValueError for an engine that
        the server does not have.
        """
        connection = MilvusConnection(parse_address(self.name))
        name, engine = connection.address.name, parse_engine(engine, encoder.dim, len(images))
        engine.require(connection)
        description = encoder.to_dict() | {
            "metric": metric,
            "of_folder": images.file_stats is not None,
        }
        # The encoder first: a collection that exists must have a complete one.
        description |= write_network(connection, encoder.onnx, "onnx_sha256", "chunks")
        if encoder.text is not None:
            description |= write_network(connection, encoder.text, *TEXT_DESCRIPTION)
        write_state(connection, _new_state(images, encoder, engine, sample))
        if not connection.call("has_collection", name):
            keys = DESCRIPTION.keys() | (TEXT_DESCRIPTION.keys() & description.keys())
            text = json.dumps({key: description[key] for key in sorted(keys)})
            schema = connection.schema()
            engine.add_fields(schema, encoder.dim)
            params = connection.index_params(*engine.index(metric))
            connection.call(
                "create_collection",
                name,
                schema=schema,
                index_params=params,
                properties={PROPERTY: text},
            )
        connection.close()
        return self.open()

    def drop(self):
        """Remove the collection, if it exists. Raises ValueError if it is not ours."""
        connection = MilvusConnection(parse_address(self.name))
        name = connection.address.name
        for collection in (name, name + METADATA_SUFFIX):
            if connection.call("has_collection", collection):
                require_ours(connection, collection)
                connection.call("drop_collection", collection)
        connection.close()


def _new_state(images, encoder, engine, sample):
    centre = b""
    if engine.bits:
        sample = sample_codes(images, encoder) if sample is None else sample
        centre = sample.mean(axis=0, dtype="float32").tobytes()
    return {
        "dataset": images.source,
        "engine": engine.name,
        "centre": base64.b64encode(centre).decode(),
    }


def _opened(connection, text):
    """Return the MilvusIndex of a description, or raise ValueError."""
    values = json.loads(text)
    types = isinstance(values, dict) and {key: type(value) for key, value in values.items()}
    if types not in (DESCRIPTION, DESCRIPTION | TEXT_DESCRIPTION):
        raise ValueError(f"expected its description to hold {', '.join(DESCRIPTION)}")
    if values["metric"] not in METRICS:
        raise ValueError("its description is damaged")
    fields = {name: values[name] for name in ("spec", "dim", "model", "model_sha256")}
    fields["onnx"] = read_network(connection, values, "onnx_sha256", "chunks")
    if types != DESCRIPTION:
        fields["text"] = read_network(connection, values, *TEXT_DESCRIPTION)
    encoder = Encoder.from_dict(fields)
    [state] = read_texts(connection, 0, 1)
    state = checked_state(json.loads(state), encoder.dim)
    return MilvusIndex(connection, values, state, encoder)
