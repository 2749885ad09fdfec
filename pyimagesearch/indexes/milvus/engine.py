"""Search in a Milvus collection, with the contract of all engines."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pyimagesearch.arrays import Floats, Found, Rows
from pyimagesearch.engines.engine import CANDIDATES_PER_BLOCK, Engine, checked_probe
from pyimagesearch.engines.exact import rerank
from pyimagesearch.indexes.milvus.collection import PAGE, between
from pyimagesearch.indexes.milvus.schema import hash_codes
from pyimagesearch.metric import get_metric

if TYPE_CHECKING:
    from pyimagesearch.indexes.local_index import LocalIndex
    from pyimagesearch.indexes.milvus.index import MilvusIndex

RESULTS_PER_CALL = 1 << 17
MAX_EF = 32_768
PROBES = {"HNSW": 512, "BIN_IVF_FLAT": 64}  # else an eighth of the lists
SHORTLIST = 40  # candidates measured for the 10 nearest where distances are not true
# More than PAGE results are fetched in at least this number of parts. With filters as selective as
# this, Milvus compares all remaining codes; with less selective ones, a graph returned a third of
# the results.
MIN_PAGES = 16


class MilvusEngine(Engine):
    """Searches a collection; distances are those of the codes, as other engines give them.

    Rows are the keys of its MilvusIndex, which names them.
    """

    def __init__(
        self, index: "MilvusIndex", metric: str | None = None, probe: int | None = None
    ) -> None:
        """Search a MilvusIndex.

        Raises ValueError for another metric than the collection's, or a probe of exact search.
        """
        if metric not in (None, index.metric):
            raise ValueError(
                f"{index.address} ranks by {index.metric} distance, not {metric}: leave "
                f"--metric out, or make another collection with --metric {get_metric(metric).name}"
            )
        self.index = index
        self.metric = get_metric(index.metric)
        self.dim = index.dim
        self.spec = index.engine_spec
        self.name = index.engine_spec.name
        self._probe = min(PROBES.get(self.spec.kind, self.probe_limit // 8 or 1), self.probe_limit)
        self._count = len(index)
        if not self._count:
            raise ValueError(f"{index.address} holds no codes: index some images first")
        if probe is not None:
            self.probe = probe

    def __len__(self) -> int:
        return self._count

    @property
    def probe_limit(self) -> int:
        """The largest `probe` that makes a difference."""
        return {"FLAT": 1, "HNSW": MAX_EF}.get(self.spec.kind) or self.spec.params["nlist"]

    @property
    def probe(self) -> int | None:
        """How widely a search looks: nprobe of inverted lists, ef of a graph; None if exact."""
        return None if self.spec.kind == "FLAT" else self._probe

    @probe.setter
    def probe(self, probe: int) -> None:
        probe = checked_probe(probe, self.probe_limit)
        if self.spec.kind == "FLAT":
            raise ValueError(
                f"{self.index.address} is searched exactly, which has nothing to probe"
            )
        self._probe = probe

    def shortlist_size(self, k: int) -> int:
        """Return the number of candidates to fetch for the k nearest."""
        if self.spec.inexact:
            return max(2 * k, int(SHORTLIST * (k / 10) ** 0.5))
        return k

    def candidates_held(self, wanted: int) -> int:
        """Return the room for one query's results: those of a block travel in one message."""
        return wanted * (CANDIDATES_PER_BLOCK // RESULTS_PER_CALL)

    def candidates(self, queries: Floats, wanted: int, probe: int) -> Found:
        """Return true distances, float32 (q, wanted) ascending, and rows, padded with -1."""
        distances = np.full((len(queries), wanted), np.inf, np.float32)
        rows = np.full((len(queries), wanted), -1, np.int64)
        zeros = self.metric.of_zeros(self.metric.points(queries))
        found: Iterator[Found] = iter(())
        if not zeros.all():
            found = iter(self._search_pages(queries[~zeros], wanted, probe))
        for i, is_zero in enumerate(zeros.tolist()):
            near, keys = self._nearest_to_zeros(queries[i], wanted) if is_zero else next(found)
            distances[i, : len(keys)] = near
            rows[i, : len(keys)] = keys
        return distances, rows

    def _nearest_to_zeros(self, query: Floats, wanted: int) -> Found:
        """Return the distances and rows nearest to a query of zeros, which has no direction.

        The server ranks codes at random for it, so that as many as it gives are measured here.
        """
        most = max(wanted, min(PAGE, self._count))
        [(distances, rows)] = self._search_pages(query[np.newaxis], most, self.probe_limit)
        return distances[:wanted], rows[:wanted]

    def ranked(self, queries: Floats, estimates: Floats, rows: Rows, k: int) -> Found:
        """Return the k nearest, or fewer if rows were deleted meanwhile."""
        k = min(k, int((rows >= 0).sum(axis=1).min()))
        return estimates[:, :k], rows[:, :k]

    def _search_pages(self, queries: Floats, wanted: int, probe: int) -> list[Found]:
        """Search at once or, for more than PAGE results, in ranges of rows that are then merged.

        A range that returns a full page may have more results that are near enough; then the
        search is repeated with more ranges.
        """
        if wanted <= PAGE or self.index.collection.connection.address.lite:
            return self._ask(queries, wanted, probe)
        pages = max(MIN_PAGES, 2 * wanted // PAGE)
        while True:
            ranges = self.index.collection.ranges(pages)
            parts = [self._ask(queries, PAGE, probe, keys) for keys in ranges]
            found = [_nearest_of(of_query, wanted) for of_query in zip(*parts, strict=True)]
            if all(
                len(rows) < PAGE or distances[-1] >= nearest[-1]
                for part in parts
                for (distances, rows), (nearest, _) in zip(part, found, strict=True)
            ):
                return found
            pages *= 2

    def _ask(
        self, queries: Floats, wanted: int, probe: int, keys: range | None = None
    ) -> list[Found]:
        """Return (distances, rows) for each query as the server finds them, ascending.

        Only rows with `keys` in a range are searched, unless that is None.
        """
        vectors = self.spec.index(self.metric.name)
        data: Any = queries
        if self.spec.bits:
            hashes = hash_codes(queries, self.index.centre, self.spec.bits)
            data = [hashed.tobytes() for hashed in hashes]
        measured = self.spec.inexact or not queries.any()
        widths = {"FLAT": {}, "HNSW": {"ef": min(MAX_EF, max(probe, wanted))}}
        answers = self.index.collection.call(
            "search",
            data=data,
            anns_field=vectors.field,
            limit=wanted,
            filter="" if keys is None else between(keys),
            search_params={
                "metric_type": vectors.metric,
                "params": widths.get(self.spec.kind, {"nprobe": probe}),
            },
            output_fields=["id", "label", *["code"] * measured],
            consistency_level="Eventually",
        )
        if len(answers) != len(queries):
            raise ValueError(f"expected {len(queries)} answers of Milvus, received {len(answers)}")
        return [
            self._distances(query, hits, measured=measured)
            for query, hits in zip(queries, answers, strict=True)
        ]

    def _distances(self, query: Floats, hits: Any, *, measured: bool) -> Found:
        """Return the true distances of hits, float32 (m,) ascending, and their rows, int64 (m,).

        They are `measured` here where the server's are not true; the hits then have their codes.
        """
        rows = np.array(hits.ids, np.int64)
        entities = [hit["entity"] for hit in hits]
        self.index.remember(zip(rows.tolist(), entities, strict=True))
        if measured:
            codes = np.array([entity["code"] for entity in entities], np.float32)
            codes = codes.reshape(len(rows), self.dim)
            own = np.arange(len(rows))[np.newaxis]
            distances, order = rerank(query[np.newaxis], codes, own, len(rows), metric=self.metric)
            return distances[0], rows[order[0]]
        distances = np.array(hits.distances, np.float32)
        if self.spec.index(self.metric.name).metric == "COSINE":  # no number for a code of zeros
            distances = 1 - np.clip(np.nan_to_num(distances), -1, 1)
        else:
            distances = self.metric.from_squares(np.maximum(distances, 0))
        order = np.argsort(distances, kind="stable")
        return distances[order], rows[order]


def _nearest_of(parts: tuple[Found, ...], wanted: int) -> Found:
    """Merge the (distances, rows) of several ranges; return the nearest."""
    distances, rows = map(np.concatenate, zip(*parts, strict=True))
    order = np.argsort(distances, kind="stable")[:wanted]
    return distances[order], rows[order]


class RowsOfIds(Engine):
    """The engine of a collection, with rows of an index in memory that `load` returned."""

    def __init__(self, index: "MilvusIndex", loaded: "LocalIndex") -> None:
        self._engine = index.engine
        self._places = {index.key_of(id): row for row, id in enumerate(loaded.ids)}
        self.codes = loaded.codes
        self.metric = self._engine.metric
        self.dim = self._engine.dim
        self.name = self._engine.name

    @property
    def probe(self) -> int | None:
        """How widely a search looks; see MilvusEngine."""
        return self._engine.probe

    def search(self, queries: Floats, k: int) -> Found:
        """Search the collection; rows written since it was loaded are -2."""
        distances, keys = self._engine.search(queries, k)
        rows = [[self._places.get(key, -2) for key in of_query] for of_query in keys.tolist()]
        return distances, np.array(rows, np.int64).reshape(keys.shape)
