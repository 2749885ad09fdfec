"""What a collection of ours says of itself: how one is made, told from others, and opened.

What never changes (metric, model, size of the codes) is JSON in a property of the collection, by
which it is known to be ours. A second collection, NAME_about, holds the encoder as ONNX, and what
may change (where the pictures are). Nothing that comes from a server is trusted.
"""

import base64
import binascii
import hashlib
import json

import numpy as np

from pyimagesearch.datasets.folder import is_folder
from pyimagesearch.index.index import SOURCE_KEYS, Index
from pyimagesearch.metric import METRICS
from pyimagesearch.milvus.client import Server, parse_address
from pyimagesearch.milvus.rows import as_text, as_whole
from pyimagesearch.milvus.schema import TEXT, parse_engine, sample_codes
from pyimagesearch.models.encoder import Encoder

PROPERTY = "pyimagesearch.about"  # of what is ours
ABOUT = "_about"
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
STATE = {"dataset": dict, "engine": str, "centre": str}


def collection_exists(index):
    """Whether there is a collection, anybody's, at this address."""
    server = Server(parse_address(index))
    try:
        return server.call("has_collection", server.address.name)
    finally:
        server.close()


def open_collection(index):
    """Open the collection of ours at an address, http://HOST:PORT/NAME or FILE.db/NAME.

    Returns a MilvusIndex. Raises FileNotFoundError if there is none, ValueError if it is not ours
    or damaged, OSError if the server cannot be reached, ImportError without its client.
    """
    server = Server(parse_address(index))
    if not server.call("has_collection", server.address.name):
        raise FileNotFoundError(f"no such index: {index}; make it with index_images.py")
    described = _require_ours(server, server.address.name)
    for name in (server.address.name, server.address.name + ABOUT):
        server.call("load_collection", name)
    try:
        return _opened(server, described)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise ValueError(
            f"cannot use the index {index}: {error}; make it again with index_images.py --rebuild"
        ) from error


def _opened(server, text):
    from pyimagesearch.milvus.index import MilvusIndex

    values = json.loads(text)
    if not isinstance(values, dict) or {k: type(v) for k, v in values.items()} != DESCRIPTION:
        raise ValueError(f"expected its description to hold {', '.join(DESCRIPTION)}")
    if values["metric"] not in METRICS or not 0 < values["chunks"] <= MAX_CHUNKS:
        raise ValueError("its description is damaged")
    first = _first_row(values["onnx_sha256"])
    texts = _read_texts(server, first, values["chunks"])
    onnx = b"".join(base64.b64decode(text, validate=True) for text in texts)
    if hashlib.sha256(onnx).hexdigest() != values["onnx_sha256"]:
        raise ValueError("its encoder is damaged")
    fields = ("spec", "dim", "model", "model_sha256")
    encoder = Encoder.from_dict({"onnx": onnx, **{name: values[name] for name in fields}})
    [state] = _read_texts(server, 0, 1)
    state = _checked_state(json.loads(state), encoder.dim)
    return MilvusIndex(server, values, state, encoder)


def _checked_state(state, dim):
    if not isinstance(state, dict) or {k: type(v) for k, v in state.items()} != STATE:
        raise ValueError(f"expected its state to hold {', '.join(STATE)}")
    if set(state["dataset"]) != SOURCE_KEYS:
        raise ValueError(f"expected its dataset as {', '.join(sorted(SOURCE_KEYS))}")
    if len(as_centre(state["centre"])) not in (0, dim):
        raise ValueError("its engine is damaged")
    return state


def as_centre(text):
    """Return the centre of hash codes, float32 (dim,), or (0,) where there are none."""
    return np.frombuffer(base64.b64decode(text, validate=True), np.float32)


def create_collection(index, encoder, metric, dataset, engine="exact", sample=None):
    """Make a collection for the codes of a dataset, or open what another process just made.

    Arguments are an address, an Encoder, "euclidean" or "cosine", the images or an Index of them,
    and an engine's name. `sample` are codes, float32 (m, dim), to place hash codes by. Returns a
    MilvusIndex. Raises as `open_collection` does, and ValueError for an engine that the server
    does not have.
    """
    server = Server(parse_address(index))
    name, engine = server.address.name, parse_engine(engine, encoder.dim, len(dataset))
    of_folder = dataset.of_folder if isinstance(dataset, Index) else is_folder(dataset)
    engine.require(server)
    chunks = [encoder.onnx[i : i + CHUNK] for i in range(0, len(encoder.onnx), CHUNK)]
    described = encoder.to_dict() | {
        "metric": metric,
        "of_folder": of_folder,
        "onnx_sha256": hashlib.sha256(encoder.onnx).hexdigest(),
        "chunks": len(chunks),
    }
    centre = b""
    if engine.bits:
        sample = sample_codes(dataset, encoder) if sample is None else sample
        centre = sample.mean(axis=0, dtype=np.float32).tobytes()
    state = {
        "dataset": dataset.dataset if isinstance(dataset, Index) else dataset.source,
        "engine": engine.name,
        "centre": base64.b64encode(centre).decode(),
    }
    # The encoder first: what opens a collection shall find it whole.
    _write_encoder(server, _first_row(described["onnx_sha256"]), chunks)
    write_state(server, state)
    if not server.call("has_collection", name):
        text = json.dumps({key: described[key] for key in DESCRIPTION})
        schema = server.schema()
        engine.add_fields(schema, encoder.dim)
        params = server.index_params(*engine.index(metric))
        server.call(
            "create_collection",
            name,
            schema=schema,
            index_params=params,
            properties={PROPERTY: text},
        )
    server.close()
    return open_collection(index)


def drop_collection(index):
    """Remove a collection of ours, if it is there. Raises ValueError if it is not ours."""
    server = Server(parse_address(index))
    for name in (server.address.name, server.address.name + ABOUT):
        if server.call("has_collection", name):
            _require_ours(server, name)
            server.call("drop_collection", name)
    server.close()


def _require_ours(server, name):
    """Return what a collection of ours says of itself, as text, or raise ValueError."""
    described = server.call("describe_collection", name).get("properties", {}).get(PROPERTY)
    if not isinstance(described, str):
        raise ValueError(
            f"{server.address.uri}/{name} is a collection that index_images.py did not make, and "
            "does not touch: name another"
        )
    return described


def _first_row(onnx_sha256):
    """Return the row where an encoder begins: another for each, so that none damages another."""
    return int(onnx_sha256[:10], 16) * 2**20


def _write_encoder(server, first, chunks):
    name = server.address.name + ABOUT
    if server.call("has_collection", name):
        _require_ours(server, name)
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
    """Write what may change of a collection."""
    _upsert_texts(server, 0, [json.dumps(state)])


def _upsert_texts(server, first, texts):
    rows = [{"row": first + i, "text": text, "nothing": [0, 0]} for i, text in enumerate(texts)]
    server.call("upsert", server.address.name + ABOUT, rows)


def _read_texts(server, first, count):
    """Return the texts of `count` rows from `first`."""
    texts = {}
    for start in range(first, first + count, CHUNKS_AT_ONCE):
        found = server.call(
            "query",
            server.address.name + ABOUT,
            filter=f"row >= {start} and row < {min(start + CHUNKS_AT_ONCE, first + count)}",
            output_fields=["row", "text"],
            consistency_level="Strong",
        )
        texts |= {as_whole(entity.get("row")): as_text(entity.get("text")) for entity in found}
    rows = range(first, first + count)
    if not texts.keys() >= set(rows):
        raise ValueError("its encoder is not whole")
    return [texts[row] for row in rows]
