"""Search engines: the k codes nearest to each query, with their true distances.

Every engine has `search(queries, k)` and `search_within(queries, max_distance)`, and says its
`name` (the string it is built from), `metric`, `codes` and, when built here, its `report`.
"""

from functools import cached_property

import numpy as np

from pyimagesearch.distances import (
    as_queries,
    as_vectors,
    checked_metric,
    nearest,
    normalise,
)

WITHIN_BLOCK = 1 << 22  # results held at once by search_within


class Engine:
    """What engines share: the codes they search, and search within a distance."""

    report = None  # an EngineReport once the engine was measured
    reason = None  # why "auto" chose it
    elbow = None  # the Elbow that chose the number of clusters

    def __init__(self, codes, metric):
        self.codes = as_vectors(codes)
        self.dim = self.codes.shape[1]
        self.metric = checked_metric(metric)

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


class ExactEngine(Engine):
    """Compares every query with every code, in blocks, on all cores."""

    name = "exact"
    probe = None

    def __init__(self, codes, metric="euclidean"):
        """Search float32 `codes` (n, d) by `metric`, "euclidean" or "cosine"."""
        super().__init__(codes, metric)

    def search(self, queries, k):
        """Return the distances, float32 (q, k) ascending, and rows, int64 (q, k), of the nearest.

        `queries` is float32 (q, d). k is cut to the number of codes. Euclidean distance is
        ||a - b||, cosine distance 1 - cos(a, b); a code of zeros is at cosine distance 1.
        """
        queries, k = self.checked(queries, k)
        if self.metric == "euclidean":
            squares, rows = nearest(queries, self.codes, k, self._longest)
            return np.sqrt(squares), rows
        # For a and b of length 1, 1 - cos(a, b) = ||a - b||^2 / 2, which does not cancel.
        width = self._points.shape[1] - self.codes.shape[1]
        points = np.pad(normalise(queries), ((0, 0), (0, width)))
        squares, rows = nearest(points, self._points, k, lambda: 1.0)
        squares[~queries.any(axis=1)] = 2
        return squares / 2, rows

    @cached_property
    def _points(self):
        """The codes scaled to length 1, on which cosine distance is Euclidean."""
        points, zero = normalise(self.codes), ~self.codes.any(axis=1)
        # A code of zeros is put on an axis of its own: at 1 - cos = 1 from all others.
        return np.column_stack([points, zero.astype(np.float32)]) if zero.any() else points

    def _longest(self):
        return self._longest_code

    @cached_property
    def _longest_code(self):
        step = 1 << 20
        starts = range(0, len(self), step)
        return max(np.linalg.norm(self.codes[i : i + step], axis=1).max() for i in starts)
