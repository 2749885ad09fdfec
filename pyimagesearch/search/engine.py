"""Search engines: the k codes nearest to each query, with their true distances.

Every engine has `search(queries, k)` and `search_within(queries, max_distance)`, and says its
`name` (the string it is built from), `metric`, `codes` and, when built here, its `report`.
"""

import numpy as np

from pyimagesearch.metric import get_metric

WITHIN_BLOCK = 1 << 22  # results held at once by search_within


class Engine:
    """What engines share: the codes they search, and search within a distance."""

    report = None  # an EngineReport once the engine was measured
    reason = None  # why "auto" chose it
    elbow = None  # the Elbow that chose the number of clusters

    def __init__(self, codes, metric):
        self.codes = as_vectors(codes)
        self.dim = self.codes.shape[1]
        self.metric = get_metric(metric).name

    def __len__(self):
        return len(self.codes)

    def checked(self, queries, k):
        """Return queries as float32 (q, d), and k cut to the number of codes."""
        if k < 1:
            raise ValueError(f"expected k of at least 1, received {k}")
        return as_queries(queries, self.dim), min(int(k), len(self))

    def search_within(self, queries, max_distance):
        """Return all codes within `max_distance` of each query, as far as the engine finds them.

        `queries` is float32 (q, d). Returns two lists of q arrays: distances, float32 ascending,
        and rows, int64. An approximate engine is asked for more until it finds one too far.
        """
        if not max_distance >= 0:
            raise ValueError(f"expected a distance of at least 0, received {max_distance}")
        queries = as_queries(queries, self.dim)
        distances, rows = [None] * len(queries), [None] * len(queries)
        open_queries, k = np.arange(len(queries)), 64
        while open_queries.size:
            step, more = max(1, WITHIN_BLOCK // k), []
            for start in range(0, len(open_queries), step):
                block = open_queries[start : start + step]
                for i, near, found in zip(block, *self.search(queries[block], k), strict=True):
                    count = np.searchsorted(near, max_distance, side="right")
                    distances[i], rows[i] = near[:count].copy(), found[:count].copy()
                    if count == k < len(self):
                        more.append(i)
            open_queries, k = np.array(more, int), min(4 * k, len(self))
        return distances, rows


def as_vectors(vectors, dim=None):
    """Return vectors as C-ordered float32 (n, dim), a memory map as it is, or raise ValueError."""
    vectors = np.asanyarray(vectors)
    if vectors.ndim != 2 or not vectors.shape[1] or dim not in (None, vectors.shape[1]):
        expected = f"(n, {'d' if dim is None else dim})"
        raise ValueError(f"expected vectors of shape {expected}, received {vectors.shape}")
    if vectors.dtype == np.float32 and vectors.flags.c_contiguous:
        return vectors
    return np.ascontiguousarray(vectors, np.float32)


def as_queries(queries, dim):
    """Return queries as finite float32 (q, dim), or raise ValueError."""
    queries = as_vectors(queries, dim)
    if not np.isfinite(queries).all():
        raise ValueError("a query holds NaN or infinity: check the images and the model")
    return queries
