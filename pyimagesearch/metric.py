"""Distance metrics: a new one is one entry of METRICS.

Every metric is computed as a squared Euclidean distance between prepared codes, so that one engine
serves them all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyimagesearch.arrays import AnyArray, Bools


def normalise(codes: AnyArray) -> AnyArray:
    """Scale each row of codes (n, d) to length 1; a row of zeros stays as it is."""
    lengths = np.linalg.norm(codes, axis=1, keepdims=True)
    return codes / np.where(lengths == 0, 1, lengths)


@dataclass(frozen=True)
class Metric:
    """A distance metric.

    `prepare(codes)` returns points, float (n, d), whose Euclidean distances rank as the metric
    does; None where the codes are those points. `from_squares` and `to_squares` convert between
    the squared Euclidean distance of points and the metric. `zero_square` is the squared distance
    of a code of zeros from every other code, where `prepare` cannot give it; else None.
    """

    name: str
    from_squares: Callable[[Any], Any]
    to_squares: Callable[[Any], Any]
    prepare: Callable[[AnyArray], AnyArray] | None = None
    zero_square: float | None = None

    def points(self, codes: AnyArray) -> AnyArray:
        """Return codes (n, d) as points whose Euclidean distances rank as this metric does."""
        if self.prepare is None:
            return codes
        return self.prepare(codes)

    def exact_points(self, codes: AnyArray) -> AnyArray:
        """Return codes (n, d) as points whose distances are those of the metric, without exception.

        They are the `points`, (n, d), or where codes of zeros need it (n, d + 1): these lie on an
        axis of their own, equal to each other and as far as `zero_square` says from all others.
        """
        points = self.points(codes)
        if self.zero_square is None:
            return points
        axis = np.where(self.of_zeros(points), np.sqrt(self.zero_square - 1), 0)
        return np.column_stack([points, axis.astype(points.dtype)])

    def of_zeros(self, points: AnyArray) -> Bools:
        """Return which of `points` are those of codes of zeros that need an axis: bool (n,)."""
        if self.zero_square is None:
            return np.zeros(len(points), bool)
        squares: AnyArray = np.einsum("nd,nd->n", points, points)
        return squares < 0.5  # all others have length 1


METRICS = {
    metric.name: metric
    for metric in (
        Metric("euclidean", from_squares=np.sqrt, to_squares=np.square),
        # For a and b of length 1, 1 - cos(a, b) = ||a - b||^2 / 2. Zeros have no direction: their
        # cosine with any other code counts as 0, so their distance is 1; that of equal codes is 0.
        Metric(
            "cosine",
            from_squares=lambda squares: squares / 2,
            to_squares=lambda distances: 2 * distances,
            prepare=normalise,
            zero_square=2.0,
        ),
    )
}


def get_metric(name: str) -> Metric:
    """Return the Metric called `name`, or raise ValueError."""
    if name not in METRICS:
        raise ValueError(f"unknown metric {name}: expected {' or '.join(METRICS)}")
    return METRICS[name]
