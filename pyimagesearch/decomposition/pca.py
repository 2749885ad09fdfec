"""Principal component analysis."""

from typing import NamedTuple

import numpy as np

from pyimagesearch.arrays import Floats

BLOCK = 4096  # rows whose products are summed as float32
# Of the largest variance: the rounding of BLOCK products and of the eigenvalues, which hardly
# exceeds sqrt(BLOCK) units in the last place (Higham and Mary, A new approach to probabilistic
# rounding error analysis, 2019).
MIN_VARIANCE = float(BLOCK**0.5 * np.finfo(np.float32).eps)


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

    There are fewer where the points vary in fewer dimensions: a variance that rounding may have
    made, at most MIN_VARIANCE of the largest, is none. Time and memory grow with the smaller of n
    and d: where n < d, the eigenvectors are those of the n x n Gram matrix.
    """
    from scipy.linalg import eigh

    mean = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = points - mean
    n, d = centred.shape
    square = _gram(centred) if d <= n else _gram(centred.T)
    size = len(square)
    count = min(count, size)
    values, vectors = eigh(square, subset_by_index=[size - count, size - 1])
    values = values[::-1]
    vectors = vectors[:, ::-1]
    kept = values > MIN_VARIANCE * max(values[0], 0)
    values = values[kept]
    vectors = vectors[:, kept]
    if d > n:
        vectors = centred.T @ (vectors / np.sqrt(values))
    return PrincipalComponents(mean, vectors.astype(np.float32), (values / n).astype(np.float32))


def _gram(rows: Floats) -> Floats:
    """Return the Gram matrix, float32 (k, k), of the columns of float32 (m, k).

    Sums of more than BLOCK products are float64: otherwise their rounding would grow with m.
    """
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        total += block.T @ block
    return total.astype(np.float32)
