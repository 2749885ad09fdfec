"""What a code without labels can follow: a diffusion map of the graph of nearest neighbours."""

import numpy as np

from pyimagesearch.metric import normalise
from pyimagesearch.search.factory import build_engine

K = 20  # neighbours; 10 to 30 gave maps of the same quality
STEPS = 80  # of the random walk: after fewer, parts of one class are still apart
STAY = 1e-3  # weight of staying, so that a point without shared neighbours is at home in itself
FEWEST = 100


def nearest_rows(codes, queries, k, same=False):
    """Return int64 (q, k), the rows of the codes nearest to each query, nearest first.

    With `same`, the queries are the codes, and each is left out of its own.
    """
    _, rows = build_engine(codes, "auto").search(queries, k + same)
    if not same:
        return rows
    own = rows == np.arange(len(rows))[:, np.newaxis]
    own[~own.any(axis=1), -1] = True  # one of many copies, which did not find itself
    return rows[~own].reshape(len(rows), k)


def shared_neighbours(rows):
    """Return the graph of nearest neighbours as a sparse, symmetric (n, n) float32 matrix.

    `rows` is int64 (n, k). Two points are joined if either is a neighbour of the other; the edge
    weighs as much as they have neighbours in common, because an edge from one class into another
    has few (Jarvis and Patrick, "Clustering using a similarity measure based on shared near
    neighbors", 1973). A single common neighbour is no evidence: that edge is dropped.
    """
    from scipy import sparse

    n, k = rows.shape
    ones = np.ones(rows.size, np.float32)
    near = sparse.csr_matrix((ones, (np.repeat(np.arange(n), k), rows.ravel())), shape=(n, n))
    graph = near.maximum(near.T).multiply(near @ near.T).tocsr()
    graph.data[graph.data < 2] = 0
    graph.eliminate_zeros()
    return graph


def diffusion_map(graph, dim, steps=STEPS):
    """Return where a random walk on a graph goes, as points of length 1, float32 (n, dim).

    `graph` is a symmetric sparse matrix of weights, n at least dim + 2. The coordinates are the
    eigenvectors of the walk's matrix, without the constant one, times their eigenvalues to the
    power of `steps`: points are near each other if walks of so many steps from them end in the
    same places (Coifman and Lafon, "Diffusion maps", 2006). What sets classes apart is their
    direction, so the length is dropped.
    """
    from scipy import sparse
    from scipy.sparse.linalg import LinearOperator, eigsh

    graph = graph + STAY * max(1.0, graph.max()) * sparse.identity(graph.shape[0], format="csr")
    degrees = np.asarray(graph.sum(axis=1), np.float64).ravel()
    scale = degrees**-0.5
    walk = (sparse.diags(scale) @ graph @ sparse.diags(scale)).astype(np.float64).tocsr()
    # The constant one is taken out rather than left out: of a graph in several pieces, others have
    # the same eigenvalue, 1, and they are what tells the pieces apart.
    constant = np.sqrt(degrees / degrees.sum())
    rest = LinearOperator(
        walk.shape, lambda x: walk @ x - constant * (constant @ x), dtype=np.float64
    )
    start = np.random.default_rng(0).standard_normal(len(scale))  # the same map each time
    values, vectors = eigsh(rest, k=dim, which="LA", tol=1e-4, v0=start)
    order = np.argsort(-values)
    points = vectors[:, order] * scale[:, np.newaxis] * np.maximum(values[order], 0) ** steps
    return normalise(points).astype(np.float32)


def neighbour_map(codes, dim):
    """Return the diffusion map of the neighbours among codes, float32 (n, d), as (n, dim).

    Raises ValueError when there are too few codes.
    """
    if len(codes) < max(FEWEST, 2 * dim):
        raise ValueError(
            f"the objective neighbours needs at least {max(FEWEST, 2 * dim)} images to train on, "
            f"received {len(codes)}"
        )
    rows = nearest_rows(codes, codes, min(K, len(codes) // 5), same=True)
    return diffusion_map(shared_neighbours(rows), dim)


def align(points, codes):
    """Turn a map, float32 (n, dim), to where the codes, (n, d), d >= dim, lie: float32 (n, d).

    Distances stay as they are, so that any turn of the map is as good; this one leaves the least
    way to go (Schoenemann, "A generalized solution of the orthogonal Procrustes problem", 1966).
    """
    left, _, right = np.linalg.svd(points.T @ codes, full_matrices=False)
    return (points @ (left @ right)).astype(np.float32)


def extend_map(points, codes, new_codes):
    """Return where new codes, float32 (m, d), belong on the map `points` of `codes`.

    That is between the points of their nearest neighbours: float32 (m, d), as long as those.
    """
    rows = nearest_rows(codes, new_codes, min(K, len(codes)))
    length = np.linalg.norm(points, axis=1).mean()
    return normalise(points[rows].mean(axis=1)) * length
