"""A linear map that adapts the features of a network to pictures, without labels.

A network that was trained on other pictures tells apart much that does not matter among these. Here
the nearest neighbours of a picture stand for its kind: the map shrinks what differs between
neighbours, and draws together pictures that random walks along neighbours connect.

The steps, with P@1 / P@10 / mAP of 64 dimensions after them, on pictures held out from the database
of a tenth of CIFAR-10, where the network itself has .635 / .576 / .299:

1. The square root of features that are never negative. Few pictures have large values of a feature,
   which would outweigh all others in distances. Without it the end is .651 / .621 / .417.
2. Features divided by their deviations, reduced to COMPONENTS principal components, of which the
   first 64 have .659 / .590 / .329.
3. A discriminant: the directions in which pictures differ much, compared with neighbours (Fisher's,
   with neighbours as the classes): .666 / .624 / .381. The neighbours are found again by the better
   codes, which adds .002 / .005 / .003 in the end.
4. The diffusion map of the neighbours, by linear regression: kinds of pictures are parts of the
   graph of neighbours, and this map has them as directions: alone .618 / .607 / .434.
5. Both maps side by side, rotated to their principal directions, of which the first are kept:
   .673 / .635 / .431.

All steps after the square root are linear, so that the result is one matrix and a bias.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.linalg import block_diag, eigh

from pyimagesearch.arrays import AnyArray, Floats
from pyimagesearch.decomposition.diffusion_map import neighbour_covariance, neighbour_graph
from pyimagesearch.decomposition.discriminant import ratio_directions
from pyimagesearch.decomposition.walk_map import (
    FEW,
    Doubles,
    joined_maps,
    mean_length,
    regressed_walk,
    square,
)

logger = logging.getLogger(__name__)

COMPONENTS = 512  # more hold noise
RANK_LIMIT = 1e-6  # of the largest variance: components below are rounding errors
LEAST_RIDGE = 1e-4  # of the mean variance: copies have no differences but rounding errors
MIN_DEVIATION = 0.01  # of the mean deviation, added so that rare features do not become large
NEIGHBOURS = 20
ROUNDS = 2  # of finding neighbours and a discriminant
DIRECTIONS = 128  # of the discriminant: more raise mAP, and lower P@1
RIDGE = 0.5  # added to the variances between neighbours, as a multiple of their mean
# Codes that were learnt from few pictures tell these apart better than new ones. On held-out parts
# .2 to .3 was best for 640 pictures, and .7 to 1 for 7,650.
BESIDE = 0.9
MIN_PICTURES = 100  # fewer do not show what varies between new pictures

Blocks = Callable[[], Iterable[Floats]]  # reads all features once more, (k, d) at a time


@dataclass(frozen=True)
class LinearMap:
    """Codes are `features @ matrix + bias`, (d, m) and (m,), of features or of their roots.

    Of the first `rooted` features the square roots are taken before, of negative ones 0.
    """

    matrix: Floats
    bias: Floats
    rooted: int = 0

    def apply(self, features: Floats) -> Floats:
        """Return the codes of features (n, d), float32 (n, m)."""
        return shaped(features, self.rooted) @ self.matrix + self.bias

    def followed_by(self, matrix: AnyArray, bias: AnyArray | float = 0.0) -> "LinearMap":
        """Return the map of features to `codes @ matrix + bias`."""
        whole = (self.matrix @ matrix).astype(np.float32)
        offset = (self.bias @ matrix + bias).astype(np.float32)
        return LinearMap(whole, offset, self.rooted)


@dataclass(frozen=True)
class Components:
    """Pictures by the principal components of their features.

    `points` float32 (n, m) are what `projection` gives for the features.
    """

    points: Floats
    projection: LinearMap

    def beside(self, codes: Floats) -> "Components":
        """Return the components with codes of the same pictures, float32 (n, k), as further ones.

        These were learnt from the pictures. They are centred, and scaled to a root mean square
        length of BESIDE times that of the points, for FEW pictures half of it. The projection takes
        features with the codes after them.
        """
        weight = BESIDE / (1 + FEW / len(codes))
        mean = codes.mean(axis=0)
        centred = codes - mean
        scale = weight * mean_length(self.points) / (mean_length(centred) + 1e-9)
        old = self.projection
        identity = np.eye(len(mean), dtype=np.float32)
        projection = LinearMap(
            block_diag(old.matrix, scale * identity),
            np.concatenate([old.bias, -scale * mean]),
            old.rooted,
        )
        return Components(np.concatenate([self.points, scale * centred], axis=1), projection)


def shaped(features: Floats, rooted: int) -> Floats:
    """Return features, the first `rooted` as their square roots, of negative ones 0: float32."""
    if not rooted:
        return features
    roots = np.sqrt(np.maximum(features[:, :rooted], 0))
    return np.concatenate([roots, features[:, rooted:]], axis=1)


def components_of(blocks: Blocks) -> Components:
    """Return up to COMPONENTS principal components of features, each divided by its deviation.

    Memory is that of one block, of the points and of (d, d) numbers. Raises ValueError for fewer
    than MIN_PICTURES and for pictures that all have the same features.
    """
    count = sum(map(len, blocks()))
    if count < MIN_PICTURES:
        raise ValueError(
            f"a network is adapted to {MIN_PICTURES} pictures or more, received {count}: index "
            "with the network as it is"
        )
    rooted = 0
    if all(block.min() >= 0 for block in blocks()):
        rooted = next(iter(blocks())).shape[1]
    sums = (shaped(block, rooted).sum(axis=0, dtype=np.float64) for block in blocks())
    mean = reduce(np.add, sums) / count
    squares = (square(shaped(block, rooted) - mean) for block in blocks())
    covariance = reduce(np.add, squares) / count
    deviations = np.sqrt(np.diag(covariance))
    if not deviations.max() > 0:
        raise ValueError("the network gives the same features for all pictures: use another one")
    scale = 1 / (deviations + MIN_DEVIATION * deviations.mean())
    size = len(covariance)
    first = max(0, size - min(COMPONENTS, count - 1))
    values, vectors = eigh(covariance * np.outer(scale, scale), subset_by_index=[first, size - 1])
    kept = values > RANK_LIMIT * values[-1]
    matrix = (scale[:, np.newaxis] * vectors[:, kept][:, ::-1]).astype(np.float32)
    projection = LinearMap(matrix, (-mean @ matrix).astype(np.float32), rooted)
    points = np.concatenate([projection.apply(block) for block in blocks()])
    return Components(points, projection)


def adapted_map(components: Components, dim: int) -> LinearMap:
    """Return the map of features to codes of `dim` dimensions, to be compared by their cosines.

    There are fewer where the features have fewer components.
    """
    points = components.points
    discriminant = np.eye(points.shape[1])[:, :DIRECTIONS]
    for _ in range(ROUNDS):
        discriminant = _discriminant(points, neighbour_graph(points @ discriminant, NEIGHBOURS))
    walk = regressed_walk(points, neighbour_graph(points @ discriminant, NEIGHBOURS))
    joined = joined_maps(points, [discriminant, walk], [1, 1], dim)
    return components.projection.followed_by(joined)


def _discriminant(points: Floats, graph: AnyArray) -> Doubles:
    """Return up to DIRECTIONS of `ratio_directions`, between all points and between neighbours."""
    size = points.shape[1]
    within = neighbour_covariance(points, graph).astype(np.float64)
    total = square(points) / len(points)
    ridge = RIDGE * (1 + FEW / len(points)) * max(0, np.trace(within)) / size
    ridge += LEAST_RIDGE * np.trace(total) / size
    return ratio_directions(total, within + ridge * np.eye(size), DIRECTIONS)
