"""Search in a Milvus collection, with the contract of all engines."""

import numpy as np

from pyimagesearch.metric import get_metric
from pyimagesearch.milvus.schema import hash_codes
from pyimagesearch.search.engine import Engine
from pyimagesearch.search.exact import rerank

LIMIT = 16_384  # results a query that a server returns at most
HELD = 1 << 17  # results that are asked for at once
MAX_EF = 32_768
PROBES = {"HNSW": 512, "BIN_IVF_FLAT": 64}  # else an eighth of the lists
SHORTLIST = 40  # candidates measured for the 10 nearest where distances are not true
# Parts that more than LIMIT results are fetched in. A filter that leaves so little makes Milvus
# compare with all that is left; with more left, a graph returned a third of what it should.
MIN_PAGES = 16


class MilvusEngine(Engine):
    """Searches a collection; distances are those of the codes, as other engines give them.

    `rows` are those of its MilvusIndex.
    """

    def __init__(self, index, metric=None, probe=None):
        """Search a MilvusIndex.

        Raises ValueError for another metric than the collection's, or a probe of exact search.
        """
        if metric not in (None, index.metric):
            raise ValueError(
                f"{index.connection.address} ranks by {index.metric} distance, not {metric}: leave "
                f"--metric out, or make another collection with --metric {get_metric(metric).name}"
            )
        self.index, self.metric, self.dim = index, index.metric, index.encoder.dim
        self.spec, self.name = index.engine_spec, index.engine_spec.name
        self._probe = min(PROBES.get(self.spec.kind, self.probe_limit // 8 or 1), self.probe_limit)
        self._count = len(index)
        if not self._count:
            raise ValueError(f"{index.connection.address} holds no codes: index some images first")
        if probe is not None:
            self.probe = probe

    def __len__(self):
        return self._count

    @property
    def probe_limit(self):
        """The largest `probe` that makes a difference."""
        return {"FLAT": 1, "HNSW": MAX_EF}.get(self.spec.kind) or self.spec.params["nlist"]

    @property
    def probe(self):
        """How widely a search looks: nprobe of inverted lists, ef of a graph; None if exact."""
        return None if self.spec.kind == "FLAT" else self._probe

    @probe.setter
    def probe(self, probe):
        if probe != int(probe) or probe < 1:
            raise ValueError(f"expected a probe of at least 1, received {probe}")
        if self.spec.kind == "FLAT":
            raise ValueError(
                f"{self.index.connection.address} is searched exactly, which has nothing to probe"
            )
        self._probe = min(int(probe), self.probe_limit)

    def search(self, queries, k):
        """Return the distances, float32 (q, k) ascending, and rows, int64 (q, k), of the nearest.

        As `ExactEngine.search`, but unless the engine is exact some of the nearest may be missed.
        """
        queries, k = self.checked(queries, k)
        if not len(queries):
            return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
        wanted = k
        if self.spec.inexact:
            wanted = min(len(self), max(2 * k, int(SHORTLIST * (k / 10) ** 0.5)))
        step = max(1, HELD // wanted)
        found = []
        for start in range(0, len(queries), step):
            found += self._search_block(queries[start : start + step], wanted, k)
        k = min(len(rows) for _, rows in found)  # fewer than asked for if some were deleted
        return tuple(np.stack([part[:k] for part in parts]) for parts in zip(*found, strict=True))

    def _search_block(self, queries, wanted, k):
        """Return (distances, rows) for each query, up to k of them."""
        probe = self._probe
        found = self._search_pages(queries, wanted, probe)
        while probe < self.probe_limit and min(len(rows) for _, rows in found) < k:
            probe = min(4 * probe, self.probe_limit)
            found = self._search_pages(queries, wanted, probe)
        return [(distances[:k], rows[:k]) for distances, rows in found]

    def _search_pages(self, queries, wanted, probe):
        """Search at once, or for more than LIMIT in ranges of rows, which are then put together.

        A range that fills its page may have more that is near enough; then there have to be more
        ranges.
        """
        if wanted <= LIMIT or self.index.connection.address.lite:
            return self._ask(queries, wanted, probe)
        pages = max(MIN_PAGES, 2 * wanted // LIMIT)
        while True:
            ranges = self.index.ranges(pages)
            parts = [self._ask(queries, LIMIT, probe, between) for between in ranges]
            found = [_nearest_of(of_query, wanted) for of_query in zip(*parts, strict=True)]
            if all(
                len(rows) < LIMIT or distances[-1] >= nearest[-1]
                for part in parts
                for (distances, rows), (nearest, _) in zip(part, found, strict=True)
            ):
                return found
            pages *= 2

    def _ask(self, queries, wanted, probe, between=None):
        """Return (distances, rows) for each query as the server finds them, ascending."""
        field, _, metric, _ = self.spec.index(self.metric)
        data = queries
        if self.spec.bits:
            hashes = hash_codes(queries, self.index.centre, self.spec.bits)
            data = [hashed.tobytes() for hashed in hashes]
        params = {"nprobe": probe, "ef": min(MAX_EF, max(probe, wanted))}
        keys = {"HNSW": ("ef",), "FLAT": ()}.get(self.spec.kind, ("nprobe",))
        answers = self.index.connection.call(
            "search",
            self.index.name,
            data=data,
            anns_field=field,
            limit=wanted,
            filter="" if between is None else "row >= {} and row <= {}".format(*between),
            search_params={"metric_type": metric, "params": {key: params[key] for key in keys}},
            output_fields=["id", "label", *["code"] * self.spec.inexact],
            consistency_level="Eventually",
        )
        if len(answers) != len(queries):
            raise ValueError(f"expected {len(queries)} answers of Milvus, received {len(answers)}")
        return [self._distances(*pair) for pair in zip(queries, answers, strict=True)]

    def _distances(self, query, hits):
        """Return the true distances of hits, float32 (m,) ascending, and their rows, int64 (m,)."""
        rows = np.array(hits.ids, np.int64)
        entities = [hit["entity"] for hit in hits]
        self.index.remember(zip(rows.tolist(), entities, strict=True))
        if self.spec.inexact:
            codes = np.array([entity["code"] for entity in entities], np.float32)
            codes = codes.reshape(len(rows), self.dim)
            own = np.arange(len(rows))[np.newaxis]
            distances, order = rerank(query[np.newaxis], codes, own, len(rows), self.metric)
            return distances[0], rows[order[0]]
        distances = np.array(hits.distances, np.float32)
        if self.metric == "euclidean":
            distances = np.sqrt(np.maximum(distances, 0))
        else:  # a similarity; that of a code of zeros is not defined and counts as none
            distances = 1 - np.clip(np.nan_to_num(distances), -1, 1) * query.any()
        order = np.argsort(distances, kind="stable")
        return distances[order], rows[order]


def _nearest_of(parts, wanted):
    """Put (distances, rows) of several ranges together; return the nearest."""
    distances, rows = map(np.concatenate, zip(*parts, strict=True))
    order = np.argsort(distances, kind="stable")[:wanted]
    return distances[order], rows[order]
