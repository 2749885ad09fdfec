"""Diffusion maps of the nearest-neighbour graph of codes: training targets without labels."""

from typing import Any

import numpy as np

from pyimagesearch.arrays import AnyArray, Floats, Rows
from pyimagesearch.engines.factory import build_engine
from pyimagesearch.metric import normalise

NEIGHBOURS = 20  # 10 to 30 gave maps of the same quality
STEPS = 80  # of the random walk; after fewer, parts of one class are still apart
SELF_WEIGHT = 1e-3  # of an edge from each point to itself, so that no point is without edges
MIN_CODES = 100


def nearest_rows(codes: Floats, queries: Floats, k: int, same: bool = False) -> Rows:
    """Return int64 (q, k), the rows of the codes nearest to each query, nearest first.

    With `same`, the queries are the codes, and no code is its own neighbour.
    """
    _, rows = build_engine(codes, "auto").search(queries, k + same)
    if not same:
        return rows
    own = rows == np.arange(len(rows))[:, np.newaxis]
    own[~own.any(axis=1), -1] = True  # more than k copies, without the code itself
    return rows[~own].reshape(len(rows), k)


def neighbour_graph(codes: AnyArray, k: int) -> Any:
    """Return the graph of the `k` neighbours of codes (n, d) by cosine; see `shared_neighbours`."""
    unit = normalise(codes).astype(np.float32)
    return shared_neighbours(nearest_rows(unit, unit, k, same=True))


def shared_neighbours(rows: Rows) -> Any:
    """Return the graph of nearest neighbours as a sparse, symmetric (n, n) float32 matrix.

    `rows` is int64 (n, k). Two points are joined if either is a neighbour of the other. The weight
    of the edge is their number of common neighbours, which is small between classes (Jarvis and
    Patrick, "Clustering using a similarity measure based on shared near neighbors", 1973). Edges
    with a single common neighbour are dropped, as it may be due to chance.
    """
    from scipy import sparse

    n, k = rows.shape
    ones = np.ones(rows.size, np.float32)
    near = sparse.csr_matrix((ones, (np.repeat(np.arange(n), k), rows.ravel())), shape=(n, n))
    graph = near.maximum(near.T).multiply(near @ near.T).tocsr()
    graph.data[graph.data < 2] = 0
    graph.eliminate_zeros()
    return graph


def neighbour_covariance(points: Floats, graph: Any) -> AnyArray:
    """Return the mean covariance of points (n, k) between the neighbours of a graph, (k, k).

    With the weights G of the graph, sparse (n, n), and its degrees D it is X'(D - G)X, divided by
    the sum of the degrees.
    """
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    difference = (points.T * degrees) @ points - points.T @ (graph @ points)
    return difference / max(degrees.sum(), 1e-9)


def diffusion_map(graph: Any, dim: int, steps: int = STEPS) -> Floats:
    """Return the diffusion map of a graph as points of length 1, float32 (n, dim).

    `graph` is a symmetric sparse matrix of weights, n at least dim + 2. The coordinates are the
    eigenvectors of its random walk's transition matrix, without the constant one, times their
    eigenvalues to the power of `steps`: points are near each other if random walks of `steps` steps
    from them end at the same points (Coifman and Lafon, "Diffusion maps", 2006). Classes differ in
    the direction of their points, so the lengths are normalised.
    """
    from scipy import sparse
    from scipy.sparse.linalg import LinearOperator, eigsh

    graph = graph + SELF_WEIGHT * max(1.0, graph.max()) * sparse.identity(
        graph.shape[0], format="csr"
    )
    degrees = np.asarray(graph.sum(axis=1), np.float64).ravel()
    scale = degrees**-0.5
    # As float32, eigenvectors take a quarter of the time.
    walk = (sparse.diags(scale) @ graph @ sparse.diags(scale)).astype(np.float32).tocsr()
    # The constant eigenvector is subtracted from the matrix, not dropped from the results: in a
    # graph of several components others have its eigenvalue, 1, and they separate the components.
    constant = np.sqrt(degrees / degrees.sum()).astype(np.float32)
    rest = LinearOperator(
        walk.shape, lambda x: walk @ x - constant * (constant @ x), dtype=np.float32
    )
    # From the same vector, so that the map is the same each time.
    start = np.random.default_rng(0).standard_normal(len(scale), np.float32)
    values, vectors = eigsh(rest, k=dim, which="LA", tol=1e-4, v0=start)
    order = np.argsort(-values)
    points = vectors[:, order] * scale[:, np.newaxis] * np.maximum(values[order], 0) ** steps
    return normalise(points).astype(np.float32)


def neighbour_map(codes: Floats, dim: int) -> Floats:
    """Return the diffusion map of codes, float32 (n, d), by their neighbours: float32 (n, dim).

    Raises ValueError when there are too few codes.
    """
    needed = max(MIN_CODES, 2 * dim)
    if len(codes) < needed:
        raise ValueError(
            f"the objective neighbours needs at least {needed} images to train on, "
            f"received {len(codes)}"
        )
    rows = nearest_rows(codes, codes, min(NEIGHBOURS, len(codes) // 5), same=True)
    return diffusion_map(shared_neighbours(rows), dim)


def align(points: Floats, codes: Floats) -> Floats:
    """Rotate a map, float32 (n, dim), onto codes, (n, d) with d >= dim: float32 (n, d).

    A rotation preserves distances, so any is as good a target; this one is the nearest to the codes
    (Schoenemann, "A generalized solution of the orthogonal Procrustes problem", 1966).
    """
    left, _, right = np.linalg.svd(points.T @ codes, full_matrices=False)
    return (points @ (left @ right)).astype(np.float32)


def extend_map(points: Floats, codes: Floats, new_codes: Floats) -> Floats:
    """Return the points of new codes, (m, d), on the map `points`, (n, d), of `codes`, (n, d).

    Each is the mean of the points of its nearest neighbours, scaled to their length: float32
    (m, d).
    """
    rows = nearest_rows(codes, new_codes, min(NEIGHBOURS, len(codes)))
    length = np.linalg.norm(points, axis=1).mean()
    return normalise(points[rows].mean(axis=1)) * length
