"""Exact search, one query at a time, on 60,000 codes: the published loop, bare FAISS, and ours.

usage: python -m benchmarks.exact_search
"""

import statistics
import tempfile
import time

import faiss
import numpy as np

import index_images
from benchmarks.codes import encode_all
from benchmarks.published import perform_search
from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.engines.exact import ExactEngine
from pyimagesearch.indexes.index_file import load_index

K = 225


def milliseconds(search, queries):
    """Return the median time of a search for one query."""
    times = []
    for query in queries:
        started = time.perf_counter()
        search(query)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/index.pickle"
        index_images.main(["-m", "output/autoencoder.h5", "-i", path])
        index = load_index(path)
    queries = encode_all(index.encoder, open_dataset("mnist", "test"))
    data = {"features": index.codes}
    engine = ExactEngine(index.codes)
    flat = faiss.IndexFlatL2(index.codes.shape[1])
    flat.add(index.codes)

    for query in queries[:10]:
        expected = perform_search(query, data, K)
        distances, rows = engine.search(query[np.newaxis], K)
        np.testing.assert_allclose(distances[0], [d for d, _ in expected], atol=1e-4)
        swapped = [i for i, (_, row) in enumerate(expected) if row != rows[0, i]]
        ties = [i for i in swapped if abs(expected[i][0] - distances[0, i]) < 1e-4]
        assert swapped == ties, "the order differs beyond ties"

    ours = lambda query: engine.search(query[np.newaxis], K)  # noqa: E731
    bare = lambda query: flat.search(query[np.newaxis], K)  # noqa: E731
    published = milliseconds(lambda query: perform_search(query, data, K), queries[:10])
    for search in (ours, bare):
        milliseconds(search, queries[:500])
    # In turns, because the speed of a machine drifts.
    rounds = [
        (milliseconds(bare, chunk), milliseconds(ours, chunk))
        for chunk in np.array_split(queries[:4000], 20)
    ]
    faiss_ms = statistics.median(a for a, _ in rounds)
    ours_ms = statistics.median(b for _, b in rounds)
    print(f"exact search, 60,000 x {flat.d}, top {K}, one query at a time; distances agree to 1e-4")
    print(f"published loop       {published:8.3f} ms   {published / ours_ms:6.0f} x ours")
    print(f"FAISS IndexFlatL2    {faiss_ms:8.3f} ms")
    ratio = statistics.median(b / a for a, b in rounds)
    print(f"ours                 {ours_ms:8.3f} ms   {ratio:6.2f} x FAISS")


if __name__ == "__main__":
    main()
