"""K-means clusters of codes, and how many of them: the elbow."""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from faiss.contrib.inspect_tools import get_invlist

from pyimagesearch.arrays import Floats, Rows
from pyimagesearch.engines.engine import Engine
from pyimagesearch.engines.exact import ExactEngine, threads
from pyimagesearch.engines.faiss_engine import FaissEngine

MAX_CLUSTERS = 20  # largest K tried for the elbow
SAMPLE = 20_000  # codes used to find the elbow
ITERATIONS = 20
REDOS = 3
SEED = 1


@dataclass(frozen=True)
class Elbow:
    """Numbers of clusters, the mean squared distance of a code to its centroid at each, the choice.

    `ks` is a list of int, `inertias` a list of float of the same length, `chosen` one of `ks`.
    """

    ks: list[int]
    inertias: list[float]
    chosen: int


@dataclass(frozen=True)
class Clusters:
    """`centroids`, float32 (K, d), and the number of the cluster of each code, int64 (n,).

    For an engine of cosine distance the centroids are means of codes of length 1, without those of
    zeros, which are assigned to the centroid nearest to zero.
    """

    centroids: Floats
    assignments: Rows


def find_elbow(points: Floats) -> Elbow:
    """Run K-means on float32 `points` (n, d) for K = 1, 2, ... and choose K by the elbow.

    The elbow is the K whose inertia lies furthest below the straight line from the first to the
    last (Satopaa et al., Finding a "Kneedle" in a Haystack, 2011).
    """
    if len(points) > SAMPLE:
        rows = np.random.default_rng(0).choice(len(points), SAMPLE, replace=False)
        points = points[np.sort(rows)]
    ks = list(range(1, min(MAX_CLUSTERS, len(points)) + 1))
    with threads(1):  # more threads slow small K-means down
        inertias = [_inertia(points, k) for k in ks]
    fall = inertias[0] - inertias[-1]
    if fall <= 0:  # equal codes, or a single one
        return Elbow(ks, inertias, 1)
    across = np.linspace(0, 1, len(ks))
    down = (inertias[0] - np.array(inertias)) / fall
    return Elbow(ks, inertias, ks[int(np.argmax(down - across))])


def _inertia(points: Floats, k: int) -> float:
    # Left to itself FAISS samples 256 points a centroid, so that each K would see other points.
    kmeans = faiss.Kmeans(
        points.shape[1],
        k,
        niter=ITERATIONS,
        nredo=REDOS,
        seed=SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=SAMPLE,
    )
    kmeans.train(points)
    squares, _ = kmeans.index.search(points, 1)
    return float(squares.mean())


def clusters_of(engine: Engine) -> Clusters:
    """Return the Clusters of an engine built as "clusters" or "clusters:K".

    Raises ValueError for any other engine.
    """
    if not (isinstance(engine, FaissEngine) and engine.name.startswith("clusters")):
        raise ValueError(
            f"the engine {engine.name} has no clusters: build one with "
            "index_images.py --engine clusters"
        )
    ivf: Any = faiss.try_extract_index_ivf(engine.index)
    _, [[nearest_to_zeros]] = ivf.quantizer.search(np.zeros((1, engine.dim), np.float32), 1)
    assignments = np.full(len(engine), nearest_to_zeros)
    for cluster in range(ivf.nlist):
        rows, _ = get_invlist(ivf.invlists, cluster)
        assignments[rows if engine.rows_held is None else engine.rows_held[rows]] = cluster
    return Clusters(ivf.quantizer.reconstruct_n(0, ivf.nlist), assignments)


def nearest_to_centres(
    engine: Engine, clusters: Clusters, count: int = 10
) -> list[tuple[Rows, Floats]]:
    """Return for each of the Clusters of an engine its `count` members nearest to the centre.

    They come as pairs of rows, int64 (m,), and distances, float32 (m,) ascending.
    """
    found = []
    for cluster in range(len(clusters.centroids)):
        rows = np.flatnonzero(clusters.assignments == cluster)
        if not len(rows):
            found.append((rows, np.empty(0, np.float32)))
            continue
        centre = clusters.centroids[cluster : cluster + 1]
        distances, places = ExactEngine(engine.codes[rows], engine.metric.name).search(
            centre, count
        )
        found.append((rows[places[0]], distances[0]))
    return found
