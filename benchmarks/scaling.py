"""From 60 thousand to 10 million codes: recall, time, size, and what opening an engine costs.

Codes are real ones moved at random (benchmarks.codes.many_codes), in an HDF5 index with as many
names. Opening is measured in a process of its own, from files that the system holds nothing of: the
index and its engine are opened, and one query is answered with names.

usage: python -m benchmarks.scaling [--sizes 60000 1000000 10000000] [--engine HNSW32]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.codes import many_codes
from pyimagesearch.datasets.dataset import FILE_STATS
from pyimagesearch.encoders.export import encoder_from_keras
from pyimagesearch.engines.engine_file import save_engine
from pyimagesearch.engines.exact import ExactEngine
from pyimagesearch.engines.factory import build_engine
from pyimagesearch.engines.recommendation import list_count
from pyimagesearch.files import ENGINE_SUFFIX, atomic_write
from pyimagesearch.indexes.index_file import load_index, save_index
from pyimagesearch.indexes.local_index import LocalIndex

K = 10
PLOT = "output/scaling.png"


def open_and_search(index_path, queries_path):
    """Open an index, answer one query, and print the time and the memory that took, as JSON."""
    queries = np.load(queries_path)

    def touched():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    before, started = touched(), time.perf_counter()
    index = load_index(index_path)
    rows = index.engine.search(queries[:1], K)[1]
    assert len([index.ids[row] for row in rows[0]]) == K
    first = time.perf_counter() - started
    print(json.dumps({"seconds": first, "bytes": touched() - before}))


def drop_cached(path):
    """Ask the system to forget what it holds of a file, so that opening it reads the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def write_index(codes, path):
    """Write an index of codes as that of a folder, without the pictures."""
    encoder = encoder_from_keras("output/autoencoder.h5")
    ids = [f"photos/{row:08}.jpg" for row in range(len(codes))]
    files, location = (
        np.zeros(len(codes), FILE_STATS),
        {"name": "/", "split": "train", "limit": None},
    )
    labels = np.zeros(len(codes), np.int64)
    save_index(
        LocalIndex(codes, ids, labels, ["photos"], location, encoder=encoder, file_stats=files),
        path,
    )


def recall(distances, truth):
    return float((distances <= truth[:, -1:] * (1 + 1e-5)).mean())


def p50(engine, queries):
    times = []
    for query in queries:
        started = time.perf_counter()
        engine.search(query[np.newaxis], K)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def measure(count, name, recall_target, folder):
    """Return a row of the table: what an engine over `count` codes does."""
    index_path, queries_path = f"{folder}/index.h5", f"{folder}/queries.npy"
    codes, queries = many_codes(count, f"{folder}/codes.npy")
    np.save(queries_path, queries)
    codes.flush()
    name = name or f"IVF{list_count(count)},PQ8"
    started = time.perf_counter()
    engine = build_engine(codes, name, recall=recall_target)
    took = time.perf_counter() - started
    exact = ExactEngine(codes)
    few = queries[: 1000 if count <= 10**6 else 200]
    truth, found = exact.search(few, K)[0], engine.search(few, K)[0]
    row = {
        "codes": count,
        "engine": engine.name,
        "probe": engine.probe,
        "recall": recall(found, truth),
        "p50_ms": p50(engine, queries[:500]),
        "exact_ms": p50(exact, queries[:20]),
        "train_add_s": engine.report.build_seconds,
        "build_s": took,
    }
    if engine.name != "exact":
        write_index(codes, index_path)
        save_engine(engine, index_path + ENGINE_SUFFIX, load_index(index_path).codes_sha256)
        row["bytes"] = os.path.getsize(index_path + ENGINE_SUFFIX) / count
        for path in (index_path, index_path + ENGINE_SUFFIX):
            drop_cached(path)
        command = [sys.executable, "-m", "benchmarks.scaling", "--open", index_path, queries_path]
        opened = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        row |= {"open_s": opened["seconds"], "touched_mb": opened["bytes"] / 2**20}
    return row


def plot(rows, path=PLOT):
    from matplotlib import style
    from matplotlib.figure import Figure

    counts = [row["codes"] for row in rows]
    with style.context("ggplot"):
        figure = Figure(figsize=(10, 4), layout="constrained")
        time_axes, size_axes = figure.subplots(1, 2)
        time_axes.loglog(counts, [row["p50_ms"] for row in rows], "o-", label="engine")
        time_axes.loglog(counts, [row["exact_ms"] for row in rows], "o-", label="exact")
        time_axes.set(xlabel="Codes", ylabel="Median time of one query (ms)")
        time_axes.legend()
        size_axes.loglog(counts, [row["train_add_s"] for row in rows], "o-", label="build (s)")
        size_axes.loglog(counts, [row["touched_mb"] for row in rows], "o-", label="touched (MiB)")
        size_axes.loglog(counts, [row["open_s"] for row in rows], "o-", label="open and query (s)")
        size_axes.set(xlabel="Codes")
        size_axes.legend()
        with atomic_write(path) as temporary:
            figure.savefig(temporary)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = [60_000, 10**6, 10**7]
    parser.add_argument("--sizes", nargs="+", type=int, default=sizes, help="numbers of codes")
    parser.add_argument("--engine", help="default: an inverted file with product quantisation")
    # These queries lie further from the codes than codes do from each other, so fewer are found.
    parser.add_argument("--recall", type=float, default=0.995, help="target, among the codes")
    parser.add_argument("--open", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.open:
        return open_and_search(*args.open)
    rows = []
    head = (
        "codes engine probe recall@10 p50_ms exact_ms train+add_s build_s bytes open_s touched_MB"
    )
    print(" ".join(f"{title:>12}" for title in head.split()))
    for count in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(count, args.engine, args.recall, folder))
        values = [f"{v:.3f}" if isinstance(v, float) else str(v) for v in rows[-1].values()]
        print(" ".join(f"{value:>12}" for value in values), flush=True)
    if all("open_s" in row for row in rows):
        plot(rows)
        print(f"wrote {PLOT}")


if __name__ == "__main__":
    main()
