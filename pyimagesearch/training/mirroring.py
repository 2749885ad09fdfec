"""Mirrored images: whether they are of the same kind, and features that are the same for them."""

import logging
import math
from collections.abc import Callable

import numpy as np

from pyimagesearch.arrays import Floats, Rows
from pyimagesearch.decomposition.pca import principal_components
from pyimagesearch.engines.exact import ExactEngine
from pyimagesearch.metric import normalise
from pyimagesearch.training.patches import GRID

logger = logging.getLogger(__name__)

RATIO = 1.1  # of distances, up to which mirror images count as images of the same kind
COMPONENTS = 64
SAMPLE = 2000  # images whose features give the components


class MirrorPairs:
    """The features of the architecture `patches`, in pairs of an image and its mirror image.

    Features are (n, scales * 9 * filters): the response of a filter in an area of the grid. Its
    partner is that of the mirrored filter in the mirrored area, which is what the filter responds
    with to the mirrored image. Where mirrored images are `alike`, a pair becomes its mean, which is
    the same for both; else its first feature.
    """

    def __init__(self, scales: int, filters: int, *, alike: bool) -> None:
        half = filters // 2
        shape = scales, GRID, GRID, filters
        numbers = np.arange(math.prod(shape)).reshape(shape)
        self._size = numbers.size
        self._first: Rows = numbers[..., :half].ravel()
        self._second: Rows = numbers[:, :, ::-1, half : 2 * half].ravel()
        self._alike = alike

    def reduced(self, features: Floats) -> Floats:
        """Return one number for each pair, (n, pairs)."""
        if not self._alike:
            return features[:, self._first]
        return np.float32(0.5) * (features[:, self._first] + features[:, self._second])

    def of_features(self, matrix: Floats) -> Floats:
        """Return the linear map of features that equals one, (pairs, k), of what they become."""
        whole = np.zeros((self._size, matrix.shape[1]), np.float32)
        if self._alike:
            whole[self._first] = matrix / 2
            whole[self._second] = matrix / 2
        else:
            whole[self._first] = matrix
        return whole


def is_mirrored_alike(
    features: Floats, images: Floats, features_of: Callable[[Floats], Floats]
) -> bool:
    """Whether a mirrored image has about as near neighbours as the image itself.

    `features` (n, d) are those of all images, of which `images` (m, h, w, c) are the first;
    `features_of` computes those of other images.
    """
    # Not of the images themselves, which their own components would move away from mirrored ones.
    others = features[len(images) :] if len(features) > 2 * len(images) else features
    found = principal_components(others[:SAMPLE], COMPONENTS)
    whitening = found.variances**-0.25
    codes = normalise(found.project(features) * whitening)
    mirrored = normalise(found.project(features_of(images[:, :, ::-1])) * whitening)
    own = np.arange(len(images))
    engine = ExactEngine(codes)

    def nearest_other(queries: Floats) -> float:
        distances, rows = engine.search(queries, 2)
        return np.median(np.where(rows[:, 0] == own, distances[:, -1], distances[:, 0]))

    ratio = nearest_other(mirrored) / max(nearest_other(codes[own]), 1e-9)
    logger.info(f"fit: mirrored images are {ratio:.2f} times as far from others as images are")
    return ratio <= RATIO
