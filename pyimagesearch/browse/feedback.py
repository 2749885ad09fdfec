"""Relevance feedback: a query moved towards results marked alike and away from those unlike.

After Rocchio (Relevance feedback in information retrieval, 1971), with the weights of Manning,
Raghavan and Schütze (Introduction to Information Retrieval, 2008, section 9.1.1).
"""

import numpy as np

ORIGINAL, ALIKE, UNLIKE = 1.0, 0.75, -0.15  # weights of the query and of all marks of a kind


def feedback_code(code, alike, unlike, metric):
    """Return the weighted mean of a code and of marked codes, float32 (d,).

    `code` is float32 (d,), `alike` and `unlike` are float32 (m, d), `metric` is a Metric. All are
    first made points of the metric, so that for cosine the lengths of codes have no influence.
    Rocchio's sum is divided by the sum of its weights: its direction is the same, and for Euclidean
    distance it stays among the codes.
    """
    total, weights = np.zeros_like(code), 0.0
    kinds = (ORIGINAL, code[np.newaxis]), (ALIKE, alike), (UNLIKE, unlike)
    for weight, codes in kinds:
        if len(codes):
            total = total + weight * metric.points(codes).mean(axis=0)
            weights += weight
    return np.asarray(total / weights, np.float32)


def feedback_text(alike, unlike):
    """Return words for numbers of marks, with the weight of one of them; empty without marks."""
    texts = (
        f"{count:,} {name} (weight {weight / count:.3g} each)"
        if count > 1
        else f"{count} {name} (weight {weight:.3g})"
        for count, name, weight in ((alike, "alike", ALIKE), (unlike, "unlike", UNLIKE))
        if count
    )
    return ", ".join(texts)
