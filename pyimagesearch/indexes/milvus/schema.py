"""Engines of a Milvus collection: their names, and the index types of the server."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyimagesearch.datasets.dataset import Dataset
from pyimagesearch.encoders.encoder import Encoder, finite_rows
from pyimagesearch.indexes.contract import Codes
from pyimagesearch.indexes.shards import stable_hash

KNOWN = "exact, auto, HNSW32, IVF256,Flat, IVF256,SQ8, IVF256,PQ8, clusters:6 or hash:64"
SERVER_METRICS = {"euclidean": "L2", "cosine": "COSINE"}
LITE = {"FLAT", "HNSW", "IVF_FLAT"}  # the index types of Milvus Lite
TEXT = 65_535  # bytes that a VARCHAR may have
EF_CONSTRUCTION = 200
SAMPLE = 1000  # images whose mean code is the centre of hash codes


@dataclass(frozen=True)
class VectorIndex:
    """How the server indexes the vectors of a field: type, metric and parameters, in its words."""

    field: str
    kind: str
    metric: str
    params: dict[str, int]


@dataclass(frozen=True)
class CollectionEngine:
    """An engine as Milvus knows it: the type of index, `kind`, and its `params`.

    `bits` is the number of bits of hash codes, else 0; `inexact` says whether its distances are
    approximate, so that true ones are computed here from the fetched codes.
    """

    name: str
    kind: str
    params: dict[str, int]
    bits: int = 0
    inexact: bool = False

    def require(self, *, lite: bool) -> None:
        """Raise ValueError if the server, or Milvus `lite`, does not have it."""
        if lite and self.kind not in LITE:
            raise ValueError(
                f"Milvus Lite has no {self.kind}, which {self.name} needs: choose exact, HNSW32 or "
                "IVF256,Flat, or a Milvus server"
            )

    def index(self, metric: str) -> VectorIndex:
        """Return the index that the server has for the metric of this name."""
        if self.bits:
            return VectorIndex("hash", self.kind, "HAMMING", self.params)
        return VectorIndex("code", self.kind, SERVER_METRICS[metric], self.params)

    def add_fields(self, schema: Any, dim: int) -> None:
        """Add the fields of a collection to its schema."""
        from pymilvus import DataType

        schema.add_field("row", DataType.INT64, is_primary=True)
        schema.add_field("id", DataType.VARCHAR, max_length=TEXT)
        schema.add_field("label", DataType.VARCHAR, max_length=TEXT)
        schema.add_field("size", DataType.INT64)
        schema.add_field("mtime_ns", DataType.INT64)
        schema.add_field("digest", DataType.VARCHAR, max_length=32)
        if self.bits:  # a collection can search one vector a row; the code is an array beside it
            schema.add_field("hash", DataType.BINARY_VECTOR, dim=self.bits)
            floats = {"element_type": DataType.FLOAT, "max_capacity": dim}
            schema.add_field("code", DataType.ARRAY, **floats)
        else:
            schema.add_field("code", DataType.FLOAT_VECTOR, dim=dim)

    def vectors(self, codes: Codes, centre: Codes) -> list[dict[str, Any]]:
        """Return the stored fields of codes, float32 (n, dim), as n dictionaries."""
        if not self.bits:
            return [{"code": code} for code in codes]
        hashes = hash_codes(codes, centre, self.bits)
        pairs = zip(codes.tolist(), hashes, strict=True)
        return [{"code": code, "hash": hashed.tobytes()} for code, hashed in pairs]


def parse_engine(name: str, dim: int, count: int = 0) -> CollectionEngine:
    """Return the CollectionEngine for an engine's name, for `count` codes of `dim` dimensions.

    Raises ValueError when Milvus has no such engine.
    """
    if name == "auto":
        from pyimagesearch.engines.recommendation import recommend_engine

        name, _ = recommend_engine(count, dim)
    if name == "exact":
        return CollectionEngine(name, "FLAT", {})
    if match := re.fullmatch(r"HNSW(\d{1,2})(,Flat)?", name):
        params = {"M": int(match[1]), "efConstruction": EF_CONSTRUCTION}
        if 4 <= params["M"] <= 64:
            return CollectionEngine(name, "HNSW", params)
    if match := re.fullmatch(r"(?:IVF|clusters:)([1-9]\d{0,4})(,Flat|,SQ8|,PQ[1-9]\d{0,2})?", name):
        kind = (match[2] or ",Flat")[1:]
        params = {"nlist": int(match[1])}
        if kind.startswith("PQ"):
            params |= {"m": int(kind[2:]), "nbits": 8}
            kind = "PQ"
        parts_fit = dim % params.get("m", 1) == 0
        if params["nlist"] <= 65_536 and parts_fit and ("," in name) != ("clusters" in name):
            return CollectionEngine(name, f"IVF_{kind.upper()}", params, inexact=kind != "Flat")
    if (match := re.fullmatch(r"hash:([1-9]\d{0,4})", name)) and int(match[1]) % 8 == 0:
        return CollectionEngine(name, "BIN_IVF_FLAT", {"nlist": 128}, int(match[1]), True)
    raise ValueError(f"unknown engine {name} for a collection of {dim}-d codes: expected {KNOWN}")


def hash_codes(codes: Codes, centre: Codes, bits: int) -> NDArray[np.uint8]:
    """Return the hash codes, uint8 (n, bits / 8), of codes, float32 (n, dim).

    A bit is the side of a random hyperplane through the centre of the codes (Charikar, Similarity
    estimation techniques from rounding algorithms, 2002). It takes no training, so that many hosts
    can hash alike.
    """
    planes = np.random.default_rng(0).standard_normal((codes.shape[1], bits), np.float32)
    return np.packbits((codes - centre) @ planes > 0, axis=1)


def sample_codes(dataset: Dataset, encoder: Encoder) -> Codes:
    """Return the codes, float32 (m, dim), of the images of a dataset whose ids hash lowest."""
    order = sorted(range(len(dataset)), key=lambda row: stable_hash(dataset.ids[row]))
    codes = encoder.encode(dataset.read_good(order[:SAMPLE], encoder.spec).images)
    return codes[finite_rows(codes)]
