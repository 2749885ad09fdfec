"""Search and upserts in a real Milvus server, beside bare pymilvus, in one run.

Starts a server of its own (`make test-scale` installs it), or uses one that is running.

usage: python -m benchmarks.milvus [--server http://localhost:19530] [--rows 1000000]
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.codes import many_codes, mnist_codes
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.dataset import FILE_STATS
from pyimagesearch.encoders.encoder import Encoder
from pyimagesearch.engines.exact import ExactEngine
from pyimagesearch.indexes.contract import Records
from pyimagesearch.indexes.milvus.client import parse_address
from pyimagesearch.indexes.milvus.engine import MilvusEngine
from pyimagesearch.indexes.milvus.metadata import METADATA_SUFFIX, NewCollection
from pyimagesearch.indexes.milvus.schema import parse_engine
from pyimagesearch.indexes.milvus.store import MilvusStore
from pyimagesearch.pictures.input_spec import InputSpec

K = 225
QUERIES = 300
BLOCK = 50_000


def collection_of(codes, address, engine, labels):
    """Return a new MilvusIndex of codes, once the server has built its index, and the seconds."""
    drop(address)
    encoder = Encoder(b"none", InputSpec(28, 28, 1), codes.shape[1], "none", "0" * 64)
    new = NewCollection(
        encoder=encoder,
        metric="euclidean",
        engine=parse_engine(engine, encoder.dim),
        source=open_dataset("mnist").source,
        has_files=False,
    )
    index = MilvusStore(address).create(new)
    return index, upsert(index, codes, labels)


def drop(address):
    """Remove a collection of an earlier run, and what was kept with it."""
    from pymilvus import MilvusClient

    parsed = parse_address(address)
    client = MilvusClient(parsed.uri)
    for name in (parsed.name, parsed.name + METADATA_SUFFIX):
        client.drop_collection(name)


def upsert(index, codes, labels):
    """Write all codes; return the seconds it took, the server's index included."""
    started = time.perf_counter()
    for start in range(0, len(codes), BLOCK):
        rows = range(start, min(start + BLOCK, len(codes)))
        texts = [str(labels[row % len(labels)]) for row in rows]
        stats = np.zeros(len(rows), FILE_STATS)
        records = Records([str(row) for row in rows], texts, stats)
        index.upsert(records, np.array(codes[start : rows.stop]))
    index.flush()
    return time.perf_counter() - started


def bare_search(client, name, query, params):
    """Search as pymilvus' manual does, for what a result is shown with."""
    return client.search(
        name,
        data=query,
        anns_field="code",
        limit=K,
        output_fields=["id", "label"],
        search_params={"metric_type": "L2", "params": params},
        consistency_level="Eventually",
    )


def searches(uri):
    """Compare recall and the time a query with bare pymilvus, exact and by a graph."""
    from pymilvus import MilvusClient

    gallery, queries, _ = mnist_codes()
    labels = open_dataset("mnist").labels
    truth = ExactEngine(gallery).search(queries[:QUERIES], K)[0]
    print(f"{len(gallery):,} x {gallery.shape[1]} codes, top {K}, p50 of {QUERIES} queries")
    print(f"{'':10}recall@{K}  ours, ms  pymilvus, ms  ratio  written in, s")
    client = MilvusClient(uri)
    for name, params in {"exact": {}, "HNSW32": {"ef": 512}}.items():
        index, written = collection_of(gallery, f"{uri}/benchmark_{name}", name, labels)
        engine = MilvusEngine(index)
        ours, bare, found = [], [], []
        for query in queries[:QUERIES, np.newaxis]:  # in turns, because a machine's speed drifts
            started = time.perf_counter()
            found.append(engine.search(query, K)[0])
            middle = time.perf_counter()
            bare_search(client, index.collection.name, query, params)
            bare.append(1000 * (time.perf_counter() - middle))
            ours.append(1000 * (middle - started))
        recall = (np.concatenate(found) <= truth[:, -1:] * (1 + 1e-5)).mean()
        ours, bare = map(statistics.median, (ours, bare))
        print(f"{name:10}{recall:10.4f}{ours:10.2f}{bare:14.2f}{ours / bare:7.2f}{written:15.1f}")


def upserts(uri, count):
    """Write so many codes twice and count the rows."""
    codes, _ = many_codes(count)
    index, first = collection_of(codes, f"{uri}/benchmark_upserts", "exact", range(10))
    print(f"{count:,} codes upserted: {count / first:,.0f} rows/s, {index.count():,} rows")
    second = upsert(index, codes, range(10))
    print(f"{count:,} codes upserted again: {count / second:,.0f} rows/s, {index.count():,} rows")
    drop(f"{uri}/benchmark_upserts")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", help="URI of a running server, whose benchmark_* are replaced")
    parser.add_argument("--rows", type=int, default=1_000_000, help="codes to upsert twice")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        uri = args.server
        if uri is None:
            sys.path.append(str(Path(__file__).parent.parent / "tests"))
            from milvus_server import MilvusServer, why_not

            if reason := why_not():
                sys.exit(reason)
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            uri = stack.enter_context(MilvusServer(folder)).uri
        parse_address(f"{uri}/benchmark")
        searches(uri)
        upserts(uri, args.rows)


if __name__ == "__main__":
    main()
