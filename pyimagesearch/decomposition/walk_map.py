"""Linear maps of points to the diffusion map of their neighbours, and several maps made one.

Kinds of pictures are parts of the graph of neighbours. Its diffusion map has such parts as
directions, and a regression makes of it a map that new points can be given to.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from pyimagesearch.arrays import AnyArray, Floats
from pyimagesearch.decomposition.diffusion_map import diffusion_map

MAP_DIM = 64
STEPS = 15  # of the random walk: fewer than for neighbour_map, as neighbours here are of one kind
RIDGE = 0.05  # added to the variances, as a multiple of their mean
FEW = 2000  # points, for which ridges are twice as large: fewer points need more

Doubles = NDArray[np.float64]


def regressed_walk(points: Floats, graph: AnyArray) -> Doubles:
    """Return the linear map, (m, up to MAP_DIM), of points to the diffusion map of a graph.

    `points` are float32 (n, m), with mean 0, and `graph` is a sparse symmetric (n, n) matrix.
    """
    walk = diffusion_map(graph, min(MAP_DIM, len(points) // 4), STEPS)
    covariance = square(points) / len(points)
    size = len(covariance)
    ridge = RIDGE * (1 + FEW / len(points)) * np.trace(covariance) / size
    targets = points.T @ (walk - walk.mean(axis=0)) / len(points)
    return np.linalg.solve(covariance + ridge * np.eye(size), targets)


def joined_maps(
    points: Floats, maps: Sequence[AnyArray], weights: Sequence[float], dim: int
) -> Doubles:
    """Return one linear map of points, (m, dim) or fewer columns, that stands for several.

    The codes of the maps, each (m, k), are scaled to a length of 1 on average, times the weight of
    the map, put side by side and rotated to their principal directions, of which the first are
    kept.
    """
    scaled = [
        weight * part / (mean_length(points @ part) + 1e-9)
        for part, weight in zip(maps, weights, strict=True)
    ]
    both = np.concatenate(scaled, axis=1)
    _, directions = eigh(square(points @ both))
    kept = directions[:, ::-1][:, : min(dim, points.shape[1])]
    return both @ kept


def mean_length(points: AnyArray) -> np.floating[Any]:
    """Return the root mean square length of points (n, m)."""
    length: np.floating[Any] = np.sqrt(np.square(points).sum(axis=1).mean())
    return length


def square(points: AnyArray) -> Doubles:
    """Return points' @ points, (m, m)."""
    return (points.T @ points).astype(np.float64)
