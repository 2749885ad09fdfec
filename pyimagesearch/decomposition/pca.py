"""Principal component analysis."""

from typing import NamedTuple

import numpy as np

from pyimagesearch.arrays import Floats


class PrincipalComponents(NamedTuple):
    """The first k principal components of points with d dimensions.

    `mean` is float32 (d,), `components` float32 (d, k), of length 1 and orthogonal, `variances`
    float32 (k,), descending.
    """

    mean: Floats
    components: Floats
    variances: Floats

    def project(self, points: Floats) -> Floats:
        """Return the coordinates of points (n, d) along the components, float32 (n, k)."""
        centred: Floats = points - self.mean
        return centred @ self.components


def principal_components(points: Floats, count: int) -> PrincipalComponents:
    """Return the first `count` PrincipalComponents of float32 points (n, d).

    There are fewer where the points vary in fewer dimensions. Time and memory grow with the smaller
    of n and d: where n < d, the eigenvectors are those of the n x n Gram matrix.
    """
    from scipy.linalg import eigh

    mean = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = points - mean
    n, d = centred.shape
    square = centred.T @ centred if d <= n else centred @ centred.T
    size = len(square)
    count = min(count, size)
    values, vectors = eigh(square, subset_by_index=[size - count, size - 1])
    values = values[::-1]
    vectors = vectors[:, ::-1]
    kept = values > max(n, d) * np.finfo(np.float32).eps * max(values[0], 0)
    values = values[kept]
    vectors = vectors[:, kept]
    if d > n:
        vectors = centred.T @ (vectors / np.sqrt(values))
    return PrincipalComponents(mean, vectors.astype(np.float32), (values / n).astype(np.float32))
