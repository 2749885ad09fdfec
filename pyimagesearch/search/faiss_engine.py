"""Approximate engines: candidates from any FAISS index, ranked by true distance."""

from functools import cached_property

import faiss
import numpy as np

from pyimagesearch.metric import normalise
from pyimagesearch.search.engine import Engine
from pyimagesearch.search.exact import ExactEngine, rerank, threads

MAX_EF_SEARCH = 4096
HELD = 1 << 24  # candidates of a batch held at once, 128 MB


class FaissEngine(Engine):
    """Candidates from a FAISS index, always ranked by the true distances of their codes.

    Inside, cosine distance is Euclidean distance between codes of length 1.
    """

    def __init__(self, index, codes, metric, name):
        """Search float32 `codes` (n, d), held by the trained FAISS `index` in the same order.

        `codes` may be a memory map: a search reads the rows of its candidates only.
        """
        super().__init__(codes, metric)
        if (index.ntotal, index.d) != self.codes.shape or not index.is_trained:
            raise ValueError(
                f"the engine {name} holds {index.ntotal:,} codes of {index.d} numbers, "
                f"expected {self.codes.shape[0]:,} of {self.codes.shape[1]}: build it again"
            )
        self.index, self.name = index, name
        self._inner = innermost(index)
        self._ivf = self._inner if isinstance(self._inner, faiss.IndexIVF) else None
        self._hnsw = self._inner if isinstance(self._inner, faiss.IndexHNSW) else None
        quantizer = faiss.downcast_index(self._ivf.quantizer) if self._ivf is not None else None
        self._centroid_graph = quantizer if isinstance(quantizer, faiss.IndexHNSW) else None
        self._hashed = isinstance(self._inner, faiss.IndexLSH)
        self.compressed = _bytes_a_code(self._inner) < 4 * index.d
        # These two compare the codes themselves, by the squares of the differences.
        whole = isinstance(faiss.downcast_index(index), (faiss.IndexIVFFlat, faiss.IndexHNSWFlat))
        self._true = whole and metric == "euclidean"
        if self._hnsw is not None:  # a sixth faster, and finds as much
            self._hnsw.hnsw.search_bounded_queue = False
        self._probe = min(16, self.probe_limit)
        self.shortlist = 40 if self.compressed else 10

    @property
    def probe_limit(self):
        """The largest `probe` that makes a difference."""
        if self._ivf is not None:
            return self._ivf.nlist
        return min(len(self), MAX_EF_SEARCH) if self._hnsw is not None else len(self)

    @property
    def probe_start(self):
        """The smallest `probe` worth trying."""
        return 1 if self._ivf is not None else min(16, self.probe_limit)

    @property
    def inverted(self):
        """Whether the codes are held in inverted lists."""
        return self._ivf is not None

    @property
    def scans(self):
        """Whether every query is compared with all of the index, so that `probe` is `shortlist`."""
        return self._ivf is None and self._hnsw is None

    @property
    def probe(self):
        """How widely a search looks: nprobe of an inverted file, efSearch of a graph.

        Where the whole index is scanned it is `shortlist`: the candidates ranked again by true
        distance for the 10 nearest; for the k nearest, sqrt(k / 10) times as many, at least 2 k.
        """
        return self.shortlist if self.scans else self._probe

    @probe.setter
    def probe(self, probe):
        if probe != int(probe) or probe < 1:
            raise ValueError(f"expected a probe of at least 1, received {probe}")
        probe = min(int(probe), self.probe_limit)
        if self.scans:
            self.shortlist = probe
        else:
            self._probe = probe

    def search(self, queries, k):
        """Return the distances, float32 (q, k) ascending, and rows, int64 (q, k), of the nearest.

        As `ExactEngine.search`, but some of the nearest may be missed. k codes are always
        found: where the index proposes fewer, it is probed more widely.
        """
        queries, k = self.checked(queries, k)
        if not len(queries):
            return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
        # Measured for PQ and hash codes: at sqrt(k / 10) times as many, recall@k stays about level.
        wanted = max(2 * k, int(self.shortlist * (k / 10) ** 0.5)) if self.compressed else k
        if wanted >= len(self):
            return self._exact.search(queries, k)
        # Counting needs room for as many candidates at every Hamming distance there can be.
        held = wanted * (8 * self._inner.code_size + 1 if self._hashed else 1)
        step = max(1, HELD // held)
        blocks = [queries[start : start + step] for start in range(0, len(queries), step)]
        found = [self._search_block(block, wanted, k) for block in blocks]
        return tuple(map(np.concatenate, zip(*found, strict=True))) if len(found) > 1 else found[0]

    def _search_block(self, queries, wanted, k):
        with threads(1 if len(queries) == 1 else None):
            squares, rows = self._candidates(queries, wanted, k)
        if rows.max() >= len(self):
            raise ValueError(f"the engine {self.name} is damaged: build it again")
        if self._true:
            return np.sqrt(squares), rows
        return rerank(queries, self.codes, rows, k, self.metric)

    def _candidates(self, queries, wanted, k):
        """Return the distances inside the index, and rows, (q, wanted): k or more, then -1."""
        points = normalise(queries) if self.metric == "cosine" else queries
        probe = self._probe
        squares, rows = self._propose(points, wanted, probe)
        while (short := rows[:, k - 1] < 0).any() and probe < self.probe_limit:
            probe = min(4 * probe, self.probe_limit)
            squares[short], rows[short] = self._propose(points[short], wanted, probe)
        if short.any():  # a graph of many equal codes may not be connected
            distances, rows[short, :k] = self._exact.search(queries[short], k)
            squares[short, :k], rows[short, k:] = distances**2, -1
        return squares, rows

    def _propose(self, points, wanted, probe):
        if self._hashed:
            return self._nearest_hashes(points, wanted)
        if self._ivf is not None:
            self._ivf.nprobe = probe
            if self._centroid_graph is not None:
                self._centroid_graph.hnsw.efSearch = 2 * probe
        elif self._hnsw is not None:
            self._hnsw.hnsw.efSearch = max(probe, wanted)
        return self.index.search(points, wanted)

    def _nearest_hashes(self, points, wanted):
        """Rank by Hamming distance with counters: with long shortlists 3 times as fast as heaps."""
        hashes, size = self.index.sa_encode(points), self._inner.code_size
        distances = np.empty((len(points), wanted), np.int32)
        rows = np.empty((len(points), wanted), np.int64)
        faiss.hammings_knn_mc(
            faiss.swig_ptr(hashes),
            self._inner.codes.data(),
            *(len(points), len(self), wanted, size),
            faiss.swig_ptr(distances),
            faiss.swig_ptr(rows),
        )
        return distances, rows

    @cached_property
    def _exact(self):
        return ExactEngine(self.codes, self.metric)


def innermost(index):
    """Return the FAISS index that holds the codes, behind its transforms and wrappers."""
    index = faiss.downcast_index(index)
    while True:
        if isinstance(index, faiss.IndexRefine):
            index = faiss.downcast_index(index.base_index)
        elif isinstance(index, (faiss.IndexPreTransform, faiss.IndexIDMap)):
            index = faiss.downcast_index(index.index)
        else:
            return index


def _bytes_a_code(index):
    storage = index.storage if hasattr(index, "storage") else index
    return getattr(faiss.downcast_index(storage), "code_size", 0)
