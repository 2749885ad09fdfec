"""The contract of a search engine: the k codes nearest to each query, at their true distances."""

from typing import TYPE_CHECKING

import numpy as np

from pyimagesearch.arrays import AnyArray, Candidates, Floats, Found, Rows
from pyimagesearch.metric import Metric, get_metric

if TYPE_CHECKING:
    from pyimagesearch.engines.kmeans import Elbow
    from pyimagesearch.engines.tuning import EngineReport

CANDIDATES_PER_BLOCK = 1 << 24  # held at once by search, 128 MB
RESULTS_PER_BLOCK = 1 << 22  # held at once by search_within
FIRST_WITHIN = 64  # results that search_within asks for at first


class Engine:
    """The base of all engines: validation, shortlists, widening and ranking by true distance.

    `metric` is a Metric, `codes` float32 (n, d), `dim` d, `name` the string that the engine is
    built from. `probe` is how widely a search looks, None where there is no such choice, up to
    `probe_limit`; `nbytes` is the size of the engine in bytes, without the codes. `report` is the
    EngineReport of its measurement, `reason` why "auto" chose it, `elbow` the Elbow that chose
    its number of clusters, or None.

    Subclasses implement `candidates` and, where its estimates are not squared true distances in
    the space of `metric.exact_points`, `ranked`.
    """

    report: "EngineReport | None" = None
    reason: str | None = None
    elbow: "Elbow | None" = None
    codes: Floats
    metric: Metric
    dim: int
    name: str = "exact"
    _probe: int = 1

    @property
    def probe(self) -> int | None:
        """How widely a search looks, None where there is no such choice."""
        return None

    @property
    def probe_limit(self) -> int:
        """The largest `probe` that makes a difference."""
        return 1

    @property
    def nbytes(self) -> int:
        """The size of the engine in bytes, without the codes."""
        return 0

    def __init__(self, codes: Floats, metric: str) -> None:
        self.codes = as_vectors(codes)
        self.dim = self.codes.shape[1]
        self.metric = get_metric(metric)

    def __len__(self) -> int:
        return len(self.codes)

    def candidates(self, queries: Floats, wanted: int, probe: int) -> Candidates:
        """Return estimates, (q, wanted), and rows, int64 (q, wanted), padded with rows of -1.

        `queries` is float32 (q, d). The estimates order the candidates of a query.
        """
        raise TypeError(f"{type(self).__name__} does not implement candidates")

    def shortlist_size(self, k: int) -> int:
        """Return the number of candidates to rank by true distance for the k nearest."""
        return k

    def candidates_held(self, wanted: int) -> int:
        """Return the room that `candidates` needs for one query, in candidates."""
        return wanted

    def ranked(self, queries: Floats, estimates: AnyArray, rows: Rows, k: int) -> Found:
        """Return true distances, float32 (q, k) ascending, and rows of the k nearest candidates."""
        return self.metric.from_squares(estimates[:, :k]), rows[:, :k]

    def search(self, queries: AnyArray, k: int) -> Found:
        """Return the distances, float32 (q, k) ascending, and rows, int64 (q, k), of the nearest.

        `queries` is float32 (q, d); k is cut to the number of codes. Approximate engines may miss
        some of the nearest. Where an engine proposes fewer than k, it is probed more widely.
        """
        if k < 1:
            raise ValueError(f"expected k of at least 1, received {k}")
        queries = as_queries(queries, self.dim)
        k = min(int(k), len(self))
        if not len(queries):
            return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
        wanted = min(len(self), self.shortlist_size(k))
        step = max(1, CANDIDATES_PER_BLOCK // self.candidates_held(wanted))
        starts = range(0, len(queries), step)
        found = [self._search_block(queries[start : start + step], k, wanted) for start in starts]
        if len(found) == 1:
            return found[0]
        k = min(rows.shape[1] for _, rows in found)
        distances = np.concatenate([near[:, :k] for near, _ in found])
        return distances, np.concatenate([rows[:, :k] for _, rows in found])

    def _search_block(self, queries: Floats, k: int, wanted: int) -> Found:
        probe = self._probe
        estimates, rows = self.candidates(queries, wanted, probe)
        while probe < self.probe_limit and (short := rows[:, k - 1] < 0).any():
            probe = min(4 * probe, self.probe_limit)
            estimates[short], rows[short] = self.candidates(queries[short], wanted, probe)
        return self.ranked(queries, estimates, rows, k)

    def search_within(
        self, queries: AnyArray, max_distance: float | None
    ) -> tuple[list[Floats], list[Rows]]:
        """Return all codes within `max_distance` of each query, as far as the engine finds them.

        `queries` is float32 (q, d). Returns two lists of q arrays: distances, float32 ascending,
        and rows, int64. More and more results are requested until one is too far.
        """
        if max_distance is None or not max_distance >= 0:
            raise ValueError(f"expected a distance of at least 0, received {max_distance}")
        queries = as_queries(queries, self.dim)
        distances = [np.empty(0, np.float32)] * len(queries)
        rows = [np.empty(0, np.int64)] * len(queries)
        unfinished = np.arange(len(queries))
        k = FIRST_WITHIN
        while unfinished.size:
            step = max(1, RESULTS_PER_BLOCK // k)
            more = []
            for start in range(0, len(unfinished), step):
                block = unfinished[start : start + step]
                for i, near, found in zip(block, *self.search(queries[block], k), strict=True):
                    count = np.searchsorted(near, max_distance, side="right")
                    distances[i] = near[:count].copy()
                    rows[i] = found[:count].copy()
                    if count == k < len(self):
                        more.append(i)
            unfinished = np.array(more, np.int64)
            k = min(4 * k, len(self))
        return distances, rows


def checked_probe(probe: int, limit: int) -> int:
    """Return a probe as int, cut to the limit, or raise ValueError."""
    if probe != int(probe) or probe < 1:
        raise ValueError(f"expected a probe of at least 1, received {probe}")
    return min(int(probe), limit)


def as_vectors(vectors: AnyArray, dim: int | None = None) -> Floats:
    """Return vectors as C-ordered float32 (n, dim), a memory map as it is, or raise ValueError."""
    vectors = np.asanyarray(vectors)
    if vectors.ndim != 2 or not vectors.shape[1] or dim not in (None, vectors.shape[1]):
        expected = f"(n, {'d' if dim is None else dim})"
        raise ValueError(f"expected vectors of shape {expected}, received {vectors.shape}")
    if vectors.dtype == np.float32 and vectors.flags.c_contiguous:
        return vectors
    return np.ascontiguousarray(vectors, np.float32)


def as_queries(queries: AnyArray, dim: int) -> Floats:
    """Return queries as finite float32 (q, dim), or raise ValueError."""
    queries = as_vectors(queries, dim)
    if not np.isfinite(queries).all():
        raise ValueError("a query holds NaN or infinity: check the images and the model")
    return queries
