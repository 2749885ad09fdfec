"""True distances between codes: exact search, and re-ranking of candidates.

FAISS is imported where it is needed: it takes as long as a hundred searches, and a process that
searches once does without.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np

from pyimagesearch.arrays import Floats, Found, Rows
from pyimagesearch.engines.engine import Engine
from pyimagesearch.metric import Metric

# Multiplications below which other threads slow one query down.
SINGLE_THREAD_WORK = 1 << 22
CODES_PER_BLOCK = 1 << 18  # gathered at once when re-ranking prepared codes


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Limit FAISS to `count` threads, or leave their number as it is when `count` is None."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count or before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def squares_of(queries: Floats, codes: Floats, rows: Rows) -> Floats:
    """Return the squared distances, float32 (q, m), of each query to its rows, int64 (q, m)."""
    import faiss

    squares = np.empty(rows.shape, np.float32)
    pointers = [faiss.swig_ptr(array) for array in (squares, queries, codes, rows)]
    faiss.fvec_L2sqr_by_idx(  # type: ignore[attr-defined]  # FAISS' stubs lack it
        *pointers, codes.shape[1], *rows.shape
    )
    return squares


def nearest(queries: Floats, codes: Floats, k: int, longest: Callable[[], float]) -> Found:
    """Return the squared distances, float32 (q, k) ascending, and rows, int64 (q, k), of the k
    nearest codes; k is at most the number of codes.

    FAISS ranks a batch, and one query over many codes, by |a|^2 + |b|^2 - 2ab, twice as fast as by
    the differences but rounded in proportion to the lengths, not to the distance. So this gives
    candidates, a few more than k. Their distances are computed by the differences, and a query for
    which the rounding could hide a nearer code is ranked again by them. `longest()` returns the
    largest length of a code. The bound is that of a float32 dot product of d terms (Higham,
    Accuracy and Stability of Numerical Algorithms, section 3.1).
    """
    import faiss

    n, dim = codes.shape
    proposed = min(len(codes), k + max(8, k // 32))
    small = len(queries) * n * dim < SINGLE_THREAD_WORK
    with threads(1 if small else None):
        estimates, rows = faiss.knn(queries, codes, proposed)
        squares = squares_of(queries, codes, rows)
    if np.array_equal(estimates, squares):  # ranked by the differences
        return squares[:, :k], rows[:, :k]
    squares, rows = _sorted(squares, rows)
    squares = squares[:, :k]
    rows = rows[:, :k]
    if proposed < n:
        lengths = np.linalg.norm(queries, axis=1) + longest()
        rounding = (dim + 4) * np.finfo(np.float32).eps / 2 * lengths**2
        again = estimates[:, -1] - rounding < squares[:, -1]
        if again.any():
            squares[again], rows[again] = _nearest_by_differences(queries[again], codes, k)
    return squares, rows


def nearest_without_faiss(query: Floats, codes: Floats, k: int) -> Found:
    """Return the same as `nearest` for one query, float32 (1, d), by NumPy alone."""
    differences = codes - query
    squares = np.einsum("nd,nd->n", differences, differences)
    rows = np.argpartition(squares, k - 1)[:k] if k < len(codes) else np.arange(k)
    rows = rows[np.lexsort((rows, squares[rows]))]
    return squares[rows][np.newaxis], rows[np.newaxis]


def _sorted(squares: Floats, rows: Rows) -> Found:
    """Return both with each row sorted by square; results of FAISS mostly are already."""
    if (squares[:, 1:] >= squares[:, :-1]).all():
        return squares, rows
    order = np.argsort(squares, axis=1, kind="stable")
    each = np.arange(len(rows))[:, np.newaxis]  # as np.take_along_axis, at a quarter of its cost
    return squares[each, order], rows[each, order]


def _nearest_by_differences(queries: Floats, codes: Floats, k: int) -> Found:
    """Return the same as `nearest`, using the squares of the differences only."""
    import faiss

    # FAISS keeps to the differences below a number of values (of queries, before version 1.12).
    step = max(1, (faiss.cvar.distance_compute_blas_threshold - 1) // codes.shape[1])
    squares = np.empty((len(queries), k), np.float32)
    rows = np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        # With fewer queries than threads it would share out the codes, and expand the square.
        count = 1 if len(queries[block]) < faiss.omp_get_max_threads() else None
        with threads(count):
            squares[block], rows[block] = faiss.knn(queries[block], codes, k)
    return squares, rows


def rerank(queries: Floats, codes: Floats, rows: Rows, k: int, *, metric: Metric) -> Found:
    """Return the distances, float32 (q, k) ascending, and rows of the k nearest among `rows`.

    `rows`, int64 (q, m), are candidates of each query, at least k of them, then -1; `metric` is a
    Metric.
    """
    import faiss

    if metric.prepare is not None:
        step = max(1, CODES_PER_BLOCK // rows.shape[1])
        blocks = [slice(start, start + step) for start in range(0, len(rows), step)]
        parts = [
            _rerank_points(queries[block], codes, rows[block], k, metric=metric) for block in blocks
        ]
        distances = np.concatenate([near for near, _ in parts])
        return distances, np.concatenate([found for _, found in parts])
    rows = np.ascontiguousarray(rows)
    if rows.shape[1] == k:  # all are kept, in the order of their true distances
        squares, rows = _sorted(squares_of(queries, codes, rows), rows)
        return metric.from_squares(squares), rows
    squares = np.empty((len(queries), k), np.float32)
    found = np.empty((len(queries), k), np.int64)
    sizes = codes.shape[1], len(queries), len(codes), rows.shape[1], k
    pointers = [faiss.swig_ptr(array) for array in (queries, codes, rows)]
    results = faiss.swig_ptr(squares), faiss.swig_ptr(found)
    faiss.knn_L2sqr_by_idx(  # type: ignore[attr-defined]  # FAISS' stubs lack it
        *pointers, *sizes, *results, rows.shape[1]
    )
    return metric.from_squares(squares), found


def _rerank_points(queries: Floats, codes: Floats, rows: Rows, k: int, *, metric: Metric) -> Found:
    """Rank as `rerank`, in the space of prepared points."""
    points = metric.exact_points(codes[np.maximum(rows, 0).ravel()]).reshape(*rows.shape, -1)
    differences = metric.exact_points(queries)[:, np.newaxis] - points
    squares = np.einsum("qmd,qmd->qm", differences, differences)
    squares[rows < 0] = np.inf
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    squares = np.take_along_axis(squares, order, 1)
    return metric.from_squares(squares), np.take_along_axis(rows, order, 1)


class ExactEngine(Engine):
    """Compares every query with every code, on all cores."""

    def __init__(self, codes: Floats, metric: str = "euclidean") -> None:
        """Search float32 `codes` (n, d) by the metric of this name."""
        super().__init__(codes, metric)
        self._has_searched = False

    def candidates(self, queries: Floats, wanted: int, probe: int) -> Found:
        """Return the squared distances of the nearest points, float32 (q, wanted), and rows."""
        if self._points.shape[1] > self.dim:
            return self._nearest(self.metric.exact_points(queries), wanted)
        points = self.metric.points(queries)
        squares, rows = self._nearest(points, wanted)
        alone = self.metric.of_zeros(points)
        if alone.any():
            squares[alone] = self.metric.zero_square
        return squares, rows

    def _nearest(self, points: Floats, wanted: int) -> Found:
        is_first = not self._has_searched
        self._has_searched = True
        if is_first and len(points) == 1 and self._points.size < SINGLE_THREAD_WORK:
            return nearest_without_faiss(points, self._points, wanted)
        return nearest(points, self._points, wanted, lambda: self._longest)

    @cached_property
    def _points(self) -> Floats:
        """The codes as points, on which the metric is Euclidean.

        They have the axis of codes of zeros only if there are such: it would slow the search down.
        """
        points = self.metric.points(self.codes)
        if self.metric.of_zeros(points).any():
            return self.metric.exact_points(self.codes)
        return points

    @cached_property
    def _longest(self) -> float:
        """The largest length of a point."""
        step = 1 << 20
        starts = range(0, len(self), step)
        return max(float(np.linalg.norm(self._points[i : i + step], axis=1).max()) for i in starts)
