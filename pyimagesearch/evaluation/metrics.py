"""How well a ranking retrieves: precision@k, recall@k and mean average precision."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from pyimagesearch.arrays import AnyArray, Bools, Floats, Labels, Rows
from pyimagesearch.metric import get_metric

KS = (1, 10, 100, 225)
BLOCK = 64  # queries ranked at once: 64 x 60,000 keys of 8 bytes are 31 MB


def evaluate(
    queries: Floats,
    query_labels: Labels,
    gallery: Floats,
    gallery_labels: Labels,
    *,
    metric: str = "euclidean",
    ks: Sequence[int] = KS,
    skip_own_row: bool = False,
) -> dict[str, float]:
    """Return the means of `query_scores`: {"P@1": ..., "R@1": ..., "mAP": ...}.

    With `skip_own_row`, query i is row i of the gallery, which is left out of its own ranking.
    """
    chosen = get_metric(metric)
    scores = query_scores(
        chosen.exact_points(queries),
        query_labels,
        chosen.exact_points(gallery),
        gallery_labels,
        ks=ks,
        own_rows=np.arange(len(queries)) if skip_own_row else None,
    )
    return {name: float(values.mean()) for name, values in scores.items()}


def query_scores(
    queries: Floats,
    query_labels: Labels,
    gallery: Floats,
    gallery_labels: Labels,
    *,
    ks: Sequence[int] = KS,
    own_rows: Rows | None = None,
    progress: Callable[[int], object] | None = None,
) -> dict[str, AnyArray]:
    """Rank the whole gallery for each query; relevant is what has the query's label.

    `queries` (q, d) and `gallery` (n, d) are float32 points, ranked by Euclidean distance, the
    labels integers (q,) and (n,); below 0 stands for no label. What has no label is left out of the
    ranking, because it is unknown whether it is relevant. `own_rows` int64 (q,) are the rows of the
    queries in the gallery, which are left out of their own rankings. `progress`, when given, is
    called with each number of queries done.

    P@k is the fraction of the first k of a ranking that is relevant, or of all of it if it is
    shorter than k. Returns {"P@1": ..., "R@1": ..., "mAP": ...}, float64 (m,) for the m queries
    with anything relevant; raises ValueError when there are none.
    """
    known = np.flatnonzero(gallery_labels >= 0)
    if len(known) < len(gallery):
        gallery = gallery[known]
        gallery_labels = gallery_labels[known]
    own_columns = np.full(len(queries), -1)
    if own_rows is not None:
        own_columns = _places_among(known, own_rows)
    squares: Floats = np.square(gallery).sum(axis=1)
    rankings = _Rankings(queries, query_labels, gallery, squares, gallery_labels, own_columns)
    scores: list[AnyArray] = []
    starts = range(0, len(queries), BLOCK)
    with ThreadPoolExecutor() as pool:
        blocks = pool.map(partial(rankings.scores, ks), starts)
        for start, block in zip(starts, blocks, strict=True):
            scores += block
            if progress:
                progress(min(BLOCK, len(queries) - start))
    if not scores:
        raise ValueError(
            "no query shares its label with another image of the index, so there is nothing to "
            "measure"
        )
    names = [*(f"P@{k}" for k in ks), *(f"R@{k}" for k in ks), "mAP"]
    return dict(zip(names, np.transpose(scores), strict=True))


def _places_among(known: Rows, rows: Rows) -> Rows:
    """Return the places of rows, int64 (q,), among ascending `known` ones; -1 where it has none."""
    places = np.searchsorted(known, rows)
    return np.where(np.append(known, -1)[places] == rows, places, -1)


@dataclass(frozen=True)
class _Rankings:
    """What `query_scores` ranks, all of which has a label, and the squared lengths of the gallery.

    `own_columns` int64 (q,) are the places of the queries in the gallery, -1 where they have none.
    """

    queries: Floats
    query_labels: Labels
    gallery: Floats
    gallery_squares: Floats
    gallery_labels: Labels
    own_columns: Rows

    def scores(self, ks: Sequence[int], start: int) -> list[AnyArray]:
        """Return the `ranking_scores` of up to BLOCK queries, those with anything relevant."""
        rows = np.arange(start, min(start + BLOCK, len(self.queries)))
        distances = self._squares(self.queries[rows])
        relevant = self.query_labels[rows, np.newaxis] == self.gallery_labels
        relevant[self.query_labels[rows] < 0] = False
        sizes = np.full(len(rows), len(self.gallery))
        left_out = np.flatnonzero(self.own_columns[rows] >= 0)
        columns = self.own_columns[rows][left_out]
        # Last and not relevant, and then cut off.
        distances[left_out, columns] = np.inf
        relevant[left_out, columns] = False
        sizes[left_out] -= 1
        rankings = zip(rank(distances, relevant), sizes, strict=True)
        return [ranking_scores(hits[:size], ks) for hits, size in rankings if hits.any()]

    def _squares(self, queries: Floats) -> Floats:
        """Return the squared distances, float32 (q, n), of queries from the gallery."""
        squares = queries @ self.gallery.T
        squares *= -2
        squares += self.gallery_squares
        squares += np.square(queries).sum(axis=1, keepdims=True)
        return squares


def rank(distances: Floats, relevant: Bools) -> Bools:
    """Return `relevant`, bool (q, n), each row by ascending distance, ties by column."""
    # The bits of floats >= 0 sort as the floats do. Packing distance, column and relevance into one
    # integer makes a plain sort do, which is ten times faster than argsort and a gather.
    keys = np.maximum(distances, 0).view(np.uint32).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(distances.shape[1], dtype=np.uint64) << np.uint64(1)
    keys |= relevant
    keys.sort(axis=1)
    return (keys & np.uint64(1)).astype(bool)


def ranking_scores(hits: Bools, ks: Sequence[int] = KS) -> AnyArray:
    """Return precision at each k, recall at each k, and average precision of one ranking.

    `hits` is bool (n,), whether the result at each rank is relevant; at least one is. Average
    precision is the mean of the precision at the rank of each relevant result (Manning, Raghavan
    and Schuetze, Introduction to Information Retrieval, section 8.4).
    """
    ranks = np.flatnonzero(hits) + 1
    found = np.searchsorted(ranks, ks, side="right")
    average_precision = np.mean(np.arange(1, len(ranks) + 1) / ranks)
    depths = np.minimum(ks, len(hits))
    return np.array([*(found / depths), *(found / len(ranks)), average_precision])
