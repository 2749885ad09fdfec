"""Approximate engines: candidates from any FAISS index, ranked by true distance."""

from functools import cached_property
from typing import Any

import faiss
import numpy as np

from pyimagesearch.arrays import AnyArray, Candidates, Floats, Found, Rows
from pyimagesearch.engines.engine import Engine, checked_probe
from pyimagesearch.engines.exact import ExactEngine, rerank, threads

MAX_EF_SEARCH = 4096


class FaissEngine(Engine):
    """Candidates from a FAISS index, always ranked by the true distances of their codes.

    The index holds the points of the metric, such as codes scaled to length 1 for cosine. Codes of
    zeros, which have no direction, are not in it: their distances are known.
    """

    def __init__(self, index: Any, codes: Floats, metric: str, name: str) -> None:
        """Search float32 `codes` (n, d), held by the trained FAISS `index` in the same order.

        An index of some of the codes is an IndexIDMap, with their rows. `codes` may be a memory
        map: a search reads the rows of its candidates only.
        """
        super().__init__(codes, metric)
        held = len(self.codes)
        self._zeros = np.empty(0, np.int64)
        self.rows_held: Rows | None = None
        if isinstance(index, faiss.IndexIDMap):
            id_map: Any = index.id_map  # a vector of C++
            self.rows_held = faiss.vector_to_array(id_map)
            self._zeros = np.setdiff1d(np.arange(held), self.rows_held)
            held = len(self.rows_held)
        if (index.ntotal, index.d) != (held, self.dim) or not index.is_trained:
            raise ValueError(
                f"the engine {name} holds {index.ntotal:,} codes of {index.d} dimensions, "
                f"expected {held:,} of {self.dim}: build it again"
            )
        self.index = index
        self.name = name
        self._inner = innermost(index)
        self._ivf = self._inner if isinstance(self._inner, faiss.IndexIVF) else None
        self._hnsw = self._inner if isinstance(self._inner, faiss.IndexHNSW) else None
        quantizer = faiss.downcast_index(self._ivf.quantizer) if self._ivf is not None else None
        self._centroid_graph = quantizer if isinstance(quantizer, faiss.IndexHNSW) else None
        self._hashed = isinstance(self._inner, faiss.IndexLSH)
        self.compressed = _bytes_a_code(self._inner) < 4 * index.d
        # These two compute the squares of the differences of the codes themselves.
        whole = isinstance(faiss.downcast_index(index), (faiss.IndexIVFFlat, faiss.IndexHNSWFlat))
        self._true = whole and self.metric.prepare is None
        if self._hnsw is not None:
            graph: Any = self._hnsw.hnsw  # FAISS' stubs lack the attribute
            graph.search_bounded_queue = False  # a sixth faster, and finds as much
        self._probe = min(16, self.probe_limit)
        self._parameters: dict[str, int] = {}
        self.shortlist = 40 if self.compressed else 10

    @property
    def probe_limit(self) -> int:
        """The largest `probe` that makes a difference."""
        if self._ivf is not None:
            return self._ivf.nlist
        if self._hnsw is not None:
            return min(len(self), MAX_EF_SEARCH)
        return len(self)

    @property
    def inverted(self) -> bool:
        """Whether the codes are held in inverted lists."""
        return self._ivf is not None

    @property
    def scans(self) -> bool:
        """Whether every query is compared with all of the index, so that `probe` is `shortlist`."""
        return self._ivf is None and self._hnsw is None

    @property
    def probe(self) -> int:
        """How widely a search looks: nprobe of inverted lists, efSearch of a graph.

        Where the whole index is scanned it is `shortlist`: the candidates ranked by true distance
        for the 10 nearest; for the k nearest, sqrt(k / 10) times as many, at least 2 k.
        """
        return self.shortlist if self.scans else self._probe

    @probe.setter
    def probe(self, probe: int) -> None:
        probe = checked_probe(probe, self.probe_limit)
        if self.scans:
            self.shortlist = probe
        else:
            self._probe = probe

    @property
    def nbytes(self) -> int:
        """The size of the index as a file, in bytes."""
        return index_bytes(self.index)

    def shortlist_size(self, k: int) -> int:
        """Return the number of candidates to rank by true distance for the k nearest."""
        if not self.compressed:
            return k
        # Measured for PQ and hash codes: with sqrt(k / 10) times as many, recall@k is about level.
        return max(2 * k, int(self.shortlist * (k / 10) ** 0.5))

    def candidates_held(self, wanted: int) -> int:
        """Return the room that `candidates` needs for one query, in candidates."""
        # Counting needs room for as many candidates at every possible Hamming distance.
        return wanted * (8 * self._inner.code_size + 1 if self._hashed else 1)

    def search(self, queries: AnyArray, k: int) -> Found:
        """Search as every Engine; by exact search where all codes would be ranked anyway."""
        if k >= 1 and self.shortlist_size(min(k, len(self))) >= self.index.ntotal:
            return self._exact.search(queries, k)
        return super().search(queries, k)

    def candidates(self, queries: Floats, wanted: int, probe: int) -> Candidates:
        """Return the distances inside the index, (q, wanted), and rows; see Engine."""
        points = self.metric.points(queries)
        with threads(1 if len(queries) == 1 else None):
            if self._hashed:
                return self._nearest_hashes(points, wanted)
            if self._ivf is not None:
                self._set("nprobe", probe)
                if self._centroid_graph is not None:
                    self._set("quantizer_efSearch", 2 * probe)
            elif self._hnsw is not None:
                self._set("efSearch", max(probe, wanted))
            return self.index.search(points, wanted)

    def _set(self, name: str, value: int) -> None:
        """Set a search parameter of the index, if it changed."""
        if self._parameters.get(name) != value:
            faiss.ParameterSpace().set_index_parameter(self.index, name, value)
            self._parameters[name] = value

    def ranked(self, queries: Floats, estimates: AnyArray, rows: Rows, k: int) -> Found:
        """Return true distances, float32 (q, k) ascending, and rows of the k nearest candidates."""
        if rows.max() >= len(self):
            raise ValueError(f"the engine {self.name} is damaged: build it again")
        unranked = rows[:, k - 1] < 0  # a graph of many equal codes may be disconnected
        if self._true:
            distances = self.metric.from_squares(estimates[:, :k])
            rows = rows[:, :k]
        else:
            distances, rows = rerank(queries, self.codes, rows, k, metric=self.metric)
        if len(self._zeros):
            distances, rows = self._with_zeros(distances, rows)
            unranked |= self.metric.of_zeros(self.metric.points(queries))
        if unranked.any():
            distances[unranked], rows[unranked] = self._exact.search(queries[unranked], k)
        return distances, rows

    def _with_zeros(self, distances: Floats, rows: Rows) -> Found:
        """Return as many of the nearest, (q, k), the codes of zeros among them."""
        k = rows.shape[1]
        zeros = np.broadcast_to(self._zeros[:k], (len(rows), min(k, len(self._zeros))))
        apart = np.full(zeros.shape, self.metric.from_squares(self.metric.zero_square), np.float32)
        distances = np.hstack([distances, apart])
        rows = np.hstack([rows, zeros])
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(distances, order, 1), np.take_along_axis(rows, order, 1)

    def _nearest_hashes(self, points: Floats, wanted: int) -> Candidates:
        """Rank by Hamming distance with counters, 3 times as fast as heaps for long shortlists."""
        coder = self.index if self.rows_held is None else faiss.downcast_index(self.index.index)
        hashes = coder.sa_encode(points)
        size = self._inner.code_size
        held = self.index.ntotal
        distances = np.empty((len(points), wanted), np.int32)
        rows = np.empty((len(points), wanted), np.int64)
        faiss.hammings_knn_mc(
            faiss.swig_ptr(hashes),
            self._inner.codes.data(),
            *(len(points), held, wanted, size),
            faiss.swig_ptr(distances),
            faiss.swig_ptr(rows),
        )
        return distances, rows if self.rows_held is None else self.rows_held[rows]

    @cached_property
    def _exact(self) -> ExactEngine:
        return ExactEngine(self.codes, self.metric.name)


def index_bytes(index: Any) -> int:
    """Return the size of a FAISS index as a file, in bytes, without holding it in memory."""
    size = 0

    def count(block: bytes) -> None:
        nonlocal size
        size += len(block)

    writer = faiss.PyCallbackIOWriter(  # type: ignore[attr-defined]  # FAISS' stubs lack it
        count, 1 << 20
    )
    faiss.write_index(index, writer)
    return size


def innermost(index: Any) -> Any:
    """Return the FAISS index that holds the codes, behind its transforms and wrappers."""
    index = faiss.downcast_index(index)
    while True:
        if isinstance(index, faiss.IndexRefine):
            index = faiss.downcast_index(index.base_index)
        elif isinstance(index, (faiss.IndexPreTransform, faiss.IndexIDMap)):
            index = faiss.downcast_index(index.index)
        else:
            return index


def _bytes_a_code(index: Any) -> int:
    storage = index.storage if hasattr(index, "storage") else index
    return getattr(faiss.downcast_index(storage), "code_size", 0)
