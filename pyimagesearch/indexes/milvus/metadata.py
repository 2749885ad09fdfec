"""The metadata of a collection: its description, its state, and its encoder.

The description (metric, model, dimension) never changes: it is JSON in a property of the
collection, which also marks the collection as ours. A second collection, NAME_about, holds the
encoder as ONNX, that of texts too if there is one, and the state, such as the location of the
pictures. Nothing that comes from a server is trusted.
"""

import base64
import hashlib
import json

import numpy as np

from pyimagesearch.datasets.catalog import is_source
from pyimagesearch.indexes.milvus.rows import as_text, as_whole
from pyimagesearch.indexes.milvus.schema import TEXT

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


def checked_state(state, dim):
    """Return the state of a collection with codes of `dim` dimensions, or raise ValueError."""
    if not isinstance(state, dict) or {k: type(v) for k, v in state.items()} != STATE:
        raise ValueError(f"expected its state to hold {', '.join(STATE)}")
    if not is_source(state["dataset"]):
        raise ValueError("expected its dataset as name, split, limit and how a folder was read")
    if len(as_centre(state["centre"])) not in (0, dim):
        raise ValueError("its engine is damaged")
    return state


def as_centre(text):
    """Return the centre of hash codes, float32 (dim,), or (0,) where there are none."""
    return np.frombuffer(base64.b64decode(text, validate=True), np.float32)


def require_ours(server, name):
    """Return the description of a collection as text; raise ValueError if it is not ours."""
    described = server.call("describe_collection", name).get("properties", {}).get(PROPERTY)
    if not isinstance(described, str):
        raise ValueError(
            f"{server.address.uri}/{name} is a collection that index_images.py did not make, and "
            "does not touch: name another"
        )
    return described


def write_network(server, network, hash_key, count_key):
    """Write a network, bytes; return its hash and number of rows under these keys."""
    network = bytes(network)
    chunks = [network[i : i + CHUNK] for i in range(0, len(network), CHUNK)]
    digest = hashlib.sha256(network).hexdigest()
    _write_chunks(server, _first_row(digest), chunks)
    return {hash_key: digest, count_key: len(chunks)}


def read_network(server, description, hash_key, count_key):
    """Return the bytes that `write_network` wrote. Raises ValueError when they are damaged."""
    digest, count = description[hash_key], description[count_key]
    if not 0 < count <= MAX_CHUNKS:
        raise ValueError("its description is damaged")
    texts = read_texts(server, _first_row(digest), count)
    network = b"".join(base64.b64decode(text, validate=True) for text in texts)
    if hashlib.sha256(network).hexdigest() != digest:
        raise ValueError("its encoder is damaged")
    return network


def _first_row(digest):
    """Return the first row of a network: a hash, so that no network overwrites another."""
    return int(digest[:10], 16) * 2**20


def _write_chunks(server, first, chunks):
    name = server.address.name + METADATA_SUFFIX
    if server.call("has_collection", name):
        require_ours(server, name)
    else:
        from pymilvus import DataType

        schema = server.schema()
        schema.add_field("row", DataType.INT64, is_primary=True)
        schema.add_field("text", DataType.VARCHAR, max_length=TEXT)
        schema.add_field("nothing", DataType.FLOAT_VECTOR, dim=2)  # there has to be a vector
        params = server.index_params("nothing", "FLAT", "L2", {})
        server.call(
            "create_collection",
            name,
            schema=schema,
            index_params=params,
            properties={PROPERTY: "{}"},
        )
    texts = [base64.b64encode(chunk).decode() for chunk in chunks]
    for start in range(0, len(texts), CHUNKS_AT_ONCE):
        _upsert_texts(server, first + start, texts[start : start + CHUNKS_AT_ONCE])
    server.call("flush", name)


def write_state(server, state):
    """Write the state of a collection."""
    _upsert_texts(server, 0, [json.dumps(state)])


def _upsert_texts(server, first, texts):
    rows = [{"row": first + i, "text": text, "nothing": [0, 0]} for i, text in enumerate(texts)]
    server.call("upsert", server.address.name + METADATA_SUFFIX, rows)


def read_texts(server, first, count):
    """Return the texts of `count` rows from `first`."""
    texts = {}
    for start in range(first, first + count, CHUNKS_AT_ONCE):
        found = server.call(
            "query",
            server.address.name + METADATA_SUFFIX,
            filter=f"row >= {start} and row < {min(start + CHUNKS_AT_ONCE, first + count)}",
            output_fields=["row", "text"],
            consistency_level="Strong",
        )
        texts |= {as_whole(entity.get("row")): as_text(entity.get("text")) for entity in found}
    rows = range(first, first + count)
    if not texts.keys() >= set(rows):
        raise ValueError("its encoder is incomplete")
    return [texts[row] for row in rows]
