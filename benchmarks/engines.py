"""All ways to search 60,000 MNIST codes for the 225 nearest, ours beside their peers, in one run.

Peers that are not installed (scikit-learn, hnswlib, usearch) are left out. A ratio is the time of
exact search divided by that of the row.

usage: python -m benchmarks.engines
"""

import importlib.util
import pickle
import statistics
import time

import faiss
import numpy as np

from benchmarks.codes import mnist_codes
from pyimagesearch.engines.exact import ExactEngine
from pyimagesearch.engines.factory import build_engine
from pyimagesearch.engines.faiss_engine import index_bytes

K = 225
ROUNDS, AT_ONCE = 20, 25  # so many queries in a row, in turns, because a machine's speed drifts
EF = 256
OURS = (
    "exact",
    "HNSW16",
    "HNSW32",
    "IVF256,Flat",
    "IVF256,PQ8",
    "SQ8",
    "hash:16",
    "hash:32",
    "hash:64",
)


def bare_faiss(factory, codes):
    """Return a search and the bytes of an index of FAISS, used as its tutorial does."""
    index = faiss.index_factory(codes.shape[1], factory)
    index.train(codes)
    index.add(codes)
    if factory.startswith("HNSW"):
        faiss.ParameterSpace().set_index_parameter(index, "efSearch", EF)
    elif factory.startswith("IVF"):
        faiss.ParameterSpace().set_index_parameter(index, "nprobe", 16)
    return lambda queries: index.search(queries, K)[1], index_bytes(index)


def sklearn_tree(algorithm, codes):
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=K, algorithm=algorithm, n_jobs=-1).fit(codes)
    size = len(pickle.dumps(model._tree)) - codes.nbytes
    return lambda queries: model.kneighbors(queries, return_distance=False), size


def hnswlib_graph(codes, links, recall_of=None, wanted=None):
    """Return a search and the bytes of a graph of hnswlib.

    Its ef is EF, or the smallest multiple of 25 at which `recall_of(search)` is `wanted`.
    """
    import hnswlib

    index = hnswlib.Index("l2", codes.shape[1])
    index.init_index(len(codes), ef_construction=40, M=links)
    index.add_items(codes)
    index.set_ef(EF)
    search = lambda queries: index.knn_query(queries, K)[0].astype(np.int64)  # noqa: E731
    if wanted:
        for ef in range(K, 40 * K, 25):
            index.set_ef(ef)
            if recall_of(search) >= wanted:
                break
    return search, index.index_file_size()


def usearch_graph(codes):
    from usearch.index import Index

    index = Index(
        ndim=codes.shape[1],
        metric="l2sq",
        dtype="f32",
        connectivity=32,
        expansion_add=40,
        expansion_search=EF,
    )
    index.add(np.arange(len(codes)), codes)
    search = lambda queries: index.search(queries, K).keys.astype(np.int64)  # noqa: E731
    return search, index.serialized_length


def our_engine(name, codes, depth=10, recall=0.98):
    engine = build_engine(codes, name, recall=recall, depth=depth)
    size = engine.report.bytes_per_vector * len(codes)
    return lambda queries: engine.search(queries, K)[1], size


def candidates():
    """Return (name, how to build it from codes) of all that is measured."""
    rows = [("FAISS IndexFlatL2", lambda codes: bare_faiss("Flat", codes))]
    rows += [(f"ours, {name}", lambda codes, name=name: our_engine(name, codes)) for name in OURS]
    rows += [
        ("ours, IVF256,Flat .99@225", lambda codes: our_engine("IVF256,Flat", codes, K, 0.992)),
        ("FAISS IVF256, nprobe 16", lambda codes: bare_faiss("IVF256,Flat", codes)),
        (f"FAISS HNSW32, ef {EF}", lambda codes: bare_faiss("HNSW32", codes)),
    ]
    if importlib.util.find_spec("hnswlib"):
        for links in (16, 32):
            name = f"hnswlib, M {links}, ef {EF}"
            rows.append((name, lambda codes, links=links: hnswlib_graph(codes, links)))
    if importlib.util.find_spec("usearch"):
        rows.append((f"usearch, M 32, ef {EF}", usearch_graph))
    if importlib.util.find_spec("sklearn"):
        for tree in ("kd_tree", "ball_tree"):
            rows.append(
                (f"scikit-learn {tree}", lambda codes, tree=tree: sklearn_tree(tree, codes))
            )
    return rows


def recall(rows, truth, k, gallery, queries):
    """Return the fraction of the k nearest found; rows at the same distance are as good."""
    distances = np.linalg.norm(gallery[rows[:, :k]] - queries[:, np.newaxis], axis=2)
    return (distances <= truth[:, k - 1 : k] * (1 + 1e-5)).mean()


def seconds(search, queries):
    started = time.perf_counter()
    search(queries)
    return time.perf_counter() - started


def main():
    gallery, queries, origin = mnist_codes()
    truth = ExactEngine(gallery).search(queries[:1000], K)[0]
    built = {}

    def recall_of(search):
        return recall(search(queries[:1000]), truth, K, gallery, queries[:1000])

    rows = candidates()
    if importlib.util.find_spec("hnswlib"):  # last, at the recall that our graphs are known to have
        for links in (16, 32):
            name = f"hnswlib, M {links}, recall of ours"

            def build(codes, links=links):
                wanted = built[f"ours, HNSW{links}"][1][1]
                return hnswlib_graph(codes, links, recall_of, wanted)

            rows.append((name, build))
    for name, build in rows:
        started = time.perf_counter()
        search, size = build(gallery)
        took = time.perf_counter() - started
        rows = search(queries[:1000])
        scores = [recall(rows, truth, k, gallery, queries[:1000]) for k in (10, K)]
        built[name] = (search, scores, size / len(gallery), took)
    single, batch = {name: [] for name in built}, {name: [] for name in built}
    for number in range(ROUNDS):
        for place, (name, (search, *_)) in enumerate(built.items()):
            # Queries of its own for each: what one has just asked, the next finds in the cache.
            start = (number * len(built) + place) * AT_ONCE % (len(queries) - AT_ONCE)
            chunk = queries[start : start + AT_ONCE]
            single[name] += [seconds(search, query[np.newaxis]) for query in chunk]
    for _ in range(3):
        for name, (search, *_) in built.items():
            few = queries[:2000] if name.startswith("scikit") else queries
            batch[name].append(seconds(search, few) / len(few))
    print(f"{len(gallery):,} x {gallery.shape[1]} codes ({origin}), top {K}, in one run")
    exact = [1000 * statistics.median(times["ours, exact"]) for times in (single, batch)]
    print(f"{'':28}recall@10  @{K}   one, ms  ratio  batch, ms  ratio  bytes/vector  build, s")
    for name, (_, scores, size, took) in built.items():
        one, all_ = (1000 * statistics.median(times[name]) for times in (single, batch))
        print(
            f"{name:28}{scores[0]:9.3f}{scores[1]:7.3f}{one:9.3f}{exact[0] / one:7.2f}"
            f"{all_:10.4f}{exact[1] / all_:8.2f}{size:12.1f}{took:11.1f}"
        )


if __name__ == "__main__":
    main()
