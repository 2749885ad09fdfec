"""Search engines: the k codes nearest to each query, with their true distances."""

import faiss
import numpy as np

BLOCK = 1024  # queries measured at once: with 225 results of 16 numbers each, 15 MB


class ExactEngine:
    """Compares every query with every code, on all cores."""

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
            queries = normalise(queries)
        blocks = [
            self._search_block(queries[start : start + BLOCK], k)
            for start in range(0, len(queries), BLOCK)
        ]
        distances, rows = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return distances, rows

    def _search_block(self, queries, k):
        if self.metric == "cosine":
            similarities, rows = faiss.knn(queries, self.codes, k, faiss.METRIC_INNER_PRODUCT)
            return np.clip(1 - similarities, 0, 2), rows
        _, rows = faiss.knn(queries, self.codes, k)
        # FAISS computes ||a||^2 - 2ab + ||b||^2, which cancels: what it found is measured again.
        distances = np.linalg.norm(self.codes[rows] - queries[:, np.newaxis], axis=2)
        order = distances.argsort(axis=1, kind="stable")
        return np.take_along_axis(distances, order, 1), np.take_along_axis(rows, order, 1)


def normalise(codes):
    """Scale each row to length 1; a row of zeros stays as it is."""
    lengths = np.linalg.norm(codes, axis=1, keepdims=True)
    return codes / np.where(lengths == 0, 1, lengths)
