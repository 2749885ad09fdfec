"""Distances by name: nobody can guess one, so they are measured among the codes of an index."""

import numpy as np

from pyimagesearch.arrays import Floats
from pyimagesearch.engines.duplicates import (
    default_distance,
    neighbour_distance,
    pair_distances,
)

PAIRS = 10_000  # random ones that are measured
NEAR_PAIRS = 0.05  # of which so many, the nearest, may be called similar


def similar_distance(codes: Floats, metric: str) -> float:
    """Return a distance within which codes may be called similar.

    A typical image has ten others within it, see `neighbour_distance`. In an index of few images
    these are no longer similar: no more than NEAR_PAIRS of random pairs are within it.

    Arguments and errors are those of `find_duplicates`; 0 when there is only one distinct code.
    """
    typical = neighbour_distance(codes, metric)
    if not typical:
        return 0.0
    return min(typical, float(np.quantile(pair_distances(codes, metric, PAIRS), NEAR_PAIRS)))


NAMED_DISTANCES = {"near-duplicate": default_distance, "similar": similar_distance}
