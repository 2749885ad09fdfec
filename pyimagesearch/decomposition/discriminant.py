"""A linear discriminant without labels: each image is a class, and views of it its examples."""

import numpy as np

from pyimagesearch.arrays import AnyArray, Floats
from pyimagesearch.decomposition.diffusion_map import neighbour_covariance, neighbour_graph
from pyimagesearch.decomposition.pca import principal_components
from pyimagesearch.decomposition.walk_map import joined_maps, regressed_walk

FEATURES = 512  # principal components of the features that are kept
RIDGE = 0.07  # added to the variances within views, as a multiple of their mean
# Images for which the ridge is twice as large. With a small ridge, as many images as FEATURES are
# the worst number, since directions fit them by chance: on photographs that 100 images, 400 and
# 1,600 did not include, P@1 was .365, .384 and .489 with RIDGE, .423, .454 and .496 with 1.
FEW_IMAGES = 4000
MIN_SPREAD = 1e-6  # the least sum of variances within views, as a fraction of that of all
NEIGHBOURS = 20
NEIGHBOUR_WEIGHT = 3.0  # of the differences between neighbours, where those of views have 1
DIRECTIONS = 64  # of the discriminant, which stand beside the walk along neighbours
# Of the walk, where the discriminant has 1. More raises mAP further, and lowers P@10 where kinds
# have few pictures: of drawings of 122 kinds from .187 to .182 with .7.
WALK_WEIGHT = 0.5
EXPONENT = 0.1  # of the ratios of variances that the directions are multiplied by


def discriminant(views: Floats, dim: int) -> tuple[Floats, Floats]:
    """Return a linear map of features to codes in which views of one image are near each other.

    `views` is float32 (v, n, d), the features of v views of n images; the first views are the
    images themselves. Returns a matrix, float32 (d, dim), and a bias, (dim,). The directions x of
    the discriminant maximise x'Tx / x'Wx: T is the covariance of all features, W that of altered
    views of one image and of neighbours. A random walk along neighbours stands beside it: with 64
    dimensions that raised mAP on held-out parts of digits from .770 to .815, of clothes from .614
    to .623, of photographs from .243 to .274 and of drawings from .295 to .298; P@1 and P@10 did
    not fall. Columns beyond the number of directions are zeros.
    """
    flat = views.reshape(-1, views.shape[2])
    mean = flat.mean(axis=0)
    deviations = flat.std(axis=0)
    scale: AnyArray = 1 / (deviations + 0.01 * deviations.mean() + 1e-9)
    count = max(views.shape[1], 4 * FEATURES)
    found = principal_components((flat[:count] - mean) * scale, FEATURES)
    projection = found.components * scale[:, np.newaxis]
    points = (flat @ projection - mean @ projection).reshape(*views.shape[:2], -1)
    directions = projection @ _map_of_views(points, dim)
    matrix = np.zeros((views.shape[2], dim), np.float32)
    matrix[:, : directions.shape[1]] = directions
    return matrix, -mean @ matrix


def _map_of_views(points: Floats, dim: int) -> AnyArray:
    """Return the map of points, float32 (v, n, m), the views of images, to up to `dim` numbers."""
    altered = points[1:] if len(points) > 2 else points
    within = _covariance(altered - altered.mean(axis=0)) * (len(altered) / (len(altered) - 1))
    total = _covariance(points - points.mean(axis=(0, 1)))
    size = len(total)
    # Views may be all alike, as of images that are changed by nothing.
    spread = max(np.trace(within), MIN_SPREAD * np.trace(total))
    images = points[0]
    ridge = RIDGE * (1 + FEW_IMAGES / len(images)) * spread / size * np.eye(size)
    k = min(NEIGHBOURS, len(images) // 5)
    if k < 2:
        return ratio_directions(total, within + ridge, dim)
    count = max(dim, DIRECTIONS)
    codes = images @ ratio_directions(total, within + ridge, count)
    between = neighbour_covariance(images, neighbour_graph(codes, k))
    if np.trace(between) > 0:
        within = within + NEIGHBOUR_WEIGHT * spread / np.trace(between) * between
    directions = ratio_directions(total, within + ridge, count)
    walk = regressed_walk(images, neighbour_graph(images @ directions, k))
    return joined_maps(images, [directions, walk], [1, WALK_WEIGHT], dim)


def ratio_directions(total: AnyArray, within: AnyArray, count: int) -> AnyArray:
    """Return the directions x, (m, up to count), that maximise x'Tx / x'Wx, the best first.

    T and W are covariances, (m, m). Each direction is multiplied by its ratio to the power of
    EXPONENT.
    """
    from scipy.linalg import eigh

    size = len(total)
    values, vectors = eigh(total, within, subset_by_index=[max(size - count, 0), size - 1])
    return (vectors * np.maximum(values, 0) ** EXPONENT)[:, ::-1]


def _covariance(differences: AnyArray) -> AnyArray:
    """Return the covariance of points with mean 0, (..., k), as (k, k)."""
    flat = differences.reshape(-1, differences.shape[-1])
    return flat.T @ flat / len(flat)
