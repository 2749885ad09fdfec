"""True distances between codes: exact search, and re-ranking of what an index proposes."""

from contextlib import contextmanager
from functools import cached_property

import faiss
import numpy as np

from pyimagesearch.metric import normalise
from pyimagesearch.search.engine import Engine

# Below so many multiplications, waking other threads costs one query more than they save it.
SINGLE_THREAD_WORK = 1 << 22
BLOCK = 1 << 18  # codes gathered at once when re-ranking by cosine


@contextmanager
def threads(count):
    """Let FAISS use so many threads, or as many as before when `count` is None."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count or before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def squares_of(queries, codes, rows):
    """Return the squared distances, float32 (q, m), of each query to its rows, int64 (q, m)."""
    squares = np.empty(rows.shape, np.float32)
    pointers = map(faiss.swig_ptr, (squares, queries, codes, rows))
    faiss.fvec_L2sqr_by_idx(*pointers, codes.shape[1], *rows.shape)
    return squares


def nearest(queries, codes, k, longest):
    """Return the squared distances, float32 (q, k) ascending, and rows, int64 (q, k), of the k
    nearest codes; k is at most the number of codes.

    FAISS ranks a batch, and one query over many codes, by |a|^2 + |b|^2 - 2ab, twice as fast as by
    the differences but rounded in proportion to the lengths, not to the distance. So it only
    proposes, a few more than k; what it proposes is measured by the differences, and a query for
    which the rounding could hide a nearer code is ranked again without it. `longest()` returns the
    largest length of a code. The bound is that of a float32 dot product of d terms (Higham,
    Accuracy and Stability of Numerical Algorithms, section 3.1).
    """
    (n, dim), proposed = codes.shape, min(len(codes), k + max(8, k // 32))
    small = len(queries) * n * dim < SINGLE_THREAD_WORK
    with threads(1 if small else None):
        estimates, rows = faiss.knn(queries, codes, proposed)
        squares = squares_of(queries, codes, rows)
    if np.array_equal(estimates, squares):  # ranked by the differences
        return squares[:, :k], rows[:, :k]
    squares, rows = (array[:, :k] for array in _sorted(squares, rows))
    if proposed < n:
        lengths = np.linalg.norm(queries, axis=1) + longest()
        rounding = (dim + 4) * np.finfo(np.float32).eps / 2 * lengths**2
        again = estimates[:, -1] - rounding < squares[:, -1]
        if again.any():
            squares[again], rows[again] = _nearest_by_differences(queries[again], codes, k)
    return squares, rows


def _sorted(squares, rows):
    """Return both, each row by ascending square; what comes from FAISS mostly is already."""
    if (squares[:, 1:] >= squares[:, :-1]).all():
        return squares, rows
    order = np.argsort(squares, axis=1, kind="stable")
    each = np.arange(len(rows))[:, np.newaxis]  # as np.take_along_axis, at a quarter of its cost
    return squares[each, order], rows[each, order]


def _nearest_by_differences(queries, codes, k):
    """Do as `nearest`, by the squares of the differences only."""
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


def rerank(queries, codes, rows, k, metric):
    """Return the distances, float32 (q, k) ascending, and rows of the k nearest among `rows`.

    `rows`, int64 (q, m), are candidates of each query, at least k of them, then -1.
    """
    if metric == "cosine":
        step = max(1, BLOCK // rows.shape[1])
        blocks = [slice(start, start + step) for start in range(0, len(rows), step)]
        parts = [_rerank_by_cosine(queries[block], codes, rows[block], k) for block in blocks]
        return tuple(map(np.concatenate, zip(*parts, strict=True)))
    rows = np.ascontiguousarray(rows)
    if rows.shape[1] == k:  # nothing to leave out: they were ranked by true distance already
        squares, rows = _sorted(squares_of(queries, codes, rows), rows)
        return np.sqrt(squares), rows
    squares = np.empty((len(queries), k), np.float32)
    found = np.empty((len(queries), k), np.int64)
    sizes = codes.shape[1], len(queries), len(codes), rows.shape[1], k
    pointers = [faiss.swig_ptr(array) for array in (queries, codes, rows)]
    results = faiss.swig_ptr(squares), faiss.swig_ptr(found)
    faiss.knn_L2sqr_by_idx(*pointers, *sizes, *results, rows.shape[1])
    return np.sqrt(squares), found


def _rerank_by_cosine(queries, codes, rows, k):
    points = normalise(codes[np.maximum(rows, 0).ravel()]).reshape(*rows.shape, -1)
    differences = normalise(queries)[:, np.newaxis] - points
    squares = np.einsum("qmd,qmd->qm", differences, differences)
    squares[~(points.any(axis=2) & queries.any(axis=1, keepdims=True))] = 2
    squares[rows < 0] = np.inf
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(squares, order, 1) / 2, np.take_along_axis(rows, order, 1)


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
