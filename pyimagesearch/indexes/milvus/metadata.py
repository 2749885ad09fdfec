"""The metadata of a collection: its description, its state, and its encoder.

The description (metric, model, dimension) never changes: it is JSON in a property of the
collection, which also marks the collection as ours. A second collection, NAME_about, holds the
encoder as ONNX, that of texts too if there is one, and the state: the location of the pictures, the
engine, and after a rebuild the name of the collection that is searched. Nothing that comes from a
server is trusted.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyimagesearch.datasets.catalog import is_source
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.indexes.contract import Codes
from pyimagesearch.indexes.milvus.collection import between
from pyimagesearch.indexes.milvus.rows import as_text, as_whole
from pyimagesearch.indexes.milvus.schema import TEXT, CollectionEngine, VectorIndex
from pyimagesearch.metric import METRICS

if TYPE_CHECKING:
    from pyimagesearch.indexes.milvus.client import MilvusConnection

PROPERTY = "pyimagesearch.about"  # marks our collections
METADATA_SUFFIX = "_about"
CHUNK = 45_000  # bytes of the encoder a row: 60,000 as Base64, which fits in a VARCHAR
CHUNKS_AT_ONCE = 128
MAX_CHUNKS = 2**31 // CHUNK  # ONNX files end at 2 GB
DESCRIPTION = {
    "metric": str,
    "of_folder": bool,
    "dim": int,
    "model": str,
    "model_sha256": str,
    "spec": dict,
    "onnx_sha256": str,
    "chunks": int,
}
TEXT_DESCRIPTION = {"text_sha256": str, "text_chunks": int}  # where texts can be encoded too
STATE = {"dataset": dict, "engine": str, "centre": str}
REBUILT_SUFFIX = "_rebuilt"  # of the collection that a rebuild fills beside NAME


@dataclass(frozen=True)
class NewCollection:
    """A collection that is to be made.

    `source` is that of its images, `has_files` says whether they are files, `centre` is the
    centre of hash codes as Base64, empty for other engines.
    """

    encoder: Encoder
    metric: str
    engine: CollectionEngine
    source: dict[str, Any]
    has_files: bool
    centre: str = ""

    def state(self) -> dict[str, Any]:
        """Return the first state of the collection."""
        return {"dataset": self.source, "engine": self.engine.name, "centre": self.centre}


def create_collection(
    server: "MilvusConnection", name: str, new: NewCollection, *, first: bool
) -> dict[str, Any]:
    """Make a collection called `name`, or leave one that another process just made.

    Returns its description. Its encoder is written before, and for the `first` one of an index its
    state too: a collection that exists has both.
    """
    encoder = new.encoder
    values: dict[str, Any] = {**encoder.to_dict(), "metric": new.metric, "of_folder": new.has_files}
    values |= write_network(server, encoder.onnx, "onnx_sha256", "chunks")
    if encoder.text is not None:
        values |= write_network(server, encoder.text, *TEXT_DESCRIPTION)
    if first:
        write_state(server, new.state())
    keys = DESCRIPTION.keys() | (TEXT_DESCRIPTION.keys() & values.keys())
    description = {key: values[key] for key in sorted(keys)}
    if not server.has(name):
        schema = server.schema()
        new.engine.add_fields(schema, encoder.dim)
        server.call(
            "create_collection",
            name,
            schema=schema,
            index_params=server.index_params(new.engine.index(new.metric)),
            properties={PROPERTY: json.dumps(description)},
        )
    return description


def read_state(server: "MilvusConnection") -> dict[str, Any]:
    """Return the state of an index, {} where there is none; raise ValueError if it is damaged."""
    name = _metadata_name(server)
    if not server.has(name):
        return {}
    require_ours(server, name)
    server.call("load_collection", name)
    texts = _find_texts(server, range(1))
    if not texts:
        return {}
    return checked_state(json.loads(texts[0]), server.address.name)


def checked_state(state: Any, name: str) -> dict[str, Any]:
    """Return the state of the index called `name`, or raise ValueError."""
    types = {key: type(value) for key, value in state.items()} if isinstance(state, dict) else {}
    if types not in (STATE, {**STATE, "collection": str}):
        raise ValueError(f"expected its state to hold {', '.join(STATE)}")
    if not is_source(state["dataset"]):
        raise ValueError("expected its dataset as name, split, limit and how a folder was read")
    if state.get("collection", name) not in (name, name + REBUILT_SUFFIX):
        raise ValueError("its state names a collection that is not its own")
    return dict(state)


def read_encoder(server: "MilvusConnection", description: dict[str, Any]) -> Encoder:
    """Return the encoder of a collection, or raise ValueError."""
    fields = {name: description[name] for name in ("spec", "dim", "model", "model_sha256")}
    fields["onnx"] = read_network(server, description, "onnx_sha256", "chunks")
    if TEXT_DESCRIPTION.keys() <= description.keys():
        fields["text"] = read_network(server, description, *TEXT_DESCRIPTION)
    return Encoder.from_dict(fields)


def centre_text(codes: Codes) -> str:
    """Return the centre of codes, float32 (n, dim), as Base64; `as_centre` is the inverse."""
    return base64.b64encode(codes.mean(axis=0, dtype="float32").tobytes()).decode()


def as_centre(text: str) -> Codes:
    """Return the centre of hash codes, float32 (dim,), or (0,) where there are none."""
    return np.frombuffer(base64.b64decode(text, validate=True), np.float32)


def require_ours(server: "MilvusConnection", name: str) -> dict[str, Any]:
    """Return the description of a collection, {} of metadata; raise ValueError if not ours."""
    described = server.call("describe_collection", name).get("properties", {}).get(PROPERTY)
    if not isinstance(described, str):
        raise ValueError(
            f"{server.address.uri}/{name} is a collection that index_images.py did not make, and "
            "does not touch: name another"
        )
    values = json.loads(described)
    if name.endswith(METADATA_SUFFIX) and values == {}:
        return {}
    types = {key: type(v) for key, v in values.items()} if isinstance(values, dict) else {}
    if types not in (DESCRIPTION, DESCRIPTION | TEXT_DESCRIPTION):
        raise ValueError(f"expected its description to hold {', '.join(DESCRIPTION)}")
    if values["metric"] not in METRICS:
        raise ValueError("its description is damaged")
    return dict(values)


def write_network(
    server: "MilvusConnection", network: Any, hash_key: str, count_key: str
) -> dict[str, Any]:
    """Write a network, bytes; return its hash and number of rows under these keys."""
    network = bytes(network)
    chunks = [network[i : i + CHUNK] for i in range(0, len(network), CHUNK)]
    written = {hash_key: hashlib.sha256(network).hexdigest(), count_key: len(chunks)}
    _require_metadata(server)
    first = _rows_of(written, hash_key, count_key).start
    for start in range(0, len(chunks), CHUNKS_AT_ONCE):
        part = chunks[start : start + CHUNKS_AT_ONCE]
        _upsert_texts(server, first + start, [base64.b64encode(chunk).decode() for chunk in part])
    server.call("flush", _metadata_name(server))
    return written


def read_network(
    server: "MilvusConnection", description: dict[str, Any], hash_key: str, count_key: str
) -> bytes:
    """Return the bytes that `write_network` wrote. Raises ValueError when they are damaged."""
    if not 0 < description[count_key] <= MAX_CHUNKS:
        raise ValueError("its description is damaged")
    rows = _rows_of(description, hash_key, count_key)
    texts = _find_texts(server, rows)
    if not texts.keys() >= set(rows):
        raise ValueError("its encoder is incomplete")
    network = b"".join(base64.b64decode(texts[row], validate=True) for row in rows)
    if hashlib.sha256(network).hexdigest() != description[hash_key]:
        raise ValueError("its encoder is damaged")
    return network


def _rows_of(description: dict[str, Any], hash_key: str, count_key: str) -> range:
    """Return the rows of a network; they begin at a hash, so that none overwrites another."""
    first = int(description[hash_key][:10], 16) * 2**20
    return range(first, first + description[count_key])


def _metadata_name(server: "MilvusConnection") -> str:
    return server.address.name + METADATA_SUFFIX


def _require_metadata(server: "MilvusConnection") -> None:
    """Make the collection of the metadata; raise ValueError if there is one that is not ours."""
    name = _metadata_name(server)
    if server.has(name):
        require_ours(server, name)
        return
    from pymilvus import DataType

    schema = server.schema()
    schema.add_field("row", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=TEXT)
    schema.add_field("nothing", DataType.FLOAT_VECTOR, dim=2)  # there has to be a vector
    server.call(
        "create_collection",
        name,
        schema=schema,
        index_params=server.index_params(VectorIndex("nothing", "FLAT", "L2", {})),
        properties={PROPERTY: "{}"},
    )


def write_state(server: "MilvusConnection", state: dict[str, Any]) -> None:
    """Write the state of a collection."""
    kept = {key: state[key] for key in (*STATE, "collection") if key in state}
    _upsert_texts(server, 0, [json.dumps(kept)])


def _upsert_texts(server: "MilvusConnection", first: int, texts: list[str]) -> None:
    rows = [{"row": first + i, "text": text, "nothing": [0, 0]} for i, text in enumerate(texts)]
    server.call("upsert", _metadata_name(server), rows)


def _find_texts(server: "MilvusConnection", rows: range) -> dict[int, str]:
    """Return the texts of those of the rows that exist."""
    texts: dict[int, str] = {}
    for start in range(0, len(rows), CHUNKS_AT_ONCE):
        part = rows[start : start + CHUNKS_AT_ONCE]
        found = server.call(
            "query",
            _metadata_name(server),
            filter=between(part),
            output_fields=["row", "text"],
            consistency_level="Strong",
        )
        texts |= {as_whole(entity.get("row")): as_text(entity.get("text")) for entity in found}
    return texts


def remove_networks(server: "MilvusConnection", collection: str) -> None:
    """Delete the networks that a collection does not use, such as those before a rebuild."""
    description = require_ours(server, collection)
    pairs = [("onnx_sha256", "chunks"), tuple(TEXT_DESCRIPTION)]
    kept = [between(_rows_of(description, *pair)) for pair in pairs if pair[0] in description]
    server.call(
        "delete",
        _metadata_name(server),
        filter=f"row > 0 and not ({' or '.join(f'({rows})' for rows in kept)})",
    )
