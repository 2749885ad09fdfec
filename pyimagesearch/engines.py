"""Search engines: the k codes nearest to each query, with their true distances."""

import faiss
import numpy as np


class ExactEngine:
    """Compares every query with every code, in blocks, on all cores."""

    def __init__(self, codes, metric="euclidean"):
        """Search float32 `codes` (n, d) by `metric`, "euclidean" or "cosine"."""
        self.metric = metric
        self.codes = normalise(codes) if metric == "cosine" else codes

    def search(self, queries, k):
        """Return the distances, float32 (q, k) ascending, and rows, int64 (q, k), of the nearest.

        `queries` is float32 (q, d). k is cut to the number of codes. Euclidean distance is
        ||a - b||, cosine distance 1 - cos(a, b).
        """
        k = min(k, len(self.codes))
        if self.metric == "cosine":
            similarities, rows = faiss.knn(
                normalise(queries), self.codes, k, metric=faiss.METRIC_INNER_PRODUCT
            )
            return np.clip(1 - similarities, 0, 2), rows
        squares, rows = faiss.knn(queries, self.codes, k)
        return np.sqrt(np.maximum(squares, 0)), rows


def normalise(codes):
    """Scale each row to length 1; a row of zeros stays as it is."""
    lengths = np.linalg.norm(codes, axis=1, keepdims=True)
    return codes / np.where(lengths == 0, 1, lengths)
