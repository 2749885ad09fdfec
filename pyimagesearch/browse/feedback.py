"""Relevance feedback: a query moved towards liked results and away from disliked ones.

After Rocchio (Relevance feedback in information retrieval, 1971), with the weights of Manning,
Raghavan and Schütze (Introduction to Information Retrieval, 2008, section 9.1.1).
"""

import numpy as np

from pyimagesearch.arrays import AnyArray
from pyimagesearch.indexes.contract import Codes
from pyimagesearch.metric import Metric

# Weights of the query and of all marks of a kind.
ORIGINAL = 1.0
LIKED = 0.75
DISLIKED = -0.15


def feedback_code(code: Codes, liked: Codes, disliked: Codes, metric: Metric) -> Codes:
    """Return the weighted mean of a code and of marked codes, float32 (d,).

    `code` is float32 (d,), `liked` and `disliked` are float32 (m, d), `metric` is a Metric. All are
    first made points of the metric, so that for cosine the lengths of codes have no influence.
    Rocchio's sum is divided by the sum of its weights: its direction is the same, and for Euclidean
    distance it stays among the codes.
    """
    total: AnyArray = np.zeros_like(code)
    weights = 0.0
    for weight, codes in ((ORIGINAL, code[np.newaxis]), (LIKED, liked), (DISLIKED, disliked)):
        if len(codes):
            total = total + weight * metric.points(codes).mean(axis=0)
            weights += weight
    return np.asarray(total / weights, np.float32)


def feedback_text(liked: int, disliked: int) -> str:
    """Return words for numbers of marks, with the weight of one of them; empty without marks."""
    texts = (
        f"{count:,} {name} (weight {weight / count:.3g} each)"
        if count > 1
        else f"{count} {name} (weight {weight:.3g})"
        for count, name, weight in ((liked, "liked", LIKED), (disliked, "disliked", DISLIKED))
        if count
    )
    return ", ".join(texts)
